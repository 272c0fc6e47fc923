//! The real control plane that stories are played on: what they rely on, and that it can be relied on.

use crate::support::control_plane::{
    self, ADMIN, FakeNode, Part, RESTRICTED, Setting, client, create, is_bound, is_ready,
    is_running, pod, until, why_unschedulable, write_kubeconfig,
};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{EvictParams, ListParams};
use serde_json::json;
use std::process::{Command, Output};

#[tokio::test]
async fn a_pod_that_fits_is_bound_and_runs() {
    let Some(plane) = control_plane::start().await else { return };
    let labels = &[("pool", "workers")];
    let id = Some("kwok:///zone/one");
    let node = plane.join(&FakeNode { labels, provider_id: id, ..FakeNode::default() }).await;
    assert_eq!(node.spec.unwrap().provider_id.as_deref(), id);
    assert_eq!(node.metadata.labels.unwrap()["pool"], "workers");
    let pods = plane.pods().await;
    create(&pods, pod("small", "1")).await;
    let bound = until(&pods, "small", "the pod to be bound", is_bound).await;
    assert_eq!(bound.spec.unwrap().node_name.as_deref(), Some("one"));
    until(&pods, "small", "the pod to run", is_running).await;
}

#[tokio::test]
async fn a_pod_that_fits_nowhere_is_unschedulable_and_says_why() {
    let Some(plane) = control_plane::start().await else { return };
    let taints = &[("reserved", "yes", "NoSchedule")];
    plane.join(&FakeNode::default()).await;
    plane.join(&FakeNode { name: "two", cpu: "16", taints, ..FakeNode::default() }).await;
    let pods = plane.pods().await;
    create(&pods, pod("large", "8")).await;
    let unschedulable = |pod: &Pod| why_unschedulable(pod).is_some();
    let left = until(&pods, "large", "the pod to be unschedulable", unschedulable).await;
    let why = why_unschedulable(&left).unwrap();
    assert!(why.contains("0/2 nodes are available"), "{why}");
    assert!(why.contains("1 Insufficient cpu") && why.contains("untolerated taint"), "{why}");
    // A node that comes is what it waited for.
    plane.join(&FakeNode { name: "three", cpu: "16", ..FakeNode::default() }).await;
    let bound = until(&pods, "large", "the pod to be bound", is_bound).await;
    assert_eq!(bound.spec.unwrap().node_name.as_deref(), Some("three"));
}

#[tokio::test]
async fn an_eviction_that_a_budget_does_not_allow_is_refused() {
    let Some(plane) = control_plane::start().await else { return };
    plane.join(&FakeNode::default()).await;
    let pods = plane.pods().await;
    plane.guard_one_of_two().await;
    let refused = pods.evict("guarded", &EvictParams::default()).await.unwrap_err();
    let kube::Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.reason.as_str()), (429, "TooManyRequests"), "{status:?}");
    assert!(status.details.unwrap().causes.iter().any(|it| it.reason == "DisruptionBudget"));
    pods.evict("free", &EvictParams::default()).await.unwrap();
    assert!(is_running(&pods.get("guarded").await.unwrap()));
}

#[tokio::test]
async fn an_api_server_that_comes_back_has_what_it_had() {
    let Some(mut plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let nodes = plane.nodes().await;
    let before = create(&nodes, FakeNode::default().json()).await;
    plane.kill(Part::ApiServer);
    assert!(nodes.get("one").await.is_err());
    plane.restart(Part::ApiServer).await;
    assert_eq!(nodes.get("one").await.unwrap().metadata.uid, before.metadata.uid);
    plane.stop(Part::ApiServer).await;
    plane.restart(Part::ApiServer).await;
    assert_eq!(nodes.get("one").await.unwrap(), before);
}

#[tokio::test]
async fn a_node_whose_kubelet_falls_silent_is_not_ready() {
    let flags = vec![
        (Part::Controllers, "--node-monitor-grace-period=6s"),
        (Part::Controllers, "--node-monitor-period=1s"),
        (Part::Kwok, "--node-lease-duration-seconds=4"),
    ];
    let setting = Setting { flags, ..Setting::default() };
    let Some(mut plane) = control_plane::start_with(&setting).await else { return };
    plane.join(&FakeNode::default()).await;
    let nodes = plane.nodes().await;
    plane.kill(Part::Kwok);
    until(&nodes, "one", "the node to be not Ready", |node| !is_ready(node)).await;
    plane.restart(Part::Kwok).await;
    until(&nodes, "one", "the node to be Ready again", is_ready).await;
}

#[tokio::test]
async fn a_restricted_user_may_do_what_its_role_says() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    create(&plane.nodes().await, FakeNode::default().json()).await;
    let nodes: Api<Node> = Api::all(plane.client_of(RESTRICTED).await);
    let refused = |error: kube::Error| matches!(error, kube::Error::Api(it) if it.code == 403);
    assert!(nodes.get("one").await.is_err_and(refused));
    plane.permit(json!([{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["get"] }])).await;
    nodes.get("one").await.unwrap();
    assert!(nodes.list(&ListParams::default()).await.is_err_and(refused));
}

#[tokio::test]
async fn two_run_side_by_side_and_one_file_leads_to_both() {
    let Some([one, two]) = control_plane::start_two(&Setting::bare()).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    write_kubeconfig(&file, &[("first", &one, ADMIN), ("second", &two, ADMIN)]);
    create(&one.nodes().await, FakeNode::default().json()).await;
    let seen = async |context: &str| {
        let nodes: Api<Node> = Api::all(client(&file, context).await);
        nodes.list(&ListParams::default()).await.unwrap().items.len()
    };
    assert_eq!((seen("first").await, seen("second").await), (1, 0));
    // Each is known by its own certificate only.
    let stranger = reqwest::Certificate::from_pem(&std::fs::read(two.ca_file()).unwrap()).unwrap();
    let stranger = reqwest::Client::builder().tls_certs_only([stranger]).build().unwrap();
    assert!(stranger.get(format!("{}/readyz", one.url())).send().await.is_err());
    assert!(stranger.get(format!("{}/readyz", two.url())).send().await.is_ok());
}

#[test]
fn where_it_is_missing_its_tests_are_skipped_or_fail_where_all_is_required() {
    let skipped = run_without_servers(false);
    let told = String::from_utf8_lossy(&skipped.stderr);
    assert!(skipped.status.success(), "{told}");
    assert!(told.contains("skipped: ") && told.contains("control-plane-1.36"), "{told}");
    let failed = run_without_servers(true);
    let told = String::from_utf8_lossy(&failed.stderr);
    assert!(!failed.status.success() && told.contains("run `make servers`"), "{told}");
}

/// Runs a test of this file where no server is installed.
fn run_without_servers(all_are_required: bool) -> Output {
    let empty = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "control_plane::a_pod_that_fits_is_bound_and_runs", "--nocapture"])
        .env("BELLWETHER_SERVERS", empty.path())
        .env_remove("REQUIRE_REAL");
    if all_are_required {
        command.env("REQUIRE_REAL", "1");
    }
    command.output().unwrap()
}
