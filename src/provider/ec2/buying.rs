//! What is bought where, until every order has its machine or nothing is left to try. Pure.
//!
//! In the first round each order is asked for where policy wants it. What did not come goes on within the same act: in its market
//! elsewhere, then in the other market. An offering that had none is not asked again.

use super::fleet::{Answer, Ask};
use crate::model::{InstanceId, LaunchRequest, Market, Offering, Order, ShapeName, WorkerId, Zone};
use crate::provider::{Error, Launched};
use std::collections::BTreeMap;

/// Rounds of one act: what is not had by then waits for the next decision.
pub(super) const ROUNDS: usize = 5;

/// One launch under way.
pub(super) struct Buying<'a> {
    request: &'a LaunchRequest,
    open: Vec<&'a Order>,
    had: Vec<(WorkerId, InstanceId, Offering)>,
    without: Vec<(Offering, Error)>,
    failed: Vec<(WorkerId, Error)>,
}

impl<'a> Buying<'a> {
    pub(super) fn new(request: &'a LaunchRequest) -> Self {
        let open = request.orders.iter().collect();
        Self { request, open, had: Vec::new(), without: Vec::new(), failed: Vec::new() }
    }

    /// The calls of the next round, which may go at once; none where there is nothing more to buy or to try.
    pub(super) fn round(&mut self, number: usize) -> Vec<Ask<'a>> {
        let open = std::mem::take(&mut self.open);
        if number == 0 {
            return self.as_wanted(open);
        }
        let [spot, on_demand] = [Market::Spot, Market::OnDemand]
            .map(|market| open.iter().filter(|o| o.offering.market == market).copied().collect());
        let (spot, on_demand): (Vec<_>, Vec<_>) = (spot, on_demand);
        let mut asks: Vec<Ask<'a>> = Vec::new();
        for (market, other, orders) in
            [(Market::Spot, Market::OnDemand, spot), (Market::OnDemand, Market::Spot, on_demand)]
        {
            if orders.is_empty() {
                continue;
            }
            let own = self.left(market);
            let (market, offerings) =
                if own.is_empty() { (other, self.left(other)) } else { (market, own) };
            if offerings.is_empty() {
                self.open.extend(orders);
                continue;
            }
            let spot = if market == Market::Spot { orders.len() } else { 0 };
            // Both may have come to the same market: then it is one call.
            match asks.iter_mut().find(|ask| ask.offerings == offerings) {
                Some(ask) => {
                    ask.orders.extend(orders);
                    ask.spot += spot;
                }
                None => asks.push(Ask { orders, offerings, spot }),
            }
        }
        asks
    }

    /// One call for each zone and shape that policy chose: which of its machines is where is then not AWS's choice.
    fn as_wanted(&self, open: Vec<&'a Order>) -> Vec<Ask<'a>> {
        let mut groups: BTreeMap<(&Zone, &ShapeName), Vec<&'a Order>> = BTreeMap::new();
        for order in open {
            groups.entry((&order.offering.zone, &order.offering.shape)).or_default().push(order);
        }
        let ask = |((zone, _), orders): ((&Zone, _), Vec<&'a Order>)| {
            let own = orders.iter().map(|order| &order.offering);
            let others = self.request.fallback.iter().filter(|one| one.zone == *zone);
            let mut offerings: Vec<&'a Offering> = Vec::new();
            for one in own.chain(others) {
                if !offerings.iter().any(|known| known.is_same(one)) {
                    offerings.push(one);
                }
            }
            let spot = orders.iter().filter(|one| one.offering.market == Market::Spot).count();
            Ask { orders, offerings, spot }
        };
        groups.into_iter().map(ask).collect()
    }

    /// What is left to try of a market.
    fn left(&self, market: Market) -> Vec<&'a Offering> {
        let is_out = |one: &Offering| self.without.iter().any(|(without, _)| without.is_same(one));
        let all = self.request.fallback.iter();
        all.filter(|one| one.market == market && !is_out(one)).collect()
    }

    fn is_more_left(&self) -> bool {
        [Market::Spot, Market::OnDemand].into_iter().any(|market| !self.left(market).is_empty())
    }

    /// Takes in what a call was answered with.
    pub(super) fn answered(&mut self, ask: Ask<'a>, answer: Answer) {
        let untold = untold(&ask, &answer);
        let Ask { mut orders, .. } = ask;
        for (id, offering) in answer.had {
            // The machine of the order that wanted it most.
            let fit = |order: &&Order| {
                let wanted = &order.offering;
                (wanted.market != offering.market, wanted.zone != offering.zone)
            };
            let best = (0..orders.len()).min_by_key(|at| fit(&orders[*at]));
            // More than were asked for: the list shows them, and they are adopted.
            let Some(best) = best else { continue };
            self.had.push((orders.remove(best).worker.clone(), id, offering));
        }
        for (offering, error) in answer.without {
            if !matches!(error, Error::Capacity(_) | Error::Quota(_)) {
                tracing::warn!(section = "provider", %offering, %error, "an offering is refused");
            }
            self.has_none(offering, &error);
        }
        for offering in untold {
            self.has_none(offering, &Error::Capacity("no machine came".to_owned()));
        }
        match answer.cut {
            Some(error) if !self.is_more_left() => self.fail(&orders, &error),
            // Those that were not asked for are so in the next round.
            _ => self.open.extend(orders),
        }
    }

    /// Takes in that a call was refused.
    pub(super) fn refused(&mut self, ask: Ask<'a>, error: Error) {
        match error {
            Error::Capacity(_) | Error::Quota(_) => {
                for offering in ask.asked() {
                    self.has_none(offering, &error);
                }
                self.open.extend(ask.orders);
            }
            error => self.fail(&ask.orders, &error),
        }
    }

    fn fail(&mut self, orders: &[&Order], why: &Error) {
        self.failed.extend(orders.iter().map(|order| (order.worker.clone(), why.clone())));
    }

    fn is_out(&self, offering: &Offering) -> bool {
        self.without.iter().any(|(without, _)| without.is_same(offering))
    }

    /// A quota is the account's, and holds for all that is of its market.
    fn has_none(&mut self, offering: Offering, error: &Error) {
        let mut all = vec![offering];
        if matches!(error, Error::Quota(_)) {
            let others = self.request.fallback.iter();
            all.extend(
                others.filter(|one| one.market == all[0].market).cloned().collect::<Vec<_>>(),
            );
        }
        for one in all {
            if !self.is_out(&one) {
                self.without.push((one, error.clone()));
            }
        }
    }

    /// What came of it all.
    pub(super) fn end(self) -> Launched {
        let last = self.without.last().map(|(_, error)| error.clone());
        let why = last.unwrap_or_else(|| Error::Capacity("no machine came".to_owned()));
        let open = self.open.iter().map(|order| (order.worker.clone(), why.clone()));
        let failed = self.failed.into_iter().chain(open).collect();
        // What was refused for another reason than that there is none says nothing about the offering.
        let is_short =
            |(_, error): &(Offering, Error)| matches!(error, Error::Capacity(_) | Error::Quota(_));
        let short = self.without.into_iter().filter(is_short).collect();
        Launched { instances: self.had, failed, short }
    }
}

/// Offerings of the markets of which fewer came than were asked for. Whether or not somebody says why of each, none is asked
/// again in this act. Of what was not asked for at all nothing is known.
fn untold(ask: &Ask<'_>, answer: &Answer) -> Vec<Offering> {
    if answer.cut.is_some() {
        return Vec::new();
    }
    let came = |market| answer.had.iter().filter(|(_, had)| had.market == market).count();
    let short: Vec<Market> =
        ask.markets().filter(|(market, count)| came(*market) < *count).map(|it| it.0).collect();
    ask.asked().into_iter().filter(|offering| short.contains(&offering.market)).collect()
}

#[cfg(test)]
mod tests;
