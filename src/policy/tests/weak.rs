//! Faults of systems like this one, by their number; each test holds our counterpart.

use crate::model::{
    Guard, PodSpec, Purpose, Readiness, Reason, Resources, View, Want, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, UNSEEN, World, code, launches};
use std::sync::Arc;

fn dead(world: &mut World) {
    world.watchdog_falls_silent();
    world.observed.wants.values_mut().for_each(|want| *want = Want::Unknown { why: "down".into() });
    world.observed.guards.values_mut().for_each(|g| *g = Guard::Unknown { why: "down".into() });
}

/// There, a failed query read as zero nodes, and two were launched on every run.
#[test]
fn w_02_a_dead_prometheus_is_never_zero_nodes() {
    let mut world = World::of(3);
    world.pool().min = 2;
    world.up_wants(Want::Workers(9));
    dead(&mut world);
    for _ in 0..5 {
        let plan = world.plan();
        assert_eq!(launches(&plan.decisions[0]), 0, "{plan:#?}");
        world.apply(&plan);
        world.later(MINUTE);
        dead(&mut world);
    }
    world.observed.cluster = View::Unknown { why: "timeout".to_owned() };
    assert_eq!(world.launches(), 0, "nor is an unseen cluster an empty one");
}

/// A-06, the second half. There, the cluster could never shrink from its maximum.
#[test]
fn w_03_a_full_pool_can_still_shrink() {
    let mut world = World::of(4);
    world.pool().max = 4;
    world.down();
    world.up(None);
    assert!(!world.drains().is_empty());
    world.pool().max = 2;
    assert!(!world.drains().is_empty(), "above it too, by its own alert only");
    world.signals.retain(|signal| signal.name != "Idle");
    assert_eq!(world.drains(), Vec::<String>::new());
}

/// There, missing metrics read as zero load.
#[test]
fn w_04_missing_metrics_remove_nothing() {
    let mut world = World::of(3);
    world.guard(Some(Guard::Holds));
    world.down();
    dead(&mut world);
    let plan = world.plan();
    assert!(plan.steps.is_empty());
    assert_eq!(plan.decisions[0].reason.code(), "watchdog_missing");
}

/// There, growing waited for the longer cooldown of shrinking.
#[test]
fn w_05_each_direction_has_its_own_cooldown() {
    let mut world = World::of(3);
    world.up(Some(1));
    let (now, ended) = (world.now, duration::before(world.now, MINUTE * 6));
    let memory = world.remembered();
    (memory.up_started, memory.up_ended) = (Some(ended), Some(ended));
    memory.down_ended = Some(now);
    assert_eq!(world.launches(), 1, "five minutes are over, ten are not");
    world.resolve("Up");
    world.down();
    assert_eq!(world.held().code(), "cooldown");
}

/// There, a full pool with pending pods and low load shrank.
#[test]
fn w_06_pending_pods_hold_shrinking_even_at_the_maximum() {
    let mut world = World::of(3);
    world.pool().max = 3;
    world.down();
    for number in 1..=3 {
        world.pod_on(number, 1_500);
    }
    world.pending(2, 1_500);
    assert_eq!(world.held(), Reason::PendingPods { pods: 2 });
}

/// There, a window was so many readings, however far apart.
#[test]
fn w_10_how_often_a_plan_is_made_changes_nothing() {
    let mut often = World::of(3);
    often.up(Some(1));
    often.apply(&often.plan());
    let mut seldom = often.clone();
    for _ in 0..60 {
        often.later(MINUTE / 30);
        often.apply(&often.plan());
    }
    seldom.later(MINUTE * 2);
    assert_eq!(often.decision().reason, seldom.decision().reason);
    assert_eq!(often.memory.workers, seldom.memory.workers);
}

/// There, rules ran in the order of their names, and low load beat full memory and pending pods.
#[test]
fn w_14_growing_beats_shrinking_whatever_the_alerts_are_called() {
    for (up, down) in [("A", "Z"), ("Z", "A")] {
        let mut world = World::of(3);
        world.down().name = down.to_owned();
        world.up(Some(1)).name = up.to_owned();
        for _ in 0..2 {
            let decision = world.decision();
            assert_eq!(launches(&decision), 1);
            assert_eq!(decision.reason.code(), "alert_step");
            world.signals.reverse();
        }
    }
}

/// There, the maximum was never asked for.
#[test]
fn w_15_no_need_however_large_goes_beyond_the_maximum() {
    let mut world = World::of(2);
    world.pool().max = 6;
    world.up(Some(u32::MAX));
    world.up_wants(Want::Workers(u32::MAX));
    world.manual(i32::MAX);
    world.pending(100, 1_500);
    assert_eq!(world.launches(), 4);
    world.pool().max = 2;
    assert_eq!(world.held(), Reason::AtMax { max: 2 });
}

/// There, the cooldown was written under one name and read under another.
#[test]
fn w_17_the_cooldown_that_is_set_is_the_one_that_is_asked() {
    let mut world = World::of(2);
    world.pool().min = 1;
    world.up(Some(1));
    world.run();
    assert_eq!(world.held().code(), "cooldown");
    world.resolve("Up");
    world.later(MINUTE * 11);
    for number in 1..=2 {
        world.pod_on(number, 100);
    }
    world.down();
    world.run();
    assert_eq!(world.held().code(), "cooldown");
}

/// There, requests above what nodes have were an error, just when pods were pending.
#[test]
fn w_19_requests_beyond_what_nodes_have_are_need_and_no_error() {
    let mut world = World::of(1);
    world.up(None);
    world.pod_on(1, 5_000);
    world.pending(2, 1_500);
    assert_eq!(world.launches(), 2);
    world.first_pod().spec = Arc::new(PodSpec {
        requests: Resources::new(u64::MAX, u64::MAX).with_pods(u64::MAX),
        ..PodSpec::default()
    });
    world.pool().headroom = Resources::new(u64::MAX, u64::MAX);
    world.down();
    assert_eq!(world.launches(), 9, "no more than the pool may have");
}

/// There, every pod that was not running counted, up to the maximum.
#[test]
fn w_21_only_pods_that_a_worker_would_help_are_need() {
    let mut world = World::of(0);
    world.up(None);
    world.limits.pending.age = MINUTE / 2;
    world.add_pod(crate::model::Placement::OtherScheduler, 1_500);
    world.add_pod(crate::model::Placement::Gated, 1_500);
    world.pending(1, 99_000);
    world.pending(1, 1_500);
    let fresh = world.now;
    world.pods().nth(3).unwrap().created = fresh;
    assert_eq!(world.launches(), 0, "nobody's, gated, too large, and too young");
    world.later(MINUTE);
    assert_eq!(world.launches(), 1);
}

/// There, the list of permanent workers was read from nowhere.
#[test]
fn w_69_permanent_workers_stay_through_idleness_wishes_age_alerts_and_sickness() {
    let mut world = World::of(2);
    world.pool().permanent = ["w1", "n2"].map(str::to_owned).into();
    world.pool().max_age = Some(MINUTE);
    world.down();
    world.manual(-2);
    world.replace(1);
    world.pending(0, 0);
    for _ in 0..3 {
        world.node(2).readiness = Readiness::NotReady { since: jiff::Timestamp::UNIX_EPOCH };
        let plan = world.plan();
        assert!(plan.steps.is_empty() && launches(&plan.decisions[0]) == 0, "{plan:#?}");
        world.apply(&plan);
        world.later(MINUTE * 20);
    }
    assert!(world.memory.workers.values().all(crate::model::Worker::is_serving));
}

/// I6: nor are an unseen cluster or list.
#[test]
fn w_02_what_is_unknown_is_never_below_min() {
    for hide in UNSEEN {
        let mut world = World::of(0);
        world.pool().min = 3;
        hide(&mut world);
        assert!(["unknown", "stale"].contains(&code(&world)), "{}", code(&world));
    }
}

/// "Nothing asks" would be a claim about pods that nobody sees.
#[test]
fn whether_something_asks_is_unknown_while_the_cluster_is() {
    for asks in [false, true] {
        let mut world = World::of(1);
        if asks {
            world.up(None);
        }
        let calm = if asks { "no_pod_waits" } else { "nothing_asked" };
        assert_eq!(code(&world), calm);
        world.view_is_unknown();
        assert_eq!(code(&world), "unknown", "asks: {asks}");
    }
}

/// The deadline that is set is the one that is asked.
#[test]
fn w_07_the_configured_drain_timeout_is_the_one_that_counts() {
    for (timeout, act) in [(MINUTE * 5, "uncordon"), (MINUTE * 6, "evict")] {
        let mut world = World::of(2);
        world.leaving(1, WorkerState::Draining, Purpose::Manual);
        world.pool().drain.timeout = timeout;
        world.later(MINUTE * 5 + SECOND);
        assert_eq!(world.plan().act(1), act, "{timeout:?}");
    }
}

/// An alert that is over asks for nothing, nor does one that never was.
#[test]
fn w_08_resolved_and_absence_never_remove() {
    let mut world = World::of(3);
    assert!(world.plan().is_quiet());
    world.down();
    world.resolve("Idle");
    assert_eq!(code(&world), "nothing_asked");
    assert!(world.plan().is_quiet());
}

/// The number that is wished for is the number that is done.
#[test]
fn w_16_a_manual_wish_removes_as_many_as_it_says_and_no_more() {
    let mut world = World::of(5);
    world.manual(-2);
    assert_eq!(world.drains().len(), 2, "of five that are empty");
}

/// What another cluster under the same account has is neither ours nor counted.
#[test]
fn w_22_machines_of_another_cluster_count_nowhere() {
    let mut world = World::of(1);
    world.pool().min = 1;
    world.unrecorded(1);
    world.unjoined(1);
    assert_eq!(world.launches(), 0);
    for uid in [Some("another".into()), None] {
        world.instance(1).cluster_uid = uid;
        assert_eq!(world.launches(), 1);
    }
}
