//! Offerings whose machines came to nothing: others are preferred for a growing time.

use crate::config::Mode;
use crate::model::{
    BackOff, Failure, LaunchRequest, Market, Plan, Price, Reason, Resources, Verdict, WorkerState,
    duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, World, shape, small};
use crate::policy::without_capacity;
use std::time::Duration;

fn request(world: &World) -> LaunchRequest {
    let decision = world.decision();
    let Verdict::Launch { intent } = decision.verdict else { panic!("{decision:#?}") };
    intent.request
}

fn back_offs(plan: &Plan) -> &[BackOff] {
    &plan.pools[&"workers".into()].back_offs
}

/// One that was asked for in this zone so long ago and has no node.
fn late_in(world: &mut World, zone: &str) -> u32 {
    let number = world.booting(MINUTE * 5 + SECOND);
    world.instance(number).zone = zone.into();
    world.worker(number).zone = zone.into();
    number
}

/// The pass in which it is given up; its record goes.
fn given_up(world: &mut World, number: u32) -> Plan {
    let plan = world.plan();
    assert_eq!(plan.failure(number), Some(Failure::NeverJoined));
    world.commit(&plan);
    world.unrecorded(number);
    world.unlisted(number);
    // The breaker is about the pool, and no matter here.
    world.remembered().breaker = crate::model::Breaker::default();
    plan
}

/// One that was launched just now in this zone and is Ready for the first time.
fn comes_in(world: &mut World, zone: &str) -> u32 {
    let (number, now) = (world.ready("workers"), world.now);
    world.set(number, WorkerState::Joined);
    let worker = world.worker(number);
    (worker.zone, worker.created) = (zone.into(), now);
    (worker.ready, worker.batch) = (None, Some("b9".into()));
    number
}

/// For how long the zone's offering is backed off after so many machines in a row did not join there.
fn waits(world: &mut World, times: usize) -> Vec<Duration> {
    let mut waits = Vec::new();
    for _ in 0..times {
        let number = late_in(world, "a");
        let plan = given_up(world, number);
        let until = back_offs(&plan)[0].until;
        let wait = duration::until(until, world.now);
        waits.push(wait);
        world.later(wait);
    }
    waits
}

/// w1 is in a, so b would come next, and a after it.
#[test]
fn after_a_machine_did_not_join_the_next_one_is_bought_elsewhere_for_a_while() {
    let mut world = World::of(1);
    let number = late_in(&mut world, "b");
    let plan = given_up(&mut world, number);
    let told = back_offs(&plan);
    assert_eq!((told.len(), told[0].zone.as_str(), told[0].count), (1, "b", 1));
    assert!(told[0].why.contains("no node within 5m"), "{}", told[0].why);
    world.up(Some(1));
    let bought = request(&world);
    assert_eq!(bought.orders[0].offering.zone, "a".into());
    assert_eq!(bought.fallback.last().unwrap().zone, "b".into(), "the last that is tried");
    let also = world.decision().also;
    assert!(also.iter().any(|it| matches!(it, Reason::BackedOff { .. })), "{also:#?}");
    let until = told[0].until;
    world.later(duration::until(until, world.now));
    assert_eq!(request(&world).orders[0].offering.zone, "b".into());
    let also = world.decision().also;
    assert!(!also.iter().any(|it| matches!(it, Reason::BackedOff { .. })), "{also:#?}");
}

#[test]
fn the_wait_doubles_to_its_limit_and_a_fifth_of_it_at_most_is_left_to_chance() {
    let mut world = World::of(1);
    let waits = waits(&mut world, 5);
    let full = [12, 24, 48, 60, 60].map(|minutes| MINUTE * minutes);
    for (wait, full) in waits.iter().zip(full) {
        assert!(*wait <= full && *wait >= full / 5 * 4, "{wait:?} of {full:?}");
    }
    let shares: Vec<f64> = waits
        .iter()
        .zip(full)
        .map(|(wait, full)| wait.as_secs_f64() / full.as_secs_f64())
        .collect();
    assert!(shares.windows(2).any(|two| (two[0] - two[1]).abs() > 0.01), "all alike: {shares:?}");
}

/// A shape of which one market in one zone failed is still sold there in the other.
#[test]
fn the_other_market_of_the_zone_comes_first() {
    let mut world = World::of(1);
    let mut spot = world.shapes()[0].offerings.clone();
    for offering in &mut spot {
        offering.market = Market::Spot;
    }
    world.shapes()[0].offerings.extend(spot);
    let number = late_in(&mut world, "b");
    given_up(&mut world, number);
    world.up(Some(1));
    let offering = request(&world).orders.remove(0).offering;
    assert_eq!((offering.zone.as_str(), offering.market), ("b", Market::Spot));
}

#[test]
fn machines_of_one_offering_that_fail_together_count_once() {
    let mut world = World::of(1);
    let (one, other) = (late_in(&mut world, "b"), late_in(&mut world, "b"));
    let plan = world.plan();
    assert_eq!(plan.failure(one), plan.failure(other));
    assert_eq!(back_offs(&plan)[0].count, 1);
}

#[test]
fn one_that_becomes_ready_speaks_for_its_offering_again() {
    let mut world = World::of(1);
    let number = late_in(&mut world, "b");
    given_up(&mut world, number);
    world.later(SECOND);
    let next = comes_in(&mut world, "b");
    let plan = world.plan();
    assert_eq!(plan.event(next).map(crate::model::WorkerEvent::name), Some("became_ready"));
    assert!(back_offs(&plan).is_empty());
}

#[test]
fn how_often_it_was_is_forgotten_an_hour_after_it_is_over() {
    let mut world = World::of(1);
    let number = late_in(&mut world, "b");
    let plan = given_up(&mut world, number);
    let over = back_offs(&plan)[0].until;
    world.later(duration::until(over, world.now) + MINUTE * 59);
    assert_eq!(back_offs(&world.plan()).len(), 1);
    world.later(MINUTE);
    assert!(back_offs(&world.plan()).is_empty());
}

/// A pod that must be in b, and b is where it failed: it is tried there all the same.
#[test]
fn where_nothing_else_would_do_it_is_bought_all_the_same() {
    let mut world = World::of(1);
    world.pod_on(1, 2_000);
    let number = late_in(&mut world, "b");
    given_up(&mut world, number);
    world.up(None);
    world.pending(1, 1_000);
    world.add_labels("n1");
    let zone = ("topology.kubernetes.io/zone".to_owned(), "b".to_owned());
    world.spec().node_selector.extend([zone]);
    assert_eq!(request(&world).orders[0].offering.zone, "b".into());
}

#[test]
fn pods_get_another_shape_while_theirs_is_backed_off() {
    let mut world = World::of(1);
    world.pod_on(1, 2_000);
    world.shapes().push(shape("dear", small(), Some(900_000)));
    for zone in ["a", "b"] {
        let number = late_in(&mut world, zone);
        given_up(&mut world, number);
    }
    world.up(None);
    world.pending(1, 1_000);
    assert_eq!(request(&world).orders[0].offering.shape, "dear".into());
    world.pool().headroom = Resources::new(3_000, 0);
    let orders = request(&world).orders;
    assert!(orders.len() == 2 && orders.iter().all(|one| one.offering.shape == "dear".into()));
}

/// Another pool may be unable to launch for reasons of its own, and the pods would wait for it.
#[test]
fn a_pool_whose_only_offering_is_backed_off_keeps_its_pods() {
    let mut world = World::of(1);
    world.pod_on(1, 2_000);
    for zone in ["a", "b"] {
        let number = late_in(&mut world, zone);
        given_up(&mut world, number);
    }
    world.add_pool("others", 3);
    world.pool_named("others").mode = Mode::DryRun;
    world.pool().priority = 9;
    world.up(None);
    world.signal_named("Up").pool = None;
    world.pending(1, 1_000);
    assert_eq!(request(&world).orders.len(), 1);
}

#[test]
fn a_step_is_bought_for_what_is_really_asked_there() {
    let mut world = World::of(1);
    let mut spot = world.shapes()[0].offerings.clone();
    for offering in &mut spot {
        (offering.market, offering.price) = (Market::Spot, Some(Price(10_000)));
    }
    let offerings = &mut world.shapes()[0].offerings;
    for one in offerings.iter_mut() {
        one.price = Some(Price(900_000));
    }
    offerings.extend(spot.clone());
    world.shapes().push(shape("other", small(), Some(50_000)));
    world.up(Some(1));
    assert_eq!(request(&world).orders[0].offering.shape, "small".into(), "spot is cheaper");
    let (timing, now) = (world.limits.timing, world.now);
    for offering in &spot {
        without_capacity(world.remembered(), offering, "no capacity", &timing, now);
    }
    assert_eq!(request(&world).orders[0].offering.shape, "other".into());
}

/// It says nothing about what can be had since.
#[test]
fn a_machine_that_was_bought_before_a_shortage_does_not_end_it() {
    let mut world = World::of(1);
    let offering = world.shapes()[0].offerings[1].clone();
    let (timing, now) = (world.limits.timing, world.now);
    without_capacity(world.remembered(), &offering, "no capacity", &timing, now);
    let number = comes_in(&mut world, "b");
    world.worker(number).created = now;
    assert_eq!(back_offs(&world.plan()).len(), 1);
    world.later(SECOND);
    let now = world.now;
    world.worker(number).created = now;
    assert!(back_offs(&world.plan()).is_empty());
}

/// What the provider told in a launch: a quarter of the time that one costs whose machine did not join.
#[test]
fn an_offering_without_capacity_is_backed_off_too() {
    let mut world = World::of(1);
    let offering = world.shapes()[0].offerings[1].clone();
    let (timing, now) = (world.limits.timing, world.now);
    without_capacity(world.remembered(), &offering, "no capacity", &timing, now);
    let told = world.remembered().back_offs[0].clone();
    let wait = duration::until(told.until, now);
    assert!(wait <= MINUTE * 3 && wait >= MINUTE * 3 / 5 * 4, "{wait:?}");
    world.up(Some(1));
    assert_eq!(request(&world).orders[0].offering.zone, "a".into());
}
