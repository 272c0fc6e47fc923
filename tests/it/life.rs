//! A pool's life on real servers only but for the machines: workers come for pods and leave when idle, one is replaced before
//! the provider takes it, and one stays where a budget holds its pods. `make demo-kube` tells it with its times.

mod changes;

use crate::support::chain::{Chain, IDLE};
use crate::support::control_plane::create;
use crate::support::wait;
use bellwether::clock::Clock;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::time::Duration;

const POOL: &str = "        drain: { timeout: 15s, detach: 1s }\n";

/// How far ahead a provider tells that it takes a machine.
const NOTICE: Duration = Duration::from_mins(2);

struct Story {
    chain: Chain,
    begun: Timestamp,
}

impl Story {
    #[expect(clippy::print_stdout, reason = "`make demo-kube` tells the story")]
    fn told(&self, what: &str) {
        let passed = Clock::system().now().duration_since(self.begun).as_secs_f64();
        println!("{passed:>7.2} s  {what}");
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::default_namespaced(self.chain.client())
    }

    fn budgets(&self) -> Api<PodDisruptionBudget> {
        Api::default_namespaced(self.chain.client())
    }

    /// Pods of 1800m, of which so many may be away.
    async fn deploy(&self, replicas: u32, away: u32) {
        let labels = json!({ "app": "web" });
        let requests = json!({ "requests": { "cpu": "1800m" } });
        let containers = json!([{ "name": "main", "image": "any", "resources": requests }]);
        let template =
            json!({ "metadata": { "labels": labels }, "spec": { "containers": containers } });
        let selector = json!({ "matchLabels": labels });
        let spec = json!({ "replicas": replicas, "selector": selector, "template": template });
        create(&self.deployments(), json!({ "metadata": { "name": "web" }, "spec": spec })).await;
        let spec = json!({ "selector": selector, "maxUnavailable": away });
        create(&self.budgets(), json!({ "metadata": { "name": "web" }, "spec": spec })).await;
    }

    async fn scale(&self, replicas: u32) {
        let patch = json!({ "spec": { "replicas": replicas } });
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        self.deployments().patch("web", &params, &patch).await.unwrap();
    }

    /// Whether all its pods run, and no more.
    async fn runs(&self, replicas: i32) -> bool {
        let status = self.deployments().get("web").await.unwrap().status.unwrap_or_default();
        status.ready_replicas == Some(replicas) && status.replicas == Some(replicas)
    }

    /// Of its pods there are always as many as its budget asks for.
    async fn is_served(&self) {
        let status = self.budgets().get("web").await.unwrap().status.unwrap();
        assert!(status.current_healthy >= status.desired_healthy, "{status:?}");
    }

    /// Waits while machines join and end.
    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) {
        wait::until(what, || async {
            self.chain.kubelets.join().await;
            self.chain.kubelets.end().await;
            holds().await
        })
        .await;
        self.told(what);
    }

    async fn nodes(&self) -> Vec<String> {
        let nodes: Api<Node> = Api::all(self.chain.client());
        let all = nodes.list(&ListParams::default()).await.unwrap();
        all.items.into_iter().filter_map(|node| node.metadata.name).collect()
    }

    async fn workers(&self) -> Vec<Value> {
        let all = self.chain.told("workers").await;
        all.into_iter().filter(|worker| worker["state"]["state"] != "gone").collect()
    }

    async fn all_are_ready(&self, count: usize) -> bool {
        let workers = self.workers().await;
        workers.len() == count && workers.iter().all(|one| one["state"]["state"] == "ready")
    }

    /// How often a drain was given up, as the metrics tell it.
    async fn given_up(&self) -> String {
        let url = format!("{}/metrics", self.chain.program.url);
        let told = reqwest::get(url).await.unwrap().text().await.unwrap();
        let is_it = |line: &&str| line.starts_with("bellwether_drains_given_up_total");
        told.lines().find(is_it).unwrap_or_default().to_owned()
    }

    /// What a worker that is emptied is kept by.
    async fn blocked(&self) -> Option<String> {
        let workers = self.workers().await;
        workers.iter().find_map(|worker| Some(worker["blocked"].as_str()?.to_owned()))
    }

    /// What `bellwether explain` prints.
    fn explains(&self, what: &[&str]) -> String {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bellwether"))
            .arg("explain")
            .args(what)
            .args(["--url", &self.chain.program.url])
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// At a terminal: a pod, and a node.
    async fn is_explained(&self, node: &str) {
        let pods: Api<Pod> = Api::default_namespaced(self.chain.client());
        let pod = pods.list(&ListParams::default()).await.unwrap().items.remove(0);
        let told = self.explains(&["pod", &format!("default/{}", pod.metadata.name.unwrap())]);
        assert!(told.contains("is on node node-"), "{told}");
        let told = self.explains(&["node", node]);
        assert!(told.contains("of pool workers: ready"), "{told}");
    }

    /// All that was done to nodes and for pods is told where people look at these.
    async fn is_told_as_events(&self) {
        let events: Api<Event> = Api::all(self.chain.client());
        let done = ["Cordoned", "Uncordoned", "Drained", "MachineEnded", "NodeRemoved"];
        let all =
            done.map(|reason| ("Node", reason)).into_iter().chain([("Pod", "WorkersLaunched")]);
        for (kind, reason) in all {
            wait::until(reason, || async {
                let told = events.list(&ListParams::default()).await.unwrap();
                told.iter().any(|event| {
                    let of = event.regarding.as_ref().and_then(|of| of.kind.as_deref());
                    (of, event.reason.as_deref()) == (Some(kind), Some(reason))
                })
            })
            .await;
        }
    }

    async fn explained(&self, node: &str) -> String {
        let url = format!("{}/v1/explain/node/{node}", self.chain.program.url);
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_come_leave_when_idle_are_replaced_and_stay_where_a_budget_holds() {
    let Some(chain) = Chain::start_with(false, IDLE, POOL).await else { return };
    let story = Story { chain, begun: Clock::system().now() };
    story.told("a control plane, Prometheus, Alertmanager and Bellwether run; there is no worker");
    story.deploy(5, 1).await;
    story.told("a deployment of 5 pods of 1800m, of which one may be away; a worker has 4 CPUs");
    story.until("3 workers came, and all 5 pods run", || async { story.runs(5).await }).await;
    assert_eq!(story.chain.launched(), 3);

    story.scale(2).await;
    story.until("the deployment has shrunk to 2 pods", || async { story.runs(2).await }).await;
    story
        .until("an alert said idle: one worker is left, drained within the budget", || async {
            story.is_served().await;
            story.all_are_ready(1).await && story.nodes().await.len() == 1 && story.runs(2).await
        })
        .await;
    assert_eq!(story.chain.launched(), 3);

    let before = story.nodes().await.remove(0);
    story.is_noticed();
    story.told("the provider takes that worker in 2 minutes");
    story
        .until("another came, the pods moved there, and the first is gone", || async {
            story.is_served().await;
            let nodes = story.nodes().await;
            nodes.len() == 1 && nodes[0] != before && story.runs(2).await
        })
        .await;
    assert_eq!(story.chain.launched(), 4);

    story.scale(3).await;
    story.until("a third pod runs on one worker more", || async { story.runs(3).await }).await;
    let none_away = json!({ "spec": { "maxUnavailable": 0 } });
    let patch = Patch::Merge(&none_away);
    story.budgets().patch("web", &PatchParams::default(), &patch).await.unwrap();
    story.scale(2).await;
    story
        .until("the budget lets no pod be away, and one pod is less", || async {
            story.runs(2).await
        })
        .await;
    story
        .until("a worker is to leave, and its pod may not", || async {
            story.blocked().await.is_some_and(|by| by.contains("disruption budget"))
        })
        .await;
    story
        .until("the drain is given up: the worker is back", || async {
            story.blocked().await.is_none() && story.all_are_ready(2).await
        })
        .await;
    let nodes = story.nodes().await;
    let told: Vec<String> =
        vec![story.explained(&nodes[0]).await, story.explained(&nodes[1]).await];
    let why = "drain failed before (not drained within 15s, given back: default/web-";
    assert!(told.iter().any(|told| told.contains(why)), "{told:#?}");
    assert!(story.runs(2).await && story.chain.launched() == 5);
    let counted = story.given_up().await;
    assert!(counted.ends_with(" 1"), "what a rule tells people by: {counted:?}");
    story.is_told_as_events().await;
    story.is_explained(&nodes[0]).await;
}
