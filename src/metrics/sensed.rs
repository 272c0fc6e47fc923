//! What each cluster's sensors told last. Set whole for one cluster at a time, so that what vanished vanishes.

use super::Families;
use prometheus::GaugeVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// A family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

    fn family(self, f: &Families<'_>) -> GaugeVec {
        match self {
            Self::Nodes => {
                f.gauges("nodes", "Nodes of ours by state.", &["cluster", "pool", "state", "zone"])
            }
            Self::UnschedulablePods => f.gauges(
                "unschedulable_pods",
                "Pods without a place, by whether a worker helps, and why not.",
                &["cluster", "pool", "helpable", "reason"],
            ),
            Self::OldestUnschedulable => f.gauges(
                "oldest_unschedulable_seconds",
                "How long the oldest pod has waited that a worker would help.",
                &["cluster"],
            ),
            Self::Allocatable => f.gauges(
                "allocatable",
                "What nodes that take new pods have for pods.",
                &["cluster", "pool", "resource"],
            ),
            Self::Requested => f.gauges(
                "requested",
                "What the pods on nodes that take new pods ask for.",
                &["cluster", "pool", "resource"],
            ),
            Self::RemovableWorkers => f.gauges(
                "removable_workers",
                "Ready workers that neither their record nor a pod of theirs keeps.",
                &["cluster", "pool"],
            ),
            Self::ViewAge => {
                f.gauges("view_age_seconds", "How old the view of the cluster is.", &["cluster"])
            }
        }
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
#[derive(Debug)]
pub struct Sensed {
    families: Vec<GaugeVec>,
    told: Mutex<BTreeMap<String, Vec<Sample>>>,
}

impl Sensed {
    pub(super) fn new(families: &Families<'_>) -> Self {
        let families = Sensor::ALL.iter().map(|sensor| sensor.family(families)).collect();
        Self { families, told: Mutex::default() }
    }

    /// Takes what one cluster's sensors tell now in place of what they told before; nothing while it is unknown.
    pub fn set(&self, cluster: &str, samples: Vec<Sample>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for sample in &samples {
            if let Ok(gauge) =
                self.of(sample).get_metric_with_label_values(&labels(cluster, sample))
            {
                gauge.set(sample.value);
            }
        }
        let now: BTreeSet<_> = samples.iter().map(|it| (it.of, &it.labels)).collect();
        for old in told.get(cluster).into_iter().flatten() {
            if !now.contains(&(old.of, &old.labels)) {
                let _ = self.of(old).remove_label_values(&labels(cluster, old));
            }
        }
        told.insert(cluster.to_owned(), samples);
    }

    fn of(&self, sample: &Sample) -> &GaugeVec {
        &self.families[sample.of as usize]
    }
}

fn labels<'s>(cluster: &'s str, sample: &'s Sample) -> Vec<&'s str> {
    std::iter::once(cluster).chain(sample.labels.iter().map(String::as_str)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn nodes(zone: &str, value: f64) -> Sample {
        let labels = ["workers", "ready", zone].map(str::to_owned).into();
        Sample { of: Sensor::Nodes, labels, value }
    }

    #[test]
    fn what_a_cluster_does_not_tell_any_more_vanishes_and_nothing_of_another() {
        let metrics = Metrics::new();
        let told = || {
            let text = metrics.encode();
            let lines = text.lines().filter(|line| line.starts_with("bellwether_nodes{"));
            lines.map(|line| line.replace("bellwether_nodes", "")).collect::<Vec<_>>()
        };
        metrics.sensed.set("one", vec![nodes("a", 1.0), nodes("b", 2.0)]);
        metrics.sensed.set("two", vec![nodes("a", 3.0)]);
        let line = |cluster: &str, zone: &str, value: u32| {
            format!(
                "{{cluster=\"{cluster}\",pool=\"workers\",state=\"ready\",zone=\"{zone}\"}} {value}"
            )
        };
        assert_eq!(told(), [line("one", "a", 1), line("one", "b", 2), line("two", "a", 3)]);
        metrics.sensed.set("one", vec![nodes("b", 5.0)]);
        assert_eq!(told(), [line("one", "b", 5), line("two", "a", 3)]);
        metrics.sensed.set("one", Vec::new());
        assert_eq!(told(), [line("two", "a", 3)]);
    }

    #[test]
    fn each_sensor_is_of_its_own_family() {
        for (at, sensor) in Sensor::ALL.into_iter().enumerate() {
            assert_eq!(sensor as usize, at, "{sensor:?}");
        }
    }
}
