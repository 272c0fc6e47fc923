//! What a pass remembers and drops: Alertmanagers, the cluster's UID, refusals, signals.

use crate::model::{
    Ask, Breaker, BreakerState, Refusal, SignalId, WorkerId, WorkerState, duration,
};
use crate::policy::fixtures::{DAY, MINUTE, SECOND, UID, World, intents};
use crate::policy::without_launch;

/// Three idle workers, planned for once.
fn known() -> World {
    let mut world = World::of(3);
    for number in 1..=3 {
        world.pod_on(number, 100);
    }
    world.down();
    world.memory.cluster = world.plan().memory;
    world
}

#[test]
fn a_fresh_alertmanager_in_the_place_of_a_known_one_is_a_restart() {
    let mut world = known();
    let peer = &mut world.observed.truth.peers[0];
    (peer.url, peer.started) = ("http://10.0.0.7".to_owned(), Some(world.now));
    assert_eq!(world.held().code(), "alertmanager_restarted");
    let mut first = world.clone();
    first.memory.cluster.alertmanagers.clear();
    assert_eq!(first.drains().len(), 1, "the very first one seen holds nothing");
    world.observed.truth.peers[0].started = Some(duration::before(world.now, MINUTE * 5));
    assert_eq!(world.drains().len(), 1, "this one was there all the time");
}

#[test]
fn what_is_known_of_alertmanagers_outlives_a_week_without_any() {
    let mut world = known();
    world.observed.truth.peers.clear();
    world.later(DAY * 5);
    assert_eq!(world.plan().memory.alertmanagers, world.memory.cluster.alertmanagers);
    world.later(DAY);
    assert!(world.plan().memory.alertmanagers.is_empty(), "seven days after its start");
}

#[test]
fn a_new_store_beside_machines_of_ours_holds_removal() {
    let mut world = known();
    world.memory.workers.clear();
    world.memory.cluster.uid = None;
    let memory = world.plan().memory;
    assert_eq!(memory.uid, Some(UID.into()));
    assert_eq!(memory.store_forgot, Some(world.now));
    let mut empty = World::of(0);
    empty.memory.cluster.uid = None;
    assert_eq!(empty.plan().memory.store_forgot, None, "nothing was lost");
}

#[test]
fn a_hold_that_is_over_is_dropped() {
    let mut world = known();
    world.memory.cluster.down_held_until = Some(duration::after(world.now, SECOND));
    assert!(world.plan().memory.down_held_until.is_some());
    world.later(SECOND);
    assert!(world.plan().memory.down_held_until.is_none());
}

#[test]
fn what_is_known_of_a_worker_goes_with_it() {
    let mut world = known();
    let until = duration::after(world.now, DAY);
    for id in ["w1", "w9"] {
        let refusal = Refusal { count: 1, until, why: String::new() };
        world.memory.cluster.refusals.insert(id.into(), refusal);
        world.memory.cluster.unseen_since.insert(id.into(), world.now);
        world.memory.cluster.sick_since.insert(id.into(), world.now);
    }
    world.unjoined(1);
    let memory = world.plan().memory;
    assert!(memory.refusals.keys().eq([&WorkerId::from("w1")]));
    assert!(memory.unseen_since.keys().eq([&WorkerId::from("w1")]));
    assert!(memory.sick_since.is_empty(), "its node is not there");
    let mut world = known();
    world.sick_for(1, MINUTE);
    assert!(world.plan().memory.sick_since.keys().eq([&WorkerId::from("w1")]));
    world.set(1, WorkerState::Draining);
    assert!(world.plan().memory.sick_since.is_empty(), "it leaves");
}

#[test]
fn a_signal_is_kept_well_beyond_the_time_it_may_count() {
    let mut world = known();
    let expires = |world: &World, id: &str| {
        let expired = world.plan().expired;
        expired.iter().any(|(other, _)| *other == SignalId::from(id))
    };
    let life = world.limits.alertmanager.ttl * 2;
    world.signal_named("Idle").last_seen = duration::before(world.now, life);
    assert!(!expires(&world, "fp-Idle"));
    world.signal_named("Idle").last_seen = duration::before(world.now, life + SECOND);
    assert!(expires(&world, "fp-Idle"));
    let wish = world.manual(1).id.clone();
    world.signal_named("manual").ask = Ask::Reconcile;
    assert!(!expires(&world, wish.as_str()), "it is what wakes this pass");
    world.later(SECOND);
    assert!(expires(&world, wish.as_str()));
}

/// No limit and no cooldown counts what was not asked for.
#[test]
fn a_launch_that_was_refused_right_before_its_call_is_forgotten() {
    let mut world = World::of(1);
    world.up(None);
    world.pending(2, 1_500);
    let past = duration::before(world.now, MINUTE * 10);
    let memory = world.remembered();
    memory.launches = vec![(past, 1)];
    (memory.up_started, memory.up_ended) = (Some(past), Some(past));
    memory.breaker = Breaker { state: BreakerState::Open, failures: 1, retry_at: Some(past) };
    let plan = world.plan();
    let before = world.remembered().clone();
    let mut planned = plan.pools[&"workers".into()].clone();
    let intent = intents(&plan).next().unwrap();
    planned.replacing.insert("w1".into(), intent.request.batch.clone());
    assert_eq!(planned.breaker.state, BreakerState::HalfOpen);
    assert_eq!((planned.launches.len(), planned.watching.len()), (2, 1));
    let memory = without_launch(&planned, &before, intent);
    assert_eq!(memory, before);
}
