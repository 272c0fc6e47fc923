//! How many workers a pool should have, and what to launch for that.
//!
//! Wanted is the *largest* of what the packing proves, what `want_query` says, Ready + coming +
//! `step`, and `min`; never a sum. An alert with neither step nor query opens the question, and the
//! packing answers it. Without an alert the packing is served only while no alert could come: no
//! Alertmanager answers, or the watchdog is silent.

use super::asks::Court;
use super::draft::Draft;
use super::fit::{self, Bin, Grower, Packing};
use super::scene::Scene;
use super::{breaker, limits, order, pauses};
use crate::config::{Mode, PoolConfig};
use crate::model::{
    Ask, Decision, Direction, Intent, Node, Permit, Pod, PodKind, PoolName, Reason, Resources,
    Shape, ShapeName, Signal, SignalId, Uid, Verdict, Want, Worker, WorkerState, duration,
};
use std::collections::{BTreeMap, HashSet};

/// What one pool is asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Need {
    /// Workers there are or are coming.
    pub(super) have: u32,
    /// Workers wanted, before any limit.
    pub(super) want: u32,
    /// Why that many; `None` when no more than there are.
    pub(super) reason: Option<Reason>,
    /// What permits it at the moment of acting.
    pub(super) permit: Option<Permit>,
    /// Alerts and wishes that speak for it.
    pub(super) signals: Vec<SignalId>,
    /// Pods it is for, per worker.
    pub(super) pods: Vec<Vec<Uid>>,
    /// Shapes chosen for them; any shape will do for the rest.
    pub(super) shapes: Vec<ShapeName>,
    /// Whether pods wait that this pool could host if it were not full.
    is_capped: bool,
    /// Operators' wishes that are done with once it is launched.
    wishes: Vec<(SignalId, jiff::Timestamp)>,
    /// Whether only the up-cooldown's rules bind it (step, query), not those of proven need.
    by_alert_only: bool,
    /// Whether any other need goes before it: what alerts size is cooling down.
    gives_way: bool,
}

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
    let (watched, pods): (Vec<&Pod>, Vec<&Pod>) =
        pods.into_iter().partition(|pod| is_watched(scene, pod));
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
fn shapes(scene: &Scene<'_>, pool: &PoolConfig) -> Vec<Shape> {
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

/// Pools whose packing is served: an up-alert counts for them, or no alert could come at all.
pub(super) fn open_pools(scene: &Scene<'_>, court: &Court<'_>) -> HashSet<PoolName> {
    let blind = scene.observed.truth.answered() == 0 || court.watchdog_alive().is_err();
    let mut open = HashSet::new();
    for pool in scene.limits.pools.keys() {
        let asked = ups(scene, court, pool).any(|(_, standing)| standing.is_ok());
        let free =
            pauses::check(&scene.labels("up", pool), court.memory, court.truth, scene.now).is_ok();
        if asked || (blind && free) || asked_by_hand(scene, court, pool) {
            open.insert(pool.clone());
        }
    }
    open
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

/// What a pool is asked for, before any limit. While what alerts size is `cooling`, any other need
/// goes before it, however small: the larger one could not be served, and would hold both.
pub(super) fn need(
    scene: &Scene<'_>,
    court: &Court<'_>,
    pool: &PoolConfig,
    demand: &Demand<'_>,
    cooling: bool,
) -> Need {
    let have = scene.have(&pool.name);
    let mut need = Need::nothing(have);
    let (mut alerts, mut step_want) = (Vec::new(), (have, None));
    for (signal, standing) in ups(scene, court, &pool.name) {
        if standing.is_err() {
            continue;
        }
        alerts.push(signal.id.clone());
        let Ask::Up { step, .. } = &signal.ask else { continue };
        let cap = have.saturating_add(pool.step.up.of(have));
        if let Some(step) = step {
            let want = have.saturating_add(*step).min(cap);
            raise(&mut step_want, want, || Reason::AlertStep {
                alert: signal.name.clone(),
                step: *step,
            });
        }
        if let Some(Want::Workers(number)) = scene.observed.wants.get(&signal.id) {
            let (want, number) = ((*number).min(cap), *number);
            raise(&mut step_want, want, || Reason::WantQuery {
                alert: signal.name.clone(),
                want: number,
            });
        }
    }
    let (want, reason) = step_want;
    if let Some(reason) = reason {
        need.set(want, reason, Permit::Up { signals: alerts.clone() });
        need.by_alert_only = true;
        need.gives_way = cooling;
    }
    by_hand(scene, court, pool, &mut need);
    by_packing(pool, demand, &alerts, &mut need);
    essential(scene, pool, demand, &mut need);
    if have < pool.min {
        // No more than that: what others ask for beyond it has cooldowns and pauses of its own, and
        // comes next.
        need.set(pool.min, Reason::BelowMin { have, min: pool.min }, Permit::Restore);
        need.by_alert_only = false;
        need.pods.clear();
        need.shapes.clear();
    }
    need.signals.extend(alerts);
    need
}

fn raise(best: &mut (u32, Option<Reason>), want: u32, reason: impl FnOnce() -> Reason) {
    if want > best.0 {
        *best = (want, Some(reason()));
    }
}

fn by_hand(scene: &Scene<'_>, court: &Court<'_>, pool: &PoolConfig, need: &mut Need) {
    for signal in scene.signals {
        let Ask::Scale { by } = signal.ask else { continue };
        let ours =
            court.pool_of(signal).as_ref() == Some(&pool.name) && court.standing(signal).is_ok();
        if by <= 0 || !ours {
            continue;
        }
        let want = need.have.saturating_add(by.unsigned_abs());
        if want > need.want || need.gives_way {
            need.set(want, Reason::ManualScale { who: who(signal), by }, Permit::Manual);
            need.by_alert_only = false;
        }
        need.signals.push(signal.id.clone());
        need.wishes.push((signal.id.clone(), signal.last_seen));
    }
}

pub(super) fn who(signal: &Signal) -> String {
    match &signal.source {
        crate::model::Source::Manual { who } => who.clone(),
        crate::model::Source::Alert { .. } => signal.name.clone(),
    }
}

fn by_packing(pool: &PoolConfig, demand: &Demand<'_>, alerts: &[SignalId], need: &mut Need) {
    let bins: Vec<_> = demand.packing.new.iter().filter(|bin| bin.pool == pool.name).collect();
    let workers = u32::try_from(bins.len()).unwrap_or(u32::MAX);
    need.is_capped =
        !demand.packing.waiting.is_empty() && !alerts.is_empty() && need.have >= pool.max;
    need.pods = bins.iter().map(|bin| bin.pods.clone()).collect();
    need.shapes = bins.iter().map(|bin| bin.shape.clone()).collect();
    let want = need.have.saturating_add(workers);
    if workers > 0 && (want >= need.want || need.gives_way) {
        let pods = u32::try_from(need.pods.iter().flatten().count()).unwrap_or(u32::MAX);
        let permit =
            if alerts.is_empty() { Permit::Need } else { Permit::Up { signals: alerts.to_vec() } };
        need.set(want, Reason::PodsPending { pods, workers }, permit);
        need.by_alert_only = false;
    }
}

/// Our own monitoring or store finds no room: one worker at a time, without an alert, for without
/// them no alert could ever come. Of several pools that could, the first that may still grow.
fn essential(scene: &Scene<'_>, pool: &PoolConfig, demand: &Demand<'_>, need: &mut Need) {
    let is_packed = |pod: &Pod| demand.packing.new.iter().any(|bin| bin.pods.contains(&pod.uid));
    let waits = |pod: &&&Pod| {
        pod.essential.is_some()
            && !is_packed(pod)
            && !demand.packing.absorbed.contains(&pod.uid)
            && !demand.packing.unhostable.iter().any(|(name, _)| *name == fit::name(pod))
    };
    let Some(pod) = demand.pending.iter().find(waits) else { return };
    let hosts = |pool: &PoolConfig| fit::cheapest_for(&pod.spec, &shapes(scene, pool), &pool.node);
    let mut hosts = scene.limits.pools.values().filter_map(|pool| Some((pool, hosts(pool)?)));
    let comes = hosts.clone().any(|(pool, _)| scene.workers(&pool.name).any(Worker::is_coming));
    let first = hosts.find(|(pool, _)| scene.have(&pool.name) < pool.max);
    let Some((_, shape)) = first.filter(|(first, _)| first.name == pool.name) else { return };
    if comes || need.want > need.have {
        return;
    }
    need.set(
        need.have.saturating_add(1),
        Reason::EssentialPending { pod: fit::name(pod) },
        Permit::Restore,
    );
    need.pods = vec![vec![pod.uid.clone()]];
    need.shapes = vec![shape];
}

impl Need {
    /// Nothing is asked of a pool that has so many.
    pub(super) fn nothing(have: u32) -> Self {
        Self { have, want: have, ..Self::default() }
    }

    fn set(&mut self, want: u32, reason: Reason, permit: Permit) {
        self.want = want;
        self.reason = Some(reason);
        self.permit = Some(permit);
        self.gives_way = false;
    }

    /// Replacements, where nothing else asks for as many.
    pub(super) fn replace(&mut self, count: u32, reason: Reason, signals: Vec<SignalId>) {
        self.set(self.have.saturating_add(count), reason, Permit::Replace { signals });
        self.by_alert_only = false;
    }

    /// How many more than there are.
    pub(super) fn more(&self) -> u32 {
        self.want.saturating_sub(self.have)
    }
}

/// Launches what is needed as far as nothing holds it; what held it, otherwise.
pub(super) fn decide(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    need: &Need,
    taken_back: u32,
    draft: &mut Draft,
) -> Result<Decision, Reason> {
    if need.pods.is_empty() {
        limits::unsettle(draft.pool(&pool.name));
    }
    let reason = need.reason.clone().ok_or_else(|| nothing(pool, need))?;
    if need.more() <= taken_back {
        return Err(if taken_back > 0 { Reason::DemandReturned } else { Reason::NothingAsked });
    }
    held(scene, pool, need, draft)?;
    let uid = scene.view()?.uid.clone();
    let some_come = scene.workers(&pool.name).any(Worker::is_coming);
    let allowed = breaker::allowance(draft.pool(&pool.name).breaker, some_come, scene.now)?;
    let count = limits::clamp(scene, pool, need, taken_back, draft)?.min(allowed);
    let request = order::request(scene, pool, &need.shapes, count, uid)?;
    let ordered = u32::try_from(request.orders.len()).unwrap_or(u32::MAX);
    // Those that a limit leaves out are not launched for.
    let pods = need.pods.iter().take(request.orders.len()).flatten().cloned().collect();
    let intent = Intent { at: scene.now, pods, request };
    let dry_run = pool.mode == Mode::DryRun;
    if !dry_run {
        remember(scene, pool, need, &intent, draft);
    }
    Ok(Decision {
        pool: pool.name.clone(),
        reason,
        also: Vec::new(),
        signals: need.signals.clone(),
        have: need.have,
        want: need.have.saturating_add(ordered),
        dry_run,
        verdict: Verdict::Launch {
            intent: Box::new(intent),
            permit: need.permit.clone().unwrap_or(Permit::Need),
        },
    })
}

/// Why nothing is to be launched: nothing asks, or what asks finds the pool full.
fn nothing(pool: &PoolConfig, need: &Need) -> Reason {
    if need.is_capped { Reason::AtMax { max: pool.max } } else { Reason::NothingAsked }
}

/// Everything that holds a launch, the most telling first.
fn held(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    need: &Need,
    draft: &mut Draft,
) -> Result<(), Reason> {
    scene.fresh_view()?;
    scene.instances(&pool.name)?;
    if let Some(crate::model::View::Unknown { why }) = scene.observed.shapes.get(&pool.name) {
        return Err(super::scene::unknown("what can be bought", why));
    }
    if let Some((batch, _)) =
        scene.memory.intents.iter().find(|(_, intent)| intent.request.pool == pool.name)
    {
        return Err(Reason::IntentOpen { batch: batch.clone() });
    }
    paused(scene, pool, need, draft)?;
    let memory = draft.pool(&pool.name);
    let cooldown = if need.by_alert_only { pool.cooldown.up } else { pool.cooldown.pending };
    let is_urgent =
        matches!(need.permit, Some(Permit::Restore | Permit::Manual | Permit::Replace { .. }));
    if !is_urgent
        && let Some(until) = limits::up_cooling(memory, cooldown, scene.now, need.by_alert_only)
    {
        return Err(Reason::Cooldown { direction: Direction::Up, until });
    }
    if matches!(need.reason, Some(Reason::PodsPending { .. })) {
        limits::settle(memory, &need.pods.concat(), pool, scene.now)?;
    }
    Ok(())
}

/// A pause that the permit would find at the moment of acting is told now.
fn paused(scene: &Scene<'_>, pool: &PoolConfig, need: &Need, draft: &Draft) -> Result<(), Reason> {
    let autoscale = match need.permit {
        Some(Permit::Restore) => "restore",
        Some(Permit::Manual) => "manual",
        Some(Permit::Replace { .. }) => "replace",
        _ => "up",
    };
    pauses::check(
        &scene.labels(autoscale, &pool.name),
        &draft.plan.memory,
        &scene.observed.truth,
        scene.now,
    )
}

fn remember(scene: &Scene<'_>, pool: &PoolConfig, need: &Need, intent: &Intent, draft: &mut Draft) {
    draft.plan.expired.extend(need.wishes.iter().cloned());
    let memory = draft.pool(&pool.name);
    let count = u32::try_from(intent.request.orders.len()).unwrap_or(u32::MAX);
    memory.launches.push((scene.now, count));
    breaker::on_trial(memory);
    limits::unsettle(memory);
    if !intent.pods.is_empty() {
        memory.watching.insert(intent.request.batch.clone(), intent.pods.clone());
    }
    let old = std::mem::take(&mut memory.to_replace);
    memory.replacing.extend(old.into_iter().map(|worker| (worker, intent.request.batch.clone())));
    if !matches!(need.permit, Some(Permit::Restore | Permit::Replace { .. })) {
        memory.up_started = Some(scene.now);
        memory.up_ended = None;
    }
}

/// Notes when a scale-up is over: its workers are Ready or given up.
pub(super) fn follow(scene: &Scene<'_>, pool: &PoolName, draft: &mut Draft) {
    let comes = scene
        .workers(pool)
        .any(|worker| worker.is_coming() || matches!(worker.state, WorkerState::Failed { .. }));
    let open = scene.memory.intents.values().any(|intent| intent.request.pool == *pool);
    let memory = draft.pool(pool);
    if memory.up_started.is_some() && memory.up_ended.is_none() && !comes && !open {
        memory.up_ended = Some(scene.now);
    }
    let hour = std::time::Duration::from_hours(1);
    memory.launches.retain(|(at, _)| duration::since(*at, scene.now) < hour);
}
