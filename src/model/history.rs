//! The audit: every act and every change of a held reason, in order.

use super::{ClusterName, PassId, PoolName, Reason, SignalId, Token, WorkerId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One line of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number within the cluster, given by the store; grows by one.
    #[serde(default)]
    pub id: u64,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// The cluster.
    pub cluster: ClusterName,
    /// The pool, where it concerns one.
    pub pool: Option<PoolName>,
    /// The worker, where it concerns one.
    pub worker: Option<WorkerId>,
    /// What kind of line it is.
    pub kind: EntryKind,
    /// What happened, a few words: `launch`, `cordon`, `terminate`, `ready`, `hold`, ….
    pub what: String,
    /// Why.
    pub reason: Option<Reason>,
    /// More for people: an error, a count.
    pub detail: String,
    /// Signals that asked for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signals: Vec<SignalId>,
    /// The pass it happened in.
    pub pass: PassId,
    /// The claim's token it was done under.
    pub token: Token,
}

/// What kind of line a history entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// Written before the act.
    Intent,
    /// Written after the act: it went well.
    Done,
    /// Written after the act: it failed.
    Failed,
    /// The act was not done: the check right before it said no.
    Refused,
    /// Something was seen: a worker joined, became Ready, was lost.
    Seen,
    /// A pool's reason to hold changed.
    Held,
    /// Would have been done in `mode: act`.
    DryRun,
}
