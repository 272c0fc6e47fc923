//! Alertmanager's webhook body, version 4: lenient in, strict out.

use crate::model::Fingerprint;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Fields that only Grafana's own Alertmanager sends.
const GRAFANA_FIELDS: [&str; 2] = ["orgId", "title"];

/// What one body delivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its alerts, each readable or not by itself.
    pub alerts: Vec<Result<Alert, Malformed>>,
    /// Alerts that Alertmanager left out (`max_alerts`): they were not delivered to us.
    pub truncated: u64,
}

/// One alert of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its own status.
    pub status: Status,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Start of the episode; `None` where it is missing or no time.
    pub starts_at: Option<Timestamp>,
    /// Alertmanager's fingerprint: the hash of the labels, also where the body left it out.
    pub fingerprint: String,
}

/// An alert's own status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It fires.
    Firing,
    /// It does not fire any more. Never a cause to act.
    Resolved,
}

/// Why one alert cannot be read; the others of its body can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A part has another shape than Alertmanager gives it.
    #[error("{part} is not {wanted}")]
    Shape {
        /// Which part.
        part: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
}

/// Why a body is refused whole: sending it again cannot help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or nested too deeply.
    #[error("not JSON: {0}")]
    NotJson(String),
    /// JSON of another kind.
    #[error("not a webhook of Alertmanager: {0}")]
    Foreign(&'static str),
    /// Grafana's own alerts.
    #[error(
        "alerts managed by Grafana are not in Alertmanager's API, so nothing can confirm that they \
         still hold; write the rule in Prometheus, or let Alertmanager deliver it"
    )]
    Grafana,
}

/// The usual body, read without detours. Whatever does not fit is read once more, with patience.
#[derive(Deserialize)]
struct Usual<'a> {
    #[serde(borrow)]
    alerts: Vec<UsualAlert<'a>>,
    #[serde(rename = "truncatedAlerts", default)]
    truncated: u64,
    #[serde(rename = "orgId")]
    org: Option<serde::de::IgnoredAny>,
    title: Option<serde::de::IgnoredAny>,
    #[serde(borrow, default)]
    version: Cow<'a, str>,
}

#[derive(Deserialize)]
struct UsualAlert<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(rename = "startsAt", borrow, default)]
    starts_at: Cow<'a, str>,
    #[serde(borrow, default)]
    fingerprint: Cow<'a, str>,
}

// === impl Delivery ===

impl Delivery {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        match serde_json::from_slice::<Usual<'_>>(body) {
            Ok(usual) if usual.is_grafana() => Err(BodyError::Grafana),
            Ok(usual) => Ok(usual.into_delivery()),
            Err(_) => {
                let value: Value = serde_json::from_slice(body)
                    .map_err(|error| BodyError::NotJson(error.to_string()))?;
                patient(value)
            }
        }
    }
}

// === impl Usual ===

impl Usual<'_> {
    fn is_grafana(&self) -> bool {
        self.org.is_some() || self.title.is_some() || self.version == "1"
    }

    fn into_delivery(self) -> Delivery {
        let alerts = self.alerts.into_iter().map(UsualAlert::into_alert).collect();
        Delivery { alerts, truncated: self.truncated }
    }
}

impl UsualAlert<'_> {
    fn into_alert(self) -> Result<Alert, Malformed> {
        Ok(Alert {
            status: status(Some(&self.status))?,
            starts_at: self.starts_at.parse().ok(),
            fingerprint: fingerprint(&self.fingerprint, &self.labels),
            labels: self.labels,
            annotations: self.annotations,
        })
    }
}

// === free functions ===

/// Reads a body that is not quite as usual, and says of each part what is wrong with it.
fn patient(value: Value) -> Result<Delivery, BodyError> {
    let mut body = match value {
        Value::Object(body) => body,
        Value::Array(_) => {
            return Err(BodyError::Foreign(
                "a list; this is where Alertmanager's webhook_configs point, not its own API",
            ));
        }
        _ => return Err(BodyError::Foreign("not an object")),
    };
    if is_grafana(&body) {
        return Err(BodyError::Grafana);
    }
    let truncated = body.get("truncatedAlerts").and_then(Value::as_u64).unwrap_or(0);
    let Some(Value::Array(alerts)) = body.remove("alerts") else {
        return Err(BodyError::Foreign("no list named alerts"));
    };
    Ok(Delivery { alerts: alerts.into_iter().map(patient_alert).collect(), truncated })
}

fn is_grafana(body: &Map<String, Value>) -> bool {
    let grafana = |field: &str| body.get(field).is_some_and(|value| !value.is_null());
    GRAFANA_FIELDS.iter().any(|field| grafana(field))
        || body.get("version").and_then(Value::as_str) == Some("1")
}

fn patient_alert(value: Value) -> Result<Alert, Malformed> {
    let Value::Object(mut alert) = value else {
        return Err(Malformed::Shape { part: "the alert", wanted: "an object" });
    };
    let labels = texts(alert.remove("labels"), "labels")?;
    let text = |field: &str| alert.get(field).and_then(Value::as_str).unwrap_or_default();
    Ok(Alert {
        status: status(alert.get("status").and_then(Value::as_str))?,
        starts_at: text("startsAt").parse().ok(),
        fingerprint: fingerprint(text("fingerprint"), &labels),
        labels,
        annotations: texts(alert.get("annotations").cloned(), "annotations")?,
    })
}

/// Labels or annotations. Missing is empty; anything but text in them is not guessed at.
fn texts(value: Option<Value>, part: &'static str) -> Result<BTreeMap<String, String>, Malformed> {
    let wrong = Malformed::Shape { part, wanted: "an object of texts" };
    match value {
        None | Some(Value::Null) => Ok(BTreeMap::new()),
        Some(Value::Object(map)) => map
            .into_iter()
            .map(|(name, value)| match value {
                Value::String(text) => Ok((name, text)),
                _ => Err(wrong.clone()),
            })
            .collect(),
        Some(_) => Err(wrong),
    }
}

fn status(text: Option<&str>) -> Result<Status, Malformed> {
    match text {
        Some("firing") => Ok(Status::Firing),
        Some("resolved") => Ok(Status::Resolved),
        // Neither is a guess we could afford: one asks, the other takes back.
        _ => Err(Malformed::Shape { part: "status", wanted: "firing or resolved" }),
    }
}

/// The fingerprint that was sent, if it can be one; else the hash that Alertmanager would send.
fn fingerprint(sent: &str, labels: &BTreeMap<String, String>) -> String {
    if sent.len() == 16 && sent.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return sent.to_owned();
    }
    Fingerprint::of(labels).to_string()
}
