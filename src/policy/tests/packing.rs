//! What is launched for pods that look at more than room, and what may go in spite of them.

use crate::model::{
    Effect, FreeVolume, HostPort, Is, Labels, NodeTerm, PodSpec, PodTerm, Reason, Requirement,
    Resources, Selector, Spread, Taint, Verdict, VolumeNeed,
};
use crate::policy::fixtures::{World, blocked};
use std::collections::BTreeMap;

pub(super) const HOST: &str = "kubernetes.io/hostname";
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";

/// Nothing is there, an alert asks, and so many pods like this wait.
pub(super) fn waiting(count: u32, cpu_milli: u64, ask: impl Fn(&mut PodSpec)) -> World {
    let mut world = World::of(0);
    world.up(None);
    world.pool().max = 100;
    more(&mut world, count, cpu_milli, ask);
    world
}

pub(super) fn more(world: &mut World, count: u32, cpu_milli: u64, ask: impl Fn(&mut PodSpec)) {
    for _ in 0..count {
        world.pending(1, cpu_milli);
        ask(world.spec());
    }
}

/// What is bought: each shape in each zone, and how many of it.
pub(super) fn bought(world: &World) -> BTreeMap<(String, String), u32> {
    let mut bought = BTreeMap::new();
    if let Verdict::Launch { intent, .. } = world.decision().verdict {
        for order in intent.request.orders {
            let what = (order.offering.shape.to_string(), order.offering.zone.to_string());
            *bought.entry(what).or_default() += 1;
        }
    }
    bought
}

pub(super) fn unhostable(world: &World) -> Vec<String> {
    let of = |reason: Reason| match reason {
        Reason::Unhostable { why, .. } => Some(why),
        _ => None,
    };
    let decision = world.decision();
    std::iter::once(decision.reason).chain(decision.also).filter_map(of).collect()
}

pub(super) fn app(name: &str) -> Labels {
    Labels::from([("app".to_owned(), name.to_owned())])
}

pub(super) fn has(key: &str, value: &str) -> Requirement {
    Requirement { key: key.to_owned(), is: Is::In(vec![value.to_owned()]) }
}

pub(super) fn beside(name: &str, topology_key: &str) -> PodTerm {
    PodTerm {
        selector: Some(Selector(vec![has("app", name)])),
        namespaces: vec!["default".to_owned()],
        namespace_selector: None,
        topology_key: topology_key.to_owned(),
    }
}

pub(super) fn apart(topology_key: &'static str) -> impl Fn(&mut PodSpec) {
    move |spec| {
        spec.labels = app("web");
        spec.pod_anti_affinity = vec![beside("web", topology_key)];
    }
}

pub(super) fn evenly(topology_key: &'static str) -> impl Fn(&mut PodSpec) {
    move |spec| {
        spec.labels = app("web");
        spec.topology_spread = vec![Spread {
            selector: Some(Selector(vec![has("app", "web")])),
            topology_key: topology_key.to_owned(),
            max_skew: 1,
            min_domains: None,
            honors_affinity: true,
            honors_taints: false,
        }];
    }
}

/// It asks for a port of its node.
pub(super) fn port(spec: &mut PodSpec) {
    let (ip, protocol) = ("0.0.0.0".to_owned(), "TCP".to_owned());
    spec.host_ports = vec![HostPort { ip, protocol, port: 80 }];
}

pub(super) fn in_zone(zone: &'static str) -> impl Fn(&mut PodSpec) {
    move |spec| {
        let labels = vec![has(ZONE, zone)];
        spec.volumes = vec![VolumeNeed::On(vec![NodeTerm { labels, name: Vec::new() }])];
    }
}

#[test]
fn pods_that_must_not_share_a_node_get_one_each() {
    assert_eq!(waiting(5, 100, |_| ()).launches(), 1);
    assert_eq!(waiting(5, 100, apart(HOST)).launches(), 5);
    assert_eq!(waiting(5, 100, port).launches(), 5);
}

#[test]
fn pods_that_must_be_spread_over_nodes_get_as_many_as_that_takes() {
    assert_eq!(waiting(4, 100, evenly(HOST)).launches(), 1, "on one node they are even");
    let mut world = World::of(2);
    world.up(None);
    world.add_labels(HOST);
    world.pod_on(1, 100);
    evenly(HOST)(world.spec());
    world.pod_on(2, 1_950);
    more(&mut world, 1, 100, evenly(HOST));
    assert_eq!(world.launches(), 1, "n2 is the emptiest, and full");
}

/// Its node is there, and not Ready yet: an empty place, in which one pod more would be uneven for ever.
#[test]
fn a_worker_that_joins_is_one_place_and_not_two() {
    for there in [true, false] {
        let mut world = World::of(3);
        world.up(None);
        world.add_labels(HOST);
        for number in [1, 2].into_iter().filter(|_| there) {
            world.pod_on(number, 100);
            evenly(HOST)(world.spec());
        }
        world.set(3, crate::model::WorkerState::Booting);
        let since = world.now;
        world.node(3).readiness = crate::model::Readiness::NotReady { since };
        more(&mut world, 4, 100, evenly(HOST));
        assert_eq!(world.launches(), 0);
    }
}

/// The second and third node have room for one pod each.
#[test]
fn a_place_that_had_too_many_is_asked_again_and_refuses_again() {
    let with = |pods| {
        let mut world = World::of(3);
        world.up(None);
        world.add_labels(HOST);
        (2..=3).for_each(|number| _ = world.pod_on(number, 1_850));
        more(&mut world, pods, 100, evenly(HOST));
        world.launches()
    };
    assert_eq!(with(4), 0, "two, one and one");
    assert_eq!(with(5), 1);
}

/// The first node has room for two, the others for three.
#[test]
fn a_place_that_may_have_more_again_takes_no_more_than_it_has_room_for() {
    let with = |pods| {
        let mut world = World::of(3);
        world.up(None);
        world.add_labels(HOST);
        for (number, used) in [(1, 1_800), (2, 1_700), (3, 1_700)] {
            world.pod_on(number, used);
        }
        more(&mut world, pods, 100, evenly(HOST));
        world.launches()
    };
    assert_eq!(with(8), 0);
    assert_eq!(with(9), 1);
}

#[test]
fn a_label_that_no_new_worker_would_have_makes_it_no_place() {
    let mut world = waiting(1, 100, evenly("rack"));
    assert_eq!(world.launches(), 0);
    assert_eq!(unhostable(&world), ["it would be spread over rack more unevenly than by 1"]);
    world.pool().node.labels.insert("rack".to_owned(), "r1".to_owned());
    assert_eq!(world.launches(), 1);
}

#[test]
fn a_free_volume_is_for_one_pod() {
    let with = |volumes: &'static [&str]| {
        let free = volumes.iter().map(|name| FreeVolume { name: (*name).to_owned(), on: None });
        let need = VolumeNeed::OneOf(free.collect());
        waiting(2, 100, move |spec| spec.volumes = vec![need.clone()])
    };
    assert_eq!(unhostable(&with(&["v1"])), ["no volume is free for it"]);
    assert_eq!(unhostable(&with(&["v1", "v2"])), [""; 0]);
    let elsewhere = waiting(1, 100, |spec| {
        in_zone("c")(spec);
        let Some(VolumeNeed::On(terms)) = spec.volumes.pop() else { unreachable!() };
        let free = FreeVolume { name: "v1".to_owned(), on: Some(terms) };
        spec.volumes = vec![VolumeNeed::OneOf(vec![free])];
    });
    assert_eq!(unhostable(&elsewhere), ["its volumes are where no new node would be"]);
}

#[test]
fn a_pod_beside_another_that_waits_comes_after_it() {
    let mut world = waiting(1, 1_500, |spec| {
        spec.labels = app("web");
        spec.pod_affinity = vec![beside("db", HOST)];
    });
    assert_eq!(world.launches(), 0);
    assert_eq!(unhostable(&world), ["no pod that it must be beside is where a new node would be"]);
    more(&mut world, 1, 400, |spec| spec.labels = app("db"));
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    assert_eq!((intent.request.orders.len(), intent.pods.len()), (1, 2));
}

#[test]
fn pods_that_follow_one_another_all_come_in_the_end() {
    for too_large in [0, 1] {
        let mut world = waiting(1, 1_000, |spec| {
            spec.labels = app("web");
            spec.pod_affinity = vec![beside("db", HOST)];
        });
        more(&mut world, 1, 500, |spec| {
            spec.labels = app("db");
            spec.pod_affinity = vec![beside("disk", HOST)];
        });
        more(&mut world, 1, 100, |spec| spec.labels = app("disk"));
        more(&mut world, too_large, 99_000, |_| ());
        let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
        assert_eq!((intent.request.orders.len(), intent.pods.len()), (1, 3));
    }
}

#[test]
fn a_pod_that_another_keeps_off_gets_a_worker_of_its_own() {
    let mut world = World::of(1);
    world.up(None);
    world.add_labels(HOST);
    world.pod_on(1, 100);
    world.spec().pod_anti_affinity = vec![beside("web", HOST)];
    more(&mut world, 1, 100, |spec| spec.labels = app("db"));
    assert_eq!(world.launches(), 0);
    more(&mut world, 1, 100, |spec| spec.labels = app("web"));
    assert_eq!(world.launches(), 1);
}

#[test]
fn a_worker_stays_while_its_pods_may_not_go_where_there_is_room() {
    let idle = |ask: &dyn Fn(&mut PodSpec)| {
        let mut world = World::of(2);
        world.add_labels(HOST);
        world.down();
        for number in [1, 2] {
            world.pod_on(number, 100);
            ask(world.spec());
        }
        world
    };
    assert_eq!(idle(&|_| ()).drains().len(), 1);
    for ask in [&apart(HOST) as &dyn Fn(&mut PodSpec), &evenly(HOST)] {
        let world = idle(ask);
        let told = blocked(&world.held());
        assert_eq!(told["w1"].code(), "pod_fits_nowhere", "{told:?}");
    }
}

#[test]
fn pods_that_leave_together_may_follow_one_another() {
    let mut world = World::of(2);
    world.add_labels(HOST);
    world.pool().step.down = crate::config::Amount::Count(1);
    world.pod_on(2, 1_000);
    world.pod_on(1, 100);
    world.spec().labels = app("db");
    world.pod_on(1, 500);
    world.spec().pod_affinity = vec![beside("db", HOST)];
    world.down();
    assert_eq!(world.drains(), ["w1"], "the larger follows the one that it must be beside");
}

#[test]
fn a_new_worker_has_a_disk_of_its_own_though_nobody_says_how_large() {
    let asking = |name: &'static str| {
        let ask =
            move |spec: &mut PodSpec| _ = spec.requests.extended.insert(name.to_owned(), 1 << 30);
        waiting(1, 100, ask).launches()
    };
    assert_eq!(asking("ephemeral-storage"), 1);
    assert_eq!(asking("hugepages-2Mi"), 0);
}

#[test]
fn what_daemons_ask_is_not_promised_to_others() {
    let mut world = waiting(1, 1_800, |_| ());
    assert_eq!(world.launches(), 1);
    let mut daemon =
        PodSpec { requests: Resources::new(300, 0).with_pods(1), ..PodSpec::default() };
    world.view().daemons = vec![daemon.clone().into()];
    assert_eq!(world.launches(), 0);
    daemon.node_selector = Labels::from([("disk".to_owned(), "ssd".to_owned())]);
    world.view().daemons = vec![daemon.into()];
    assert_eq!(world.launches(), 1, "it would not come to such a node");
}

#[test]
fn ports_that_daemons_take_on_every_node_are_nobody_elses() {
    let mut world = waiting(1, 100, port);
    let mut daemon = PodSpec::default();
    port(&mut daemon);
    world.view().daemons = vec![daemon.into()];
    assert_eq!(world.launches(), 0);
    let why = "daemon pods take the ports of the node that it asks for";
    assert_eq!(unhostable(&world), [why]);
}

#[test]
fn a_new_worker_is_expected_to_have_the_labels_that_all_of_its_pool_have() {
    let with = |of_second: &str| {
        let mut world = World::of(2);
        world.up(None);
        for (number, disk) in [(1, "ssd"), (2, of_second)] {
            world.node(number).labels.insert("disk".to_owned(), disk.to_owned());
            world.pod_on(number, 1_950);
        }
        more(&mut world, 1, 1_000, |spec| {
            spec.node_selector = Labels::from([("disk".to_owned(), "ssd".to_owned())]);
        });
        world.launches()
    };
    assert_eq!(with("ssd"), 1);
    assert_eq!(with("hdd"), 0, "which one it would have is not known");
}

#[test]
fn no_new_worker_has_the_name_of_one_that_is_there() {
    let mut world = World::of(1);
    world.up(None);
    world.add_labels(HOST);
    world.pod_on(1, 1_950);
    more(&mut world, 1, 1_000, |spec| {
        spec.node_selector = Labels::from([(HOST.to_owned(), "n1".to_owned())]);
    });
    assert_eq!(world.launches(), 0);
}

#[test]
fn a_taint_that_goes_by_itself_keeps_no_pod_off_while_a_worker_starts() {
    let with = |key: &str, age: u64| {
        let mut world = World::of(1);
        world.up(None);
        let created = world.now - std::time::Duration::from_secs(age);
        let node = world.node(1);
        node.created = created;
        let (key, value) = (key.to_owned(), String::new());
        node.taints.push(Taint { key, value, effect: Effect::NoSchedule });
        more(&mut world, 1, 100, |_| ());
        world.launches()
    };
    assert_eq!(with("node.kubernetes.io/not-ready", 10), 0);
    assert_eq!(with("node.kubernetes.io/not-ready", 300), 1, "it should have gone long ago");
    assert_eq!(with("team", 10), 1);
}

#[test]
fn expendable_pods_are_no_need_and_hold_no_worker() {
    let expendable = |spec: &mut PodSpec| spec.priority = -11;
    assert_eq!(waiting(1, 100, expendable).launches(), 0);
    assert_eq!(waiting(1, 100, |spec| spec.priority = -10).launches(), 1);
    let mut world = World::of(1);
    world.down();
    world.pod_on(1, 100);
    assert!(blocked(&world.held()).contains_key("w1"));
    expendable(world.spec());
    assert_eq!(world.drains(), ["w1"]);
}
