//! One worker for another: a spot notice, `max_age`, or an alert about one node.
//!
//! The replacement is launched first (`max` + `surge`), then the old one is drained. One at a time,
//! and so many per hour; except spot notices, which leave two minutes and are drained at once.

use super::asks::Court;
use super::draft::Draft;
use super::need::Need;
use super::pauses;
use super::records::{self, acts};
use super::scene::{Machine, Scene};
use crate::config::PoolConfig;
use crate::model::{
    Act, Ask, BatchId, Cordon, Instance, Node, Permit, Purpose, Reason, Signal, SignalId, Source,
    Worker, WorkerEvent, WorkerState, duration,
};
use std::time::Duration;

/// A worker that is to be replaced.
pub(super) struct Target<'a> {
    worker: &'a Worker,
    node: &'a Node,
    reason: Reason,
    purpose: Purpose,
    signals: Vec<SignalId>,
}

/// Workers of a pool that are to be replaced, notices first.
pub(super) fn targets<'a>(
    scene: &Scene<'a>,
    court: &Court<'_>,
    pool: &PoolConfig,
    draft: &Draft,
) -> Vec<Target<'a>> {
    let Ok(list) = scene.instances(&pool.name) else {
        return Vec::new();
    };
    // One that moved in this very pass is not what it was.
    let busy = draft.busy();
    let ready = scene.workers(&pool.name).filter(|worker| worker.state == WorkerState::Ready);
    let ready = ready.filter(|worker| !busy.contains(&worker.id));
    let mut targets: Vec<Target<'a>> = Vec::new();
    for worker in ready {
        let Some(node) = scene.node(worker) else { continue };
        if is_permanent(pool, worker, node) {
            continue;
        }
        let notice = match scene.machine(worker, &list) {
            Machine::Live(instance) => instance.notice,
            _ => None,
        };
        let why = match notice {
            Some(at) => Some((Reason::SpotNotice { at }, Purpose::Notice, Vec::new())),
            None if is_kept(scene, worker, node, &list) => None,
            None => why(scene, court, pool, (worker, node)),
        };
        targets.extend(why.map(|(reason, purpose, signals)| Target {
            worker,
            node,
            reason,
            purpose,
            signals,
        }));
    }
    targets.sort_by_key(|target| {
        (target.purpose != Purpose::Notice, target.worker.created, target.worker.id.clone())
    });
    targets
}

/// Why a worker is to be replaced, if it is: an alert about its node, or its age.
fn why(
    scene: &Scene<'_>,
    court: &Court<'_>,
    pool: &PoolConfig,
    (worker, node): (&Worker, &Node),
) -> Option<(Reason, Purpose, Vec<SignalId>)> {
    if let Some(signal) = alert_about(scene, court, node) {
        let reason = Reason::NodeAlert { alert: signal.name.clone() };
        return Some((reason, Purpose::Replace, vec![signal.id.clone()]));
    }
    let is_old = pool.max_age.is_some_and(|age| duration::since(worker.created, scene.now) > age);
    // No alert asks for this, so what every alert is asked is asked here.
    (is_old && court.removal().is_ok()).then_some((Reason::MaxAge, Purpose::Replace, Vec::new()))
}

/// Protected, cordoned by somebody else, or refused by a drain lately: not replaced, unless the provider takes it.
fn is_kept(scene: &Scene<'_>, worker: &Worker, node: &Node, list: &[&Instance]) -> bool {
    let is_protected =
        matches!(scene.machine(worker, list), Machine::Live(instance) if instance.protected);
    let refusal = scene.memory.cluster.refusals.get(&worker.id);
    is_protected
        || node.cordon == Cordon::Foreign
        || refusal.is_some_and(|refusal| scene.now < refusal.until)
}

fn is_permanent(pool: &PoolConfig, worker: &Worker, node: &Node) -> bool {
    [worker.id.as_str(), node.at.name.as_str()].iter().any(|name| pool.permanent.contains(*name))
}

/// A replace-alert that counts and speaks of this node, not of an older one under its name.
fn alert_about<'s>(scene: &'s Scene<'_>, court: &Court<'_>, node: &Node) -> Option<&'s Signal> {
    scene.signals.iter().find(|signal| {
        let Ask::Replace { node: Some(name) } = &signal.ask else {
            return false;
        };
        let Source::Alert { starts_at, .. } = &signal.source else {
            return false;
        };
        *name == node.at.name && node.created <= *starts_at && court.standing(signal).is_ok()
    })
}

/// Adds to a pool's need what its replacements need, and drains those whose replacement is Ready.
pub(super) fn follow(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    targets: &[Target<'_>],
    need: &mut Need,
    draft: &mut Draft,
) {
    forget_ended(scene, pool, draft);
    if !acts(scene, &pool.name) {
        return;
    }
    let allowed = may_replace(scene, pool, draft);
    let mut unplanned = 0;
    for (position, target) in targets.iter().enumerate() {
        let is_notice = target.purpose == Purpose::Notice;
        let batch = draft.pool(&pool.name).replacing.get(&target.worker.id).cloned();
        if batch.is_none() && (is_notice || (position == 0 && allowed.is_ok())) {
            unplanned += 1;
            draft.pool(&pool.name).to_replace.push(target.worker.id.clone());
        } else if let (Err(reason), None) = (&allowed, &batch) {
            draft.also(&pool.name, reason.clone());
        }
        let is_free = !matches!(allowed, Err(Reason::Paused { .. }));
        if is_free
            && (is_notice
                || batch.is_some_and(|batch| is_ready(scene, &batch, targets, pool, draft)))
        {
            drain(target, draft);
        }
    }
    if unplanned > 0 && need.more() < unplanned {
        let target = &targets[0];
        let reason = Reason::Replacement {
            worker: target.worker.id.clone(),
            why: target.reason.to_string(),
        };
        need.replace(unplanned, reason, target.signals.clone());
    }
}

/// One at a time, and so many per hour.
fn may_replace(scene: &Scene<'_>, pool: &PoolConfig, draft: &mut Draft) -> Result<(), Reason> {
    let memory = &draft.plan.memory;
    pauses::check(&scene.labels("replace", &pool.name), memory, &scene.observed.truth, scene.now)?;
    let leaving = |worker: &&Worker| worker.purpose == Some(Purpose::Replace) && worker.is_live();
    if let Some(worker) = scene.workers(&pool.name).find(leaving) {
        return Err(Reason::ReplaceBusy { worker: worker.id.clone() });
    }
    if let Some(worker) = draft.pool(&pool.name).replacing.keys().next() {
        return Err(Reason::ReplaceBusy { worker: worker.clone() });
    }
    let hour = Duration::from_hours(1);
    draft.plan.memory.replacements.retain(|at| duration::since(*at, scene.now) < hour);
    if draft.plan.memory.replacements.len() >= pool.replacements_per_hour as usize {
        return Err(Reason::ReplacePerHour { limit: pool.replacements_per_hour });
    }
    Ok(())
}

/// Whether a replacement serves, and is not itself what it replaces: then replacing would never end.
fn is_ready(
    scene: &Scene<'_>,
    batch: &BatchId,
    targets: &[Target<'_>],
    pool: &PoolConfig,
    draft: &mut Draft,
) -> bool {
    let mut ready = scene.workers(&pool.name).filter(|worker| {
        worker.batch.as_ref() == Some(batch) && worker.state == WorkerState::Ready
    });
    let Some(replacement) = ready.next() else {
        return false;
    };
    let same = targets.iter().find(|target| target.worker.id == replacement.id);
    if let Some(Target { reason: Reason::NodeAlert { alert }, .. }) = same {
        draft.also(&pool.name, Reason::ReplacementToo { alert: alert.clone() });
        return false;
    }
    true
}

fn drain(target: &Target<'_>, draft: &mut Draft) {
    draft.plan.memory.replacements.push(draft.plan.at);
    let permit = Permit::Replace { signals: target.signals.clone() };
    let event = WorkerEvent::Cordon { purpose: target.purpose };
    draft.step_after(
        event,
        records::step(
            target.worker,
            Act::Cordon { node: target.node.at.clone() },
            target.reason.clone(),
            permit,
        ),
    );
}

/// Replacements whose old worker is on its way out, or that came to nothing, are no longer waited for.
fn forget_ended(scene: &Scene<'_>, pool: &PoolConfig, draft: &mut Draft) {
    draft.pool(&pool.name).to_replace.clear();
    draft.pool(&pool.name).replacing.retain(|old, batch| {
        let waits =
            scene.memory.workers.get(old).is_some_and(|worker| worker.state == WorkerState::Ready);
        let mut new =
            scene.memory.workers.values().filter(|worker| worker.batch.as_ref() == Some(batch));
        waits && new.any(Worker::is_serving)
    });
}
