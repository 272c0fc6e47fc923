//! A server on a real socket over a real store whose line can be cut, and a caller that sends bytes.

use super::configuration::configuration;
use async_trait::async_trait;
use bellwether::clock::Clock;
use bellwether::config::{Config, Role, Secret, Standing};
use bellwether::http::readiness::Readiness;
use bellwether::http::reads::ClusterReport;
use bellwether::http::{self, Handle, Limits};
use bellwether::metrics::Metrics;
use bellwether::model::{self, Changes, Claim, ClusterName, Entry, PassId, Signal, Token};
use bellwether::store::{Dump, Error, HistoryQuery, Memory, Result, Retention, Store};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No test waits longer for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A store whose line can be cut: then it answers as one that is away.
#[derive(Debug)]
pub(crate) struct Line {
    store: Memory,
    pub(crate) cut: AtomicBool,
}

/// A running server and what it is made of.
pub(crate) struct Inlet {
    pub(crate) address: SocketAddr,
    pub(crate) line: Arc<Line>,
    pub(crate) woken: Arc<Mutex<Vec<ClusterName>>>,
    pub(crate) config: watch::Sender<Arc<Config>>,
    pub(crate) readiness: Readiness,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<std::result::Result<(), http::Error>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

// === impl Line ===

impl Line {
    /// A line that is whole.
    pub(crate) fn new(store: Memory) -> Self {
        Self { store, cut: AtomicBool::new(false) }
    }

    fn store(&self) -> Result<&Memory> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(Error::Away("cut".to_owned()));
        }
        Ok(&self.store)
    }
}

#[async_trait]
impl Store for Line {
    async fn now(&self) -> Result<Timestamp> {
        self.store()?.now().await
    }
    async fn claim(
        &self,
        cluster: &ClusterName,
        holder: &str,
        ttl: Duration,
        past: Token,
    ) -> Result<Claim> {
        self.store()?.claim(cluster, holder, ttl, past).await
    }
    async fn renew(&self, claim: &Claim, ttl: Duration) -> Result<Claim> {
        self.store()?.renew(claim, ttl).await
    }
    async fn release(&self, claim: &Claim) -> Result<()> {
        self.store()?.release(claim).await
    }
    async fn load(&self, cluster: &ClusterName) -> Result<model::Memory> {
        self.store()?.load(cluster).await
    }
    async fn commit(&self, claim: &Claim, changes: &Changes) -> Result<()> {
        self.store()?.commit(claim, changes).await
    }
    async fn record_signals(&self, signals: &[Signal]) -> Result<()> {
        self.store()?.record_signals(signals).await
    }
    async fn signals(&self, cluster: &ClusterName) -> Result<Vec<Signal>> {
        self.store()?.signals(cluster).await
    }
    async fn history(&self, cluster: &ClusterName, query: &HistoryQuery) -> Result<Vec<Entry>> {
        self.store()?.history(cluster, query).await
    }
    async fn dump(&self, cluster: &ClusterName) -> Result<Dump> {
        self.store()?.dump(cluster).await
    }
    async fn restore(&self, cluster: &ClusterName, dump: &Dump) -> Result<()> {
        self.store()?.restore(cluster, dump).await
    }
}

// === impl Inlet ===

impl Inlet {
    /// A server with the usual limits and no tokens.
    pub(crate) fn start() -> Self {
        Self::start_with(Limits::default(), &[])
    }

    pub(crate) fn start_with(limits: Limits, tokens: &[(Role, &str)]) -> Self {
        let mut config = configuration();
        let secret = |(role, text): &(Role, &str)| (*role, Secret::new(*text));
        config.service.auth.tokens = tokens.iter().map(secret).collect();
        let (config, receiver) = watch::channel(Arc::new(config));
        let retention = Retention { entries: 100, age: Duration::from_hours(1) };
        let store = Memory::new(Clock::system(), retention);
        let line = Arc::new(Line::new(store));
        let woken = Arc::new(Mutex::new(Vec::new()));
        let (readiness, metrics) = (Readiness::new(), Arc::new(Metrics::new()));
        let state = http::State {
            store: line.clone(),
            metrics: metrics.clone(),
            config: receiver,
            standing: watch::channel(Standing::started(Timestamp::UNIX_EPOCH)).1,
            handle: handle(woken.clone()),
            readiness: readiness.clone(),
            limits,
        };
        // One that no other test gets when this server is gone.
        let listener = http::bind(([127, 0, 0, 1], super::ports::free()).into()).unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
        #[expect(clippy::disallowed_methods, reason = "a test has no app")]
        let task = tokio::spawn(http::serve(listener, state, stop.clone()));
        Self { address, line, woken, config, readiness, metrics, stop, task }
    }

    /// What is stored of both clusters.
    pub(crate) async fn signals(&self) -> Vec<Signal> {
        let mut all = self.line.store.signals(&ClusterName::from("one")).await.unwrap();
        all.extend(self.line.store.signals(&ClusterName::from("two")).await.unwrap());
        all
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, "Content-Type: application/json\r\n", body.to_string().as_bytes())
            .await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, "", b"").await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Reply {
        self.exchange(&request(method, path, headers, body)).await
    }

    /// Sends bytes and reads to the end.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read(&mut stream).await
    }
}

/// A whole request, after which the connection ends.
pub(crate) fn request(method: &str, path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Reads to the end of the connection.
pub(crate) async fn read(stream: &mut TcpStream) -> Reply {
    let mut bytes = Vec::new();
    let reading = stream.read_to_end(&mut bytes);
    tokio::time::timeout(PATIENCE, reading).await.expect("an answer in time").unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

// === impl Reply ===

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// The status with the error's code.
    pub(crate) fn error(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
    }
}

/// A body with one alert for cluster `one`.
pub(crate) fn delivery(labels: &Value) -> Value {
    let mut alert = json!({
        "status": "firing", "labels": {"alertname": "Busy", "autoscale": "up", "cluster": "one"},
        "annotations": {"summary": "busy"}, "startsAt": "2026-01-01T00:00:00Z",
    });
    for (name, value) in labels.as_object().unwrap() {
        alert["labels"][name] = value.clone();
    }
    json!({"version": "4", "status": "firing", "receiver": "bellwether", "alerts": [alert]})
}

/// Only cluster `one` had a pass.
fn handle(woken: Arc<Mutex<Vec<ClusterName>>>) -> Handle {
    let report = Arc::new(ClusterReport {
        at: Timestamp::UNIX_EPOCH,
        pass: PassId::from("p1"),
        status: json!({"mode": "act"}),
        pools: json!(["pools"]),
        workers: json!(["workers"]),
        nodes: json!(["nodes"]),
        signals: json!(["signals"]),
        decisions: json!(["decisions"]),
        plan: json!(["plan"]),
    });
    Handle {
        wake: Box::new(move |cluster| woken.lock().unwrap().push(cluster.clone())),
        report: Box::new(move |cluster| (cluster.as_str() == "one").then(|| report.clone())),
        explain: Box::new(|_, _| None),
    }
}
