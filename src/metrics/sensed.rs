//! What each cluster's sensors told last. Set whole for one cluster at a time, so that what vanished vanishes.

use super::Families;
use prometheus::GaugeVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long what was told counts. A loop that hangs, or is cut off from its store, would tell it for ever.
const LASTS: Duration = Duration::from_mins(2);

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
    /// `bellwether_predictions{cluster,outcome}`.
    Predictions,
    /// `bellwether_prediction_on{cluster}`.
    PredictionOn,
}

impl Sensor {
    const ALL: [Self; 9] = [
        Self::Nodes,
        Self::UnschedulablePods,
        Self::OldestUnschedulable,
        Self::Allocatable,
        Self::Requested,
        Self::RemovableWorkers,
        Self::ViewAge,
        Self::Predictions,
        Self::PredictionOn,
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
            Self::Predictions => f.gauges(
                "predictions",
                "Pods launched for before the scheduler had judged them, of late: was that right?",
                &["cluster", "outcome"],
            ),
            Self::PredictionOn => f.gauges(
                "prediction_on",
                "Whether need is foreseen: 0 where it is switched off, or was wrong too often.",
                &["cluster"],
            ),
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
    told: Mutex<BTreeMap<String, Told>>,
}

/// What one cluster's sensors told.
#[derive(Debug)]
struct Told {
    at: Instant,
    samples: Vec<Sample>,
}

impl Sensed {
    pub(super) fn new(families: &Families<'_>) -> Self {
        let families = Sensor::ALL.iter().map(|sensor| sensor.family(families)).collect();
        Self { families, told: Mutex::default() }
    }

    /// Takes what one cluster's sensors tell now in place of what they told before; nothing while it is unknown.
    pub fn set(&self, cluster: &str, samples: Vec<Sample>) {
        let mut told = self.lock();
        for sample in &samples {
            if let Ok(gauge) =
                self.of(sample).get_metric_with_label_values(&labels(cluster, sample))
            {
                gauge.set(sample.value);
            }
        }
        let now: BTreeSet<_> = samples.iter().map(|it| (it.of, &it.labels)).collect();
        for old in told.get(cluster).into_iter().flat_map(|told| &told.samples) {
            if !now.contains(&(old.of, &old.labels)) {
                self.forget(cluster, old);
            }
        }
        told.insert(cluster.to_owned(), Told { at: Instant::now(), samples });
    }

    /// Lets what was told grow old, before it is read: the view is older by now, and what is too old is gone.
    pub(super) fn age(&self) {
        let mut all = self.lock();
        for (cluster, told) in all.iter_mut() {
            let passed = told.at.elapsed();
            if passed > LASTS {
                told.samples.drain(..).for_each(|old| self.forget(cluster, &old));
            }
            for view in told.samples.iter().filter(|sample| sample.of == Sensor::ViewAge) {
                let gauge = self.of(view).get_metric_with_label_values(&labels(cluster, view));
                let _ = gauge.map(|gauge| gauge.set(view.value + passed.as_secs_f64()));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn forget(&self, cluster: &str, sample: &Sample) {
        let _ = self.of(sample).remove_label_values(&labels(cluster, sample));
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

    #[tokio::test(start_paused = true)]
    async fn what_was_told_grows_old_and_is_gone_when_it_is_too_old() {
        let metrics = Metrics::new();
        let age = || {
            let text = metrics.encode();
            let line = text.lines().find(|line| line.starts_with("bellwether_view_age_seconds{"));
            line.and_then(|line| line.rsplit(' ').next().map(str::to_owned))
        };
        let view = Sample { of: Sensor::ViewAge, labels: Vec::new(), value: 3.0 };
        metrics.sensed.set("one", vec![view.clone()]);
        assert_eq!(age().as_deref(), Some("3"));
        tokio::time::advance(LASTS).await;
        assert_eq!(age().as_deref(), Some("123"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(age(), None);
        metrics.sensed.set("one", vec![view]);
        assert_eq!(age().as_deref(), Some("3"));
    }

    #[test]
    fn each_sensor_is_of_its_own_family() {
        for (at, sensor) in Sensor::ALL.into_iter().enumerate() {
            assert_eq!(sensor as usize, at, "{sensor:?}");
        }
    }
}
