//! A real control plane and the program, without any monitoring: what is asked of its one pool, an operator asks. The machines
//! are simulated, in a file that the program and its observer share.

#[cfg(feature = "killpoints")]
use super::control_plane::AUDITED;
use super::control_plane::{self, ControlPlane, Setting};
use super::dockerd::Dockerd;
use super::kubelets::Kubelets;
use super::ports;
#[cfg(feature = "killpoints")]
use super::proxy::Proxy;
use super::server::{Ready, Server};
use super::wait;
use bellwether::clock::Clock;
use bellwether::config::SimConfig;
use bellwether::sim::World;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;

/// Everything ends with it.
pub(crate) struct Yard {
    pub(crate) plane: ControlPlane,
    pub(crate) world: World,
    pub(crate) kubelets: Kubelets,
    pub(crate) program: Server,
    /// Between the program and the API server, where a test asks for it.
    #[cfg(feature = "killpoints")]
    pub(crate) link: Option<Proxy>,
    _folder: TempDir,
}

impl Yard {
    /// The program has the rights of `deploy/rbac.yaml`. Its pool grows and shrinks without rest, to 40 workers where `pool`
    /// does not say otherwise, and is whatever else that says. `None` after a printed skip where a server is missing.
    pub(crate) async fn start(setting: &Setting, pool: &str) -> Option<Self> {
        Self::start_on(control_plane::start_with(setting).await?, None, pool).await
    }

    /// The same, and what the program asks of the API server goes through a proxy.
    #[cfg(feature = "killpoints")]
    pub(crate) async fn start_linked(pool: &str) -> Option<Self> {
        let setting = Setting { flags: AUDITED.into(), ..Setting::default() };
        let plane = control_plane::start_with(&setting).await?;
        let proxy = Proxy::start(plane.port()).await;
        let kubeconfig = plane.through(proxy.port, &plane.service().await);
        let yard = Self::start_by(plane, kubeconfig, None, pool).await;
        Some(Self { link: Some(proxy), ..yard })
    }

    /// The same, and its workers are real ones in containers.
    pub(crate) async fn start_real(setting: &Setting, pool: &str) -> Option<Self> {
        let dockerd = Dockerd::start().await?;
        let setting = Setting { address: dockerd.gateway.clone(), ..setting.clone() };
        Self::start_on(control_plane::start_with(&setting).await?, Some(dockerd), pool).await
    }

    async fn start_on(plane: ControlPlane, dockerd: Option<Dockerd>, pool: &str) -> Option<Self> {
        let kubeconfig = plane.service().await;
        Some(Self::start_by(plane, kubeconfig, dockerd, pool).await)
    }

    /// On a control plane that is there, by a kubeconfig of the test's choice.
    pub(crate) async fn start_by(
        plane: ControlPlane,
        kubeconfig: PathBuf,
        dockerd: Option<Dockerd>,
        pool: &str,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (port, state) = (ports::free(), folder.path().join("world"));
        let max = if pool.contains("max: ") { "" } else { "max: 40," };
        let config = format!(
            "listen: 127.0.0.1:{port}
store: {{ url: \"file:{store}\" }}
alertmanager: {{ urls: [\"http://127.0.0.1:9\"] }}
prometheus: {{ urls: [\"http://127.0.0.1:9\"] }}
reconcile: {{ interval: 5s }}
clusters:
  default:
    kubernetes: {{ kubeconfig: {kubeconfig}, sim: {{ boot: 10ms, state: {state}, shapes: [{{ name: four, cpu: 4, memory: 16Gi, price_per_hour: 0.04 }}] }} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, {max} min_age: 0s, cooldown: {{ up: 0s, down: 0s }}, {pool} }} }}
",
            store = folder.path().join("store").display(),
            kubeconfig = kubeconfig.display(),
            state = state.display(),
        );
        let file = folder.path().join("bellwether.yaml");
        std::fs::write(&file, config).unwrap();
        let words = ["run", "--config", file.to_str().unwrap()].map(str::to_owned);
        let ready = Ready { path: "/healthz", client: reqwest::Client::new() };
        let site = (format!("http://127.0.0.1:{port}"), ready);
        let own = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_bellwether").into();
        let program = Server::start_at(program, words.into(), own, site).await;
        let sim = SimConfig { state: Some(state), ..SimConfig::default() };
        let world = World::new(&sim, Clock::system()).unwrap();
        let kubelets = match dockerd {
            Some(dockerd) => Kubelets::real(world.clone(), &plane, dockerd).await,
            None => Kubelets::new(world.clone(), plane.client().await),
        };
        Self {
            plane,
            world,
            kubelets,
            program,
            #[cfg(feature = "killpoints")]
            link: None,
            _folder: folder,
        }
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

    /// Waits while machines join and end.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        wait::until(what, || async {
            self.kubelets.join().await;
            self.kubelets.end().await;
            holds().await
        })
        .await;
    }

    /// Records that are not over. None while the program is away.
    pub(crate) async fn workers(&self) -> Vec<Value> {
        let Ok(answer) = reqwest::get(format!("{}/v1/workers", self.program.url)).await else {
            return Vec::new();
        };
        let mut told: Value = answer.json().await.unwrap();
        let all = told["clusters"]["default"]["workers"].take();
        let all = all.as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|worker| worker["state"]["state"] != "gone").collect()
    }

    /// Whether there are so many workers, each of them Ready.
    pub(crate) async fn are_ready(&self, count: usize) -> bool {
        let workers = self.workers().await;
        workers.len() == count && workers.iter().all(|one| one["state"]["state"] == "ready")
    }

    pub(crate) async fn nodes(&self) -> Vec<Node> {
        let nodes: Api<Node> = Api::all(self.plane.client().await);
        nodes.list(&ListParams::default()).await.unwrap().items
    }

    /// Waits for so many passes more.
    pub(crate) async fn passes(&self, count: u64) {
        self.program.passes(count).await;
    }

    /// How many machines there are.
    #[cfg(feature = "killpoints")]
    pub(crate) fn live(&self) -> usize {
        self.world.machines().iter().filter(|machine| machine.is_live()).count()
    }

    /// What the program did and why, as it tells.
    pub(crate) async fn history(&self) -> Vec<Value> {
        let answer = reqwest::get(format!("{}/v1/history?limit=1000", self.program.url)).await;
        let told: Value = answer.unwrap().json().await.unwrap();
        told["clusters"]["default"]["history"].as_array().unwrap().clone()
    }

    /// How many machines were ended.
    pub(crate) fn ended(&self) -> usize {
        self.world.calls().iter().filter(|call| call.name() == "terminate").count()
    }
}
