//! Prometheus and Alertmanager in one: alerts that fire and end by a timetable, the deliveries that come of them, and
//! the truth about them.

use bellwether::clock::Clock;
use bellwether::demo::render;
use bellwether::model::{Fingerprint, duration};
use bellwether::sim::alertmanager::{
    Alertmanager, Answer, Config, Delivery, Flags, Labels, Posted,
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How much faster than an hour ten minutes are.
const FASTER: u32 = 6;

/// Between two new alerts: 10,000 in ten minutes.
const APART: Duration = Duration::from_millis(60);

/// How often it is looked what is due.
const TICK: Duration = Duration::from_millis(20);

/// Of so many alerts one fires again, this long after its end, and of so many deliveries one comes on a connection of its own.
const FLAPPING: u64 = 5;
const REST: Duration = Duration::from_secs(5);
const FRESH: u64 = 7;

/// Connections that are kept open; a burst opens more, which would else look like growth for a while.
const IDLE: usize = 8;

/// How long a delivery may take, as an Alertmanager of this pace would have it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Alerts, what is true about them, and what became of their deliveries.
pub(super) struct Monitoring {
    span: Duration,
    clock: Clock,
    alertmanager: Mutex<Alertmanager>,
    answers: Mutex<Answers>,
}

#[derive(Default)]
struct Answers {
    deliveries: u64,
    /// When the last delivery of an alert was answered with success.
    answered: BTreeMap<Fingerprint, Timestamp>,
    lost: BTreeSet<Fingerprint>,
}

impl Monitoring {
    pub(super) fn new(span: Duration) -> anyhow::Result<Self> {
        let clock = Clock::system();
        let routes = render::faster(include_str!("../../../alertmanager/alertmanager.yml"), FASTER);
        let flags = Flags { alerts_gc: Duration::from_secs(30), ..Flags::default() };
        let alertmanager = Alertmanager::new(Config::parse(&routes)?, flags, clock.now());
        let (alertmanager, answers) = (Mutex::new(alertmanager), Mutex::default());
        Ok(Self { span, clock, alertmanager, answers })
    }

    /// Deliveries answered with success, and alerts of them that were not found where they belong.
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn tally(&self) -> (f64, f64) {
        let answers = self.answers();
        (answers.deliveries as f64, answers.lost.len() as f64)
    }

    /// Every alert whose last delivery was answered within a time must be shown.
    pub(super) fn compare(&self, shown: &BTreeSet<Fingerprint>, within: Range<Timestamp>) {
        let mut answers = self.answers();
        let due = answers.answered.iter().filter(|(_, at)| within.contains(at));
        let lost: Vec<Fingerprint> =
            due.map(|(print, _)| print).filter(|print| !shown.contains(print)).cloned().collect();
        answers.lost.extend(lost);
    }

    /// Serves the API on a free port; its address.
    pub(super) async fn serve(
        self: Arc<Self>,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await?;
                let this = self.clone();
                let service = service_fn(move |request| {
                    let answer = this.answer(&request);
                    async { Ok::<_, Infallible>(answer) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                connections.spawn(connection);
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(url)
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let told = self.alertmanager().told("bellwether", self.clock.now());
        let told = told.expect("it is never stopped");
        let part = match request.uri().path() {
            "/api/v2/alerts" => told.alerts,
            "/api/v2/silences" => told.silences,
            "/api/v2/status" => told.status,
            _ => told.receivers,
        };
        Response::new(Full::new(Bytes::from(part.to_string())))
    }

    /// Fires alerts as their time comes, and the heartbeat.
    pub(super) async fn fire(self: Arc<Self>) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(TICK);
        let mut again: BTreeSet<(Duration, u64)> = BTreeSet::new();
        let mut next: u32 = 0;
        self.post(labels("Watchdog", "watchdog", 0), self.span * 2);
        loop {
            ticks.tick().await;
            let now = begun.elapsed();
            while APART * next <= now {
                let number = u64::from(next);
                let life = self.alert(number, now);
                if number.is_multiple_of(FLAPPING) {
                    again.insert((now + life + REST, number));
                }
                next += 1;
            }
            while let Some((at, number)) = again.first().copied().filter(|(at, _)| *at <= now) {
                again.remove(&(at, number));
                self.alert(number, now);
            }
        }
    }

    /// Fires one. Pools are asked up and down in turns, half of them the one and half the other.
    fn alert(&self, number: u64, now: Duration) -> Duration {
        let window = (self.span / 10).clamp(Duration::from_secs(20), Duration::from_mins(1));
        let pool = number % super::POOLS;
        let turn = now.as_secs() / window.as_secs() + pool / super::EVERY;
        let (name, autoscale) =
            if turn.is_multiple_of(2) { ("CPUHigh", "up") } else { ("SustainedIdle", "down") };
        let mut labels = labels(name, autoscale, pool);
        labels.insert("number".to_owned(), number.to_string());
        let life = Duration::from_secs(4 + number * 7 % (window.as_secs() / 2));
        self.post(labels, life);
        life
    }

    fn post(&self, labels: Labels, life: Duration) {
        let now = self.clock.now();
        let posted = Posted {
            labels,
            annotations: [("summary", "the nodes of the pool are not as they should be")]
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .into(),
            starts_at: Some(now),
            ends_at: Some(duration::after(now, life)),
            generator_url: "http://prometheus:9090/graph?g0.expr=x".to_owned(),
        };
        self.alertmanager().post(vec![posted], now);
    }

    /// Delivers what is due, each by itself, and hears how it is answered.
    pub(super) async fn deliver(self: Arc<Self>, address: SocketAddr) -> anyhow::Result<()> {
        let kept =
            reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(IDLE).build()?;
        let fresh =
            reqwest::Client::builder().timeout(PATIENCE).pool_max_idle_per_host(0).build()?;
        let url = format!("http://{address}/v1/alerts");
        let mut ticks = tokio::time::interval(TICK);
        let mut under_way = JoinSet::new();
        loop {
            ticks.tick().await;
            for delivery in self.alertmanager().advance(self.clock.now()) {
                let client = if delivery.id.is_multiple_of(FRESH) { &fresh } else { &kept };
                let request = client.post(&url).json(&delivery.body);
                under_way.spawn(self.clone().send(request, delivery));
            }
            while under_way.try_join_next().is_some() {}
        }
    }

    async fn send(self: Arc<Self>, request: reqwest::RequestBuilder, delivery: Delivery) {
        let status = request.send().await.map(|answer| answer.status());
        let answer = match status {
            Ok(status) if status.is_success() => Answer::Ok,
            Ok(status) if status.is_client_error() => Answer::Refused,
            _ => Answer::Retry,
        };
        self.alertmanager().answered(delivery.id, answer, self.clock.now());
        if answer == Answer::Ok {
            let now = self.clock.now();
            let alerts = delivery.body["alerts"].as_array().cloned().unwrap_or_default();
            let prints = alerts.iter().filter_map(|alert| alert["fingerprint"].as_str());
            let mut answers = self.answers();
            answers.deliveries += 1;
            answers.answered.extend(prints.map(|print| (Fingerprint::new(print), now)));
        }
    }

    fn alertmanager(&self) -> MutexGuard<'_, Alertmanager> {
        self.alertmanager.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn labels(name: &str, autoscale: &str, pool: u64) -> Labels {
    let mut labels: Labels =
        [("alertname", name), ("autoscale", autoscale), ("cluster", "default")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
    if autoscale != "watchdog" {
        labels.insert("pool".to_owned(), format!("p{pool:03}"));
    }
    if autoscale == "up" {
        labels.insert("step".to_owned(), "1".to_owned());
    }
    labels
}
