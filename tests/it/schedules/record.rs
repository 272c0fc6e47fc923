//! What came of a schedule, in a form in which two plays of it can be compared.

use super::schedule::{Mode, Schedule, seconds};
use bellwether::sim::alertmanager::Answer;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// How late, in seconds, a machine may be before a difference can be its own.
const LATE: f64 = 0.1;

/// One play of one schedule.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) arrivals: Vec<Arrival>,
    /// By the second of the look, one line for each alert.
    pub(crate) looks: Vec<(String, Vec<String>)>,
    /// How late the worst event was, in seconds.
    pub(crate) late: f64,
}

/// One attempt of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: f64,
    group: String,
    /// The body, its times in seconds of the schedule.
    body: Value,
    /// The ends of its alerts, which depend on when a real server took them in.
    ends: Vec<f64>,
}

/// How two plays differ.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) text: String,
    /// The machine was late, or the server: then it may be chance.
    pub(crate) may_be_chance: bool,
}

/// How a webhook answers, counting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Desk {
    pub(crate) mode: Mode,
    count: u32,
}

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    /// `None`: the connection ends.
    pub(crate) code: Option<u16>,
    pub(crate) after: f64,
    /// The head promises more than comes.
    pub(crate) is_half: bool,
}

impl Desk {
    pub(crate) fn new(mode: Mode) -> Self {
        Self { mode, count: 0 }
    }

    pub(crate) fn answer(&mut self) -> Reply {
        self.count += 1;
        let (code, after) = match self.mode {
            Mode::Code(code) => (Some(code), 0.0),
            Mode::First(count, code) if self.count <= count => (Some(code), 0.0),
            Mode::Late(after) => (Some(200), after),
            Mode::Hangs(count) if self.count <= count => (None, 0.0),
            Mode::First(..) | Mode::Hangs(_) | Mode::Half => (Some(200), 0.0),
        };
        Reply { code, after, is_half: matches!(self.mode, Mode::Half) }
    }
}

impl Reply {
    /// What the simulated Alertmanager is told of it.
    pub(crate) fn meaning(self) -> Answer {
        match self.code {
            Some(200..300) => Answer::Ok,
            None | Some(500..600) => Answer::Retry,
            Some(_) => Answer::Refused,
        }
    }
}

impl Arrival {
    pub(crate) fn new(mut body: Value, at: f64, origin: Timestamp) -> Self {
        let group = body["groupKey"].as_str().unwrap().to_owned();
        let mut ends = Vec::new();
        for alert in body["alerts"].as_array_mut().unwrap() {
            let starts = relative(&alert["startsAt"], origin);
            alert["startsAt"] = Value::from(format!("{starts:.3}"));
            if alert["status"] == "resolved" {
                ends.push(relative(&alert["endsAt"], origin));
                alert["endsAt"] = Value::Null;
            }
        }
        Self { at, group, body, ends }
    }

    fn line(&self) -> String {
        let alerts: Vec<String> =
            self.body["alerts"].as_array().unwrap().iter().map(told).collect();
        format!("{:7.3} {} {}", self.at, self.group, alerts.join(" "))
    }

    /// Whether both came at the same time, and say the same of when alerts ended.
    fn is_near(&self, other: &Self, slack: f64) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= slack;
        near(self.at, other.at) && self.ends.iter().zip(&other.ends).all(|(a, b)| near(*a, *b))
    }
}

impl Record {
    /// What differs, if anything does: by group, so that two groups may overtake each other.
    pub(crate) fn difference(&self, real: &Record, schedule: &Schedule) -> Option<Difference> {
        let (ours, theirs) = (self.by_group(schedule), real.by_group(schedule));
        let bodies = |arrivals: &[&Arrival]| -> Vec<Value> {
            arrivals.iter().map(|arrival| arrival.body.clone()).collect()
        };
        let is_same = self.looks == real.looks
            && ours.keys().eq(theirs.keys())
            && ours.iter().all(|(group, ours)| bodies(ours) == bodies(&theirs[group]));
        let is_near = |(a, b): (&&Arrival, &&Arrival)| a.is_near(b, schedule.slack);
        let in_time = |(group, ours): (&&str, &Vec<&Arrival>)| {
            theirs.get(group).is_some_and(|theirs| ours.iter().zip(theirs).all(is_near))
        };
        if is_same && ours.iter().all(in_time) {
            return None;
        }
        let odd = ours.iter().filter_map(|(group, ours)| {
            let theirs = theirs.get(group).map_or(&[][..], Vec::as_slice);
            ours.iter().zip(theirs).find(|(a, b)| a.body != b.body)
        });
        let odd: Vec<String> =
            odd.map(|(a, b)| format!("  ours {}\n  real {}", a.body, b.body)).collect();
        let text = format!(
            "{}\n ours:\n{}\n real (events up to {:.3} s late):\n{}\n{}",
            schedule.name,
            self.show(),
            real.late,
            real.show(),
            odd.join("\n")
        );
        // A server that was held up is seen by what both delivered before they differed.
        let is_held_up = ours.iter().any(|(group, ours)| {
            let theirs = theirs.get(group).map_or(&[][..], Vec::as_slice);
            let mut alike = ours.iter().zip(theirs).take_while(|(a, b)| a.body == b.body);
            alike.any(|(a, b)| !a.is_near(b, LATE))
        });
        // What ours delivers just before the end may be on its way from a real one.
        let end = self.looks.last().and_then(|(at, _)| at.parse::<f64>().ok());
        let is_cut_off = ours.iter().all(|(group, ours)| {
            let theirs = theirs.get(group).map_or(&[][..], Vec::as_slice);
            let is_alike = ours.iter().zip(theirs).all(|(a, b)| a.body == b.body);
            let mut missing = ours.iter().skip(theirs.len());
            is_alike && missing.all(|one| end.is_some_and(|end| one.at > end - LATE))
        });
        let may_be_chance = is_held_up || is_cut_off || real.late > LATE / 2.0;
        Some(Difference { text, may_be_chance })
    }

    fn by_group(&self, schedule: &Schedule) -> BTreeMap<&str, Vec<&Arrival>> {
        let mut groups: BTreeMap<&str, Vec<&Arrival>> = BTreeMap::new();
        for arrival in &self.arrivals {
            let known = groups.entry(&arrival.group).or_default();
            let is_again = known.last().is_some_and(|last| last.body == arrival.body);
            if !(is_again && schedule.ignores_attempts) {
                known.push(arrival);
            }
        }
        groups
    }

    pub(crate) fn show(&self) -> String {
        let arrivals = self.arrivals.iter().map(Arrival::line);
        let looks =
            self.looks.iter().map(|(at, lines)| format!("{at} looked: {}", lines.join(", ")));
        arrivals.chain(looks).map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
    }
}

/// What the API says of alerts: one line each, silences by the names of the schedule.
pub(crate) fn look(
    alerts: &Value,
    silences: &BTreeMap<String, String>,
    origin: Timestamp,
) -> Vec<String> {
    let named = |id: &Value| {
        let id = id.as_str().unwrap();
        silences.get(id).cloned().unwrap_or_else(|| id.to_owned())
    };
    let list =
        |ids: &Value| ids.as_array().unwrap().iter().map(named).collect::<Vec<_>>().join("+");
    let line = |alert: &Value| {
        let status = &alert["status"];
        format!(
            "{} {} silenced [{}] inhibited [{}] since {:.3}, {}",
            alert["fingerprint"].as_str().unwrap(),
            status["state"].as_str().unwrap(),
            list(&status["silencedBy"]),
            list(&status["inhibitedBy"]),
            relative(&alert["startsAt"], origin),
            alert["annotations"],
        )
    };
    let mut lines: Vec<String> = alerts.as_array().unwrap().iter().map(line).collect();
    lines.sort();
    lines
}

fn told(alert: &Value) -> String {
    let name = alert["labels"]["alertname"].as_str().unwrap();
    format!("{name}:{}", alert["status"].as_str().unwrap())
}

fn relative(at: &Value, origin: Timestamp) -> f64 {
    seconds(origin, at.as_str().unwrap().parse().unwrap())
}
