//! What is safe: one pure, total function from what is seen, asked and remembered to a [`Plan`].
//!
//! No clock, no I/O, no lock, no log, no chance: the same input gives the same plan. It answers for
//! every pool, `Hold` included, with a [`Reason`] from a closed list (`docs/reasons.md`).
//!
//! The order of the rules, each in a file of its own:
//! 1. whose cluster is it, and what is remembered (`pauses`, here);
//! 2. records follow what is seen (`records`, `adopt`), breakers, offerings and cooldowns with them (`breaker`, `backoff`);
//! 3. which signals count (`asks`), and where pending pods would go (`demand`, `fit`, `foreseen`);
//! 4. growing (`need`, `scale_up`, `limits`, `order`), replacing (`replace`);
//! 5. workers on their way out (`leaving`), taken back before anything is bought;
//! 6. shrinking (`scale_down`, `candidates`), which anything upward holds.
//!
//! The failing direction is always "do not remove": an unknown holds what would be decided from it.

mod adopt;
mod asks;
mod backoff;
mod breaker;
mod candidates;
mod demand;
mod draft;
mod explain;
mod fit;
#[cfg(test)]
mod fixtures;
mod foreseen;
mod forgotten;
mod impaired;
mod leaving;
mod limits;
mod need;
mod new_nodes;
mod order;
mod pauses;
pub mod permit;
mod records;
mod removed;
mod replace;
mod scale_down;
mod scale_up;
mod scene;
mod sensors;
#[cfg(test)]
mod tests;

use crate::config::{ClusterConfig, Mode, PoolConfig};
use crate::model::{
    Ask, ClusterMemory, Decision, Memory, Observed, Plan, PoolName, Reason, Signal, Source,
    Verdict, Want, WorkerId, duration,
};
use asks::Court;
pub use backoff::without_capacity;
use demand::Demand;
use draft::Draft;
pub use explain::explain;
pub use fit::{Predicate, places};
use jiff::Timestamp;
use need::Need;
pub use scale_up::without_launch;
use scene::Scene;
pub(crate) use scene::list_delay;
pub use sensors::{NodeState, PoolSensors, Sensors, Waiting, sensors};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long an Alertmanager that is not asked any more is remembered after its start.
const ALERTMANAGER_KEPT: Duration = Duration::from_hours(7 * 24);

/// Decides what to do with one cluster.
pub fn plan(
    observed: &Observed,
    signals: &[Signal],
    memory: &Memory,
    limits: &ClusterConfig,
    now: Timestamp,
) -> Plan {
    let scene = Scene::new(observed, signals, memory, limits, now);
    let mut draft = Draft::new(limits.name.clone(), now, remember(&scene));
    draft.plan.pools =
        limits.pools.keys().map(|pool| (pool.clone(), stored(memory, pool))).collect();
    if let Some(reason) = other_cluster(&scene) {
        for pool in limits.pools.values() {
            let need = Need::nothing(scene.have(&pool.name));
            draft.plan.decisions.push(hold(pool, &need, reason.clone()));
        }
        return draft.plan;
    }
    records::follow(&scene, &mut draft);
    impaired::follow(&scene, &mut draft);
    foreseen::follow(&scene, &mut draft);
    let remembered = draft.plan.memory.clone();
    let court = Court { truth: &observed.truth, memory: &remembered, signals, limits, now };
    let demand = demand::demand(&scene, &demand::open_pools(&scene, &court));
    for pool in limits.pools.values() {
        let decision = decide(&scene, &court, pool, &demand, &mut draft);
        draft.plan.decisions.push(decision);
        draft.pool(&pool.name).farewell = removed::farewell(&scene, pool);
    }
    leaving::proceed(&scene, &court, &mut draft);
    removed::unmanaged(&scene, &mut draft);
    tell_the_rest(&mut draft);
    tidy(&scene, &mut draft);
    draft.plan
}

/// For each signal whether it counts, and why not: for people.
pub fn standings(
    signals: &[Signal],
    observed: &Observed,
    memory: &Memory,
    limits: &ClusterConfig,
    now: Timestamp,
) -> Vec<Result<(), Reason>> {
    let scene = Scene::new(observed, signals, memory, limits, now);
    let remembered = remember(&scene);
    let court = Court { truth: &observed.truth, memory: &remembered, signals, limits, now };
    signals.iter().map(|signal| standing(&scene, &court, signal)).collect()
}

/// One pool: growing beats shrinking whenever both could be said.
fn decide(
    scene: &Scene<'_>,
    court: &Court<'_>,
    pool: &PoolConfig,
    demand: &Demand<'_>,
    draft: &mut Draft,
) -> Decision {
    breaker::follow(scene, &pool.name, draft);
    backoff::follow(scene, &pool.name, draft);
    scale_up::follow(scene, &pool.name, draft);
    scale_down::follow(scene, pool, draft);
    if pool.removed {
        return removed::decide(scene, court, pool, demand, draft);
    }
    let cooling = limits::up_cooling(draft.pool(&pool.name), pool.cooldown.up, scene.now, true);
    let mut need = need::need(scene, court, pool, demand, cooling.is_some());
    let targets = replace::targets(scene, court, pool, draft);
    replace::follow(scene, pool, &targets, &mut need, draft);
    let back = take_back(scene, pool, &need, draft);
    asides(scene, court, pool, demand, draft);
    let decision = match scale_up::decide(scene, pool, &need, back, draft) {
        Ok(decision) => decision,
        Err(up) => match scale_down::decide(scene, court, pool, (&need, demand), draft) {
            Ok(decision) => decision,
            Err(down) => hold(pool, &need, telling(court, (up, down), pool, draft)),
        },
    };
    let mut also = draft.also.remove(&pool.name).unwrap_or_default();
    also.retain(|reason| *reason != decision.reason);
    Decision { also, ..decision }
}

/// Idle workers on their way out are taken back before anything is bought.
fn take_back(scene: &Scene<'_>, pool: &PoolConfig, need: &Need, draft: &mut Draft) -> u32 {
    let idle = leaving::reclaimable(scene, &pool.name);
    let most = need.more().min(pool.max.saturating_sub(need.have));
    let back: Vec<WorkerId> =
        idle.iter().take(most as usize).map(|worker| worker.id.clone()).collect();
    let count = u32::try_from(back.len()).unwrap_or(u32::MAX);
    draft.taken_back.extend(back);
    count
}

/// Of what held growing and what held shrinking, the one that people ask about; the other beside it.
fn telling(
    court: &Court<'_>,
    held: (Reason, Reason),
    pool: &PoolConfig,
    draft: &mut Draft,
) -> Reason {
    match held {
        (Reason::NothingAsked, Reason::NothingAsked) => {
            let told = draft.also.get(&pool.name).into_iter().flatten();
            let paused =
                told.clone().find(|reason| matches!(reason, Reason::Paused { .. })).cloned();
            paused.or_else(|| court.muted_unheard(&pool.name)).unwrap_or(Reason::NothingAsked)
        }
        (Reason::NothingAsked, reason) | (reason, Reason::NothingAsked) => reason,
        (up, down) => {
            draft.also(&pool.name, down);
            up
        }
    }
}

/// What else speaks: signals that do not count, pods that cannot be helped.
fn asides(
    scene: &Scene<'_>,
    court: &Court<'_>,
    pool: &PoolConfig,
    demand: &Demand<'_>,
    draft: &mut Draft,
) {
    for signal in scene.signals.iter().filter(|signal| speaks_for(court, signal, &pool.name)) {
        match standing(scene, court, signal) {
            Err(reason) if court.is_news(signal, &reason) => draft.also(&pool.name, reason),
            Err(_) => {}
            Ok(()) => {
                if let Some(reason) = unanswered(scene, signal) {
                    draft.also(&pool.name, reason);
                }
            }
        }
    }
    if let Err(shared) = scene.unshared(&pool.name) {
        draft.also(&pool.name, shared);
    }
    if scene.instances(&pool.name).is_ok_and(|list| scene.lacks_live_ones(&pool.name, &list)) {
        let why = "it lacks machines whose nodes are Ready, so it proves no loss of any other";
        draft.also(&pool.name, scene::unknown("the list of machines", why));
    }
    if let Some(drifted) = replace::drifted(scene, pool) {
        draft.also(&pool.name, drifted);
    }
    if let Some(impaired) = impaired::of_pool(scene, pool) {
        draft.also(&pool.name, impaired);
    }
    if let Some(first) = demand.packing.unhostable.first() {
        let pods = u32::try_from(demand.packing.unhostable.len()).unwrap_or(u32::MAX);
        let (pod, why) = (first.pod.to_string(), first.why.clone());
        draft.also(&pool.name, Reason::Unhostable { pods, pod, why });
    }
    let until = draft.pool(&pool.name).unhelpable.values().filter_map(|pod| pod.until).max();
    if let Some(until) = until.filter(|until| scene.now < *until) {
        let pods = u32::try_from(demand.unhelpable.len()).unwrap_or(u32::MAX);
        draft.also(&pool.name, Reason::Unhelpable { pods, until });
    }
}

/// An alert's query that gave no number asks for nothing.
fn unanswered(scene: &Scene<'_>, signal: &Signal) -> Option<Reason> {
    let Ask::Up { want_query: Some(_), .. } = &signal.ask else {
        return None;
    };
    let why = match scene.observed.wants.get(&signal.id) {
        Some(Want::Workers(_)) => return None,
        Some(Want::Unknown { why }) => why.clone(),
        None => "not asked".to_owned(),
    };
    Some(Reason::WantUnknown { alert: signal.name.clone(), why })
}

/// Whether a signal counts, the node it names included.
fn standing(scene: &Scene<'_>, court: &Court<'_>, signal: &Signal) -> Result<(), Reason> {
    court.standing(signal)?;
    scene.names_a_node(signal)
}

fn speaks_for(court: &Court<'_>, signal: &Signal, pool: &PoolName) -> bool {
    match (&signal.ask, &signal.pool) {
        (Ask::Watchdog | Ask::Reconcile | Ask::Foresee, _) => false,
        (_, None) => true,
        (_, Some(_)) => court.pool_of(signal).as_ref() == Some(pool),
    }
}

fn hold(pool: &PoolConfig, need: &Need, reason: Reason) -> Decision {
    Decision {
        pool: pool.name.clone(),
        verdict: Verdict::Hold,
        reason,
        also: Vec::new(),
        signals: need.signals.clone(),
        have: need.have,
        want: need.want,
        dry_run: pool.mode == Mode::DryRun,
    }
}

/// What came up after a pool was decided stands beside its decision too.
fn tell_the_rest(draft: &mut Draft) {
    for decision in &mut draft.plan.decisions {
        let rest = draft.also.remove(&decision.pool).unwrap_or_default();
        let news = rest.into_iter().filter(|reason| *reason != decision.reason);
        decision.also.extend(news);
    }
}

/// The cluster's memory with what this pass saw: silences, restarts, the cluster's UID.
fn remember(scene: &Scene<'_>) -> ClusterMemory {
    let truth = &scene.observed.truth;
    let mut memory = scene.memory.cluster.clone();
    memory.silences = pauses::remember(&memory.silences, truth, scene.now);
    for peer in &truth.peers {
        let Some(started) = peer.started else { continue };
        let before = memory.alertmanagers.insert(peer.url.clone(), started);
        let is_first = scene.memory.cluster.alertmanagers.is_empty();
        let is_fresh = duration::since(started, scene.now) < scene.limits.alertmanager.restart_hold;
        // It reads the clock once, when it starts: any other time is another start. One that comes under a new address, and has
        // just started, has restarted as well.
        if before.map_or(!is_first && is_fresh, |before| before != started) {
            hold_removals(&mut memory, scene, scene.limits.alertmanager.restart_hold);
        }
    }
    forgotten::notice(scene, &mut memory);
    if let (None, Ok(view)) = (&memory.uid, scene.view()) {
        memory.uid = Some(view.uid.clone());
    }
    memory
}

fn hold_removals(memory: &mut ClusterMemory, scene: &Scene<'_>, time: Duration) {
    memory.down_held_until = memory.down_held_until.max(Some(duration::after(scene.now, time)));
}

/// Another UID under the name we know: somebody pointed us at another cluster, or at its store.
fn other_cluster(scene: &Scene<'_>) -> Option<Reason> {
    let expected = scene.memory.cluster.uid.as_ref()?;
    let seen = &scene.view().ok()?.uid;
    (expected != seen)
        .then(|| Reason::OtherCluster { expected: expected.clone(), seen: seen.clone() })
}

fn stored(memory: &Memory, pool: &PoolName) -> crate::model::PoolMemory {
    memory.pools.get(pool).cloned().unwrap_or_default()
}

/// Drops what is of no use any more.
fn tidy(scene: &Scene<'_>, draft: &mut Draft) {
    let memory = &mut draft.plan.memory;
    memory.down_held_until = memory.down_held_until.filter(|until| scene.now < *until);
    let exists =
        |id: &WorkerId| scene.memory.workers.get(id).is_some_and(crate::model::Worker::is_live);
    memory.refusals.retain(|id, _| exists(id));
    memory.kube_system_since.retain(|id, _| exists(id));
    memory.impaired.retain(|id, _| exists(id));
    let is_ready = |id: &WorkerId| {
        scene
            .memory
            .workers
            .get(id)
            .is_some_and(|worker| worker.state == crate::model::WorkerState::Ready)
    };
    memory.unseen_since.retain(|id, _| is_ready(id));
    memory.sick_since.retain(|id, _| is_ready(id));
    // One that is away for a while keeps its start time: else its restart would pass unseen.
    let peers: BTreeSet<&String> =
        scene.observed.truth.peers.iter().map(|peer| &peer.url).collect();
    memory.alertmanagers.retain(|url, started| {
        peers.contains(url) || duration::since(*started, scene.now) < ALERTMANAGER_KEPT
    });
    let done: BTreeSet<_> = draft.plan.expired.iter().map(|(id, _)| id.clone()).collect();
    for signal in scene.signals.iter().filter(|signal| !done.contains(&signal.id)) {
        if duration::since(signal.last_seen, scene.now) > signal_life(scene, signal) {
            draft.plan.expired.push((signal.id.clone(), signal.last_seen));
        }
    }
}

/// How long a signal's record is kept: well beyond the time it may count.
fn signal_life(scene: &Scene<'_>, signal: &Signal) -> Duration {
    let limits = scene.limits;
    match signal.source {
        Source::Alert { .. } => {
            scene
                .observed
                .truth
                .ttl
                .max(limits.alertmanager.ttl)
                .max(limits.alertmanager.watchdog_ttl)
                * 2
        }
        Source::Manual { .. } => match signal.ask {
            Ask::Reconcile | Ask::Foresee => Duration::ZERO,
            _ => limits.timing.manual_ttl,
        },
    }
}
