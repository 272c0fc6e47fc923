//! `prometheus`: where guards and `want_query` are evaluated.

use super::Endpoint;
use super::reader::Section;
use super::value;
use crate::model::duration;
use serde_json::{Value, json};
use std::time::Duration;

/// One cluster's Prometheuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrometheusConfig {
    /// Where they are. A guard must hold on every one.
    pub endpoint: Endpoint,
    /// `scrape_interval`: the scrape interval of the series that guards read; a sample older than three of these is
    /// stale. Default 15 s.
    pub scrape_interval: Duration,
}

impl Default for PrometheusConfig {
    fn default() -> Self {
        Self { endpoint: Endpoint::default(), scrape_interval: Duration::from_secs(15) }
    }
}

impl PrometheusConfig {
    /// Reads the section; what is not set comes from `base`.
    pub(super) fn read(s: &mut Section<'_>, base: &Self) -> Self {
        Self {
            endpoint: Endpoint::read(s, &base.endpoint),
            scrape_interval: s
                .take("scrape_interval", value::lasting)
                .unwrap_or(base.scrape_interval),
        }
    }

    pub(super) fn to_value(&self) -> Value {
        let mut fields = json!({ "scrape_interval": duration::format(self.scrape_interval) });
        self.endpoint.write(&mut fields);
        fields
    }
}
