//! What is promised of nodes that are not there, or not well yet.

use crate::model::{
    Effect, Is, Labels, NodeTerm, POOL_LABEL, Readiness, Requirement, Resources, Taint, Verdict,
    VolumeNeed, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, SECOND, World, blocked, launches, shape, small};

const OS: &str = "kubernetes.io/os";
const ARCHITECTURE: &str = "kubernetes.io/arch";

/// An alert asks, and a pod waits that selects nodes by this label.
fn selecting(workers: u32, key: &str, value: &str) -> World {
    let mut world = World::of(workers);
    world.up(None);
    for number in 1..=workers {
        world.pod_on(number, 1_950);
    }
    world.pending(1, 1_000);
    world.spec().node_selector = Labels::from([(key.to_owned(), value.to_owned())]);
    world
}

fn label(world: &mut World, number: u32, key: &str, value: &str) {
    world.node(number).labels.insert(key.to_owned(), value.to_owned());
}

#[test]
fn a_pool_without_a_node_runs_what_all_others_run() {
    assert_eq!(selecting(0, OS, "linux").launches(), 1);
    assert_eq!(selecting(0, OS, "windows").launches(), 0);
    let on = |theirs: &str, asked| {
        let mut world = selecting(1, ARCHITECTURE, asked);
        label(&mut world, 1, ARCHITECTURE, theirs);
        world.node(1).pool = None;
        world.launches()
    };
    assert_eq!(on("arm64", "arm64"), 1);
    assert_eq!(on("arm64", "amd64"), 0);
}

#[test]
fn a_node_that_is_not_well_yet_takes_no_label_from_its_pool() {
    let mut world = selecting(2, "gpu", "yes");
    label(&mut world, 1, "gpu", "yes");
    assert_eq!(world.launches(), 0, "one has it, one has not");
    let since = duration::before(world.now, SECOND);
    world.node(2).readiness = Readiness::NotReady { since };
    assert_eq!(world.launches(), 1);
    world.node(2).readiness = Readiness::Ready;
    starts(&mut world, 2);
    assert_eq!(world.launches(), 1);
    world.node(2).taints[0].key = "team".to_owned();
    assert_eq!(world.launches(), 0, "it stays so");
    for number in [1, 2] {
        label(&mut world, number, "gpu", "yes");
        world.node(number).readiness = Readiness::NotReady { since };
    }
    assert_eq!(world.launches(), 1, "none is well, and all have it");
}

#[test]
fn a_new_node_tells_its_pool_and_its_shape() {
    for (key, ours) in [(POOL_LABEL, "workers"), ("node.kubernetes.io/instance-type", "small")] {
        assert_eq!(selecting(0, key, ours).launches(), 1, "{key}");
        assert_eq!(selecting(0, key, "another").launches(), 0, "{key}");
    }
}

/// A node that came a moment ago, with a taint that goes by itself.
fn starts(world: &mut World, number: u32) {
    let now = world.now;
    let node = world.node(number);
    node.created = now;
    let key = "node.cloudprovider.kubernetes.io/uninitialized".to_owned();
    node.taints.push(Taint { key, value: String::new(), effect: Effect::NoSchedule });
}

/// Drivers of volumes name the zone by labels of their own.
#[test]
fn a_new_node_tells_its_zone_by_every_label_of_zones() {
    for key in ["topology.ebs.csi.aws.com/zone", "failure-domain.beta.kubernetes.io/zone"] {
        for zone in ["a", "b"] {
            let mut world = World::of(1);
            world.up(None);
            label(&mut world, 1, key, "a");
            world.pod_on(1, 1_950);
            world.pending(1, 1_000);
            let is = Is::In(vec![zone.to_owned()]);
            let labels = vec![Requirement { key: key.to_owned(), is }];
            let term = NodeTerm { labels, name: Vec::new() };
            world.spec().volumes = vec![VolumeNeed::On(vec![term])];
            let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
            let zones: Vec<&str> =
                intent.request.orders.iter().map(|order| order.offering.zone.as_str()).collect();
            assert_eq!(zones, [zone], "{key}");
        }
    }
}

#[test]
fn a_device_that_shows_up_late_is_bought_once() {
    let late = |age: std::time::Duration| {
        let mut world = World::of(1);
        world.up(None);
        world.shapes()[0].capacity.extended.insert("gpu".to_owned(), 1);
        let created = duration::before(world.now, age);
        world.node(1).created = created;
        world.pending(1, 100);
        world.spec().requests.extended.insert("gpu".to_owned(), 1);
        world.launches()
    };
    assert_eq!(late(MINUTE), 0);
    assert_eq!(late(MINUTE * 5), 1, "it never will");
}

#[test]
fn room_that_is_still_to_come_takes_no_pods_of_a_worker_that_is_to_go() {
    let mut world = World::of(2);
    world.pod_on(1, 100);
    world.pod_on(2, 2_000);
    world.pool().permanent.insert("w2".to_owned());
    let empty = world.ready("workers");
    world.down();
    assert_eq!(world.drains(), [format!("w{empty}")]);
    world.pool().permanent.insert(format!("w{empty}"));
    assert_eq!(world.drains(), ["w1"]);
    let mut tainted = world.clone();
    starts(&mut tainted, empty);
    assert_eq!(blocked(&tainted.held())["w1"].code(), "pod_fits_nowhere");
    let now = world.now;
    world.node(empty).created = now;
    assert_eq!(world.drains(), ["w1"]);
    world.shapes()[0].capacity.extended.insert("gpu".to_owned(), 1);
    assert_eq!(blocked(&world.held())["w1"].code(), "pod_fits_nowhere");
}

/// A young node, and a pod that asks for a device which only the shape `gpu` has.
fn asking_for_a_device(of: &str, change: impl FnOnce(&mut World)) -> usize {
    let mut world = World::of(1);
    world.up(None);
    let mut capacity = small();
    capacity.extended.insert("gpu".to_owned(), 1);
    world.shapes().insert(0, shape("gpu", capacity, None));
    let now = world.now;
    world.node(1).created = now;
    world.worker(1).shape = of.into();
    change(&mut world);
    world.pending(1, 100);
    world.spec().requests.extended.insert("gpu".to_owned(), 1);
    world.launches()
}

#[test]
fn only_what_its_own_shape_has_and_it_lacks_shows_up_late() {
    assert_eq!(asking_for_a_device("gpu", |_| ()), 0);
    assert_eq!(asking_for_a_device("small", |_| ()), 1);
    let taken = |world: &mut World| {
        world.node(1).allocatable.extended.insert("gpu".to_owned(), 1);
        world.pod_on(1, 100);
        world.spec().requests.extended.insert("gpu".to_owned(), 1);
    };
    assert_eq!(asking_for_a_device("gpu", taken), 1, "it is there, and somebody has it");
}

#[test]
fn a_new_node_has_the_smallest_disk_of_those_that_are_there() {
    for (disk, launches) in [(10, 1), (11, 0)] {
        let mut world = World::of(2);
        world.up(None);
        for (number, size) in [(1, 20), (2, 10)] {
            let extended = &mut world.node(number).allocatable.extended;
            extended.insert("ephemeral-storage".to_owned(), size);
            world.pod_on(number, 2_000);
        }
        world.pending(1, 100);
        world.spec().requests.extended.insert("ephemeral-storage".to_owned(), disk);
        assert_eq!(world.launches(), launches);
    }
}

#[test]
fn a_worker_on_its_way_is_room_where_it_will_be() {
    for (zone, launches) in [("a", 0), ("b", 1)] {
        let mut world = World::of(1);
        world.up(None);
        world.set(1, WorkerState::Booting);
        world.unjoined(1);
        world.pending(1, 1_000);
        world.spec().volumes = vec![VolumeNeed::On(vec![term(zone)])];
        assert_eq!(world.launches(), launches);
        world.worker(1).zone = "b".into();
        assert_eq!(world.launches(), 1 - launches);
    }
}

fn term(zone: &str) -> NodeTerm {
    let key = "topology.kubernetes.io/zone".to_owned();
    let labels = vec![Requirement { key, is: Is::In(vec![zone.to_owned()]) }];
    NodeTerm { labels, name: Vec::new() }
}

/// It is on its way, and what it was bought for may stand there.
#[test]
fn a_worker_whose_offering_is_sold_no_more_is_still_what_its_pods_wait_for() {
    let mut world = World::of(1);
    world.up(None);
    world.set(1, WorkerState::Booting);
    world.unjoined(1);
    world.worker(1).batch = Some("batch".into());
    world.pending(1, 1_000);
    world.spec().volumes = vec![VolumeNeed::On(vec![term("a")])];
    let pods = vec![world.first_pod().uid.clone()];
    world.remembered().watching.insert("batch".into(), pods);
    world.add_pool("second", 10);
    world.signal_named("Up").pool = None;
    let launched = |world: &World| world.plan().decisions.iter().map(launches).sum::<usize>();
    assert_eq!(launched(&world), 0);
    world.shapes()[0].offerings.retain(|offering| offering.zone.as_str() == "b");
    assert_eq!(launched(&world), 0);
    world.remembered().watching.clear();
    assert_eq!(launched(&world), 1, "it was not bought for this pod");
}

#[test]
fn a_node_that_tells_nothing_is_no_measure_of_its_shape() {
    let mut world = World::of(2);
    world.up(None);
    world.pod_on(1, 2_000);
    world.pending(1, 1_900);
    let unread: [fn(&mut Resources); 4] = [
        |offer| *offer = Resources::default(),
        |offer| offer.cpu_milli = 0,
        |offer| offer.memory = 0,
        |offer| offer.pods = 0,
    ];
    for unread in unread {
        let offer = &mut world.node(2).allocatable;
        *offer = small();
        unread(offer);
        assert_eq!(world.launches(), 1);
    }
    world.node(1).allocatable.cpu_milli = 1_850;
    assert_eq!(world.launches(), 0, "as much as those tell that can be read");
    let since = world.now;
    world.node(1).readiness = Readiness::NotReady { since };
    assert_eq!(world.launches(), 1);
}
