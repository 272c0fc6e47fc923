//! Judges what Bellwether did by the API server's record of all that was written, not by what it says of itself. Only of
//! I8 the history is asked: whether each deed stands there before it happened.
//!
//! What it holds, of the invariants of the design:
//! - I1: there are never more nodes than the pool may have;
//! - I3: a pod is evicted from a node that was closed by us, and a node is removed that was closed by us, by its UID,
//!   when no pod is on it any more;
//! - I5: nothing is written but under the lease, renewed within its life;
//! - I8: each act on a node has its line in the history, from before.

use super::control_plane::SERVICE;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a lease lives. A write may be on its way for a moment more.
const LEASE: Duration = Duration::from_secs(11);

/// One write that was done.
struct Deed {
    /// When it was asked for.
    at: Timestamp,
    is_ours: bool,
    verb: String,
    /// With what is below it, as in `pods/eviction`.
    resource: String,
    /// With its namespace, where it has one.
    name: String,
    body: Value,
}

/// All that was written.
pub(crate) struct Observer(Vec<Deed>);

/// What was done, for a test that knows how much that is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Nodes that we removed.
    pub(crate) removed: usize,
    /// Pods that we evicted.
    pub(crate) evicted: usize,
}

/// What is known so far, deed by deed.
#[derive(Default)]
struct State {
    nodes: BTreeSet<String>,
    /// Nodes that we closed and nobody opened since.
    closed: BTreeSet<String>,
    /// Where each pod is.
    pods: BTreeMap<String, String>,
    lease: Option<Timestamp>,
    wrong: Vec<String>,
}

impl Deed {
    fn read(line: &str) -> Option<Self> {
        let event: Value = serde_json::from_str(line).ok()?;
        let code = event["responseStatus"]["code"].as_u64()?;
        let (verb, object) = (event["verb"].as_str()?, &event["objectRef"]);
        if !(200..300).contains(&code) || ["get", "list", "watch"].contains(&verb) {
            return None;
        }
        let text = |field: &str| object[field].as_str().unwrap_or_default();
        let name = event["requestObject"]["metadata"]["name"].as_str();
        let name = object["name"].as_str().or(name)?;
        Some(Self {
            at: event["requestReceivedTimestamp"].as_str()?.parse().unwrap(),
            is_ours: event["user"]["username"] == SERVICE,
            verb: verb.to_owned(),
            resource: [text("resource"), text("subresource")]
                .join("/")
                .trim_end_matches('/')
                .into(),
            name: [text("namespace"), name].join("/").trim_start_matches('/').into(),
            body: event["requestObject"].clone(),
        })
    }

    fn is(&self, verb: &str, resource: &str) -> bool {
        self.verb == verb && self.resource == resource
    }

    /// What the history calls it, of what it has a line for.
    fn act(&self) -> Option<&'static str> {
        match (self.verb.as_str(), self.resource.as_str(), self.closes()) {
            (_, _, Some(true)) => Some("cordon"),
            (_, _, Some(false)) => Some("uncordon"),
            ("create", "pods/eviction", _) => Some("evict"),
            ("delete", "nodes", _) => Some("remove_node"),
            _ => None,
        }
    }

    /// Whether it closes a node, or opens it; neither, where it is about something else.
    fn closes(&self) -> Option<bool> {
        let is_about_it =
            matches!(self.verb.as_str(), "patch" | "update") && self.resource == "nodes";
        self.body["spec"]["unschedulable"].as_bool().filter(|_| is_about_it)
    }
}

impl Observer {
    /// Reads the record.
    pub(crate) fn of(audit: &str) -> Self {
        let mut deeds: Vec<Deed> = audit.lines().filter_map(Deed::read).collect();
        deeds.sort_by_key(|deed| deed.at);
        Self(deeds)
    }

    /// The same without some of it, by which a test sees that it would be missed.
    pub(crate) fn without(mut self, verb: &str, resource: &str) -> Self {
        self.0.retain(|deed| !deed.is(verb, resource));
        self
    }

    /// How many of them are ours, but for the lease.
    pub(crate) fn deeds(&self) -> usize {
        self.0.iter().filter(|deed| deed.is_ours && deed.resource != "leases").count()
    }

    /// How much we did.
    pub(crate) fn told(&self) -> Told {
        let ours = |verb: &str, resource: &str| {
            self.0.iter().filter(|deed| deed.is_ours && deed.is(verb, resource)).count()
        };
        Told { removed: ours("delete", "nodes"), evicted: ours("create", "pods/eviction") }
    }

    /// What was wrong: of a pool that may have `max` workers, by the program's history.
    pub(crate) fn judge(&self, max: usize, history: &[Value]) -> Vec<String> {
        let mut state = State::default();
        for deed in &self.0 {
            state.judge(deed, history);
            state.follow(deed);
            if state.nodes.len() > max {
                state.wrong.push(format!("I1: {} nodes at {}", state.nodes.len(), deed.at));
            }
        }
        state.wrong
    }
}

impl State {
    fn judge(&mut self, deed: &Deed, history: &[Value]) {
        // Events are words; reviews ask, and so changed nothing.
        if !deed.is_ours
            || ["leases", "events", "selfsubjectaccessreviews"].contains(&&*deed.resource)
        {
            return;
        }
        let Deed { at, verb, resource, name, .. } = deed;
        let what = format!("{verb} {resource} {name} at {at}");
        let is_held =
            self.lease.is_some_and(|lease| at.duration_since(lease) <= LEASE.try_into().unwrap());
        if !is_held {
            self.wrong.push(format!("I5: {what}: the lease was renewed at {:?}", self.lease));
        }
        let node = if resource == "pods/eviction" { self.pods.get(name) } else { Some(name) };
        let node = node.cloned().unwrap_or_default();
        if deed.is("create", "pods/eviction") && !self.closed.contains(&node) {
            self.wrong.push(format!("I3: {what}: its node {node} is open"));
        }
        if deed.is("delete", "nodes") {
            let left: Vec<&String> =
                self.pods.iter().filter(|(_, at)| *at == name).map(|(pod, _)| pod).collect();
            let by_uid = deed.body["preconditions"]["uid"].is_string();
            if !self.closed.contains(name) || !left.is_empty() || !by_uid {
                self.wrong.push(format!("I3: {what}: {left:?} are on it, by UID: {by_uid}"));
            }
        }
        let Some(act) = deed.act() else { return };
        let before = |line: &Value| {
            let is_of = line["worker"].as_str().is_some_and(|worker| node.ends_with(worker));
            let said: Timestamp = line["at"].as_str().unwrap().parse().unwrap();
            is_of && line["kind"] == "intent" && line["what"] == act && said <= *at
        };
        if !history.iter().any(before) {
            self.wrong.push(format!("I8: {what}: no line of history says so"));
        }
    }

    fn follow(&mut self, deed: &Deed) {
        let name = deed.name.clone();
        if let Some(closes) = deed.closes() {
            if closes && deed.is_ours {
                self.closed.insert(name);
            } else if !closes {
                self.closed.remove(&name);
            }
            return;
        }
        match (deed.verb.as_str(), deed.resource.as_str()) {
            ("create", "nodes") => {
                self.closed.remove(&name);
                self.nodes.insert(name);
            }
            // One with a finalizer is there for a while more, closed as it was.
            ("delete", "nodes") => _ = self.nodes.remove(&name),
            ("create", "pods/binding") => {
                let node = deed.body["target"]["name"].as_str().unwrap().to_owned();
                self.pods.insert(name, node);
            }
            // An eviction marks it; who plays the kubelet deletes it.
            ("delete", "pods") => _ = self.pods.remove(&name),
            (_, "leases") if deed.is_ours => self.lease = Some(deed.at),
            _ => {}
        }
    }
}
