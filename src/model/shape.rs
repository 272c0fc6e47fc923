//! What can be bought: shapes, and where and how each is offered.

use super::{Resources, ShapeName, Zone};
use serde::{Deserialize, Serialize};
use std::fmt;

/// An instance type with its capacity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The instance type's name.
    pub name: ShapeName,
    /// What the machine has. What its node keeps for itself, and daemon pods take, is not taken off.
    pub capacity: Resources,
    /// Zones and markets it can be had in, in the provider's order of preference.
    pub offerings: Vec<Offering>,
}

/// A shape in one zone and one market.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offering {
    /// The instance type.
    pub shape: ShapeName,
    /// The availability zone.
    pub zone: Zone,
    /// Spot or on-demand.
    pub market: Market,
    /// Price of one hour; `None` is unknown, which is not free.
    pub price: Option<Price>,
}

/// How a machine is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// Cheap, and can be taken back at two minutes' notice.
    Spot,
    /// Ours until we end it.
    OnDemand,
}

/// Money per hour in millionths of the account's currency unit.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Price(pub u64);

impl Shape {
    /// The lowest price it is sold for; one that is not known comes last.
    pub fn lowest_price(&self) -> Price {
        let prices = self.offerings.iter().filter_map(|offering| offering.price);
        prices.min().unwrap_or(Price(u64::MAX))
    }
}

impl Offering {
    /// Whether it is the same shape in the same place and market, whatever the price is by now.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.shape, &self.zone, self.market) == (&other.shape, &other.zone, other.market)
    }
}

impl fmt::Display for Market {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        })
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:04}", self.0 / 1_000_000, self.0 % 1_000_000 / 100)
    }
}

impl fmt::Display for Offering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} ({})", self.shape, self.zone, self.market)
    }
}
