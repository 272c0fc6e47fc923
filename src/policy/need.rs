//! How many workers a pool should have.
//!
//! Wanted is the *largest* of what the packing proves, what `want_query` says, Ready + coming +
//! `step`, and `min`; never a sum. An alert with neither step nor query opens the question, and the
//! packing answers it.

use super::asks::Court;
use super::backoff::cost;
use super::candidates::has_headroom;
use super::demand::{Demand, ups};
use super::fit::{self, Chosen, Grower};
use super::new_nodes;
use super::scene::Scene;
use crate::config::PoolConfig;
use crate::model::{Ask, Permit, Pod, Reason, Signal, SignalId, Uid, Want, Worker};

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
    /// Others that the scheduler has not judged, and for which there is a place.
    pub(super) placed: Vec<Uid>,
    /// What was chosen for them; anything will do for the rest.
    pub(super) chosen: Vec<Chosen>,
    /// Whether pods wait that this pool could host if it were not full.
    pub(super) is_capped: bool,
    /// The rule of an alert that asks for room for pods, however many that takes.
    pub(super) asks_for_room: Option<String>,
    /// Operators' wishes that are done with once it is launched.
    pub(super) wishes: Vec<(SignalId, jiff::Timestamp)>,
    /// Whether any other need goes before it: what alerts size is cooling down.
    gives_way: bool,
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
        let Ask::Up { step, want_query } = &signal.ask else { continue };
        if step.is_none() && want_query.is_none() {
            need.asks_for_room.get_or_insert_with(|| signal.name.clone());
        }
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
        need.gives_way = cooling;
    }
    by_hand(scene, court, pool, &mut need);
    by_packing(scene, pool, demand, &alerts, &mut need);
    essential(scene, pool, demand, &mut need);
    if have < pool.min {
        // No more than that: what others ask for beyond it has cooldowns and pauses of its own, and
        // comes next.
        need.set(pool.min, Reason::BelowMin { have, min: pool.min }, Permit::Restore);
        need.pods.clear();
        need.chosen.clear();
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

fn by_packing(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    demand: &Demand<'_>,
    alerts: &[SignalId],
    need: &mut Need,
) {
    let bins: Vec<_> = demand.packing.new.iter().filter(|bin| bin.pool == pool.name).collect();
    need.is_capped =
        !demand.packing.waiting.is_empty() && !alerts.is_empty() && need.have >= pool.max;
    need.pods = bins.iter().map(|bin| bin.pods.clone()).collect();
    need.chosen = bins.iter().map(|bin| bin.chosen.clone()).collect();
    if !bins.is_empty() {
        need.placed.clone_from(&demand.placed);
        need.chosen.extend(spare(scene, pool, demand));
    }
    let workers = u32::try_from(need.chosen.len()).unwrap_or(u32::MAX);
    let want = need.have.saturating_add(workers);
    if workers > 0 && (want >= need.want || need.gives_way) {
        let pods = u32::try_from(need.pods.iter().flatten().count()).unwrap_or(u32::MAX);
        let permit =
            if alerts.is_empty() { Permit::Need } else { Permit::Up { signals: alerts.to_vec() } };
        need.set(want, Reason::PodsPending { pods, workers }, permit);
    }
}

/// Workers beyond what the pods ask for, so that the pool's headroom is free when those are placed. Of
/// the cheapest shape, and no more than the pool could ever have.
fn spare(scene: &Scene<'_>, pool: &PoolConfig, demand: &Demand<'_>) -> Vec<Chosen> {
    let sold = scene.new_nodes(&pool.name).iter().filter(|node| !node.sites.is_empty());
    let Some(node) = sold.min_by_key(|node| cost(scene, &pool.name, node.shape)) else {
        return Vec::new();
    };
    let mut free = demand.packing.free.get(&pool.name).cloned().unwrap_or_default();
    let mut chosen = Vec::new();
    while !has_headroom(&free, pool) && chosen.len() < pool.max as usize {
        free.add(&node.allocatable);
        chosen.push(Chosen::anywhere(&node.shape.name));
    }
    chosen
}

/// Our own monitoring or store finds no room: one worker at a time, without an alert, for without
/// them no alert could ever come. Of several pools that could, the first that may still grow.
fn essential(scene: &Scene<'_>, pool: &PoolConfig, demand: &Demand<'_>, need: &mut Need) {
    let is_packed = |pod: &Pod| demand.packing.new.iter().any(|bin| bin.pods.contains(&pod.uid));
    let waits = |pod: &&&Pod| {
        pod.essential.is_some()
            && !is_packed(pod)
            && !demand.packing.absorbed.contains(&pod.uid)
            && !demand.packing.unhostable.iter().any(|one| one.pod.uid == pod.uid)
    };
    let Some(pod) = demand.pending.iter().find(waits) else { return };
    let growers: Vec<Grower<'_>> =
        scene.limits.configured().map(|pool| new_nodes::grower(scene, pool)).collect();
    let hosts = |grower: &Grower<'_>| {
        let host = fit::best_for(pod, &mut scene.room().clone(), grower, &scene.limits.expanders)?;
        Some((scene.pool(grower.pool)?, host))
    };
    let mut hosts = growers.iter().filter_map(hosts);
    let comes = hosts.clone().any(|(pool, _)| scene.workers(&pool.name).any(Worker::is_coming));
    let first = hosts.find(|(pool, _)| scene.have(&pool.name) < pool.max);
    let Some((_, chosen)) = first.filter(|(first, _)| first.name == pool.name) else { return };
    if comes || need.want > need.have {
        return;
    }
    need.set(
        need.have.saturating_add(1),
        Reason::EssentialPending { pod: fit::name(pod) },
        Permit::Restore,
    );
    need.pods = vec![vec![pod.uid.clone()]];
    need.chosen = vec![chosen];
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

    /// Replacements of these shapes, where nothing else asks for as many.
    pub(super) fn replace(
        &mut self,
        count: u32,
        reason: Reason,
        permit: Permit,
        chosen: Vec<Chosen>,
    ) {
        self.set(self.have.saturating_add(count), reason, permit);
        self.chosen.extend(chosen);
    }

    /// Whether only the up-cooldown's rules bind it (step, query), not those of proven need.
    pub(super) fn is_by_alert_only(&self) -> bool {
        matches!(self.reason, Some(Reason::AlertStep { .. } | Reason::WantQuery { .. }))
    }

    /// How many more it brings in this pass, as far as `max` and an alert's cooldown tell.
    pub(super) fn serves(&self, pool: &PoolConfig) -> u32 {
        if self.gives_way { 0 } else { self.more().min(pool.max.saturating_sub(self.have)) }
    }

    /// How many more than there are.
    pub(super) fn more(&self) -> u32 {
        self.want.saturating_sub(self.have)
    }
}
