//! Which workers may go, in which order, and what keeps each of the others.

use super::fit;
use super::scene::Scene;
use crate::config::{OrderBy, PoolConfig};
use crate::model::{
    Cordon, Instance, Market, Node, NodeName, Pin, Pod, Reason, Resources, Worker, WorkerId, Zone,
    duration,
};
use std::collections::BTreeMap;

/// A worker that may go.
#[derive(Clone, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) worker: &'a Worker,
    pub(super) node: &'a Node,
    /// Pods that must find another place.
    pub(super) pods: Vec<&'a Pod>,
}

/// Ready workers of a pool: those that may go, best first, and what keeps the others.
pub(super) fn find<'a>(
    scene: &Scene<'a>,
    pool: &PoolConfig,
    kube_system: &mut BTreeMap<WorkerId, jiff::Timestamp>,
    nominated: Option<&NodeName>,
) -> (Vec<Candidate<'a>>, Vec<(WorkerId, Box<Reason>)>) {
    let (mut candidates, mut blocked) = (Vec::new(), Vec::new());
    let ready =
        scene.workers(&pool.name).filter(|worker| worker.state == crate::model::WorkerState::Ready);
    for worker in ready {
        match judge(scene, pool, worker, kube_system) {
            Ok(candidate) => candidates.push(candidate),
            Err(reason) => blocked.push((worker.id.clone(), Box::new(reason))),
        }
    }
    sort(scene, pool, &mut candidates, nominated);
    (candidates, blocked)
}

/// What keeps a Ready worker, whatever others have room for.
pub(super) fn keeps<'a>(
    scene: &Scene<'a>,
    pool: &PoolConfig,
    worker: &'a Worker,
    kube_system: &mut BTreeMap<WorkerId, jiff::Timestamp>,
) -> Option<Reason> {
    judge(scene, pool, worker, kube_system).err()
}

fn judge<'a>(
    scene: &Scene<'a>,
    pool: &PoolConfig,
    worker: &'a Worker,
    kube_system: &mut BTreeMap<WorkerId, jiff::Timestamp>,
) -> Result<Candidate<'a>, Reason> {
    let judged = scene.node(worker).ok_or(Reason::NodeUnknown).and_then(|node| {
        by_record(scene, pool, worker, node)?;
        let pods: Vec<&Pod> = scene.movable_on(&node.at.name).collect();
        Ok((node, pinned(scene, pool, &pods), pods))
    });
    // The wait in kube-system runs from when nothing else holds the worker.
    if !matches!(judged, Ok((_, Some((_, Pin::KubeSystem)), _))) {
        kube_system.remove(&worker.id);
    }
    let (node, pin, pods) = judged?;
    match pin {
        None => {}
        Some((pod, Pin::KubeSystem)) => {
            let since = *kube_system.entry(worker.id.clone()).or_insert(scene.now);
            if duration::since(since, scene.now) < pool.evict.kube_system_after {
                return Err(Reason::PodPinned { pod: fit::name(pod), pin: Pin::KubeSystem });
            }
        }
        Some((pod, pin)) => return Err(Reason::PodPinned { pod: fit::name(pod), pin }),
    }
    Ok(Candidate { worker, node, pods })
}

/// What speaks against a worker whatever its pods are.
fn by_record(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    worker: &Worker,
    node: &Node,
) -> Result<(), Reason> {
    scene.undisputed(worker)?;
    not_permanent(pool, worker, node)?;
    not_kept(node)?;
    if !node.is_ready() {
        return Err(Reason::NotReadyNode);
    }
    if node.cordon != Cordon::None {
        return Err(Reason::ForeignCordon);
    }
    let old_enough = duration::after(worker.created, pool.min_age);
    if scene.now < old_enough {
        return Err(Reason::TooYoung { until: old_enough });
    }
    if scene.listed(worker, &scene.instances(&worker.pool)?)?.protected {
        return Err(Reason::Protected);
    }
    not_refused(scene, worker)
}

/// Whether a worker may leave for its replacement; idle or not, and of any age.
pub(super) fn may_be_replaced(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    worker: &Worker,
    node: &Node,
    instance: &Instance,
) -> Result<(), Reason> {
    scene.undisputed(worker)?;
    not_permanent(pool, worker, node)?;
    not_kept(node)?;
    if node.cordon == Cordon::Foreign {
        return Err(Reason::ForeignCordon);
    }
    if instance.protected {
        return Err(Reason::Protected);
    }
    let pods: Vec<&Pod> = scene.movable_on(&node.at.name).collect();
    match pinned(scene, pool, &pods) {
        None | Some((_, Pin::KubeSystem)) => not_refused(scene, worker),
        Some((pod, pin)) => Err(Reason::PodPinned { pod: fit::name(pod), pin }),
    }
}

/// An owner may name a worker or its node as never to be removed.
pub(super) fn not_permanent(pool: &PoolConfig, worker: &Worker, node: &Node) -> Result<(), Reason> {
    let mut names = [worker.id.as_str(), node.at.name.as_str()].into_iter();
    if names.any(|name| pool.permanent.contains(name)) { Err(Reason::Permanent) } else { Ok(()) }
}

/// People may keep a node by what they write on it.
pub(super) fn not_kept(node: &Node) -> Result<(), Reason> {
    node.kept.clone().map_or(Ok(()), |mark| Err(Reason::Kept { mark }))
}

/// A worker whose drain failed a while ago is left alone.
fn not_refused(scene: &Scene<'_>, worker: &Worker) -> Result<(), Reason> {
    let refusal = scene.memory.cluster.refusals.get(&worker.id);
    refusal.filter(|refusal| scene.now < refusal.until).map_or(Ok(()), |refusal| {
        Err(Reason::RefusedBefore { until: refusal.until, why: refusal.why.clone() })
    })
}

/// The strongest pin of any pod; one that only waits in kube-system comes last.
fn pinned<'p>(scene: &Scene<'_>, pool: &PoolConfig, pods: &[&'p Pod]) -> Option<(&'p Pod, Pin)> {
    let holds = |pin: &&Pin| match pin {
        // Budgets hold single evictions, not the choice: they may allow one by the time it comes.
        Pin::DisruptionBudget(_) => false,
        Pin::LocalStorage => !pool.evict.local_storage,
        Pin::AnnotatedUntil { until, .. } => scene.now < *until,
        Pin::Bare | Pin::KubeSystem | Pin::Annotated(_) => true,
    };
    let pins = pods
        .iter()
        .flat_map(|pod| pod.pins.iter().filter(holds).map(move |pin| (*pod, pin.clone())));
    pins.min_by_key(|(_, pin)| *pin == Pin::KubeSystem)
}

/// What would be disturbed if a worker left, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Disturbed {
    /// Others of their kind serve on while its pods move.
    Nothing,
    /// Of a kind of pods all are there: a single replica, or one of a `StatefulSet`, none of which stands for another.
    Single,
    /// What Kubernetes' own priorities call critical to the cluster.
    Critical,
    /// What our own loop depends on.
    Loop,
}

/// The priority of `system-cluster-critical`; `system-node-critical` is above it, and people's own classes are below.
const CRITICAL: i32 = 2_000_000_000;

fn disturbed(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Disturbed {
    let node = &candidate.node.at.name;
    let is_single = |pod: &&Pod| scene.only_home(pod) == Some(node);
    if scene.pods_on(node).iter().any(|pod| pod.essential.is_some()) {
        Disturbed::Loop
    } else if candidate.pods.iter().any(|pod| pod.spec.priority >= CRITICAL) {
        Disturbed::Critical
    } else if candidate.pods.iter().any(is_single) {
        Disturbed::Single
    } else {
        Disturbed::Nothing
    }
}

/// Nominated first; then those that disturb the least, in the configured order; spot before on-demand and the fullest zone
/// first among equals.
fn sort(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    candidates: &mut [Candidate<'_>],
    nominated: Option<&NodeName>,
) {
    let mut zones: BTreeMap<&Zone, usize> = BTreeMap::new();
    for worker in scene.workers(&pool.name).filter(|worker| worker.is_serving()) {
        *zones.entry(&worker.zone).or_default() += 1;
    }
    candidates.sort_by_cached_key(|candidate| {
        let worker = candidate.worker;
        let requested: u64 = candidate.pods.iter().map(|pod| pod.spec.requests.cpu_milli).sum();
        let age = worker.created.as_millisecond();
        let rank = match pool.order {
            OrderBy::Emptiest => i64::try_from(requested).unwrap_or(i64::MAX),
            OrderBy::Newest => -age,
            OrderBy::Oldest => age,
        };
        (
            Some(&candidate.node.at.name) != nominated,
            disturbed(scene, candidate),
            rank,
            worker.market != Market::Spot,
            std::cmp::Reverse(zones.get(&worker.zone).copied().unwrap_or(0)),
            std::cmp::Reverse(age),
            worker.id.clone(),
        )
    });
}

/// Picks up to `count` workers whose pods all fit elsewhere together, with headroom left, never the
/// last of a zone while another zone can give. What keeps those not picked is told.
pub(super) fn pick<'a>(
    scene: &Scene<'a>,
    pool: &PoolConfig,
    candidates: &[Candidate<'a>],
    count: u32,
    blocked: &mut Vec<(WorkerId, Box<Reason>)>,
) -> Vec<Candidate<'a>> {
    let stay = |zone: &Zone, picked: &[Candidate<'_>]| {
        let is_picked = |worker: &Worker| picked.iter().any(|other| other.worker.id == worker.id);
        let serving = scene.workers(&pool.name).filter(|worker| worker.is_serving());
        serving.filter(|worker| worker.zone == *zone && !is_picked(worker)).count()
    };
    let mut picked: Vec<Candidate<'a>> = Vec::new();
    let mut left: Vec<&Candidate<'a>> = candidates.iter().collect();
    while picked.len() < count as usize && !left.is_empty() {
        let next = left.iter().position(|one| stay(&one.worker.zone, &picked) > 1);
        let candidate = left.remove(next.unwrap_or(0));
        let mut trial = picked.clone();
        trial.push(candidate.clone());
        match fits_without(scene, pool, &trial) {
            Ok(()) => picked = trial,
            Err(reason) => blocked.push((candidate.worker.id.clone(), Box::new(reason))),
        }
    }
    picked
}

/// Whether all pods of these workers fit on the other nodes together, and headroom is left.
pub(super) fn fits_without(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    leaving: &[Candidate<'_>],
) -> Result<(), Reason> {
    let mut room = scene.room().clone();
    for candidate in leaving {
        room.vacate(&candidate.node.at.name);
    }
    room.close_starting();
    // A pool that is on its way out is no home for long.
    for pool in scene.limits.pools.values().filter(|pool| pool.removed) {
        room.close(&pool.name);
    }
    let pods = leaving.iter().flat_map(|candidate| candidate.pods.iter().copied());
    let pods = pods.filter(|pod| !scene.is_expendable(pod));
    fit::all_fit(pods, &mut room).map_err(|pod| Reason::PodFitsNowhere { pod })?;
    let mut free = Resources::default();
    for bin in room.bins.iter().filter(|bin| bin.open && bin.pool == Some(&pool.name)) {
        free.add(&bin.free);
    }
    if has_headroom(&free, pool) { Ok(()) } else { Err(Reason::NoHeadroom) }
}

/// Whether as much as this is the room that a pool is to keep free.
pub(super) fn has_headroom(free: &Resources, pool: &PoolConfig) -> bool {
    pool.headroom.cpu_milli <= free.cpu_milli && pool.headroom.memory <= free.memory
}
