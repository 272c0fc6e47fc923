//! Machines and nodes of ours that no record names.

use crate::config::Mode;
use crate::model::{InstanceState, WorkerState, duration};
use crate::policy::fixtures::{MINUTE, Reads as _, World};

/// Three workers; of the first no record speaks, and its node is sick.
fn unrecorded() -> World {
    let mut world = World::of(3);
    world.unrecorded(1);
    world.sick(1);
    world
}

/// A-90; W-20.
#[test]
fn w_20_a_machine_of_ours_without_a_record_is_adopted_and_one_of_others_is_not() {
    let mut world = unrecorded();
    let plan = world.plan();
    assert_eq!(plan.adopted(1).map(|worker| &worker.state), Some(&WorkerState::Booting));
    assert!(plan.steps.is_empty());
    world.unjoined(1);
    for uid in [Some("another".into()), None] {
        world.instance(1).cluster_uid = uid;
        assert!(world.plan().is_quiet());
    }
}

/// A-90; W-20: an orphan node.
#[test]
fn w_20_a_leftover_node_goes_only_when_its_machine_is_proven_gone() {
    let mut world = unrecorded();
    world.unlisted(1);
    let left_over = |world: &World| world.plan().adopted(1).map(|worker| worker.state.clone());
    assert_eq!(left_over(&world), Some(WorkerState::Terminating));
    for hide in crate::policy::fixtures::UNSEEN {
        let mut world = world.clone();
        hide(&mut world);
        assert_eq!(left_over(&world), None);
    }
    let mut dry = world.clone();
    dry.pool().mode = Mode::DryRun;
    assert_eq!(left_over(&dry), None);
    let mut elsewhere = world.clone();
    elsewhere.node(1).pool = Some("elsewhere".into());
    assert_eq!(left_over(&elsewhere), None, "no list of ours tells of its machine");
    world.node(1).readiness = crate::model::Readiness::Ready;
    assert_eq!(left_over(&world), None, "it contradicts the list");
}

#[test]
fn a_stopped_machine_without_a_record_is_taken_in_and_ended() {
    let mut world = unrecorded();
    world.instance(1).state = InstanceState::Stopped;
    world.unjoined(1);
    let plans = world.run();
    let acts: Vec<_> = plans.iter().flat_map(|plan| &plan.steps).map(|step| &step.act).collect();
    assert!(matches!(acts[..], [crate::model::Act::Terminate { .. }, ..]), "{acts:?}");
}

#[test]
fn a_machine_that_is_ending_or_gone_is_not_adopted_nor_is_its_node_left_over() {
    for state in [InstanceState::Ending, InstanceState::Gone] {
        let mut world = unrecorded();
        world.instance(1).state = state;
        assert!(world.plan().is_quiet(), "{state:?}");
    }
}

#[test]
fn a_machine_that_turns_up_after_its_record_ended_is_adopted_again_and_counted() {
    let mut world = World::of(1);
    world.pool().min = 1;
    world.unjoined(1);
    world.set(1, WorkerState::Gone);
    assert!(world.plan().adopted(1).is_none(), "lists are late");
    world.worker(1).since = duration::before(world.now, MINUTE * 3);
    assert!(world.plan().adopted(1).is_some());
    assert_eq!(world.launches(), 0);
}

#[test]
fn a_control_plane_that_no_record_names_is_no_worker() {
    let mut world = World::of(1);
    world.pool().min = 1;
    world.unrecorded(1);
    world.unlisted(1);
    assert_eq!(world.launches(), 0);
    world.node(1).control_plane = true;
    assert_eq!(world.launches(), 1);
}

type Change = fn(&mut World);

#[test]
fn each_machine_is_counted_once_whatever_names_it() {
    let table: [(&str, u32, Change); 8] = [
        ("all is as it should be", 2, |_| {}),
        ("its record knows the machine", 2, |world| world.instance(1).worker = None),
        ("its machine names the record", 2, |world| world.worker(1).instance = None),
        ("it is not listed", 2, |world| world.unlisted(1)),
        ("a machine and a node, and no record", 2, |world| world.unrecorded(1)),
        ("its machine is ending, and no record", 1, |world| {
            world.unrecorded(1);
            world.instance(1).state = InstanceState::Ending;
        }),
        ("a node that is not Ready, and nothing else", 1, |world| {
            world.unrecorded(1);
            world.unlisted(1);
            world.sick(1);
        }),
        ("a node of another pool, and nothing else", 1, |world| {
            world.unrecorded(1);
            world.unlisted(1);
            world.node(1).pool = Some("elsewhere".into());
        }),
    ];
    for (what, have, change) in table {
        let mut world = World::of(2);
        change(&mut world);
        assert_eq!(world.decision().have, have, "{what}");
    }
}
