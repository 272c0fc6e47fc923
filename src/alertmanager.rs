//! Alertmanager: what is true about alerts and silences.
//!
//! Webhooks are hints; silences, inhibition and resolution never come by webhook. So every pass,
//! and every act right before it happens, asks here.

mod answers;
mod http;
mod merge;
mod routes;
mod told;

#[cfg(test)]
mod tests;

pub use http::Http;
pub use routes::KnownRoutes;
pub use told::{Told, truth};

use crate::config::AlertmanagerConfig;
use crate::model::{PostedAlert, Truth};
use crate::wire;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// All Alertmanagers of one cluster.
#[async_trait]
pub trait Alertmanager: fmt::Debug + Send + Sync + 'static {
    /// Asks every Alertmanager for alerts routed to our receiver, silences, and its own state, and
    /// merges the answers. Never fails: who did not answer is said inside.
    async fn truth(&self) -> Truth;

    /// Posts alerts to every Alertmanager: peers tell each other of silences, not of alerts. Those that did not
    /// take them, each with why.
    async fn post(&self, _: &[PostedAlert]) -> Vec<String> {
        Vec::new()
    }

    /// The client for another configuration than its own; `None` where it is the same, or where there is
    /// none to follow.
    fn renewed(&self, _: &AlertmanagerConfig) -> Option<Arc<dyn Alertmanager>> {
        None
    }
}

/// What the bodies of several peers' answers (alerts, silences, status, receivers) mean together: the
/// client's own reading, without a network, for the fuzz targets.
#[doc(hidden)]
pub fn judged(peers: &[[&[u8]; 4]], config: &AlertmanagerConfig) -> Truth {
    let read = |[alerts, silences, status, receivers]: &[&[u8]; 4]| {
        Ok::<_, wire::Error>(answers::Answers {
            alerts: wire::json(alerts)?,
            silences: wire::json(silences)?,
            status: wire::json(status)?,
            receivers: wire::json(receivers)?,
        })
    };
    let reply = |(number, bodies)| merge::Reply {
        url: format!("peer {number}"),
        answer: read(bodies).map_err(|error| error.to_string()),
    };
    merge::merge(peers.iter().enumerate().map(reply).collect(), config, &KnownRoutes::default())
}
