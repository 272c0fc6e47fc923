//! What its API answers.

use super::Alertmanager;
use super::alerts::Alert;
use crate::alertmanager::Told;
use crate::model::Silence;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

impl Alertmanager {
    /// The answers to everything that is asked of an Alertmanager, about one receiver; `None` while it is
    /// down.
    pub fn told(&mut self, receiver: &str, now: Timestamp) -> Option<Told> {
        self.run(now);
        let receivers: Vec<Value> =
            self.config.receivers.iter().map(|receiver| json!({ "name": receiver.name })).collect();
        (!self.is_down()).then(|| Told {
            alerts: self.alerts_api(receiver, now),
            silences: self.silences_api(now),
            status: json!({
                "uptime": short(self.started),
                "config": { "original": self.config.original },
            }),
            receivers: json!(receivers),
        })
    }

    /// `GET /api/v2/alerts` about one receiver: routed there and not over, whether delivered or not.
    pub(super) fn alerts_api(&self, receiver: &str, now: Timestamp) -> Value {
        let alerts = self.alerts.iter().filter(|alert| alert.ends >= now);
        let told = alerts.filter_map(|alert| {
            let places = self.config.matching(&alert.labels);
            let receivers: Vec<&str> =
                places.into_iter().map(|place| &*self.config.routes[place].receiver).collect();
            receivers.contains(&receiver).then(|| self.alert_api(alert, &receivers, now))
        });
        told.collect()
    }

    fn alert_api(&self, alert: &Arc<Alert>, receivers: &[&str], now: Timestamp) -> Value {
        let silenced_by = self.silences.muting(&alert.labels, now);
        let inhibited_by: Vec<_> = self.inhibitor.muting(&alert.labels, now).into_iter().collect();
        // Time intervals do not show here.
        let is_active = silenced_by.is_empty() && inhibited_by.is_empty();
        json!({
            "labels": alert.labels,
            "annotations": alert.annotations,
            "startsAt": short(alert.starts),
            "endsAt": short(alert.ends),
            "updatedAt": short(alert.updated),
            "generatorURL": alert.generator_url,
            "fingerprint": alert.fingerprint,
            "receivers": receivers.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
            "status": {
                "state": if is_active { "active" } else { "suppressed" },
                "silencedBy": silenced_by,
                "inhibitedBy": inhibited_by,
            },
        })
    }

    /// `GET /api/v2/silences`.
    fn silences_api(&self, now: Timestamp) -> Value {
        let tell = |silence: Silence| {
            json!({
                "id": silence.id,
                "matchers": silence.matchers,
                "startsAt": short(silence.starts),
                "endsAt": short(silence.ends),
                "createdBy": silence.created_by,
                "comment": silence.comment,
                "status": { "state": silence.state },
            })
        };
        self.silences.iter().map(|held| tell(held.tell(now))).collect()
    }
}

/// A time as the API writes it: to the millisecond, while bodies carry all of it.
fn short(at: Timestamp) -> String {
    format!("{at:.3}")
}
