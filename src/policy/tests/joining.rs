//! A worker on its way: which node is its own, and how its time is counted.

use crate::model::{NodeRef, Readiness, WorkerEvent, duration};
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
