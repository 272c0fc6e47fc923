//! What a pool may have: `max`, cores, memory, money, launches per hour; and the waits before it grows.

use super::draft::Draft;
use super::need::Need;
use super::scene::Scene;
use crate::config::PoolConfig;
use crate::model::{Direction, Permit, PoolMemory, Reason, Uid, duration};
use jiff::Timestamp;
use std::time::Duration;

/// How many workers the limits allow beside those taken back; the limit that allows none, otherwise.
pub(super) fn clamp(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    need: &Need,
    taken_back: u32,
    draft: &mut Draft,
) -> Result<u32, Reason> {
    let more = need.more().saturating_sub(taken_back);
    let surge = if matches!(need.permit, Some(Permit::Replace { .. })) { pool.surge } else { 0 };
    let room = pool.max.saturating_add(surge).saturating_sub(need.have.saturating_add(taken_back));
    if room == 0 {
        return Err(Reason::AtMax { max: pool.max });
    }
    let mut allowed = more.min(room);
    if allowed < more {
        draft.also(&pool.name, Reason::AtMax { max: pool.max });
    }
    let launched: u32 = draft.pool(&pool.name).launches.iter().map(|(_, count)| *count).sum();
    let limit = pool.limits.launches_per_hour;
    if launched >= limit {
        return Err(Reason::LaunchesPerHour { limit });
    }
    allowed = allowed.min(limit - launched);
    resources(scene, pool, allowed)
}

/// Cores, memory and money: counted one worker at a time, the largest shape and highest price assumed.
fn resources(scene: &Scene<'_>, pool: &PoolConfig, allowed: u32) -> Result<u32, Reason> {
    let shapes = scene.observed.shapes.get(&pool.name).and_then(|shapes| shapes.known());
    let shapes = shapes.map_or(&[][..], Vec::as_slice);
    let of = |name: &crate::model::ShapeName| shapes.iter().find(|shape| shape.name == *name);
    let workers: Vec<_> = scene.workers(&pool.name).collect();
    let largest = |measure: fn(&crate::model::Resources) -> u64| -> u64 {
        shapes.iter().map(|shape| measure(&shape.capacity)).max().unwrap_or(0)
    };
    // One of a shape that is not sold any more counts as the largest: unknown is not zero.
    let used = |measure: fn(&crate::model::Resources) -> u64| -> u64 {
        let each = |worker: &&crate::model::Worker| {
            of(&worker.shape).map_or_else(|| largest(measure), |shape| measure(&shape.capacity))
        };
        workers.iter().map(each).sum()
    };
    let mut allowed = u64::from(allowed);
    let mut bound = |name: &str, limit: Option<u64>, used: u64, each: u64| -> Result<(), Reason> {
        let Some(limit) = limit else { return Ok(()) };
        allowed = allowed.min(limit.saturating_sub(used).checked_div(each).unwrap_or(0));
        if allowed == 0 {
            return Err(Reason::Limit { limit: name.to_owned(), value: limit.to_string() });
        }
        Ok(())
    };
    bound("limits.cpu", pool.limits.cpu_milli, used(|r| r.cpu_milli), largest(|r| r.cpu_milli))?;
    bound("limits.memory", pool.limits.memory, used(|r| r.memory), largest(|r| r.memory))?;
    if let Some(budget) = pool.budget.per_hour {
        let prices = crate::cost::Prices::new(shapes);
        let spent = prices.spent(&workers)?;
        let each = prices.highest()?;
        let left = budget.0.saturating_sub(spent.0);
        allowed = allowed.min(left.checked_div(each.0).unwrap_or(allowed));
        if allowed == 0 {
            let would = crate::model::Price(spent.0.saturating_add(each.0)).to_string();
            return Err(Reason::OverBudget { budget: budget.to_string(), would });
        }
    }
    Ok(u32::try_from(allowed).unwrap_or(u32::MAX))
}

/// The end of the up-cooldown, while it runs. It runs from the intent until `cooldown` after the
/// workers are Ready or given up; while they are coming its end is not known, and is told as if they
/// were Ready now. Need that the packing proves counts workers that are coming as room, so for it
/// the time runs from the intent.
pub(super) fn up_cooling(
    memory: &PoolMemory,
    cooldown: Duration,
    now: Timestamp,
    until_ready: bool,
) -> Option<Timestamp> {
    let started = memory.up_started?;
    let from = if until_ready { memory.up_ended.unwrap_or(now) } else { started };
    let until = duration::after(from, cooldown);
    let still_coming = until_ready && memory.up_ended.is_none();
    (now < until || still_coming).then_some(until)
}

/// The end of the down-cooldown, while it runs: from the last scale-up's or scale-down's end.
pub(super) fn down_cooling(
    memory: &PoolMemory,
    cooldown: Duration,
    now: Timestamp,
) -> Result<(), Reason> {
    let Some(last) = memory.up_ended.max(memory.down_ended) else {
        return Ok(());
    };
    let until = duration::after(last, cooldown);
    if now < until {
        return Err(Reason::Cooldown { direction: Direction::Down, until });
    }
    Ok(())
}

/// Need that still grows waits for its siblings: until none came for `settle`, at most `settle_max`.
pub(super) fn settle(
    memory: &mut PoolMemory,
    pods: &[Uid],
    pool: &PoolConfig,
    now: Timestamp,
) -> Result<(), Reason> {
    if pool.settle.is_zero() {
        return Ok(());
    }
    let first = *memory.need_first.get_or_insert(now);
    let has_grown = pods.iter().any(|pod| !memory.need.contains(pod));
    if has_grown || memory.need_since.is_none() {
        memory.need_since = Some(now);
        memory.need = pods.to_vec();
    }
    let since = memory.need_since.unwrap_or(now);
    let until = duration::after(since, pool.settle).min(duration::after(first, pool.settle_max));
    if now < until { Err(Reason::Settling { until }) } else { Ok(()) }
}

/// The need that waited is served or gone; the next one waits for its own siblings.
pub(super) fn unsettle(memory: &mut PoolMemory) {
    (memory.need_since, memory.need_first) = (None, None);
    memory.need.clear();
}
