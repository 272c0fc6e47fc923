//! Workers that are containers, from the wish for one to the last of its volumes: they join a real control plane, run pods, and leave.

mod load;
#[cfg(feature = "killpoints")]
mod program;
mod restarts;

use crate::support::control_plane::{create, is_running, until};
use crate::support::gate::Gate;
use crate::support::lab::{Lab, Wanted, ground};
use k8s_openapi::api::core::v1::Pod;
use serde_json::json;

/// A pod of real busybox that something would make again.
async fn run(lab: &Lab, name: &str, script: &str, cpu: &str) {
    let container = json!({
        "name": "main",
        "image": "local/busybox:1",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
        "resources": { "requests": { "cpu": cpu } },
    });
    let object = json!({
        "metadata": { "name": name, "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" } },
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "automountServiceAccountToken": false,
            "containers": [container],
        },
    });
    create::<Pod>(&lab.plane.pods().await, object).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_joins_as_a_node_of_its_shape_and_leaves_nothing_when_it_goes() {
    let Some(lab) = Lab::start(&Wanted::default()).await else { return };
    lab.grow(1, 1).await;
    let node = lab.nodes().await.remove(0);
    let allocatable = node.status.unwrap().allocatable.unwrap();
    assert_eq!(allocatable["cpu"].0, "1", "its kubelet sees the whole machine");
    assert_eq!(allocatable["memory"].0, "2Gi");
    assert_eq!(allocatable["pods"].0, "20");
    let pods = lab.plane.pods().await;
    run(&lab, "works", "trap 'exit 0' TERM; while :; do sleep 0.1; done", "500m").await;
    until(&pods, "works", "the pod to run", is_running).await;
    lab.grow(1, 2).await;
    lab.wish(-2).await;
    // One has the pod, which finds no place once the other is gone.
    lab.until("one to leave", async || lab.are_ready(1).await && lab.containers().await.len() == 1)
        .await;
    pods.delete("works", &kube::api::DeleteParams::default()).await.unwrap();
    lab.wish(-1).await;
    lab.until("all to be gone", async || {
        lab.workers().await.is_empty() && lab.nodes().await.is_empty() && lab.is_clean().await
    })
    .await;
}

/// A-34, W-53.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_never_joins_and_is_ended_at_its_deadline() {
    let wanted = Wanted { token: "wrong", pool: "join_deadline: 10s", ..Wanted::default() };
    let Some(lab) = Lab::start(&wanted).await else { return };
    lab.wish(1).await;
    lab.until("a container", async || lab.containers().await.len() == 1).await;
    lab.until("it to be ended", async || lab.is_clean().await).await;
    assert!(lab.nodes().await.is_empty());
    let history = lab.told("history").await;
    let ends = history.iter().find(|entry| entry["reason"]["code"] == "never_joined");
    let ends = ends.unwrap_or_else(|| panic!("{history:#?}")).to_string();
    assert!(!ends.contains("wrong"), "{ends}");
}

/// Docker made it and could not say so, as when it is restarted, or the program ends just then: nobody has started it.
#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_nobody_started_is_started_when_its_launch_is_asked_again() {
    let Some((dockerd, plane)) = ground().await else { return };
    let gate = Gate::of(&dockerd);
    let wanted = Wanted { docker: Some(gate.url()), ..Wanted::default() };
    let lab = Lab::start_on(dockerd, plane, &wanted).await;
    gate.lose_an_answer();
    lab.wish(1).await;
    lab.until("the worker to be Ready", async || lab.are_ready(1).await).await;
    let history = lab.told("history").await;
    assert!(history.iter().any(|entry| entry["kind"] == "failed"), "{history:#?}");
    assert_eq!(lab.containers().await.len(), 1, "it is the one that was made first");
}

#[cfg(feature = "killpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_amid_a_launch_and_amid_an_end_it_leaves_one_worker_and_then_none() {
    let Some(mut lab) = Lab::start(&Wanted::default()).await else { return };
    lab.program.kill();
    lab.program.restart_once_with(&["--die-at", "launch_answered"]).await;
    lab.wish(1).await;
    lab.until("the program to die", async || lab.program.has_ended()).await;
    assert_eq!(lab.containers().await.len(), 1);
    lab.program.restart_once_with(&["--die-at", "terminate_answered"]).await;
    lab.until("the worker to be Ready", async || lab.are_ready(1).await).await;
    assert_eq!(lab.containers().await.len(), 1);
    lab.wish(-1).await;
    lab.until("the program to die again", async || lab.program.has_ended()).await;
    lab.program.restart().await;
    lab.until("all to be gone", async || {
        lab.workers().await.is_empty() && lab.nodes().await.is_empty() && lab.is_clean().await
    })
    .await;
}
