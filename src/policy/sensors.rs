//! What alerting rules want to know of a cluster, beside what is decided: numbers, from the same view.

use super::candidates;
use super::demand::{self, Demand};
use super::fit::{self, Predicate};
use super::scene::Scene;
use crate::config::{ClusterConfig, PoolConfig};
use crate::model::{
    Cordon, Memory, Node, Observed, Placement, Pod, PodRef, PoolName, Readiness, Resources, Uid,
    View, Zone, duration,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// What there is and what is wanting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sensors {
    /// Unschedulable pods, whoever may grow. What there is none of stands with 0.
    pub unschedulable: BTreeMap<Waiting, usize>,
    /// Those that no worker would help, each with why.
    pub helpless: Vec<(PodRef, String)>,
    /// How long the oldest has waited of those that a worker would help.
    pub oldest: Duration,
    /// How old the view is.
    pub view_age: Duration,
    /// Each pool of the file, or with nodes.
    pub pools: BTreeMap<PoolName, PoolSensors>,
}

/// Why a pod waits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Waiting {
    /// The pool that would grow for it, if one would.
    pub pool: Option<PoolName>,
    /// Whether a worker helps, one to be launched or one that is there.
    pub is_helpable: bool,
    /// What it waits for, or what forbids it every new node: a word from a closed list (`docs/metrics.md`).
    pub reason: &'static str,
}

/// What a pool has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolSensors {
    /// Of nodes that take new pods.
    pub allocatable: Resources,
    /// By the pods on them.
    pub requested: Resources,
    /// Ready workers that neither their record nor a pod of theirs keeps. Whether their pods find room elsewhere is
    /// not asked.
    pub removable: usize,
    /// Nodes by state and zone. In each zone where there is any, every state stands.
    pub nodes: BTreeMap<(NodeState, Option<Zone>), usize>,
}

/// A node, as far as rules ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeState {
    /// It takes new pods.
    Ready,
    /// It says that it is not Ready, or nothing.
    NotReady,
    /// Ready, and somebody keeps new pods off.
    Cordoned,
}

impl NodeState {
    const ALL: [Self; 3] = [Self::Ready, Self::NotReady, Self::Cordoned];

    /// Its name as a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::NotReady => "not_ready",
            Self::Cordoned => "cordoned",
        }
    }

    fn of(node: &Node) -> Self {
        match (node.readiness, node.cordon) {
            (Readiness::NotReady { .. }, _) => Self::NotReady,
            (Readiness::Ready, Cordon::None) => Self::Ready,
            (Readiness::Ready, Cordon::Ours | Cordon::Foreign) => Self::Cordoned,
        }
    }
}

impl Sensors {
    /// Pools that would grow, each with the pods that it would grow for.
    pub fn would_grow(&self) -> impl Iterator<Item = (PoolName, usize)> + '_ {
        let waiting = self.unschedulable.iter().filter(|(_, pods)| **pods > 0);
        waiting.filter_map(|(waiting, pods)| Some((waiting.pool.clone()?, *pods)))
    }
}

/// The numbers of a cluster; none while it is unknown, for a rule must not read an old one as a new one.
pub fn sensors(
    observed: &Observed,
    memory: &Memory,
    limits: &ClusterConfig,
    now: Timestamp,
) -> Option<Sensors> {
    let View::Known { at, value } = &observed.cluster else { return None };
    let scene = Scene::new(observed, &[], memory, limits, now);
    let all = limits.pools.keys().cloned().collect();
    let demand = demand::demand(&scene, &all);
    let mut pools: BTreeMap<PoolName, PoolSensors> = limits
        .pools
        .values()
        .map(|pool| {
            (
                pool.name.clone(),
                PoolSensors { removable: removable(&scene, pool), ..PoolSensors::default() },
            )
        })
        .collect();
    for node in value.nodes().filter(|node| !node.control_plane) {
        if let Some(pool) = &node.pool {
            pools.entry(pool.clone()).or_default().count(&scene, node);
        }
    }
    pools.values_mut().for_each(PoolSensors::fill);
    Some(Sensors {
        unschedulable: unschedulable(limits, &demand),
        helpless: helpless(&scene, &demand),
        oldest: oldest(&demand, now),
        view_age: duration::since(*at, now),
        pools,
    })
}

/// Every reason stands, so that none that is missing is taken for none.
fn unschedulable(limits: &ClusterConfig, demand: &Demand<'_>) -> BTreeMap<Waiting, usize> {
    let waiting = |pool: Option<&PoolName>, is_helpable, reason| Waiting {
        pool: pool.cloned(),
        is_helpable,
        reason,
    };
    let packing = &demand.packing;
    let mut counts = BTreeMap::from([
        (waiting(None, true, "room"), packing.absorbed.len()),
        (waiting(None, true, "full"), packing.waiting.len()),
        (waiting(None, true, "starting"), demand.watched.len()),
        (waiting(None, false, "in_vain"), demand.unhelpable.len()),
        (waiting(None, false, "no_shape"), 0),
    ]);
    counts.extend(limits.pools.keys().map(|pool| (waiting(Some(pool), true, "worker"), 0)));
    // A new node is never closed.
    let forbidding = Predicate::ALL.into_iter().filter(|one| *one != Predicate::Closed);
    counts.extend(forbidding.map(|one| (waiting(None, false, one.name()), 0)));
    for bin in &packing.new {
        *counts.entry(waiting(Some(&bin.pool), true, "worker")).or_default() += bin.pods.len();
    }
    for pod in &packing.unhostable {
        let reason = pod.predicate.map_or("no_shape", Predicate::name);
        *counts.entry(waiting(None, false, reason)).or_default() += 1;
    }
    counts
}

fn helpless(scene: &Scene<'_>, demand: &Demand<'_>) -> Vec<(PodRef, String)> {
    let fits_none = demand.packing.unhostable.iter().map(|one| (one.pod.clone(), one.why.clone()));
    let in_vain = demand.unhelpable.iter().map(|pod| {
        let until = demand::unhelpable_until(scene, pod);
        let until = until.map(|until| format!(" until {until}")).unwrap_or_default();
        (pod.at(), format!("workers were launched for it in vain: none more{until}"))
    });
    fits_none.chain(in_vain).collect()
}

fn oldest(demand: &Demand<'_>, now: Timestamp) -> Duration {
    let hopeless: HashSet<&Uid> =
        demand.packing.unhostable.iter().map(|one| &one.pod.uid).collect();
    let pending = demand.pending.iter().filter(|pod| !hopeless.contains(&pod.uid));
    let since = |pod: &&Pod| match pod.placement {
        Placement::Unschedulable { since } => duration::since(since, now),
        Placement::Bound(_) | Placement::Waiting | Placement::OtherScheduler | Placement::Gated => {
            Duration::ZERO
        }
    };
    pending.chain(&demand.watched).map(since).max().unwrap_or_default()
}

fn removable(scene: &Scene<'_>, pool: &PoolConfig) -> usize {
    let mut kube_system = scene.memory.cluster.kube_system_since.clone();
    candidates::find(scene, pool, &mut kube_system, None).0.len()
}

impl PoolSensors {
    fn count(&mut self, scene: &Scene<'_>, node: &Node) {
        *self.nodes.entry((NodeState::of(node), node.zone.clone())).or_default() += 1;
        if fit::is_open(node) {
            self.allocatable.add(&node.allocatable);
            scene
                .pods_on(&node.at.name)
                .iter()
                .for_each(|pod| self.requested.add(&pod.spec.requests));
        }
    }

    /// Puts a 0 where there is none of a state.
    fn fill(&mut self) {
        let mut zones: HashSet<Option<Zone>> =
            self.nodes.keys().map(|(_, zone)| zone.clone()).collect();
        if zones.is_empty() {
            zones.insert(None);
        }
        for zone in zones {
            for state in NodeState::ALL {
                self.nodes.entry((state, zone.clone())).or_default();
            }
        }
    }
}
