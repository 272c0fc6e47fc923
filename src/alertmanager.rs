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

use crate::model::Truth;
use async_trait::async_trait;
use std::fmt;

/// All Alertmanagers of one cluster.
#[async_trait]
pub trait Alertmanager: fmt::Debug + Send + Sync + 'static {
    /// Asks every Alertmanager for alerts routed to our receiver, silences, and its own state, and
    /// merges the answers. Never fails: who did not answer is said inside.
    async fn truth(&self) -> Truth;
}
