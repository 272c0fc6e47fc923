//! A real control plane, the program, and a pool whose workers are containers of a real Docker: each a kubelet that joins.

use super::control_plane::{self, ADMIN, ControlPlane, Part, Setting};
use super::dockerd::{Dockerd, IMAGE, RIGHTS, UNCONFINED, VOLUMES};
use super::ports;
use super::server::{Ready, Server};
use super::wait;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;

/// Whose pods use all the CPU they get: rules that read it would take another's share for idleness.
pub(crate) static CPU: Semaphore = Semaphore::const_new(1);

/// What is asked of workers, and how they are made.
pub(crate) struct Wanted<'a> {
    /// Fields of the pool.
    pub(crate) pool: &'a str,
    /// What they join with.
    pub(crate) token: &'a str,
    /// Where Alertmanager and Prometheus are. By default nowhere: what is asked for, an operator asks.
    pub(crate) monitoring: [&'a str; 2],
    /// The port of the program.
    pub(crate) port: u16,
    /// Where its Docker is, by another way than its own socket.
    pub(crate) docker: Option<String>,
    /// Another provider than Docker, with its fields.
    pub(crate) provider: Option<Value>,
}

impl Default for Wanted<'_> {
    fn default() -> Self {
        let nowhere = "http://127.0.0.1:9";
        let port = ports::free();
        let monitoring = [nowhere; 2];
        Self { pool: "", token: ADMIN, monitoring, port, docker: None, provider: None }
    }
}

/// Everything ends with it.
pub(crate) struct Lab {
    pub(crate) plane: ControlPlane,
    pub(crate) dockerd: Dockerd,
    pub(crate) program: Server,
    _folder: TempDir,
}

/// A node whose container is gone is not Ready within seconds, since kubelets tell of themselves each second.
const WATCHFUL: [(Part, &str); 2] = [
    (Part::Controllers, "--node-monitor-grace-period=16s"),
    (Part::Controllers, "--node-monitor-period=1s"),
];

/// A Docker, and a control plane that its containers reach. `None` after a printed skip where one is missing.
pub(crate) async fn ground() -> Option<(Dockerd, ControlPlane)> {
    let dockerd = Dockerd::start().await?;
    let parts = vec![Part::Controllers, Part::Scheduler];
    let address = dockerd.gateway.clone();
    let setting = Setting { parts, address, flags: WATCHFUL.into(), ..Setting::default() };
    let plane = control_plane::start_with(&setting).await?;
    Some((dockerd, plane))
}

impl Lab {
    /// `None` after a printed skip where a server is missing.
    pub(crate) async fn start(wanted: &Wanted<'_>) -> Option<Self> {
        let (dockerd, plane) = ground().await?;
        Some(Self::start_on(dockerd, plane, wanted).await)
    }

    pub(crate) async fn start_on(
        dockerd: Dockerd,
        plane: ControlPlane,
        wanted: &Wanted<'_>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let token = folder.path().join("token");
        std::fs::write(&token, wanted.token).unwrap();
        let docker = json!({
            "image": IMAGE,
            "server": plane.url(),
            "token_file": token,
            "hosts": { "a": { "url": wanted.docker.clone().unwrap_or_else(|| dockerd.url()) } },
            "shapes": [{ "name": "small", "cpu": 1, "memory": "2Gi", "pods": 20 }],
            "volumes": VOLUMES,
            "binds": dockerd.binds(&plane.ca_file()),
            "tmpfs": [],
            "privileged": false,
            "cap_add": RIGHTS,
            "security_opt": UNCONFINED,
            // So that what pods use is told each second, as all else is here.
            "args": ["--kubelet-arg=housekeeping-interval=1s"],
        });
        let provider = wanted.provider.clone().unwrap_or_else(|| json!({ "docker": docker }));
        let [alertmanager, prometheus] = wanted.monitoring;
        let max = if wanted.pool.contains("max: ") { "" } else { "max: 5," };
        let config = format!(
            "listen: 127.0.0.1:{port}
store: {{ url: \"file:{store}\" }}
alertmanager: {{ urls: [\"{alertmanager}\"] }}
prometheus: {{ urls: [\"{prometheus}\"], scrape_interval: 1s }}
reconcile: {{ interval: 5s }}
clusters:
  default:
    kubernetes: {{ kubeconfig: {kubeconfig} }}
    timing: {{ call: 5s }}
    pools: {{ workers: {{ provider: {provider}, {max} min_age: 0s, cooldown: {{ up: 0s, down: 0s }}, {pool} }} }}
",
            port = wanted.port,
            store = folder.path().join("store").display(),
            kubeconfig = plane.service().await.display(),
            pool = wanted.pool,
        );
        let file = folder.path().join("bellwether.yaml");
        std::fs::write(&file, config).unwrap();
        let words = ["run", "--config", file.to_str().unwrap()].map(str::to_owned).into();
        let ready = Ready { path: "/healthz", client: reqwest::Client::new() };
        let site = (format!("http://127.0.0.1:{}", wanted.port), ready);
        let own = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_bellwether").into();
        let program = Server::start_at(program, words, own, site).await;
        Self { plane, dockerd, program, _folder: folder }
    }

    /// An operator asks for so many workers more, or fewer.
    pub(crate) async fn wish(&self, by: i32) {
        let url = format!("{}/v1/pools/workers/scale", self.program.url);
        let answer = reqwest::Client::new().post(url).json(&json!({ "by": by })).send().await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// Asks for more workers, and waits until all of them are Ready.
    pub(crate) async fn grow(&self, by: i32, to: usize) {
        self.wish(by).await;
        self.until("Ready workers", async || self.are_ready(to).await).await;
    }

    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        wait::until(what, || async { holds().await }).await;
    }

    /// What the program tells of its cluster's workers, history and so on. Nothing while it is away.
    pub(crate) async fn told(&self, what: &str) -> Vec<Value> {
        let url = format!("{}/v1/{what}", self.program.url);
        let Ok(answer) = reqwest::get(url).await else { return Vec::new() };
        let told: Value = answer.json().await.unwrap();
        told["clusters"]["default"][what].as_array().cloned().unwrap_or_default()
    }

    /// Records that are not over.
    pub(crate) async fn workers(&self) -> Vec<Value> {
        let all = self.told("workers").await;
        all.into_iter().filter(|worker| worker["state"]["state"] != "gone").collect()
    }

    pub(crate) async fn are_ready(&self, count: usize) -> bool {
        let workers = self.workers().await;
        workers.len() == count && workers.iter().all(|one| one["state"]["state"] == "ready")
    }

    pub(crate) async fn nodes(&self) -> Vec<Node> {
        let nodes: Api<Node> = Api::all(self.plane.client().await);
        nodes.list(&ListParams::default()).await.unwrap().items
    }

    /// Names of the containers there are.
    pub(crate) async fn containers(&self) -> Vec<String> {
        self.dockerd.says(&["ps", "--all", "--format", "{{.Names}}"]).await
    }

    /// Whether no container is left, and nothing of any.
    pub(crate) async fn is_clean(&self) -> bool {
        self.containers().await.is_empty()
            && self.dockerd.says(&["volume", "ls", "--quiet"]).await.is_empty()
    }
}
