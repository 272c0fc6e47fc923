//! A schedule: what happens to one route of an Alertmanager, second by second.

use bellwether::sim::alertmanager::{Labels, Peer, Posted, Stop};
use jiff::{SignedDuration, Timestamp};

/// As Prometheus says it: over in four minutes unless posted again.
const LASTS: f64 = 240.0;

/// One schedule. Its name is the receiver's, and the value of the label `case`.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    pub(crate) name: &'static str,
    /// The fields of its route, in YAML.
    pub(crate) route: &'static str,
    /// More fields of its webhook.
    pub(crate) webhook: &'static str,
    pub(crate) events: Vec<(f64, Event)>,
    /// When to stop looking.
    pub(crate) until: f64,
    /// How far two deliveries may lie apart and still be the same: wide where chance spreads retries.
    pub(crate) slack: f64,
    /// Only that each body comes counts, not how often it is tried.
    pub(crate) ignores_attempts: bool,
}

/// What happens.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Post(Vec<Fired>),
    /// Name, matchers as `label=value`, and from when to when.
    Silence(&'static str, &'static str, f64, f64),
    Expire(&'static str),
    /// How the webhook answers from now on.
    Answer(Mode),
    /// What does the API say?
    Look,
    Stop(Stop),
    Start,
    /// The same configuration is read again.
    Reload,
    /// At one of two peers; what is posted without this is posted to both.
    At(Peer, Box<Event>),
}

/// One alert that is posted.
#[derive(Clone, Debug)]
pub(crate) struct Fired {
    /// `alertname label=value …`
    labels: &'static str,
    starts: Option<f64>,
    ends: Ends,
    note: &'static str,
}

#[derive(Clone, Copy, Debug)]
enum Ends {
    AsUsual,
    Now,
    At(f64),
    Unsaid,
}

/// How a webhook answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// This code.
    Code(u16),
    /// This code so many times, then 200.
    First(u32, u16),
    /// 200, after so many seconds.
    Late(f64),
    /// So many connections end without an answer, then 200.
    Hangs(u32),
    /// 200, and less of a body than its head says.
    Half,
}

// === impl Schedule ===

impl Schedule {
    pub(crate) fn new(
        name: &'static str,
        route: &'static str,
        until: f64,
        events: Vec<(f64, Event)>,
    ) -> Self {
        Self { name, route, webhook: "", events, until, slack: 0.3, ignores_attempts: false }
    }

    pub(crate) fn webhook(self, webhook: &'static str) -> Self {
        Self { webhook, ..self }
    }

    pub(crate) fn slack(self, slack: f64) -> Self {
        Self { slack, ..self }
    }

    pub(crate) fn ignoring_attempts(self) -> Self {
        Self { ignores_attempts: true, ..self }
    }
}

// === impl Fired ===

impl Fired {
    pub(crate) fn note(self, note: &'static str) -> Self {
        Self { note, ..self }
    }

    /// As it is posted at `at` seconds after `origin`.
    pub(crate) fn posted(&self, case: &str, origin: Timestamp, at: f64) -> Posted {
        let mut labels = Labels::from([("case".to_owned(), case.to_owned())]);
        for (place, word) in self.labels.split(' ').enumerate() {
            let (name, value) = word.split_once('=').unwrap_or(("alertname", word));
            assert!(place == 0 || name != "alertname", "{}", self.labels);
            labels.insert(name.to_owned(), value.to_owned());
        }
        let ends = match self.ends {
            Ends::AsUsual => Some(at + LASTS),
            Ends::Now => Some(at),
            Ends::At(ends) => Some(ends),
            Ends::Unsaid => None,
        };
        Posted {
            labels,
            annotations: Labels::from([("summary".to_owned(), self.note.to_owned())]),
            starts_at: self.starts.map(|starts| moment(origin, starts)),
            ends_at: ends.map(|ends| moment(origin, ends)),
            generator_url: "http://prometheus/graph".to_owned(),
        }
    }
}

// === free functions ===

/// So many seconds after `origin`.
pub(crate) fn moment(origin: Timestamp, seconds: f64) -> Timestamp {
    origin + SignedDuration::try_from_secs_f64((seconds * 1e3).round() / 1e3).unwrap()
}

/// How many seconds after `origin`.
pub(crate) fn seconds(origin: Timestamp, at: Timestamp) -> f64 {
    at.duration_since(origin).as_secs_f64()
}

/// An alert that fires since `starts`.
pub(crate) fn fires(labels: &'static str, starts: f64) -> Fired {
    Fired { labels, starts: Some(starts), ends: Ends::AsUsual, note: "a test" }
}

/// An alert that fired since `starts` and is over at the moment it is posted.
pub(crate) fn over(labels: &'static str, starts: f64) -> Fired {
    Fired { ends: Ends::Now, ..fires(labels, starts) }
}

/// An alert that fires since `starts`, and until `ends` at most.
pub(crate) fn until(labels: &'static str, starts: f64, ends: f64) -> Fired {
    Fired { ends: Ends::At(ends), ..fires(labels, starts) }
}

/// An alert without an end.
pub(crate) fn endless(labels: &'static str, starts: f64) -> Fired {
    Fired { ends: Ends::Unsaid, ..fires(labels, starts) }
}

pub(crate) fn at(peer: Peer, event: Event) -> Event {
    Event::At(peer, Box::new(event))
}

pub(crate) fn post(alerts: impl Into<Vec<Fired>>) -> Event {
    Event::Post(alerts.into())
}
