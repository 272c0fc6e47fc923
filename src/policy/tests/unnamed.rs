//! Machines that bear no worker's name: they are known by their own id, and their nodes by the machine.

use crate::model::{InstanceId, PoolName, Transition, WorkerState};
use crate::policy::fixtures::{SECOND, World, intents};
use crate::policy::scene::Scene;

/// As many workers, none of whose machines bears a name, each with a node that only says on which machine it is.
fn world(count: u32) -> World {
    let mut world = World::of(count);
    for number in 1..=count {
        let id = unname(&mut world, number);
        let node = world.node(number);
        node.worker = None;
        node.provider_id = Some(format!("aws:///a/{id}"));
    }
    world
}

fn unname(world: &mut World, number: u32) -> InstanceId {
    let instance = world.instance(number);
    instance.worker = None;
    instance.id.clone()
}

fn have(world: &World) -> u32 {
    let World { observed, signals, memory, limits, now, .. } = world;
    Scene::new(observed, signals, memory, limits, *now).have(&PoolName::from("workers"))
}

fn adopted(world: &World) -> Vec<String> {
    let plan = world.plan();
    let adopts = plan.transitions.iter().filter_map(|one| match one {
        Transition::Adopt { worker, .. } => Some(worker.id.to_string()),
        _ => None,
    });
    adopts.collect()
}

#[test]
fn a_worker_is_known_by_the_machine_that_its_node_says_to_be_on() {
    let world = world(2);
    let plan = world.plan();
    assert_eq!(plan.transitions, [], "nothing is missing and nothing is new");
    assert_eq!(have(&world), 2);
}

#[test]
fn a_node_may_say_the_machine_in_the_label_of_the_worker() {
    let mut world = world(2);
    for number in 1..=2 {
        let id = world.instance(number).id.to_string();
        let node = world.node(number);
        (node.worker, node.provider_id) = (Some(id.as_str().into()), Some("k3s://w".to_owned()));
    }
    assert_eq!(world.plan().transitions, []);
    assert_eq!(have(&world), 2);
}

#[test]
fn one_joins_as_the_worker_whose_machine_it_is() {
    let mut world = world(1);
    let number = world.booting(SECOND);
    let id = unname(&mut world, number);
    let worker = world.worker(number).id.clone();
    assert_eq!(world.plan().transitions, [], "no node yet");
    let number = world.ready("workers");
    world.unrecorded(number);
    world.unlisted(number);
    let node = world.node(number);
    (node.worker, node.provider_id) = (None, Some(format!("aws:///a/{id}")));
    let plan = world.plan();
    let joins = plan
        .transitions
        .iter()
        .any(|one| matches!(one, Transition::Move { worker: moved, .. } if *moved == worker));
    assert!(joins, "{:#?}", plan.transitions);
}

#[test]
fn the_machines_of_an_open_launch_are_neither_adopted_nor_counted_twice() {
    let mut world = World::of(1);
    world.up(Some(2));
    let plan = world.plan();
    let intent = intents(&plan).next().unwrap().clone();
    world.commit(&plan);
    world.buy(&intent);
    world.memory.intents.insert(intent.request.batch.clone(), intent.clone());
    for order in &intent.request.orders {
        let record = world.memory.workers.get_mut(&order.worker).unwrap();
        (record.state, record.instance) = (WorkerState::Requested, None);
    }
    for instance in world.instances("workers").iter_mut().filter(|one| one.batch.is_some()) {
        if instance.batch.as_ref() == Some(&intent.request.batch) {
            instance.worker = None;
        }
    }
    assert_eq!(world.memory.intents.len(), 1, "the answer was lost");
    assert_eq!(adopted(&world), [""; 0]);
    assert_eq!(have(&world), 3);
    world.memory.intents.clear();
    world.memory.workers.retain(|_, worker| worker.state != WorkerState::Requested);
    assert_eq!(adopted(&world).len(), 2, "after that whoever is left over is ours too");
    assert_eq!(have(&world), 3);
}

#[test]
fn after_a_lost_store_they_are_adopted_under_their_own_ids() {
    let mut world = world(2);
    let mut ids: Vec<String> =
        world.instances("workers").iter().map(|one| one.id.to_string()).collect();
    world.memory.workers.clear();
    assert_eq!(have(&world), 2);
    let mut adopted = adopted(&world);
    ids.sort();
    adopted.sort();
    assert_eq!(adopted, ids);
}

#[test]
fn a_node_that_names_its_machine_and_has_no_record_is_counted_once() {
    let mut world = world(1);
    let id = world.instance(1).id.to_string();
    world.node(1).worker = Some(id.as_str().into());
    world.memory.workers.clear();
    assert_eq!(have(&world), 1, "it is listed");
    world.instances("workers").clear();
    assert_eq!(have(&world), 1, "it is Ready, whatever the list says");
}
