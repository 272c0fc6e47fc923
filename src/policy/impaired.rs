//! Machines that run and are not well, as their provider tells it. People are told; nothing is decided by it.

use super::draft::Draft;
use super::scene::{Machine, Scene};
use crate::config::PoolConfig;
use crate::model::{Instance, InstanceState, PoolName, Reason, Transition, Worker};

/// What is told of a worker's machine is a line of its history, once for each time that it is told anew. Of what is not known
/// nothing is concluded: what was told last stands.
pub(super) fn follow(scene: &Scene<'_>, draft: &mut Draft) {
    for pool in scene.limits.pools.keys() {
        if let Ok(list) = scene.instances(pool) {
            follow_pool(scene, (pool, &list), draft);
        }
    }
}

fn follow_pool<'a>(
    scene: &Scene<'a>,
    (pool, list): (&PoolName, &[&'a Instance]),
    draft: &mut Draft,
) {
    let known = &mut draft.plan.memory.impaired;
    if known.is_empty() && !list.iter().any(|one| words(one).is_some()) {
        return;
    }
    for worker in scene.workers(pool).filter(|worker| worker.is_live()) {
        let told = match scene.machine(worker, list) {
            Machine::Unknown => continue,
            Machine::Live(one) if one.unchecked => continue,
            Machine::Live(one) => words(one),
            Machine::Stopped(_) | Machine::Ending(_) | Machine::Gone(_) => None,
        };
        let before = match &told {
            Some(told) => known.insert(worker.id.clone(), told.clone()),
            None => known.remove(&worker.id),
        };
        if let Some(what) = told.filter(|told| before.as_ref() != Some(told)) {
            draft.plan.transitions.push(line(worker, what));
        }
    }
}

fn line(worker: &Worker, what: String) -> Transition {
    Transition::Told { worker: worker.id.clone(), reason: Reason::Impaired { machines: 1, what } }
}

/// The same of a whole pool, for who looks at it now.
pub(super) fn of_pool(scene: &Scene<'_>, pool: &PoolConfig) -> Option<Reason> {
    let list = scene.instances(&pool.name).ok()?;
    let mut unwell = list.iter().filter_map(|one| words(one));
    let what = unwell.next()?;
    let others = u32::try_from(unwell.count()).unwrap_or(u32::MAX);
    Some(Reason::Impaired { machines: others.saturating_add(1), what })
}

fn words(one: &Instance) -> Option<String> {
    let told = one.told.as_ref().filter(|_| one.state == InstanceState::Running)?;
    Some(format!("{}: {told}", one.id))
}
