//! The sensors' numbers, as Prometheus scrapes them.

use super::super::Turn;
use crate::metrics::{Sample, Sensor};
use crate::model::{PoolName, Predictions, Resources};
use crate::policy::{PoolSensors, Sensors};

/// What a cluster's sensors tell. Nothing while it is unknown: a rule must not read an old number as a new one.
pub(super) fn samples(turn: &Turn<'_>, sensors: Option<&Sensors>) -> Vec<Sample> {
    let foreseen = || predictions(turn);
    sensors.map(|sensors| [all(sensors), foreseen()].concat()).unwrap_or_default()
}

fn predictions(turn: &Turn<'_>) -> Vec<Sample> {
    let Predictions { right, wrong, off } = &turn.plan.memory.predictions;
    let batches = turn.plan.pools.values().flat_map(|pool| pool.foreseen.values());
    let open = batches.map(|noted| u64::from(noted.launched_for)).sum();
    let is_on = turn.limits.pending.predict && off.is_none();
    [("open", open), ("right", u64::from(*right)), ("wrong", u64::from(*wrong))]
        .map(|(outcome, pods)| sample(Sensor::Predictions, [outcome.to_owned()], number(pods)))
        .into_iter()
        .chain([sample(Sensor::PredictionOn, [], number(is_on.into()))])
        .collect()
}

fn all(sensors: &Sensors) -> Vec<Sample> {
    let mut samples = vec![
        sample(Sensor::OldestUnschedulable, [], sensors.oldest.as_secs_f64()),
        sample(Sensor::ViewAge, [], sensors.view_age.as_secs_f64()),
    ];
    for (waiting, pods) in &sensors.unschedulable {
        let pool = waiting.pool.as_ref().map(ToString::to_string).unwrap_or_default();
        let helpable = if waiting.is_helpable { "yes" } else { "no" };
        let labels = [pool, helpable.to_owned(), waiting.reason.to_owned()];
        samples.push(sample(Sensor::UnschedulablePods, labels, number(*pods as u64)));
    }
    sensors.pools.iter().for_each(|(name, pool)| samples.extend(of_pool(name, pool)));
    samples
}

fn of_pool(name: &PoolName, pool: &PoolSensors) -> Vec<Sample> {
    let mut samples =
        vec![sample(Sensor::RemovableWorkers, [name.to_string()], number(pool.removable as u64))];
    for ((state, zone), nodes) in &pool.nodes {
        let zone = zone.as_ref().map(ToString::to_string).unwrap_or_default();
        let labels = [name.to_string(), state.name().to_owned(), zone];
        samples.push(sample(Sensor::Nodes, labels, number(*nodes as u64)));
    }
    for (of, amount) in
        [(Sensor::Allocatable, &pool.allocatable), (Sensor::Requested, &pool.requested)]
    {
        for (resource, value) in amounts(amount) {
            samples.push(sample(of, [name.to_string(), resource], value));
        }
    }
    samples
}

/// Each resource in the unit of kube-state-metrics: cores, bytes, pieces.
fn amounts(amount: &Resources) -> Vec<(String, f64)> {
    let plain = [
        ("cpu", number(amount.cpu_milli) / 1000.0),
        ("memory", number(amount.memory)),
        ("pods", number(amount.pods)),
    ];
    let extended = amount.extended.iter().map(|(name, count)| (name.clone(), number(*count)));
    plain.map(|(name, value)| (name.to_owned(), value)).into_iter().chain(extended).collect()
}

fn sample<const N: usize>(of: Sensor, labels: [String; N], value: f64) -> Sample {
    Sample { of, labels: labels.into(), value }
}

#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
