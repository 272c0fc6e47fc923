//! What stock k3s runs in kube-system holds a worker for a while, and not for ever.

use crate::support::control_plane::{Setting, create};
use crate::support::yard::Yard;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

/// Each of one replica and without a budget. Source: the manifests that k3s ships, and the chart of its Traefik.
const STOCK: [(&str, &[&str]); 4] = [
    ("coredns", &[]),
    ("local-path-provisioner", &[]),
    ("metrics-server", &["tmp-dir"]),
    ("traefik", &["data", "tmp"]),
];

fn deployment(name: &str, scratch: &[&str]) -> Value {
    let labels = json!({ "k8s-app": name });
    let volumes: Vec<Value> =
        scratch.iter().map(|volume| json!({ "name": volume, "emptyDir": {} })).collect();
    let requests = json!({ "requests": { "cpu": "100m", "memory": "70Mi" } });
    // Two on each of two workers.
    let spread = json!([{
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": { "matchExpressions": [{ "key": "k8s-app", "operator": "Exists" }] },
    }]);
    let spec = json!({
        "priorityClassName": "system-cluster-critical",
        "containers": [{ "name": "main", "image": "any", "resources": requests }],
        "topologySpreadConstraints": spread,
        "volumes": volumes,
    });
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    })
}

async fn all_run(deployments: &Api<Deployment>) -> bool {
    let listed = deployments.list(&ListParams::default()).await.unwrap();
    let runs = |one: &Deployment| {
        one.status.as_ref().is_some_and(|status| status.available_replicas == Some(1))
    };
    listed.items.len() == STOCK.len() && listed.iter().all(runs)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stock_k3s_runs_holds_a_worker_for_its_time_and_then_moves() {
    let pool = "evict: { kube_system_after: 4s }";
    let Some(yard) = Yard::start(&Setting::default(), pool).await else { return };
    yard.grow(2, 2).await;
    let deployments: Api<Deployment> = Api::namespaced(yard.plane.client().await, "kube-system");
    for (name, scratch) in STOCK {
        create(&deployments, deployment(name, scratch)).await;
    }
    yard.until("all of it to run", async || all_run(&deployments).await).await;
    yard.wish(-1).await;
    yard.until("one worker, and all of it on that", async || {
        yard.are_ready(1).await && yard.nodes().await.len() == 1 && all_run(&deployments).await
    })
    .await;
    assert_eq!(yard.ended(), 1);
    let history = yard.history().await;
    let held = history.iter().find(|line| line["reason"]["code"] == "no_candidate");
    let held = held.map(ToString::to_string).unwrap_or_default();
    assert!(held.contains("kube_system") && !held.contains("local_storage"), "{held}");
}
