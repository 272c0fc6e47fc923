//! What we decided: one decision for every pool, and every step that follows from it.

use super::{
    BatchId, ClusterMemory, ClusterName, InstanceId, Intent, NodeRef, PoolMemory, PoolName, Reason,
    SignalId, Worker, WorkerEvent, WorkerId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One pass's decisions for one cluster. The same value feeds execution, dry run, metrics, history,
/// notifications and every page that shows what is going on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The cluster.
    pub cluster: ClusterName,
    /// The moment it was made for.
    pub at: Timestamp,
    /// One decision for every pool, Hold included.
    pub decisions: Vec<Decision>,
    /// Changes of our own records that need no call.
    pub transitions: Vec<Transition>,
    /// Calls to make, at most one per worker.
    pub steps: Vec<Step>,
    /// Intents that are settled.
    pub settled: Vec<BatchId>,
    /// Workers whose records may be dropped.
    pub forget: Vec<WorkerId>,
    /// Signals whose records may be dropped, each with its `last_seen` as it was judged.
    pub expired: Vec<(SignalId, Timestamp)>,
    /// Memory of pools that changed.
    pub pools: BTreeMap<PoolName, PoolMemory>,
    /// The cluster's memory after this pass.
    pub memory: ClusterMemory,
}

/// What happens to one pool in this pass, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// The pool.
    pub pool: PoolName,
    /// What happens.
    pub verdict: Verdict,
    /// Why: the one that decided.
    pub reason: Reason,
    /// What else spoke: everything that holds or would have asked, most telling first.
    pub also: Vec<Reason>,
    /// Signals that speak for it.
    pub signals: Vec<SignalId>,
    /// How many workers serve or are coming.
    pub have: u32,
    /// How many are wanted.
    pub want: u32,
    /// Planned, recorded, shown, and not done.
    pub dry_run: bool,
}

/// What happens to a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Launch these workers.
    Launch {
        /// The exact request, what permits it, and for which pods.
        intent: Box<Intent>,
    },
    /// Begin to remove these workers.
    Drain {
        /// Which.
        workers: Vec<WorkerId>,
    },
    /// Do nothing new.
    Hold,
}

/// One call for one worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The worker.
    pub worker: WorkerId,
    /// Its pool.
    pub pool: PoolName,
    /// The call.
    pub act: Act,
    /// Committed together with the intent, before the call.
    pub before: Option<WorkerEvent>,
    /// Why.
    pub reason: Reason,
    /// What must still hold at the moment of the call.
    pub permit: Permit,
    /// Planned, recorded, shown, and not done.
    pub dry_run: bool,
}

/// A call that changes the world. Each is idempotent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Keep new pods off.
    Cordon {
        /// The node.
        node: NodeRef,
    },
    /// One round of evictions; never waits.
    Evict {
        /// The node.
        node: NodeRef,
    },
    /// One round of deletions, whatever budgets say: the machine ends in a moment anyway.
    Force {
        /// The node.
        node: NodeRef,
    },
    /// Let pods on again: the worker is released.
    Uncordon {
        /// The node.
        node: NodeRef,
    },
    /// End the machine.
    Terminate {
        /// The instance.
        instance: InstanceId,
    },
    /// Delete the node object of a machine that is proven gone.
    RemoveNode {
        /// The node.
        node: NodeRef,
    },
    /// Settle an open launch: replay the exact request, which launches nothing twice.
    Replay {
        /// The batch.
        batch: BatchId,
    },
}

/// What must still hold right before a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "permit", rename_all = "snake_case")]
pub enum Permit {
    /// Alerts ask for more: at least one must still count.
    Up {
        /// The alerts.
        signals: Vec<SignalId>,
    },
    /// Pending pods prove the need: it must not be silenced as `up` for this pool.
    Need,
    /// Alerts ask for removal: at least one must still count, and these guards hold.
    Down {
        /// The alerts.
        signals: Vec<SignalId>,
        /// Guard expressions.
        guards: Vec<String>,
    },
    /// Alerts or age ask for a replacement: at least one alert must still count, where any is named.
    Replace {
        /// The alerts; empty for age.
        signals: Vec<SignalId>,
    },
    /// The provider takes the machine back, whoever answers: pausable as `autoscale="replace"`.
    Notice,
    /// Below `min`, or our own monitoring needs room: pausable as `autoscale="restore"`.
    Restore,
    /// A dead machine: pausable as `autoscale="repair"`.
    Repair,
    /// Something left over: pausable as `autoscale="gc"`.
    Gc,
    /// An operator asked: pausable as `autoscale="manual"`.
    Manual,
    /// Finishing, or taking back, what was begun: only the claim is asked.
    Begun,
}

impl Permit {
    /// For doing again what was begun under this permit: the alert may be over by now, a pause still
    /// counts.
    #[must_use]
    pub fn again(&self) -> Self {
        match self {
            Self::Up { .. } | Self::Need => Self::Need,
            Self::Down { .. } => Self::Down { signals: Vec::new(), guards: Vec::new() },
            Self::Replace { .. } => Self::Replace { signals: Vec::new() },
            Self::Notice => Self::Notice,
            Self::Restore => Self::Restore,
            Self::Repair => Self::Repair,
            Self::Gc => Self::Gc,
            Self::Manual => Self::Manual,
            Self::Begun => Self::Begun,
        }
    }
}

/// A change of our own records that needs no call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "transition", rename_all = "snake_case")]
pub enum Transition {
    /// A worker changed state because of what was seen.
    Move {
        /// The worker.
        worker: WorkerId,
        /// What happened.
        event: WorkerEvent,
        /// Why.
        reason: Reason,
    },
    /// A machine of ours without a record gets one.
    Adopt {
        /// The new record.
        worker: Worker,
        /// Why.
        reason: Reason,
    },
    /// Something about a worker that is worth a line of history, and changes nothing.
    Told {
        /// The worker.
        worker: WorkerId,
        /// What.
        reason: Reason,
    },
    /// A worker's clock stops or goes on; the whole record with its new times.
    Clock {
        /// The record.
        worker: Worker,
    },
}

impl Plan {
    /// Whether it changes anything: a pass that did is followed by the next at once.
    pub fn is_quiet(&self) -> bool {
        self.transitions.is_empty()
            && self.steps.iter().all(|step| step.dry_run)
            && self.settled.is_empty()
            && self.decisions.iter().all(|d| d.dry_run || matches!(d.verdict, Verdict::Hold))
    }
}
