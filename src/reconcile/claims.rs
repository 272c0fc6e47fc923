//! Keeping the claim, and with it the cluster's lease: renewed every third of its time as long as passes can act
//! with it.
//!
//! Only the asking is here; what an answer means is in [`belief`].

pub(super) mod belief;
#[cfg(test)]
mod tests;

use crate::clock::Clock;
use crate::cluster::fence::{self, Fence, Refusal};
use crate::config::{ClusterConfig, Config};
use crate::killpoint::{self, Point};
use crate::model::{Claim, ClusterName, Token, duration};
use crate::store::{self, Error, Store};
use belief::{Answer, Ask, Belief, Denied, Granted, Idle};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long after another's claim should be over it is asked for.
const JUST_AFTER: Duration = Duration::from_millis(100);

/// How long giving the lease back may take; its end comes by itself.
const LET_GO: Duration = Duration::from_secs(2);

/// The claim of one cluster, as far as this process holds it.
#[derive(Debug)]
pub struct Claims {
    cluster: ClusterName,
    holder: String,
    store: Arc<dyn Store>,
    fence: Arc<dyn Fence>,
    clock: Clock,
    belief: Mutex<Belief>,
    gained: Notify,
    /// Told that the claim may be free.
    sought: Notify,
    /// Why the lease was refused, if it was when a claim was last asked for.
    refused: Mutex<Option<Refusal>>,
}

/// How a claim is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it lives unless it is renewed.
    pub ttl: Duration,
    /// Whether the cluster's lease is taken as well: not where nothing is to be done to the cluster.
    pub lease: bool,
}

/// Ends the watch over a pass when dropped.
pub(super) struct PassWatch<'a>(&'a Claims);

impl Terms {
    /// As the configuration has it for a cluster.
    pub fn of(config: &Config, cluster: &ClusterName) -> Self {
        let is_dry = config.clusters.get(cluster).is_some_and(ClusterConfig::is_dry);
        Self { ttl: config.service.claim_ttl, lease: !is_dry }
    }
}

impl Claims {
    pub(super) fn new(
        cluster: ClusterName,
        holder: &str,
        store: Arc<dyn Store>,
        fence: Arc<dyn Fence>,
        clock: Clock,
    ) -> Self {
        Self {
            cluster,
            holder: holder.to_owned(),
            store,
            fence,
            clock,
            belief: Mutex::default(),
            gained: Notify::new(),
            sought: Notify::new(),
            refused: Mutex::default(),
        }
    }

    /// The claim, while it is surely ours: enough to write what is remembered, and to say what would be done.
    pub fn current(&self) -> Option<Claim> {
        let now = self.clock.boottime();
        self.lock().current(now).cloned()
    }

    /// The claim, while it is surely ours with the cluster's lease: only then anything is done to the cluster.
    pub fn leased(&self) -> Option<Claim> {
        let now = self.clock.boottime();
        self.lock().leased(now).cloned()
    }

    /// Why the cluster does not give its lease, if that is why there is no claim to act under.
    pub fn refused(&self) -> Option<Refusal> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves when a claim was newly gained.
    pub(super) async fn gained(&self) {
        self.gained.notified().await;
    }

    pub(super) fn pass_began(&self, overdue: Duration) -> PassWatch<'_> {
        self.lock().pass_began(self.clock.boottime(), overdue);
        PassWatch(self)
    }

    /// Asks for the claim without waiting for the next time: another may have given it back.
    pub fn seek(&self) {
        self.sought.notify_one();
    }

    /// Notes what a pass found of our clock.
    pub(super) fn judge_clock(&self, is_astray: bool) {
        self.lock().judge_clock(is_astray);
    }

    /// Claims and renews until told to stop, then gives the claim back. A loop that hangs (its pass
    /// is overdue) or must not act (its clock is astray) is not renewed for: another process takes
    /// over. The terms are asked for each time: they may be configured anew.
    pub async fn keep(&self, terms: impl Fn() -> Terms, stop: CancellationToken) {
        loop {
            let terms = terms();
            let next = self.step(terms).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.release().await,
                // Who was refused the lease gave the claim back, and would be told of it by the next who is refused.
                () = self.sought.notified(), if self.refused().is_none() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Gives claim and lease back, so that another process need not wait for their end.
    pub async fn release(&self) {
        let Some(Granted { claim, leased }) = self.lock().give_back() else { return };
        if leased {
            self.let_go(&claim).await;
        }
        self.give_back(&claim).await;
    }

    async fn give_back(&self, claim: &Claim) {
        let answer = self.store.release(claim).await;
        killpoint::reached(Point::Released);
        if let Err(error) = answer {
            tracing::debug!(section = "claim", cluster = %self.cluster, error = %error, "claim was not released");
        }
    }

    /// One attempt to hold the claim for as long again; how long to wait until the next.
    pub async fn step(&self, terms: Terms) -> Duration {
        let ttl = terms.ttl;
        let asked_at = self.clock.boottime();
        let ask = self.lock().ask(asked_at);
        let answer = match ask {
            Ask::Nothing(idle) => {
                self.tell_of_lease(None);
                if idle == Idle::Overdue {
                    tracing::error!(section = "claim", cluster = %self.cluster, "a pass is overdue; the claim is not renewed");
                }
                return ttl / 3;
            }
            Ask::Claim => self.take(terms).await,
            Ask::Renew(claim) => self.prolong(&claim, terms).await,
        };
        self.tell(&answer);
        let next = self.next(&answer, asked_at, ttl);
        if self.lock().hear(answer, asked_at, ttl) {
            self.gained.notify_one();
        }
        next
    }

    /// A claim that ends before the usual time is asked for at its end. One that is held though its end is past has a
    /// store whose clock is behind ours: it is asked for now and then.
    fn next(&self, answer: &Answer, asked_at: Duration, ttl: Duration) -> Duration {
        match answer {
            Err(
                Denied::Store(Error::Held { until, .. })
                | Denied::Lease(Refusal::Held { until, .. }),
            ) => {
                let left = duration::since(self.clock.now(), *until);
                let wait = if left.is_zero() { ttl / 10 } else { left + JUST_AFTER };
                wait.min(ttl / 3)
            }
            // Counted from the question, as its end is: answers that are slow must not use up its life.
            _ => (asked_at + ttl / 3).saturating_sub(self.clock.boottime()),
        }
    }

    /// A claim that has the lease, too. Without the lease it is worth nothing, and is given back to one who may get both.
    async fn take(&self, Terms { ttl, lease }: Terms) -> Answer {
        if !lease {
            let claim = self.claim(ttl, Token(0)).await?;
            return Ok(Granted { claim, leased: false });
        }
        // First, so that a store which knows only older ones writes down that it forgot as it gives out the next: whoever
        // dies after that, the next one knows.
        let past = match self.past(ttl).await {
            Ok(past) => past,
            Err(refusal) => {
                // The store may still have a claim of ours, which another could act under.
                let had = self.lock().give_back();
                if let Some(had) = had {
                    self.give_back(&had.claim).await;
                }
                return Err(refusal.into());
            }
        };
        let claim = self.claim(ttl, past).await?;
        let answer = self.hold(&claim, ttl).await;
        if let Err(refusal) = &answer {
            if matches!(refusal, Refusal::Away(_)) {
                // It may be ours, and the answer lost.
                self.let_go(&claim).await;
            }
            self.give_back(&claim).await;
        }
        Ok(answer.map(|()| Granted { claim, leased: true })?)
    }

    /// A lease that is not asked for any more is not given back, but left to its end: a call that was begun under it
    /// may be under way.
    async fn prolong(&self, claim: &Claim, Terms { ttl, lease }: Terms) -> Answer {
        let renewed = self.store.renew(claim, ttl).await;
        killpoint::reached(Point::Renewed);
        if let Err(Error::Fenced { .. }) = renewed {
            // Whoever has the claim now need not wait for the lease's end. Nothing is begun under it while that is told.
            drop(self.lock().give_back());
            self.let_go(claim).await;
        }
        let claim = renewed?;
        if lease {
            let answer = self.hold(&claim, ttl).await;
            if let Err(Refusal::Held { .. } | Refusal::Outdated { .. }) = answer {
                drop(self.lock().give_back());
                self.give_back(&claim).await;
            }
            answer?;
        }
        Ok(Granted { claim, leased: lease })
    }

    async fn claim(&self, ttl: Duration, past: Token) -> store::Result<Claim> {
        let answer = self.store.claim(&self.cluster, &self.holder, ttl, past).await;
        killpoint::reached(Point::Claimed);
        answer
    }

    /// The token that the claim's is to be past: the last one that the lease was held under. Where a token of our store was
    /// refused for an older one, one more, so that the store writes down that it is behind, though by now its tokens are not.
    async fn past(&self, ttl: Duration) -> fence::Result<Token> {
        let last = self.last(ttl).await?;
        let is_behind = matches!(self.refused(), Some(Refusal::Outdated { .. }));
        Ok(last.next().filter(|_| is_behind).unwrap_or(last))
    }

    async fn last(&self, ttl: Duration) -> fence::Result<Token> {
        let answer = tokio::time::timeout(ttl / 3, self.fence.last()).await;
        answer.unwrap_or_else(|_| Err(late()))
    }

    async fn hold(&self, claim: &Claim, ttl: Duration) -> fence::Result<()> {
        let answer = tokio::time::timeout(ttl / 3, self.fence.hold(claim, ttl)).await;
        let answer = answer.unwrap_or_else(|_| Err(late()));
        killpoint::reached(Point::LeaseHeld);
        answer
    }

    async fn let_go(&self, claim: &Claim) {
        let answer = tokio::time::timeout(LET_GO, self.fence.let_go(claim)).await;
        let answer = answer.unwrap_or_else(|_| Err(late()));
        killpoint::reached(Point::LeaseLetGo);
        if let Err(refusal) = answer {
            tracing::debug!(section = "claim", cluster = %self.cluster, %refusal, "lease was not given back");
        }
    }

    fn tell(&self, answer: &Answer) {
        match answer {
            Ok(_) | Err(Denied::Store(Error::Held { .. })) => self.tell_of_lease(None),
            Err(Denied::Store(error @ Error::Fenced { .. })) => {
                self.tell_of_lease(None);
                tracing::warn!(section = "claim", cluster = %self.cluster, error = %error, "claim lost");
            }
            Err(Denied::Store(error)) => {
                self.tell_of_lease(None);
                tracing::warn!(section = "claim", cluster = %self.cluster, error = %error, "claim not renewed");
            }
            Err(Denied::Lease(refusal)) => self.tell_of_lease(Some(refusal)),
        }
    }

    /// Said once, though it is asked for again and again: a second install may stand by for months.
    fn tell_of_lease(&self, refusal: Option<&Refusal>) {
        let mut told = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *told, refusal.cloned());
        let Some(refusal) = refusal else { return };
        if before.is_none_or(|before| !is_same(&before, refusal)) {
            tracing::warn!(section = "claim", cluster = %self.cluster, %refusal, "the cluster's lease is not given; without it nothing is begun");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Belief> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn late() -> Refusal {
    Refusal::Away("no answer in time".to_owned())
}

/// Whether two refusals are for the same reason, though the lease ends later each time.
fn is_same(one: &Refusal, other: &Refusal) -> bool {
    match (one, other) {
        (Refusal::Held { holder, .. }, Refusal::Held { holder: other, .. }) => holder == other,
        _ => one.kind() == other.kind(),
    }
}

impl Drop for PassWatch<'_> {
    fn drop(&mut self) {
        self.0.lock().pass_ended();
    }
}
