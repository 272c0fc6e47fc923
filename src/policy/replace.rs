//! One worker for another: a spot notice, an alert about one node, drift, or `max_age`.
//!
//! The replacement is launched first (`max` + `surge`), then the old one is drained. One at a time,
//! and so many per hour; except spot notices, which leave two minutes and are drained at once.

use super::asks::Court;
use super::candidates;
use super::draft::Draft;
use super::fit::Chosen;
use super::leaving;
use super::need::Need;
use super::pauses;
use super::records::{self, acts};
use super::scene::Scene;
use crate::config::PoolConfig;
use crate::model::{
    Act, Ask, BatchId, Instance, Node, Permit, Purpose, Reason, Signal, SignalId, Source, Worker,
    WorkerEvent, WorkerState, duration,
};
use std::time::Duration;

/// A worker that is to be replaced.
pub(super) struct Target<'a> {
    worker: &'a Worker,
    node: &'a Node,
    cause: Cause,
    /// What keeps it, if something does.
    kept: Option<Reason>,
}

/// Why a worker is to be replaced.
pub(super) struct Cause {
    pub(super) reason: Reason,
    purpose: Purpose,
    signals: Vec<SignalId>,
}

impl Cause {
    /// What must still hold at the moment of acting.
    pub(super) fn permit(&self) -> Permit {
        match self.purpose {
            Purpose::Notice => Permit::Notice,
            _ => Permit::Replace { signals: self.signals.clone() },
        }
    }

    fn is_notice(&self) -> bool {
        self.purpose == Purpose::Notice
    }
}

/// Workers of a pool that are to be replaced, notices first.
pub(super) fn targets<'a>(
    scene: &Scene<'a>,
    court: &Court<'_>,
    pool: &PoolConfig,
    draft: &Draft,
) -> Vec<Target<'a>> {
    let (Ok(list), Ok(_)) = (scene.instances(&pool.name), scene.fresh_view()) else {
        return Vec::new();
    };
    // One that moved in this very pass is not what it was.
    let busy = draft.busy();
    let ready = scene.workers(&pool.name).filter(|worker| worker.state == WorkerState::Ready);
    let ready = ready.filter(|worker| !busy.contains(&worker.id));
    let mut targets: Vec<Target<'a>> = Vec::new();
    for worker in ready {
        let Some(node) = scene.node(worker) else { continue };
        let Some(cause) = cause(scene, court, worker, node, &list) else { continue };
        let may_leave = if cause.is_notice() {
            // The provider takes it, so the sooner its pods move, the better. An owner's word stands.
            scene.undisputed(worker).and_then(|()| candidates::not_permanent(pool, worker, node))
        } else {
            // By a list that lacks it nobody knows whether it is protected, nor what else the list lacks.
            let listed = scene.listed(worker, &list);
            listed
                .and_then(|machine| candidates::may_be_replaced(scene, pool, worker, node, machine))
        };
        targets.push(Target { worker, node, cause, kept: may_leave.err() });
    }
    targets.sort_by_key(|target| {
        (!target.cause.is_notice(), target.worker.created, target.worker.id.clone())
    });
    targets
}

/// What asks for another worker in place of this one, if anything does: the provider, an alert about
/// its node, or its age.
pub(super) fn cause<'a>(
    scene: &Scene<'a>,
    court: &Court<'_>,
    worker: &Worker,
    node: &Node,
    list: &[&'a Instance],
) -> Option<Cause> {
    let notice = scene.machine(worker, list).live().and_then(|instance| instance.notice);
    if let Some(at) = notice {
        let reason = Reason::SpotNotice { at };
        return Some(Cause { reason, purpose: Purpose::Notice, signals: Vec::new() });
    }
    if let Some(signal) = alert_about(scene, court, node) {
        let reason = Reason::NodeAlert { alert: signal.name.clone() };
        return Some(Cause { reason, purpose: Purpose::Replace, signals: vec![signal.id.clone()] });
    }
    let pool = scene.pool(&worker.pool)?;
    let is_old = |max_age| duration::since(worker.created, scene.now) > max_age;
    let what = pool.replace_drifted.then(|| drift(worker, pool)).flatten();
    let drifted = what.map(|what| Reason::Drifted { workers: 1, what });
    let reason = drifted.or_else(|| pool.max_age.is_some_and(is_old).then_some(Reason::MaxAge))?;
    // No alert asks for this, so what every alert is asked is asked here.
    let cause = Cause { reason, purpose: Purpose::Replace, signals: Vec::new() };
    court.removal().is_ok().then_some(cause)
}

/// What a new worker of the pool would be launched with and this one was not.
fn drift(worker: &Worker, pool: &PoolConfig) -> Option<String> {
    worker.template.as_ref()?.differs_from(&pool.node.template())
}

/// Workers that drifted and that nobody asked to replace: for people.
pub(super) fn drifted(scene: &Scene<'_>, pool: &PoolConfig) -> Option<Reason> {
    let all = scene.workers(&pool.name).filter(|worker| worker.is_serving());
    let mut differences = all.filter_map(|worker| drift(worker, pool));
    let what = differences.next().filter(|_| !pool.replace_drifted)?;
    let others = u32::try_from(differences.count()).unwrap_or(u32::MAX);
    Some(Reason::Drifted { workers: others.saturating_add(1), what })
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
    let is_free = !matches!(allowed, Err(Reason::Paused { .. }));
    tell_kept(pool, targets, draft);
    let leaving: Vec<&Target<'_>> = targets.iter().filter(|target| target.kept.is_none()).collect();
    let mut unplanned: Vec<&Target<'_>> = Vec::new();
    for (position, target) in leaving.iter().enumerate() {
        let is_notice = target.cause.is_notice();
        let batch = draft.pool(&pool.name).replacing.get(&target.worker.id).cloned();
        if batch.is_none() && (is_notice || (position == 0 && allowed.is_ok())) {
            unplanned.push(target);
            draft.pool(&pool.name).to_replace.push(target.worker.id.clone());
        } else if let (Err(reason), None) = (&allowed, &batch) {
            draft.also(&pool.name, reason.clone());
        }
        let is_replaced =
            || batch.is_some_and(|batch| is_ready(scene, &batch, targets, pool, draft));
        if is_free && (is_notice || is_replaced()) {
            drain(target, draft);
        }
    }
    let count = u32::try_from(unplanned.len()).unwrap_or(u32::MAX);
    if let Some(first) = unplanned.first().filter(|_| need.serves(pool) < count) {
        let worker = first.worker.id.clone();
        let reason = Reason::Replacement { worker, why: first.cause.reason.to_string() };
        let alike = unplanned.iter().map(|target| Chosen::anywhere(&target.worker.shape)).collect();
        need.replace(count, reason, first.cause.permit(), alike);
    }
}

/// Tells what keeps workers that are to be replaced.
fn tell_kept(pool: &PoolConfig, targets: &[Target<'_>], draft: &mut Draft) {
    let kept = targets
        .iter()
        .filter_map(|target| Some((target.worker.id.clone(), Box::new(target.kept.clone()?))));
    let blocked: Vec<_> = kept.collect();
    if !blocked.is_empty() {
        draft.also(&pool.name, Reason::NoCandidate { blocked });
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
    if let Some(Reason::NodeAlert { alert }) = same.map(|target| &target.cause.reason) {
        draft.also(&pool.name, Reason::ReplacementToo { alert: alert.clone() });
        return false;
    }
    true
}

fn drain(target: &Target<'_>, draft: &mut Draft) {
    let cause = &target.cause;
    if !cause.is_notice() {
        draft.plan.memory.replacements.push(draft.plan.at);
    }
    let act = Act::Cordon { node: target.node.at.clone() };
    draft.step_after(
        WorkerEvent::Cordon { purpose: cause.purpose },
        records::step(target.worker, act, cause.reason.clone(), cause.permit()),
    );
}

/// Workers that were to be replaced and that somebody protects, as it turned out.
fn kept<'a>(scene: &Scene<'a>, pool: &PoolConfig, draft: &mut Draft) -> Vec<&'a Worker> {
    let list = scene.instances(&pool.name).unwrap_or_default();
    let is_protected =
        |worker: &&Worker| scene.machine(worker, &list).live().is_some_and(|one| one.protected);
    let olds = draft.pool(&pool.name).replacing.keys();
    olds.filter_map(|old| scene.memory.workers.get(old)).filter(is_protected).collect()
}

/// Replacements whose old worker is on its way out, or that came to nothing, are no longer waited for.
fn forget_ended(scene: &Scene<'_>, pool: &PoolConfig, draft: &mut Draft) {
    draft.pool(&pool.name).to_replace.clear();
    let kept = kept(scene, pool, draft);
    for worker in &kept {
        // What came for it is one of the pool; and as long as it is protected, no other is to come.
        leaving::refuse(scene, worker, &Reason::Protected, draft);
    }
    draft.pool(&pool.name).replacing.retain(|old, batch| {
        let waits =
            scene.memory.workers.get(old).is_some_and(|worker| worker.state == WorkerState::Ready);
        let waits = waits && !kept.iter().any(|worker| worker.id == *old);
        let mut new =
            scene.memory.workers.values().filter(|worker| worker.batch.as_ref() == Some(batch));
        waits && new.any(Worker::is_serving)
    });
}
