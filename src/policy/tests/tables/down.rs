//! Shrinking: what holds it, who may go, in which order.

use super::world::{Read as _, World, drains, launches, mins, secs, shape, world, world_of};
use crate::config::{Amount, OrderBy};
use crate::model::{
    Act, Ask, Cordon, Essential, Market, Pin, PodKind, Purpose, Readiness, Reason, Refusal,
    Verdict, Want, WorkerEvent, WorkerState, duration,
};
use std::time::Duration;

/// So many day-old workers with one movable pod each, and an alert that says idle.
fn idle(count: usize) -> World {
    let mut world = world().with_workers(count);
    for number in 1..=count {
        world.running_on(&format!("w{number}"), 100 * number as u64);
    }
    world.down();
    world
}

fn holds_with(world: &World, is_it: impl Fn(&Reason) -> bool) {
    let decision = world.decision();
    assert!(drains(&decision).is_empty(), "{decision:?}");
    let tells = is_it(&decision.reason) || decision.also.iter().any(is_it);
    assert!(tells, "{decision:?}");
}

/// The only worker that could go, and what keeps it.
fn kept_by(world: &World) -> Reason {
    match world.decision().reason {
        Reason::NoCandidate { mut blocked } => *blocked.remove(0).1,
        other => panic!("{other:?}"),
    }
}

///
#[test]
fn an_idle_alert_removes_exactly_one_worker_and_cordons_it_first() {
    let world = idle(3);
    let plan = world.plan();
    assert_eq!(drains(plan.of("workers")), ["w1"], "the emptiest");
    let step = plan.step_of("w1").unwrap();
    assert!(matches!(step.act, Act::Cordon { .. }));
    assert_eq!(step.before, Some(WorkerEvent::Cordon { purpose: Purpose::Idle }));
}

#[test]
fn empty_workers_go_several_at_once() {
    let mut world = world().with_workers(5);
    world.pool().step.empty = Amount::Count(3);
    world.down();
    assert_eq!(drains(&world.decision()).len(), 3);
}

///
#[test]
fn nothing_goes_below_min_or_the_permanent_ones() {
    let mut world = idle(3);
    world.pool().min = 3;
    assert_eq!(world.decision().reason, Reason::AtMin { min: 3 });
    world.pool().min = 0;
    world.pool().permanent = ["x", "y", "z"].map(String::from).into();
    assert_eq!(world.decision().reason, Reason::AtMin { min: 3 });
    let mut world = super::world::world().with_workers(5);
    world.down();
    world.pool().min = 4;
    assert_eq!(drains(&world.decision()).len(), 1, "five empty ones, four must stay");
}

/// A-09, W-06
#[test]
fn w_06_pending_pods_hold_removal_even_at_max() {
    let mut world = idle(3);
    world.pool().max = 3;
    world.pending(2, 1_900);
    holds_with(&world, |reason| *reason == Reason::PendingPods { pods: 2 });
}

/// W-03, A-06
#[test]
fn w_03_at_max_scale_down_is_still_possible() {
    let mut world = idle(3);
    world.pool().max = 3;
    assert_eq!(drains(&world.decision()), ["w1"]);
}

/// W-14
#[test]
fn w_14_up_beats_down_whenever_both_could_be_said() {
    let mut world = idle(3);
    world.up_step(1);
    let decision = world.decision();
    assert_eq!((launches(&decision), drains(&decision).len()), (1, 0));
    world.pool().max = 3;
    holds_with(&world, |reason| matches!(reason, Reason::UpActive { .. }));
}

#[test]
fn a_silenced_up_alert_still_holds_removal() {
    let mut world = idle(3);
    world.up_step(1);
    world.silence("alertname", "CpuHigh");
    holds_with(&world, |reason| matches!(reason, Reason::UpActive { .. }));
}

#[test]
fn an_up_alert_that_was_silenced_before_it_ever_reached_us_holds_removal() {
    let mut world = idle(3);
    world.up_step(1);
    world.silence("alertname", "CpuHigh");
    world.signals.retain(|signal| signal.name != "CpuHigh");
    holds_with(&world, |reason| matches!(reason, Reason::UpActive { .. }));
}

#[test]
fn an_up_alert_whose_only_need_is_unhostable_does_not_hold_removal() {
    let mut world = idle(3);
    world.up();
    world.pending(1, 9_000);
    assert_eq!(drains(&world.decision()), ["w1"]);
}

#[test]
fn an_up_alert_whose_only_need_is_unhelpable_does_not_hold_removal() {
    let mut world = idle(3);
    world.up();
    world.pending(1, 1_950);
    let uid = world.pods.last().unwrap().uid.clone();
    let until = Some(duration::after(world.now, mins(5)));
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.unhelpable.insert(uid, crate::model::Unhelpable { vain: 2, until });
    assert_eq!(drains(&world.decision()), ["w1"]);
}

#[test]
fn a_wanted_size_that_is_still_met_after_the_removal_does_not_hold_it() {
    let mut world = idle(3);
    world.up_want(Want::Workers(2));
    assert_eq!(drains(&world.decision()), ["w1"]);
    world.up_want(Want::Workers(3));
    holds_with(&world, |reason| *reason == Reason::StillWanted { want: 3 });
    world.up_want(Want::Unknown { why: "NaN".to_owned() });
    holds_with(&world, |reason| matches!(reason, Reason::WantUnknown { .. }));
}

#[test]
fn workers_on_their_way_in_or_out_hold_removal() {
    let mut world = idle(3);
    world.booting("b1", secs(20));
    holds_with(&world, |reason| *reason == Reason::WorkersComing { workers: 1 });
    let mut world = idle(3);
    world.leaving("w3", WorkerState::Draining, Purpose::Idle);
    holds_with(&world, |reason| *reason == Reason::Draining { workers: 1 });
}

///
#[test]
fn the_down_cooldown_runs_from_the_end_of_the_last_scale_up_or_scale_down() {
    let set: [fn(&mut crate::model::PoolMemory, jiff::Timestamp); 2] = [
        |memory, at| memory.down_ended = Some(at),
        |memory, at| (memory.up_started, memory.up_ended) = (Some(at), Some(at)),
    ];
    for set in set {
        let mut world = idle(3);
        let at = duration::before(world.now, mins(9));
        set(world.memory.pools.entry("workers".into()).or_default(), at);
        holds_with(&world, |reason| matches!(reason, Reason::Cooldown { .. }));
        world.pass_time(mins(1));
        assert_eq!(drains(&world.decision()), ["w1"]);
    }
}

/// I6, W-02
#[test]
fn w_02_a_partial_stale_or_unknown_view_never_removes() {
    let breaks: [fn(&mut World); 4] = [
        |world| world.cluster_unknown = true,
        |world| _ = world.lists_unknown.insert("workers".into()),
        |world| world.view_age = secs(61),
        |world| world.list_age = secs(61),
    ];
    for break_it in breaks {
        let mut world = idle(3);
        break_it(&mut world);
        holds_with(&world, |reason| {
            matches!(reason, Reason::Unknown { .. } | Reason::Stale { .. })
        });
        assert!(world.plan().steps.is_empty());
    }
}

///
#[test]
fn each_thing_that_keeps_a_worker_is_told() {
    type Case = (fn(&mut World), fn(&Reason) -> bool);
    let cases: [Case; 9] = [
        (|w| _ = w.pool().permanent.insert("w1".to_owned()), |r| *r == Reason::Permanent),
        (|w| _ = w.pool().permanent.insert("n-w1".to_owned()), |r| *r == Reason::Permanent),
        (|w| w.instance_mut("w1").protected = true, |r| *r == Reason::Protected),
        (|w| w.node_mut("w1").cordon = Cordon::Foreign, |r| *r == Reason::ForeignCordon),
        (
            |w| w.node_mut("w1").readiness = Readiness::NotReady { since: w.now },
            |r| *r == Reason::NotReadyNode,
        ),
        (
            |w| w.nodes.retain(|node| node.worker != Some("w1".into())),
            |r| *r == Reason::NodeUnknown,
        ),
        (|w| w.worker_mut("w1").created = w.now, |r| matches!(r, Reason::TooYoung { .. })),
        (
            |w| w.instances.values_mut().for_each(Vec::clear),
            |r| matches!(r, Reason::Unknown { .. }),
        ),
        (
            |w| {
                let until = duration::after(w.now, mins(9));
                let refusal = Refusal { count: 1, until, why: "late".to_owned() };
                w.memory.cluster.refusals.insert("w1".into(), refusal);
            },
            |r| matches!(r, Reason::RefusedBefore { .. }),
        ),
    ];
    for (number, (break_it, is_it)) in cases.iter().enumerate() {
        let mut world = world().with_workers(1);
        world.ready_worker("workers", "w0", Duration::from_hours(9));
        world.node_mut("w0").cordon = Cordon::Foreign;
        world.down();
        break_it(&mut world);
        let Reason::NoCandidate { blocked } = world.decision().reason else {
            assert!(matches!(world.decision().reason, Reason::AtMin { .. }), "case {number}");
            continue;
        };
        let kept = blocked.iter().find(|(id, _)| *id == "w1".into());
        assert!(kept.is_some_and(|(_, reason)| is_it(reason)), "case {number}: {blocked:?}");
    }
}

#[test]
fn pods_that_must_stay_keep_their_worker_and_budgets_do_not() {
    let pins = [Pin::Bare, Pin::LocalStorage, Pin::Annotated("safe-to-evict".to_owned())];
    for pin in pins {
        let mut world = world().with_workers(2);
        world.running_on("w1", 100).pins = vec![pin.clone()];
        world.running_on("w2", 100).pins = vec![Pin::Bare];
        world.down();
        assert!(matches!(kept_by(&world), Reason::PodPinned { pin: told, .. } if told == pin));
    }
    let mut world = idle(2);
    world.pods.iter_mut().for_each(|pod| pod.pins = vec![Pin::DisruptionBudget("web".to_owned())]);
    assert_eq!(drains(&world.decision()), ["w1"]);
}

#[test]
fn local_storage_moves_where_the_pool_allows_it() {
    let mut world = idle(2);
    world.pods.iter_mut().for_each(|pod| pod.pins = vec![Pin::LocalStorage]);
    assert!(drains(&world.decision()).is_empty());
    world.pool().evict.local_storage = true;
    assert_eq!(drains(&world.decision()), ["w1"]);
}

#[test]
fn kube_system_pods_hold_their_worker_for_an_hour_from_when_nothing_else_does() {
    let mut world = world().with_workers(2);
    world.running_on("w2", 100).pins = vec![Pin::Bare];
    world.running_on("w1", 100).pins = vec![Pin::KubeSystem];
    world.running_on("w1", 100).pins = vec![Pin::LocalStorage];
    world.down();
    let plan = world.plan();
    assert!(plan.memory.kube_system_since.is_empty(), "something else holds it");
    world.pods.pop();
    world.memory.cluster = world.plan().memory;
    world.pass_time(mins(59));
    assert!(matches!(kept_by(&world), Reason::PodPinned { pin: Pin::KubeSystem, .. }));
    world.memory.cluster = world.plan().memory;
    world.pass_time(mins(1));
    assert_eq!(drains(&world.decision()), ["w1"]);
}

#[test]
fn every_pod_must_find_another_place() {
    let mut world = world().with_workers(2);
    world.running_on("w1", 1_100);
    world.running_on("w2", 1_000);
    world.down();
    assert!(matches!(kept_by(&world), Reason::PodFitsNowhere { .. }));
    world.pods[1].kind = PodKind::Daemon;
    world.pods[1].spec = std::sync::Arc::new(super::world::asking(900));
    assert_eq!(drains(&world.decision()), ["w2"], "a daemon pod needs no other place");
}

#[test]
fn several_that_go_together_must_fit_together() {
    let mut world = world().with_workers(3);
    for id in ["w1", "w2", "w3"] {
        world.running_on(id, 900);
    }
    world.pool().step.down = Amount::Count(2);
    world.down();
    assert_eq!(drains(&world.decision()).len(), 1, "1100m are free on each of the others");
}

#[test]
fn headroom_stays_free() {
    let mut world = idle(2);
    world.pool().headroom.cpu_milli = 1_701;
    assert_eq!(kept_by(&world), Reason::NoHeadroom);
    world.pool().headroom.cpu_milli = 1_700;
    assert_eq!(drains(&world.decision()).len(), 1);
}

///
#[test]
fn the_order_is_the_one_that_is_configured() {
    let mut world = idle(3);
    for (id, hours) in [("w1", 30), ("w2", 20), ("w3", 40)] {
        let created = duration::before(world.now, Duration::from_hours(hours));
        world.worker_mut(id).created = created;
        world.worker_mut(id).zone = "a".into();
    }
    for (order, first) in
        [(OrderBy::Emptiest, "w1"), (OrderBy::Newest, "w2"), (OrderBy::Oldest, "w3")]
    {
        world.pool().order = order;
        assert_eq!(drains(&world.decision()), [first], "{order:?}");
    }
}

#[test]
fn among_equals_spot_goes_first_and_then_the_fullest_zone() {
    let mut world = world().with_workers(3);
    for id in ["w1", "w2", "w3"] {
        world.running_on(id, 100);
    }
    world.down();
    assert_eq!(drains(&world.decision()), ["w1"], "zone a has two");
    world.worker_mut("w2").market = Market::Spot;
    world.worker_mut("w2").zone = "a".into();
    world.worker_mut("w3").zone = "b".into();
    world.ready_worker("workers", "w4", Duration::from_hours(24));
    world.running_on("w4", 100);
    assert_eq!(drains(&world.decision()), ["w2"]);
}

#[test]
fn a_zone_is_not_emptied_while_another_can_give() {
    let mut world = idle(3);
    world.worker_mut("w1").zone = "c".into();
    world.worker_mut("w2").zone = "a".into();
    assert_eq!(drains(&world.decision()), ["w2"], "w1 is emptier, and the last of c");
}

#[test]
fn several_empty_ones_do_not_empty_a_zone_together() {
    let mut world = world().with_workers(4);
    world.pool().min = 2;
    world.worker_mut("w3").zone = "a".into();
    world.worker_mut("w4").zone = "a".into();
    world.worker_mut("w1").zone = "b".into();
    world.worker_mut("w2").zone = "b".into();
    world.down();
    let decision = world.decision();
    let zones: Vec<_> = drains(&decision)
        .iter()
        .map(|id| world.memory.workers[&(*id).into()].zone.clone())
        .collect();
    assert_eq!(zones.len(), 2);
    assert_ne!(zones[0], zones[1]);
}

#[test]
fn workers_that_host_what_the_loop_depends_on_go_last() {
    let mut world = idle(2);
    world.pods[0].essential = Some(Essential::Alertmanager);
    assert_eq!(drains(&world.decision()), ["w2"]);
}

#[test]
fn a_nominated_node_goes_first() {
    let mut world = idle(3);
    world.alert("PoolIdle", Ask::Down { node: Some("n-w3".into()) }, Some("workers"));
    assert_eq!(drains(&world.decision()), ["w3"]);
}

#[test]
fn a_nominated_node_that_is_not_there_removes_no_other() {
    let mut world = idle(3);
    world.alert("PoolIdle", Ask::Down { node: Some("n-nowhere".into()) }, Some("workers"));
    holds_with(&world, |reason| matches!(reason, Reason::WrongTarget { .. }));
}

#[test]
fn a_pool_is_shrunk_by_its_own_alert_only() {
    let mut world = world_of(&["left", "right"]);
    for (pool, id) in [("left", "l1"), ("left", "l2"), ("right", "r1"), ("right", "r2")] {
        world.ready_worker(pool, id, Duration::from_hours(9));
    }
    world.alert("Idle", Ask::Down { node: None }, Some("left"));
    let plan = world.plan();
    assert_eq!(drains(plan.of("left")).len(), 2);
    assert_eq!(plan.of("right").reason, Reason::NothingAsked);
}

#[test]
fn dry_run_says_what_would_go_and_touches_nothing() {
    let mut world = idle(3);
    world.pool().mode = crate::config::Mode::DryRun;
    let plan = world.plan();
    assert!(matches!(plan.of("workers").verdict, Verdict::Drain { .. }));
    assert!(plan.steps.iter().all(|step| step.dry_run && step.before.is_none()));
    assert!(plan.is_quiet());
}

#[test]
fn shapes_play_no_part_in_removal() {
    let mut world = idle(2);
    world.shapes.insert("workers".into(), vec![shape("other", 1, 1)]);
    assert_eq!(drains(&world.decision()).len(), 1);
}
