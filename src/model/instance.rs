//! The provider's view of a machine that carries our tags.

use super::{BatchId, ClusterUid, InstanceId, Market, PoolName, ShapeName, WorkerId, Zone};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One machine as the provider lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The provider's id.
    pub id: InstanceId,
    /// Tag: the worker it was launched as.
    pub worker: Option<WorkerId>,
    /// Tag: the batch it was launched in.
    pub batch: Option<BatchId>,
    /// Tag: the pool.
    pub pool: PoolName,
    /// Tag: the cluster's UID. Another UID than ours means: not ours.
    pub cluster_uid: Option<ClusterUid>,
    /// Instance type.
    pub shape: ShapeName,
    /// Zone.
    pub zone: Zone,
    /// Spot or on-demand.
    pub market: Market,
    /// When the provider launched it.
    pub launched: Timestamp,
    /// Where it stands.
    pub state: InstanceState,
    /// Termination protection: the provider would refuse to end it.
    pub protected: bool,
    /// When the provider said it will take it back (spot notice).
    pub notice: Option<Timestamp>,
    /// What the provider says of its state, for people: why it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    /// It runs, and what its provider would say of that is not known: nothing told is no word that it is well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unchecked: bool,
}

/// Where an instance stands. `Pending` counts like `Running`: it is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Being created.
    Pending,
    /// Running.
    Running,
    /// It is there and does not run, and will not by itself; it is ours to end.
    Stopped,
    /// Being ended.
    Ending,
    /// Proven gone.
    Gone,
}

impl Instance {
    /// Whether it runs or is about to.
    pub fn is_live(&self) -> bool {
        matches!(self.state, InstanceState::Pending | InstanceState::Running)
    }

    /// Whether somebody has to end it, for it does not end by itself.
    pub fn is_there(&self) -> bool {
        self.is_live() || self.state == InstanceState::Stopped
    }
}
