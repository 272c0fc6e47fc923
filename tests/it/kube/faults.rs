//! Drains on a real control plane while something goes wrong: they come to their end all the same, or are given up, and no
//! machine ends whose pods are still there.

use super::{ControlPlane, create, pod};
use crate::support::control_plane::{self, LIMIT, Part, is_running, until};
use crate::support::kubelets::{Kubelets, node_of};
use crate::support::ports;
use crate::support::server::{Ready, Server};
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::config::SimConfig;
use bellwether::sim::World;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A control plane, the program, and two workers of one pod each.
struct Yard {
    plane: ControlPlane,
    world: World,
    kubelets: Kubelets,
    program: Server,
    _folder: TempDir,
}

impl Yard {
    async fn start(drain: &str) -> Option<Self> {
        let plane = control_plane::start().await?;
        let folder = tempfile::tempdir().unwrap();
        let (port, state) = (ports::free(), folder.path().join("world"));
        let config = format!(
            "listen: 127.0.0.1:{port}
store: {{ url: \"file:{store}\" }}
alertmanager: {{ urls: [\"http://127.0.0.1:9\"] }}
prometheus: {{ urls: [\"http://127.0.0.1:9\"] }}
reconcile: {{ busy_interval: 200ms }}
clusters:
  default:
    kubernetes: {{ kubeconfig: {kubeconfig}, sim: {{ boot: 10ms, state: {state}, shapes: [{{ name: four, cpu: 4, memory: 16Gi, price_per_hour: 0.04 }}] }} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 4, min_age: 0s, cooldown: {{ up: 0s, down: 0s }}, drain: {{ {drain} }} }} }}
",
            store = folder.path().join("store").display(),
            kubeconfig = plane.kubeconfig().display(),
            state = state.display(),
        );
        let file = folder.path().join("bellwether.yaml");
        std::fs::write(&file, config).unwrap();
        let words = ["run", "--config", file.to_str().unwrap()].map(str::to_owned);
        let ready = Ready { path: "/healthz", client: reqwest::Client::new(), limit: LIMIT };
        let site = (format!("http://127.0.0.1:{port}"), ready);
        let own = tempfile::tempdir().unwrap();
        let program = env!("CARGO_BIN_EXE_bellwether").into();
        let program = Server::start_at(program, words.into(), own, site).await;
        let sim = SimConfig { state: Some(state), ..SimConfig::default() };
        let world = World::new(&sim, Clock::system()).unwrap();
        let kubelets = Kubelets::new(world.clone(), plane.client().await);
        let yard = Self { plane, world, kubelets, program, _folder: folder };
        yard.wish(2).await;
        yard.until("two workers", async || yard.states().await == ["ready", "ready"]).await;
        yard.runs("first").await;
        yard.runs("second").await;
        Some(yard)
    }

    /// One worker is to go, and no pod may be away: which one it is.
    async fn blocked_drain(&self) -> String {
        self.guard().await;
        self.wish(-1).await;
        self.until("a pod to be kept", async || self.blocked().await.is_some()).await;
        self.blocked().await.unwrap()
    }

    async fn wish(&self, by: i32) {
        let url = format!("{}/v1/pools/workers/scale", self.program.url);
        let answer = reqwest::Client::new().post(url).json(&json!({ "by": by })).send().await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// A pod that something would make again, and that has a node to itself.
    async fn runs(&self, name: &str) {
        let mut object = pod(name, "1500m");
        object["metadata"]["labels"]["app"] = "web".into();
        object["metadata"]["annotations"] =
            json!({ "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" });
        let term = json!({ "labelSelector": { "matchLabels": { "app": "web" } },
            "topologyKey": "kubernetes.io/hostname" });
        let preferred = json!([{ "weight": 100, "podAffinityTerm": term }]);
        object["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
            preferred;
        create::<Pod>(&self.plane.pods().await, object).await;
        until(&self.plane.pods().await, name, "the pod to run", is_running).await;
    }

    async fn guard(&self) {
        let selector = json!({ "matchLabels": { "app": "web" } });
        let spec = json!({ "selector": selector, "minAvailable": 2 });
        let budget = json!({ "metadata": { "name": "web" }, "spec": spec });
        create(&self.budgets().await, budget).await;
        let is_counted = |budget: &PodDisruptionBudget| {
            budget.status.as_ref().is_some_and(|status| status.current_healthy == 2)
        };
        until(&self.budgets().await, "web", "the budget to be counted", is_counted).await;
    }

    async fn unguard(&self) {
        self.budgets().await.delete("web", &DeleteParams::default()).await.unwrap();
    }

    async fn budgets(&self) -> Api<PodDisruptionBudget> {
        Api::default_namespaced(self.plane.client().await)
    }

    /// Records that are not over.
    async fn workers(&self) -> Vec<Value> {
        let Ok(answer) = reqwest::get(format!("{}/v1/workers", self.program.url)).await else {
            return Vec::new();
        };
        let mut told: Value = answer.json().await.unwrap();
        let all = told["clusters"]["default"]["workers"].take();
        let all = all.as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|worker| worker["state"]["state"] != "gone").collect()
    }

    async fn states(&self) -> Vec<String> {
        let mut states: Vec<String> = self
            .workers()
            .await
            .iter()
            .map(|worker| worker["state"]["state"].as_str().unwrap().to_owned())
            .collect();
        states.sort_unstable();
        states
    }

    /// The worker whose pod the budget keeps.
    async fn blocked(&self) -> Option<String> {
        let workers = self.workers().await;
        let blocked = workers.iter().find(|worker| worker["blocked"].is_string())?;
        Some(blocked["id"].as_str().unwrap().to_owned())
    }

    /// Waits while machines join and end.
    async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        wait::until(LIMIT, what, || async {
            self.kubelets.join().await;
            self.kubelets.end().await;
            holds().await
        })
        .await;
    }

    async fn nodes(&self) -> Vec<Node> {
        let nodes: Api<Node> = Api::all(self.plane.client().await);
        nodes.list(&ListParams::default()).await.unwrap().items
    }

    fn ended(&self) -> usize {
        self.world.calls().iter().filter(|call| call.name() == "terminate" && call.new > 0).count()
    }

    /// One worker and its pod are gone, node and machine, and no more than that.
    async fn ends_one(&self) {
        self.until("one worker", async || {
            self.states().await == ["ready"] && self.nodes().await.len() == 1
        })
        .await;
        let machines = self.world.machines();
        let live = machines.iter().filter(|machine| machine.is_live()).count();
        assert_eq!(live, 1, "{machines:#?}");
        let pods = self.plane.pods().await.list(&ListParams::default()).await.unwrap();
        assert_eq!(pods.items.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_amid_a_drain_it_goes_on_with_the_same_worker() {
    let Some(mut yard) = Yard::start("timeout: 5m").await else { return };
    let leaving = yard.blocked_drain().await;
    yard.program.kill();
    yard.unguard().await;
    yard.program.restart().await;
    yard.ends_one().await;
    assert!(!yard.workers().await.iter().any(|worker| worker["id"] == leaving.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apiserver_that_restarts_amid_a_drain_only_makes_it_longer() {
    let Some(mut yard) = Yard::start("timeout: 5m").await else { return };
    yard.blocked_drain().await;
    yard.plane.restart(Part::ApiServer).await;
    yard.unguard().await;
    yard.ends_one().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_somebody_opens_amid_a_drain_is_closed_again() {
    let Some(yard) = Yard::start("timeout: 5m").await else { return };
    let leaving = node_of(&yard.blocked_drain().await);
    let nodes = yard.plane.nodes().await;
    let opened = json!({ "spec": { "unschedulable": false, "taints": [] } });
    nodes.patch(&leaving, &PatchParams::default(), &Patch::Merge(&opened)).await.unwrap();
    let is_closed = |node: &Node| node.spec.as_ref().unwrap().unschedulable == Some(true);
    until(&nodes, &leaving, "the node to be closed again", is_closed).await;
    yard.unguard().await;
    yard.ends_one().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_never_ends_ends_the_drain_at_its_deadline() {
    let Some(yard) = Yard::start("timeout: 3s").await else { return };
    let pods = yard.plane.pods().await;
    let held = json!({ "metadata": { "finalizers": ["example.dev/never"] } });
    for name in ["first", "second"] {
        pods.patch(name, &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
    }
    yard.wish(-1).await;
    yard.until("the drain to be given up", async || {
        let closed = |node: &Node| node.spec.as_ref().unwrap().unschedulable == Some(true);
        let listed = pods.list(&ListParams::default()).await.unwrap();
        let ends = listed.iter().any(|pod| pod.metadata.deletion_timestamp.is_some());
        ends && !yard.nodes().await.iter().any(closed) && yard.states().await == ["ready", "ready"]
    })
    .await;
    assert_eq!(yard.ended(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_somebody_deletes_amid_a_drain_ends_no_other() {
    let Some(yard) = Yard::start("timeout: 5m").await else { return };
    let leaving = yard.blocked_drain().await;
    let nodes = yard.plane.nodes().await;
    nodes.delete(&node_of(&leaving), &DeleteParams::default()).await.unwrap();
    yard.until("the worker to be released", async || {
        let workers = yard.workers().await;
        workers.iter().all(|worker| worker["state"]["state"] == "ready") && workers.len() == 2
    })
    .await;
    assert_eq!((yard.ended(), yard.nodes().await.len()), (0, 1), "what it asks is not known");
}
