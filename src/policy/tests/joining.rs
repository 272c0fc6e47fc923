//! A worker on its way: which node is its own, and how its time is counted.

use crate::model::{Effect, Failure, NodeRef, Placement, Readiness, Taint, WorkerEvent, duration};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, World};

#[test]
fn of_several_nodes_under_its_name_a_new_worker_joins_the_one_that_is_ready() {
    for names in [["ready", "other"], ["other", "ready"]] {
        let mut world = World::of(0);
        let number = world.booting(MINUTE);
        let worker = world.worker(number).clone();
        for name in names {
            world.add_node(&worker, NodeRef { name: name.into(), uid: name.into() });
            if name == "other" {
                let since = world.now;
                world.nodes().last().unwrap().readiness = Readiness::NotReady { since };
            }
        }
        let at = NodeRef { name: "ready".into(), uid: "ready".into() };
        assert_eq!(world.plan().event(number), Some(&WorkerEvent::Joined { node: at }));
    }
}

/// A worker whose node is Ready and bears a startup taint.
fn starting() -> (World, u32) {
    let mut world = World::of(0);
    world.pool().node.startup_taints.insert("agent".to_owned());
    let number = world.booting(MINUTE);
    let worker = world.worker(number).clone();
    world.add_node(&worker, NodeRef { name: "new".into(), uid: "new".into() });
    world.apply(&world.plan());
    let (key, value) = ("agent".to_owned(), String::new());
    let taints = &mut world.nodes().last().unwrap().taints;
    taints.push(Taint { key, value, effect: Effect::NoSchedule });
    (world, number)
}

/// Until then it refuses pods, and what it replaces must not go.
#[test]
fn a_worker_is_ready_once_what_starts_on_it_has_taken_its_taint_away() {
    let (mut world, number) = starting();
    assert_eq!(world.plan().event(number), None);
    world.nodes().last().unwrap().taints.clear();
    assert_eq!(world.plan().event(number), Some(&WorkerEvent::BecameReady));
}

#[test]
fn one_on_which_nothing_starts_is_ended_at_its_deadline_unless_pods_run_there() {
    let (mut world, number) = starting();
    world.later(MINUTE * 5);
    assert_eq!(world.plan().failure(number), Some(Failure::NeverReady));
    world.apply(&world.plan());
    assert_eq!(world.plan().act(number), "terminate");
    world.add_pod(Placement::Bound("new".into()), 100);
    let plan = world.plan();
    assert_eq!((plan.act(number), plan.forget.len()), ("none", 1), "it is adopted anew");
}

#[test]
fn a_clock_goes_on_whatever_else_happens_in_the_pass() {
    let mut world = World::of(0);
    let both = [world.booting(MINUTE), world.booting(MINUTE)];
    for number in both {
        let since = duration::before(world.now, SECOND * 30);
        world.worker(number).held_since = Some(since);
    }
    world.apply(&world.plan());
    for number in both {
        assert_eq!(world.worker(number).held, SECOND * 30);
    }
}
