//! What a simulated Alertmanager is told: its file, its flags and its release.

use super::labels::{self, Labels, Matcher};
use crate::model::duration;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Alertmanager's own defaults, where the file is silent.
const GROUP_WAIT: Duration = Duration::from_secs(30);
const GROUP_INTERVAL: Duration = Duration::from_mins(5);
const REPEAT_INTERVAL: Duration = Duration::from_hours(4);
const RESOLVE_TIMEOUT: Duration = Duration::from_mins(5);

/// A configuration file as far as it bears on webhooks. Of several webhooks of one receiver only the
/// first is played; receivers of other kinds deliver nothing.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file's text, as the API shows it.
    pub(super) original: String,
    pub(super) routes: Vec<Route>,
    pub(super) receivers: Vec<Receiver>,
    pub(super) inhibit_rules: Vec<InhibitRule>,
    pub(super) resolve_timeout: Duration,
    /// Time intervals by name. The file's own are not read: real ones recur, ours are told outright.
    windows: BTreeMap<String, Vec<(Timestamp, Timestamp)>>,
}

/// Why a file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not what Alertmanager reads.
    #[error("not a configuration of Alertmanager: {0}")]
    File(String),
    /// One value of it.
    #[error("not {wanted}: {text:?}")]
    Value {
        /// What it should be.
        wanted: &'static str,
        /// What it is.
        text: String,
    },
}

/// What is told by flags, and how chance is played.
#[derive(Clone, Debug)]
pub struct Flags {
    /// Whose habits are played.
    pub release: Release,
    /// `--data.maintenance-interval`: how often silences and the notification log reach the disk.
    pub maintenance: Duration,
    /// `--data.retention`.
    pub retention: Duration,
    /// `--alerts.gc-interval`: until then resolved alerts still merge with those that overlap them.
    pub alerts_gc: Duration,
    /// How often empty groups are looked for; until then a new alert joins the old group and its clock.
    /// `--dispatch.maintenance-interval` from 0.31 on; [`Release::V0_34`] does not wait for it.
    pub cleanup: Duration,
    /// `--dispatch.start-delay` (0.30 and later).
    pub start_delay: Duration,
    /// `--cluster.peer-timeout`: each peer waits its position times this.
    pub peer_timeout: Duration,
    /// How long gossip takes to settle after a start; nothing with `--cluster.listen-address=`.
    pub settle: Duration,
    /// `--web.external-url`.
    pub external_url: String,
    /// Who wins when an alert and what inhibits it come in one request.
    pub race: Race,
    /// Seeds the spread of retries; without one they come at the exact middle.
    pub seed: Option<u64>,
}

/// Releases that behave differently where it can be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Release {
    /// Any old alert that joins a group that was not flushed yet hurries it.
    V0_25,
    /// Only a group's first alert can hurry it, and of several alerts that inhibit alike only one is
    /// remembered.
    V0_31,
    /// A group ends with its last alert instead of at the next look each 30 s.
    V0_34,
}

/// Who wins a race inside one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Race {
    /// The alert is delivered before what inhibits it is known: the worse case, and often the real one.
    Target,
    /// What inhibits is known first.
    Source,
}

/// One route, with what it inherits.
#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) key: String,
    pub(super) receiver: String,
    pub(super) group_by: GroupBy,
    pub(super) group_wait: Duration,
    pub(super) group_interval: Duration,
    pub(super) repeat_interval: Duration,
    muted_in: Vec<String>,
    active_in: Vec<String>,
    matchers: Vec<Matcher>,
    continues: bool,
    children: Vec<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum GroupBy {
    Everything,
    Labels(BTreeSet<String>),
}

#[derive(Clone, Debug)]
pub(super) struct Receiver {
    pub(super) name: String,
    pub(super) webhook: Option<Webhook>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Webhook {
    pub(super) send_resolved: bool,
    pub(super) max_alerts: usize,
}

#[derive(Clone, Debug)]
pub(super) struct InhibitRule {
    pub(super) source: Vec<Matcher>,
    pub(super) target: Vec<Matcher>,
    pub(super) equal: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct File {
    global: GlobalFile,
    route: RouteFile,
    receivers: Vec<ReceiverFile>,
    inhibit_rules: Vec<InhibitFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GlobalFile {
    resolve_timeout: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RouteFile {
    receiver: Option<String>,
    matchers: Vec<String>,
    group_by: Vec<String>,
    group_wait: Option<String>,
    group_interval: Option<String>,
    repeat_interval: Option<String>,
    mute_time_intervals: Vec<String>,
    active_time_intervals: Vec<String>,
    #[serde(rename = "continue")]
    continues: bool,
    routes: Vec<RouteFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReceiverFile {
    name: String,
    webhook_configs: Vec<WebhookFile>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct WebhookFile {
    send_resolved: Option<bool>,
    max_alerts: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct InhibitFile {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    equal: Vec<String>,
}

// === impl Config ===

impl Config {
    /// Reads a file.
    pub fn parse(yaml: &str) -> Result<Self, ConfigError> {
        let file: File =
            serde_saphyr::from_str(yaml).map_err(|error| ConfigError::File(error.to_string()))?;
        let mut routes = Vec::new();
        add_route(&file.route, None, &mut routes)?;
        let inhibit_rules =
            file.inhibit_rules.iter().map(InhibitFile::read).collect::<Result<_, _>>()?;
        Ok(Self {
            original: yaml.to_owned(),
            routes,
            receivers: file.receivers.into_iter().map(ReceiverFile::read).collect(),
            inhibit_rules,
            resolve_timeout: interval(file.global.resolve_timeout.as_deref(), RESOLVE_TIMEOUT)?,
            windows: BTreeMap::new(),
        })
    }

    /// Tells when a time interval of this name holds: from the first time up to the second, each.
    #[must_use]
    pub fn with_window(mut self, name: &str, spans: &[(Timestamp, Timestamp)]) -> Self {
        self.windows.insert(name.to_owned(), spans.to_vec());
        self
    }

    /// The routes that an alert takes, in order.
    pub(super) fn matching(&self, alert: &Labels) -> Vec<usize> {
        self.walk(0, alert)
    }

    fn walk(&self, at: usize, alert: &Labels) -> Vec<usize> {
        let route = &self.routes[at];
        if !labels::all_match(&route.matchers, alert) {
            return Vec::new();
        }
        let mut all = Vec::new();
        for child in &route.children {
            let matching = self.walk(*child, alert);
            let is_last = !matching.is_empty() && !self.routes[*child].continues;
            all.extend(matching);
            if is_last {
                break;
            }
        }
        if all.is_empty() {
            all.push(at);
        }
        all
    }

    /// The webhook that a route leads to.
    pub(super) fn webhook(&self, route: usize) -> Option<Webhook> {
        let name = &self.routes[route].receiver;
        self.receivers.iter().find(|receiver| receiver.name == *name)?.webhook
    }

    /// Whether a route is muted by its time intervals.
    pub(super) fn is_muted(&self, route: usize, at: Timestamp) -> bool {
        let Route { muted_in, active_in, .. } = &self.routes[route];
        let holds = |name: &String| {
            let spans = self.windows.get(name);
            spans.is_some_and(|spans| spans.iter().any(|(from, to)| *from <= at && at < *to))
        };
        muted_in.iter().any(holds) || (!active_in.is_empty() && !active_in.iter().any(holds))
    }
}

// === impl Flags ===

impl Default for Flags {
    /// A single Alertmanager as it ships.
    fn default() -> Self {
        Self {
            release: Release::V0_31,
            maintenance: Duration::from_mins(15),
            retention: Duration::from_hours(120),
            alerts_gc: Duration::from_mins(30),
            cleanup: Duration::from_secs(30),
            start_delay: Duration::ZERO,
            peer_timeout: Duration::from_secs(15),
            settle: Duration::ZERO,
            external_url: "http://alertmanager:9093".to_owned(),
            race: Race::Target,
            seed: None,
        }
    }
}

// === impl GroupBy ===

impl GroupBy {
    /// The labels that name an alert's group.
    pub(super) fn of(&self, alert: &Labels) -> Labels {
        match self {
            GroupBy::Everything => alert.clone(),
            GroupBy::Labels(names) => {
                let named = alert.iter().filter(|(name, _)| names.contains(*name));
                named.map(|(name, value)| (name.clone(), value.clone())).collect()
            }
        }
    }
}

// === impl ReceiverFile ===

impl ReceiverFile {
    fn read(self) -> Receiver {
        let webhook = self.webhook_configs.first().map(|webhook| Webhook {
            send_resolved: webhook.send_resolved.unwrap_or(true),
            max_alerts: webhook.max_alerts,
        });
        Receiver { name: self.name, webhook }
    }
}

// === impl InhibitFile ===

impl InhibitFile {
    fn read(&self) -> Result<InhibitRule, ConfigError> {
        Ok(InhibitRule {
            source: matchers(&self.source_matchers)?,
            target: matchers(&self.target_matchers)?,
            equal: self.equal.clone(),
        })
    }
}

// === free functions ===

/// Adds a route and all below it; its place.
fn add_route(
    file: &RouteFile,
    above: Option<&Route>,
    into: &mut Vec<Route>,
) -> Result<usize, ConfigError> {
    let matchers = matchers(&file.matchers)?;
    let own = labels::show_matchers(&matchers);
    let group_by = match (&*file.group_by, above) {
        ([], Some(above)) => above.group_by.clone(),
        (names, _) if names.iter().any(|name| name == "...") => GroupBy::Everything,
        (names, _) => GroupBy::Labels(names.iter().cloned().collect()),
    };
    let wait = above.map_or(GROUP_WAIT, |above| above.group_wait);
    let tick = above.map_or(GROUP_INTERVAL, |above| above.group_interval);
    let repeat = above.map_or(REPEAT_INTERVAL, |above| above.repeat_interval);
    let inherited = above.map_or("", |above| &above.receiver);
    let route = Route {
        key: above.map_or_else(|| own.clone(), |above| format!("{}/{own}", above.key)),
        receiver: file.receiver.as_deref().unwrap_or(inherited).to_owned(),
        group_by,
        group_wait: interval(file.group_wait.as_deref(), wait)?,
        group_interval: interval(file.group_interval.as_deref(), tick)?,
        repeat_interval: interval(file.repeat_interval.as_deref(), repeat)?,
        muted_in: file.mute_time_intervals.clone(),
        active_in: file.active_time_intervals.clone(),
        matchers,
        continues: file.continues,
        children: Vec::new(),
    };
    if route.group_interval.is_zero() || route.repeat_interval.is_zero() {
        let text = "0s".to_owned();
        return Err(ConfigError::Value { wanted: "an interval above zero", text });
    }
    let place = into.len();
    into.push(route.clone());
    for child in &file.routes {
        let child = add_route(child, Some(&route), into)?;
        into[place].children.push(child);
    }
    Ok(place)
}

fn matchers(texts: &[String]) -> Result<Vec<Matcher>, ConfigError> {
    let read = |text: &String| {
        let wrong = || ConfigError::Value { wanted: "a matcher", text: text.clone() };
        Matcher::parse(text).ok_or_else(wrong)
    };
    texts.iter().map(read).collect()
}

fn interval(text: Option<&str>, inherited: Duration) -> Result<Duration, ConfigError> {
    let Some(text) = text else { return Ok(inherited) };
    duration::parse(text)
        .map_err(|_| ConfigError::Value { wanted: "a duration", text: text.to_owned() })
}
