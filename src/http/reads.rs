//! What is going on: the last pass of each cluster, and the history.

use super::answer::{self, ApiError, Code};
use super::{Server, ask};
use crate::config::Config;
use crate::model::{ClusterName, PassId, Subject};
use crate::store::HistoryQuery;
use hyper::header::HeaderValue;
use hyper::{StatusCode, Uri};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::runtime::Handle;

/// How many history entries an answer holds unless asked, and at most.
const HISTORY_DEFAULT: usize = 50;
const HISTORY_MAX: usize = 1000;

/// The text form that Prometheus scrapes.
const METRICS_TYPE: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4");

/// What one pass saw and did, ready to be shown.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterReport {
    /// When the pass began, by the store's clock.
    pub at: Timestamp,
    /// Which pass.
    pub pass: PassId,
    /// The cluster in short: mode, claim, pauses, findings.
    pub status: Value,
    /// Each pool with its bounds and its last decision.
    pub pools: Value,
    /// Our records.
    pub workers: Value,
    /// Kubernetes' nodes.
    pub nodes: Value,
    /// What was asked, and what each counts for.
    pub signals: Value,
    /// One decision for every pool.
    pub decisions: Value,
    /// The whole plan.
    pub plan: Value,
}

/// A part of the report that has an address of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// [`ClusterReport::status`].
    Status,
    /// [`ClusterReport::pools`].
    Pools,
    /// [`ClusterReport::workers`].
    Workers,
    /// [`ClusterReport::nodes`].
    Nodes,
    /// [`ClusterReport::signals`].
    Signals,
    /// [`ClusterReport::decisions`].
    Decisions,
    /// [`ClusterReport::plan`].
    Plan,
}

// === impl Section ===

impl Section {
    fn of(self, report: &ClusterReport) -> (&'static str, &Value) {
        match self {
            Self::Status => ("status", &report.status),
            Self::Pools => ("pools", &report.pools),
            Self::Workers => ("workers", &report.workers),
            Self::Nodes => ("nodes", &report.nodes),
            Self::Signals => ("signals", &report.signals),
            Self::Decisions => ("decisions", &report.decisions),
            Self::Plan => ("plan", &report.plan),
        }
    }
}

// === free functions ===

/// `GET /v1/SECTION?cluster=`: `{"clusters": {NAME: {at, pass, SECTION}}}`; a cluster that had no
/// pass yet is `null`, which is not the same as empty. The status also tells how the configuration
/// stands to its file.
pub(super) fn section(server: &Server, section: Section, uri: &Uri) -> answer::Result {
    let config = server.state.config.borrow().clone();
    let mut clusters = Map::new();
    for cluster in clusters_of(&config, uri)? {
        let shown = match (server.state.handle.report)(&cluster) {
            None => Value::Null,
            Some(report) => {
                let (name, value) = section.of(&report);
                json!({ "at": report.at, "pass": report.pass, name: value })
            }
        };
        clusters.insert(cluster.to_string(), shown);
    }
    let mut shown = json!({ "clusters": clusters });
    if section == Section::Status {
        shown["config"] = json!(*server.state.standing.borrow());
    }
    Ok(answer::json(StatusCode::OK, &shown))
}

/// `GET /v1/explain/pod/NAMESPACE/NAME` and `/v1/explain/node/NAME`, `?cluster=`: `{"clusters": {NAME: …}}`, `null` for
/// a cluster that does not have it; 404 where none has.
pub(super) fn explain(server: &Server, subject: &Subject, uri: &Uri) -> answer::Result {
    let config = server.state.config.borrow().clone();
    let mut clusters = Map::new();
    for cluster in clusters_of(&config, uri)? {
        let explained = (server.state.handle.explain)(&cluster, subject);
        clusters.insert(cluster.to_string(), json!(explained));
    }
    if clusters.values().all(Value::is_null) {
        let message = format!(
            "no cluster that was seen has a {subject}; it may be finished, or the cluster unknown: see GET /v1/status"
        );
        return Err(ApiError::new(Code::NotFound, message));
    }
    Ok(answer::json(StatusCode::OK, &json!({ "clusters": clusters })))
}

/// `GET /v1/history?cluster=&limit=&before=`: newest first, straight from the store.
pub(super) async fn history(server: &Server, uri: &Uri) -> answer::Result {
    let limit = match parameter(uri, "limit") {
        None => HISTORY_DEFAULT,
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=HISTORY_MAX).contains(limit));
            let mend = format!("a whole number from 1 to {HISTORY_MAX}");
            limit.ok_or_else(|| ApiError::field(Code::Invalid, "limit", text, mend))?
        }
    };
    let before = match parameter(uri, "before") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            ApiError::field(Code::Invalid, "before", text, "the id of a history entry")
        })?),
    };
    let config = server.state.config.borrow().clone();
    let query = HistoryQuery { limit, before };
    let mut clusters = Map::new();
    for cluster in clusters_of(&config, uri)? {
        let entries = server.state.store.history(&cluster, &query).await?;
        clusters.insert(cluster.to_string(), json!({ "history": entries }));
    }
    Ok(answer::json(StatusCode::OK, &json!({ "clusters": clusters })))
}

/// `GET /v1/config`: what is in force, secrets masked.
pub(super) fn config(server: &Server) -> answer::Answer {
    let config = server.state.config.borrow().clone();
    answer::json(StatusCode::OK, &config.to_value())
}

/// `GET /metrics`.
pub(super) fn metrics(server: &Server) -> answer::Answer {
    let tasks = Handle::current().metrics().num_alive_tasks();
    #[expect(clippy::cast_precision_loss, reason = "as many as there are connections")]
    server.state.metrics.seen.tasks.set(tasks as f64);
    answer::with_type(StatusCode::OK, METRICS_TYPE, server.state.metrics.encode().into())
}

/// `GET /readyz`: 200, or 503 with what is missing.
pub(super) fn ready(server: &Server) -> answer::Answer {
    let missing = server.state.readiness.missing();
    let (status, word) = if missing.is_empty() && !server.stopping.is_cancelled() {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    answer::json(status, &json!({ "status": word, "missing": missing }))
}

/// The clusters that are asked for: one, or all.
fn clusters_of(config: &Config, uri: &Uri) -> Result<Vec<ClusterName>, ApiError> {
    match parameter(uri, "cluster") {
        Some(name) => Ok(vec![ask::known_cluster(config, name)?]),
        None => Ok(config.clusters.keys().cloned().collect()),
    }
}

/// The last value of a parameter of the query string.
fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri.query()?.split('&').rev().filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}
