//! What a turn saw and decided, for people and machines: one value for the API, the gauges, the demo.

mod sensed;

use super::{Turn, Workers};
use crate::metrics::Metrics;
use crate::model::{
    BreakerState, ClusterName, ClusterView, Decision, Failure, Node, NodeName, PassId, PeerState,
    Plan, PoolName, Predictions, Reason, Resources, Signal, Silence, Transition, View, Worker,
    WorkerEvent, WorkerState, duration,
};
use crate::policy::{self, Sensors};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What one turn saw and decided.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The cluster.
    pub cluster: ClusterName,
    /// When.
    pub at: Timestamp,
    /// The turn.
    pub pass: PassId,
    /// Pools with their sizes and what was decided.
    pub pools: Vec<PoolReport>,
    /// Every worker that is not gone.
    pub workers: Vec<Worker>,
    /// Every node, ours or not; empty while unknown.
    pub nodes: Vec<NodeReport>,
    /// Pods without a node; `None` while unknown.
    pub pending_pods: Option<usize>,
    /// Signals, each with whether it counts.
    pub signals: Vec<SignalReport>,
    /// Silences that mute something of ours now, remembered ones included.
    pub pauses: Vec<Silence>,
    /// Each Alertmanager.
    pub alertmanagers: Vec<PeerState>,
    /// Faults of the set-up, and what is unknown, for people.
    pub findings: Vec<String>,
    /// The whole plan.
    pub plan: Plan,
}

/// One node, and what its pods ask of it.
#[derive(Clone, Debug, Serialize)]
pub struct NodeReport {
    /// The node.
    #[serde(flatten)]
    pub node: Arc<Node>,
    /// What its pods ask for together; `pods` is how many there are.
    pub requested: Resources,
    /// What is left of what it offers.
    pub free: Resources,
}

/// One pool.
#[derive(Clone, Debug, Serialize)]
pub struct PoolReport {
    /// Its name.
    pub pool: PoolName,
    /// Fewest.
    pub min: u32,
    /// Most.
    pub max: u32,
    /// Workers by state.
    pub states: BTreeMap<&'static str, u32>,
    /// The last decision.
    pub decision: Decision,
    /// The reason in words.
    pub why: String,
    /// What its workers cost per hour, as far as prices are known.
    pub price_per_hour: String,
}

/// One signal, and whether it counts.
#[derive(Clone, Debug, Serialize)]
pub struct SignalReport {
    /// The signal.
    pub signal: Signal,
    /// Whether it counts now.
    pub counts: bool,
    /// If not, why not.
    pub why: Option<Reason>,
    /// The same in words.
    pub words: String,
}

/// The report of a turn.
pub(super) fn report(turn: &Turn<'_>, workers: &Workers) -> Report {
    let view = turn.observed.cluster.known();
    Report {
        cluster: turn.limits.name.clone(),
        at: turn.now,
        pass: turn.pass.clone(),
        pools: turn.plan.decisions.iter().map(|decision| pool(turn, decision, workers)).collect(),
        workers: workers.values().filter(|worker| worker.is_live()).cloned().collect(),
        nodes: view.map(nodes).unwrap_or_default(),
        pending_pods: view.map(|view| view.pods().filter(|pod| pod.node().is_none()).count()),
        signals: signals(turn),
        pauses: pauses(turn),
        alertmanagers: turn.observed.truth.peers.clone(),
        findings: findings(turn),
        plan: turn.plan.clone(),
    }
}

fn nodes(view: &ClusterView) -> Vec<NodeReport> {
    let mut requested: HashMap<&NodeName, Resources> = HashMap::new();
    for pod in view.pods() {
        if let Some(node) = pod.node() {
            requested.entry(node).or_default().add(&pod.spec.requests);
        }
    }
    let told = |node: &Arc<Node>| {
        let requested = requested.remove(&node.at.name).unwrap_or_default();
        let mut free = node.allocatable.clone();
        free.subtract(&requested);
        NodeReport { node: node.clone(), requested, free }
    };
    view.nodes.iter().map(told).collect()
}

fn pool(turn: &Turn<'_>, decision: &Decision, workers: &Workers) -> PoolReport {
    let config = turn.limits.pools.get(&decision.pool);
    let workers =
        || workers.values().filter(|worker| worker.pool == decision.pool && worker.is_live());
    let mut states = BTreeMap::new();
    for worker in workers() {
        *states.entry(worker.state.name()).or_default() += 1;
    }
    let price = workers().filter_map(|worker| price_of(turn, worker)).sum();
    PoolReport {
        pool: decision.pool.clone(),
        min: config.map_or(0, |pool| pool.min),
        max: config.map_or(0, |pool| pool.max),
        states,
        why: decision.reason.to_string(),
        decision: decision.clone(),
        price_per_hour: crate::model::Price(price).to_string(),
    }
}

/// The price of a worker's own offering, where it is known.
fn price_of(turn: &Turn<'_>, worker: &Worker) -> Option<u64> {
    let shapes = turn.observed.shapes.get(&worker.pool)?.known()?;
    let offerings = shapes.iter().flat_map(|shape| &shape.offerings);
    let same = |offering: &&crate::model::Offering| {
        offering.shape == worker.shape
            && offering.zone == worker.zone
            && offering.market == worker.market
    };
    offerings.filter(same).find_map(|offering| offering.price).map(|price| price.0)
}

fn signals(turn: &Turn<'_>) -> Vec<SignalReport> {
    let standings =
        policy::standings(turn.signals, turn.observed, turn.memory, turn.limits, turn.now);
    let view = |(signal, standing): (&Signal, Result<(), Reason>)| SignalReport {
        signal: signal.clone(),
        counts: standing.is_ok(),
        words: standing.as_ref().err().map_or_else(|| "counts".to_owned(), ToString::to_string),
        why: standing.err(),
    };
    turn.signals.iter().zip(standings).map(view).collect()
}

fn pauses(turn: &Turn<'_>) -> Vec<Silence> {
    let muting = |silence: &&Silence| {
        silence.starts <= turn.now
            && turn.now < silence.ends
            && silence.state != crate::model::SilenceState::Expired
            && silence
                .matchers
                .iter()
                .any(|m| ["autoscale", "cluster", "pool", "alertname"].contains(&m.name.as_str()))
    };
    turn.plan.memory.silences.values().filter(muting).cloned().collect()
}

fn findings(turn: &Turn<'_>) -> Vec<String> {
    let mut findings = turn.observed.truth.findings.clone();
    for peer in &turn.observed.truth.peers {
        if let Some(error) = &peer.error {
            findings.push(format!("alertmanager {}: {error}", peer.url));
        }
    }
    if let View::Unknown { why } = &turn.observed.cluster {
        findings.push(format!("cluster unknown: {why}"));
    }
    findings.extend(not_foreseen(&turn.plan.memory.predictions));
    for (pool, list) in &turn.observed.instances {
        if let View::Unknown { why } = list {
            findings.push(format!("instances of pool {pool} unknown: {why}"));
        }
    }
    findings
}

/// That need is not foreseen any more, and what to do about it.
fn not_foreseen(predictions: &Predictions) -> Option<String> {
    let Predictions { right, wrong, off } = predictions;
    off.as_ref()?;
    let all = right.saturating_add(*wrong);
    Some(format!(
        "need is not foreseen any more: {wrong} of {all} pods that it was foreseen for found a place on nodes that were \
         there; it is again once the cluster's configuration changes, `pending.predict: false` keeps it off"
    ))
}

/// Sets every gauge from the whole view of this turn; what vanished vanishes.
pub(super) fn gauges(
    metrics: &Metrics,
    turn: &Turn<'_>,
    workers: &Workers,
    sensors: Option<&Sensors>,
) {
    let cluster = turn.limits.name.as_str();
    forget_pools(metrics, turn, workers);
    decisions(metrics, turn, cluster);
    became_ready(metrics, turn);
    by_state(metrics, turn, workers);
    metrics.sensed.set(cluster, sensed::samples(turn, sensors));
    for direction in ["up", "down", "replace", "watchdog", "manual"] {
        let count = turn
            .signals
            .iter()
            .filter(|signal| signal.direction().to_string() == direction)
            .count();
        metrics.seen.signals.with_label_values(&[cluster, direction]).set(to_i64(count));
    }
    let truth = &turn.observed.truth;
    #[expect(clippy::cast_precision_loss, reason = "a handful of Alertmanagers")]
    let share = truth.answered() as f64 / truth.peers.len().max(1) as f64;
    metrics.seen.alertmanager.with_label_values(&[cluster]).set(share);
}

/// Pools of the file, and those that left it as long as they have workers.
fn shown_pools<'a>(turn: &'a Turn<'_>, workers: &'a Workers) -> BTreeSet<&'a PoolName> {
    let live = workers.values().filter(|worker| worker.is_live()).map(|worker| &worker.pool);
    turn.limits.pools.keys().chain(live).collect()
}

/// A pool that left the file has no bounds any more; one without workers has nothing.
fn forget_pools(metrics: &Metrics, turn: &Turn<'_>, workers: &Workers) {
    let (seen, cluster, shown) =
        (&metrics.seen, turn.limits.name.as_str(), shown_pools(turn, workers));
    let left = turn.memory.pools.keys().filter(|pool| !turn.limits.pools.contains_key(*pool));
    for pool in left {
        let (name, is_shown) = (pool.as_str(), shown.contains(pool));
        for bound in if is_shown { &BOUNDS[..2] } else { &BOUNDS } {
            let _ = seen.pool.remove_label_values(&[cluster, name, bound]);
        }
        if is_shown {
            continue;
        }
        for state in WorkerState::NAMES {
            let _ = seen.workers.remove_label_values(&[cluster, name, state]);
        }
        let _ = seen.price.remove_label_values(&[cluster, name]);
        let _ = seen.breaker.remove_label_values(&[cluster, name]);
        let _ = seen.backed_off.remove_label_values(&[cluster, name]);
        let _ = seen.paused.remove_label_values(&[cluster, name]);
    }
}

fn became_ready(metrics: &Metrics, turn: &Turn<'_>) {
    for transition in &turn.plan.transitions {
        if let Transition::Move { worker, event: WorkerEvent::BecameReady, .. } = transition
            && let Some(worker) = turn.memory.workers.get(worker)
            // One that joined anew was Ready long ago.
            && worker.ready.is_none()
        {
            let took = duration::since(worker.created, turn.now);
            metrics.pass.ready_seconds.observe(took.as_secs_f64());
        }
    }
}

fn decisions(metrics: &Metrics, turn: &Turn<'_>, cluster: &str) {
    for decision in &turn.plan.decisions {
        let pool = decision.pool.as_str();
        let verdict = match decision.verdict {
            crate::model::Verdict::Launch { .. } => "launch",
            crate::model::Verdict::Drain { .. } => "drain",
            crate::model::Verdict::Hold => "hold",
        };
        metrics
            .pass
            .decisions
            .with_label_values(&[cluster, pool, verdict, decision.reason.code()])
            .inc();
        let bound = |name: &str, value: u32| {
            metrics.seen.pool.with_label_values(&[cluster, pool, name]).set(i64::from(value));
        };
        bound("have", decision.have);
        bound("want", decision.want);
        if let Some(config) = turn.limits.pools.get(&decision.pool) {
            bound("min", config.min);
            bound("max", config.max);
        }
        let state =
            turn.plan.pools.get(&decision.pool).or_else(|| turn.memory.pools.get(&decision.pool));
        let breaker = state.map(|memory| memory.breaker).unwrap_or_default();
        let holds = breaker.retry_at.is_some_and(|until| turn.now < until);
        let breaker = match breaker.state {
            // Once its time is over it holds nothing: the next that is needed is tried.
            BreakerState::Open if holds => 1,
            BreakerState::Closed | BreakerState::Open => 0,
            BreakerState::HalfOpen => 2,
        };
        metrics.seen.breaker.with_label_values(&[cluster, pool]).set(breaker);
        // A rule sees that a counter grew only if it was there before.
        for failure in Failure::ALL {
            metrics.pass.failed.with_label_values(&[cluster, pool, failure.name()]).inc_by(0);
        }
        metrics.pass.given_up.with_label_values(&[cluster, pool]).inc_by(0);
        let reasons = || std::iter::once(&decision.reason).chain(&decision.also);
        let off = reasons().filter(|reason| matches!(reason, Reason::BackedOff { .. })).count();
        let off = i64::try_from(off).unwrap_or(i64::MAX);
        metrics.seen.backed_off.with_label_values(&[cluster, pool]).set(off);
        let paused = reasons().any(|reason| matches!(reason, Reason::Paused { .. }));
        metrics.seen.paused.with_label_values(&[cluster, pool]).set(i64::from(paused));
    }
}

fn by_state(metrics: &Metrics, turn: &Turn<'_>, workers: &Workers) {
    let cluster = turn.limits.name.as_str();
    let mut counts: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    let mut prices: BTreeMap<&str, u64> = BTreeMap::new();
    for worker in workers.values().filter(|worker| worker.is_live()) {
        *counts.entry((worker.pool.as_str(), worker.state.name())).or_default() += 1;
        *prices.entry(worker.pool.as_str()).or_default() += price_of(turn, worker).unwrap_or(0);
    }
    for pool in shown_pools(turn, workers) {
        for state in WorkerState::NAMES {
            let count = counts.get(&(pool.as_str(), state)).copied().unwrap_or(0);
            metrics.seen.workers.with_label_values(&[cluster, pool.as_str(), state]).set(count);
        }
        #[expect(clippy::cast_precision_loss, reason = "money per hour")]
        let price = prices.get(pool.as_str()).copied().unwrap_or(0) as f64 / 1e6;
        metrics.seen.price.with_label_values(&[cluster, pool.as_str()]).set(price);
    }
}

/// The file's own bounds first.
const BOUNDS: [&str; 4] = ["min", "max", "have", "want"];

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_need_is_not_foreseen_any_more_is_told_with_its_mend() {
        let mut predictions = Predictions { right: 110, wrong: 2, off: None };
        assert_eq!(not_foreseen(&predictions), None);
        predictions.off = Some("a configuration".to_owned());
        let told = not_foreseen(&predictions).unwrap();
        assert!(told.contains("2 of 112") && told.contains("`pending.predict: false`"), "{told}");
    }
}
