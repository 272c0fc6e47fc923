//! Removing workers: only when an alert of its own, or an operator, asks, and nothing upward speaks.

use super::asks::Court;
use super::candidates::{self, Candidate};
use super::demand::{Demand, ups};
use super::draft::Draft;
use super::need::{Need, who};
use super::scene::Scene;
use super::{limits, pauses, permit, removed};
use crate::config::{Mode, PoolConfig};
use crate::model::{
    Act, Ask, Decision, Direction, NodeName, Permit, Purpose, Reason, Signal, SignalId, Step,
    Verdict, Want, Worker, WorkerEvent, WorkerState, duration,
};
use jiff::Timestamp;

/// What asks for fewer workers.
struct Asked {
    reason: Reason,
    purpose: Purpose,
    permit: Permit,
    signals: Vec<SignalId>,
    nominated: Option<NodeName>,
    /// At most this many, beyond the pool's step; an operator's number.
    count: Option<u32>,
    /// An operator's wish that is done with once begun.
    wish: Option<(SignalId, Timestamp)>,
}

/// Begins to remove workers, or says what holds it.
pub(super) fn decide(
    scene: &Scene<'_>,
    court: &Court<'_>,
    pool: &PoolConfig,
    (need, demand): (&Need, &Demand<'_>),
    draft: &mut Draft,
) -> Result<Decision, Reason> {
    let asked = asked(scene, court, pool)?;
    // A pause of the pool may not match the alert's own labels; the check right before the act would find it.
    let autoscale = if asked.purpose == Purpose::Manual { "manual" } else { "down" };
    pauses::check(&scene.labels(autoscale, &pool.name), court.memory, court.truth, scene.now)?;
    scene.fresh_view()?;
    scene.instances(&pool.name)?;
    upward(scene, court, pool, need, demand)?;
    changing(scene, pool, draft)?;
    if asked.purpose != Purpose::Manual {
        limits::down_cooling(draft.pool(&pool.name), pool.cooldown.down, scene.now)?;
        let guards = scene.limits.guards.down.iter();
        guards
            .into_iter()
            .try_for_each(|guard| permit::holds(guard, scene.observed.guards.get(guard)))?;
    }
    let permanent = u32::try_from(pool.permanent.len()).unwrap_or(u32::MAX);
    let floor = pool.min.max(permanent).max(still_wanted(scene, court, pool)?);
    if need.have <= floor {
        return Err(if floor > pool.min.max(permanent) {
            Reason::StillWanted { want: floor }
        } else {
            Reason::AtMin { min: floor }
        });
    }
    let chosen = choose(scene, pool, &asked, need.have - floor, draft)?;
    Ok(begin(pool, need, &asked, &chosen, draft))
}

/// The down-alert or wish that counts; why none does, otherwise.
fn asked(scene: &Scene<'_>, court: &Court<'_>, pool: &PoolConfig) -> Result<Asked, Reason> {
    if let Some(since) = removed::since(scene, pool) {
        return pool_removed(scene, court, pool, since);
    }
    let mut refusal = Reason::NothingAsked;
    for signal in
        scene.signals.iter().filter(|signal| court.pool_of(signal).as_ref() == Some(&pool.name))
    {
        let (is_down, nominated, count) = match &signal.ask {
            Ask::Down { node } => (true, node.clone(), None),
            Ask::Scale { by } if *by < 0 => (true, None, Some(by.unsigned_abs())),
            _ => (false, None, None),
        };
        if !is_down {
            continue;
        }
        match court.standing(signal).and_then(|()| scene.names_a_node(signal)) {
            Ok(()) => return Ok(ask(scene, signal, nominated, count)),
            Err(reason) if court.is_news(signal, &reason) => refusal = reason,
            Err(_) => {}
        }
    }
    Err(refusal)
}

/// A pool that left the file asks by itself, after one cooldown: a file may be half written.
fn pool_removed(
    scene: &Scene<'_>,
    court: &Court<'_>,
    pool: &PoolConfig,
    since: Timestamp,
) -> Result<Asked, Reason> {
    court.removal()?;
    let until = duration::after(since, pool.cooldown.down);
    if scene.now < until {
        return Err(Reason::Cooldown { direction: Direction::Down, until });
    }
    Ok(Asked {
        reason: Reason::Removed { since },
        purpose: Purpose::Removed,
        permit: Permit::Down { signals: Vec::new(), guards: scene.limits.guards.down.clone() },
        signals: Vec::new(),
        nominated: None,
        count: None,
        wish: None,
    })
}

fn ask(
    scene: &Scene<'_>,
    signal: &Signal,
    nominated: Option<NodeName>,
    count: Option<u32>,
) -> Asked {
    let signals = vec![signal.id.clone()];
    match count {
        Some(count) => Asked {
            reason: Reason::ManualScale {
                who: who(signal),
                by: -i32::try_from(count).unwrap_or(i32::MAX),
            },
            purpose: Purpose::Manual,
            permit: Permit::Manual,
            wish: Some((signal.id.clone(), signal.last_seen)),
            signals,
            nominated,
            count: Some(count),
        },
        None => Asked {
            reason: Reason::Idle { alert: signal.name.clone() },
            purpose: Purpose::Idle,
            permit: Permit::Down {
                signals: signals.clone(),
                guards: scene.limits.guards.down.clone(),
            },
            signals,
            nominated,
            count: None,
            wish: None,
        },
    }
}

/// Anything upward holds every removal.
fn upward(
    scene: &Scene<'_>,
    court: &Court<'_>,
    pool: &PoolConfig,
    need: &Need,
    demand: &Demand<'_>,
) -> Result<(), Reason> {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    if demand.helpable > 0 {
        return Err(Reason::PendingPods { pods: count(demand.helpable) });
    }
    for (signal, standing) in ups(scene, court, &pool.name) {
        // Silenced or not: a pause of growing is no licence to shrink.
        let is_active = signal
            .fingerprint()
            .is_some_and(|print| scene.observed.truth.alerts.contains_key(print));
        let asks_step = matches!(signal.ask, Ask::Up { step: Some(_), .. });
        if asks_step && (is_active || standing.is_ok()) {
            return Err(Reason::UpActive { alert: signal.name.clone() });
        }
    }
    if let Some(alert) = court.unheard_up(&pool.name) {
        return Err(Reason::UpActive { alert });
    }
    if need.more() > 0 {
        return Err(need.reason.clone().unwrap_or(Reason::NothingAsked));
    }
    let coming = scene.workers(&pool.name).filter(|worker| worker.is_coming()).count();
    if coming > 0 {
        return Err(Reason::WorkersComing { workers: count(coming) });
    }
    if let Some((batch, _)) =
        scene.memory.intents.iter().find(|(_, intent)| intent.request.pool == pool.name)
    {
        return Err(Reason::IntentOpen { batch: batch.clone() });
    }
    let leaving = scene.workers(&pool.name).filter(|worker| worker.is_leaving()).count();
    if leaving > 0 {
        return Err(Reason::Draining { workers: count(leaving) });
    }
    Ok(())
}

/// Workers that fail or begin to go in this very pass are counted as they were: the next pass knows.
fn changing(scene: &Scene<'_>, pool: &PoolConfig, draft: &Draft) -> Result<(), Reason> {
    let busy = draft.busy();
    let going = scene
        .workers(&pool.name)
        .filter(|worker| worker.state == WorkerState::Ready && busy.contains(&worker.id));
    match u32::try_from(going.count()).unwrap_or(u32::MAX) {
        0 => Ok(()),
        workers => Err(Reason::Draining { workers }),
    }
}

/// The size an up-alert's query still wants; removal may go down to it, not below. An unknown answer
/// holds it.
fn still_wanted(scene: &Scene<'_>, court: &Court<'_>, pool: &PoolConfig) -> Result<u32, Reason> {
    let queried = ups(scene, court, &pool.name).filter(|(signal, standing)| {
        let is_active = signal
            .fingerprint()
            .is_some_and(|print| scene.observed.truth.alerts.contains_key(print));
        matches!(signal.ask, Ask::Up { want_query: Some(_), .. }) && (is_active || standing.is_ok())
    });
    let mut most = 0;
    for (signal, _) in queried {
        match scene.observed.wants.get(&signal.id) {
            Some(Want::Workers(want)) => most = most.max(*want),
            _ => return Err(super::unanswered(scene, signal).unwrap_or(Reason::NothingAsked)),
        }
    }
    Ok(most)
}

/// Empty workers may go several at once; others by the pool's step.
fn choose<'a>(
    scene: &Scene<'a>,
    pool: &PoolConfig,
    asked: &Asked,
    room: u32,
    draft: &mut Draft,
) -> Result<Vec<Candidate<'a>>, Reason> {
    let kube_system = &mut draft.plan.memory.kube_system_since;
    let (candidates, mut blocked) =
        candidates::find(scene, pool, kube_system, asked.nominated.as_ref());
    let size = u32::try_from(scene.workers(&pool.name).count()).unwrap_or(u32::MAX);
    let most = |step: u32| step.min(room).min(asked.count.unwrap_or(u32::MAX));
    let empty: Vec<Candidate<'_>> =
        candidates.iter().filter(|candidate| candidate.pods.is_empty()).cloned().collect();
    let mut chosen =
        candidates::pick(scene, pool, &empty, most(pool.step.empty.of(size)), &mut blocked);
    if chosen.is_empty() {
        let step = asked.count.unwrap_or(0).max(pool.step.down.of(size));
        chosen = candidates::pick(scene, pool, &candidates, most(step), &mut blocked);
    }
    if chosen.is_empty() {
        blocked.sort_by(|(a, _), (b, _)| a.cmp(b));
        blocked.dedup_by(|(a, _), (b, _)| a == b);
        return Err(Reason::NoCandidate { blocked });
    }
    Ok(chosen)
}

fn begin(
    pool: &PoolConfig,
    need: &Need,
    asked: &Asked,
    chosen: &[Candidate<'_>],
    draft: &mut Draft,
) -> Decision {
    let dry_run = pool.mode == Mode::DryRun;
    for candidate in chosen {
        draft.plan.steps.push(Step {
            worker: candidate.worker.id.clone(),
            pool: pool.name.clone(),
            act: Act::Cordon { node: candidate.node.at.clone() },
            before: (!dry_run).then_some(WorkerEvent::Cordon { purpose: asked.purpose }),
            reason: asked.reason.clone(),
            permit: asked.permit.clone(),
            dry_run,
        });
    }
    if !dry_run {
        draft.plan.expired.extend(asked.wish.clone());
    }
    let leaving = u32::try_from(chosen.len()).unwrap_or(u32::MAX);
    Decision {
        pool: pool.name.clone(),
        verdict: Verdict::Drain {
            workers: chosen.iter().map(|candidate| candidate.worker.id.clone()).collect(),
        },
        reason: asked.reason.clone(),
        also: Vec::new(),
        signals: asked.signals.clone(),
        have: need.have,
        want: need.have.saturating_sub(leaving),
        dry_run,
    }
}

/// Notes the end of a scale-down: the last worker that it sent on its way out is gone or given back.
pub(super) fn follow(scene: &Scene<'_>, pool: &PoolConfig, draft: &mut Draft) {
    let finished = draft.plan.transitions.iter().any(|transition| {
        matches!(transition, crate::model::Transition::Move { worker, event: WorkerEvent::Finished, .. }
            if scene.memory.workers.get(worker).is_some_and(|worker| is_sent_by(worker, pool)))
    });
    let ending = scene.workers(&pool.name).any(|worker| {
        is_sent_by(worker, pool)
            && (worker.is_leaving() || worker.state == WorkerState::Terminating)
    });
    if finished || ending {
        draft.pool(&pool.name).down_ended = Some(scene.now);
    }
}

fn is_sent_by(worker: &Worker, pool: &PoolConfig) -> bool {
    worker.pool == pool.name && matches!(worker.purpose, Some(Purpose::Idle | Purpose::Removed))
}
