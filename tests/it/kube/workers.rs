//! Real workers: a kubelet and a containerd that run pods. What kwok cannot play is tried here: graces that take their time, programs that do not
//! listen, kubelets that are there and say nothing.

use super::create;
use crate::support::control_plane::{Part, Setting, is_running, until};
use crate::support::heard::Heard;
use crate::support::kubelets::node_of;
use crate::support::wait;
use crate::support::yard::Yard;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::{Duration, Instant};

/// Its silence is noticed within seconds, since its kubelets tell of themselves each second.
const WATCHFUL: [(Part, &str); 2] = [
    (Part::Controllers, "--node-monitor-grace-period=16s"),
    (Part::Controllers, "--node-monitor-period=1s"),
];

/// A control plane for real workers, and an ear that their pods reach.
async fn start(pool: &str) -> Option<(Yard, Heard)> {
    start_with(&format!("drain: {{ detach: 0s }}, {pool}")).await
}

async fn start_with(pool: &str) -> Option<(Yard, Heard)> {
    let parts = vec![Part::Controllers, Part::Scheduler];
    let setting = Setting { parts, flags: WATCHFUL.into(), ..Setting::default() };
    let yard = Yard::start_real(&setting, pool).await?;
    let heard = Heard::start(&yard.kubelets.dockerd().gateway).await;
    Some((yard, heard))
}

/// A pod that something would make again, and that runs a script. In it, `tell WORD` is heard.
async fn runs(yard: &Yard, heard: &Heard, name: &str, script: &str) {
    runs_with_grace(yard, heard, name, script, 6).await;
}

/// The same, with so many seconds to end in.
async fn runs_with_grace(yard: &Yard, heard: &Heard, name: &str, script: &str, grace: u32) {
    let script = format!("tell() {{ wget -q -O - {}$1; }}; {script}", heard.url);
    let container = json!({
        "name": "main",
        "image": "local/busybox:1",
        "imagePullPolicy": "Never",
        "command": ["sh", "-c", script],
    });
    let object = json!({
        "metadata": { "name": name, "annotations": { "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" } },
        "spec": {
            "terminationGracePeriodSeconds": grace,
            "automountServiceAccountToken": false,
            "containers": [container],
        },
    });
    let pods = yard.plane.pods().await;
    create::<Pod>(&pods, object).await;
    until(&pods, name, "the pod to run", is_running).await;
}

/// Waits until a word is heard.
async fn hears(heard: &Heard, word: &str) {
    wait::until(word, || async { heard.first(word).is_some() }).await;
}

async fn ids(yard: &Yard) -> Vec<String> {
    let workers = yard.workers().await;
    workers.iter().map(|worker| worker["id"].as_str().unwrap().to_owned()).collect()
}

/// A person wants all of them to stay but one, and it is heard of.
async fn keep_all_but(yard: &Yard, leaving: &str) {
    let nodes = yard.plane.nodes().await;
    let kept = json!({ "metadata": { "annotations": { "cluster-autoscaler.kubernetes.io/scale-down-disabled": "true" } } });
    for worker in ids(yard).await.iter().filter(|id| *id != leaving) {
        let kept = Patch::Merge(&kept);
        nodes.patch(&node_of(worker), &PatchParams::default(), &kept).await.unwrap();
        let url = format!("{}/v1/explain/node/{}", yard.program.url, node_of(worker));
        wait::until("the mark to be seen", || async {
            reqwest::get(&url).await.unwrap().text().await.unwrap().contains("scale-down-disabled")
        })
        .await;
    }
}

async fn exists(pods: &Api<Pod>, name: &str) -> bool {
    pods.get_opt(name).await.unwrap().is_some()
}

/// Whether its containers have ended: its kubelet says so before it takes the pod away.
async fn is_over(pods: &Api<Pod>, name: &str) -> bool {
    let phase = |pod: Pod| pod.status.and_then(|status| status.phase);
    pods.get_opt(name).await.unwrap().and_then(phase).as_deref() != Some("Running")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pod_has_to_finish_is_finished_before_its_machine_ends() {
    let Some((yard, heard)) = start("").await else { return };
    yard.grow(1, 1).await;
    let leaving = ids(&yard).await.remove(0);
    let finishes = "trap 'tell asked; sleep 3; tell finished; exit 0' TERM; tell up; while :; do sleep 0.1; done";
    runs(&yard, &heard, "graceful", finishes).await;
    let ignores = "trap '' TERM; while :; do tell alive; sleep 0.1; done";
    runs(&yard, &heard, "stubborn", ignores).await;
    hears(&heard, "up").await;
    hears(&heard, "alive").await;
    yard.grow(1, 2).await;
    keep_all_but(&yard, &leaving).await;
    yard.wish(-1).await;
    let pods = yard.plane.pods().await;
    yard.until("the worker to be gone", async || {
        let ended = yard.ended() > 0;
        assert!(!ended || heard.first("finished").is_some(), "the machine ended amid its work");
        assert!(!ended || is_over(&pods, "stubborn").await, "the machine ended before its pod");
        ended && yard.nodes().await.len() == 1 && yard.are_ready(1).await
    })
    .await;
    let stayed = heard.last("alive").unwrap() - heard.first("asked").unwrap();
    assert!(stayed > Duration::from_secs(4), "it has six seconds, and had {stayed:?}");
    assert_eq!((yard.ended(), ids(&yard).await.contains(&leaving)), (1, false));
}

///
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_grace_is_longer_than_the_drain_keeps_its_machine() {
    let Some((yard, heard)) = start_with("drain: { timeout: 12s }").await else { return };
    yard.grow(1, 1).await;
    let leaving = ids(&yard).await.remove(0);
    let ignores = "trap '' TERM; while :; do tell alive; sleep 0.1; done";
    runs_with_grace(&yard, &heard, "stubborn", ignores, 600).await;
    hears(&heard, "alive").await;
    yard.grow(1, 2).await;
    keep_all_but(&yard, &leaving).await;
    yard.wish(-1).await;
    let pods = yard.plane.pods().await;
    let is_asked = |pod: &Pod| pod.metadata.deletion_timestamp.is_some();
    until(&pods, "stubborn", "the pod to be asked to end", is_asked).await;
    yard.until("the drain to be given up", async || {
        let closed = |node: &Node| node.spec.as_ref().unwrap().unschedulable == Some(true);
        !yard.nodes().await.iter().any(closed) && yard.are_ready(2).await
    })
    .await;
    let now = Instant::now();
    wait::until("the pod to work on", || async { heard.last("alive").unwrap() > now }).await;
    assert_eq!(yard.ended(), 0);
}

/// Three workers, one of which falls silent by a signal, with a pod on it: it is ended, and the pod is not forgotten before. How
/// long the pod ran on.
async fn falls_silent(signal: &str) -> Option<Duration> {
    let (yard, heard) = start("not_ready_deadline: 8s").await?;
    yard.grow(1, 1).await;
    let silent = ids(&yard).await.remove(0);
    runs(&yard, &heard, "web", "while :; do tell alive; sleep 0.1; done").await;
    yard.grow(2, 3).await;
    let signalled = Instant::now();
    yard.kubelets.dockerd().signal(&node_of(&silent), signal).await;
    let pods = yard.plane.pods().await;
    yard.until("the others", async || {
        let ended = yard.ended();
        assert!(ended > 0 || exists(&pods, "web").await, "its machine may run it still");
        yard.are_ready(2).await && yard.nodes().await.len() == 2 && ended == 1
    })
    .await;
    assert!(!ids(&yard).await.contains(&silent));
    yard.until("its pod to be gone", async || !exists(&pods, "web").await).await;
    Some(heard.last("alive").unwrap().duration_since(signalled))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_is_ended_and_its_node_goes_with_its_pods() {
    let Some(longer) = falls_silent("KILL").await else { return };
    assert!(longer < Duration::from_secs(5), "{longer:?}");
}

/// Its pods run on, which nobody can know.
#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_is_frozen_is_ended_with_its_machine() {
    let Some(longer) = falls_silent("STOP").await else { return };
    assert!(longer > Duration::from_secs(5), "{longer:?}");
}
