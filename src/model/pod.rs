//! Kubernetes' view of a workload's unit, as small as placement and eviction need it.

use super::{Effect, NodeName, Resources, Taint, Uid};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One pod that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// UID.
    pub uid: Uid,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// When the object was created.
    pub created: Timestamp,
    /// Where it is, or why it is nowhere.
    pub placement: Placement,
    /// What it asks of a node. Shared: thousands of pods have one spec.
    pub spec: Arc<PodSpec>,
    /// What kind of pod it is to a drain.
    pub kind: PodKind,
    /// What keeps it where it is; empty means it may be evicted.
    pub pins: Vec<Pin>,
    /// One of the programs our own loop depends on.
    pub essential: Option<Essential>,
}

/// What a pod asks of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodSpec {
    /// Requests; `pods` is 1.
    pub requests: Resources,
    /// Labels the node must carry.
    pub node_selector: BTreeMap<String, String>,
    /// Taints it puts up with.
    pub tolerations: Vec<Toleration>,
}

/// Where a pod is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// On this node.
    Bound(NodeName),
    /// The scheduler found no node for it.
    Unschedulable {
        /// Since when it says so.
        since: Timestamp,
    },
    /// No node yet, and the scheduler has not judged it.
    Waiting,
}

/// What a drain does with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PodKind {
    /// Is evicted and must find another place.
    Normal,
    /// A DaemonSet's: stays until the node goes, needs no other place.
    Daemon,
    /// A static pod's mirror: the same.
    Mirror,
}

/// What keeps a pod on its node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// A `PodDisruptionBudget` that allows no disruption now; holds the eviction, not the choice of the node.
    DisruptionBudget(String),
    /// Data on the node's own disk.
    LocalStorage,
    /// No controller would make it again.
    Bare,
    /// In kube-system without a budget; held for `evict.kube_system_after`, then movable.
    KubeSystem,
    /// An annotation asks for it, for example `safe-to-evict: "false"`.
    Annotated(String),
}

/// Programs without which no alert could ever reach us; their workers go last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Essential {
    /// Alertmanager.
    Alertmanager,
    /// Prometheus.
    Prometheus,
    /// Our store.
    Store,
    /// This program.
    Bellwether,
}

/// A taint that a pod puts up with. An empty key tolerates everything; no effect means all effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Toleration {
    /// Key; empty with `value: None` tolerates every taint.
    pub key: String,
    /// `Some` for operator Equal, `None` for Exists.
    pub value: Option<String>,
    /// The one effect tolerated; `None` is all.
    pub effect: Option<Effect>,
}

impl Toleration {
    /// Whether it covers this taint, as kube-scheduler judges it.
    pub fn covers(&self, taint: &Taint) -> bool {
        (self.effect.is_none() || self.effect == Some(taint.effect))
            && (self.key.is_empty() && self.value.is_none() || self.key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

impl Pod {
    /// The node it is bound to.
    pub fn node(&self) -> Option<&NodeName> {
        match &self.placement {
            Placement::Bound(node) => Some(node),
            Placement::Unschedulable { .. } | Placement::Waiting => None,
        }
    }
}
