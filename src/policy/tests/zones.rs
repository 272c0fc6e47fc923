//! In which zones workers are launched.

use super::packing::{
    HOST, ZONE, apart, app, beside, bought, evenly, has, in_zone, more, unhostable, waiting,
};
use crate::model::{
    FreeVolume, Labels, NodeTerm, PodSpec, Purpose, Verdict, VolumeNeed, WorkerState,
};
use crate::policy::fixtures::World;

fn zones(world: &World) -> Vec<(String, u32)> {
    bought(world).into_iter().map(|((_, zone), count)| (zone, count)).collect()
}

///
#[test]
fn pods_that_must_not_share_a_zone_get_one_worker_in_each_and_the_rest_is_told() {
    let world = waiting(3, 100, apart(ZONE));
    assert_eq!(zones(&world), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert_eq!(unhostable(&world), ["pods in every place keep pods like it off"]);
}

///
#[test]
fn pods_that_must_be_spread_over_zones_are() {
    let world = waiting(6, 1_000, evenly(ZONE));
    assert_eq!(zones(&world), [("a".to_owned(), 2), ("b".to_owned(), 2)]);
    let mut world = waiting(4, 1_000, evenly(ZONE));
    for shape in world.shapes() {
        shape.offerings.retain(|offering| offering.zone.as_str() == "a");
    }
    assert_eq!(zones(&world), [("a".to_owned(), 2)], "one zone is as even as it gets");
}

/// W-57.
#[test]
fn a_worker_is_launched_in_the_zone_where_the_volume_is() {
    for zone in ["a", "b"] {
        let world = waiting(3, 1_000, in_zone(zone));
        assert_eq!(zones(&world), [(zone.to_owned(), 2)]);
        let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
        let elsewhere = intent.request.fallback.iter().find(|one| one.zone.as_str() != zone);
        assert_eq!(elsewhere, None, "elsewhere it would help nobody");
    }
    let world = waiting(1, 100, in_zone("c"));
    assert_eq!(world.launches(), 0);
    assert_eq!(unhostable(&world), ["its volumes are where no new node would be"]);
}

#[test]
fn workers_that_pods_need_in_two_zones_have_no_other_place() {
    let mut world = waiting(1, 1_900, in_zone("a"));
    more(&mut world, 1, 1_900, in_zone("b"));
    assert_eq!(zones(&world), [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    assert_eq!(intent.request.fallback, [], "a worker of a in b would help nobody");
}

#[test]
fn a_zone_that_others_keep_a_pod_off_is_not_where_its_worker_is_launched() {
    for (taken, free) in [("a", "b"), ("b", "a")] {
        let mut world = World::of(1);
        world.up(None);
        world.node(1).labels.insert(ZONE.to_owned(), taken.to_owned());
        world.worker(1).zone = "c".into();
        world.pod_on(1, 1_950);
        world.spec().pod_anti_affinity = vec![beside("web", ZONE)];
        more(&mut world, 1, 100, |spec| spec.labels = app("web"));
        assert_eq!(zones(&world), [(free.to_owned(), 1)]);
    }
}

/// A node in each zone, both full; on the one in `taken` is a pod `app=web`, on the other one `app=db`.
fn two_zones(taken: &str, free: &str, ask: &dyn Fn(&mut PodSpec)) -> World {
    let mut world = World::of(2);
    world.up(None);
    for (number, zone, name) in [(1, taken, "web"), (2, free, "db")] {
        world.node(number).labels.insert(ZONE.to_owned(), zone.to_owned());
        world.worker(number).zone = "c".into();
        world.pod_on(number, 1_950);
        world.spec().labels = app(name);
    }
    more(&mut world, 1, 100, ask);
    world
}

#[test]
fn a_worker_is_launched_in_the_zone_that_its_pod_looks_for() {
    for (taken, free) in [("a", "b"), ("b", "a")] {
        let selects = |spec: &mut PodSpec| {
            spec.node_selector = Labels::from([(ZONE.to_owned(), free.to_owned())]);
        };
        let admits = |spec: &mut PodSpec| {
            let labels = vec![has(ZONE, free)];
            spec.node_affinity = Some(vec![NodeTerm { labels, name: Vec::new() }]);
        };
        let follows = |spec: &mut PodSpec| spec.pod_affinity = vec![beside("db", ZONE)];
        let flees = |spec: &mut PodSpec| spec.pod_anti_affinity = vec![beside("web", ZONE)];
        let asks: [&dyn Fn(&mut PodSpec); 5] = [&selects, &admits, &follows, &flees, &evenly(ZONE)];
        for (number, ask) in asks.into_iter().enumerate() {
            let told = zones(&two_zones(taken, free, ask));
            assert_eq!(told, [(free.to_owned(), 1)], "ask {number}");
        }
    }
}

#[test]
fn of_zones_that_would_do_the_one_with_the_fewest_workers_is_taken() {
    for (first, other) in [("a", "b"), ("b", "a")] {
        let mut world = World::of(3);
        world.up(None);
        for number in 1..=3 {
            world.worker(number).zone = if number == 1 { other.into() } else { first.into() };
            world.pod_on(number, 1_950);
        }
        more(&mut world, 1, 100, evenly(ZONE));
        assert_eq!(zones(&world), [(other.to_owned(), 1)]);
        for number in 2..=3 {
            world.leaving(number, WorkerState::Draining, Purpose::Manual);
        }
        assert_eq!(zones(&world), [(first.to_owned(), 1)], "they will be gone");
    }
}

/// Where it is sold out in one zone, another will do.
#[test]
fn a_worker_for_a_pod_that_looks_for_no_zone_may_be_anywhere() {
    let on_a_disk = || vec![NodeTerm { labels: vec![has("disk", "ssd")], name: Vec::new() }];
    let selects = |spec: &mut PodSpec| {
        spec.node_selector = Labels::from([("disk".to_owned(), "ssd".to_owned())]);
    };
    let admits = |spec: &mut PodSpec| spec.node_affinity = Some(on_a_disk());
    let mounts = |spec: &mut PodSpec| spec.volumes = vec![VolumeNeed::On(on_a_disk())];
    let takes = |spec: &mut PodSpec| {
        let volume = |name: &str, on| FreeVolume { name: name.to_owned(), on };
        let free = vec![volume("v1", Some(on_a_disk())), volume("v2", None)];
        spec.volumes = vec![VolumeNeed::OneOf(free)];
    };
    let asks: [&dyn Fn(&mut PodSpec); 6] =
        [&|_| (), &selects, &admits, &mounts, &takes, &apart(HOST)];
    for (number, ask) in asks.into_iter().enumerate() {
        let mut world = waiting(1, 100, ask);
        world.pool().node.labels.insert("disk".to_owned(), "ssd".to_owned());
        let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
        let zones: Vec<&str> =
            intent.request.fallback.iter().map(|offering| offering.zone.as_str()).collect();
        assert_eq!(zones, ["a", "b"], "ask {number}");
    }
}
