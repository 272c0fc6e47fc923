//! Keeping the claim: renewed every third of its time as long as passes can act with it.
//!
//! Only the asking is here; what an answer means is in [`belief`].

pub(super) mod belief;

use crate::clock::Clock;
use crate::killpoint::{self, Point};
use crate::model::{Claim, ClusterName};
use crate::store::{self, Error, Store};
use belief::{Ask, Belief, Idle};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The claim of one cluster, as far as this process holds it.
#[derive(Debug)]
pub struct Claims {
    cluster: ClusterName,
    holder: String,
    store: Arc<dyn Store>,
    clock: Clock,
    belief: Mutex<Belief>,
    gained: Notify,
}

/// Ends the watch over a pass when dropped.
pub(super) struct PassWatch<'a>(&'a Claims);

impl Claims {
    pub(super) fn new(
        cluster: ClusterName,
        holder: &str,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Self {
        Self {
            cluster,
            holder: holder.to_owned(),
            store,
            clock,
            belief: Mutex::default(),
            gained: Notify::new(),
        }
    }

    /// The claim, while it is surely ours.
    pub fn current(&self) -> Option<Claim> {
        let now = self.clock.boottime();
        self.lock().current(now).cloned()
    }

    /// Resolves when a claim was newly gained.
    pub(super) async fn gained(&self) {
        self.gained.notified().await;
    }

    pub(super) fn pass_began(&self, overdue: Duration) -> PassWatch<'_> {
        self.lock().pass_began(self.clock.boottime(), overdue);
        PassWatch(self)
    }

    /// Notes what a pass found of our clock.
    pub(super) fn judge_clock(&self, is_astray: bool) {
        self.lock().judge_clock(is_astray);
    }

    /// Claims and renews until told to stop, then gives the claim back. A loop that hangs (its pass
    /// is overdue) or must not act (its clock is astray) is not renewed for: another process takes
    /// over. `ttl` is asked each time: it may be configured anew.
    pub async fn keep(&self, ttl: impl Fn() -> Duration, stop: CancellationToken) {
        loop {
            let ttl = ttl();
            self.step(ttl).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.release().await,
                () = tokio::time::sleep(ttl / 3) => {}
            }
        }
    }

    /// Gives the claim back, so that another process need not wait for its end.
    pub async fn release(&self) {
        let Some(claim) = self.lock().give_back() else { return };
        let answer = self.store.release(&claim).await;
        killpoint::reached(Point::Released);
        if let Err(error) = answer {
            tracing::debug!(section = "claim", cluster = %self.cluster, error = %error, "claim was not released");
        }
    }

    /// One attempt to hold the claim for another `ttl`.
    pub async fn step(&self, ttl: Duration) {
        let asked_at = self.clock.boottime();
        let ask = self.lock().ask(asked_at);
        let answer = match ask {
            Ask::Nothing(Idle::Astray) => return,
            Ask::Nothing(Idle::Overdue) => {
                tracing::error!(section = "claim", cluster = %self.cluster, "a pass is overdue; the claim is not renewed");
                return;
            }
            Ask::Claim => {
                let answer = self.store.claim(&self.cluster, &self.holder, ttl).await;
                killpoint::reached(Point::Claimed);
                answer
            }
            Ask::Renew(claim) => {
                let answer = self.store.renew(&claim, ttl).await;
                killpoint::reached(Point::Renewed);
                answer
            }
        };
        self.tell(&answer);
        if self.lock().hear(answer, asked_at, ttl) {
            self.gained.notify_one();
        }
    }

    fn tell(&self, answer: &store::Result<Claim>) {
        match answer {
            Ok(_) | Err(Error::Held { .. }) => {}
            Err(error @ Error::Fenced { .. }) => {
                tracing::warn!(section = "claim", cluster = %self.cluster, error = %error, "claim lost");
            }
            Err(error @ (Error::Away(_) | Error::Unreadable(_) | Error::Occupied { .. })) => {
                tracing::warn!(section = "claim", cluster = %self.cluster, error = %error, "claim not renewed");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Belief> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PassWatch<'_> {
    fn drop(&mut self) {
        self.0.lock().pass_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Memory, Retention};
    use jiff::Timestamp;

    const TTL: Duration = Duration::from_secs(10);

    /// Two processes at one store; the first has the claim.
    async fn two() -> (Claims, Claims) {
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let store: Arc<dyn Store> =
            Arc::new(Memory::new(clock, Retention { entries: 1, age: TTL }));
        let [one, other] =
            ["a", "b"].map(|holder| Claims::new("c".into(), holder, store.clone(), clock));
        one.step(TTL).await;
        assert!(one.current().is_some());
        (one, other)
    }

    /// Both keep on, for longer than a claim lives.
    async fn keep_on(one: &Claims, other: &Claims) {
        for _ in 0..4 {
            tokio::time::advance(TTL / 3).await;
            one.step(TTL).await;
            other.step(TTL).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_well_keeps_its_claim() {
        let (one, other) = two().await;
        keep_on(&one, &other).await;
        assert!(one.current().is_some() && other.current().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_whose_pass_is_overdue_leaves_its_claim_to_another() {
        let (one, other) = two().await;
        let watch = one.pass_began(Duration::from_secs(1));
        keep_on(&one, &other).await;
        assert!(one.current().is_none() && other.current().is_some());
        drop(watch);
        other.release().await;
        one.step(TTL).await;
        assert!(one.current().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_whose_clock_is_astray_leaves_its_claim_to_another() {
        let (one, other) = two().await;
        one.judge_clock(true);
        keep_on(&one, &other).await;
        assert!(one.current().is_none() && other.current().is_some());
        one.judge_clock(false);
        other.release().await;
        one.step(TTL).await;
        assert!(one.current().is_some());
    }
}
