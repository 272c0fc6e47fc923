//! Keeping the claim: renewed every third of its time as long as no pass is overdue.
//!
//! Only the asking is here; what an answer means is in [`belief`].

pub(super) mod belief;

use crate::clock::Clock;
use crate::model::{Claim, ClusterName};
use crate::store::{self, Error, Store};
use belief::{Ask, Belief};
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
        let held = self.lock().give_back();
        if let Some(claim) = held
            && let Err(error) = self.store.release(&claim).await
        {
            tracing::debug!(section = "claim", cluster = %self.cluster, error = %error, "claim was not released");
        }
    }

    /// One attempt to hold the claim for another `ttl`.
    pub async fn step(&self, ttl: Duration) {
        let asked_at = self.clock.boottime();
        let ask = self.lock().ask(asked_at);
        let answer = match ask {
            Ask::Nothing => {
                tracing::error!(section = "claim", cluster = %self.cluster, "a pass is overdue; the claim is not renewed");
                return;
            }
            Ask::Claim => self.store.claim(&self.cluster, &self.holder, ttl).await,
            Ask::Renew(claim) => self.store.renew(&claim, ttl).await,
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
            Err(error @ (Error::Away(_) | Error::Unreadable(_))) => {
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
