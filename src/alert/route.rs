//! From labels to a signal: for whom an alert speaks, and what it asks.

use super::payload::{Alert, Malformed, Status};
use crate::config::ClusterConfig;
use crate::model::{
    Ask, ClusterName, Fingerprint, NodeName, PoolName, Signal, SignalId, Source, duration,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The largest step a rule may ask for. `step.up` of the pool cuts it further.
const STEP_MAX: u32 = 100;

/// How far clocks may differ before a start in the future is taken as now.
const SKEW: Duration = Duration::from_mins(5);

/// A node's name is at most this long; a longer one is no node's.
const NODE_NAME_MAX: usize = 253;

/// A query is refused above this: cut short it would be another query.
const QUERY_MAX: usize = 8 * 1024;

/// What is stored of one label's value and of a summary, in bytes.
const LABEL_MAX: usize = 1024;

/// What is stored of a description, in bytes.
const DESCRIPTION_MAX: usize = 4 * 1024;

/// How many labels are stored.
const LABELS_MAX: usize = 64;

/// Labels that only Grafana's own rules carry.
const GRAFANA_LABELS: [&str; 2] = ["__alert_rule_uid__", "grafana_folder"];

/// What became of one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It asks something of us.
    Accepted(Box<Signal>),
    /// It does not speak to us; that is no fault.
    Ignored(Ignored),
    /// It speaks to us, and cannot be taken.
    Refused(Refused),
}

/// Why an alert is none of our business.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// No label `autoscale`.
    NoAutoscale,
    /// A value of `autoscale` that asks for nothing.
    OtherAutoscale,
}

/// Why an alert is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read.
    #[error("{0}")]
    Malformed(Malformed),
    /// It is Grafana's own.
    #[error(
        "managed by Grafana: not in Alertmanager's API, so nothing can confirm that it still holds"
    )]
    Grafana,
    /// It does not say for which cluster it speaks.
    #[error("no label cluster; add it to the rule, or set accept_unlabelled on one cluster")]
    NoCluster,
    /// A cluster that is not configured.
    #[error("cluster {0} is not configured")]
    UnknownCluster(String),
    /// It does not say for which of several pools it speaks.
    #[error("no label pool, and cluster {0} has not exactly one pool")]
    NoPool(ClusterName),
    /// A pool that is not configured.
    #[error("cluster {cluster} has no pool {pool}")]
    UnknownPool {
        /// The cluster.
        cluster: ClusterName,
        /// The pool's name as sent.
        pool: String,
    },
    /// A step that is no small positive number.
    #[error("step {0} is not a whole number from 1 to {STEP_MAX}")]
    Step(String),
    /// A node's name that cannot be one.
    #[error("label node is longer than a node's name can be")]
    Node,
    /// A query that is too long to keep.
    #[error("want_query is longer than {QUERY_MAX} bytes")]
    Query,
}

// === impl Judged ===

impl Judged {
    /// One word of a closed set, for metrics and answers.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Ignored(why) => why.code(),
            Self::Refused(why) => why.code(),
        }
    }
}

impl Ignored {
    /// One word of a closed set.
    pub fn code(self) -> &'static str {
        match self {
            Self::NoAutoscale => "no_autoscale_label",
            Self::OtherAutoscale => "other_autoscale_label",
        }
    }
}

impl Refused {
    /// One word of a closed set.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Grafana => "grafana",
            Self::NoCluster => "no_cluster",
            Self::UnknownCluster(_) => "unknown_cluster",
            Self::NoPool(_) => "no_pool",
            Self::UnknownPool { .. } => "unknown_pool",
            Self::Step(_) => "bad_step",
            Self::Node => "bad_node",
            Self::Query => "bad_query",
        }
    }
}

// === free functions ===

/// Judges one alert by itself.
pub fn judge(
    alert: Result<Alert, Malformed>,
    clusters: &BTreeMap<ClusterName, ClusterConfig>,
    now: Timestamp,
) -> Judged {
    let alert = match alert {
        Ok(alert) => alert,
        Err(malformed) => return Judged::Refused(Refused::Malformed(malformed)),
    };
    let kind = match label(&alert, "autoscale") {
        Some("up") => Kind::Up,
        Some("down") => Kind::Down,
        Some("replace") => Kind::Replace,
        Some("watchdog") => Kind::Watchdog,
        Some(_) => return Judged::Ignored(Ignored::OtherAutoscale),
        None => return Judged::Ignored(Ignored::NoAutoscale),
    };
    match signal(alert, kind, clusters, now) {
        Ok(signal) => Judged::Accepted(Box::new(signal)),
        Err(why) => Judged::Refused(why),
    }
}

/// Signals of one delivery, one per id: a body that repeats an alert asks once.
pub fn merge(signals: impl IntoIterator<Item = Signal>) -> Vec<Signal> {
    let mut merged: BTreeMap<(ClusterName, SignalId), Signal> = BTreeMap::new();
    for signal in signals {
        let key = (signal.cluster.clone(), signal.id.clone());
        let whole = match merged.remove(&key) {
            Some(known) => known.merge(signal),
            None => signal,
        };
        merged.insert(key, whole);
    }
    merged.into_values().collect()
}

/// The values of `autoscale` that ask for something.
#[derive(Clone, Copy)]
enum Kind {
    Up,
    Down,
    Replace,
    Watchdog,
}

fn signal(
    mut alert: Alert,
    kind: Kind,
    clusters: &BTreeMap<ClusterName, ClusterConfig>,
    now: Timestamp,
) -> Result<Signal, Refused> {
    let grafana =
        |name: &str| alert.labels.contains_key(name) || alert.annotations.contains_key(name);
    if GRAFANA_LABELS.iter().any(|name| grafana(name)) {
        return Err(Refused::Grafana);
    }
    let cluster = cluster_of(&alert, clusters)?;
    let pool = match kind {
        Kind::Watchdog => None,
        Kind::Up | Kind::Down | Kind::Replace => Some(pool_of(&alert, cluster)?),
    };
    let ask = ask_of(&mut alert, kind)?;
    let (summary, description) =
        (annotation(&mut alert, "summary"), annotation(&mut alert, "description"));
    Ok(Signal {
        id: SignalId::new(alert.fingerprint.as_str()),
        cluster: cluster.name.clone(),
        pool,
        ask,
        name: cut(label(&alert, "alertname").unwrap_or("unnamed").to_owned(), LABEL_MAX),
        summary: cut(summary.unwrap_or_default(), LABEL_MAX),
        description: cut(description.unwrap_or_default(), DESCRIPTION_MAX),
        source: Source::Alert {
            fingerprint: Fingerprint::new(alert.fingerprint),
            starts_at: starts_at(alert.starts_at, now),
            labels: stored(alert.labels),
            resolved: alert.status == Status::Resolved,
        },
        first_seen: now,
        last_seen: now,
    })
}

fn cluster_of<'a>(
    alert: &Alert,
    clusters: &'a BTreeMap<ClusterName, ClusterConfig>,
) -> Result<&'a ClusterConfig, Refused> {
    if let Some(name) = label(alert, "cluster") {
        let unknown = || Refused::UnknownCluster(cut(name.to_owned(), LABEL_MAX));
        return clusters.get(&ClusterName::from(name)).ok_or_else(unknown);
    }
    let mut takers = clusters.values().filter(|cluster| cluster.accept_unlabelled);
    match (takers.next(), takers.next()) {
        (Some(cluster), None) => Ok(cluster),
        _ => Err(Refused::NoCluster),
    }
}

fn pool_of(alert: &Alert, cluster: &ClusterConfig) -> Result<PoolName, Refused> {
    let mut pools = cluster.pools.keys();
    match (label(alert, "pool"), pools.next(), pools.next()) {
        (Some(name), ..) => {
            let known = cluster.pools.get_key_value(&PoolName::from(name));
            known.map(|(pool, _)| pool.clone()).ok_or_else(|| Refused::UnknownPool {
                cluster: cluster.name.clone(),
                pool: cut(name.to_owned(), LABEL_MAX),
            })
        }
        (None, Some(only), None) => Ok(only.clone()),
        (None, ..) => Err(Refused::NoPool(cluster.name.clone())),
    }
}

fn ask_of(alert: &mut Alert, kind: Kind) -> Result<Ask, Refused> {
    Ok(match kind {
        Kind::Up => Ask::Up { step: step_of(alert)?, want_query: want_query_of(alert)? },
        Kind::Down => Ask::Down { node: node_of(alert)? },
        Kind::Replace => Ask::Replace { node: node_of(alert)? },
        Kind::Watchdog => Ask::Watchdog,
    })
}

fn step_of(alert: &Alert) -> Result<Option<u32>, Refused> {
    let Some(text) = label(alert, "step") else { return Ok(None) };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(step @ 1..=STEP_MAX) if digits => Ok(Some(step)),
        _ => Err(Refused::Step(cut(text.to_owned(), 32))),
    }
}

fn node_of(alert: &Alert) -> Result<Option<NodeName>, Refused> {
    match label(alert, "node") {
        Some(node) if node.len() > NODE_NAME_MAX => Err(Refused::Node),
        node => Ok(node.map(NodeName::from)),
    }
}

fn want_query_of(alert: &mut Alert) -> Result<Option<String>, Refused> {
    match annotation(alert, "want_query") {
        Some(query) if query.len() > QUERY_MAX => Err(Refused::Query),
        query => Ok(query.filter(|query| !query.trim().is_empty())),
    }
}

/// A label's value; empty is missing, as Prometheus has it.
fn label<'a>(alert: &'a Alert, name: &str) -> Option<&'a str> {
    alert.labels.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn annotation(alert: &mut Alert, name: &str) -> Option<String> {
    alert.annotations.remove(name)
}

/// The start of the episode, within reason. An unknown start is long ago: then every node is
/// younger than the alert, and none is replaced for it. A future one is a clock that differs.
fn starts_at(sent: Option<Timestamp>, now: Timestamp) -> Timestamp {
    match sent {
        Some(at) if at > duration::after(now, SKEW) => now,
        Some(at) => at.max(Timestamp::UNIX_EPOCH),
        None => Timestamp::UNIX_EPOCH,
    }
}

fn stored(labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let cut_both = |(name, value)| (cut(name, LABEL_MAX), cut(value, LABEL_MAX));
    labels.into_iter().take(LABELS_MAX).map(cut_both).collect()
}

/// Cuts to `max` bytes at the end of a character.
fn cut(mut text: String, max: usize) -> String {
    text.truncate(text.floor_char_boundary(max));
    text
}
