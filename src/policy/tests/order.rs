//! The exact request.

use crate::model::{
    Effect, LaunchRequest, Market, Purpose, Reason, Resources, Taint, Verdict, View, WorkerState,
};
use crate::policy::fixtures::{GIB, World, shape, small};

fn request(world: &World) -> LaunchRequest {
    let decision = world.decision();
    let Verdict::Launch { intent } = decision.verdict else { panic!("{decision:#?}") };
    intent.request
}

fn zones(world: &World) -> Vec<String> {
    request(world).orders.iter().map(|order| order.offering.zone.to_string()).collect()
}

fn large() -> Resources {
    Resources::new(8_000, 32 * GIB).with_pods(110)
}

#[test]
fn zones_are_filled_evenly_and_the_cheapest_shape_that_fits_is_bought() {
    let mut world = World::of(1);
    world.pod_on(1, 2_000);
    world.shapes().insert(0, shape("large", large(), Some(400_000)));
    world.shapes().push(shape("tiny", Resources::new(1_000, GIB).with_pods(110), Some(1)));
    world.up(None);
    world.pending(3, 1_900);
    assert_eq!(zones(&world), ["b", "a", "b"], "w1 is in a");
    let request = request(&world);
    assert!(request.orders.iter().all(|order| order.offering.shape == "small".into()));
    let next: Vec<&str> = request.fallback.iter().map(|offer| offer.shape.as_str()).collect();
    assert_eq!(next, ["small", "small", "large", "large"], "nothing that holds less");
}

/// They may ask in one account, which knows launches by their tokens.
#[test]
fn two_clusters_that_order_the_same_at_the_same_moment_have_tokens_of_their_own() {
    let of = |uid: &str| {
        let mut world = World::of(0);
        (world.view().uid, world.memory.cluster.uid) = (uid.into(), Some(uid.into()));
        world.up(Some(1));
        request(&world)
    };
    let (one, other) = (of("uid-1"), of("uid-2"));
    assert_eq!(one.batch, other.batch);
    assert_ne!(one.token(), other.token());
    assert_eq!(one.token(), of("uid-1").token());
}

#[test]
fn headroom_is_bought_as_the_cheapest_shape() {
    let mut world = World::of(0);
    world.shapes().insert(0, shape("large", large(), Some(400_000)));
    world.pool().headroom = Resources::new(3_000, 0);
    world.up(None);
    world.pending(1, 500);
    let orders = request(&world).orders;
    assert_eq!(orders.len(), 2);
    assert!(orders.iter().all(|order| order.offering.shape == "small".into()));
}

#[test]
fn a_step_buys_the_cheapest_shape_there_is() {
    let mut world = World::of(0);
    world.shapes().insert(0, shape("large", large(), Some(400_000)));
    world.up(Some(1));
    assert_eq!(request(&world).orders[0].offering.shape, "small".into());
}

#[test]
fn a_shape_that_is_offered_nowhere_is_not_bought() {
    let mut world = World::of(0);
    let mut nowhere = shape("nowhere", small(), Some(1));
    nowhere.offerings.clear();
    world.shapes().insert(0, nowhere);
    world.up(None);
    world.pending(1, 500);
    assert_eq!(request(&world).orders[0].offering.shape, "small".into());
    world.shapes()[0].capacity = large();
    world.pending(1, 5_000);
    assert_eq!(request(&world).orders.len(), 1, "the large pod waits");
    world.pool().headroom = Resources::new(3_000, 0);
    let orders = request(&world).orders;
    assert_eq!(orders.len(), 2);
    assert!(orders.iter().all(|order| order.offering.shape == "small".into()));
}

#[test]
fn a_step_buys_nothing_that_is_offered_nowhere() {
    let mut world = World::of(0);
    let mut nowhere = shape("nowhere", Resources::new(1, 1), Some(1));
    nowhere.offerings.clear();
    world.shapes().insert(0, nowhere);
    world.up(Some(1));
    assert_eq!(request(&world).orders[0].offering.shape, "small".into());
}

#[test]
fn what_is_bought_in_place_of_several_shapes_holds_as_much_as_the_largest() {
    let mut world = World::of(0);
    world.shapes().insert(0, shape("large", large(), Some(400_000)));
    world.up(None);
    world.pending(1, 7_900);
    world.pending(1, 1_900);
    let request = request(&world);
    let bought: Vec<&str> = request.orders.iter().map(|one| one.offering.shape.as_str()).collect();
    assert_eq!(bought, ["large", "small"]);
    let next: Vec<&str> = request.fallback.iter().map(|offer| offer.shape.as_str()).collect();
    assert_eq!(next, ["large", "large"]);
}

#[test]
fn the_market_is_the_one_the_provider_lists_first() {
    let mut world = World::of(0);
    let offerings = &mut world.shapes()[0].offerings;
    let mut spot = offerings[0].clone();
    spot.market = Market::Spot;
    offerings.insert(0, spot);
    world.up(Some(1));
    assert_eq!(request(&world).orders[0].offering.market, Market::Spot);
}

#[test]
fn a_worker_on_its_way_out_fills_no_zone() {
    let mut world = World::of(3);
    world.worker(2).zone = "a".into();
    for number in [1, 2] {
        world.leaving(number, WorkerState::Draining, Purpose::Manual);
    }
    world.worker(3).zone = "b".into();
    world.up(Some(1));
    assert_eq!(zones(&world), ["a"]);
}

#[test]
fn labels_and_taints_of_the_pool_are_asked_for() {
    let mut world = World::of(0);
    let taint =
        Taint { key: "team".to_owned(), value: "red".to_owned(), effect: Effect::NoSchedule };
    world.pool().node.labels.insert("disk".to_owned(), "ssd".to_owned());
    world.pool().node.taints.push(taint.clone());
    world.up(Some(1));
    let request = request(&world);
    assert_eq!(request.labels.get("disk").map(String::as_str), Some("ssd"));
    assert_eq!(request.taints, [taint]);
}

#[test]
fn an_offer_that_is_not_known_is_told_with_its_cause() {
    let mut world = World::of(0);
    world.up(Some(1));
    world.observed.shapes.insert("workers".into(), View::Unknown { why: "throttled".to_owned() });
    assert!(matches!(world.held(), Reason::Unknown { why, .. } if why == "throttled"));
}
