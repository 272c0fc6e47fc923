//! The exact request: ids, and for every worker where to buy it first, and where next.

use super::backoff::{cost, is_backed_off};
use super::fit::Chosen;
use super::scene::{Scene, unknown};
use crate::config::PoolConfig;
use crate::model::{
    BatchId, ClusterUid, LaunchRequest, Market, Offering, Order, Reason, Shape, WorkerId, Zone,
};
use std::collections::BTreeMap;

/// A request for `count` workers: as chosen, in that order, and of the cheapest shape beyond that.
pub(super) fn request(
    scene: &Scene<'_>,
    pool: &PoolConfig,
    chosen: &[Chosen],
    count: u32,
    cluster_uid: ClusterUid,
) -> Result<LaunchRequest, Reason> {
    let known = scene.observed.shapes.get(&pool.name).and_then(|shapes| shapes.known());
    let known = known.map_or(&[][..], Vec::as_slice);
    let is_off = |offering: &Offering| is_backed_off(scene, &pool.name, offering);
    let batch = batch_id(scene, pool);
    let mut zones = population(scene, pool, known);
    let mut mix = Mix::of(scene, pool);
    let mut orders = Vec::new();
    for number in 0..count {
        let chosen = chosen.get(number as usize);
        let named = chosen.and_then(|one| known.iter().find(|shape| shape.name == one.shape));
        let shape = named.or_else(|| cheapest(scene, pool, known));
        let shape =
            shape.ok_or_else(|| unknown("what can be bought", "the provider offers no shape"))?;
        let zone = chosen.and_then(|one| one.zone.as_ref());
        let offering = least_populated(shape, zone, (&zones, mix.next()), is_off);
        let offering = offering
            .ok_or_else(|| unknown("what can be bought", "the shape is offered nowhere"))?;
        *zones.entry(offering.zone.clone()).or_default() += 1;
        mix.add(offering.market);
        let worker = WorkerId::new(format!("{batch}-{}", number + 1));
        orders.push(Order { worker, offering: offering.clone() });
    }
    Ok(LaunchRequest {
        token: Some(LaunchRequest::token_of(&cluster_uid, &batch)),
        cluster: scene.limits.name.clone(),
        cluster_uid,
        pool: pool.name.clone(),
        fallback: fallback(&orders, known, chosen, (is_off, mix.share.is_some())),
        batch,
        orders,
        labels: pool.node.labels.clone(),
        taints: pool.node.taints.clone(),
    })
}

/// The pool and the moment. A clock that was set back may tell one twice: then the next that is free.
fn batch_id(scene: &Scene<'_>, pool: &PoolConfig) -> BatchId {
    let is_taken = |id: &BatchId| {
        scene.memory.intents.contains_key(id)
            || scene.memory.workers.values().any(|worker| worker.batch.as_ref() == Some(id))
    };
    let mut number = scene.now.as_millisecond().unsigned_abs();
    loop {
        let id = BatchId::new(format!("{}-{}", pool.name, base36(number)));
        if !is_taken(&id) {
            return id;
        }
        number += 1;
    }
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        let digit = u32::try_from(number % 36).expect("below 36");
        digits.push(char::from_digit(digit, 36).expect("below 36"));
        number /= 36;
    }
    digits.iter().rev().collect()
}

/// How many serving workers each zone has.
fn population(scene: &Scene<'_>, pool: &PoolConfig, shapes: &[Shape]) -> BTreeMap<Zone, usize> {
    let offered =
        shapes.iter().flat_map(|shape| &shape.offerings).map(|offering| (offering.zone.clone(), 0));
    let mut zones: BTreeMap<Zone, usize> = offered.collect();
    for worker in scene.workers(&pool.name).filter(|worker| worker.is_serving()) {
        *zones.entry(worker.zone.clone()).or_default() += 1;
    }
    zones
}

/// How a pool's workers are paid for, where its provider has a share for that.
#[derive(Clone, Copy, Debug)]
struct Mix {
    /// Share that is to be spot, in percent.
    share: Option<u32>,
    spot: usize,
    all: usize,
}

impl Mix {
    /// Of the workers that serve.
    fn of(scene: &Scene<'_>, pool: &PoolConfig) -> Self {
        let serving = || scene.workers(&pool.name).filter(|worker| worker.is_serving());
        let spot = serving().filter(|worker| worker.market == Market::Spot).count();
        Self { share: pool.provider.spot_share(), spot, all: serving().count() }
    }

    fn add(&mut self, market: Market) {
        self.spot += usize::from(market == Market::Spot);
        self.all += 1;
    }

    /// Spot as long as that is less than its share, so an empty pool begins with it.
    fn next(self) -> Option<Market> {
        let share = usize::try_from(self.share?).unwrap_or(usize::MAX);
        let is_less = match share {
            100.. => true,
            _ if self.all == 0 => share > 0,
            _ => self.spot * 100 < share * self.all,
        };
        Some(if is_less { Market::Spot } else { Market::OnDemand })
    }
}

/// The offering in the zone that was chosen, or in the one with the fewest workers, in the market whose turn it is; the
/// provider's order decides among equals.
fn least_populated<'s>(
    shape: &'s Shape,
    chosen: Option<&Zone>,
    (zones, market): (&BTreeMap<Zone, usize>, Option<Market>),
    is_off: impl Fn(&Offering) -> bool,
) -> Option<&'s Offering> {
    let there = |offering: &&Offering| chosen.is_none_or(|zone| offering.zone == *zone);
    let offerings = shape.offerings.iter().filter(there);
    offerings.min_by_key(|offering| {
        let is_other = market.is_some_and(|market| offering.market != market);
        (is_off(offering), is_other, zones.get(&offering.zone).copied().unwrap_or(0))
    })
}

fn cheapest<'s>(scene: &Scene<'_>, pool: &PoolConfig, shapes: &'s [Shape]) -> Option<&'s Shape> {
    let offered = shapes.iter().filter(|shape| !shape.offerings.is_empty());
    offered.min_by_key(|shape| {
        let size = (shape.capacity.cpu_milli, shape.capacity.memory);
        (cost(scene, &pool.name, shape), size)
    })
}

/// Every other offering that holds at least what the largest ordered shape holds: same shapes first, those that came to
/// nothing lately last. Where pods need one of the zones, only there: elsewhere it would help nobody.
fn fallback(
    orders: &[Order],
    shapes: &[Shape],
    chosen: &[Chosen],
    (is_off, has_share): (impl Fn(&Offering) -> bool, bool),
) -> Vec<Offering> {
    let ordered = |shape: &&Shape| orders.iter().any(|order| order.offering.shape == shape.name);
    let needed: Vec<&Shape> = shapes.iter().filter(ordered).collect();
    let holds =
        |shape: &Shape| needed.iter().all(|needed| needed.capacity.fits_in(&shape.capacity));
    let (same, others): (Vec<&Shape>, Vec<&Shape>) =
        shapes.iter().partition(|shape| ordered(shape));
    let larger = others.into_iter().filter(|shape| holds(shape));
    let same = same.into_iter().filter(|shape| holds(shape));
    let is_bound = chosen.iter().take(orders.len()).any(|one| one.zone.is_some());
    let there = |offering: &&Offering| {
        !is_bound || orders.iter().all(|order| order.offering.zone == offering.zone)
    };
    let offerings = same.chain(larger).flat_map(|shape| &shape.offerings);
    let mut offerings: Vec<Offering> = offerings.filter(there).cloned().collect();
    offerings.sort_by_key(&is_off);
    if has_share {
        // Within one call the provider chooses: what came to nothing lately is not among what it may choose from, unless all did.
        let open: Vec<Market> =
            offerings.iter().filter(|one| !is_off(one)).map(|one| one.market).collect();
        offerings.retain(|one| !is_off(one) || !open.contains(&one.market));
    }
    offerings
}
