//! Which of the workers that could be launched is taken.

use super::packing::{HOST, ZONE, apart, beside, bought, evenly, in_zone, more, port, waiting};
use crate::config::Expander;
use crate::model::{PodSpec, Price, Resources, Spread};
use crate::policy::fixtures::{GIB, World, launches, shape, small};
use std::collections::{BTreeMap, BTreeSet};

fn shapes(world: &World) -> Vec<String> {
    let shapes: BTreeSet<String> = bought(world).into_keys().map(|(shape, _)| shape).collect();
    shapes.into_iter().collect()
}

/// Small workers cost less for two pods; a large one wastes less for three, and one is fewer than two.
#[test]
fn expanders_choose_in_their_order() {
    let with = |pods, expanders: &[Expander]| {
        let mut world = waiting(pods, 1_900, |_| ());
        let large = Resources::new(6_000, 16 * GIB).with_pods(110);
        world.shapes().push(shape("large", large, Some(160_000)));
        world.limits.expanders = expanders.to_vec();
        let shapes = bought(&world).into_iter().map(|((shape, _), count)| (shape, count));
        shapes.fold(BTreeMap::new(), |mut sum: BTreeMap<String, u32>, (shape, count)| {
            *sum.entry(shape).or_default() += count;
            sum
        })
    };
    let small = |count| BTreeMap::from([("small".to_owned(), count)]);
    let large = |count| BTreeMap::from([("large".to_owned(), count)]);
    assert_eq!(with(3, &[Expander::Price]), small(3));
    assert_eq!(with(3, &[Expander::Fewest]), large(1));
    assert_eq!(with(3, &[Expander::Fewest, Expander::Price]), large(1));
    assert_eq!(with(1, &[Expander::Fewest, Expander::Price]), small(1), "both hold one");
    assert_eq!(with(1, &[Expander::LeastWaste]), small(1));
    assert_eq!(with(3, &[]), small(3), "the smaller one, where nothing is asked");
}

#[test]
fn of_pools_that_would_do_the_one_of_the_highest_priority_grows() {
    let with = |priority| {
        let mut world = waiting(1, 1_000, |_| ());
        world.add_pool("spare", 10);
        world.signal_named("Up").pool = None;
        world.pool().priority = priority;
        let plan = world.plan();
        let grown = plan.decisions.iter().find(|decision| launches(decision) > 0);
        grown.unwrap().pool.to_string()
    };
    assert_eq!(with(0), "spare", "the first by name");
    assert_eq!(with(1), "workers");
}

/// Four pods of a core each: two on every small worker, which costs 50 000, or all on a large one.
fn four(price: u64, ask: impl Fn(&mut PodSpec)) -> World {
    let mut world = waiting(4, 1_000, ask);
    let large = Resources::new(8_000, 16 * GIB).with_pods(110);
    world.shapes().push(shape("large", large, Some(price)));
    world.limits.expanders = vec![Expander::Price];
    world
}

#[test]
fn the_cheapest_is_the_one_on_which_each_pod_costs_least() {
    assert_eq!(shapes(&four(99_999, |_| ())), ["large"]);
    assert_eq!(shapes(&four(100_001, |_| ())), ["small"]);
}

#[test]
fn only_pods_that_may_share_a_worker_share_its_price() {
    let first = |ask: &dyn Fn(&mut PodSpec)| shapes(&four(99_999, ask)).remove(0);
    let by_node = |skew| {
        move |spec: &mut PodSpec| {
            evenly(HOST)(spec);
            spec.topology_spread[0].max_skew = skew;
        }
    };
    assert_eq!(first(&apart(HOST)), "small");
    assert_eq!(first(&port), "small");
    assert_eq!(first(&by_node(2)), "small");
    assert_eq!(first(&by_node(4)), "large");
    let by_both = |spec: &mut PodSpec| {
        by_node(4)(spec);
        let stricter = Spread { max_skew: 1, ..spec.topology_spread[0].clone() };
        spec.topology_spread.push(stricter);
    };
    assert_eq!(first(&by_both), "small");
    let off_others = |spec: &mut PodSpec| spec.pod_anti_affinity = vec![beside("db", HOST)];
    assert_eq!(first(&off_others), "large");
    assert_eq!(first(&evenly(ZONE)), "large", "one zone may have several on one worker");
    let of_others = |spec: &mut PodSpec| {
        by_node(1)(spec);
        spec.topology_spread[0].selector = None;
    };
    assert_eq!(first(&of_others), "large", "its own are not counted");
}

#[test]
fn pods_that_found_room_are_no_reason_for_a_larger_worker() {
    let mut world = four(60_000, |_| ());
    (1..=2).for_each(|_| _ = world.ready("workers"));
    assert_eq!(world.launches(), 0);
    more(&mut world, 1, 1_000, |_| ());
    assert_eq!(shapes(&world), ["small"]);
    more(&mut world, 1, 1_000, |_| ());
    assert_eq!(shapes(&world), ["small"]);
    more(&mut world, 1, 1_000, |_| ());
    assert_eq!(shapes(&world), ["large"]);
}

/// Five of these pods fill a large worker, and one leaves much of it idle.
#[test]
fn the_least_is_wasted_where_cores_and_memory_are_used_up() {
    let with = |pods| {
        let mut world = waiting(pods, 1_200, |spec| spec.requests.memory = 2 * GIB);
        let large = Resources::new(6_000, 10 * GIB).with_pods(110);
        world.shapes().push(shape("large", large, None));
        world.limits.expanders = vec![Expander::LeastWaste];
        shapes(&world)
    };
    assert_eq!(with(5), ["large"]);
    assert_eq!(with(1), ["small"]);
}

#[test]
fn a_pod_that_asks_for_nothing_needs_a_worker_too() {
    let world = waiting(1, 0, |spec| {
        spec.requests.memory = 0;
        spec.requests.extended.insert("gpu".to_owned(), 0);
    });
    assert_eq!(world.launches(), 1);
}

/// Each shape is cheap in one zone, and dear there too if it is not the cheapest way that is taken.
#[test]
fn the_price_that_counts_is_the_lowest_of_the_zone_that_pods_need() {
    for (zone, cheapest) in [("a", "other"), ("b", "small")] {
        let mut world = waiting(1, 1_000, in_zone(zone));
        world.limits.expanders = vec![Expander::Price];
        world.shapes().push(shape("other", small(), None));
        for (shape, cheap) in world.shapes().iter_mut().zip(["b", "a"]) {
            for offering in &mut shape.offerings {
                let price = if offering.zone.as_str() == cheap { 10_000 } else { 50_000 };
                offering.price = Some(Price(price));
            }
            let mut dear = shape.offerings.clone();
            for offering in &mut dear {
                offering.price = Some(Price(90_000));
            }
            shape.offerings.extend(dear);
        }
        assert_eq!(shapes(&world), [cheapest]);
    }
}
