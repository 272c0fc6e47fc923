//! Machines that bear no worker's name: they are known by their own id, and their nodes by the machine.

use crate::model::{
    Act, Cordon, Failure, InstanceId, InstanceState, PoolName, Purpose, Readiness, Reason,
    Transition, WorkerState, duration,
};
use crate::policy::fixtures::{DAY, MINUTE, Reads as _, SECOND, World, ec2, intents, worker_id};
use crate::policy::scene::Scene;

/// As many workers, none of whose machines bears a name, each with a node that only says on which machine it is.
fn world(count: u32) -> World {
    let mut world = World::of(count);
    world.pool().provider = ec2(0);
    for number in 1..=count {
        let id = unname(&mut world, number);
        let node = world.node(number);
        node.worker = None;
        node.provider_id = Some(format!("aws:///a/{id}"));
    }
    world
}

fn unname(world: &mut World, number: u32) -> InstanceId {
    let id = InstanceId::from(format!("i-{number}").as_str());
    let instance = world.instance(number);
    (instance.worker, instance.id) = (None, id.clone());
    world.worker(number).instance = Some(id.clone());
    id
}

fn have(world: &World) -> u32 {
    let World { observed, signals, memory, limits, now, .. } = world;
    Scene::new(observed, signals, memory, limits, *now).have(&PoolName::from("workers"))
}

/// The name of the node that a worker is bound to.
fn node_of(world: &World, number: u32) -> Option<String> {
    let World { observed, signals, memory, limits, now, .. } = world;
    let scene = Scene::new(observed, signals, memory, limits, *now);
    let worker = memory.workers.get(&worker_id(number))?;
    scene.node(worker).map(|node| node.at.name.to_string())
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
    let mut world = world(1);
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

/// Its list is short, its store is new, and its nodes say only on which machines they are.
#[test]
fn nodes_that_name_only_their_machines_count_though_neither_a_record_nor_a_list_has_these() {
    let mut world = world(2);
    world.memory.workers.clear();
    world.instances("workers").clear();
    assert_eq!(have(&world), 2);
}

#[test]
fn what_the_cloud_says_of_a_node_counts_before_what_its_image_says() {
    let mut world = world(2);
    let other = world.instance(2).id.to_string();
    world.node(1).worker = Some(other.as_str().into());
    assert_eq!(world.plan().transitions, [], "w1 was baked from w2's image, and is w1");
    assert_eq!(node_of(&world, 1), Some("n1".to_owned()));
    assert_eq!(node_of(&world, 2), Some("n2".to_owned()));
}

/// The machine of a record that is gone was adopted anew.
#[test]
fn of_two_records_of_one_machine_a_node_is_the_live_one() {
    let mut world = world(1);
    for id in ["a", "z"] {
        let mut gone = world.worker(1).clone();
        (gone.id, gone.state) = (id.into(), WorkerState::Gone);
        world.memory.workers.insert(gone.id.clone(), gone);
    }
    assert_eq!(node_of(&world, 1), Some("n1".to_owned()));
}

#[test]
fn a_new_store_beside_nodes_that_name_only_their_machines_is_a_lost_one() {
    let mut world = world(1);
    world.memory.workers.clear();
    world.memory.cluster.uid = None;
    world.instances("workers").clear();
    assert!(world.plan().memory.store_forgot.is_some());
}

#[test]
fn a_replacement_is_not_waited_for_once_somebody_protects_the_old_worker() {
    let mut world = world(2);
    let batch = world.worker(2).batch.clone().unwrap_or_else(|| "b".into());
    world.worker(2).batch = Some(batch.clone());
    world.remembered().replacing.insert("w1".into(), batch);
    let waits = |world: &World| world.plan().pools[&"workers".into()].replacing.len();
    assert_eq!(waits(&world), 1);
    world.instance(1).protected = true;
    assert_eq!(waits(&world), 0);
    let refused = &world.plan().memory.refusals[&worker_id(1)];
    assert!(duration::until(refused.until, world.now) >= MINUTE * 60, "no other is bought for it");
}

#[test]
fn a_node_that_is_older_than_a_machine_is_not_that_machine_s() {
    let mut world = world(1);
    let stranger = world.ready("workers");
    world.unrecorded(stranger);
    world.unlisted(stranger);
    let node = world.node(stranger);
    (node.worker, node.provider_id) = (None, None);
    node.created = duration::before(node.created, DAY);
    let number = world.booting(MINUTE * 6);
    unname(&mut world, number);
    assert_eq!(world.plan().failure(number), Some(Failure::NeverJoined));
}

/// Its launch is not settled yet, so no record has its machine.
#[test]
fn a_node_whose_machine_nobody_knows_yet_is_not_whose_label_its_image_carries() {
    let mut world = world(1);
    let known = world.instance(1).id.to_string();
    let new = world.ready("workers");
    world.unrecorded(new);
    let node = world.node(new);
    (node.worker, node.provider_id) =
        (Some(known.as_str().into()), Some("aws:///a/i-77".to_owned()));
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    assert_eq!(node_of(&world, 1), Some("n1".to_owned()));
    assert_eq!(world.plan().transitions.len(), 1, "the new machine is adopted, and w1 not moved");
}

/// Two providers may number their machines alike.
#[test]
fn where_machines_bear_names_a_machine_s_id_says_nothing() {
    let mut world = World::of(1);
    world.add_pool("others", 3);
    world.pool_named("others").provider = ec2(0);
    let other = world.ready("others");
    let first = world.instance(1).id.clone();
    let id = world.instances("others")[0].id.clone();
    world.node(1).provider_id = Some(format!("x://{id}"));
    world.node(other).provider_id = Some(format!("x://{first}"));
    assert_eq!(world.plan().transitions, [], "each is by its label whom it says");
}

#[test]
fn one_is_not_given_up_while_a_node_that_serves_may_be_its_own() {
    let mut world = world(1);
    let number = world.booting(MINUTE * 6);
    unname(&mut world, number);
    assert_eq!(world.plan().failure(number), Some(Failure::NeverJoined));
    let stranger = world.ready("workers");
    world.unrecorded(stranger);
    world.unlisted(stranger);
    let now = world.now;
    let node = world.node(stranger);
    (node.worker, node.provider_id) = (None, Some("k3s://ip-10-0-0-1".to_owned()));
    node.created = now;
    let plan = world.plan();
    assert_eq!(plan.failure(number), None);
    let told = format!("{:?}", plan.decisions);
    assert!(told.contains("on which machine a node is"), "{told}");
}

#[test]
fn the_end_of_a_machine_that_is_protected_by_now_is_not_asked_again_and_again() {
    let mut world = world(2);
    world.leaving(1, WorkerState::Terminating, Purpose::Idle);
    assert!(world.plan().steps.iter().any(|step| matches!(step.act, Act::Terminate { .. })));
    world.instance(1).protected = true;
    let plan = world.plan();
    assert_eq!(plan.steps, []);
    assert!(format!("{:?}", plan.decisions).contains("Protected"));
}

/// Its end was refused for that, so it is there and stays.
#[test]
fn one_that_was_drained_and_is_protected_by_now_serves_again() {
    let mut world = world(2);
    world.leaving(1, WorkerState::Terminating, Purpose::Idle);
    world.node(1).cordon = Cordon::Ours;
    world.instance(1).protected = true;
    let plan = world.plan();
    let told = Transition::Told { worker: worker_id(1), reason: Reason::Protected };
    assert_eq!((&plan.transitions, &plan.forget), (&vec![told], &vec![worker_id(1)]));
    let (mut ended, mut uncordoned) = (0, 0);
    for _ in 0..6 {
        let plan = world.plan();
        let steps = |is: fn(&Act) -> bool| plan.steps.iter().filter(|step| is(&step.act)).count();
        ended += steps(|act| matches!(act, Act::Terminate { .. }));
        uncordoned += steps(|act| matches!(act, Act::Uncordon { .. }));
        world.apply(&plan);
        world.later(SECOND * 5);
    }
    assert_eq!((ended, uncordoned, world.memory.workers.len()), (0, 1, 2));
    assert_eq!(world.node(1).cordon, Cordon::None);
    let machine = world.instance(1).id.clone();
    let adopted = world.memory.workers.values().find(|one| one.instance.as_ref() == Some(&machine));
    assert_eq!(adopted.unwrap().state, WorkerState::Ready);
}

/// A sick one does not serve, and what the provider takes is taken.
#[test]
fn one_that_does_not_serve_or_is_taken_back_is_not_kept_for_its_protection() {
    let breaks: [fn(&mut World); 2] = [
        |world| world.worker(1).purpose = Some(Purpose::Notice),
        |world| world.node(1).readiness = Readiness::NotReady { since: world.now },
    ];
    for (at, spoil) in breaks.into_iter().enumerate() {
        let mut world = world(2);
        world.leaving(1, WorkerState::Terminating, Purpose::Idle);
        world.instance(1).protected = true;
        spoil(&mut world);
        let plan = world.plan();
        assert_eq!(
            (&plan.transitions, &plan.forget, &plan.steps),
            (&vec![], &vec![], &vec![]),
            "{at}"
        );
    }
}

#[test]
fn one_that_turns_out_to_be_protected_before_its_node_is_cordoned_is_given_back() {
    let mut world = world(2);
    world.leaving(1, WorkerState::Cordoned, Purpose::Idle);
    world.node(1).cordon = Cordon::None;
    world.instance(1).protected = true;
    world.later(SECOND * 2);
    let plan = world.plan();
    let back = plan.steps.iter().find(|step| matches!(step.act, Act::Uncordon { .. }));
    assert_eq!(back.map(|step| &step.reason), Some(&Reason::Protected), "{:#?}", plan.steps);
}

#[test]
fn why_the_cloud_ended_a_machine_is_told_as_it_says_it() {
    let mut world = world(2);
    let ended = world.instance(1);
    ended.state = InstanceState::Gone;
    ended.told = Some("Server.SpotInstanceTermination".to_owned());
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    let told = format!("{:?}", world.plan().transitions);
    assert!(told.contains("Server.SpotInstanceTermination"), "{told}");
}
