//! Whether pods fit.

use crate::model::{Effect, Readiness, Reason, Resources, Taint, Toleration};
use crate::policy::fixtures::{GIB, World, launches, shape, small};

const NOT_READY: Readiness = Readiness::NotReady { since: jiff::Timestamp::UNIX_EPOCH };

fn taint(effect: Effect) -> Taint {
    Taint { key: "team".to_owned(), value: "red".to_owned(), effect }
}

fn unhostable(world: &World) -> String {
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    let why = decision.also.iter().find_map(|reason| match reason {
        Reason::Unhostable { why, .. } => Some(why.clone()),
        _ => None,
    });
    why.unwrap_or_else(|| panic!("{decision:#?}"))
}

#[test]
fn w_21_a_pod_that_no_shape_could_host_adds_nothing_and_says_why() {
    let mut world = World::of(1);
    world.up(None);
    world.pending(1, 2_500);
    assert!(unhostable(&world).contains("2500m CPU"), "{}", unhostable(&world));
}

#[test]
fn labels_and_taints_that_no_pool_offers_launch_nothing_and_say_so() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(1, 500);
    world.spec().node_selector.insert("disk".to_owned(), "ssd".to_owned());
    assert!(unhostable(&world).contains("disk=ssd"));
    world.pool().node.labels.insert("disk".to_owned(), "ssd".to_owned());
    assert_eq!(world.launches(), 1);
    world.pool().node.taints.push(taint(Effect::NoSchedule));
    assert!(unhostable(&world).contains("team=red"));
    let value = Some("red".to_owned());
    world.spec().tolerations.push(Toleration { key: "team".to_owned(), value, effect: None });
    assert_eq!(world.launches(), 1);
}

#[test]
fn a_preference_never_decides_whether_a_pod_fits() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(1, 500);
    world.pool().node.taints.push(taint(Effect::PreferNoSchedule));
    assert_eq!(world.launches(), 1);
}

#[test]
fn extended_resources_and_the_number_of_pods_are_counted() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(1, 100);
    world.spec().requests.extended.insert("nvidia.com/gpu".to_owned(), 1);
    assert!(unhostable(&world).contains("1 nvidia.com/gpu"), "{}", unhostable(&world));
    *world.shapes() = vec![shape("tiny", small().with_pods(2), None)];
    world.view().pods.clear();
    world.pending(5, 10);
    assert_eq!(world.launches(), 3);
}

#[test]
fn the_cheapest_shape_that_holds_the_pod_is_bought() {
    let mut world = World::of(0);
    world.up(None);
    let large = Resources::new(8_000, 16 * GIB).with_pods(110);
    *world.shapes() = vec![
        shape("large", large, Some(200_000)),
        shape("small", small(), Some(50_000)),
        shape("unpriced", small(), None),
    ];
    world.pending(1, 1_000);
    assert_eq!(bought(&world), ["small"]);
    world.pending(1, 5_000);
    assert_eq!(bought(&world), ["large"], "the small pod finds room on it");
}

fn bought(world: &World) -> Vec<String> {
    let crate::model::Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    intent.request.orders.iter().map(|order| order.offering.shape.to_string()).collect()
}

#[test]
fn nodes_that_are_cordoned_tainted_or_not_ready_are_no_room() {
    let room = |change: fn(&mut crate::model::Node)| {
        let mut world = World::of(1);
        world.up(None);
        world.pending(1, 500);
        change(world.node(1));
        world.launches()
    };
    assert_eq!(room(|_| {}), 0);
    assert_eq!(room(|node| node.cordon = crate::model::Cordon::Foreign), 1);
    assert_eq!(room(|node| node.cordon = crate::model::Cordon::Ours), 1);
    assert_eq!(room(|node| node.taints.push(taint(Effect::NoExecute))), 1);
    assert_eq!(room(|node| node.readiness = NOT_READY), 1);
}

#[test]
fn a_node_that_is_none_of_ours_is_room() {
    let mut world = World::of(1);
    world.up(None);
    world.unrecorded(1);
    let node = world.node(1);
    (node.worker, node.pool) = (None, None);
    world.pending(1, 500);
    assert_eq!(world.launches(), 0);
}

#[test]
fn a_node_whose_machine_is_being_ended_is_no_room() {
    use crate::model::{Failure, WorkerState};
    for state in [WorkerState::Failed { failure: Failure::NotReady }, WorkerState::Terminating] {
        let mut world = World::of(2);
        world.up(None);
        world.pod_on(2, 2_000);
        world.set(1, state);
        world.pending(1, 100);
        assert_eq!(world.launches(), 1);
    }
}

/// The shape offers 2000m and 4096 MiB, and a device.
#[test]
fn only_what_no_shape_offers_is_told_as_missing() {
    let ask = |cpu_milli, gib, devices| {
        let mut world = World::of(0);
        world.up(None);
        world.shapes()[0].capacity.extended.insert("gpu".to_owned(), 1);
        world.shapes().push(shape("wide", Resources::new(8_000, GIB).with_pods(110), None));
        world.pending(1, cpu_milli);
        world.spec().requests.memory = gib * GIB;
        world.spec().requests.extended.insert("gpu".to_owned(), devices);
        unhostable(&world)
    };
    for (asked, missing) in [
        ((8_000, 5, 1), "5120 MiB"),
        ((8_001, 4, 1), "8001m CPU"),
        ((8_000, 4, 2), "2 gpu"),
        ((9_000, 5, 2), "9000m CPU, 5120 MiB, 2 gpu"),
        ((8_000, 4, 0), "8000m CPU with 4096 MiB"),
    ] {
        let (cpu_milli, gib, devices) = asked;
        let expected = format!("it asks for {missing}, more than any shape of pool workers offers");
        assert_eq!(ask(cpu_milli, gib, devices), expected);
    }
}

#[test]
fn of_several_pools_what_the_one_lacks_that_comes_nearest_is_told() {
    let why = |labelled: &[&str]| {
        let mut world = World::of(0);
        world.up(None);
        world.add_pool("others", 10);
        for pool in labelled {
            world.pool_named(pool).node.labels.insert("disk".to_owned(), "ssd".to_owned());
        }
        world.pending(1, 2_500);
        world.spec().node_selector.insert("disk".to_owned(), "ssd".to_owned());
        unhostable(&world)
    };
    let both = ["others", "workers"];
    for (labelled, nearest) in
        [(&both[..1], "others"), (&both[1..], "workers"), (&both[..], "others")]
    {
        let told = format!("it asks for 2500m CPU, more than any shape of pool {nearest} offers");
        assert_eq!(why(labelled), told);
    }
}
