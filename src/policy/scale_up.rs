//! What to launch for what a pool needs, as far as nothing holds it.

use super::draft::Draft;
use super::need::Need;
use super::scene::Scene;
use super::{breaker, foreseen, forgotten, limits, order, pauses};
use crate::config::{Mode, PoolConfig};
use crate::model::{
    Decision, Direction, Intent, Permit, PoolMemory, PoolName, Reason, Verdict, Worker,
    WorkerState, duration,
};

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
    let reason = need.reason.clone().ok_or_else(|| nothing(scene, pool, need))?;
    if need.more() <= taken_back {
        return Err(Reason::DemandReturned);
    }
    held(scene, pool, need, draft)?;
    let uid = scene.view()?.uid.clone();
    let some_come = scene.workers(&pool.name).any(Worker::is_coming);
    let allowed = breaker::allowance(draft.pool(&pool.name).breaker, some_come, scene.now)?;
    let count = limits::clamp(scene, pool, need, taken_back, draft)?.min(allowed);
    let request = order::request(scene, pool, &need.chosen, count, uid)?;
    let ordered = u32::try_from(request.orders.len()).unwrap_or(u32::MAX);
    // Those that a limit leaves out are not launched for.
    let pods = need.pods.iter().take(request.orders.len()).flatten().cloned().collect();
    let permit = need.permit.clone().unwrap_or(Permit::Need);
    let intent = Intent { at: scene.now, permit, pods, request };
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
        verdict: Verdict::Launch { intent: Box::new(intent) },
    })
}

/// Why nothing is to be launched: nothing asks, or what asks finds the pool full, or no pod that waits for a worker of it. While
/// the cluster is not seen, whether a pod waits is not known, and that is said.
fn nothing(scene: &Scene<'_>, pool: &PoolConfig, need: &Need) -> Reason {
    if need.is_capped {
        return Reason::AtMax { max: pool.max };
    }
    if let Err(unseen) = scene.fresh_view() {
        return unseen;
    }
    match &need.asks_for_room {
        Some(alert) => Reason::NoPodWaits { alert: alert.clone() },
        None => Reason::NothingAsked,
    }
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
    let cooldown = match &need.permit {
        Some(permit) if is_urgent(permit) => None,
        _ if need.is_by_alert_only() => Some(pool.cooldown.up),
        _ => Some(pool.cooldown.pending),
    };
    let timing = &scene.limits.timing;
    forgotten::launches(&draft.plan.memory, timing, cooldown.unwrap_or_default(), scene.now)?;
    let memory = draft.pool(&pool.name);
    if let Some(cooldown) = cooldown
        && let Some(until) =
            limits::up_cooling(memory, cooldown, scene.now, need.is_by_alert_only())
    {
        return Err(Reason::Cooldown { direction: Direction::Up, until });
    }
    if matches!(need.reason, Some(Reason::PodsPending { .. })) {
        limits::settle(memory, &need.pods.concat(), pool, scene.now)?;
    }
    Ok(())
}

/// What no cooldown holds: what is missing, what an operator asks, what is only exchanged.
fn is_urgent(permit: &Permit) -> bool {
    matches!(permit, Permit::Restore | Permit::Manual | Permit::Replace { .. } | Permit::Notice)
}

/// A pause that the permit would find at the moment of acting is told now.
fn paused(scene: &Scene<'_>, pool: &PoolConfig, need: &Need, draft: &Draft) -> Result<(), Reason> {
    let autoscale = match need.permit {
        Some(Permit::Restore) => "restore",
        Some(Permit::Manual) => "manual",
        Some(Permit::Replace { .. } | Permit::Notice) => "replace",
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
        foreseen::note(scene, need, intent, memory);
    }
    let old = std::mem::take(&mut memory.to_replace);
    memory.replacing.extend(old.into_iter().map(|worker| (worker, intent.request.batch.clone())));
    if !matches!(need.permit, Some(Permit::Restore | Permit::Replace { .. } | Permit::Notice)) {
        memory.up_started = Some(scene.now);
        memory.up_ended = None;
    }
}

/// A pool's memory as if a launch had not been planned: the check right before the call refused it, so
/// nothing was asked for, and no limit or cooldown counts it. `before` is what was remembered before.
pub fn without_launch(planned: &PoolMemory, before: &PoolMemory, intent: &Intent) -> PoolMemory {
    let mut memory = planned.clone();
    let batch = &intent.request.batch;
    memory.launches.retain(|(at, _)| *at != intent.at);
    memory.watching.remove(batch);
    memory.foreseen.remove(batch);
    memory.replacing.retain(|_, replacement| replacement != batch);
    memory.breaker.state = before.breaker.state;
    (memory.up_started, memory.up_ended) = (before.up_started, before.up_ended);
    memory
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
