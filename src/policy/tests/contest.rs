//! What two pools claim is nobody's until they agree: nothing is done about it, and it is said which.

use crate::model::{InstanceState, PoolName, Purpose, Reason, Verdict, WorkerState, duration};
use crate::policy::fixtures::{MINUTE, Reads as _, World, ec2};

/// Three workers of one pool, and another pool beside it. An operator asks for one less.
fn world() -> World {
    let mut world = World::of(3);
    world.add_pool("others", 10);
    world.manual(-1);
    world
}

/// The node of a worker says the other pool.
fn mislabel(world: &mut World, number: u32) {
    world.node(number).pool = Some("others".into());
}

/// The other pool's list holds a worker's machine, too.
fn list_twice(world: &mut World, number: u32) {
    let twice = world.instance(number).clone();
    world.instances("others").push(twice);
}

/// Both pools are on EC2, whose machines and nodes bear no worker's name.
fn without_names(world: &mut World) {
    world.pool().provider = ec2(0);
    world.pool_named("others").provider = ec2(0);
    for number in 1..=3 {
        let instance = world.instance(number);
        (instance.worker, instance.id) = (None, format!("i-{number}").as_str().into());
        world.worker(number).instance = Some(format!("i-{number}").as_str().into());
        let node = world.node(number);
        (node.worker, node.provider_id) = (None, Some(format!("aws:///a/i-{number}")));
    }
}

/// All that is said of a pool.
fn told(world: &World, pool: &str) -> String {
    let decision = world.decision_of(pool);
    let all = [&decision.reason].into_iter().chain(&decision.also);
    all.map(Reason::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_node_that_says_another_pool_keeps_its_worker_and_no_other() {
    let mut world = world();
    let number = |world: &World| world.drains().first().map(|id| id[1..].parse::<u32>().unwrap());
    let first = number(&world).expect("one is to leave");
    mislabel(&mut world, first);
    let second = number(&world).expect("another is to leave");
    assert_ne!(first, second);
    for number in 1..=3 {
        mislabel(&mut world, number);
    }
    assert_eq!(world.drains(), [""; 0]);
    let told = told(&world, "workers");
    assert!(told.contains("whose node n") && told.contains("it says pool others"), "{told}");
    for node in world.nodes() {
        node.pool = Some("workers".into());
    }
    assert_eq!(number(&world), Some(first), "it is settled");
}

/// It is sick for long, or seems not to be there, for by its label it is no node of its pool: its pods may run on it.
#[test]
fn a_node_that_says_another_pool_is_not_repaired() {
    for is_nameless in [false, true] {
        let mut world = World::of(3);
        world.add_pool("others", 10);
        if is_nameless {
            without_names(&mut world);
        }
        world.sick(1);
        let repaired = |world: &World| {
            let mut world = world.clone();
            let steps = world.run().into_iter().flat_map(|plan| plan.steps);
            steps.filter(|step| step.worker.as_str() == "w1").count()
        };
        assert!(repaired(&world) > 0);
        mislabel(&mut world, 1);
        assert_eq!(repaired(&world), 0, "nameless: {is_nameless}");
        assert!(told(&world, "workers").contains("whose node n1 is"));
    }
}

#[test]
fn a_drain_of_a_node_that_says_another_pool_is_suspended_and_its_clock_stands() {
    for state in [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained] {
        let mut world = world();
        world.leaving(1, state.clone(), Purpose::Manual);
        mislabel(&mut world, 1);
        let plan = world.plan();
        assert_eq!(plan.act(1), "none", "{state:?}");
        assert!(told(&world, "workers").contains("whose node n1 is"), "{state:?}");
        world.commit(&plan);
        assert!(world.worker(1).held_since.is_some(), "{state:?}");
    }
}

#[test]
fn a_machine_that_two_lists_hold_holds_both_pools() {
    let mut world = world();
    world.add_pool("third", 10);
    assert_eq!(world.drains().len(), 1);
    list_twice(&mut world, 1);
    for pool in ["workers", "others"] {
        let told = told(&world, pool);
        assert!(told.contains("i1 is in the list of pool"), "{pool}: {told}");
    }
    assert!(!told(&world, "third").contains("i1"));
    let plan = world.plan();
    assert!(plan.steps.is_empty() && world.drains().is_empty(), "{:#?}", plan.steps);
    world.unrecorded(1);
    assert!(world.plan().adopted(1).is_none(), "of which pool it would be is not known");
    world.instances("others").clear();
    assert!(world.plan().adopted(1).is_some(), "it is settled");
}

/// Two providers may number theirs alike; of those that bear no name the cloud's own ids are as good as names.
#[test]
fn machines_are_the_same_by_their_names_or_where_they_bear_none_by_their_ids() {
    let shared = |is_nameless: bool, state: InstanceState| {
        let mut world = world();
        let mut other = world.instance(1).clone();
        (other.worker, other.state) = (Some("another".into()), state);
        if is_nameless {
            world.instance(1).worker = None;
            other.worker = None;
            world.pool().provider = ec2(0);
            world.pool_named("others").provider = ec2(0);
        }
        world.instances("others").push(other);
        told(&world, "others").contains("i1 is in the list of pool workers")
    };
    assert!(!shared(false, InstanceState::Running));
    assert!(shared(true, InstanceState::Running));
    assert!(!shared(true, InstanceState::Gone), "what is not there is nobody's");
}

/// No record speaks of it, and its node is sick: it is left over of the pool that it says only if no other has its machine.
#[test]
fn a_node_whose_machine_another_pool_has_is_not_left_over() {
    let mut world = World::of(3);
    world.add_pool("others", 10);
    world.unrecorded(1);
    world.sick(1);
    mislabel(&mut world, 1);
    let left_over = |world: &World| world.plan().adopted(1).map(|worker| worker.pool.clone());
    assert_eq!(left_over(&world), Some(PoolName::from("workers")), "its machine is taken in");
    world.unlisted(1);
    assert_eq!(left_over(&world), Some(PoolName::from("others")), "nobody has it");
}

#[test]
fn while_one_list_is_unknown_no_node_is_left_over() {
    let mut world = World::of(3);
    world.add_pool("others", 10);
    without_names(&mut world);
    world.unrecorded(1);
    world.sick(1);
    mislabel(&mut world, 1);
    world.list_is_unknown();
    assert!(world.plan().transitions.is_empty(), "its machine may be in that list");
}

/// A pool that counted it would remove one of its own too many.
#[test]
fn a_node_that_says_another_pool_is_none_of_that_pool_s_workers() {
    for is_nameless in [false, true] {
        let mut world = World::of(3);
        world.add_pool("others", 10);
        if is_nameless {
            without_names(&mut world);
        }
        mislabel(&mut world, 1);
        assert_eq!(world.decision_of("others").have, 0, "nameless: {is_nameless}");
    }
}

/// It stands still where it is, so nothing is to be had of it.
#[test]
fn a_worker_whose_node_says_another_pool_is_not_taken_back_instead_of_a_launch() {
    let mut world = World::of(2);
    world.add_pool("others", 10);
    world.leaving(1, WorkerState::Draining, Purpose::Idle);
    world.up(Some(1)).pool = Some("workers".into());
    let launches =
        |world: &World| matches!(world.decision_of("workers").verdict, Verdict::Launch { .. });
    assert!(!launches(&world), "it is taken back");
    mislabel(&mut world, 1);
    assert!(launches(&world));
}

/// Its drain would stand still after the cordon.
#[test]
fn a_worker_under_notice_whose_node_says_another_pool_is_not_closed() {
    let mut world = World::of(2);
    world.add_pool("others", 10);
    world.instance(1).notice = Some(duration::after(world.now, MINUTE * 2));
    assert_ne!(world.decision_of("workers").verdict, Verdict::Hold, "it leaves");
    mislabel(&mut world, 1);
    assert_eq!(world.decision_of("workers").verdict, Verdict::Hold);
}
