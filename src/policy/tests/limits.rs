//! What a pool may have, and the waits before it grows.

use crate::model::{Direction, Reason, Resources, Verdict, duration};
use crate::policy::fixtures::{DAY, GIB, MINUTE, Reads as _, SECOND, World, code, shape};
use std::time::Duration;

/// A pool that last grew so long ago, and whose workers were Ready so long ago.
fn grown(started: Duration, ended: Option<Duration>) -> World {
    let mut world = World::of(1);
    let now = world.now;
    let memory = world.remembered();
    memory.up_started = Some(duration::before(now, started));
    memory.up_ended = ended.map(|ended| duration::before(now, ended));
    world
}

/// five minutes, not the ten of shrinking; from when they were Ready.
#[test]
fn w_05_w_17_the_up_cooldown_that_is_set_is_the_one_that_is_asked() {
    let mut world = grown(MINUTE * 6, Some(MINUTE * 4));
    world.up(Some(1));
    let until = duration::after(world.now, MINUTE);
    assert_eq!(world.held(), Reason::Cooldown { direction: Direction::Up, until });
    world.later(SECOND * 59);
    assert_eq!(code(&world), "cooldown");
    world.later(SECOND);
    assert_eq!(world.launches(), 1);
}

#[test]
fn the_up_cooldown_holds_as_long_as_its_workers_are_coming() {
    let mut world = grown(MINUTE * 120, None);
    world.booting(MINUTE * 4);
    world.up(Some(1));
    assert_eq!(code(&world), "cooldown");
}

#[test]
fn a_growing_is_not_over_while_its_launch_is_open() {
    let mut world = grown(MINUTE * 20, None);
    let mut other = World::of(1);
    other.up(Some(1));
    let Verdict::Launch { intent } = other.decision().verdict else { panic!() };
    world.memory.intents.insert("b".into(), *intent);
    assert_eq!(world.plan().pools[&"workers".into()].up_ended, None);
    world.memory.intents.clear();
    assert_eq!(world.plan().pools[&"workers".into()].up_ended, Some(world.now));
}

/// Workers that are coming are room already.
#[test]
fn the_cooldown_of_proven_need_runs_from_the_intent() {
    let mut world = grown(MINUTE * 2, Some(Duration::ZERO));
    world.pool().cooldown.pending = MINUTE * 2;
    world.up(None);
    world.pending(2, 1_500);
    assert_eq!(world.launches(), 1);
    world.pool().cooldown.pending = MINUTE * 2 + SECOND;
    assert_eq!(code(&world), "cooldown");
}

#[test]
fn what_is_missing_wished_for_or_exchanged_waits_for_no_cooldown() {
    let changes: [fn(&mut World); 4] = [
        |world| world.pool().min = 2,
        |world| _ = world.manual(1),
        |world| _ = world.replace(1),
        |world| world.instance(1).notice = Some(world.now),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut world = grown(Duration::ZERO, None);
        world.pool().cooldown.pending = DAY;
        change(&mut world);
        assert_eq!(world.launches(), 1, "case {number}");
    }
}

#[test]
fn restoring_the_minimum_starts_no_cooldown() {
    let mut world = World::of(0);
    world.pool().min = 1;
    let plan = world.plan();
    assert!(matches!(plan.of("workers").verdict, Verdict::Launch { .. }));
    assert_eq!(plan.pools[&"workers".into()].up_started, None);
}

#[test]
fn launches_per_hour_bind_even_below_the_minimum() {
    let mut world = World::of(0);
    world.pool().min = 3;
    world.pool().limits.launches_per_hour = 4;
    let at = duration::before(world.now, MINUTE * 10);
    world.remembered().launches = vec![(at, 2)];
    assert_eq!(world.launches(), 2);
    world.remembered().launches = vec![(at, 4)];
    assert_eq!(world.held(), Reason::LaunchesPerHour { limit: 4 });
    world.later(MINUTE * 50);
    assert_eq!(world.launches(), 3, "an hour later they count no more");
}

#[test]
fn every_launch_counts_towards_those_of_the_hour() {
    let mut world = World::of(0);
    world.pool().limits.launches_per_hour = 1;
    world.manual(1);
    world.apply(&world.plan());
    world.manual(1);
    assert_eq!(world.held(), Reason::LaunchesPerHour { limit: 1 });
}

#[test]
fn a_full_pool_says_that_it_is_full_to_the_pods_that_wait() {
    let mut world = World::of(1);
    world.pool().max = 1;
    world.up(None);
    world.pending(2, 1_500);
    assert_eq!(world.held(), Reason::AtMax { max: 1 });
}

#[test]
fn what_an_alert_asks_for_does_not_wait_for_siblings() {
    let mut world = World::of(1);
    world.pool().settle = Duration::from_millis(50);
    world.up(Some(1));
    assert_eq!(world.launches(), 1);
}

#[test]
fn an_open_launch_holds_its_own_pool_only() {
    let mut world = World::of(1);
    world.add_pool("others", 5);
    world.up(Some(1));
    let Verdict::Launch { mut intent } = world.decision().verdict else { panic!() };
    intent.request.pool = "others".into();
    world.memory.intents.insert("b".into(), *intent);
    assert_eq!(world.launches(), 1);
}

#[test]
fn each_worker_counts_towards_cores_by_its_own_shape() {
    let mut world = World::of(1);
    let large = Resources::new(8_000, 16 * GIB).with_pods(110);
    world.shapes().push(shape("large", large, Some(200_000)));
    world.pool().limits.cpu_milli = Some(2_000 + 8_000);
    world.up(Some(1));
    assert_eq!(world.launches(), 1, "a small one is there, and a large one would be enough");
    world.worker(1).shape = "large".into();
    assert_eq!(code(&world), "limit");
}
