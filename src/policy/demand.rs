//! The unschedulable pods of a cluster, packed once for all pools, and which pools may be grown for
//! them. Without an alert the packing is served only while no alert could come: no Alertmanager
//! answers, or the watchdog is silent.

use super::asks::Court;
use super::fit::{self, Bin, Grower, Packing};
use super::pauses;
use super::scene::Scene;
use crate::config::PoolConfig;
use crate::model::{
    Ask, Direction, Node, Pod, PodKind, PoolName, Reason, Resources, Shape, Signal, Uid, Worker,
    WorkerState,
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
        free: free.clone(),
        labels: &pool.node.labels,
        taints: &pool.node.taints,
    }));
    let shapes: BTreeMap<&PoolName, Vec<Shape>> =
        scene.limits.pools.iter().map(|(name, pool)| (name, shapes(scene, pool))).collect();
    let grower = |pool: &'a PoolConfig| Grower {
        pool: &pool.name,
        shapes: shapes.get(&pool.name).map_or(&[], Vec::as_slice),
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
/// already is counted by its node.
fn coming<'a>(scene: &Scene<'a>) -> Vec<(&'a PoolConfig, Resources)> {
    let is_open = |worker: &Worker| scene.node(worker).is_some_and(fit::is_open);
    let workers = scene.memory.workers.values().filter(|worker| worker.is_coming());
    workers
        .filter(|worker| !is_open(worker))
        .filter_map(|worker| {
            let pool = scene.pool(&worker.pool)?;
            let shape = shapes(scene, pool).into_iter().find(|shape| shape.name == worker.shape)?;
            Some((pool, shape.allocatable))
        })
        .collect()
}

/// What a pool could launch, less what its nodes keep for themselves and what daemon pods take.
pub(super) fn shapes(scene: &Scene<'_>, pool: &PoolConfig) -> Vec<Shape> {
    let known = scene.observed.shapes.get(&pool.name).and_then(|shapes| shapes.known());
    let mut shapes = known.cloned().unwrap_or_default();
    let daemons = daemons(scene, pool);
    for shape in &mut shapes {
        shape.allocatable.subtract(&pool.node.reserved);
        shape.allocatable.subtract(&daemons);
    }
    shapes
}

/// What daemon pods ask of a node of this pool: the most that any of its nodes bears now.
fn daemons(scene: &Scene<'_>, pool: &PoolConfig) -> Resources {
    let nodes = scene.view().map(|view| view.nodes.as_slice()).unwrap_or_default();
    let ours = nodes.iter().filter(|node| node.pool.as_ref() == Some(&pool.name));
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

/// Whether a Ready worker that was launched for a pod has room for it and yet keeps it off: a new node
/// is often tainted for a while. One need never launches twice; whether it helped is judged later.
fn is_watched(scene: &Scene<'_>, pod: &Pod) -> bool {
    let batches = scene.memory.pools.values().flat_map(|pool| &pool.watching);
    let batches = batches.filter(|(_, pods)| pods.contains(&pod.uid)).map(|(batch, _)| batch);
    let keeps_off = |worker: &Worker| {
        worker.state == WorkerState::Ready
            && scene.node(worker).is_some_and(|node| {
                let admits = fit::admits(&pod.spec, &node.labels, &node.taints).is_ok();
                !(admits && fit::is_open(node))
                    && pod.spec.requests.fits_in(&fit::free(scene, node))
            })
    };
    let mut workers = batches.flat_map(|batch| {
        scene.memory.workers.values().filter(move |worker| worker.batch.as_ref() == Some(batch))
    });
    workers.any(keeps_off)
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
