//! What the file says about the service itself, each field by what it changes in the running whole.

use crate::support::{ports, wait};
use bellwether::app::App;
use bellwether::clock::Clock;
use bellwether::config::Config;
use bellwether::metrics::Metrics;
use bellwether::model::{Changes, ClusterName, Entry, EntryKind, PassId, Token, duration};
use bellwether::store::{Error, HistoryQuery, Store};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The whole service in this process, on a simulated world, with nothing else around.
struct Service {
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    address: std::net::SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

/// The file, with lines of its own at the top, and of the world and of the pool.
fn yaml(top: &str, world: &str, pool: &str) -> String {
    let store = if top.contains("store:") { "" } else { "store: { url: \"memory:\" }" };
    format!(
        "{store}
alertmanager: {{ urls: [\"http://127.0.0.1:1\"] }}
prometheus: {{ urls: [\"http://127.0.0.1:1\"] }}
{top}
clusters:
  default:
    kubernetes: {{ sim: {{ {world} }} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 4, {pool} }} }}
"
    )
}

async fn app(yaml: &str) -> App {
    let config =
        Config::parse(yaml, &BTreeMap::<String, String>::new()).unwrap_or_else(|e| panic!("{e}"));
    App::build(config.config, None, Clock::system()).await.unwrap()
}

impl Service {
    async fn start(top: &str, world: &str, pool: &str) -> Self {
        let listen = if top.contains("listen:") { "" } else { "listen: 127.0.0.1:0\n" };
        let app = app(&yaml(&format!("{listen}{top}"), world, pool)).await;
        let (store, metrics, address) = (app.store(), app.metrics(), app.address().unwrap());
        let stop = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "awaited by `stop`, or ended with the test")]
        let task = tokio::spawn(app.run(stop.clone()));
        Self { store, metrics, address, stop, task }
    }

    fn passes(&self) -> u64 {
        let count =
            |outcome| self.metrics.pass.total.with_label_values(&["default", outcome]).get();
        ["changed", "busy", "quiet"].into_iter().map(count).sum()
    }

    async fn passes_reach(&self, number: u64) {
        let what = format!("{number} passes");
        wait::until(&what, || async { self.passes() >= number }).await;
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_listens_where_it_is_told() {
    let port = ports::free();
    let service = Service::start(&format!("listen: 127.0.0.1:{port}"), "boot: 1h", "min: 0").await;
    assert_eq!(service.address.port(), port);
    service.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn quiet_passes_come_at_the_interval() {
    let often =
        Service::start("reconcile: { interval: 20ms, busy_interval: 10ms }", "boot: 1h", "min: 0")
            .await;
    let seldom = Service::start(
        "reconcile: { overdue: 2h, interval: 1h, busy_interval: 10ms }",
        "boot: 1h",
        "min: 0",
    )
    .await;
    seldom.passes_reach(1).await;
    often.passes_reach(30).await;
    assert!(seldom.passes() <= 3, "the first few only: {}", seldom.passes());
    often.stop().await.unwrap();
    seldom.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_come_sooner_while_a_worker_is_on_its_way() {
    let often = Service::start(
        "reconcile: { overdue: 2h, interval: 1h, busy_interval: 20ms }",
        "boot: 1h",
        "min: 1",
    )
    .await;
    let seldom = Service::start(
        "reconcile: { overdue: 2h, interval: 1h, busy_interval: 1h }",
        "boot: 1h",
        "min: 1",
    )
    .await;
    seldom.passes_reach(2).await;
    often.passes_reach(30).await;
    assert!(seldom.passes() <= 5, "the first few only: {}", seldom.passes());
    often.stop().await.unwrap();
    seldom.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_claim_is_held_for_its_time() {
    for (text, ttl) in [("2s", Duration::from_secs(2)), ("1h", Duration::from_hours(1))] {
        let top = format!("store: {{ url: \"memory:\", claim_ttl: {text} }}");
        let service = Service::start(&top, "boot: 1h", "min: 0").await;
        service.passes_reach(1).await;
        let other =
            service.store.claim(&"default".into(), "other", ttl, Token(0)).await.unwrap_err();
        let Error::Held { until, .. } = other else { panic!("{other}") };
        let left = duration::until(until, service.store.now().await.unwrap());
        assert!(left <= ttl && left > ttl / 2, "{left:?} of {ttl:?}");
        service.stop().await.unwrap();
    }
}

/// How many entries are kept of a cluster that no loop writes to: one is of two days ago, 150 of now.
async fn remembered(history: &str) -> usize {
    let top = format!("store: {{ url: \"memory:\", history: {history} }}");
    let app = app(&yaml(&format!("listen: 127.0.0.1:0\n{top}"), "boot: 1h", "min: 0")).await;
    let (store, cluster) = (app.store(), ClusterName::from("elsewhere"));
    let claim = store.claim(&cluster, "test", Duration::from_mins(1), Token(0)).await.unwrap();
    let now = store.now().await.unwrap();
    let entry = |ago| Entry {
        id: 0,
        at: duration::before(now, ago),
        cluster: cluster.clone(),
        pool: None,
        worker: None,
        kind: EntryKind::Seen,
        what: "test".to_owned(),
        reason: None,
        detail: String::new(),
        signals: Vec::new(),
        pass: PassId::new("p"),
        token: Token(1),
    };
    for history in [vec![entry(Duration::from_hours(48))], vec![entry(Duration::ZERO); 150]] {
        store.commit(&claim, &Changes { history, ..Changes::default() }).await.unwrap();
    }
    store.history(&cluster, &HistoryQuery { limit: 1_000, before: None }).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_kept_as_long_and_as_much_as_it_is_told() {
    assert_eq!(remembered("{ entries: 1000, age: 7d }").await, 151);
    assert_eq!(remembered("{ entries: 1000, age: 1d }").await, 150);
    assert_eq!(remembered("{ entries: 100, age: 7d }").await, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_what_hangs_no_longer_than_its_grace() {
    for (grace, ends) in [("300ms", true), ("1h", false)] {
        let service =
            Service::start(&format!("shutdown_grace: {grace}"), "boot: 1h", "min: 0").await;
        service.passes_reach(1).await;
        let mut hanging = std::net::TcpStream::connect(service.address).unwrap();
        let head = "POST /v1/alerts HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\n\
                    expect: 100-continue\r\ncontent-length: 10\r\n\r\n";
        hanging.write_all(head.as_bytes()).unwrap();
        // The answer to that says that the body is waited for.
        let mut answer = [0; 12];
        hanging.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"HTTP/1.1 100");
        let stopping = tokio::time::timeout(Duration::from_secs(3), service.stop());
        assert_eq!(stopping.await.is_ok(), ends, "shutdown_grace: {grace}");
    }
}

/// What the real program writes to its log until it is ready, and a little after.
async fn log(lines: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file: PathBuf = folder.path().join("bellwether.yaml");
    let port = ports::free();
    std::fs::write(
        &file,
        yaml(&format!("listen: 127.0.0.1:{port}\n{lines}"), "boot: 1h", "min: 1"),
    )
    .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["run", "--config"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let url = format!("http://127.0.0.1:{port}/v1/workers");
    wait::until("a worker", || async {
        let Ok(answer) = reqwest::get(&url).await else { return false };
        answer.text().await.is_ok_and(|text| text.contains("booting"))
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let mut text = String::new();
    child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_have_the_form_and_the_level_of_the_file() {
    let json = log("log: { format: json, level: info }").await;
    assert!(json.lines().count() > 0);
    assert!(json.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{json}");
    let text = log("log: { format: text, level: info }").await;
    assert!(text.contains("INFO") && !text.lines().any(|line| line.starts_with('{')), "{text}");
    let loud = log("log: { format: text, level: debug }").await;
    assert!(loud.contains("DEBUG"), "{loud}");
    let still = log("log: { format: text, level: error }").await;
    assert!(!still.contains("INFO") && !still.contains("WARN"), "{still}");
}
