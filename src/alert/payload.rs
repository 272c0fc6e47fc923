//! Alertmanager's webhook body, version 4: lenient in, strict out.

use crate::model::Fingerprint;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// More alerts than a body of the largest size holds of real ones. What pretends to hold more would
/// only take memory.
const MOST_ALERTS: usize = 100_000;

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
    /// More alerts than any real body holds.
    #[error("more than {MOST_ALERTS} alerts in one body")]
    TooMany,
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
    alerts: Bounded<Object<UsualAlert<'a>>>,
    #[serde(rename = "truncatedAlerts", default)]
    truncated: u64,
    #[serde(rename = "orgId")]
    org: Option<IgnoredAny>,
    title: Option<IgnoredAny>,
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

/// A body that is not quite as usual. Its parts stay text until each is read by itself, so that what
/// nobody asks for takes no memory.
#[derive(Deserialize)]
struct Patient<'a> {
    #[serde(borrow)]
    alerts: Option<&'a RawValue>,
    #[serde(rename = "truncatedAlerts", borrow)]
    truncated: Option<&'a RawValue>,
    #[serde(rename = "orgId")]
    org: Option<IgnoredAny>,
    title: Option<IgnoredAny>,
    #[serde(borrow)]
    version: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct PatientAlert<'a> {
    #[serde(borrow)]
    status: Option<&'a RawValue>,
    #[serde(borrow)]
    labels: Option<&'a RawValue>,
    #[serde(borrow)]
    annotations: Option<&'a RawValue>,
    #[serde(rename = "startsAt", borrow)]
    starts_at: Option<&'a RawValue>,
    #[serde(borrow)]
    fingerprint: Option<&'a RawValue>,
}

/// A list of at most [`MOST_ALERTS`]; `None` of a longer one, which is read to its end and not kept.
struct Bounded<T>(Option<Vec<T>>);

/// Something that is an object. By itself serde takes a list of the fields for one too.
struct Object<T>(T);

// === impl Delivery ===

impl Delivery {
    /// Reads a body.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        match serde_json::from_slice::<Object<Usual<'_>>>(body) {
            Ok(Object(usual)) if usual.is_grafana() => Err(BodyError::Grafana),
            Ok(Object(usual)) => usual.into_delivery(),
            Err(_) => patient(body),
        }
    }
}

// === impl Usual ===

impl Usual<'_> {
    fn is_grafana(&self) -> bool {
        self.org.is_some() || self.title.is_some() || self.version == "1"
    }

    fn into_delivery(self) -> Result<Delivery, BodyError> {
        let alerts = self.alerts.0.ok_or(BodyError::TooMany)?;
        let alerts = alerts.into_iter().map(|Object(alert)| alert.into_alert()).collect();
        Ok(Delivery { alerts, truncated: self.truncated })
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

// === impl Patient ===

impl Patient<'_> {
    fn is_grafana(&self) -> bool {
        let version = text(self.version);
        self.org.is_some() || self.title.is_some() || version.as_deref() == Some("1")
    }
}

impl PatientAlert<'_> {
    fn into_alert(self) -> Result<Alert, Malformed> {
        let labels = texts(self.labels, "labels")?;
        Ok(Alert {
            status: status(text(self.status).as_deref())?,
            starts_at: text(self.starts_at).and_then(|text| text.parse().ok()),
            fingerprint: fingerprint(&text(self.fingerprint).unwrap_or_default(), &labels),
            labels,
            annotations: texts(self.annotations, "annotations")?,
        })
    }
}

// === impl Bounded ===

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Bounded<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Bounded<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Bounded<T>, A::Error> {
                let mut items = Vec::new();
                while items.len() < MOST_ALERTS {
                    match list.next_element()? {
                        Some(item) => items.push(item),
                        None => return Ok(Bounded(Some(items))),
                    }
                }
                let mut more = false;
                while list.next_element::<IgnoredAny>()?.is_some() {
                    more = true;
                }
                Ok(Bounded((!more).then_some(items)))
            }
        }

        from.deserialize_seq(List(PhantomData))
    }
}

// === impl Object ===

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }

        from.deserialize_map(Fields(PhantomData))
    }
}

// === free functions ===

/// Reads a body that is not quite as usual, and says of each part what is wrong with it.
fn patient(body: &[u8]) -> Result<Delivery, BodyError> {
    let not_json = |error: serde_json::Error| BodyError::NotJson(error.to_string());
    let whole: &RawValue = serde_json::from_slice(body).map_err(not_json)?;
    match whole.get().as_bytes()[0] {
        b'{' => {}
        b'[' => {
            return Err(BodyError::Foreign(
                "a list; this is where Alertmanager's webhook_configs point, not its own API",
            ));
        }
        _ => return Err(BodyError::Foreign("not an object")),
    }
    let body: Patient<'_> = serde_json::from_str(whole.get()).map_err(not_json)?;
    if body.is_grafana() {
        return Err(BodyError::Grafana);
    }
    let alerts = body.alerts.and_then(|raw| serde_json::from_str(raw.get()).ok());
    let alerts: Bounded<&RawValue> = alerts.ok_or(BodyError::Foreign("no list named alerts"))?;
    let alerts = alerts.0.ok_or(BodyError::TooMany)?;
    let truncated = body.truncated.and_then(|raw| serde_json::from_str(raw.get()).ok());
    Ok(Delivery {
        alerts: alerts.into_iter().map(patient_alert).collect(),
        truncated: truncated.unwrap_or(0),
    })
}

fn patient_alert(raw: &RawValue) -> Result<Alert, Malformed> {
    let wrong = Malformed::Shape { part: "the alert", wanted: "an object" };
    let Object(alert) =
        serde_json::from_str::<Object<PatientAlert<'_>>>(raw.get()).map_err(|_| wrong)?;
    alert.into_alert()
}

/// Labels or annotations. Missing is empty; anything but text in them is not guessed at.
fn texts(
    raw: Option<&RawValue>,
    part: &'static str,
) -> Result<BTreeMap<String, String>, Malformed> {
    let Some(raw) = raw else { return Ok(BTreeMap::new()) };
    serde_json::from_str(raw.get())
        .map_err(|_| Malformed::Shape { part, wanted: "an object of texts" })
}

fn text(raw: Option<&RawValue>) -> Option<String> {
    serde_json::from_str(raw?.get()).ok()
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
