//! Launching stops where it does not help.

use crate::model::{
    Breaker, BreakerState, Failure, Pin, Plan, Readiness, Reason, Uid, Unhelpable, WorkerEvent,
    WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, World, code};

fn breaker(plan: &Plan) -> Breaker {
    plan.pools[&"workers".into()].breaker
}

/// A pod that waits for a worker of its own, and an alert that says so.
fn waiting() -> (World, Uid) {
    let mut world = World::of(0);
    world.up(None);
    world.pending(1, 1_950);
    let pod = world.view().pods[0].uid.clone();
    (world, pod)
}

/// A worker was launched for the pod, in a batch of its own, and another pod took its room.
fn launched_in_vain(world: &mut World, pod: &Uid) -> u32 {
    let number = world.ready("workers");
    world.pod_on(number, 1_000).pins.push(Pin::Bare);
    let batch = format!("b{number}");
    world.worker(number).batch = Some(batch.as_str().into());
    world.remembered().watching.insert(batch.as_str().into(), vec![pod.clone()]);
    number
}

#[test]
fn an_open_breaker_holds_to_its_time_and_then_lets_one_worker_through() {
    let mut world = World::of(0);
    world.up(Some(4));
    let until = duration::after(world.now, MINUTE * 3);
    world.remembered().breaker =
        Breaker { state: BreakerState::Open, failures: 1, retry_at: Some(until) };
    assert_eq!(world.held(), Reason::BreakerOpen { until, failures: 1 });
    world.later(SECOND * 179);
    assert_eq!(code(&world), "breaker_open");
    world.later(SECOND);
    assert_eq!(world.launches(), 1);
    assert_eq!(breaker(&world.plan()).state, BreakerState::HalfOpen);
}

#[test]
fn while_one_is_on_trial_no_other_is_launched() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(3, 1_900);
    world.booting(SECOND * 20);
    let past = duration::before(world.now, SECOND * 30);
    world.remembered().breaker =
        Breaker { state: BreakerState::HalfOpen, failures: 1, retry_at: Some(past) };
    assert_eq!(code(&world), "breaker_open");
}

/// That the next worker becomes Ready is no help where it was launched for pods.
#[test]
fn workers_that_place_none_of_their_pods_open_the_breaker_for_a_growing_time() {
    let (mut world, pod) = waiting();
    let mut waits = Vec::new();
    for _ in 0..6 {
        launched_in_vain(&mut world, &pod);
        let plan = world.plan();
        assert_eq!(breaker(&plan).state, BreakerState::Open);
        waits.push(duration::until(breaker(&plan).retry_at.unwrap(), world.now));
        world.memory.pools = plan.pools;
        world.later(MINUTE * 40);
        let next = launched_in_vain(&mut world, &pod);
        world.set(next, WorkerState::Joined);
        let plan = world.plan();
        assert_eq!(plan.event(next).map(WorkerEvent::name), Some("became_ready"));
        world.memory.pools = plan.pools;
        world.unrecorded(next);
        world.unjoined(next);
        world.unlisted(next);
    }
    assert_eq!(waits, [3, 6, 12, 24, 30, 30].map(|minutes| MINUTE * minutes));
}

#[test]
fn a_batch_that_placed_one_of_its_pods_closes_the_breaker() {
    let (mut world, left) = waiting();
    let number = launched_in_vain(&mut world, &left);
    let placed = world.pod_on(number, 100).uid.clone();
    let memory = world.remembered();
    memory.watching.values_mut().for_each(|pods| pods.push(placed.clone()));
    (memory.breaker.state, memory.breaker.failures) = (BreakerState::HalfOpen, 3);
    assert_eq!(breaker(&world.plan()), Breaker::default());
}

#[test]
fn a_pod_that_was_not_helped_twice_is_no_need_for_a_growing_time() {
    let (mut world, pod) = waiting();
    for (vain, minutes) in [(1, None), (2, Some(5)), (3, Some(10))] {
        launched_in_vain(&mut world, &pod);
        world.remembered().breaker = Breaker::default();
        world.memory.pools = world.plan().pools;
        let until = minutes.map(|minutes| duration::after(world.now, MINUTE * minutes));
        assert_eq!(world.remembered().unhelpable[&pod], Unhelpable { vain, until });
    }
    let decision = world.decision();
    assert_eq!(decision.reason.code(), "no_pod_waits");
    assert!(decision.also.iter().any(|reason| reason.code() == "unhelpable"), "{decision:#?}");
    world.view().pods.retain(|other| other.uid != pod);
    world.memory.pools = world.plan().pools;
    assert!(world.remembered().unhelpable.is_empty(), "it waits no more");
}

#[test]
fn a_step_alert_that_persists_never_opens_the_breaker() {
    let mut world = World::of(2);
    world.up(Some(1));
    for _ in 0..20 {
        let plan = world.plan();
        assert_eq!(breaker(&plan).state, BreakerState::Closed);
        world.memory.pools = plan.pools;
        world.later(MINUTE * 10);
    }
}

#[test]
fn a_refused_launch_counts_once_however_long_a_pause_keeps_its_record() {
    let mut world = World::of(1);
    world.set(1, WorkerState::Failed { failure: Failure::NotLaunched });
    world.worker(1).instance = None;
    world.unlisted(1);
    world.unjoined(1);
    world.silence("repair");
    for _ in 0..3 {
        let plan = world.plan();
        assert_eq!(breaker(&plan).failures, 0);
        world.apply(&plan);
    }
    world.observed.truth.silences.clear();
    world.memory.cluster.silences.clear();
    assert_eq!(breaker(&world.plan()).failures, 1);
}

#[test]
fn a_failure_opens_the_breaker_of_its_own_pool() {
    let mut world = World::of(0);
    world.add_pool("others", 5);
    world.booting(MINUTE * 6);
    let plan = world.plan();
    assert_eq!(breaker(&plan).state, BreakerState::Open);
    assert_eq!(plan.pools[&"others".into()].breaker.state, BreakerState::Closed);
}

#[test]
fn a_trial_that_came_to_nothing_lets_the_next_one_through() {
    let mut world = World::of(0);
    world.up(Some(4));
    let retry_at = Some(world.now);
    world.remembered().breaker = Breaker { state: BreakerState::HalfOpen, failures: 2, retry_at };
    assert_eq!(world.launches(), 1);
}

#[test]
fn what_was_not_helped_is_remembered_while_the_cluster_is_not_seen() {
    let (mut world, pod) = waiting();
    let until = Some(duration::after(world.now, MINUTE));
    world.remembered().unhelpable.insert(pod, Unhelpable { vain: 2, until });
    world.view_is_unknown();
    assert_eq!(world.plan().pools[&"workers".into()].unhelpable.len(), 1);
}

/// Found in review: it was Ready once, so its launch is judged already.
#[test]
fn a_machine_that_joins_anew_says_nothing_about_launching() {
    for (readiness, state) in [
        (Readiness::Ready, BreakerState::HalfOpen),
        (Readiness::NotReady { since: World::of(0).now }, BreakerState::Closed),
    ] {
        for was_ready in [false, true] {
            let mut world = World::of(1);
            world.set(1, WorkerState::Joined);
            world.worker(1).ready = was_ready.then_some(world.now);
            world.node(1).readiness = readiness;
            world.later(MINUTE * 6);
            world.remembered().breaker.state = state;
            assert_eq!(breaker(&world.plan()).state == state, was_ready, "{readiness:?}");
        }
    }
}
