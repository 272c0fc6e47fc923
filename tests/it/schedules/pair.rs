//! Plays schedules to two real Alertmanagers that know each other, and to a simulated pair.

use super::ours::new_silence;
use super::real::{self, Shared};
use super::record::{Arrival, Desk, Record, look};
use super::schedule::{Event, Mode, Schedule, moment, seconds};
use super::world::World;
use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::scripted::Scripted;
use crate::support::wait;
use bellwether::model::SilenceId;
use bellwether::sim::alertmanager::{Answer, Config, Flags, Pair, Peer, Release};
use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;

/// `--cluster.peer-timeout`.
const PEER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a message between the two may take.
const DELAY: Duration = Duration::from_millis(100);

/// Bodies must tell which peer they come from, and all else must be the same.
const URLS: [&str; 2] = ["http://first", "http://second"];

const BOTH: [Peer; 2] = [Peer::First, Peer::Second];

// === ours ===

struct Ours<'a> {
    schedule: &'a Schedule,
    origin: Timestamp,
    pair: Pair,
    desk: Desk,
    answers: BTreeMap<(Timestamp, Peer, u64), Answer>,
    record: Record,
}

/// Plays one to a simulated pair.
pub(crate) fn ours(world: &World, schedule: &Schedule, release: Release) -> Record {
    let origin: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let config = Config::parse(&world.config("http://127.0.0.1:1")).unwrap();
    let flags = Flags { release, peer_timeout: PEER_TIMEOUT, ..Flags::default() };
    let (desk, answers, record) = (Desk::new(Mode::Code(200)), BTreeMap::new(), Record::default());
    let pair = Pair::new(&config, &flags, DELAY, moment(origin, -1.0));
    let mut play = Ours { schedule, origin, pair, desk, answers, record };
    for (at, event) in &schedule.events {
        play.wait(moment(origin, *at));
        play.happen(*at, event);
    }
    play.wait(moment(origin, schedule.until));
    play.record
}

impl Ours<'_> {
    fn wait(&mut self, until: Timestamp) {
        loop {
            let answer = self.answers.first_key_value().map(|(key, answer)| (*key, *answer));
            let due = self.pair.next_due();
            match (answer, due) {
                (Some((key, answer)), _)
                    if key.0 <= until && due.is_none_or(|due| key.0 <= due) =>
                {
                    self.answers.remove(&key);
                    self.pair.answered(key.1, key.2, answer, key.0);
                }
                (_, Some(due)) if due <= until => self.advance(due),
                _ => break,
            }
        }
        self.advance(until);
    }

    fn advance(&mut self, now: Timestamp) {
        for (peer, delivery) in self.pair.advance(now) {
            let reply = self.desk.answer();
            let key = (moment(delivery.at, reply.after), peer, delivery.id);
            self.answers.insert(key, reply.meaning());
            let mut body = delivery.body;
            body["externalURL"] = json!(URLS[usize::from(peer == Peer::Second)]);
            let at = seconds(self.origin, delivery.at);
            self.record.arrivals.push(Arrival::new(body, at, self.origin));
        }
    }

    fn happen(&mut self, at: f64, event: &Event) {
        let (peers, event): (&[Peer], &Event) = match event {
            Event::At(Peer::First, event) => (&BOTH[..1], event),
            Event::At(Peer::Second, event) => (&BOTH[1..], event),
            event => (&BOTH, event),
        };
        let (now, origin, name) = (moment(self.origin, at), self.origin, self.schedule.name);
        match event {
            Event::Post(alerts) => {
                for peer in peers {
                    let posted =
                        alerts.iter().map(|alert| alert.posted(name, origin, at)).collect();
                    assert!(self.pair.post(*peer, posted, now));
                }
            }
            Event::Silence(id, matchers, from, to) => {
                let times = (moment(origin, *from), moment(origin, *to));
                let silence = new_silence(name, id, matchers, times);
                assert!(self.pair.silence(peers[0], silence, now));
            }
            Event::Expire(id) => assert!(self.pair.expire(peers[0], &SilenceId::new(*id), now)),
            Event::Answer(mode) => self.desk = Desk::new(*mode),
            Event::Look => {
                for peer in peers {
                    let told = self.pair.peer(*peer).told(name, now).unwrap();
                    let lines = look(&told.alerts, &BTreeMap::new(), origin);
                    self.record.looks.push((format!("{at:.1}"), lines));
                }
            }
            event => panic!("pairs do not play {event:?}"),
        }
    }
}

// === real ===

/// Plays all to one real pair.
pub(crate) async fn real(version: &str, world: &World) -> Option<Vec<Record>> {
    let inlets: Shared = Shared::default();
    let log = inlets.clone();
    let webhook = Scripted::start(move |request| real::receive(&log, request)).await;
    let timeout = format!("--cluster.peer-timeout={}s", PEER_TIMEOUT.as_secs());
    let urls = URLS.map(|url| format!("--web.external-url={url}"));
    let flags = |url| [&*timeout, "--cluster.gossip-interval=50ms", url];
    let (first, second) = (flags(&*urls[0]), flags(&*urls[1]));
    // The one that starts first has the smaller name, and so the first position.
    let config = world.config(&webhook.url).split("time_intervals:").next()?.to_owned();
    let servers = alertmanager::start_peers_with(version, &config, [&first, &second]).await?;
    for server in &servers {
        wait::until("peers to know each other", || server.has_settled()).await;
    }
    let origin = real::origin();
    let plays = world.schedules.iter().map(|schedule| run(&servers, &inlets, schedule, origin));
    Some(join_all(plays).await)
}

async fn run(
    servers: &[RunningAlertmanager; 2],
    inlets: &Shared,
    schedule: &Schedule,
    origin: Timestamp,
) -> Record {
    let (mut record, mut silences) = (Record::default(), BTreeMap::new());
    for (at, event) in &schedule.events {
        record.late = record.late.max(real::wait(origin, *at).await);
        let (servers, event): (&[RunningAlertmanager], &Event) = match event {
            Event::At(Peer::First, event) => (&servers[..1], event),
            Event::At(Peer::Second, event) => (&servers[1..], event),
            event => (servers, event),
        };
        match event {
            Event::Post(alerts) => {
                let posted: Vec<_> =
                    alerts.iter().map(|alert| alert.posted(schedule.name, origin, *at)).collect();
                for server in servers {
                    server.post("api/v2/alerts", &json!(posted)).await;
                }
            }
            Event::Silence(told, matchers, from, to) => {
                let times = (moment(origin, *from), moment(origin, *to));
                let id = real::silence(&servers[0], schedule.name, matchers, times).await;
                silences.insert(id, (*told).to_owned());
            }
            Event::Expire(told) => {
                let (id, _) = silences.iter().find(|(_, name)| name == told).unwrap();
                servers[0].expire(id).await;
            }
            Event::Answer(mode) => real::answer(inlets, schedule.name, *mode),
            Event::Look => {
                for server in servers {
                    let lines = look(&server.alerts_of(schedule.name).await, &silences, origin);
                    record.looks.push((format!("{at:.1}"), lines));
                }
            }
            event => panic!("pairs do not play {event:?}"),
        }
        record.late = record.late.max(real::late(origin, *at));
    }
    record.late = record.late.max(real::wait(origin, schedule.until).await);
    record.arrivals = real::arrivals(inlets, schedule.name, origin);
    record
}
