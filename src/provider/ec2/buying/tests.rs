//! What is asked for next, of each answer AWS can give.

use super::{Buying, ROUNDS};
use crate::model::{InstanceId, LaunchRequest, Market, Offering, Order, Price};
use crate::provider::ec2::fleet::{Answer, Ask};
use crate::provider::{Error, Launched};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn offering(shape: &str, zone: &str, market: Market) -> Offering {
    Offering { shape: shape.into(), zone: zone.into(), market, price: Some(Price(1)) }
}

/// Orders by zone and market, all of the shape `small`; every shape is offered everywhere.
fn request(orders: &[(&str, Market)]) -> LaunchRequest {
    let order = |(number, (zone, market)): (usize, &(&str, Market))| Order {
        worker: format!("w{}", number + 1).as_str().into(),
        offering: offering("small", zone, *market),
    };
    let mut fallback = Vec::new();
    for shape in ["small", "large"] {
        for zone in ["a", "b"] {
            for market in [Market::Spot, Market::OnDemand] {
                fallback.push(offering(shape, zone, market));
            }
        }
    }
    LaunchRequest {
        cluster: "default".into(),
        cluster_uid: "uid".into(),
        pool: "workers".into(),
        batch: "workers-1".into(),
        token: None,
        orders: orders.iter().enumerate().map(order).collect(),
        fallback,
        labels: [].into(),
        taints: Vec::new(),
    }
}

fn none() -> Error {
    Error::Capacity("InsufficientInstanceCapacity: none".to_owned())
}

/// Everything that is asked for comes from what sells.
fn answer(ask: &Ask<'_>, sells: impl Fn(&Offering) -> bool, next: &mut u32) -> Answer {
    let mut answer = Answer::default();
    for (market, wanted) in ask.markets() {
        let asked = ask.asked().into_iter().filter(|one| one.market == market);
        let (sold, without): (Vec<_>, Vec<_>) = asked.partition(&sells);
        answer.without.extend(without.into_iter().map(|one| (one, none())));
        for _ in 0..if sold.is_empty() { 0 } else { wanted } {
            *next += 1;
            answer.had.push((format!("i-{next}").as_str().into(), sold[0].clone()));
        }
    }
    answer
}

/// Plays all rounds; how many calls they took, too.
fn play(request: &LaunchRequest, sells: impl Fn(&Offering) -> bool) -> (Launched, usize) {
    let (mut buying, mut next, mut calls) = (Buying::new(request), 0, 0);
    for round in 0..ROUNDS {
        let asks = buying.round(round);
        if asks.is_empty() {
            break;
        }
        for ask in asks {
            calls += 1;
            let answer = answer(&ask, &sells, &mut next);
            buying.answered(ask, answer);
        }
    }
    (buying.end(), calls)
}

#[test]
fn one_call_for_each_zone_asks_both_markets_at_once() {
    let (spot, own) = (Market::Spot, Market::OnDemand);
    let request = request(&[("a", spot), ("b", spot), ("a", own), ("a", spot)]);
    let mut buying = Buying::new(&request);
    let asks = buying.round(0);
    let told: Vec<_> =
        asks.iter().map(|ask| (ask.orders.len(), ask.spot, ask.on_demand())).collect();
    assert_eq!(told, [(3, 2, 1), (1, 1, 0)]);
    let zones =
        |ask: &Ask<'_>| ask.offerings.iter().all(|one| one.zone == ask.orders[0].offering.zone);
    assert!(asks.iter().all(zones), "a zone that policy chose is not AWS's choice");
    let shapes: Vec<&str> = asks[0].offerings.iter().map(|one| one.shape.as_str()).collect();
    assert_eq!(shapes, ["small", "small", "large", "large"], "the wanted one first");
}

#[test]
fn each_machine_is_the_worker_s_who_wanted_its_market_and_zone() {
    let request = request(&[("a", Market::OnDemand), ("a", Market::Spot)]);
    let mut buying = Buying::new(&request);
    let ask = buying.round(0).remove(0);
    let had = vec![
        ("i-spot".into(), offering("large", "a", Market::Spot)),
        ("i-own".into(), offering("small", "a", Market::OnDemand)),
    ];
    buying.answered(ask, Answer { had, ..Answer::default() });
    let launched = buying.end();
    let of = |worker: &str| {
        launched.instances.iter().find(|one| one.0.as_str() == worker).unwrap().1.to_string()
    };
    assert_eq!((of("w1").as_str(), of("w2").as_str()), ("i-own", "i-spot"));
    assert_eq!((&launched.failed, &launched.short), (&vec![], &vec![]));
}

#[test]
fn what_spot_does_not_have_is_had_elsewhere_and_then_on_demand() {
    let request = request(&[("a", Market::Spot), ("a", Market::Spot)]);
    let (launched, calls) = play(&request, |one| one.zone.as_str() == "b");
    assert_eq!((launched.instances.len(), calls), (2, 2));
    assert!(launched.instances.iter().all(|one| one.2.market == Market::Spot));
    assert_eq!(launched.short.len(), 2, "both shapes of a, as spot: {:?}", launched.short);
    let (launched, calls) = play(&request, |one| one.market == Market::OnDemand);
    assert_eq!((launched.instances.len(), calls), (2, 3), "and no more than that");
    assert_eq!(launched.failed, []);
    assert!(launched.short.iter().all(|(one, _)| one.market == Market::Spot));
}

#[test]
fn where_nothing_is_to_be_had_every_order_fails_and_says_why() {
    let request = request(&[("a", Market::Spot), ("b", Market::OnDemand)]);
    let (launched, calls) = play(&request, |_| false);
    assert_eq!((launched.instances.len(), launched.failed.len()), (0, 2));
    assert!(launched.failed.iter().all(|(_, error)| *error == none()), "{:?}", launched.failed);
    assert_eq!(launched.short.len(), 8, "each is backed off");
    assert!(calls <= 2 + 2 * (ROUNDS - 1), "{calls}");
}

#[test]
fn a_quota_is_the_whole_market_s() {
    let request = request(&[("a", Market::Spot)]);
    let mut buying = Buying::new(&request);
    let ask = buying.round(0).remove(0);
    buying.refused(ask, Error::Quota("MaxSpotInstanceCountExceeded: 20".to_owned()));
    let asks = buying.round(1);
    assert_eq!(asks.len(), 1);
    assert_eq!((asks[0].spot, asks[0].on_demand()), (0, 1));
    assert!(asks[0].offerings.iter().all(|one| one.market == Market::OnDemand));
    assert_eq!(buying.end().short.len(), 4);
}

#[test]
fn a_call_that_can_never_work_fails_its_orders_and_no_others() {
    let request = request(&[("a", Market::Spot), ("b", Market::Spot)]);
    let mut buying = Buying::new(&request);
    let mut asks = buying.round(0);
    let (of_b, of_a) = (asks.pop().unwrap(), asks.pop().unwrap());
    let invalid = Error::Invalid("InvalidLaunchTemplateName.NotFoundException: gone".to_owned());
    buying.refused(of_a, invalid.clone());
    let came = answer(&of_b, |_| true, &mut 0);
    buying.answered(of_b, came);
    assert!(buying.round(1).is_empty(), "it is not tried elsewhere");
    let launched = buying.end();
    assert_eq!(launched.failed, [("w1".into(), invalid)]);
    assert_eq!(launched.instances.len(), 1);
    assert_eq!(launched.short, [], "it says nothing about the offering");
}

#[test]
fn a_shortage_that_nobody_explains_is_not_asked_again() {
    let request = request(&[("a", Market::Spot)]);
    let mut buying = Buying::new(&request);
    let ask = buying.round(0).remove(0);
    buying.answered(ask, Answer::default());
    let asks = buying.round(1);
    assert!(asks[0].offerings.iter().all(|one| one.zone.as_str() == "b"), "{asks:?}");
    let own = buying.end();
    assert!(own.short.iter().all(|(one, _)| one.market == Market::Spot), "{:?}", own.short);
}

#[test]
fn a_bound_request_stays_in_its_zone() {
    let mut request = request(&[("a", Market::Spot)]);
    request.fallback.retain(|one| one.zone.as_str() == "a");
    let (launched, _) = play(&request, |one| one.zone.as_str() == "b");
    assert_eq!((launched.instances.len(), launched.failed.len()), (0, 1));
}

proptest! {
    /// Whatever sells: no order gets two machines, none is forgotten, nothing that has none is asked twice, calls are bounded.
    #[test]
    fn every_order_ends_once(
        orders in prop::collection::vec((prop::sample::select(vec!["a", "b"]), any::<bool>()), 1..30),
        sells in prop::collection::vec(any::<bool>(), 8),
    ) {
        let market = |spot| if spot { Market::Spot } else { Market::OnDemand };
        let orders: Vec<_> = orders.into_iter().map(|(zone, spot)| (zone, market(spot))).collect();
        let request = request(&orders);
        let sold: BTreeSet<String> = request.fallback.iter().zip(&sells)
            .filter(|(_, sells)| **sells).map(|(one, _)| one.to_string()).collect();
        let (launched, calls) = play(&request, |one| sold.contains(&one.to_string()));
        let had: BTreeSet<_> = launched.instances.iter().map(|one| one.0.clone()).collect();
        let failed: BTreeSet<_> = launched.failed.iter().map(|one| one.0.clone()).collect();
        let ids: BTreeSet<InstanceId> = launched.instances.iter().map(|one| one.1.clone()).collect();
        prop_assert_eq!(had.len() + failed.len(), orders.len());
        prop_assert!(had.is_disjoint(&failed));
        prop_assert_eq!(ids.len(), launched.instances.len());
        prop_assert!(launched.instances.iter().all(|one| sold.contains(&one.2.to_string())));
        prop_assert!(launched.short.iter().all(|one| !sold.contains(&one.0.to_string())));
        let short: BTreeSet<String> = launched.short.iter().map(|one| one.0.to_string()).collect();
        prop_assert_eq!(short.len(), launched.short.len());
        prop_assert!(sold.is_empty() || failed.is_empty(), "all could be had");
        prop_assert!(calls <= 2 + 2 * (ROUNDS - 1));
    }
}
