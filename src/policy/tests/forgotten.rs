//! A store that may have forgotten what was written last.

use crate::model::{Reason, duration};
use crate::policy::fixtures::{MINUTE, SECOND, World, code};
use crate::policy::forgotten;

/// Memory as it was written in one life of the store, read in another.
fn failed_over(mut world: World) -> World {
    world.memory.cluster.store_life = Some("one".to_owned());
    world.memory.life = Some("another".to_owned());
    world
}

/// What a pass noted is what the next one reads.
fn note(world: &mut World) {
    world.memory.cluster = world.plan().memory;
}

fn short_of_room(world: &mut World) {
    world.up(None);
    world.pending(5, 1_500);
}

#[test]
fn a_launch_waits_for_the_longest_call_and_one_cooldown() {
    let mut world = failed_over(World::of(1));
    world.limits.timing.call = SECOND * 30;
    world.pool().cooldown.pending = MINUTE;
    short_of_room(&mut world);
    assert_eq!(code(&world), "store_forgot", "in the very pass that finds out");
    note(&mut world);
    let until = duration::after(world.now, SECOND * 90);
    assert_eq!(world.held(), Reason::StoreForgot { until });
    world.later(SECOND * 89);
    assert_eq!(code(&world), "store_forgot");
    world.later(SECOND);
    assert!(world.launches() > 0);
}

#[test]
fn a_step_of_an_alert_waits_for_its_own_cooldown() {
    let mut world = failed_over(World::of(1));
    world.up(Some(1));
    note(&mut world);
    let wait = world.limits.timing.call + world.limits.pools.values().next().unwrap().cooldown.up;
    world.later(wait.checked_sub(SECOND).unwrap());
    assert_eq!(code(&world), "store_forgot");
    world.later(SECOND);
    assert_eq!(world.launches(), 1);
}

#[test]
fn a_worker_that_is_missing_waits_for_the_longest_call() {
    let mut world = failed_over(World::of(0));
    world.pool().min = 1;
    assert_eq!(code(&world), "store_forgot");
    note(&mut world);
    world.later(world.limits.timing.call);
    assert_eq!(world.launches(), 1, "no cooldown holds what is missing");
}

#[test]
fn a_removal_waits_for_the_rebuild_hold() {
    let mut world = failed_over(World::of(3));
    world.limits.timing.rebuild_hold = MINUTE * 10;
    world.down();
    assert_eq!(code(&world), "store_forgot");
    note(&mut world);
    world.later(MINUTE * 9);
    assert_eq!(code(&world), "store_forgot");
    world.later(MINUTE);
    assert!(!world.drains().is_empty());
}

#[test]
fn a_wish_from_before_is_not_served_again_and_one_from_after_is() {
    let mut world = failed_over(World::of(1));
    world.manual(1);
    note(&mut world);
    world.later(MINUTE);
    assert_ne!(world.launches(), 1);
    world.manual(1).last_seen = world.now;
    assert_eq!(world.launches(), 1);
}

/// It is told in every pass, and counts once.
#[test]
fn a_store_that_was_behind_the_lease_holds_launches_and_removals_and_counts_once() {
    let mut world = World::of(3);
    world.limits.timing.call = SECOND * 30;
    world.memory.forgot = Some(world.now);
    world.down();
    assert_eq!(code(&world), "store_forgot", "in the very pass that finds out");
    let first = Some(world.now);
    for _ in 0..2 {
        note(&mut world);
        assert_eq!(world.memory.cluster.store_forgot, first);
        world.later(SECOND);
    }
    short_of_room(&mut world);
    assert_eq!(code(&world), "store_forgot");
    world.memory.forgot = Some(world.now);
    note(&mut world);
    assert_eq!(world.memory.cluster.store_forgot, Some(world.now), "it forgot again");
}

/// The clock by which it was written down may be mended since.
#[test]
fn what_a_store_wrote_with_its_clock_ahead_holds_launches_no_longer() {
    let mut world = World::of(3);
    world.memory.forgot = Some(duration::after(world.now, SECOND * 100_000));
    world.memory.cluster.store_forgot = world.memory.forgot;
    note(&mut world);
    let first = world.memory.cluster.store_forgot;
    assert_eq!(first, Some(world.now), "when it was found");
    world.later(SECOND);
    note(&mut world);
    assert_eq!(world.memory.cluster.store_forgot, first, "it counts once");
    world.memory.cluster.store_forgot = world.memory.forgot;
    short_of_room(&mut world);
    let Err(Reason::StoreForgot { until }) =
        forgotten::launches(&world.memory.cluster, &world.limits.timing, SECOND, world.now)
    else {
        panic!("it is held")
    };
    assert_eq!(until, duration::after(world.now, world.limits.timing.call + SECOND));
}

/// Nobody can say that there is no machine.
#[test]
fn an_empty_store_beside_a_list_that_is_not_known_is_a_lost_one() {
    let mut world = World::of(0);
    world.memory.cluster.uid = None;
    world.list_is_unknown();
    assert_eq!(world.plan().memory.store_forgot, Some(world.now));
}

#[test]
fn each_new_life_counts_anew_and_the_same_one_does_not() {
    let mut world = failed_over(World::of(1));
    note(&mut world);
    let first = world.memory.cluster.store_forgot;
    assert_eq!(first, Some(world.now));
    world.later(MINUTE);
    note(&mut world);
    assert_eq!(world.memory.cluster.store_forgot, first, "nothing new");
    world.memory.life = Some("a third".to_owned());
    note(&mut world);
    assert_eq!(world.memory.cluster.store_forgot, Some(world.now));
}

/// The first pass of all, and a store that cannot forget.
#[test]
fn a_store_that_tells_no_other_life_holds_nothing() {
    for (before, now) in [(None, Some("one")), (None, None), (Some("one"), Some("one"))] {
        let mut world = World::of(1);
        world.memory.cluster.store_life = before.map(str::to_owned);
        world.memory.life = now.map(str::to_owned);
        short_of_room(&mut world);
        assert!(world.launches() > 0, "{before:?} {now:?}");
    }
}

/// A machine that has not joined yet has no node to be known by.
#[test]
fn an_empty_store_beside_a_machine_of_ours_holds_launches() {
    let mut world = World::of(1);
    world.unjoined(1);
    world.memory.workers.clear();
    world.memory.cluster.uid = None;
    short_of_room(&mut world);
    assert_eq!(code(&world), "store_forgot");
}
