//! A store that may have forgotten what was written last: after a fail-over, a restart, when it is empty though
//! there are machines of ours, or when the cluster's lease knows a later token. What was under way then shows by
//! itself, in the provider's list and on the nodes; till it surely does, nothing is bought and no alert removes
//! anything. Spot notices, repair and clean-ups go on.

use super::scene::Scene;
use crate::config::Timing;
use crate::model::{ClusterMemory, Reason, duration};
use jiff::Timestamp;
use std::time::Duration;

/// Notes the store's life, and when it is another than the one that the memory was written in, or something else proves
/// that it forgot.
pub(super) fn notice(scene: &Scene<'_>, memory: &mut ClusterMemory) {
    let (before, now) = (&scene.memory.cluster.store_life, &scene.memory.life);
    let is_another = before.is_some() && before != now;
    // Not whether it is later: the store's clock may have been ahead when it wrote this.
    let is_behind = scene.memory.forgot.is_some() && scene.memory.forgot != memory.store_behind;
    if is_another || is_behind || is_lost(scene) {
        memory.store_forgot = Some(scene.now);
    }
    memory.store_life.clone_from(now);
    memory.store_behind = scene.memory.forgot;
}

/// Machines of ours, and not a word of the cluster.
fn is_lost(scene: &Scene<'_>) -> bool {
    let is_new = scene.memory.cluster.uid.is_none() && scene.memory.workers.is_empty();
    let is_node =
        || scene.view().is_ok_and(|view| view.nodes().any(|it| scene.name_of(it).is_some()));
    // A list that is not known may hold some.
    let is_listed = |pool| scene.instances(pool).map_or(true, |list| !list.is_empty());
    is_new && scene.view().is_ok() && (is_node() || scene.limits.pools.keys().any(is_listed))
}

/// Launches wait for the longest call, whose machine may not be listed yet, and for the cooldown that a launch which
/// was forgotten would have begun.
pub(super) fn launches(
    memory: &ClusterMemory,
    timing: &Timing,
    cooldown: Duration,
    now: Timestamp,
) -> Result<(), Reason> {
    held(memory, timing.call + cooldown, now)
}

/// Removals wait for `rebuild_hold`.
pub(super) fn removals(
    memory: &ClusterMemory,
    timing: &Timing,
    now: Timestamp,
) -> Result<(), Reason> {
    held(memory, timing.rebuild_hold, now)
}

/// A wish from before may have been served, and that be forgotten: it is not served again for as long as it lives.
pub(super) fn wish(memory: &ClusterMemory, told: Timestamp, life: Duration) -> Result<(), Reason> {
    match memory.store_forgot {
        Some(at) if told <= at => Err(Reason::StoreForgot { until: duration::after(told, life) }),
        _ => Ok(()),
    }
}

fn held(memory: &ClusterMemory, wait: Duration, now: Timestamp) -> Result<(), Reason> {
    // By a clock that was ahead it would be held for as long as that was.
    let until = memory.store_forgot.map(|at| duration::after(at.min(now), wait));
    until.filter(|until| now < *until).map_or(Ok(()), |until| Err(Reason::StoreForgot { until }))
}
