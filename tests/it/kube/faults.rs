//! Drains on a real control plane while something goes wrong: they come to their end all the same, or are given up, and no
//! machine ends whose pods are still there.

use super::{create, pod};
use crate::support::control_plane::{Part, Setting, is_running, until};
use crate::support::kubelets::node_of;
use crate::support::yard::Yard;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

/// Two workers of one pod each.
struct Scene(Yard);

impl std::ops::Deref for Scene {
    type Target = Yard;

    fn deref(&self) -> &Yard {
        &self.0
    }
}

impl Scene {
    async fn start(timeout: &str) -> Option<Self> {
        let pool = format!("drain: {{ timeout: {timeout} }}");
        let scene = Self(Yard::start(&Setting::default(), &pool).await?);
        scene.grow(2, 2).await;
        scene.runs("first").await;
        scene.runs("second").await;
        Some(scene)
    }

    /// One worker is to go, and no pod may be away: which one it is.
    async fn blocked_drain(&self) -> String {
        self.guard().await;
        self.wish(-1).await;
        self.until("a pod to be kept", async || self.blocked().await.is_some()).await;
        self.blocked().await.unwrap()
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

    /// The worker whose pod the budget keeps.
    async fn blocked(&self) -> Option<String> {
        let workers = self.workers().await;
        let blocked = workers.iter().find(|worker| worker["blocked"].is_string())?;
        Some(blocked["id"].as_str().unwrap().to_owned())
    }

    /// One worker and its pod are gone, node and machine, and no more than that.
    async fn ends_one(&self) {
        self.until("one worker", async || self.are_ready(1).await && self.nodes().await.len() == 1)
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
    let Some(mut scene) = Scene::start("5m").await else { return };
    let leaving = scene.blocked_drain().await;
    scene.0.program.kill();
    scene.unguard().await;
    scene.0.program.restart().await;
    scene.ends_one().await;
    assert!(!scene.workers().await.iter().any(|worker| worker["id"] == leaving.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_apiserver_that_restarts_amid_a_drain_only_makes_it_longer() {
    let Some(mut scene) = Scene::start("5m").await else { return };
    scene.blocked_drain().await;
    scene.0.plane.kill(Part::ApiServer);
    scene.0.plane.restart(Part::ApiServer).await;
    scene.unguard().await;
    scene.ends_one().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_somebody_opens_amid_a_drain_is_closed_again() {
    let Some(scene) = Scene::start("5m").await else { return };
    let leaving = node_of(&scene.blocked_drain().await);
    let nodes = scene.plane.nodes().await;
    let opened = json!({ "spec": { "unschedulable": false, "taints": [] } });
    nodes.patch(&leaving, &PatchParams::default(), &Patch::Merge(&opened)).await.unwrap();
    let is_closed = |node: &Node| node.spec.as_ref().unwrap().unschedulable == Some(true);
    until(&nodes, &leaving, "the node to be closed again", is_closed).await;
    scene.unguard().await;
    scene.ends_one().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_never_ends_ends_the_drain_at_its_deadline() {
    let Some(scene) = Scene::start("10s").await else { return };
    let pods = scene.plane.pods().await;
    let held = json!({ "metadata": { "finalizers": ["example.dev/never"] } });
    for name in ["first", "second"] {
        pods.patch(name, &PatchParams::default(), &Patch::Merge(&held)).await.unwrap();
    }
    scene.wish(-1).await;
    scene
        .until("the drain to be given up", async || {
            let closed = |node: &Node| node.spec.as_ref().unwrap().unschedulable == Some(true);
            let listed = pods.list(&ListParams::default()).await.unwrap();
            let ends = listed.iter().any(|pod| pod.metadata.deletion_timestamp.is_some());
            ends && !scene.nodes().await.iter().any(closed) && scene.are_ready(2).await
        })
        .await;
    assert_eq!(scene.ended(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_somebody_deletes_amid_a_drain_ends_no_other() {
    let Some(scene) = Scene::start("5m").await else { return };
    let leaving = scene.blocked_drain().await;
    let nodes = scene.plane.nodes().await;
    nodes.delete(&node_of(&leaving), &DeleteParams::default()).await.unwrap();
    scene.until("the worker to be released", async || scene.are_ready(2).await).await;
    assert_eq!((scene.ended(), scene.nodes().await.len()), (0, 1), "what it asks is not known");
}

/// Three workers whose nodes may be sick for five seconds.
async fn impatient() -> Option<Yard> {
    let yard = Yard::start(&Setting::default(), "not_ready_deadline: 5s").await?;
    yard.grow(3, 3).await;
    Some(yard)
}

async fn silence(yard: &Yard, count: usize) {
    for worker in yard.workers().await.iter().take(count) {
        yard.kubelets.silence(worker["id"].as_str().unwrap()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_kubelet_falls_silent_is_ended_and_its_node_is_gone() {
    let Some(yard) = impatient().await else { return };
    silence(&yard, 1).await;
    yard.until("the others", async || {
        yard.are_ready(2).await && yard.nodes().await.len() == 2 && yard.ended() == 1
    })
    .await;
}

/// Maybe it is not them: all hold, and it is said why.
#[tokio::test(flavor = "multi_thread")]
async fn where_many_fall_silent_at_once_none_is_ended() {
    let Some(yard) = impatient().await else { return };
    silence(&yard, 3).await;
    yard.until("the reason", async || {
        let url = format!("{}/v1/decisions", yard.program.url);
        let told = reqwest::get(url).await.unwrap().text().await.unwrap();
        told.contains("repair_budget")
    })
    .await;
    assert_eq!((yard.ended(), yard.nodes().await.len()), (0, 3));
}
