//! What machines cost. Pure; an unknown price is an error, not free.

use crate::model::{Offering, Price, Reason, Shape, Worker};

/// The prices of a pool's offerings.
#[derive(Clone, Copy, Debug)]
pub struct Prices<'a> {
    shapes: &'a [Shape],
}

impl<'a> Prices<'a> {
    /// Prices of what can be bought.
    pub fn new(shapes: &'a [Shape]) -> Self {
        Self { shapes }
    }

    /// What these workers cost per hour in all. A price that is not known is a reason to refuse.
    pub fn spent(&self, workers: &[&Worker]) -> Result<Price, Reason> {
        let mut sum = 0_u64;
        for worker in workers {
            let offering = self.offering(worker);
            let price = offering.and_then(|offering| offering.price);
            let price =
                price.ok_or_else(|| Reason::PriceUnknown { shape: worker.shape.to_string() })?;
            sum = sum.saturating_add(price.0);
        }
        Ok(Price(sum))
    }

    /// The highest price of any offering.
    pub fn highest(&self) -> Result<Price, Reason> {
        let mut highest = Price::default();
        for offering in self.shapes.iter().flat_map(|shape| &shape.offerings) {
            let unknown = || Reason::PriceUnknown { shape: offering.shape.to_string() };
            highest = highest.max(offering.price.ok_or_else(unknown)?);
        }
        Ok(highest)
    }

    fn offering(&self, worker: &Worker) -> Option<&'a Offering> {
        let offerings = self.shapes.iter().flat_map(|shape| &shape.offerings);
        offerings.into_iter().find(|offering| {
            offering.shape == worker.shape
                && offering.zone == worker.zone
                && offering.market == worker.market
        })
    }
}
