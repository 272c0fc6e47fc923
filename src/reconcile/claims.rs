//! Keeping the claim: renewed every third of its time as long as no pass is overdue.

use crate::clock::Clock;
use crate::model::{Claim, ClusterName};
use crate::store::{Error, Store};
use std::sync::{Arc, Mutex, PoisonError};
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
    state: Mutex<State>,
    gained: Notify,
}

#[derive(Debug, Default)]
struct State {
    held: Option<Held>,
    /// When the pass under way must be over, on the boot clock.
    overdue_at: Option<Duration>,
}

#[derive(Debug)]
struct Held {
    claim: Claim,
    /// When it ends for us, on the boot clock: counted from before it was asked for, so that we
    /// stop believing in it before the store does, also after this process was stopped for a while.
    ends: Duration,
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
            state: Mutex::default(),
            gained: Notify::new(),
        }
    }

    /// The claim, while it is surely ours.
    pub fn current(&self) -> Option<Claim> {
        let now = self.clock.boottime();
        self.lock().held.as_ref().filter(|held| now < held.ends).map(|held| held.claim.clone())
    }

    /// Resolves when a claim was newly gained.
    pub(super) async fn gained(&self) {
        self.gained.notified().await;
    }

    pub(super) fn pass_began(&self, overdue: Duration) -> PassWatch<'_> {
        self.lock().overdue_at = Some(self.clock.boottime() + overdue);
        PassWatch(self)
    }

    /// Claims and renews until told to stop, then gives the claim back. A loop that hangs (its pass
    /// is overdue) is not renewed: another process takes over.
    pub async fn keep(&self, ttl: Duration, stop: CancellationToken) {
        loop {
            self.step(ttl).await;
            tokio::select! {
                () = stop.cancelled() => return self.release().await,
                () = tokio::time::sleep(ttl / 3) => {}
            }
        }
    }

    /// Gives the claim back, so that another process need not wait for its end.
    pub async fn release(&self) {
        let held = self.lock().held.take();
        if let Some(held) = held
            && let Err(error) = self.store.release(&held.claim).await
        {
            tracing::debug!(section = "claim", cluster = %self.cluster, error = %error, "claim was not released");
        }
    }

    /// One attempt to hold the claim for another `ttl`.
    pub async fn step(&self, ttl: Duration) {
        let asked_at = self.clock.boottime();
        if self.lock().overdue_at.is_some_and(|at| asked_at > at) {
            tracing::error!(section = "claim", cluster = %self.cluster, "a pass is overdue; the claim is not renewed");
            return;
        }
        let answer = match self.current() {
            Some(claim) => self.store.renew(&claim, ttl).await,
            None => self.store.claim(&self.cluster, &self.holder, ttl).await,
        };
        match answer {
            Ok(claim) => self.take(claim, asked_at + ttl),
            Err(Error::Held { .. }) => self.lock().held = None,
            Err(error @ Error::Fenced { .. }) => {
                tracing::warn!(section = "claim", cluster = %self.cluster, error = %error, "claim lost");
                self.lock().held = None;
            }
            // Kept until its own end: the store may be back before.
            Err(error) => {
                tracing::warn!(section = "claim", cluster = %self.cluster, error = %error, "claim not renewed");
            }
        }
    }

    fn take(&self, claim: Claim, ends: Duration) {
        let mut state = self.lock();
        let is_new = state.held.as_ref().is_none_or(|held| held.claim.token != claim.token);
        state.held = Some(Held { claim, ends });
        drop(state);
        if is_new {
            self.gained.notify_one();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PassWatch<'_> {
    fn drop(&mut self) {
        self.0.lock().overdue_at = None;
    }
}
