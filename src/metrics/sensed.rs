//! What each cluster's sensors told last. Set whole for one cluster at a time, so that what vanished vanishes.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensor {
    /// `bellwether_nodes{cluster,pool,state,zone}`: our nodes.
    Nodes,
    /// `bellwether_unschedulable_pods{cluster,pool,helpable,reason}`.
    UnschedulablePods,
    /// `bellwether_oldest_unschedulable_seconds{cluster}`.
    OldestUnschedulable,
    /// `bellwether_allocatable{cluster,pool,resource}`: cores, bytes, or pieces.
    Allocatable,
    /// `bellwether_requested{cluster,pool,resource}`: the same.
    Requested,
    /// `bellwether_removable_workers{cluster,pool}`.
    RemovableWorkers,
    /// `bellwether_view_age_seconds{cluster}`.
    ViewAge,
}

impl Sensor {
    const ALL: [Self; 7] = [
        Self::Nodes,
        Self::UnschedulablePods,
        Self::OldestUnschedulable,
        Self::Allocatable,
        Self::Requested,
        Self::RemovableWorkers,
        Self::ViewAge,
    ];

    fn family(self) -> GaugeVec {
        let (name, help, labels): (_, _, &[&str]) = match self {
            Self::Nodes => {
                ("nodes", "Nodes of ours by state.", &["cluster", "pool", "state", "zone"])
            }
            Self::UnschedulablePods => (
                "unschedulable_pods",
                "Pods without a place, by whether a worker helps, and why not.",
                &["cluster", "pool", "helpable", "reason"],
            ),
            Self::OldestUnschedulable => (
                "oldest_unschedulable_seconds",
                "How long the oldest pod has waited that a worker would help.",
                &["cluster"],
            ),
            Self::Allocatable => (
                "allocatable",
                "What nodes that take new pods have for pods.",
                &["cluster", "pool", "resource"],
            ),
            Self::Requested => (
                "requested",
                "What the pods on nodes that take new pods ask for.",
                &["cluster", "pool", "resource"],
            ),
            Self::RemovableWorkers => (
                "removable_workers",
                "Ready workers that neither their record nor a pod of theirs keeps.",
                &["cluster", "pool"],
            ),
            Self::ViewAge => {
                ("view_age_seconds", "How old the view of the cluster is.", &["cluster"])
            }
        };
        let family = GaugeVec::new(Opts::new(format!("bellwether_{name}"), help), labels);
        family.expect("names and labels are valid constants")
    }
}

/// One number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its family.
    pub of: Sensor,
    /// The values of its labels beside the cluster, in the family's order.
    pub labels: Vec<String>,
    /// The number.
    pub value: f64,
}

/// What the sensors of all clusters told last.
#[derive(Clone, Debug)]
pub struct Sensed {
    families: Vec<GaugeVec>,
    samples: Arc<Mutex<BTreeMap<String, Vec<Sample>>>>,
}

impl Sensed {
    pub(super) fn new() -> Self {
        let families = Sensor::ALL.into_iter().map(Sensor::family).collect();
        Self { families, samples: Arc::default() }
    }

    /// Takes what one cluster's sensors tell now in place of what they told before; nothing while it is unknown.
    pub fn set(&self, cluster: &str, samples: Vec<Sample>) {
        let mut all = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(cluster.to_owned(), samples);
    }
}

impl Collector for Sensed {
    fn desc(&self) -> Vec<&Desc> {
        self.families.iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Held to the end, so that two scrapes at once do not reset each other's.
        let all = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        self.families.iter().for_each(GaugeVec::reset);
        for (cluster, samples) in all.iter() {
            for sample in samples {
                let labels: Vec<&str> =
                    std::iter::once(cluster).chain(&sample.labels).map(String::as_str).collect();
                let at = Sensor::ALL.iter().position(|sensor| *sensor == sample.of);
                let family = at.and_then(|at| self.families.get(at));
                if let Some(Ok(gauge)) = family.map(|it| it.get_metric_with_label_values(&labels)) {
                    gauge.set(sample.value);
                }
            }
        }
        self.families.iter().flat_map(Collector::collect).collect()
    }
}
