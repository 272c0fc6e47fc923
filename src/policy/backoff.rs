//! Offerings whose machines came to nothing lately: every other of the pool is preferred for a growing time.
//!
//! Preferred, not forbidden: where nothing else of the pool would do, or all others came to nothing too, it is tried again, and the
//! breaker holds a pool of which nothing becomes Ready.

use super::breaker::{doubled, is_launched};
use super::draft::Draft;
use super::scene::Scene;
use crate::config::Timing;
use crate::model::{
    BackOff, Failure, Market, Offering, PoolMemory, PoolName, Price, Reason, Shape, ShapeName,
    Transition, WorkerEvent, Zone, duration,
};
use jiff::Timestamp;

/// A machine that did not join is known by its deadline only, and the breaker tries one more soon after: so its offering
/// waits as if it had come to nothing this often before.
const SLOW_TO_FAIL: u32 = 2;

/// Brings what is known of a pool's offerings up to date: a machine that did not join speaks against its own, one that is
/// Ready for it.
pub(super) fn follow(scene: &Scene<'_>, pool: &PoolName, draft: &mut Draft) {
    let mut memory = std::mem::take(&mut draft.pool(pool).back_offs);
    // One that is long over is forgotten, and so is how often it was.
    let kept = scene.limits.timing.back_off_max;
    memory.retain(|one| scene.now < duration::after(one.until, kept));
    for transition in &draft.plan.transitions {
        let Transition::Move { worker, event, reason } = transition else { continue };
        let worker = scene.memory.workers.get(worker).filter(|worker| is_launched(worker, pool));
        let Some(worker) = worker else { continue };
        let offering = Offering {
            shape: worker.shape.clone(),
            zone: worker.zone.clone(),
            market: worker.market,
            price: None,
        };
        match event {
            WorkerEvent::BecameReady => {
                // One that was bought before says nothing about what can be had since.
                memory.retain(|one| !one.is_of(&offering) || worker.created <= one.since);
            }
            WorkerEvent::Fail { failure: Failure::NeverJoined | Failure::NeverReady } => {
                let why = format!("{}: {reason}", worker.id);
                let (timing, now) = (&scene.limits.timing, scene.now);
                note(&mut memory, &offering, why, timing, (SLOW_TO_FAIL, now));
            }
            _ => {}
        }
    }
    for one in memory.iter().filter(|one| scene.now < one.until) {
        let BackOff { shape, zone, market, until, why, .. } = one.clone();
        let offering = Offering { shape, zone, market, price: None }.to_string();
        draft.also(pool, Reason::BackedOff { offering, until, why });
    }
    draft.pool(pool).back_offs = memory;
}

/// A pool's memory after an offering had no machine for it.
pub fn without_capacity(
    memory: &mut PoolMemory,
    offering: &Offering,
    why: &str,
    timing: &Timing,
    now: Timestamp,
) {
    note(&mut memory.back_offs, offering, why.to_owned(), timing, (0, now));
}

/// Several machines of one offering that fail at once count once.
fn note(
    all: &mut Vec<BackOff>,
    offering: &Offering,
    why: String,
    timing: &Timing,
    (more, now): (u32, Timestamp),
) {
    let before = all.iter().find(|one| one.is_of(offering));
    if before.is_some_and(|one| now < one.until) {
        return;
    }
    let count = before.map_or(0, |one| one.count);
    let full = doubled(timing.back_off, count.saturating_add(more), timing.back_off_max);
    let Offering { shape, zone, market, .. } = offering.clone();
    let less = full / 1_000 * spread(&shape, &zone, market, count);
    let until = duration::after(now, full.saturating_sub(less));
    all.retain(|one| !one.is_of(offering));
    let count = count.saturating_add(1);
    all.push(BackOff { shape, zone, market, count, since: now, until, why });
}

/// Up to a fifth, in thousandths, by the offering's name (FNV-1a): those that failed together are not all tried again at
/// once, and the same memory gives the same plan.
fn spread(shape: &ShapeName, zone: &Zone, market: Market, count: u32) -> u32 {
    let name = format!("{shape}/{zone}/{market}/{count}");
    let mix = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    name.bytes().fold(0x811c_9dc5, mix) % 200
}

/// What a pool would pay for a shape at least, where it is not backed off everywhere: those that are come last.
pub(super) fn cost(scene: &Scene<'_>, pool: &PoolName, shape: &Shape) -> (bool, Price) {
    let taken = shape.offerings.iter().filter(|offering| !is_backed_off(scene, pool, offering));
    let open = Shape { offerings: taken.cloned().collect(), ..shape.clone() };
    let is_off = open.offerings.is_empty();
    (is_off, if is_off { shape.lowest_price() } else { open.lowest_price() })
}

/// Whether every other offering of the pool is preferred to this one now.
pub(super) fn is_backed_off(scene: &Scene<'_>, pool: &PoolName, offering: &Offering) -> bool {
    let memory = scene.memory.pools.get(pool);
    let mut all = memory.into_iter().flat_map(|memory| &memory.back_offs);
    all.any(|one| one.is_of(offering) && scene.now < one.until)
}
