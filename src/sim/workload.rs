//! What runs in the world.

use crate::model::{Essential, Pin, Resources, Toleration, duration};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A controller and its pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Name.
    #[serde(default)]
    pub name: String,
    /// Namespace.
    #[serde(default = "default_namespace")]
    pub namespace: String,
    /// Pods wanted; a `DaemonSet` has one on each node.
    #[serde(default)]
    pub replicas: u32,
    /// What each asks for.
    pub requests: Resources,
    /// Share of the requested CPU that is really used.
    #[serde(default = "usual_share")]
    pub usage: f64,
    /// Share of the requested memory that is really used.
    #[serde(default = "usual_share")]
    pub memory_usage: f64,
    /// Labels a node must carry.
    #[serde(default)]
    pub node_selector: BTreeMap<String, String>,
    /// Taints its pods put up with.
    #[serde(default)]
    pub tolerations: Vec<Toleration>,
    /// A `PodDisruptionBudget`: so many must stay.
    #[serde(default)]
    pub min_available: Option<u32>,
    /// How long a pod takes to end.
    #[serde(default = "default_grace", with = "duration::text")]
    pub grace: Duration,
    /// Its kind.
    #[serde(default)]
    pub kind: WorkloadKind,
    /// What keeps its pods where they are.
    #[serde(default)]
    pub pins: Vec<Pin>,
    /// A program that our loop depends on.
    #[serde(default)]
    pub essential: Option<Essential>,
}

/// A controller's kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkloadKind {
    /// So many pods, anywhere.
    #[default]
    Deployment,
    /// One pod on each node.
    DaemonSet,
}

impl Workload {
    /// A deployment that asks for so many millicores and bytes per pod.
    pub fn deployment(name: &str, replicas: u32, cpu_milli: u64, memory: u64) -> Self {
        Self {
            name: name.to_owned(),
            namespace: default_namespace(),
            replicas,
            requests: Resources::new(cpu_milli, memory).with_pods(1),
            usage: usual_share(),
            memory_usage: usual_share(),
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            min_available: None,
            grace: default_grace(),
            kind: WorkloadKind::Deployment,
            pins: Vec::new(),
            essential: None,
        }
    }
}

fn default_namespace() -> String {
    "default".to_owned()
}

fn usual_share() -> f64 {
    0.6
}

fn default_grace() -> Duration {
    Duration::from_millis(100)
}
