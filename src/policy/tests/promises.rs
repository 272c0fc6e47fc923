//! What is promised of nodes that are not there, or not well yet.

use crate::model::{
    Effect, Is, Labels, NodeTerm, Readiness, Requirement, Resources, Taint, Verdict, VolumeNeed,
    WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, SECOND, World, blocked};

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
    starts(&mut world, empty);
    assert_eq!(blocked(&world.held())["w1"].code(), "pod_fits_nowhere");
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
    let key = "topology.kubernetes.io/zone".to_owned();
    let term = NodeTerm {
        labels: vec![Requirement { key, is: Is::In(vec!["a".to_owned()]) }],
        name: Vec::new(),
    };
    world.spec().volumes = vec![VolumeNeed::On(vec![term])];
    let pods = vec![world.first_pod().uid.clone()];
    world.remembered().watching.insert("batch".into(), pods);
    assert_eq!(world.launches(), 0);
    world.shapes()[0].offerings.retain(|offering| offering.zone.as_str() == "b");
    assert_eq!(world.launches(), 0);
}

#[test]
fn a_node_that_tells_nothing_is_no_measure_of_its_shape() {
    let mut world = World::of(2);
    world.up(None);
    world.pod_on(1, 2_000);
    world.node(2).allocatable = Resources::default();
    world.pending(1, 1_900);
    assert_eq!(world.launches(), 1);
    world.node(1).allocatable.cpu_milli = 1_850;
    assert_eq!(world.launches(), 0, "as much as those tell that can be read");
    let since = world.now;
    world.node(1).readiness = Readiness::NotReady { since };
    assert_eq!(world.launches(), 1);
}
