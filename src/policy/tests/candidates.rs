//! Which workers may go, in which order, and what keeps each of the others.

use crate::config::OrderBy;
use crate::model::{
    Cordon, Essential, InstanceState, Market, Pin, PodKind, PodSpec, Readiness, Reason, Refusal,
    Resources, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, SECOND, World, blocked};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Three workers of one zone with a pod each, and an alert that says idle.
fn idle() -> World {
    let mut world = World::of(3);
    world.worker(2).zone = "a".into();
    for number in 1..=3 {
        world.pod_on(number, u64::from(number) * 100);
    }
    world.down();
    world
}

/// What keeps the only worker of a pool.
fn keeps(change: impl FnOnce(&mut World)) -> Reason {
    let mut world = World::of(1);
    world.down();
    change(&mut world);
    blocked(&world.held()).remove("w1").expect("it is told why w1 stays")
}

///
#[test]
fn w_69_a_permanent_worker_is_never_removed() {
    for name in ["w1", "n1"] {
        let mut world = idle();
        world.pool().permanent.insert(name.to_owned());
        assert_eq!(world.drains(), ["w2"], "{name}");
        world.pool().order = OrderBy::Oldest;
        world.signal_named("Idle").ask = crate::model::Ask::Down { node: Some("n1".into()) };
        assert_eq!(world.drains().iter().find(|id| *id == "w1"), None, "not even if nominated");
    }
}

#[test]
fn a_young_worker_stays_until_it_is_old_enough() {
    let reason = keeps(|world| world.worker(1).created = duration::before(world.now, MINUTE * 9));
    assert_eq!(reason.code(), "too_young");
    let mut world = idle();
    world.worker(1).created = duration::before(world.now, MINUTE * 10);
    assert_eq!(world.drains(), ["w1"]);
}

#[test]
fn a_protected_machine_stays() {
    assert_eq!(keeps(|world| world.instance(1).protected = true), Reason::Protected);
}

#[test]
fn a_node_that_somebody_keeps_stays() {
    let mark = "bellwether.dev/keep=true".to_owned();
    let kept = Some(mark.clone());
    assert_eq!(keeps(|world| world.node(1).kept = kept), Reason::Kept { mark });
}

#[test]
fn a_pod_that_is_not_to_be_disturbed_for_a_while_may_move_after_it() {
    let mut world = World::of(2);
    world.down();
    let until = duration::after(world.now, MINUTE * 5);
    for number in 1..=2 {
        let mark = "karpenter.sh/do-not-disrupt=5m".to_owned();
        world.pinned_on(number, Pin::AnnotatedUntil { mark, until });
    }
    let why = blocked(&world.held()).remove("w1").unwrap().to_string();
    assert!(
        why.ends_with(&format!(" stays: karpenter.sh/do-not-disrupt=5m, until {until}")),
        "{why}"
    );
    world.later(MINUTE * 5);
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn a_node_that_somebody_cordoned_stays() {
    assert_eq!(keeps(|world| world.node(1).cordon = Cordon::Foreign), Reason::ForeignCordon);
}

/// W-54: a machine whose node is not found is not ended without a drain.
#[test]
fn a_node_that_is_not_ready_or_not_seen_stays() {
    let reason = keeps(|world| world.node(1).readiness = Readiness::NotReady { since: world.now });
    assert_eq!(reason, Reason::NotReadyNode);
    assert_eq!(keeps(|world| world.view().nodes.clear()), Reason::NodeUnknown);
}

#[test]
fn a_node_that_registered_anew_does_not_go_for_what_its_name_stood_for() {
    let mut world = idle();
    world.node(1).at.uid = "another".into();
    assert_eq!(world.drains(), [""; 0]);
}

#[test]
fn a_machine_that_is_not_in_the_list_stays() {
    let mut world = World::of(1);
    world.down();
    world.instances("workers").clear();
    assert_eq!(blocked(&world.held())["w1"].code(), "unknown");
}

#[test]
fn a_worker_whose_drain_failed_stays_for_its_time() {
    let mut world = idle();
    let refusal =
        Refusal { count: 1, until: duration::after(world.now, MINUTE), why: String::new() };
    world.memory.cluster.refusals.insert("w1".into(), refusal);
    assert_eq!(world.drains(), ["w2"]);
    world.later(MINUTE * 2);
    assert_eq!(world.drains(), ["w1"]);
}

#[test]
fn pods_that_must_stay_keep_their_worker() {
    for pin in [Pin::Bare, Pin::LocalStorage, Pin::Annotated("safe-to-evict".to_owned())] {
        let reason = keeps(|world| world.pinned_on(1, pin.clone()));
        assert!(matches!(reason, Reason::PodPinned { pin: told, .. } if told == pin));
    }
}

#[test]
fn a_disruption_budget_holds_the_eviction_and_not_the_choice() {
    let mut world = idle();
    world.first_pod().pins.push(Pin::DisruptionBudget("pdb".to_owned()));
    assert_eq!(world.drains(), ["w1"]);
}

#[test]
fn local_storage_moves_where_it_is_allowed_to() {
    let mut world = idle();
    world.first_pod().pins.push(Pin::LocalStorage);
    assert_eq!(world.drains(), ["w2"]);
    world.pool().evict.local_storage = true;
    assert_eq!(world.drains(), ["w1"]);
}

#[test]
fn daemon_and_mirror_pods_keep_nothing_and_need_no_other_place() {
    let mut world = World::of(1);
    for kind in [PodKind::Daemon, PodKind::Mirror] {
        let pod = world.pod_on(1, 300);
        pod.kind = kind;
        pod.pins.push(Pin::Bare);
    }
    world.down();
    assert_eq!(world.drains(), ["w1"]);
}

#[test]
fn a_pod_that_fits_nowhere_else_keeps_its_worker() {
    let reason = keeps(|world| {
        world.pod_on(1, 100);
    });
    assert_eq!(reason.code(), "pod_fits_nowhere");
}

/// The clock runs from when nothing else held the worker.
#[test]
fn kube_system_pods_without_a_budget_hold_their_worker_for_an_hour() {
    let mut world = World::of(2);
    world.pool().min = 1;
    world.pinned_on(1, Pin::KubeSystem);
    world.pod_on(2, 1_950);
    world.pinned_on(2, Pin::Bare);
    world.down();
    world.apply(&world.plan());
    world.later(MINUTE * 59);
    world.apply(&world.plan());
    assert!(matches!(blocked(&world.held())["w1"], Reason::PodPinned { pin: Pin::KubeSystem, .. }));
    world.pinned_on(1, Pin::LocalStorage);
    world.apply(&world.plan());
    world.later(MINUTE * 2);
    world.view().pods.pop();
    world.apply(&world.plan());
    assert_eq!(world.drains(), Vec::<String>::new(), "the clock began anew");
    world.later(MINUTE * 60);
    assert_eq!(blocked(&world.held())["w1"].code(), "pod_fits_nowhere");
    world.view().pods.retain(|pod| pod.pins != [Pin::KubeSystem] || pod.node().is_none());
    assert_eq!(world.drains(), ["w1"]);
}

/// what has no other of its kind elsewhere is moved last, and what the cluster needs later still.
#[test]
fn who_would_disturb_the_least_goes_first_whatever_the_order() {
    let mut world = idle();
    assert_eq!(world.drains(), ["w1"], "each is the only one of its kind");
    let kind = Arc::clone(&world.pods().nth(1).unwrap().spec);
    world.pods().nth(2).unwrap().spec = Arc::clone(&kind);
    assert_eq!(world.drains(), ["w2"], "another of its kind is on w3");
    world.pod_on(2, 1).spec = kind;
    let there = world.pods().nth(1).unwrap().placement.clone();
    world.pods().nth(2).unwrap().placement = there;
    assert_eq!(world.drains(), ["w3"], "all that run of a kind are on w2");
    world.first_pod().spec = Arc::new(PodSpec { priority: 2_000_000_000, ..PodSpec::default() });
    world.pool().order = OrderBy::Oldest;
    world.worker(1).created = duration::before(world.now, MINUTE * 9_000);
    assert_eq!(world.drains(), ["w3"]);
    world.pinned_on(3, Pin::Bare);
    assert_eq!(world.drains(), ["w2"], "a single replica rather than what is critical");
}

/// the documented order is the emptiest first; newest and oldest are choices.
#[test]
fn the_configured_order_decides_who_goes() {
    let mut world = idle();
    let day = duration::before(world.now, MINUTE * 600);
    world.worker(2).created = duration::before(day, MINUTE * 6_000);
    world.worker(3).created = day;
    assert_eq!(world.drains(), ["w1"]);
    world.pool().order = OrderBy::Newest;
    assert_eq!(world.drains(), ["w3"]);
    world.pool().order = OrderBy::Oldest;
    assert_eq!(world.drains(), ["w2"]);
}

#[test]
fn a_nominated_node_goes_first_if_it_may_go() {
    let mut world = idle();
    world.signals.retain(|signal| signal.name != "Idle");
    world.down_about(3);
    assert_eq!(world.drains(), ["w3"]);
    world.instance(3).protected = true;
    assert_eq!(world.drains(), ["w1"]);
}

///
#[test]
fn among_equals_spot_goes_first_and_then_the_fullest_zone() {
    let mut world = World::of(5);
    for number in 1..=5 {
        world.pod_on(number, 100);
    }
    world.down();
    world.worker(4).market = Market::Spot;
    assert_eq!(world.drains(), ["w4"]);
    world.worker(4).market = Market::OnDemand;
    assert!(["w1", "w3", "w5"].contains(&world.drains()[0].as_str()), "zone a has three");
}

#[test]
fn workers_that_host_what_the_loop_depends_on_go_last() {
    let mut world = idle();
    world.first_pod().essential = Some(Essential::Alertmanager);
    assert_eq!(world.drains(), ["w2"]);
}

///
#[test]
fn a_zone_is_not_emptied_while_another_can_give() {
    let mut world = World::of(3);
    world.down();
    world.pool().min = 2;
    world.pod_on(1, 100);
    world.pod_on(3, 100);
    assert_eq!(world.drains(), ["w2"], "only an empty one is asked first");
    world.pod_on(2, 50);
    assert_eq!(world.drains(), ["w1"], "w2 is emptier, and the last of zone b");
}

#[test]
fn a_machine_that_is_ending_is_not_chosen() {
    let mut world = idle();
    world.instance(1).state = InstanceState::Ending;
    assert!(!world.drains().contains(&"w1".to_owned()));
}

#[test]
fn several_that_go_at_once_leave_every_zone_one_worker() {
    let mut world = World::of(4);
    (world.worker(2).zone, world.worker(3).zone) = ("a".into(), "b".into());
    world.down();
    world.pool().min = 2;
    assert_eq!(world.drains().len(), 2);
    let gone = world.drains();
    let stay = world.memory.workers.values().filter(|w| !gone.contains(&w.id.to_string()));
    let zones: BTreeSet<_> = stay.map(|worker| worker.zone.clone()).collect();
    assert_eq!(zones.len(), 2, "{gone:?}");
}

#[test]
fn a_worker_too_young_to_go_starts_no_kube_system_clock() {
    let mut world = World::of(1);
    world.pinned_on(1, Pin::KubeSystem);
    world.down();
    world.apply(&world.plan());
    assert_eq!(world.memory.cluster.kube_system_since.len(), 1);
    world.node(1).cordon = Cordon::Foreign;
    world.apply(&world.plan());
    assert!(world.memory.cluster.kube_system_since.is_empty());
}

#[test]
fn a_nominated_node_that_is_not_there_removes_no_other() {
    let mut world = idle();
    world.down_about(9);
    assert_eq!(world.held().code(), "wrong_target");
}

#[test]
fn a_control_plane_has_no_worker_whatever_its_labels_say() {
    assert_eq!(keeps(|world| world.node(1).control_plane = true), Reason::NodeUnknown);
}

#[test]
fn what_holds_for_longest_is_told_of_several_pins() {
    let reason = keeps(|world| {
        world.pinned_on(1, Pin::KubeSystem);
        world.pinned_on(1, Pin::LocalStorage);
    });
    assert!(matches!(reason, Reason::PodPinned { pin: Pin::LocalStorage, .. }), "{reason}");
}

#[test]
fn kube_system_pods_hold_their_worker_to_the_end_of_the_hour() {
    let mut world = World::of(2);
    world.pinned_on(1, Pin::KubeSystem);
    world.pinned_on(2, Pin::Bare);
    world.down();
    world.apply(&world.plan());
    world.later(SECOND * 3_599);
    assert_eq!(world.held().code(), "no_candidate");
    world.later(SECOND);
    assert_eq!(world.drains(), ["w1"]);
}

#[test]
fn among_equals_of_one_zone_the_newest_goes_first() {
    let mut world = World::of(5);
    for number in 1..=5 {
        world.pod_on(number, 100);
        world.worker(number).zone = if number < 3 { "b".into() } else { "a".into() };
    }
    world.down();
    assert_eq!(world.drains(), ["w3"], "zone a has three");
    world.worker(4).created = duration::before(world.now, MINUTE * 60);
    assert_eq!(world.drains(), ["w4"]);
}

#[test]
fn headroom_that_would_be_missing_keeps_a_worker() {
    let reason = keeps(|world| world.pool().headroom = Resources::new(1, 0));
    assert_eq!(reason, Reason::NoHeadroom);
}

#[test]
fn what_can_be_bought_plays_no_part_in_removal() {
    let mut world = idle();
    world.shapes().clear();
    assert_eq!(world.drains(), ["w1"]);
}

#[test]
fn room_on_a_control_plane_is_no_headroom() {
    let mut world = idle();
    world.pool().headroom = Resources::new(2_500, 0);
    assert_eq!(world.drains(), ["w1"]);
    world.node(3).control_plane = true;
    assert_eq!(world.held().code(), "no_candidate");
}

#[test]
fn the_last_of_a_zone_stays_while_any_other_zone_can_give() {
    let mut world = World::of(5);
    for (number, zone) in [(1, "c"), (2, "a"), (3, "a"), (4, "b"), (5, "b")] {
        world.worker(number).zone = zone.into();
        world.pod_on(number, u64::from(number) * 100);
    }
    world.down();
    assert_eq!(world.drains(), ["w2"], "w1 is the emptiest, and the only one of c");
}

#[test]
fn workers_whose_machines_are_being_ended_fill_no_zone() {
    let world_of = |count: u32, step: u64| {
        let mut world = World::of(count);
        for number in 1..=count {
            world.pod_on(number, 100 + u64::from(number) * step);
        }
        world.down();
        world
    };
    let mut world = world_of(4, 10);
    assert_eq!(world.drains(), ["w1"]);
    world.set(3, WorkerState::Terminating);
    assert_eq!(world.drains(), ["w2"], "w1 is the last of zone a");

    let mut world = world_of(7, 0);
    assert_eq!(world.drains(), ["w1"], "zone a has four of seven");
    (1..=3).step_by(2).for_each(|number| world.set(number, WorkerState::Terminating));
    assert_eq!(world.drains(), ["w2"], "and now two of five");
}
