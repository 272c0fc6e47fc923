//! A real Alertmanager.

use super::server::{self, Server};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A running Alertmanager; killed when dropped.
pub(crate) struct RunningAlertmanager {
    server: Server,
    pub(crate) url: String,
    /// One for all requests: a new one reads every root certificate first.
    client: reqwest::Client,
}

impl std::fmt::Debug for RunningAlertmanager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.url)
    }
}

/// Both supported ends of what people run.
pub(crate) const VERSIONS: [&str; 2] = ["0.25", "0.31"];

/// Starts version `0.25` or `0.31`; `None` after a printed skip where it is missing.
pub(crate) async fn start(version: &str, config: &str) -> Option<RunningAlertmanager> {
    start_with(version, config, &["--cluster.listen-address="]).await
}

/// Starts several that tell each other of silences.
pub(crate) async fn start_peers<const N: usize>(
    version: &str,
    config: &str,
) -> Option<[RunningAlertmanager; N]> {
    start_peers_with(version, config, [&[]; N]).await
}

/// The same, each with more flags.
pub(crate) async fn start_peers_with<const N: usize>(
    version: &str,
    config: &str,
    more: [&[&str]; N],
) -> Option<[RunningAlertmanager; N]> {
    let gossip: [u16; N] = std::array::from_fn(|_| super::ports::free());
    let others = gossip.map(|port| format!("--cluster.peer=127.0.0.1:{port}"));
    let mut peers = Vec::new();
    for (port, more) in gossip.into_iter().zip(more) {
        let own = format!("--cluster.listen-address=127.0.0.1:{port}");
        let told = format!("--cluster.advertise-address=127.0.0.1:{port}");
        let others = others.iter().map(String::as_str);
        let flags: Vec<&str> =
            [&*own, &*told].into_iter().chain(others).chain(more.iter().copied()).collect();
        peers.push(start_with(version, config, &flags).await?);
    }
    peers.try_into().ok()
}

/// Starts one with these flags.
pub(crate) async fn start_with(
    version: &str,
    config: &str,
    flags: &[&str],
) -> Option<RunningAlertmanager> {
    let (program, folder, port) = prepare(version, config)?;
    let server = Server::start(program, arguments(port, flags), folder, port).await;
    Some(RunningAlertmanager::new(server))
}

/// Starts one that knows time zones of its own, which `zones` writes into a folder.
pub(crate) async fn start_in_zones(
    version: &str,
    config: &str,
    flags: &[&str],
    zones: impl FnOnce(&Path),
) -> Option<RunningAlertmanager> {
    let (program, folder, port) = prepare(version, config)?;
    let place = folder.path().join("zones");
    zones(&place);
    let mut all = vec![format!("ZONEINFO={}", place.display()), program.display().to_string()];
    all.extend(arguments(port, flags));
    let program = PathBuf::from("/usr/bin/env");
    Some(RunningAlertmanager::new(Server::start(program, all, folder, port).await))
}

/// The shipped routes, thirty times as fast, delivering to a port.
pub(crate) fn faster_routes(port: u16) -> String {
    let shipped = include_str!("../../../alertmanager/alertmanager.yml");
    bellwether::demo::render::faster(shipped, 30)
        .replace("bellwether:8080", &format!("127.0.0.1:{port}"))
}

/// What a start needs: the program, a folder with its configuration, a port.
pub(crate) fn prepare(version: &str, config: &str) -> Option<(PathBuf, TempDir, u16)> {
    let program = server::find(&format!("alertmanager-{version}"), "alertmanager")?;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("alertmanager.yml"), config).unwrap();
    Some((program, folder, super::ports::free()))
}

/// The arguments of every start.
pub(crate) fn arguments(port: u16, flags: &[&str]) -> Vec<String> {
    let own = ["--config.file=alertmanager.yml", "--storage.path=data"];
    let mut arguments: Vec<String> =
        own.iter().chain(flags).map(|flag| (*flag).to_owned()).collect();
    arguments.push(format!("--web.listen-address=127.0.0.1:{port}"));
    arguments
}

impl RunningAlertmanager {
    pub(crate) fn new(server: Server) -> Self {
        Self { url: server.url.clone(), server, client: reqwest::Client::new() }
    }

    /// An alert fires, and stays active for five minutes unless told otherwise.
    pub(crate) async fn fire(&self, labels: &[(&str, &str)]) {
        self.post_alert(labels, now(), minutes(5)).await;
    }

    /// An alert is over.
    pub(crate) async fn resolve(&self, labels: &[(&str, &str)]) {
        let at = now();
        self.post_alert(
            labels,
            at - SignedDuration::from_secs(1),
            SignedDuration::from_millis(1_000),
        )
        .await;
    }

    /// An alert of another clock: it fires since, and until, so long from now.
    pub(crate) async fn fire_from(
        &self,
        labels: &[(&str, &str)],
        (starts, ends): (SignedDuration, SignedDuration),
    ) {
        self.post_alert(labels, now() + starts, ends - starts).await;
    }

    /// Alerts fire or are over, all told in one request, as Prometheus does it.
    pub(crate) async fn tell(&self, alerts: &[(&[(&str, &str)], bool)]) {
        let at = now();
        let told = |(labels, fires): &(&[(&str, &str)], bool)| {
            let second = SignedDuration::from_secs(1);
            alert(labels, at - second, if *fires { minutes(5) } else { second })
        };
        let told: Vec<Value> = alerts.iter().map(told).collect();
        self.post("api/v2/alerts", &json!(told)).await;
    }

    async fn post_alert(&self, labels: &[(&str, &str)], starts: Timestamp, lasts: SignedDuration) {
        self.post("api/v2/alerts", &json!([alert(labels, starts, lasts)])).await;
    }

    /// Another configuration, which it reads at once.
    pub(crate) async fn reload(&self, config: &str) {
        std::fs::write(self.server.folder.path().join("alertmanager.yml"), config).unwrap();
        self.post("-/reload", &Value::Null).await;
    }

    /// Silences what carries all these labels, for an hour, as Ada. Its id.
    pub(crate) async fn silence(&self, matchers: &[(&str, &str)], comment: &str) -> String {
        let matchers: Vec<Value> = matchers
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value, "isRegex": false, "isEqual": true }))
            .collect();
        let at = now();
        let silence = json!({ "matchers": matchers, "startsAt": at, "endsAt": at + minutes(60),
            "createdBy": "Ada", "comment": comment });
        let answer = self.post("api/v2/silences", &silence).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        answer["silenceID"].as_str().unwrap().to_owned()
    }

    /// Ends a silence.
    pub(crate) async fn expire(&self, id: &str) {
        let url = format!("{}/api/v2/silence/{id}", self.url);
        let answer = self.client.delete(url).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// Every alert it tells of.
    pub(crate) async fn alerts(&self) -> Value {
        self.get("api/v2/alerts").await
    }

    /// How many groups of alerts it keeps, those without an alert included.
    pub(crate) async fn groups(&self) -> usize {
        let metrics = self.client.get(format!("{}/metrics", self.url)).send().await.unwrap();
        let metrics = metrics.text().await.unwrap();
        let told = metrics
            .lines()
            .filter(|line| line.starts_with("alertmanager_dispatcher_aggregation_groups"));
        told.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum()
    }

    /// An answer of its API.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.client.get(format!("{}/{path}", self.url)).send().await.unwrap();
        answer.json().await.unwrap()
    }

    /// Whether it knows its peers.
    pub(crate) async fn has_settled(&self) -> bool {
        let url = format!("{}/api/v2/status", self.url);
        let status: Value = self.client.get(url).send().await.unwrap().json().await.unwrap();
        status["cluster"]["status"] == "ready"
            && status["cluster"]["peers"].as_array().is_some_and(|peers| peers.len() > 1)
    }

    /// The alerts routed to this receiver.
    pub(crate) async fn alerts_of(&self, receiver: &str) -> Value {
        let url = format!("{}/api/v2/alerts?receiver={}", self.url, receiver.replace('.', "%5C."));
        self.client.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Ends it as an orderly stop does: silences are kept.
    pub(crate) async fn stop(&mut self) {
        self.server.stop().await;
    }

    /// Ends it at once; fresh silences are forgotten.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// It answers nobody from now on.
    pub(crate) fn freeze(&self) {
        self.server.freeze();
    }

    /// It goes on where it was.
    pub(crate) fn thaw(&self) {
        self.server.thaw();
    }

    /// Starts it again.
    pub(crate) async fn restart(&mut self) {
        self.server.restart().await;
    }

    /// Posts JSON; the answer's text.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> String {
        let answer =
            self.client.post(format!("{}/{path}", self.url)).json(body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{status}: {text}");
        text
    }
}

fn alert(labels: &[(&str, &str)], starts: Timestamp, lasts: SignedDuration) -> Value {
    json!({ "labels": object(labels), "annotations": { "summary": "a test" },
        "startsAt": starts, "endsAt": starts + lasts })
}

fn object(labels: &[(&str, &str)]) -> Value {
    labels.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect()
}

fn minutes(count: i64) -> SignedDuration {
    SignedDuration::from_mins(count)
}

/// The real time: what is told to real servers must be.
fn now() -> Timestamp {
    bellwether::clock::Clock::system().now()
}
