//! What is true now, as far as it could be seen. Parts may be unknown; an unknown is never zero.

use super::{
    ClusterUid, Instance, Labels, Node, NodeName, Pod, PodSpec, PoolName, Shape, SignalId, Truth,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Everything one pass looks at, for one cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Nodes and pods.
    pub cluster: View<ClusterView>,
    /// Machines with our tags, per pool.
    pub instances: BTreeMap<PoolName, View<Vec<Instance>>>,
    /// What can be bought, per pool.
    pub shapes: BTreeMap<PoolName, View<Vec<Shape>>>,
    /// What the Alertmanagers say.
    pub truth: Truth,
    /// Each configured guard expression's answer.
    pub guards: BTreeMap<String, Guard>,
    /// The answer of each signal's `want_query`.
    pub wants: BTreeMap<SignalId, Want>,
}

/// Something that was looked at, or could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View<T> {
    /// Seen whole, at `at`.
    Known {
        /// When it was true.
        at: Timestamp,
        /// What was seen.
        value: T,
    },
    /// Not seen, or only in part.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

/// Nodes and pods of one cluster at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The kube-system namespace's UID: whose nodes these are.
    pub uid: ClusterUid,
    /// Every node, ours or not.
    pub nodes: Vec<Arc<Node>>,
    /// Every pod that is not finished.
    pub pods: Vec<Arc<Pod>>,
    /// Volumes that are attached to each node for pods that a drain moves; `None` while that is not known.
    #[serde(default)]
    pub attached: Option<BTreeMap<NodeName, Vec<String>>>,
    /// What each DaemonSet puts on every node that admits it.
    pub daemons: Vec<Arc<PodSpec>>,
    /// Each namespace's labels.
    pub namespaces: BTreeMap<String, Labels>,
}

/// What a guard expression answered, on every configured Prometheus.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// Non-empty, all values non-zero, fresh, no warnings, everywhere.
    Holds,
    /// It answered, and does not hold.
    Fails {
        /// What it said, for people.
        detail: String,
    },
    /// It could not be evaluated, is stale, empty or came with warnings.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

/// What a `want_query` answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// This many workers (rounded up).
    Workers(u32),
    /// NaN, negative, several series, warnings, or no answer.
    Unknown {
        /// Why, for people.
        why: String,
    },
}

impl ClusterView {
    /// A cluster in which there is nothing yet.
    pub fn empty(uid: ClusterUid) -> Self {
        Self {
            uid,
            nodes: Vec::new(),
            pods: Vec::new(),
            attached: Some(BTreeMap::new()),
            daemons: Vec::new(),
            namespaces: BTreeMap::new(),
        }
    }

    /// Every node, ours or not.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> + Clone {
        self.nodes.iter().map(|node| &**node)
    }

    /// Every pod that is not finished.
    pub fn pods(&self) -> impl Iterator<Item = &Pod> + Clone {
        self.pods.iter().map(|pod| &**pod)
    }
}

impl<T> View<T> {
    /// What was seen.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Unknown { .. } => None,
        }
    }
}
