//! Why a pod is nowhere, or a worker still there, from what the last pass saw; read off the same rules that decide.

use super::candidates::{self, Candidate};
use super::demand;
use super::fit::{self, Grower, Predicate, Room};
use super::new_nodes;
use super::scene::Scene;
use crate::config::{ClusterConfig, PoolConfig};
use crate::model::{
    Cordon, Decision, Explanation, InstanceId, Memory, Node, NodeName, Observed, Pin, Placement,
    Plan, Pod, PodKind, Readiness, Reason, Subject, Worker, WorkerState, duration,
};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// How many names one line tells.
const NAMES: usize = 3;

/// What is known of a pod or a node, and what would change it. `None` where the view does not hold it, or there is none.
pub fn explain(
    subject: &Subject,
    observed: &Observed,
    memory: &Memory,
    limits: &ClusterConfig,
    plan: &Plan,
) -> Option<Explanation> {
    let scene = Scene::new(observed, &[], memory, limits, plan.at);
    let view = observed.cluster.known()?;
    let explanation = match subject {
        Subject::Pod { namespace, name } => {
            let mut pods = view.pods();
            let pod = pods.find(|pod| pod.name == *name && pod.spec.namespace == *namespace)?;
            of_pod(&scene, pod)
        }
        Subject::Node(name) => match view.nodes().find(|node| node.at.name == *name) {
            Some(node) => of_node(&scene, node),
            None => without_a_node(&scene, name)?,
        },
    };
    let decided = plan.decisions.iter().map(decided).collect();
    Some(Explanation { subject: subject.to_string(), decided, ..explanation })
}

fn decided(decision: &Decision) -> String {
    let (pool, reason) = (&decision.pool, &decision.reason);
    format!("pool {pool} has {}, wants {}: {reason}", decision.have, decision.want)
}

fn said(state: String) -> Explanation {
    let (subject, why) = (String::new(), Vec::new());
    Explanation { subject, state, why, helps: Vec::new(), decided: Vec::new() }
}

// === pods ===

fn of_pod(scene: &Scene<'_>, pod: &Pod) -> Explanation {
    match &pod.placement {
        Placement::Bound(node) => placed(scene, pod, node),
        Placement::Gated => {
            said("waits for its scheduling gates: nobody looks for a node yet".to_owned())
        }
        Placement::Waiting | Placement::OtherScheduler => {
            waiting(scene, pod, "waits for the scheduler's verdict".to_owned())
        }
        Placement::Unschedulable { since } => {
            waiting(scene, pod, format!("waits for a node for {}", ago(*since, scene.now)))
        }
    }
}

fn ago(since: Timestamp, now: Timestamp) -> String {
    duration::format(std::time::Duration::from_secs(duration::since(since, now).as_secs()))
}

fn placed(scene: &Scene<'_>, pod: &Pod, node: &NodeName) -> Explanation {
    let pinned = |pin: &Pin| Reason::PodPinned { pod: fit::name(pod), pin: pin.clone() };
    let pins = pod.pins.iter().map(|pin| pinned(pin).to_string());
    let elsewhere = match pod.kind {
        PodKind::Daemon | PodKind::Mirror => {
            "it needs no other place: it goes with its node".to_owned()
        }
        PodKind::Normal => {
            let mut room = scene.room().clone();
            room.vacate(node);
            match fit::all_fit(std::iter::once(pod), &mut room) {
                Ok(()) => "there is room for it elsewhere".to_owned(),
                Err(_) => "there is no room for it elsewhere, so its node stays".to_owned(),
            }
        }
    };
    let why = pins.chain([elsewhere]).collect();
    Explanation { why, ..said(format!("is on node {node}")) }
}

fn waiting(scene: &Scene<'_>, pod: &Pod, state: String) -> Explanation {
    let growers: Vec<(&PoolConfig, Grower<'_>)> =
        scene.limits.configured().map(|pool| (pool, new_nodes::grower(scene, pool))).collect();
    // One copy for all that is asked: of a large cluster it takes its time.
    let mut room = scene.room().clone();
    let forbidden = by_predicate(&mut room, pod);
    let helps =
        growers.iter().map(|(pool, grower)| would_grow(scene, (pool, grower), pod, &mut room));
    let helps = helps.collect();
    Explanation {
        why: no_need(scene, pod).into_iter().chain(forbidden).collect(),
        helps,
        ..said(state)
    }
}

/// Why nothing is launched for a pod, whatever would host it.
fn no_need(scene: &Scene<'_>, pod: &Pod) -> Option<String> {
    if scene.is_expendable(pod) {
        let (is, below) = (pod.spec.priority, scene.limits.expendable_below);
        return Some(format!(
            "nothing is launched for it: its priority {is} is below `expendable_below` ({below})"
        ));
    }
    if let Some(until) = demand::unhelpable_until(scene, pod) {
        return Some(format!("workers were launched for it in vain: nothing more until {until}"));
    }
    demand::is_launched_for(scene, pod)
        .then(|| "a worker was launched for it; whether that helps is not known yet".to_owned())
}

/// What forbids it the nodes there are, the commonest first.
fn by_predicate<'a>(room: &mut Room<'a>, pod: &'a Pod) -> Vec<String> {
    let mut nodes: BTreeMap<Option<Predicate>, Vec<&NodeName>> = BTreeMap::new();
    for (node, forbidding) in fit::first_of_each(room, pod) {
        nodes.entry(forbidding).or_default().push(node);
    }
    let mut nodes: Vec<_> = nodes.into_iter().collect();
    nodes.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let line = |(predicate, names): (Option<Predicate>, Vec<&NodeName>)| {
        let words = predicate.map_or("there is room for it", Predicate::words);
        format!("{} node(s): {words} ({})", names.len(), some(&names))
    };
    nodes.into_iter().map(line).collect()
}

fn some(names: &[&NodeName]) -> String {
    let told: Vec<String> = names.iter().take(NAMES).map(ToString::to_string).collect();
    let more = names.len().saturating_sub(NAMES);
    if more == 0 { told.join(", ") } else { format!("{}, and {more} more", told.join(", ")) }
}

/// Whether a pool could host a pod, and whether it may grow.
fn would_grow<'a>(
    scene: &Scene<'_>,
    (pool, grower): (&PoolConfig, &'a Grower<'a>),
    pod: &'a Pod,
    room: &mut Room<'a>,
) -> String {
    let best = fit::best_for(pod, room, grower, &scene.limits.expanders);
    let name = &pool.name;
    match best {
        Some(chosen) if grower.room == 0 => {
            format!(
                "pool {name}: a new {} would host it, but it is at `max` ({})",
                chosen.shape, pool.max
            )
        }
        Some(chosen) => {
            let zone = chosen.zone.map(|zone| format!(" in zone {zone}")).unwrap_or_default();
            format!("pool {name}: a new {}{zone} would host it", chosen.shape)
        }
        None => {
            let why = fit::why_none(pod, room, grower);
            format!("pool {name}: no new worker would host it: {why}")
        }
    }
}

// === nodes ===

fn of_node<'a>(scene: &Scene<'a>, node: &'a Node) -> Explanation {
    let Some(worker) = scene.record_of(node) else {
        let what = if node.control_plane { "carries the control plane" } else { "is none of ours" };
        return said(format!("{what}; it is {}", state_of(node, scene.now)));
    };
    let state = format!(
        "worker {} of pool {}: {} for {}; the node is {}",
        worker.id,
        worker.pool,
        worker.state.name(),
        ago(worker.since, scene.now),
        state_of(node, scene.now),
    );
    let (why, helps) = keeps(scene, worker, node);
    Explanation { why, helps, ..said(state) }
}

/// A worker or a machine by this name, that has no node: why it did not join, its console may say.
fn without_a_node(scene: &Scene<'_>, name: &NodeName) -> Option<Explanation> {
    let is_it = |worker: &&Worker| {
        let machine = worker.instance.as_ref().map(InstanceId::as_str);
        [Some(worker.id.as_str()), machine].contains(&Some(name.as_str()))
    };
    let mut named: Vec<&Worker> = scene.memory.workers.values().filter(is_it).collect();
    named.sort_by_key(|worker| worker.is_live());
    let worker = named.pop()?;
    let machine = worker.instance.as_ref().map_or("none", InstanceId::as_str);
    let state = format!(
        "worker {} of pool {}: {} for {}, without a node; its machine is {machine}",
        worker.id,
        worker.pool,
        worker.state.name(),
        ago(worker.since, scene.now),
    );
    let words = worker.last_words.iter().flat_map(|words| words.lines());
    let why = words.map(|line| format!("its console: {line}")).collect();
    Some(Explanation { why, ..said(state) })
}

fn state_of(node: &Node, now: Timestamp) -> String {
    let ready = match node.readiness {
        Readiness::Ready => "Ready".to_owned(),
        Readiness::NotReady { since } => format!("not Ready for {}", ago(since, now)),
    };
    match node.cordon {
        Cordon::None => ready,
        Cordon::Ours => format!("{ready}, cordoned by us"),
        Cordon::Foreign => format!("{ready}, cordoned by somebody else"),
    }
}

/// What keeps a worker from going once an alert says idle, and what would let it go.
fn keeps<'a>(scene: &Scene<'a>, worker: &'a Worker, node: &'a Node) -> (Vec<String>, Vec<String>) {
    let Some(pool) = scene.pool(&worker.pool) else {
        return (
            vec!["its pool is not in the configuration: it is left alone".to_owned()],
            Vec::new(),
        );
    };
    if worker.state != WorkerState::Ready {
        return (Vec::new(), Vec::new());
    }
    let pods: Vec<&Pod> = scene.movable_on(&node.at.name).collect();
    let mut why = vec![format!("{} pod(s) would have to move", pods.len())];
    let mut kube_system = scene.memory.cluster.kube_system_since.clone();
    match candidates::keeps(scene, pool, worker, &mut kube_system) {
        Some(reason) => why.push(format!("it stays: {reason}")),
        None => match candidates::fits_without(scene, pool, &[Candidate { worker, node, pods }]) {
            Err(reason) => why.push(format!("it stays: {reason}")),
            Ok(()) => {
                return (why, vec!["an alert with `autoscale: down` may let it go".to_owned()]);
            }
        },
    }
    (why, Vec::new())
}
