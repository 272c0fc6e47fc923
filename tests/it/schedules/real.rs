//! Plays schedules to a real Alertmanager, all of one world at once.

use super::ours::silence_matchers;
use super::record::{Arrival, Desk, Record, look};
use super::schedule::{Event, Mode, Schedule, moment, seconds};
use super::world::{World, write_zone};
use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::scripted::{Answer, Request, Scripted};
use bellwether::clock::Clock;
use bellwether::sim::alertmanager::Stop;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// From the choice of the origin to the first event: enough for a server to start.
const LEAD: f64 = 4.0;

/// No schedule begins before.
const FIRST: f64 = -0.5;

/// How often a start that took too long is repeated.
const STARTS: u32 = 5;

/// What webhooks got, by schedule, and how they answer.
#[derive(Debug, Default)]
pub(super) struct Inlets {
    desks: BTreeMap<String, Desk>,
    arrivals: BTreeMap<String, Vec<(Timestamp, Value)>>,
}

pub(super) type Shared = Arc<Mutex<Inlets>>;

/// Plays a world; `None` after a printed skip where the server is missing.
pub(crate) async fn play(version: &str, world: &World) -> Option<Vec<Record>> {
    let inlets: Shared = Arc::default();
    let log = inlets.clone();
    let webhook = Scripted::start(move |request| receive(&log, request)).await;
    let (server, origin) = start_in_time(version, world, &webhook.url).await?;
    let server = tokio::sync::RwLock::new(server);
    let plays = world.schedules.iter().map(|schedule| {
        let play = Play { schedule, origin, server: &server, inlets: &inlets };
        play.run()
    });
    Some(join_all(plays).await)
}

/// A server, and an origin that has not passed: its time zone is made before it starts, so that the origin
/// must be chosen before it is known how long that takes.
async fn start_in_time(
    version: &str,
    world: &World,
    url: &str,
) -> Option<(RunningAlertmanager, Timestamp)> {
    for _ in 0..STARTS {
        let origin = origin();
        let server = start(version, world, &world.config(url), origin).await?;
        if seconds(now(), moment(origin, FIRST)) > 0.0 {
            return Some((server, origin));
        }
    }
    panic!("the server took too long to start");
}

async fn start(
    version: &str,
    world: &World,
    config: &str,
    origin: Timestamp,
) -> Option<RunningAlertmanager> {
    let arguments = world.arguments();
    let flags: Vec<&str> = arguments.iter().map(String::as_str).collect();
    alertmanager::start_in_zones(version, config, &flags, |zones| write_zone(zones, origin)).await
}

/// Notes a delivery and answers it.
pub(super) fn receive(inlets: &Shared, request: &Request) -> Answer {
    let at = now();
    let name = request.target.trim_start_matches('/').to_owned();
    let mut inlets = inlets.lock().unwrap();
    let body = serde_json::from_str(&request.body).unwrap();
    inlets.arrivals.entry(name.clone()).or_default().push((at, body));
    let desk = inlets.desks.entry(name).or_insert_with(|| Desk::new(Mode::Code(200)));
    let reply = desk.answer();
    match reply.code {
        None => Answer::Hangup,
        Some(200) if reply.is_half => Answer::Half,
        Some(code) if reply.after > 0.0 => Answer::Late(Duration::from_secs_f64(reply.after), code),
        Some(code) => Answer::Whole(code, String::new()),
    }
}

/// One schedule being played.
struct Play<'a> {
    schedule: &'a Schedule,
    origin: Timestamp,
    server: &'a tokio::sync::RwLock<RunningAlertmanager>,
    inlets: &'a Shared,
}

impl Play<'_> {
    async fn run(self) -> Record {
        let (mut record, mut silences) = (Record::default(), BTreeMap::new());
        for (at, event) in &self.schedule.events {
            record.late = record.late.max(wait(self.origin, *at).await);
            let looked = self.happen(*at, event, &mut silences).await;
            if !matches!(event, Event::Start | Event::Stop(_)) {
                record.late = record.late.max(late(self.origin, *at));
            }
            record.looks.extend(looked.map(|lines| (format!("{at:.1}"), lines)));
        }
        record.late = record.late.max(wait(self.origin, self.schedule.until).await);
        record.arrivals = arrivals(self.inlets, self.schedule.name, self.origin);
        record
    }

    /// Makes an event happen; what the API said, if it was asked.
    async fn happen(
        &self,
        at: f64,
        event: &Event,
        silences: &mut BTreeMap<String, String>,
    ) -> Option<Vec<String>> {
        let (origin, name) = (self.origin, self.schedule.name);
        match event {
            Event::Post(alerts) => {
                let posted: Vec<_> =
                    alerts.iter().map(|alert| alert.posted(name, origin, at)).collect();
                self.server.read().await.post("api/v2/alerts", &json!(posted)).await;
            }
            Event::Silence(told, matchers, from, to) => {
                let silence = json!({
                    "matchers": silence_matchers(name, matchers),
                    "startsAt": moment(origin, *from),
                    "endsAt": moment(origin, *to),
                    "createdBy": "Ada",
                    "comment": "a test",
                });
                let answer = self.server.read().await.post("api/v2/silences", &silence).await;
                let answer: Value = serde_json::from_str(&answer).unwrap();
                silences
                    .insert(answer["silenceID"].as_str().unwrap().to_owned(), (*told).to_owned());
            }
            Event::Expire(told) => {
                let (id, _) = silences.iter().find(|(_, name)| name == told).unwrap();
                self.server.read().await.expire(id).await;
            }
            Event::Answer(mode) => {
                answer(self.inlets, name, *mode);
            }
            Event::Look => {
                let alerts = self.server.read().await.alerts_of(name).await;
                return Some(look(&alerts, silences, origin));
            }
            Event::Stop(Stop::Kill) => self.server.write().await.kill(),
            Event::Stop(Stop::Clean) => self.server.write().await.stop().await,
            Event::Start => self.server.write().await.restart().await,
            Event::At(..) => panic!("only pairs have peers"),
            Event::Reload => {
                self.server.read().await.post("-/reload", &Value::Null).await;
            }
        }
        None
    }
}

/// A real server keeps its own time, so a schedule must be kept by the clock; how late it woke.
pub(super) async fn wait(origin: Timestamp, at: f64) -> f64 {
    let left = seconds(now(), moment(origin, at));
    tokio::time::sleep(Duration::from_secs_f64(left.max(0.0))).await;
    late(origin, at)
}

/// How late it is for what should happen at `at`.
pub(super) fn late(origin: Timestamp, at: f64) -> f64 {
    seconds(moment(origin, at), now())
}

/// What came of one schedule.
pub(super) fn arrivals(inlets: &Shared, name: &str, origin: Timestamp) -> Vec<Arrival> {
    let came = inlets.lock().unwrap().arrivals.remove(name).unwrap_or_default();
    let arrival = |(at, body)| Arrival::new(body, seconds(origin, at), origin);
    came.into_iter().map(arrival).collect()
}

/// How a schedule's webhook answers from now on.
pub(super) fn answer(inlets: &Shared, name: &str, mode: Mode) {
    inlets.lock().unwrap().desks.insert(name.to_owned(), Desk::new(mode));
}

/// Sets a silence; its id.
pub(super) async fn silence(
    server: &RunningAlertmanager,
    case: &str,
    matchers: &str,
    (starts, ends): (Timestamp, Timestamp),
) -> String {
    let silence = json!({
        "matchers": silence_matchers(case, matchers),
        "startsAt": starts,
        "endsAt": ends,
        "createdBy": "Ada",
        "comment": "a test",
    });
    let answer = server.post("api/v2/silences", &silence).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    answer["silenceID"].as_str().unwrap().to_owned()
}

/// A whole half second soon, so that times are the same numbers in every play.
pub(super) fn origin() -> Timestamp {
    let soon = moment(now(), LEAD);
    // [`super::world::NOON`] lies half a second off, and must be a whole one.
    moment(Timestamp::from_second(soon.as_second()).unwrap(), 0.5)
}

pub(super) fn now() -> Timestamp {
    Clock::system().now()
}
