//! The unschedulable pods of a cluster, packed once for all pools, and which pools may be grown for
//! them. Without an alert the packing is served only while no alert could come: no Alertmanager
//! answers, or the watchdog is silent.

use super::asks::Court;
use super::fit::{self, Bin, Grower, NewNode, Packing};
use super::pauses;
use super::scene::Scene;
use crate::config::PoolConfig;
use crate::model::{
    Ask, ClusterView, Direction, Node, Pod, PodKind, PoolName, Reason, Resources, Shape, Signal,
    Uid, Worker, WorkerState,
};
use std::collections::{BTreeMap, HashSet};

/// The unschedulable pods of the cluster, packed once for all pools.
pub(super) struct Demand<'a> {
    pub(super) packing: Packing,
    /// Pods that would be helped, absorbed ones included.
    pub(super) helpable: usize,
    pub(super) unhelpable: usize,
    pub(super) pending: Vec<&'a Pod>,
}

/// Packs the unschedulable pods: onto what is there and coming, then onto new workers of the pools
/// that are open.
pub(super) fn demand<'a>(scene: &Scene<'a>, open: &HashSet<PoolName>) -> Demand<'a> {
    let (pods, unhelpable): (Vec<&Pod>, Vec<&Pod>) =
        scene.unschedulable().into_iter().partition(|pod| !is_unhelpable(scene, pod));
    let watching = scene.memory.pools.values().flat_map(|pool| pool.watching.values().flatten());
    let launched_for: HashSet<&Uid> = watching.collect();
    let (watched, pods): (Vec<&Pod>, Vec<&Pod>) =
        pods.into_iter().partition(|pod| launched_for.contains(&pod.uid) && is_watched(scene, pod));
    let mut bins = fit::bins_without(scene, &[]);
    let coming: Vec<(&PoolConfig, Resources)> = coming(scene);
    bins.extend(coming.iter().map(|(pool, free)| Bin {
        pool: Some(&pool.name),
        free: free.clone(),
        labels: &pool.node.labels,
        taints: &pool.node.taints,
    }));
    // A pool that left the file can launch nothing.
    let nodes: BTreeMap<&PoolName, Vec<NewNode<'_>>> =
        scene.limits.configured().map(|pool| (&pool.name, new_nodes(scene, pool))).collect();
    let grower = |pool: &'a PoolConfig| Grower {
        pool: &pool.name,
        nodes: nodes.get(&pool.name).map_or(&[], Vec::as_slice),
        labels: &pool.node.labels,
        taints: &pool.node.taints,
        room: pool.max.saturating_sub(scene.have(&pool.name)),
    };
    let all: Vec<Grower<'_>> = scene.limits.pools.values().map(grower).collect();
    let growers: Vec<Grower<'_>> =
        scene.limits.pools.values().filter(|pool| open.contains(&pool.name)).map(grower).collect();
    let packing = fit::pack(&pods, bins, &growers, &all);
    let helpable = pods.len() + watched.len() - packing.unhostable.len();
    Demand { packing, helpable, unhelpable: unhelpable.len(), pending: pods }
}

/// Workers on their way are room already, with what their shape will offer. One whose node is open
/// already is counted by its node; one of a shape that is not known offers none.
fn coming<'a>(scene: &Scene<'a>) -> Vec<(&'a PoolConfig, Resources)> {
    let is_open = |worker: &Worker| scene.node(worker).is_some_and(fit::is_open);
    let workers = scene.memory.workers.values().filter(|worker| worker.is_coming());
    workers
        .filter(|worker| !is_open(worker))
        .filter_map(|worker| {
            let pool = scene.pool(&worker.pool)?;
            let mut nodes = new_nodes(scene, pool).into_iter();
            let node = nodes.find(|node| node.shape.name == worker.shape)?;
            Some((pool, node.allocatable))
        })
        .collect()
}

/// What a pool could launch, with what pods will be able to use of each.
pub(super) fn new_nodes<'a>(scene: &Scene<'a>, pool: &PoolConfig) -> Vec<NewNode<'a>> {
    let known = scene.observed.shapes.get(&pool.name).and_then(|shapes| shapes.known());
    let daemons = daemons(scene, pool);
    let promise = |shape: &'a Shape| {
        let mut allocatable = allocatable(scene, pool, shape);
        allocatable.subtract(&daemons);
        NewNode { shape, allocatable }
    };
    known.into_iter().flatten().map(promise).collect()
}

/// What a new node of a shape will have for pods: as much as the least of those there are; before there
/// is any, its capacity less what the configuration says that nodes keep for themselves.
fn allocatable(scene: &Scene<'_>, pool: &PoolConfig, shape: &Shape) -> Resources {
    let mut promised = shape.capacity.clone();
    promised.subtract(&pool.node.reserved);
    let alike = scene.workers(&pool.name).filter(|worker| worker.shape == shape.name);
    let real: Vec<&Resources> =
        alike.filter_map(|worker| Some(&scene.node(worker)?.allocatable)).collect();
    let least = |measure: fn(&Resources) -> u64| real.iter().map(|node| measure(node)).min();
    promised.cpu_milli = least(|node| node.cpu_milli).unwrap_or(promised.cpu_milli);
    promised.memory = least(|node| node.memory).unwrap_or(promised.memory);
    promised.pods = least(|node| node.pods).unwrap_or(promised.pods);
    // Devices show up on a node only when their plugin has started: fewer there mean nothing yet.
    for (name, count) in real.iter().flat_map(|node| &node.extended) {
        let promised = promised.extended.entry(name.clone()).or_default();
        *promised = (*promised).max(*count);
    }
    promised
}

/// What daemon pods ask of a node of this pool: the most that any of its nodes bears now.
fn daemons(scene: &Scene<'_>, pool: &PoolConfig) -> Resources {
    let nodes = scene.view().into_iter().flat_map(ClusterView::nodes);
    let ours = nodes.filter(|node| node.pool.as_ref() == Some(&pool.name));
    let asked = |node: &Node| {
        let mut sum = Resources::default();
        let pods = scene.pods_on(&node.at.name).iter();
        pods.filter(|pod| pod.kind != PodKind::Normal).for_each(|pod| sum.add(&pod.spec.requests));
        sum
    };
    ours.map(asked).max_by_key(|sum| (sum.cpu_milli, sum.memory)).unwrap_or_default()
}

fn is_unhelpable(scene: &Scene<'_>, pod: &Pod) -> bool {
    let pools = scene.memory.pools.values();
    pools.filter_map(|pool| pool.unhelpable.get(&pod.uid)?.until).any(|until| scene.now < until)
}

/// Whether a worker was launched for a pod and it is not known yet whether that helps. One need never
/// launches twice; whether it helped is judged later.
fn is_watched(scene: &Scene<'_>, pod: &Pod) -> bool {
    let batches = scene.memory.pools.values().flat_map(|pool| &pool.watching);
    let batches = batches.filter(|(_, pods)| pods.contains(&pod.uid)).map(|(batch, _)| batch);
    let mut workers = batches.flat_map(|batch| {
        scene.memory.workers.values().filter(move |worker| worker.batch.as_ref() == Some(batch))
    });
    workers.any(|worker| is_of_unknown_shape(scene, worker) || keeps_off(scene, worker, pod))
}

/// Whether a worker is on its way whose shape is not known any more, so that its room is not either.
fn is_of_unknown_shape(scene: &Scene<'_>, worker: &Worker) -> bool {
    let is_known = |pool: &PoolConfig| {
        new_nodes(scene, pool).iter().any(|node| node.shape.name == worker.shape)
    };
    worker.is_coming() && !scene.pool(&worker.pool).is_some_and(is_known)
}

/// Whether a Ready worker has room for a pod and yet keeps it off: a new node is often tainted for a
/// while.
fn keeps_off(scene: &Scene<'_>, worker: &Worker, pod: &Pod) -> bool {
    worker.state == WorkerState::Ready
        && scene.node(worker).is_some_and(|node| {
            let admits = fit::admits(&pod.spec, &node.labels, &node.taints).is_ok();
            !(admits && fit::is_open(node)) && pod.spec.requests.fits_in(&fit::free(scene, node))
        })
}

/// Pools whose packing is served: an up-alert counts for them, an operator asks, or no alert could
/// come at all. Never one whose growing is paused.
pub(super) fn open_pools(scene: &Scene<'_>, court: &Court<'_>) -> HashSet<PoolName> {
    let blind = scene.observed.truth.answered() == 0 || court.watchdog_alive().is_err();
    let is_open = |pool: &&PoolName| {
        let alerts = ups(scene, court, pool).any(|(_, standing)| standing.is_ok());
        let asked = blind || alerts || asked_by_hand(scene, court, pool);
        let labels = scene.labels("up", pool);
        asked && pauses::check(&labels, court.memory, court.truth, scene.now).is_ok()
    };
    scene.limits.pools.keys().filter(is_open).cloned().collect()
}

fn asked_by_hand(scene: &Scene<'_>, court: &Court<'_>, pool: &PoolName) -> bool {
    scene.signals.iter().any(|signal| {
        matches!(signal.ask, Ask::Scale { by: 1.. })
            && court.pool_of(signal).as_ref() == Some(pool)
            && court.standing(signal).is_ok()
    })
}

/// Up-alerts that speak for a pool (or for the whole cluster), each with its standing.
pub(super) fn ups<'s>(
    scene: &'s Scene<'_>,
    court: &'s Court<'_>,
    pool: &'s PoolName,
) -> impl Iterator<Item = (&'s Signal, Result<(), Reason>)> + 's {
    let up = scene.signals.iter().filter(|signal| signal.direction() == Direction::Up);
    let ours = up.filter(move |signal| signal.pool.as_ref().is_none_or(|name| name == pool));
    ours.map(|signal| (signal, court.standing(signal)))
}
