//! Prometheus: guards and wanted sizes, evaluated at the moment of deciding.

mod http;
mod judge;
mod selectors;

#[cfg(test)]
mod tests;

pub use http::Http;

use crate::model::{Guard, Want};
use async_trait::async_trait;
use std::fmt;

/// All Prometheuses of one cluster.
#[async_trait]
pub trait Prometheus: fmt::Debug + Send + Sync + 'static {
    /// Evaluates a guard on every configured Prometheus. It holds only when each answers, non-empty,
    /// all values non-zero, without warnings, and from fresh samples.
    async fn guard(&self, expression: &str) -> Guard;

    /// Evaluates a `want_query`: exactly one series, a finite number of zero or more, rounded up.
    async fn want(&self, query: &str) -> Want;
}
