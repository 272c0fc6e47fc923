//! Kubernetes' view of a workload's unit, as small as placement and eviction need it.

use super::{
    Effect, HostPort, Labels, NodeName, NodeTerm, PodRef, PodTerm, Resources, Spread, Taint, Uid,
    VolumeNeed,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// One pod that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// UID.
    pub uid: Uid,
    /// Name, within the namespace of its spec.
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

/// All that a scheduler looks at of a pod: pods with equal specs can stand for each other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodSpec {
    /// Namespace.
    pub namespace: String,
    /// Its own labels, by which other pods choose it.
    pub labels: Labels,
    /// Requests; `pods` is 1.
    pub requests: Resources,
    /// Labels the node must carry.
    pub node_selector: Labels,
    /// Nodes it must be on, one of these terms; `None` asks nothing, no term at all is no node.
    pub node_affinity: Option<Vec<NodeTerm>>,
    /// Taints it puts up with.
    pub tolerations: Vec<Toleration>,
    /// Pods it must be beside: all of these terms.
    pub pod_affinity: Vec<PodTerm>,
    /// Pods it must not be beside: none of these terms.
    pub pod_anti_affinity: Vec<PodTerm>,
    /// How it must be spread: all of these.
    pub topology_spread: Vec<Spread>,
    /// Ports of the node that it takes.
    pub host_ports: Vec<HostPort>,
    /// Where its volumes let it be: all of these.
    pub volumes: Vec<VolumeNeed>,
    /// Its priority. A pod of a lower one may have to give way.
    pub priority: i32,
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
    /// The same, and the scheduler it waits for is not Kubernetes' own: its rules are not known.
    OtherScheduler,
    /// Nobody is to look for a node yet: a scheduling gate stands.
    Gated,
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
    /// An annotation asks for it for a while, for example `do-not-disrupt: "30m"`.
    AnnotatedUntil {
        /// The annotation.
        mark: String,
        /// From when on the pod may move.
        until: Timestamp,
    },
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DisruptionBudget(budget) => write!(f, "its budget {budget} allows no disruption"),
            Self::LocalStorage => f.write_str("it has data on the node's disk"),
            Self::Bare => f.write_str("no controller would make it again"),
            Self::KubeSystem => f.write_str("it is in kube-system and no budget speaks for it"),
            Self::Annotated(mark) => f.write_str(mark),
            Self::AnnotatedUntil { mark, until } => write!(f, "{mark}, until {until}"),
        }
    }
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
    /// Which pod it is.
    pub fn at(&self) -> PodRef {
        let (namespace, name) = (self.spec.namespace.clone(), self.name.clone());
        PodRef { namespace, name, uid: self.uid.clone() }
    }

    /// The node it is bound to.
    pub fn node(&self) -> Option<&NodeName> {
        match &self.placement {
            Placement::Bound(node) => Some(node),
            Placement::Unschedulable { .. }
            | Placement::Waiting
            | Placement::OtherScheduler
            | Placement::Gated => None,
        }
    }
}
