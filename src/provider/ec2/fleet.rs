//! What one call asks for, and what came of it. Pure.

use super::catalog::Catalog;
use super::error::by_code;
use crate::model::{InstanceId, Market, Offering, Order, ShapeName, Zone};
use crate::provider::{Error, Result};
use aws_sdk_ec2::operation::create_fleet::CreateFleetOutput;
use aws_sdk_ec2::types::{
    CreateFleetError, CreateFleetInstance, DefaultTargetCapacityType,
    FleetLaunchTemplateConfigRequest, FleetLaunchTemplateOverridesRequest,
    FleetLaunchTemplateSpecificationRequest, FleetOnDemandAllocationStrategy, InstanceLifecycle,
    InstanceType, LaunchTemplateSpecification, OnDemandOptionsRequest, SpotAllocationStrategy,
    SpotOptionsRequest, TargetCapacitySpecificationRequest,
};

/// One call: machines for these orders, anywhere of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ask<'a> {
    pub(super) orders: Vec<&'a Order>,
    /// Where they may be had, the most wanted first.
    pub(super) offerings: Vec<&'a Offering>,
    /// How many of them are to be spot; the others are on demand.
    pub(super) spot: usize,
}

/// What a call was answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Machines, each with where it was had.
    pub(super) had: Vec<(InstanceId, Offering)>,
    /// Offerings that had none, each with why.
    pub(super) without: Vec<(Offering, Error)>,
    /// Why not all of it was asked for, where it was not: that says nothing of any offering.
    pub(super) cut: Option<Error>,
}

impl Ask<'_> {
    pub(super) fn on_demand(&self) -> usize {
        self.orders.len() - self.spot
    }

    /// The markets that it asks, each with how many it wants there.
    pub(super) fn markets(&self) -> impl Iterator<Item = (Market, usize)> {
        let both = [(Market::Spot, self.spot), (Market::OnDemand, self.on_demand())];
        both.into_iter().filter(|(_, count)| *count > 0)
    }

    /// Its shapes and zones, each pair once.
    fn places(&self) -> Vec<(&ShapeName, &Zone)> {
        let mut places = Vec::new();
        for offering in &self.offerings {
            let place = (&offering.shape, &offering.zone);
            if !places.contains(&place) {
                places.push(place);
            }
        }
        places
    }

    /// Whether anything of it can be asked for: a stored request may name zones that the pool has left.
    pub(super) fn is_somewhere(&self, catalog: &Catalog) -> bool {
        self.offerings.iter().any(|offering| catalog.subnets.contains_key(&offering.zone))
    }

    /// Every offering of the markets that it asks.
    pub(super) fn asked(&self) -> Vec<Offering> {
        let places = self.places();
        let known = |shape: &ShapeName, zone: &Zone, market: Market| {
            let named = Offering { shape: shape.clone(), zone: zone.clone(), market, price: None };
            let known = self.offerings.iter().find(|offering| offering.is_same(&named));
            known.map_or(named, |known| (*known).clone())
        };
        let markets = self.markets().map(|(market, _)| market);
        markets
            .flat_map(|market| places.iter().map(move |(shape, zone)| (*shape, *zone, market)))
            .map(|(shape, zone, market)| known(shape, zone, market))
            .collect()
    }

    /// A template in each place.
    pub(super) fn template(
        &self,
        template: &str,
        version: &str,
        catalog: &Catalog,
    ) -> FleetLaunchTemplateConfigRequest {
        let named = FleetLaunchTemplateSpecificationRequest::builder().version(version);
        let named = if template.starts_with("lt-") {
            named.launch_template_id(template)
        } else {
            named.launch_template_name(template)
        };
        let places = self.places().into_iter().zip(0_u32..);
        // In a zone without a subnet of the pool nothing is bought: AWS would choose one.
        let overrides = places.filter_map(|((shape, zone), rank)| {
            let one = FleetLaunchTemplateOverridesRequest::builder()
                .instance_type(InstanceType::from(shape.as_str()))
                .subnet_id(catalog.subnets.get(zone)?)
                .priority(f64::from(rank));
            Some(one.build())
        });
        FleetLaunchTemplateConfigRequest::builder()
            .launch_template_specification(named.build())
            .set_overrides(Some(overrides.collect()))
            .build()
    }

    pub(super) fn capacity(&self) -> TargetCapacitySpecificationRequest {
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        TargetCapacitySpecificationRequest::builder()
            .total_target_capacity(count(self.orders.len()))
            .spot_target_capacity(count(self.spot))
            .on_demand_target_capacity(count(self.on_demand()))
            .default_target_capacity_type(DefaultTargetCapacityType::OnDemand)
            .build()
    }
}

/// The template of a plain launch.
pub(super) fn template_of_a_run(template: &str, version: &str) -> LaunchTemplateSpecification {
    let named = LaunchTemplateSpecification::builder().version(version);
    if template.starts_with("lt-") {
        named.launch_template_id(template).build()
    } else {
        named.launch_template_name(template).build()
    }
}

/// As the pool lists its shapes.
pub(super) fn on_demand() -> OnDemandOptionsRequest {
    let strategy = FleetOnDemandAllocationStrategy::Prioritized;
    OnDemandOptionsRequest::builder().allocation_strategy(strategy).build()
}

/// Where AWS has most to spare, at a good price: those are taken back least.
pub(super) fn spot() -> SpotOptionsRequest {
    let strategy = SpotAllocationStrategy::PriceCapacityOptimized;
    SpotOptionsRequest::builder().allocation_strategy(strategy).build()
}

/// What came of a fleet. Machines that it tells of without saying what they are make it unknown: they are there.
pub(super) fn answer(
    output: &CreateFleetOutput,
    ask: &Ask<'_>,
    catalog: &Catalog,
) -> Result<Answer> {
    let asked = ask.asked();
    // Its price is known of those that were asked for.
    let priced = |offering: Offering| {
        let known = asked.iter().find(|known| known.is_same(&offering)).cloned();
        known.unwrap_or(offering)
    };
    let mut all = Vec::new();
    for group in output.instances() {
        let Some(offering) = had(group, catalog) else {
            let fleet = output.fleet_id().unwrap_or("?");
            return Err(Error::Unavailable(format!("the fleet {fleet} does not say what it has")));
        };
        let offering = priced(offering);
        let ids = group.instance_ids().iter().map(|id| InstanceId::from(id.as_str()));
        all.extend(ids.map(|id| (id, offering.clone())));
    }
    let without = output.errors().iter().filter_map(|error| without(error, catalog));
    let without = without.map(|(offering, error)| (priced(offering), error)).collect();
    Ok(Answer { had: all, without, cut: None })
}

fn had(group: &CreateFleetInstance, catalog: &Catalog) -> Option<Offering> {
    let overrides = group.launch_template_and_overrides().and_then(|it| it.overrides());
    let subnet = group.subnet_id().or(overrides.and_then(|it| it.subnet_id()));
    let zone = group.availability_zone().or(overrides.and_then(|it| it.availability_zone()));
    Some(Offering {
        shape: group.instance_type()?.as_str().into(),
        zone: zone.map(Zone::from).or_else(|| subnet.and_then(|it| zone_of(it, catalog)))?,
        market: market(group.lifecycle()),
        price: None,
    })
}

fn without(error: &CreateFleetError, catalog: &Catalog) -> Option<(Offering, Error)> {
    let overrides = error.launch_template_and_overrides()?.overrides()?;
    let zone = overrides.subnet_id().and_then(|it| zone_of(it, catalog));
    let offering = Offering {
        shape: overrides.instance_type()?.as_str().into(),
        zone: zone.or_else(|| overrides.availability_zone().map(Zone::from))?,
        market: market(error.lifecycle()),
        price: None,
    };
    let (code, message) = (error.error_code()?, error.error_message().unwrap_or_default());
    // It is part of an answer, so the call was not AWS's own failure.
    Some((offering, by_code(code, message, 400)))
}

fn market(lifecycle: Option<&InstanceLifecycle>) -> Market {
    if lifecycle == Some(&InstanceLifecycle::Spot) { Market::Spot } else { Market::OnDemand }
}

fn zone_of(subnet: &str, catalog: &Catalog) -> Option<Zone> {
    catalog.subnets.iter().find(|(_, known)| *known == subnet).map(|(zone, _)| zone.clone())
}
