//! Drains on a real control plane while something goes wrong: they come to their end all the same, or are given up, and no
//! machine ends whose pods are still there.

use super::scene::Scene;
use crate::support::control_plane::{Part, Setting, until};
use crate::support::kubelets::node_of;
use crate::support::yard::Yard;
use k8s_openapi::api::core::v1::Node;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn killed_amid_a_drain_it_goes_on_with_the_same_worker() {
    let Some(mut scene) = Scene::start("5m").await else { return };
    let leaving = scene.blocked_drain().await;
    let nodes = scene.plane.nodes().await;
    let node = nodes.get(&node_of(&leaving)).await.unwrap();
    let why = &node.metadata.annotations.unwrap()["bellwether.dev/cordoned"];
    let history = scene.history().await;
    let cordon = history.iter().find(|line| line["what"] == "cordon").unwrap();
    assert!(why.contains(cordon["pass"].as_str().unwrap()), "{why} {cordon}");
    scene.0.program.kill();
    scene.unguard("web").await;
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
    scene.unguard("web").await;
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
    scene.unguard("web").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_somebody_else_evicts_amid_a_drain_are_gone_for_it_too() {
    let Some(scene) = Scene::start("5m").await else { return };
    let leaving = node_of(&scene.blocked_drain().await);
    let pods = scene.plane.pods().await;
    let on_it = ListParams::default().fields(&format!("spec.nodeName={leaving}"));
    for pod in pods.list(&on_it).await.unwrap() {
        let name = pod.metadata.name.unwrap();
        pods.delete(&name, &DeleteParams::default()).await.unwrap();
    }
    scene.ends_one().await;
}

/// Nobody is there to end its pods in peace, and the budget speaks for them still: the machine ends as that of any worker that is
/// not Ready for too long, and not sooner.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_falls_silent_amid_its_drain_is_given_back_and_then_ended_as_sick() {
    let pool = "drain: { timeout: 10s }, not_ready_deadline: 15s";
    let Some(scene) = Scene::start_with(pool).await else { return };
    let leaving = scene.blocked_drain().await;
    let silent = std::time::Instant::now();
    scene.kubelets.silence(&leaving).await;
    scene.until("the end of its machine", async || scene.ended() == 1).await;
    assert!(silent.elapsed() > Duration::from_secs(15), "not sooner than any sick one");
    let ends = scene.history().await;
    let why = ends.iter().find(|line| line["what"] == "terminate").unwrap()["reason"].to_string();
    assert!(why.contains("not_ready"), "{why}");
    scene.until("the other alone", async || scene.are_ready(1).await).await;
    assert!(!scene.workers().await.iter().any(|worker| worker["id"] == leaving.as_str()));
    assert_eq!(scene.ended(), 1);
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
