//! How the process serves, stores, logs and loops.

use super::error::Mend;
use super::reader::Section;
use super::secret::{MASK, Secret};
use super::store::{RedisAccess, StoreUrl};
use super::tree::Tree;
use super::value;
use crate::model::duration;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where we listen unless told otherwise.
const PORT: u16 = 8080;

const ROLES: [(&str, Role); 3] =
    [("webhook", Role::Webhook), ("viewer", Role::Viewer), ("operator", Role::Operator)];

const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Everything that does not belong to one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceConfig {
    /// `listen`: address of the HTTP server. Default 127.0.0.1:8080 without a token, 0.0.0.0:8080 with one.
    pub listen: SocketAddr,
    /// `auth`: who may do what.
    pub auth: Auth,
    /// `store.url`. Default `file:/var/lib/bellwether`.
    pub store: StoreUrl,
    /// `store`: how a Redis lets us in; of no use to the others.
    pub redis: RedisAccess,
    /// `store.history.entries`: history entries kept per cluster. Default 100,000.
    pub history_entries: u64,
    /// `store.history.age`: how long they are kept. Default 30 d.
    pub history_age: Duration,
    /// `store.claim_ttl`: how long a claim lives without renewal. Default 10 s.
    pub claim_ttl: Duration,
    /// `reconcile.interval`: a pass at least this often. Default 30 s.
    pub interval: Duration,
    /// `reconcile.busy_interval`: a pass this often while a worker is on its way in or out. Default 2 s.
    pub busy_interval: Duration,
    /// `reconcile.overdue`: a pass longer than this stops the claim's renewal. Default 2 m.
    pub overdue: Duration,
    /// `log.format`. Default text on a terminal, JSON elsewhere.
    pub log_format: Option<LogFormat>,
    /// `log.level`: a filter such as `info` or `bellwether=debug`. Default `info`.
    pub log_level: String,
    /// `shutdown_grace`: how long a stop may take. Default 20 s.
    pub shutdown_grace: Duration,
}

/// Bearer tokens by role. Without any, the server listens on loopback only and asks for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    /// `bearer_token` for all roles, `tokens` by `role`: each token with what it may do; a role includes nothing but itself, except operator, which
    /// includes viewer.
    pub tokens: Vec<(Role, Secret)>,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Deliver alerts.
    Webhook,
    /// Read.
    Viewer,
    /// Read, and ask for changes.
    Operator,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for ServiceConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT),
            auth: Auth::default(),
            store: StoreUrl::File(PathBuf::from("/var/lib/bellwether")),
            redis: RedisAccess::default(),
            history_entries: 100_000,
            history_age: Duration::from_hours(30 * 24),
            claim_ttl: Duration::from_secs(10),
            interval: Duration::from_secs(30),
            busy_interval: Duration::from_secs(2),
            overdue: Duration::from_mins(2),
            log_format: None,
            log_level: "info".to_owned(),
            shutdown_grace: Duration::from_secs(20),
        }
    }
}

impl ServiceConfig {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let base = Self::default();
        let auth = s.section("auth", Auth::read);
        let listen = read_listen(s, &auth);
        let (store, redis, history_entries, history_age, claim_ttl) = s.section("store", |s| {
            let url = s.take("url", StoreUrl::read).unwrap_or(base.store);
            let (entries, age) = s.section("history", |s| {
                let entries = s.take("entries", value::whole(100..=100_000_000));
                (entries, s.take("age", value::lasting))
            });
            let claim_ttl = s.take("claim_ttl", value::lasting).unwrap_or(base.claim_ttl);
            let redis = RedisAccess::read(s, &url, claim_ttl);
            (url, redis, entries, age, claim_ttl)
        });
        let (interval, busy_interval, overdue) = s.section("reconcile", |s| {
            let interval = s.take("interval", value::lasting).unwrap_or(base.interval);
            let busy = s.take("busy_interval", value::lasting).unwrap_or(base.busy_interval);
            let overdue = s.take("overdue", value::lasting).unwrap_or(base.overdue);
            let told = [overdue, interval].map(duration::format);
            let mend = format!("`overdue` ({}) must be at least `interval` ({})", told[0], told[1]);
            s.check(overdue >= interval, ["overdue", "interval"], mend);
            (interval, busy, overdue)
        });
        let (log_format, log_level) = s.section("log", |s| {
            (s.take("format", value::one_of(&LOG_FORMATS)), s.take("level", log_level))
        });
        Self {
            listen,
            auth,
            store,
            redis,
            history_entries: history_entries.unwrap_or(base.history_entries),
            history_age: history_age.unwrap_or(base.history_age),
            claim_ttl,
            interval,
            busy_interval,
            overdue,
            log_format,
            log_level: log_level.unwrap_or(base.log_level),
            shutdown_grace: s
                .take("shutdown_grace", value::duration)
                .unwrap_or(base.shutdown_grace),
        }
    }

    /// Adds its fields to the file that is written out.
    pub(super) fn write(&self, fields: &mut Value) {
        fields["listen"] = json!(self.listen);
        fields["auth"] = self.auth.to_value();
        fields["store"] = json!({
            "url": self.store.to_string(),
            "history": {
                "entries": self.history_entries,
                "age": duration::format(self.history_age),
            },
            "claim_ttl": duration::format(self.claim_ttl),
        });
        self.redis.write(&mut fields["store"]);
        fields["reconcile"] = json!({
            "interval": duration::format(self.interval),
            "busy_interval": duration::format(self.busy_interval),
            "overdue": duration::format(self.overdue),
        });
        let format = self.log_format.and_then(|format| value::word(&LOG_FORMATS, &format));
        fields["log"] = json!({ "format": format, "level": self.log_level });
        fields["shutdown_grace"] = json!(duration::format(self.shutdown_grace));
    }
}

impl Auth {
    fn read(s: &mut Section<'_>) -> Self {
        let all = s.secret("bearer_token", value::token);
        let own = s.items("tokens", |s| {
            let role = s.required("role", value::one_of(&ROLES));
            let token = s.secret("token", value::token);
            if !s.is_set("token") && !s.is_set("token_file") {
                s.refuse("token", "must be set, or `token_file`".into());
            }
            Some((role?, token?))
        });
        // Operator includes viewer, so these two are all roles.
        let all = all
            .into_iter()
            .flat_map(|token| [(Role::Webhook, token.clone()), (Role::Operator, token)]);
        let tokens: Vec<_> = all.chain(own.into_iter().flatten().flatten()).collect();
        let exposed = tokens.iter().map(|(role, token)| (role, token.expose()));
        if exposed.collect::<BTreeSet<_>>().len() < tokens.len() {
            s.refuse("tokens", "one token has the same role twice; keep one".into());
        }
        Self { tokens }
    }

    fn to_value(&self) -> Value {
        let token = |(role, _): &(Role, Secret)| json!({ "role": value::word(&ROLES, role), "token": MASK });
        json!({ "tokens": self.tokens.iter().map(token).collect::<Vec<_>>() })
    }
}

/// Without a token nobody but this machine may reach us.
fn read_listen(s: &mut Section<'_>, auth: &Auth) -> SocketAddr {
    let open = !auth.tokens.is_empty();
    let any = if open { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    let default = SocketAddr::new(IpAddr::V4(any), PORT);
    let Some(listen) = s.take("listen", value::address) else { return default };
    if !open && !listen.ip().is_loopback() && !s.is_refused_below("auth") {
        let mend = "others could reach this without a token; set `auth.bearer_token_file`, or \
                    listen on 127.0.0.1";
        s.refuse("listen", mend.into());
    }
    listen
}

/// A level, or several `target=level` with commas between them.
fn log_level(tree: &Tree) -> Result<String, Mend> {
    let read = value::text(tree)?;
    let target = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    let right = read.split(',').all(|directive| match directive.trim().split_once('=') {
        Some((name, level)) => {
            !name.is_empty() && name.chars().all(target) && LOG_LEVELS.contains(&level)
        }
        None => LOG_LEVELS.contains(&directive.trim()),
    });
    if right {
        Ok(read)
    } else {
        let levels = LOG_LEVELS.join(", ");
        Err(format!("must be one of {levels}, or like bellwether=debug,info").into())
    }
}
