//! The whole chain on real servers: Prometheus scrapes the program's own sensors, a shipped rule fires, Alertmanager
//! posts, machines are launched, join as nodes of a real control plane, and its scheduler binds the pods.
//!
//! The machines are simulated, in a file that the program and its observer share; that they join is played here.

use super::alertmanager::{self, RunningAlertmanager};
use super::control_plane::{self, ControlPlane, create, pod};
use super::kubelets::Kubelets;
use super::ports;
use super::prometheus::{self, RunningPrometheus};
use super::server::{Ready, Server};
use super::wait;
use bellwether::clock::Clock;
use bellwether::config::SimConfig;
use bellwether::sim::World;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The alert of the shipped rule.
const ALERT: &str = "PodsUnschedulable";

/// Alertmanager keeps a group for a while after its last alert, and a new one waits for its next tick then. Here it forgets
/// groups soon, so that each need is a fresh one.
pub(crate) const FORGETFUL: [&str; 2] =
    ["--cluster.listen-address=", "--dispatch.maintenance-interval=1s"];

/// Groups that last: the watchdog's two, and the one that tells people of the need, whose ticks are slow.
const LASTING: usize = 3;

/// Less than half of what the nodes have is asked for.
pub(crate) const IDLE: &str = r#"  - name: idle
    interval: 1s
    rules:
      - alert: Idle
        expr: |
          sum by (pool) (bellwether_requested{resource="cpu"})
            < 0.5 * sum by (pool) (bellwether_allocatable{resource="cpu"})
        labels: { autoscale: down, cluster: default }
"#;

/// So many pods are posted at once.
const AT_ONCE: usize = 16;

/// A running chain; everything ends with it.
pub(crate) struct Chain {
    pub(crate) alertmanager: RunningAlertmanager,
    pub(crate) world: World,
    pub(crate) program: Server,
    client: kube::Client,
    is_pushed: bool,
    pub(crate) kubelets: Kubelets,
    _plane: ControlPlane,
    prometheus: RunningPrometheus,
    folder: TempDir,
}

impl Chain {
    /// Starts everything; `None` after a printed skip where a server is missing. Whether the rule permits that its alert
    /// is pushed is the caller's choice.
    pub(crate) async fn start(is_pushed: bool) -> Option<Self> {
        Self::start_with(is_pushed, "", "").await
    }

    /// The same with more groups of rules, and more of what the file says of the pool.
    pub(crate) async fn start_with(is_pushed: bool, more: &str, pool: &str) -> Option<Self> {
        let plane = control_plane::start().await?;
        let port = ports::free();
        let routes = alertmanager::faster_routes(port);
        let alertmanager = alertmanager::start_with("0.31", &routes, &FORGETFUL).await?;
        let config = prometheus_config(port, &alertmanager.url);
        let prometheus = prometheus::start("3.16", &config, &(rules(is_pushed) + more)).await?;
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("world.json");
        let config = format!(
            "listen: 127.0.0.1:{port}
store: {{ url: \"file:{store}\" }}
alertmanager: {{ urls: [\"{alertmanager}\"] }}
prometheus: {{ urls: [\"{prometheus}\"], scrape_interval: 1s }}
clusters:
  default:
    kubernetes: {{ kubeconfig: {kubeconfig}, sim: {{ boot: 10ms, state: {state}, shapes: [{{ name: four, cpu: 4, memory: 16Gi, price_per_hour: 0.04 }}] }} }}
    pools:
      workers:
        provider: {{ sim: {{}} }}
        max: 400
        min_age: 0s
        cooldown: {{ up: 0s, down: 1s }}
        limits: {{ launches_per_hour: 10000 }}
{pool}",
            store = folder.path().join("store").display(),
            alertmanager = alertmanager.url,
            prometheus = prometheus.url,
            kubeconfig = plane.service().await.display(),
            state = state.display(),
        );
        let file = folder.path().join("bellwether.yaml");
        std::fs::write(&file, config).unwrap();
        let words = ["run", "--config", file.to_str().unwrap()].map(str::to_owned);
        let ready = Ready { path: "/readyz", client: reqwest::Client::new() };
        let site = (format!("http://127.0.0.1:{port}"), ready);
        let program = env!("CARGO_BIN_EXE_bellwether").into();
        let own = tempfile::tempdir().unwrap();
        let program = Server::start_at(program, words.into(), own, site).await;
        let sim = SimConfig { state: Some(state), ..SimConfig::default() };
        let world = World::new(&sim, Clock::system()).unwrap();
        let client = plane.client().await;
        let kubelets = Kubelets::new(world.clone(), client.clone());
        let chain = Self {
            alertmanager,
            world,
            program,
            client,
            is_pushed,
            kubelets,
            _plane: plane,
            prometheus,
            folder,
        };
        chain.hears_the_watchdog().await;
        // It begins to scrape some seconds after it is ready.
        chain.prometheus.answers("bellwether_unschedulable_pods").await;
        Some(chain)
    }

    /// Without it, need would be served though no alert asks.
    async fn hears_the_watchdog(&self) {
        wait::until("the watchdog to count", || async {
            let signals = self.told("signals").await;
            let counts = |one: &Value| one["signal"]["name"] == "Watchdog" && one["counts"] == true;
            signals.iter().any(counts)
        })
        .await;
    }

    /// What the program tells of its cluster's signals, workers and so on.
    pub(crate) async fn told(&self, what: &str) -> Vec<Value> {
        let answer = reqwest::get(format!("{}/v1/{what}", self.program.url)).await.unwrap();
        let told: Value = answer.json().await.unwrap();
        told["clusters"]["default"][what].as_array().cloned().unwrap_or_default()
    }

    /// Changes words of the program's file, which it reads again by itself.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        let file = self.folder.path().join("bellwether.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
    }

    /// Takes away all that the program remembers.
    pub(crate) fn lose_the_store(&self) {
        std::fs::remove_dir_all(self.folder.path().join("store")).unwrap();
    }

    /// No rule is evaluated from now on.
    pub(crate) fn lose_prometheus(&mut self) {
        self.prometheus.kill();
    }

    /// Waits for so many passes more.
    pub(crate) async fn passes(&self, count: u64) {
        self.program.passes(count).await;
    }

    /// Creates pods that ask for so much CPU, many at once.
    pub(crate) async fn pods(&self, names: &[String], cpu: &str) {
        let pods = kube::Api::default_namespaced(self.client.clone());
        let post = |name: &String| {
            let (pods, object) = (pods.clone(), pod(name, cpu));
            async move {
                create::<k8s_openapi::api::core::v1::Pod>(&pods, object).await;
            }
        };
        stream::iter(names.iter().map(post)).buffer_unordered(AT_ONCE).collect::<()>().await;
    }

    /// Workers that were launched, in all.
    pub(crate) fn launched(&self) -> usize {
        self.world.calls().iter().filter(|call| call.name() == "launch").map(|call| call.new).sum()
    }

    /// For who may do everything.
    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// How many pods have a node.
    pub(crate) async fn bound(&self) -> usize {
        let pods = kube::Api::default_namespaced(self.client.clone());
        let list = pods.list(&kube::api::ListParams::default()).await.unwrap();
        list.iter().filter(|pod| control_plane::is_bound(pod)).count()
    }

    /// As Prometheus sends the shipped rule's alert.
    fn labels(&self) -> [(&'static str, &'static str); 6] {
        [
            ("alertname", ALERT),
            ("autoscale", "up"),
            ("bellwether_push", if self.is_pushed { "true" } else { "false" }),
            ("cluster", "default"),
            ("pool", "workers"),
            ("severity", "warning"),
        ]
    }

    /// Whether the shipped rule's alert fires.
    pub(crate) async fn fires(&self) -> bool {
        let alerts = self.alertmanager.alerts().await;
        alerts.as_array().unwrap().iter().any(|one| one["labels"]["alertname"] == ALERT)
    }

    /// Waits until Alertmanager has forgotten the last need.
    pub(crate) async fn calm(&self) {
        // What we posted ends by itself a minute later only; what Prometheus sends it ends itself, and would not send
        // again for a minute.
        if self.is_pushed && self.fires().await {
            self.alertmanager.resolve(&self.labels()).await;
        }
        wait::until("the alert to be over and forgotten", || async {
            self.alertmanager.groups().await <= LASTING
        })
        .await;
    }
}

/// What a Prometheus is told that scrapes a program on this port.
pub(crate) fn prometheus_config(port: u16, alertmanager: &str) -> String {
    let alertmanager = alertmanager.trim_start_matches("http://");
    json!({
        "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
        "rule_files": ["rules.yaml"],
        "alerting": { "alertmanagers": [{ "static_configs": [{ "targets": [alertmanager] }] }] },
        "scrape_configs": [{
            "job_name": "bellwether",
            "static_configs": [{ "targets": [format!("127.0.0.1:{port}")] }],
        }],
    })
    .to_string()
}

/// The shipped rule about waiting pods, evaluated each second and without a `for`, and a watchdog.
pub(crate) fn rules(is_pushed: bool) -> String {
    let shipped = include_str!("../../../rules/scale-up.yaml");
    let (_, rest) = shipped.split_once("groups:").unwrap();
    let (pods, _) = rest.split_once("  - name: bellwether-up").unwrap();
    let mut rules = format!("groups:{pods}");
    let severity = "          severity: warning\n";
    let pushed = format!("{severity}          bellwether_push: \"{is_pushed}\"\n");
    for (shipped, here) in [
        ("interval: 5s", "interval: 1s"),
        ("for: 5s", "for: 0s"),
        ("keep_firing_for: 1m", "keep_firing_for: 1s"),
        (severity, &pushed),
    ] {
        assert!(rules.contains(shipped), "{shipped} stands in the rule no more");
        rules = rules.replacen(shipped, here, 1);
    }
    rules.push_str(
        "  - name: watchdog
    interval: 1s
    rules: [{ alert: Watchdog, expr: vector(1), labels: { autoscale: watchdog, cluster: default } }]
",
    );
    rules
}
