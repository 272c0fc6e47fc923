//! Drains on a real control plane that others hinder: budgets that come while they are under way, webhooks that refuse,
//! finalizers, a crowd that changes the same nodes, and a node that comes back as another.

use super::scene::Scene;
use crate::support::control_plane::{AUDITED, SERVICE, Setting, create, until};
use crate::support::kubelets::node_of;
#[cfg(feature = "killpoints")]
use crate::support::proxy::Link;
use crate::support::webhook::Webhook;
use crate::support::yard::Yard;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Node, Taint};
use kube::Api;
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
#[cfg(feature = "killpoints")]
use std::time::Duration;
use tokio::task::JoinSet;

/// So many drains amid a crowd are enough to meet one of its changes.
const ROUNDS: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn budgets_that_come_amid_a_drain_hold_what_is_left_and_each_is_named() {
    let Some(scene) = Scene::start("5m").await else { return };
    scene.blocked_drain().await;
    scene.is_kept_by("budget web needs").await;
    scene.guard("second").await;
    scene.is_kept_by("several PodDisruptionBudgets choose it").await;
    scene.unguard("web").await;
    scene.is_kept_by("budget second needs").await;
    assert_eq!(scene.ended(), 0);
    scene.unguard("second").await;
    scene.ends_one().await;
}

/// Asks before an eviction, and refuses where it does not answer.
fn asks(webhook: &Webhook) -> Value {
    json!({
        "metadata": { "name": "guard" },
        "webhooks": [{
            "name": "guard.example.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "clientConfig": { "url": webhook.url, "caBundle": webhook.ca_bundle() },
            "rules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods/eviction"],
            }],
        }],
    })
}

/// An API server asks a webhook a moment after it was told to: what is evicted before goes.
async fn is_asked(scene: &Scene, says: &str) {
    let pods = scene.plane.pods().await;
    let all = pods.list(&ListParams::default()).await.unwrap();
    let name = all.items[0].metadata.name.clone().unwrap();
    let post_options = PostParams { dry_run: true, ..PostParams::default() };
    let dry = EvictParams { post_options, ..EvictParams::default() };
    let refuses = async || {
        let answer = pods.evict(&name, &dry).await;
        answer.is_err_and(|error| error.to_string().contains(says))
    };
    scene.until("the webhook to be asked", refuses).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_says_that_denies_an_eviction_is_told_and_so_is_that_it_is_away() {
    let Some(scene) = Scene::start("5m").await else { return };
    let webhook = Webhook::start("not in business hours").await;
    let hooks: Api<ValidatingWebhookConfiguration> = Api::all(scene.plane.client().await);
    create(&hooks, asks(&webhook)).await;
    is_asked(&scene, "not in business hours").await;
    scene.wish(-1).await;
    scene.is_kept_by("not in business hours").await;
    webhook.end();
    scene.is_kept_by("failed calling webhook").await;
    assert_eq!(scene.ended(), 0);
    hooks.delete("guard", &DeleteParams::default()).await.unwrap();
    scene.ends_one().await;
}

/// Each word takes half a second, there and back.
#[cfg(feature = "killpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn an_apiserver_that_is_slow_or_away_for_a_while_only_makes_a_drain_longer() {
    let Some(yard) = Yard::start_linked("drain: { timeout: 5m }").await else { return };
    let Some(scene) = Scene::on(yard).await else { return };
    scene.blocked_drain().await;
    let link = scene.link.as_ref().unwrap();
    link.set(Link::Cut);
    scene.unguard("web").await;
    // It asks in vain, and ends nothing of which it does not know how it is.
    scene.passes(3).await;
    assert_eq!(scene.ended(), 0);
    link.set(Link::Late(Duration::from_millis(500)));
    scene.ends_one().await;
}

/// The machine is gone long before somebody lets its node go.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_a_finalizer_is_waited_for_and_ends_no_other() {
    let Some(scene) = Scene::start("5m").await else { return };
    let nodes = scene.plane.nodes().await;
    let (params, held) = (PatchParams::default(), json!(["example.dev/books"]));
    let held = json!({ "metadata": { "finalizers": held } });
    for node in scene.nodes().await {
        let name = node.metadata.name.unwrap();
        nodes.patch(&name, &params, &Patch::Merge(&held)).await.unwrap();
    }
    scene.wish(-1).await;
    let ends = |node: &Node| node.metadata.deletion_timestamp.is_some();
    scene.until("a node to be deleted", async || scene.nodes().await.iter().any(ends)).await;
    let states = async || {
        let workers = scene.workers().await;
        let state = |worker: &Value| worker["state"]["state"].as_str().unwrap().to_owned();
        workers.iter().map(state).collect::<std::collections::BTreeSet<_>>()
    };
    scene.passes(3).await;
    assert_eq!(states().await, ["ready".to_owned(), "terminating".to_owned()].into());
    assert_eq!(scene.ended(), 1);
    let free = json!({ "metadata": { "finalizers": null } });
    for node in scene.nodes().await.into_iter().filter(ends) {
        let name = node.metadata.name.unwrap();
        nodes.patch(&name, &params, &Patch::Merge(&free)).await.unwrap();
    }
    scene.ends_one().await;
}

/// Changes these nodes all the time until it is told not to; a change that others made on what they read before is refused.
fn crowd(nodes: &Api<Node>, names: &[String], goes_on: &Arc<AtomicBool>) -> JoinSet<()> {
    let mut crowd = JoinSet::new();
    for (number, name) in names.iter().cycle().take(12).cloned().enumerate() {
        let (nodes, goes_on) = (nodes.clone(), goes_on.clone());
        crowd.spawn(async move {
            for count in 0_u64.. {
                if !goes_on.load(Ordering::SeqCst) {
                    return;
                }
                let noise = json!({ format!("noise-{number}"): count.to_string() });
                let noise = json!({ "metadata": { "annotations": noise } });
                let (params, noise) = (PatchParams::default(), Patch::Merge(&noise));
                let patched = nodes.patch(&name, &params, &noise).await;
                // The node that leaves is gone at some time.
                let is_gone = |error: &kube::Error| error.to_string().contains("not found");
                assert!(patched.as_ref().err().is_none_or(is_gone));
            }
        });
    }
    crowd
}

/// How often the API server refused a change of a node that we asked for, since somebody else had changed it.
fn refused(scene: &Scene) -> usize {
    let audit = scene.plane.audit();
    let lines = audit.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let is_it = |line: &Value| {
        line["responseStatus"]["code"] == 409
            && line["objectRef"]["resource"] == "nodes"
            && line["user"]["username"] == SERVICE
    };
    lines.filter(is_it).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_that_changes_the_same_node_all_the_time_only_makes_a_drain_longer() {
    let setting = Setting { flags: AUDITED.into(), ..Setting::default() };
    let Some(yard) = Yard::start(&setting, "drain: { timeout: 5m }").await else { return };
    let Some(scene) = Scene::on(yard).await else { return };
    // By chance a drain may get through between two of its changes. Then the next one is tried.
    for _ in 0..ROUNDS {
        if refused(&scene) > 0 {
            break;
        }
        scene.grow(1, 3).await;
        let names = scene.nodes().await.into_iter().map(|node| node.metadata.name.unwrap());
        let (names, goes_on) = (names.collect::<Vec<_>>(), Arc::new(AtomicBool::new(true)));
        let mut crowd = crowd(&scene.plane.nodes().await, &names, &goes_on);
        scene.wish(-1).await;
        let is_over = async || scene.are_ready(2).await && scene.nodes().await.len() == 2;
        scene.until("conflicts", async || refused(&scene) > 0 || is_over().await).await;
        goes_on.store(false, Ordering::SeqCst);
        while let Some(done) = crowd.join_next().await {
            done.unwrap();
        }
        scene.until("one worker less", is_over).await;
    }
    assert!(refused(&scene) > 0, "its changes never met the crowd's in {ROUNDS} drains");
    scene.wish(-1).await;
    scene.ends_one().await;
}

/// Its kubelet registers anew under the same name: what was asked about the node is not asked about this one.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_as_another_amid_a_drain_is_not_taken_for_the_one_that_left() {
    let Some(scene) = Scene::start("5m").await else { return };
    let leaving = scene.blocked_drain().await;
    let nodes = scene.plane.nodes().await;
    let uid = |node: &Node| node.metadata.uid.clone().unwrap();
    let before = uid(&nodes.get(&node_of(&leaving)).await.unwrap());
    nodes.delete(&node_of(&leaving), &DeleteParams::default()).await.unwrap();
    scene.kubelets.register_again(&leaving);
    scene.kubelets.join().await;
    until(&nodes, &node_of(&leaving), "another node", |node| uid(node) != before).await;
    let now = uid(&nodes.get(&node_of(&leaving)).await.unwrap());
    scene
        .until("the worker to be bound to it", async || {
            let workers = scene.workers().await;
            let it = workers.iter().find(|worker| worker["id"] == leaving.as_str());
            it.is_some_and(|it| it["node"]["uid"] == now.as_str()) && scene.are_ready(2).await
        })
        .await;
    assert_eq!(scene.ended(), 0);
    // It may still bear the control plane's own taint of one that is new.
    let spec = nodes.get(&node_of(&leaving)).await.unwrap().spec.unwrap();
    let is_ours = |taint: &Taint| taint.key.starts_with("bellwether.dev/");
    let closed = spec.unschedulable.is_some() || spec.taints.iter().flatten().any(is_ours);
    assert!(!closed, "{spec:?}");
}
