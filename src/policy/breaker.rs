//! Stops launching when launching does not help: workers that do not become Ready, or that become
//! Ready and place none of the pods they were launched for.

use super::draft::Draft;
use super::scene::Scene;
use crate::config::Timing;
use crate::model::{
    BatchId, Breaker, BreakerState, Failure, Placement, Pod, PoolMemory, PoolName, Reason,
    Transition, Uid, Unhelpable, Worker, WorkerEvent, WorkerState, duration,
};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

/// Launches in vain until a pod counts as unhelpable.
const VAIN: u32 = 2;

/// Brings a pool's breaker, and what is known of pods that launching did not help, up to date.
pub(super) fn follow(scene: &Scene<'_>, pool: &PoolName, draft: &mut Draft) {
    let watched: Vec<BatchId> = draft.pool(pool).watching.keys().cloned().collect();
    // Where it was launched for pods, only they tell whether it helped.
    let helps_alone = |worker: &Worker| {
        is_launched(worker, pool)
            && !worker.batch.as_ref().is_some_and(|batch| watched.contains(batch))
    };
    let became_ready = draft.plan.transitions.iter().any(|transition| {
        matches!(transition, Transition::Move { worker, event: WorkerEvent::BecameReady, .. }
            if scene.memory.workers.get(worker).is_some_and(helps_alone))
    });
    let failed = launch_failed(scene, pool, draft);
    let timing = &scene.limits.timing;
    let help = watch(scene, draft.pool(pool), timing);
    let memory = draft.pool(pool);
    if became_ready || help == Some(true) {
        memory.breaker = Breaker::default();
    } else if failed || help == Some(false) {
        open(&mut memory.breaker, timing, scene.now);
    }
    if scene.view().is_ok() && !memory.unhelpable.is_empty() {
        let pending: HashSet<&Uid> = scene.pending().iter().map(|pod| &pod.uid).collect();
        memory.unhelpable.retain(|uid, _| pending.contains(uid));
    }
}

/// Whether it is on its way in from a launch: one that was Ready once and joins anew says nothing about launching.
pub(super) fn is_launched(worker: &Worker, pool: &PoolName) -> bool {
    worker.pool == *pool && worker.ready.is_none()
}

/// Whether a launch came to nothing in this pass. What the rules find out is a transition; what the
/// provider refused is a record that stays for one pass. One that stays longer, paused, is old news.
fn launch_failed(scene: &Scene<'_>, pool: &PoolName, draft: &Draft) -> bool {
    let found = draft.plan.transitions.iter().any(|transition| {
        let Transition::Move { worker, event: WorkerEvent::Fail { failure }, .. } = transition
        else {
            return false;
        };
        matches!(failure, Failure::NeverJoined | Failure::NeverReady)
            && scene.memory.workers.get(worker).is_some_and(|worker| is_launched(worker, pool))
    });
    let refused = WorkerState::Failed { failure: Failure::NotLaunched };
    let ends = |worker: &Worker| {
        draft.plan.transitions.iter().any(|transition| {
            matches!(transition, Transition::Move { worker: id, event: WorkerEvent::Terminate, .. }
                if *id == worker.id)
        })
    };
    found || scene.workers(pool).any(|worker| worker.state == refused && ends(worker))
}

/// Whether a launch may happen, and of how many workers at most; while one is on trial, of none.
pub(super) fn allowance(breaker: Breaker, some_come: bool, now: Timestamp) -> Result<u32, Reason> {
    let refused = |until| Err(Reason::BreakerOpen { until, failures: breaker.failures });
    match (breaker.state, breaker.retry_at) {
        (BreakerState::Closed, _) | (BreakerState::Open, None) => Ok(u32::MAX),
        (BreakerState::Open | BreakerState::HalfOpen, Some(until)) if now < until => refused(until),
        (BreakerState::HalfOpen, until) if some_come => refused(until.unwrap_or(now)),
        (BreakerState::Open | BreakerState::HalfOpen, _) => Ok(1),
    }
}

/// Notes that a worker is on trial: until it is Ready or failed, no other.
pub(super) fn on_trial(memory: &mut PoolMemory) {
    if memory.breaker.state == BreakerState::Open {
        memory.breaker.state = BreakerState::HalfOpen;
    }
}

fn open(breaker: &mut Breaker, timing: &Timing, now: Timestamp) {
    breaker.state = BreakerState::Open;
    breaker.retry_at =
        Some(duration::after(now, doubled(timing.breaker, breaker.failures, timing.breaker_max)));
    breaker.failures = breaker.failures.saturating_add(1);
}

/// `first`, doubled so many times, at most `max`.
pub(super) fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(max)
}

/// Looks at batches whose workers are Ready: did they place the pods they were launched for?
/// Answers whether a batch placed any; nothing, while that is not known.
fn watch(scene: &Scene<'_>, memory: &mut PoolMemory, timing: &Timing) -> Option<bool> {
    if memory.watching.is_empty() {
        return None;
    }
    let view = scene.view().ok()?;
    let pods: HashMap<&Uid, &Pod> = view.pods().map(|pod| (&pod.uid, pod)).collect();
    let mut help = None;
    let watched = std::mem::take(&mut memory.watching);
    for (batch, uids) in watched {
        let workers: Vec<&Worker> = scene
            .memory
            .workers
            .values()
            .filter(|worker| worker.batch.as_ref() == Some(&batch))
            .collect();
        if workers.iter().any(|worker| worker.is_coming()) {
            memory.watching.insert(batch, uids);
            continue;
        }
        let Some(ready) = workers.iter().filter_map(|worker| worker.ready).max() else {
            continue;
        };
        let is_pending = |uid: &&Uid| {
            pods.get(uid).is_some_and(|pod| !matches!(pod.placement, Placement::Bound(_)))
        };
        let left: Vec<Uid> = uids.iter().filter(is_pending).cloned().collect();
        if left.len() < uids.len() {
            help = Some(true);
        }
        if left.is_empty() {
            continue;
        }
        if duration::since(ready, scene.now) < timing.help_check {
            memory.watching.insert(batch, uids);
            continue;
        }
        help = help.or((left.len() == uids.len()).then_some(false));
        for uid in left {
            in_vain(memory, uid, timing, scene.now);
        }
    }
    help
}

fn in_vain(memory: &mut PoolMemory, uid: Uid, timing: &Timing, now: Timestamp) {
    let known = memory.unhelpable.entry(uid).or_insert(Unhelpable { vain: 0, until: None });
    known.vain = known.vain.saturating_add(1);
    if known.vain >= VAIN {
        let wait = doubled(timing.unhelpable, known.vain - VAIN, timing.unhelpable_max);
        known.until = Some(duration::after(now, wait));
    }
}
