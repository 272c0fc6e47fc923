//! The unschedulable pods of a cluster, packed once for all pools, and which pools may be grown for
//! them. Without an alert the packing is served only while no alert could come: no Alertmanager
//! answers, or the watchdog is silent.

use super::asks::Court;
use super::fit::{self, Grower, NewNode, Packing, Room};
use super::scene::Scene;
use super::{foreseen, new_nodes, pauses};
use crate::model::{Ask, Direction, Pod, PoolName, Reason, Signal, Uid, Worker};
use jiff::Timestamp;
use std::collections::HashSet;

/// The unschedulable pods of the cluster, packed once for all pools.
pub(super) struct Demand<'a> {
    pub(super) packing: Packing,
    /// Pods that would be helped, absorbed ones included.
    pub(super) helpable: usize,
    /// Pods for which workers were launched that are not judged yet.
    pub(super) watched: Vec<&'a Pod>,
    /// Pods for which workers were launched in vain.
    pub(super) unhelpable: Vec<&'a Pod>,
    pub(super) pending: Vec<&'a Pod>,
    /// Pods that the scheduler has not judged, and for which there is a place.
    pub(super) placed: Vec<Uid>,
}

/// Packs the pods that may be need: onto what is there and coming, then onto new workers of the pools
/// that are open.
pub(super) fn demand<'a>(scene: &Scene<'a>, open: &HashSet<PoolName>) -> Demand<'a> {
    let (pods, unhelpable): (Vec<&Pod>, Vec<&Pod>) =
        scene.pending().into_iter().partition(|pod| unhelpable_until(scene, pod).is_none());
    let watching = scene.memory.pools.values().flat_map(|pool| pool.watching.values().flatten());
    let launched_for: HashSet<&Uid> = watching.collect();
    let (watched, pods): (Vec<&Pod>, Vec<&Pod>) =
        pods.into_iter().partition(|pod| launched_for.contains(&pod.uid) && is_watched(scene, pod));
    let mut room = scene.room().clone();
    coming(scene, &mut room);
    let all: Vec<Grower<'_>> =
        scene.limits.pools.values().map(|pool| new_nodes::grower(scene, pool)).collect();
    let open = scene.limits.pools.values().filter(|pool| open.contains(&pool.name));
    let growers: Vec<Grower<'_>> = open.map(|pool| new_nodes::grower(scene, pool)).collect();
    let mut packing = fit::pack(&pods, room, &growers, &all, &scene.limits.expanders);
    let (pods, placed) = foreseen::part(&pods, &mut packing);
    let helpable = pods.len() + watched.len() - packing.unhostable.len();
    Demand { packing, helpable, watched, unhelpable, pending: pods, placed }
}

/// Workers on their way are room already, with what their shape will offer. One whose node is open
/// already is counted by its node; one of a shape that is not known offers none.
fn coming<'s>(scene: &'s Scene<'_>, room: &mut Room<'s>) {
    let is_open = |worker: &Worker| scene.node(worker).is_some_and(fit::is_open);
    let workers = scene.memory.workers.values().filter(|worker| worker.is_coming());
    for worker in workers.filter(|worker| !is_open(worker)) {
        let Some(pool) = scene.pool(&worker.pool) else { continue };
        let node = scene.new_nodes(&pool.name).iter().find(|node| node.shape.name == worker.shape);
        if let Some(node) = node {
            // What has joined and is not open yet is no second place.
            if let Some(joined) = scene.node(worker) {
                room.hide(&joined.at.name);
            }
            room.open(node.bin(node.in_zone(&worker.zone), &pool.name, &pool.node.taints));
        }
    }
}

/// Until when a pod is no need, for workers were launched for it in vain.
pub(super) fn unhelpable_until(scene: &Scene<'_>, pod: &Pod) -> Option<Timestamp> {
    let pools = scene.memory.pools.values();
    let until = pools.filter_map(|pool| pool.unhelpable.get(&pod.uid)?.until).max();
    until.filter(|until| scene.now < *until)
}

/// Whether a worker was launched for a pod and it is not known yet whether that helps.
pub(super) fn is_launched_for(scene: &Scene<'_>, pod: &Pod) -> bool {
    let mut watched = scene.memory.pools.values().flat_map(|pool| pool.watching.values().flatten());
    watched.any(|uid| *uid == pod.uid)
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

/// Whether a worker is on its way whose shape is not sold any more where it is, so that its room is not known either.
fn is_of_unknown_shape(scene: &Scene<'_>, worker: &Worker) -> bool {
    let is_it = |node: &NewNode<'_>| {
        node.shape.name == worker.shape
            && node.sites.iter().any(|site| site.zone == Some(&worker.zone))
    };
    let is_known = |pool: &PoolName| scene.new_nodes(pool).iter().any(is_it);
    worker.is_coming() && !is_known(&worker.pool)
}

/// Whether a Ready worker has room for a pod and yet keeps it off: a new node is often tainted for a
/// while.
fn keeps_off(scene: &Scene<'_>, worker: &Worker, pod: &Pod) -> bool {
    worker.is_serving()
        && scene.node(worker).is_some_and(|node| {
            scene.room().bin(&node.at.name).is_some_and(|bin| bin.keeps_off(&pod.spec))
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
