//! The claim, and what is committed under it.

use super::{
    BatchId, ClusterMemory, ClusterName, Entry, Intent, PoolMemory, PoolName, SignalId, Token,
    Worker, WorkerId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The right to act on a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// The cluster.
    pub cluster: ClusterName,
    /// Who holds it: one name per process.
    pub holder: String,
    /// Its fencing token.
    pub token: Token,
    /// When it ends unless renewed, by the store's clock.
    pub expires: Timestamp,
}

/// A set of changes that is stored whole or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Records to write.
    pub workers: Vec<Worker>,
    /// Records to drop.
    pub forget_workers: Vec<WorkerId>,
    /// Intents to write.
    pub intents: Vec<Intent>,
    /// Intents to drop: they are settled.
    pub settled: Vec<BatchId>,
    /// Pools' memory to write.
    pub pools: BTreeMap<PoolName, PoolMemory>,
    /// The cluster's memory to write.
    pub cluster: Option<ClusterMemory>,
    /// Signals to drop, each with its `last_seen` as it was loaded: one that was delivered again
    /// since then stays.
    pub forget_signals: Vec<(SignalId, Timestamp)>,
    /// History to append.
    pub history: Vec<Entry>,
}

impl Changes {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
