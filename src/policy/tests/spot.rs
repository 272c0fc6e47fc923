//! How many workers of a pool are spot: the arithmetic of a share.

use crate::config::Amount;
use crate::model::{Market, Offering, Price, Verdict, Want};
use crate::policy::fixtures::{World, ec2, shape, small};
use crate::policy::without_capacity;

/// A pool whose share is so many percent, with workers that are spot and others.
fn world(share: u32, spot: u32, on_demand: u32) -> World {
    let mut world = World::of(spot + on_demand);
    for number in 1..=spot {
        world.worker(number).market = Market::Spot;
    }
    for number in spot + 1..=spot + on_demand {
        world.worker(number).market = Market::OnDemand;
    }
    world.pool().provider = ec2(share);
    let mut small = shape("small", small(), Some(40_000));
    small.offerings = ["a", "b"]
        .into_iter()
        .flat_map(|zone| {
            [Market::Spot, Market::OnDemand].map(|market| Offering {
                shape: "small".into(),
                zone: zone.into(),
                market,
                price: Some(Price(40_000)),
            })
        })
        .collect();
    *world.shapes() = vec![small];
    let pool = world.pool();
    (pool.max, pool.step.up) = (100, Amount::Count(100));
    world
}

/// Of so many more, how many are spot.
fn bought(world: &mut World, count: u32) -> (usize, usize) {
    world.up(Some(count));
    let decision = world.decision();
    let Verdict::Launch { intent } = decision.verdict else { panic!("{decision:#?}") };
    let orders = intent.request.orders;
    let spot = orders.iter().filter(|order| order.offering.market == Market::Spot).count();
    assert_eq!(orders.len(), count as usize);
    (spot, orders.len() - spot)
}

///
#[test]
fn seven_of_ten_are_spot_where_the_share_is_seventy_percent() {
    let cases = [
        // There are: spot and on demand; more; of these spot and on demand.
        ((0, 0), 10, (7, 3)),
        ((7, 3), 5, (3, 2)),
        ((3, 7), 10, (10, 0)),
        ((0, 0), 1, (1, 0)),
        ((7, 3), 1, (0, 1)),
        ((0, 2), 1, (1, 0)),
    ];
    for ((spot, on_demand), more, wanted) in cases {
        let told = bought(&mut world(70, spot, on_demand), more);
        assert_eq!(told, wanted, "{more} more than {spot} spot and {on_demand} on demand");
    }
}

/// a share is kept by what is bought, and nothing is bought or ended for its sake.
#[test]
fn a_pool_that_is_large_enough_or_too_large_buys_nothing_however_far_it_is_from_its_share() {
    for (spot, on_demand) in [(7, 3), (3, 7), (0, 10), (10, 0)] {
        for want in [10, 9, 5, 0] {
            let mut world = world(70, spot, on_demand);
            world.up_wants(Want::Workers(want));
            let plan = world.plan();
            assert_eq!(plan.decisions[0].verdict, Verdict::Hold, "{spot} and {on_demand}: {want}");
            assert_eq!((plan.steps, plan.transitions), (vec![], vec![]));
        }
        let mut world = world(70, spot, on_demand);
        world.up_wants(Want::Workers(11));
        let verdict = world.decision().verdict;
        assert!(matches!(verdict, Verdict::Launch { .. }), "what it lacks it buys: {verdict:?}");
    }
}

///
#[test]
fn none_is_spot_at_a_share_of_nothing_and_all_at_the_whole() {
    assert_eq!(bought(&mut world(0, 0, 0), 10), (0, 10));
    assert_eq!(bought(&mut world(100, 0, 0), 10), (10, 0));
    assert_eq!(bought(&mut world(100, 0, 5), 10), (10, 0));
}

#[test]
fn zones_are_filled_evenly_whatever_the_market() {
    for count in [4, 6] {
        let mut world = world(70, 0, 0);
        world.up(Some(count));
        let Verdict::Launch { intent } = world.decision().verdict else { panic!() };
        let in_a =
            intent.request.orders.iter().filter(|one| one.offering.zone.as_str() == "a").count();
        assert_eq!(in_a * 2, count as usize, "{:?}", intent.request.orders);
    }
}

#[test]
fn what_the_market_has_none_of_is_bought_in_the_other() {
    let mut world = world(70, 0, 0);
    let timing = world.limits.timing;
    let spot: Vec<Offering> = world.shapes()[0]
        .offerings
        .iter()
        .filter(|one| one.market == Market::Spot)
        .cloned()
        .collect();
    let now = world.now;
    for offering in &spot {
        without_capacity(world.remembered(), offering, "none", &timing, now);
    }
    assert_eq!(bought(&mut world, 4), (0, 4), "all that is spot is backed off");
    world.later(timing.back_off_max);
    assert_eq!(bought(&mut world, 4), (3, 1), "and tried again later");
}

#[test]
fn the_provider_may_not_choose_what_came_to_nothing_lately_unless_all_did() {
    let mut world = world(70, 0, 0);
    let spot = |world: &mut World| {
        world.up(Some(4));
        let Verdict::Launch { intent } = world.decision().verdict else { panic!() };
        let fallback = intent.request.fallback.into_iter();
        fallback.filter(|one| one.market == Market::Spot).map(|one| one.zone.to_string()).collect()
    };
    let before: Vec<String> = spot(&mut world);
    assert_eq!(before, ["a", "b"]);
    let (timing, now) = (world.limits.timing, world.now);
    let in_a = world.shapes()[0].offerings[0].clone();
    without_capacity(world.remembered(), &in_a, "none", &timing, now);
    let after: Vec<String> = spot(&mut world);
    assert_eq!(after, ["b"]);
    let in_b = Offering { zone: "b".into(), ..in_a };
    without_capacity(world.remembered(), &in_b, "none", &timing, now);
    let all: Vec<String> = spot(&mut world);
    assert_eq!(all, ["a", "b"], "then it is tried again");
}
