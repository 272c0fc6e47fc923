//! Each rule by itself; `tests/it/schedules.rs` holds the same rules against real Alertmanagers.

mod alerts;
mod bodies;
mod files;
mod flushes;
mod groups;
mod log;
mod mutes;
mod pairs;
mod processes;

use super::*;
use crate::model::{Matcher, duration};
use std::time::Duration;

/// Each alert its own group, at once, each 10 s, again after 25 s: each third tick.
const EACH: &str = "group_by: ['...'], group_wait: 0s, group_interval: 10s, repeat_interval: 25s";

/// By name, after 5 s.
const NAMED: &str =
    "group_by: [alertname], group_wait: 5s, group_interval: 10s, repeat_interval: 1h";

/// An Alertmanager whose webhook answers at once.
struct Play {
    server: Alertmanager,
    answer: Answer,
    /// What came, as `second name:status …`.
    seen: Vec<String>,
    all: Vec<Delivery>,
}

/// The second's moment.
fn second(at: f64) -> Timestamp {
    let origin = Timestamp::UNIX_EPOCH;
    if at < 0.0 {
        duration::before(origin, Duration::from_secs_f64(-at))
    } else {
        duration::after(origin, Duration::from_secs_f64(at))
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

/// The text of a file with one route, and rules by which `role: source` inhibits `role: target`.
fn file(route: &str, webhook: &str) -> String {
    format!(
        "route: {{ receiver: bellwether, {route} }}\n\
         receivers: [{{ name: bellwether, webhook_configs: [{{ url: 'http://x'{webhook} }}] }}, {{ name: humans }}]\n\
         inhibit_rules:\n  - {{ source_matchers: ['role=~\"source|both\"'], \
         target_matchers: ['role=~\"target|both\"'], equal: [cluster] }}\n"
    )
}

fn config(route: &str) -> Config {
    Config::parse(&file(route, "")).unwrap()
}

/// `alertname label=value …`
fn labels(text: &str) -> Labels {
    let pair = |word: &str| {
        let (name, value) = word.split_once('=').unwrap_or(("alertname", word));
        (name.to_owned(), value.to_owned())
    };
    text.split(' ').map(pair).collect()
}

/// Fires since `starts`, four minutes at most.
fn fires(text: &str, starts: f64) -> Posted {
    until(text, starts, starts + 240.0)
}

fn until(text: &str, starts: f64, ends: f64) -> Posted {
    Posted {
        labels: labels(text),
        starts_at: Some(second(starts)),
        ends_at: Some(second(ends)),
        ..Posted::default()
    }
}

fn silence(id: &str, matcher: &str, (from, to): (f64, f64)) -> NewSilence {
    let (name, value) = matcher.split_once('=').unwrap();
    let matcher =
        Matcher { name: name.to_owned(), value: value.to_owned(), is_regex: false, is_equal: true };
    NewSilence {
        id: SilenceId::from(id),
        matchers: vec![matcher],
        starts: second(from),
        ends: second(to),
        created_by: "Ada".to_owned(),
        comment: "deploying".to_owned(),
    }
}

/// What a delivery says, as `second name:status …`.
fn show(delivery: &Delivery) -> String {
    let told = |alert: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!(" {}:{}", text(&alert["labels"]["alertname"]), text(&alert["status"]))
    };
    let alerts: String = delivery.body["alerts"].as_array().unwrap().iter().map(told).collect();
    format!("{}{alerts}", seconds(delivery.at))
}

impl Play {
    fn new(route: &str) -> Self {
        Self::with(config(route), Flags::default())
    }

    fn with(config: Config, flags: Flags) -> Self {
        let server = Alertmanager::new(config, flags, second(0.0));
        Self { server, answer: Answer::Ok, seen: Vec::new(), all: Vec::new() }
    }

    /// Lets time pass, each delivery answered as it comes.
    fn wait(&mut self, until: f64) -> &mut Self {
        while let Some(due) = self.server.next_due().filter(|due| *due <= second(until)) {
            for delivery in self.server.advance(due) {
                self.seen.push(show(&delivery));
                self.server.answered(delivery.id, self.answer, delivery.at);
                self.all.push(delivery);
            }
        }
        self.server.advance(second(until));
        self
    }

    fn post(&mut self, at: f64, alerts: impl Into<Vec<Posted>>) -> &mut Self {
        self.wait(at);
        assert!(self.server.post(alerts.into(), second(at)));
        self.wait(at)
    }

    fn fire(&mut self, at: f64, text: &str) -> &mut Self {
        self.post(at, [fires(text, at)])
    }

    /// It was over at the moment it is posted.
    fn end(&mut self, at: f64, text: &str, starts: f64) -> &mut Self {
        self.post(at, [until(text, starts, at)])
    }

    fn silence(&mut self, at: f64, id: &str, matcher: &str) -> &mut Self {
        self.wait(at);
        assert!(self.server.silence(silence(id, matcher, (at, 1e6)), second(at)));
        self
    }

    fn expire(&mut self, at: f64, id: &str) -> &mut Self {
        self.wait(at);
        assert!(self.server.expire(&SilenceId::from(id), second(at)));
        self
    }

    /// From now on the webhook answers so.
    fn answer(&mut self, at: f64, answer: Answer) -> &mut Self {
        self.wait(at);
        self.answer = answer;
        self
    }

    /// Stops at `at` and starts again 10 s later.
    fn restart(&mut self, at: f64, stop: Stop) -> &mut Self {
        self.wait(at);
        self.server.stop(stop, second(at));
        self.server.start(second(at + 10.0));
        self
    }

    /// What the API says of the only alert: its state, who silences it, who inhibits it.
    fn state(&mut self, at: f64) -> (String, usize, usize) {
        self.wait(at);
        let told = self.server.told("bellwether", second(at)).unwrap();
        let status = &told.alerts[0]["status"];
        let count = |name: &str| status[name].as_array().unwrap().len();
        let state = status["state"].as_str().unwrap().to_owned();
        (state, count("silencedBy"), count("inhibitedBy"))
    }

    /// What came since last asked.
    fn seen(&mut self) -> Vec<String> {
        std::mem::take(&mut self.seen)
    }
}
