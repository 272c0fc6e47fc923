//! Kubernetes' view of a machine.

use super::{Labels, NodeName, PoolName, Resources, Uid, WorkerId, Zone};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The label that says which worker a node is.
pub const WORKER_LABEL: &str = "bellwether.dev/worker";

/// The label that says which pool it belongs to.
pub const POOL_LABEL: &str = "bellwether.dev/pool";

/// The label of its zone. Source: Kubernetes' well-known labels.
pub const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// Labels that tell a node's zone: Kubernetes' own, its older one, and those that volumes of AWS and of Google name.
pub const ZONE_LABELS: [&str; 4] = [
    ZONE_LABEL,
    "failure-domain.beta.kubernetes.io/zone",
    "topology.ebs.csi.aws.com/zone",
    "topology.gke.io/zone",
];

/// A node by name *and* UID: the same name with another UID is another machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeRef {
    /// The node's name.
    pub name: NodeName,
    /// The node's UID.
    pub uid: Uid,
}

/// A small view of one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Name and UID.
    pub at: NodeRef,
    /// The worker it says to be, by our label; `None` for a node that is not ours.
    pub worker: Option<WorkerId>,
    /// The pool it says to belong to, by our label.
    pub pool: Option<PoolName>,
    /// `spec.providerID` as it stands there.
    pub provider_id: Option<String>,
    /// Whether it carries a control plane; never a candidate, never counted as a worker.
    pub control_plane: bool,
    /// When the object was created.
    pub created: Timestamp,
    /// Ready condition.
    pub readiness: Readiness,
    /// Whether new pods are kept off, and by whom.
    pub cordon: Cordon,
    /// The annotation by which somebody keeps it where it is.
    #[serde(default)]
    pub kept: Option<String>,
    /// What pods can use.
    pub allocatable: Resources,
    /// Labels.
    pub labels: Labels,
    /// Taints other than our own drain mark.
    pub taints: Vec<Taint>,
    /// Zone, where a label says it.
    pub zone: Option<Zone>,
}

impl Node {
    /// The id of the machine it runs on, where its provider's id ends with that, as `aws:///ZONE/INSTANCE` does.
    pub fn machine(&self) -> Option<&str> {
        let (_, last) = self.provider_id.as_deref()?.rsplit_once('/')?;
        Some(last).filter(|id| !id.is_empty())
    }

    /// Whether it says that it is Ready.
    pub fn is_ready(&self) -> bool {
        self.readiness == Readiness::Ready
    }
}

/// Kubernetes' Ready condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Ready is true.
    Ready,
    /// Ready is false or unknown, since then.
    NotReady {
        /// The condition's last transition.
        since: Timestamp,
    },
}

/// Who keeps new pods off a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cordon {
    /// Nobody.
    None,
    /// We do: our taint is on it.
    Ours,
    /// A person or another program: left alone and not counted as room.
    Foreign,
}

/// A taint.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Taint {
    /// Key.
    pub key: String,
    /// Value, empty where none is set.
    pub value: String,
    /// What it does to pods that do not tolerate it.
    pub effect: Effect,
}

/// A taint's effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Effect {
    /// New pods are kept off.
    NoSchedule,
    /// New pods are kept off where possible; never decides whether a pod fits.
    PreferNoSchedule,
    /// Running pods are ended too.
    NoExecute,
}
