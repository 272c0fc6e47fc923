//! When a time is over: what holds until then holds no longer at its end, and a deadline has passed
//! only after it.

use crate::model::{
    BreakerState, Purpose, Readiness, Refusal, SilenceId, Unhelpable, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, World};
use jiff::Timestamp;
use std::time::Duration;

/// What is over, a world in which it began at the moment given, and how it shows that it is over.
type Row = (&'static str, fn(&mut World, Timestamp), fn(&World) -> bool);

/// Whether it is over so long after it began. Everything here takes a minute.
fn is_over((_, begin, over): &Row, after: Duration) -> bool {
    let mut world = World::of(1);
    let now = world.now;
    begin(&mut world, now);
    world.later(after);
    over(&world)
}

fn refusal(until: Timestamp) -> Refusal {
    Refusal { count: 1, until, why: String::new() }
}

#[test]
fn what_holds_for_a_time_holds_to_its_end_and_no_longer() {
    let table: [Row; 8] = [
        ("a refusal", refused, |world| world.drains() == ["w1"]),
        ("a refusal of a drain that is late again", late_again, |world| {
            world.plan().memory.refusals[&"w1".into()].count == 2
        }),
        ("a pod that launches do not help", unhelpable, |world| {
            let decision = world.decision();
            decision.reason.code() == "pods_pending" && decision.also.is_empty()
        }),
        ("the time to place a batch's pods", watched, |world| {
            world.plan().pools[&"workers".into()].breaker.state == BreakerState::Open
        }),
        ("the wait for siblings", settling, |world| world.launches() == 1),
        ("a silence", silenced, |world| world.plan().memory.silences.is_empty()),
        ("the hour of a replacement", replaced, |world| world.launches() == 1),
        ("a machine of a worker that is gone", gone, |world| world.plan().adopted(1).is_some()),
    ];
    for row in table {
        assert!(!is_over(&row, SECOND * 59), "{}: too early", row.0);
        assert!(is_over(&row, MINUTE), "{}: too late", row.0);
    }
}

#[test]
fn a_deadline_has_passed_only_after_its_time() {
    let table: [Row; 3] = [
        ("a node without its machine", left_over, |world| world.plan().adopted(1).is_some()),
        ("the record of a worker that is gone", forgotten, |world| !world.plan().forget.is_empty()),
        ("a call", called, |world| world.plan().act(1) == "replay"),
    ];
    for row in table {
        assert!(!is_over(&row, MINUTE), "{}: too early", row.0);
        assert!(is_over(&row, MINUTE + SECOND), "{}: too late", row.0);
    }
}

fn refused(world: &mut World, now: Timestamp) {
    world.down();
    let until = duration::after(now, MINUTE);
    world.memory.cluster.refusals.insert("w1".into(), refusal(until));
}

fn late_again(world: &mut World, now: Timestamp) {
    world.leaving(1, WorkerState::Draining, Purpose::Idle);
    world.worker(1).deadline_from = duration::before(now, MINUTE * 10);
    let until = duration::after(now, MINUTE);
    world.memory.cluster.refusals.insert("w1".into(), refusal(until));
}

fn unhelpable(world: &mut World, now: Timestamp) {
    world.up(None);
    world.pending(1, 1_500);
    world.pod_on(1, 1_000);
    let pod = world.view().pods[0].uid.clone();
    let until = Some(duration::after(now, MINUTE));
    world.remembered().unhelpable.insert(pod, Unhelpable { vain: 2, until });
}

fn watched(world: &mut World, now: Timestamp) {
    world.pending(1, 1_500);
    world.pod_on(1, 1_000);
    let pod = world.view().pods[0].uid.clone();
    (world.worker(1).batch, world.worker(1).ready) = (Some("b".into()), Some(now));
    world.remembered().watching.insert("b".into(), vec![pod]);
}

fn settling(world: &mut World, _: Timestamp) {
    world.up(None);
    world.pool().settle = MINUTE;
    world.pool().settle_max = MINUTE * 5;
    world.pending(1, 1_500);
    world.pod_on(1, 1_000);
    // Nothing comes to it: each pass sees the very same need.
    for _ in 0..2 {
        world.memory.pools = world.plan().pools;
    }
}

fn silenced(world: &mut World, now: Timestamp) {
    let id: SilenceId = world.remembered_silence("down");
    world.memory.cluster.silences.get_mut(&id).unwrap().ends = duration::after(now, MINUTE);
}

fn replaced(world: &mut World, now: Timestamp) {
    world.replace(1);
    world.pool().replacements_per_hour = 1;
    world.memory.cluster.replacements = vec![duration::before(now, MINUTE * 59)];
}

fn gone(world: &mut World, now: Timestamp) {
    world.unjoined(1);
    world.set(1, WorkerState::Gone);
    world.worker(1).since = duration::before(now, MINUTE);
}

fn left_over(world: &mut World, now: Timestamp) {
    world.unrecorded(1);
    world.unlisted(1);
    world.pool().not_ready_deadline = MINUTE;
    world.node(1).readiness = Readiness::NotReady { since: now };
}

fn forgotten(world: &mut World, _: Timestamp) {
    world.limits.timing.gone_for = MINUTE;
    world.set(1, WorkerState::Gone);
}

fn called(world: &mut World, now: Timestamp) {
    world.limits.timing.call = MINUTE;
    let mut intent = launched();
    intent.at = now;
    intent.request.orders[0].worker = "w1".into();
    world.worker(1).batch = Some("b".into());
    world.set(1, WorkerState::Requested);
    (world.worker(1).instance, world.worker(1).node) = (None, None);
    world.unlisted(1);
    world.unjoined(1);
    world.memory.intents.insert("b".into(), intent);
}

fn launched() -> crate::model::Intent {
    let mut world = World::of(0);
    world.manual(1);
    let crate::model::Verdict::Launch { intent } = world.decision().verdict else { panic!() };
    *intent
}
