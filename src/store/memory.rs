//! The reference: everything in one map behind one lock, gone with the process.

use super::holding::{Bid, Holding};
use super::{Dump, Error, HistoryQuery, Result, Retention, Store};
use crate::clock::Clock;
use crate::model::{self, Changes, Claim, ClusterName, Entry, Signal, SignalId, Token};
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many stores there were in this process.
static LIVES: AtomicU64 = AtomicU64::new(0);

/// A store in memory. A clone is another replica's handle on the same store.
#[derive(Clone, Debug)]
pub struct Memory {
    clock: Clock,
    retention: Retention,
    life: u64,
    clusters: Arc<Mutex<BTreeMap<ClusterName, Kept>>>,
}

/// What is kept of one cluster.
#[derive(Debug, Default)]
struct Kept {
    holding: Holding,
    signals: BTreeMap<SignalId, Signal>,
    memory: model::Memory,
    history: VecDeque<Entry>,
    last_entry: u64,
}

impl Memory {
    /// An empty store.
    pub fn new(clock: Clock, retention: Retention) -> Self {
        let life = LIVES.fetch_add(1, Ordering::Relaxed);
        Self { clock, retention, life, clusters: Arc::default() }
    }

    /// Each write checks first and changes then, so what a panic leaves behind is whole.
    fn clusters(&self) -> MutexGuard<'_, BTreeMap<ClusterName, Kept>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for Memory {
    async fn now(&self) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    async fn claim(
        &self,
        cluster: &ClusterName,
        holder: &str,
        ttl: Duration,
        past: Token,
    ) -> Result<Claim> {
        let mut clusters = self.clusters();
        let kept = clusters.entry(cluster.clone()).or_default();
        let bid = Bid { cluster: cluster.clone(), holder: holder.to_owned(), ttl, past };
        kept.holding.take(&bid, self.clock.now())
    }

    async fn renew(&self, claim: &Claim, ttl: Duration) -> Result<Claim> {
        let mut clusters = self.clusters();
        let kept = clusters.entry(claim.cluster.clone()).or_default();
        kept.holding.renew(claim, ttl, self.clock.now())
    }

    async fn release(&self, claim: &Claim) -> Result<()> {
        let mut clusters = self.clusters();
        let kept = clusters.entry(claim.cluster.clone()).or_default();
        kept.holding.release(claim, self.clock.now())
    }

    async fn load(&self, cluster: &ClusterName) -> Result<model::Memory> {
        let (life, clusters) = (Some(self.life.to_string()), self.clusters());
        let Some(kept) = clusters.get(cluster) else {
            return Ok(model::Memory { life, ..model::Memory::default() });
        };
        Ok(model::Memory { life, forgot: kept.holding.forgot(), ..kept.memory.clone() })
    }

    async fn commit(&self, claim: &Claim, changes: &Changes) -> Result<()> {
        let mut clusters = self.clusters();
        let kept = clusters.entry(claim.cluster.clone()).or_default();
        let now = self.clock.now();
        kept.holding.check(claim, now)?;
        kept.apply(changes);
        kept.prune(&self.retention, now);
        Ok(())
    }

    async fn record_signals(&self, signals: &[Signal]) -> Result<()> {
        let mut clusters = self.clusters();
        for signal in signals.iter().cloned() {
            let kept = clusters.entry(signal.cluster.clone()).or_default();
            let merged = match kept.signals.remove(&signal.id) {
                Some(known) => known.merge(signal),
                None => signal,
            };
            kept.signals.insert(merged.id.clone(), merged);
        }
        Ok(())
    }

    async fn signals(&self, cluster: &ClusterName) -> Result<Vec<Signal>> {
        let clusters = self.clusters();
        Ok(clusters
            .get(cluster)
            .map_or_else(Vec::new, |kept| kept.signals.values().cloned().collect()))
    }

    async fn history(&self, cluster: &ClusterName, query: &HistoryQuery) -> Result<Vec<Entry>> {
        let clusters = self.clusters();
        let before = query.before.unwrap_or(u64::MAX);
        let entries = clusters.get(cluster).into_iter().flat_map(|kept| kept.history.iter().rev());
        Ok(entries.filter(|entry| entry.id < before).take(query.limit).cloned().collect())
    }

    async fn dump(&self, cluster: &ClusterName) -> Result<Dump> {
        let clusters = self.clusters();
        Ok(clusters.get(cluster).map_or_else(Dump::default, |kept| Dump {
            token: kept.holding.last(),
            last_entry: kept.last_entry,
            memory: kept.memory.clone(),
            signals: kept.signals.values().cloned().collect(),
            history: kept.history.iter().cloned().collect(),
        }))
    }

    async fn restore(&self, cluster: &ClusterName, dump: &Dump) -> Result<()> {
        let mut clusters = self.clusters();
        if clusters.get(cluster).is_some_and(|kept| !kept.is_new()) {
            return Err(Error::Occupied { cluster: cluster.clone() });
        }
        let signals = dump.signals.iter().map(|it| (it.id.clone(), it.clone())).collect();
        let kept = Kept {
            holding: Holding::given(dump.token),
            signals,
            memory: dump.memory.clone(),
            history: dump.history.iter().cloned().collect(),
            last_entry: dump.last_entry,
        };
        clusters.insert(cluster.clone(), kept);
        Ok(())
    }
}

impl Kept {
    /// Whether nothing was ever kept: all but signals come with a claim, whose token stays.
    fn is_new(&self) -> bool {
        self.holding.last() == Token::default() && self.signals.is_empty()
    }

    fn apply(&mut self, changes: &Changes) {
        self.memory.apply(changes);
        for (id, last_seen) in &changes.forget_signals {
            if self.signals.get(id).is_some_and(|signal| signal.last_seen == *last_seen) {
                self.signals.remove(id);
            }
        }
        for entry in &changes.history {
            self.last_entry += 1;
            self.history.push_back(Entry { id: self.last_entry, ..entry.clone() });
        }
    }

    fn prune(&mut self, retention: &Retention, now: Timestamp) {
        for _ in 0..Retention::DROPS_PER_COMMIT {
            let count = self.history.len() as u64;
            match self.history.front() {
                Some(oldest) if retention.ends(count, Some(oldest.at), now) => {
                    self.history.pop_front();
                }
                Some(_) | None => break,
            }
        }
    }
}
