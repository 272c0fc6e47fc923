//! Answers that did not come over the wire, read and merged as those that do.

use super::answers::Answers;
use super::merge::{Reply, merge};
use super::routes::KnownRoutes;
use crate::config::AlertmanagerConfig;
use crate::model::Truth;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// What one Alertmanager's API version 2 answers, as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// `GET /api/v2/alerts`, about our receiver.
    pub alerts: Value,
    /// `GET /api/v2/silences`.
    pub silences: Value,
    /// `GET /api/v2/status`.
    pub status: Value,
    /// `GET /api/v2/receivers`.
    pub receivers: Value,
}

/// The truth of these peers' answers, or of why they did not answer; each peer by its address. `known`
/// belongs to this configuration.
pub fn truth(
    peers: Vec<(String, Result<Told, String>)>,
    config: &AlertmanagerConfig,
    known: &KnownRoutes,
) -> Truth {
    let reply = |(url, told): (String, Result<Told, String>)| {
        let answer = told.and_then(Told::read);
        Reply { url, answer }
    };
    merge(peers.into_iter().map(reply).collect(), config, known)
}

impl Told {
    fn read(self) -> Result<Answers, String> {
        Ok(Answers {
            alerts: read(self.alerts)?,
            silences: read(self.silences)?,
            status: read(self.status)?,
            receivers: read(self.receivers)?,
        })
    }
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_json::from_value(value).map_err(|error| format!("unreadable: {error}"))
}
