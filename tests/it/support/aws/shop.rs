//! What AWS has to sell, and what it has no more of.

use super::behind::Told;
use super::words::Words;
use super::xml;
use std::collections::BTreeMap;
use std::fmt;

/// That there is none of it now.
pub(super) const SOLD_OUT: &str = "InsufficientInstanceCapacity";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lifecycle {
    Spot,
    OnDemand,
}

impl Lifecycle {
    /// As AWS writes it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Spot => "spot",
            Self::OnDemand => "on-demand",
        }
    }
}

/// One kind of instance, in one zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ware {
    /// `None` of a launch that leaves it to its template.
    pub(super) shape: Option<String>,
    /// `None` of a launch that leaves it to AWS.
    pub(super) zone: Option<String>,
    pub(super) lifecycle: Lifecycle,
}

impl Ware {
    pub(super) fn new(shape: &str, zone: &str, lifecycle: Lifecycle) -> Self {
        Self { shape: Some(shape.to_owned()), zone: Some(zone.to_owned()), lifecycle }
    }

    /// What a call of `RunInstances` is for, in a zone.
    pub(super) fn of(words: &Words, zone: Option<&str>) -> Self {
        let market = words.get("InstanceMarketOptions.MarketType");
        let is_spot = market.is_some_and(|market| market == "spot");
        Self {
            shape: words.get("InstanceType").cloned(),
            zone: zone.map(str::to_owned),
            lifecycle: if is_spot { Lifecycle::Spot } else { Lifecycle::OnDemand },
        }
    }
}

impl fmt::Display for Ware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shape, zone, lifecycle } = self;
        let [shape, zone] = [shape, zone].map(|it| it.as_deref().unwrap_or("any"));
        write!(f, "{shape} in {zone}, {}", lifecycle.name())
    }
}

/// What is left of wares of which there is not enough for everybody.
#[derive(Default)]
pub(super) struct Shop {
    left: BTreeMap<Ware, Left>,
}

/// How many there still are, and the code that says why no more.
struct Left {
    count: usize,
    code: &'static str,
}

impl Shop {
    pub(super) fn has_left(&mut self, ware: Ware, count: usize, code: &'static str) {
        self.left.insert(ware, Left { count, code });
    }

    pub(super) fn has_all(&mut self) {
        self.left.clear();
    }

    /// How many of so many can be had, and the code that says why no more.
    pub(super) fn offers(&self, ware: &Ware, wanted: usize) -> (usize, &'static str) {
        self.left.get(ware).map_or((wanted, SOLD_OUT), |it| (it.count.min(wanted), it.code))
    }

    pub(super) fn sold(&mut self, ware: &Ware, count: usize) {
        if let Some(left) = self.left.get_mut(ware) {
            left.count -= count;
        }
    }
}

/// That a launch is refused for what cannot be had.
pub(super) fn refusal(code: &str, ware: &Ware) -> Told {
    // A lack of theirs is a fault of the server's, a limit is one of the caller's.
    let is_theirs = code.starts_with("Insufficient") && code.ends_with("Capacity");
    xml::refusal(if is_theirs { 500 } else { 400 }, code, &format!("There is no {ware}."))
}
