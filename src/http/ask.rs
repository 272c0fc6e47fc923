//! What an operator may ask: more or fewer workers, or a pass now. Each becomes a signal like any
//! other; the loop does it if it is safe.

use super::answer::{self, ApiError, Code};
use super::{Limits, Server, body, webhook};
use crate::config::Config;
use crate::model::{Ask, ClusterName, PoolName, Signal, SignalId, Source};
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// The most workers that one request may ask for, either way.
const BY_MAX: i64 = 100;

/// Bytes of a wish at most: it is a few fields.
const WISH_BYTES: usize = 64 * 1024;

/// What is kept of a reason, in bytes.
const REASON_MAX: usize = 1024;

/// Where a signal was stored.
#[derive(Debug, Serialize)]
struct Stored {
    cluster: ClusterName,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<PoolName>,
    id: SignalId,
}

/// What an operator asks, and why.
#[derive(Clone, Debug)]
struct Wish {
    pool: Option<PoolName>,
    ask: Ask,
    reason: Option<String>,
}

/// A body's fields, taken out one by one, so that what is left is what nobody knows.
struct Fields(Map<String, Value>);

// === impl Fields ===

impl Fields {
    async fn read(server: &Server, request: Request<Incoming>) -> Result<Self, ApiError> {
        let typed = body::check_type(request.headers(), body::Untyped::Refused);
        let usual = server.state.limits;
        let limits = Limits { body_bytes: usual.body_bytes.min(WISH_BYTES), ..usual };
        let body = body::read(request.into_body(), &limits).await?;
        if body.trim_ascii().is_empty() {
            return Ok(Self(Map::new()));
        }
        typed?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(ApiError::new(Code::Invalid, "the body must be an object")),
            Err(error) => Err(ApiError::new(Code::Invalid, format!("not JSON: {error}"))),
        }
    }

    fn text(&mut self, field: &'static str) -> Result<Option<String>, ApiError> {
        match self.0.remove(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(field, &other, "a text")),
        }
    }

    /// A number of workers within bounds; zero is never one (it would mean nothing, or everything).
    fn workers(
        &mut self,
        field: &'static str,
        least: i64,
        missing: Option<i32>,
    ) -> Result<i32, ApiError> {
        let mend = format!("a whole number from {least} to {BY_MAX}, not 0");
        let value = match (self.0.remove(field), missing) {
            (Some(value), _) => value,
            (None, Some(count)) => return Ok(count),
            (None, None) => Value::Null,
        };
        let count = value.as_i64().filter(|count| *count != 0);
        let count = count.filter(|count| (least..=BY_MAX).contains(count));
        count.and_then(|count| i32::try_from(count).ok()).ok_or_else(|| wrong(field, &value, mend))
    }

    /// Refuses what is left: a misspelt field would otherwise be lost in silence.
    fn end(self) -> Result<(), ApiError> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => {
                let mend = "leave it out";
                Err(ApiError::field(Code::Invalid, "body", name.as_str(), mend))
            }
        }
    }
}

// === free functions ===

/// `POST /v1/pools/{pool}/scale`.
pub(super) async fn scale_pool(
    server: &Server,
    pool: &str,
    request: Request<Incoming>,
) -> answer::Result {
    webhook::refuse_while_stopping(server)?;
    let mut fields = Fields::read(server, request).await?;
    let by = fields.workers("by", -BY_MAX, None)?;
    scale(server, fields, Some(pool.to_owned()), by).await
}

/// `POST /scale`, as older callers do it.
pub(super) async fn scale_older(server: &Server, request: Request<Incoming>) -> answer::Result {
    webhook::refuse_while_stopping(server)?;
    let mut fields = Fields::read(server, request).await?;
    let count = fields.workers("count", 1, Some(1))?;
    let by = match fields.text("action")?.as_deref() {
        Some("scale_up") => count,
        Some("scale_down") => -count,
        other => {
            let found = other.unwrap_or("nothing");
            return Err(ApiError::field(Code::Invalid, "action", found, "scale_up or scale_down"));
        }
    };
    let pool = fields.text("pool")?;
    scale(server, fields, pool, by).await
}

/// `POST /v1/reconcile`, and the older words for it. Healing is what every pass does.
pub(super) async fn reconcile(server: &Server, request: Request<Incoming>) -> answer::Result {
    webhook::refuse_while_stopping(server)?;
    let fields = Fields::read(server, request).await?;
    for_clusters(server, fields, Ask::Reconcile).await
}

/// `POST /v1/resume`: what switched itself off, for a cluster or all.
pub(super) async fn resume(server: &Server, request: Request<Incoming>) -> answer::Result {
    webhook::refuse_while_stopping(server)?;
    let mut fields = Fields::read(server, request).await?;
    let what = fields.text("what")?;
    if what.as_deref() != Some("predictions") {
        let found = what.as_deref().unwrap_or("nothing");
        return Err(ApiError::field(Code::Invalid, "what", found, "predictions"));
    }
    for_clusters(server, fields, Ask::Foresee).await
}

/// A wish about a whole cluster, or about each.
async fn for_clusters(server: &Server, mut fields: Fields, ask: Ask) -> answer::Result {
    let (cluster, reason) = (fields.text("cluster")?, fields.text("reason")?);
    fields.end()?;
    let config = server.state.config.borrow().clone();
    let clusters = match cluster {
        Some(name) => vec![known_cluster(&config, &name)?],
        None => config.clusters.keys().cloned().collect(),
    };
    let now = server.state.store.now().await?;
    let wish = Wish { pool: None, ask, reason };
    let signals: Vec<Signal> =
        clusters.into_iter().map(|cluster| manual(&config, cluster, wish.clone(), now)).collect();
    stored(server, signals).await
}

/// Checks a cluster's name.
pub(super) fn known_cluster(config: &Config, name: &str) -> Result<ClusterName, ApiError> {
    let cluster = ClusterName::from(name);
    if config.clusters.contains_key(&cluster) {
        return Ok(cluster);
    }
    Err(ApiError::field(Code::NotFound, "cluster", name, "a configured cluster"))
}

async fn scale(
    server: &Server,
    mut fields: Fields,
    pool: Option<String>,
    by: i32,
) -> answer::Result {
    let (cluster, reason) = (fields.text("cluster")?, fields.text("reason")?);
    fields.end()?;
    let config = server.state.config.borrow().clone();
    let (cluster, pool) = whose(&config, cluster.as_deref(), pool.as_deref())?;
    let now = server.state.store.now().await?;
    let wish = Wish { pool: Some(pool), ask: Ask::Scale { by }, reason };
    stored(server, vec![manual(&config, cluster, wish, now)]).await
}

/// The one pool that is meant, or what is missing to know it.
fn whose(
    config: &Config,
    cluster: Option<&str>,
    pool: Option<&str>,
) -> Result<(ClusterName, PoolName), ApiError> {
    let cluster = cluster.map(|name| known_cluster(config, name)).transpose()?;
    let meant = |name: &PoolName| pool.is_none_or(|pool| name.as_str() == pool);
    let mut found = config
        .clusters
        .iter()
        .filter(|(name, _)| cluster.as_ref().is_none_or(|cluster| *name == cluster))
        .flat_map(|(name, cluster)| cluster.pools.keys().map(move |pool| (name, pool)))
        .filter(|(_, pool)| meant(pool));
    match (found.next(), found.next()) {
        (Some((cluster, pool)), None) => Ok((cluster.clone(), pool.clone())),
        (None, _) => Err(ApiError::field(
            Code::NotFound,
            "pool",
            pool.unwrap_or("none"),
            "a configured pool",
        )),
        (Some(_), Some(_)) if pool.is_some() && cluster.is_none() => {
            let mend = "name the cluster: several have a pool of this name";
            Err(ApiError::field(Code::Invalid, "cluster", "none", mend))
        }
        (Some(_), Some(_)) => {
            Err(ApiError::field(Code::Invalid, "pool", "none", "name the pool: there are several"))
        }
    }
}

fn manual(config: &Config, cluster: ClusterName, wish: Wish, now: Timestamp) -> Signal {
    // Tokens have no names, so the role is what we know of the caller.
    let who = if config.service.auth.tokens.is_empty() { "local" } else { "operator" };
    let mut summary = wish.reason.unwrap_or_default();
    summary.truncate(summary.floor_char_boundary(REASON_MAX));
    Signal {
        id: SignalId::new(format!("manual-{:016x}", rand::random::<u64>())),
        cluster,
        pool: wish.pool,
        ask: wish.ask,
        source: Source::Manual { who: who.to_owned() },
        name: "manual".to_owned(),
        summary,
        description: String::new(),
        first_seen: now,
        last_seen: now,
    }
}

async fn stored(server: &Server, signals: Vec<Signal>) -> answer::Result {
    webhook::store(server, &signals).await?;
    let stored: Vec<Stored> = signals
        .into_iter()
        .map(|signal| Stored { cluster: signal.cluster, pool: signal.pool, id: signal.id })
        .collect();
    Ok(answer::json(StatusCode::ACCEPTED, &json!({ "signals": stored })))
}

fn wrong(
    field: &'static str,
    value: &Value,
    mend: impl Into<std::borrow::Cow<'static, str>>,
) -> ApiError {
    let shown = if value.is_null() { "nothing".to_owned() } else { value.to_string() };
    ApiError::field(Code::Invalid, field, shown, mend)
}
