//! Prometheus: guards and wanted sizes, evaluated at the moment of deciding.

mod http;
mod judge;
mod rules;
mod selectors;

#[cfg(test)]
mod tests;

pub use http::Http;

use crate::config::PrometheusConfig;
use crate::model::{Guard, PushRule, Want};
use crate::wire;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;

/// All Prometheuses of one cluster.
#[async_trait]
pub trait Prometheus: fmt::Debug + Send + Sync + 'static {
    /// Evaluates a guard on every configured Prometheus. It holds only when each answers, non-empty,
    /// all values non-zero, without warnings, and from fresh samples.
    async fn guard(&self, expression: &str) -> Guard;

    /// Evaluates a `want_query`: exactly one series, a finite number of zero or more, rounded up.
    async fn want(&self, query: &str) -> Want;

    /// The rules that permit that we post their alerts, as the first Prometheus that answers has loaded them.
    ///
    /// # Errors
    /// In words: none answers, or not so that it can be read.
    async fn push_rules(&self) -> Result<Vec<PushRule>, String> {
        Ok(Vec::new())
    }

    /// The client for another configuration than its own; `None` where it is the same, or where there is
    /// none to follow.
    fn renewed(&self, _: &PrometheusConfig) -> Option<Arc<dyn Prometheus>> {
        None
    }
}

/// What the body of one answer means, as a guard and as a wanted size: the client's own reading,
/// without a network, for the fuzz targets.
#[doc(hidden)]
pub fn judged(body: &[u8]) -> (Guard, Want) {
    let answer = wire::json(body).map_err(|error| error.to_string());
    match answer.and_then(judge::numbers) {
        Ok(numbers) => (judge::guard(&numbers), judge::want(&numbers)),
        Err(why) => (Guard::Unknown { why: why.clone() }, Want::Unknown { why }),
    }
}
