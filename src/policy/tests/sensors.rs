//! What alerting rules are told, beside what is decided.

use crate::model::{
    Cordon, Labels, Pin, Placement, Readiness, Resources, Unhelpable, WorkerState, duration,
};
use crate::policy::fixtures::{GIB, MINUTE, World};
use crate::policy::{NodeState, Sensors, sensors};
use std::time::Duration;

const NOT_READY: Readiness = Readiness::NotReady { since: jiff::Timestamp::UNIX_EPOCH };

fn sensed(world: &World) -> Sensors {
    sensors(&world.observed, &world.memory, &world.limits, world.now).unwrap()
}

/// Pool, helpable and reason of what is not 0.
fn waiting(world: &World) -> Vec<(String, bool, &'static str, usize)> {
    let told = sensed(world).unschedulable.into_iter().filter(|(_, pods)| *pods > 0);
    let row = |(waiting, pods): (crate::policy::Waiting, usize)| {
        let pool = waiting.pool.map(|pool| pool.to_string()).unwrap_or_default();
        (pool, waiting.is_helpable, waiting.reason, pods)
    };
    told.map(row).collect()
}

#[test]
fn while_the_cluster_is_unknown_nothing_is_told() {
    let mut world = World::of(1);
    world.view_is_unknown();
    assert_eq!(sensors(&world.observed, &world.memory, &world.limits, world.now), None);
}

#[test]
fn a_reason_for_which_no_pod_waits_is_told_as_none() {
    let told = sensed(&World::of(1)).unschedulable;
    assert!(told.values().all(|pods| *pods == 0));
    let reasons: Vec<&str> = told.keys().map(|waiting| waiting.reason).collect();
    for reason in ["worker", "room", "full", "starting", "in_vain", "no_shape", "topology_spread"] {
        assert!(reasons.contains(&reason), "{reason}");
    }
    assert!(!reasons.contains(&"closed"), "no new node is");
}

/// No alert asks: rules are what the alerts come from.
#[test]
fn pods_wait_for_the_pool_that_would_grow_whoever_may() {
    let mut world = World::of(0);
    world.pending(3, 1_500);
    assert_eq!(waiting(&world), [("workers".to_owned(), true, "worker", 3)]);
    world.pool().max = 2;
    let full = (String::new(), true, "full", 1);
    assert_eq!(waiting(&world), [full, ("workers".to_owned(), true, "worker", 2)]);
}

#[test]
fn pods_for_which_there_is_room_are_told_apart() {
    let mut world = World::of(1);
    world.pending(1, 100);
    assert_eq!(waiting(&world), [(String::new(), true, "room", 1)]);
}

#[test]
fn pods_that_no_worker_helps_are_told_by_what_forbids_it() {
    let mut world = World::of(0);
    world.pending(2, 2_500);
    world.pending(1, 100);
    world.spec().node_selector = Labels::from([("disk".to_owned(), "ssd".to_owned())]);
    let no = |reason, pods| (String::new(), false, reason, pods);
    assert_eq!(waiting(&world), [no("cpu", 2), no("node_selector", 1)]);
    world.view().pods.clear();
    world.pending(1, 100);
    let (uid, until) = (world.first_pod().uid.clone(), duration::after(world.now, MINUTE));
    let in_vain = Unhelpable { vain: 2, until: Some(until) };
    world.remembered().unhelpable.insert(uid, in_vain);
    assert_eq!(waiting(&world), [no("in_vain", 1)]);
    let (uid, now) = (world.first_pod().uid.clone(), world.now);
    world.add_pool("others", 1);
    let others = world.memory.pools.entry("others".into()).or_default();
    others.unhelpable.insert(uid, Unhelpable { vain: 2, until: Some(now) });
    assert_eq!(waiting(&world), [no("in_vain", 1)], "the last of its times counts");
    world.limits.pools.remove(&"others".into());
    *world.shapes() = Vec::new();
    world.remembered().unhelpable.clear();
    assert_eq!(waiting(&world), [no("no_shape", 1)]);
}

#[test]
fn the_oldest_is_one_that_a_worker_would_help() {
    let mut world = World::of(0);
    assert_eq!(sensed(&world).oldest, Duration::ZERO);
    world.pending(1, 2_500);
    assert_eq!(sensed(&world).oldest, Duration::ZERO, "no worker helps it");
    world.pending(1, 100);
    assert_eq!(sensed(&world).oldest, MINUTE);
    let since = duration::before(world.now, MINUTE * 2);
    world.add_pod(Placement::Unschedulable { since }, 100);
    assert_eq!(sensed(&world).oldest, MINUTE * 2);
}

#[test]
fn nodes_are_told_by_state_and_zone_with_a_0_where_there_is_none() {
    let mut world = World::of(4);
    world.node(2).readiness = NOT_READY;
    world.node(3).cordon = Cordon::Foreign;
    world.node(4).control_plane = true;
    let nodes = |world: &World| sensed(world).pools[&"workers".into()].nodes.clone();
    let told = nodes(&world);
    let of = |state, zone: &str| told.get(&(state, Some(zone.into()))).copied();
    assert_eq!(of(NodeState::Ready, "a"), Some(1));
    assert_eq!(of(NodeState::Cordoned, "a"), Some(1));
    assert_eq!(of(NodeState::NotReady, "b"), Some(1));
    assert_eq!(of(NodeState::Ready, "b"), Some(0), "the control plane is no worker");
    assert!(told.keys().all(|(_, zone)| zone.is_some()), "each node is in one");
    assert_eq!(nodes(&World::of(0))[&(NodeState::Ready, None)], 0);
}

/// As `docs/metrics.md` names them.
#[test]
fn each_state_of_a_node_has_its_word() {
    let states = [NodeState::Ready, NodeState::NotReady, NodeState::Cordoned];
    assert_eq!(states.map(NodeState::name), ["ready", "not_ready", "cordoned"]);
}

#[test]
fn only_nodes_that_take_pods_count_as_room() {
    let mut world = World::of(3);
    world.node(3).cordon = Cordon::Ours;
    for number in 1..=3 {
        world.pod_on(number, 500);
    }
    let pool = &sensed(&world).pools[&"workers".into()];
    assert_eq!(pool.allocatable, Resources::new(4_000, 8 * GIB).with_pods(220));
    assert_eq!(pool.requested, Resources::new(1_000, GIB / 4).with_pods(2));
}

#[test]
fn a_worker_that_something_keeps_is_not_removable() {
    let mut world = World::of(4);
    let removable = |world: &World| sensed(world).pools[&"workers".into()].removable;
    assert_eq!(removable(&world), 4);
    world.pinned_on(1, Pin::Bare);
    world.pool().permanent.insert("w2".to_owned());
    world.set(3, WorkerState::Booting);
    assert_eq!(removable(&world), 1);
}

#[test]
fn the_age_of_the_view_is_told() {
    let mut world = World::of(1);
    world.now = duration::after(world.now, MINUTE * 2);
    assert_eq!(sensed(&world).view_age, MINUTE * 2);
}
