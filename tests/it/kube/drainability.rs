//! What people know of Cluster Autoscaler's and Karpenter's rules about which pods hold a node, case by case, on a real control
//! plane: each on a worker of its own, of which `explain` must say whether it may go and, if not, why.

use super::create;
use crate::support::control_plane::{Part, Setting, is_running, pod, until};
use crate::support::kubelets::node_of;
use crate::support::wait;
use crate::support::yard::Yard;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

/// What `explain` says of a worker that may go.
const GOES: &str = "an alert with `autoscale: down` may let it go";

/// What it says of one that stays, in part.
const BARE: &str = "no controller would make it again";
const DATA: &str = "it has data on the node's disk";
const SYSTEM: &str = "it is in kube-system and no budget speaks for it";

/// In words, what is special about the pod, and what must be said of its worker.
type Case = (&'static str, fn(&mut Value), &'static str);

fn annotate(pod: &mut Value, key: &str, value: &str) {
    pod["metadata"]["annotations"][key] = value.into();
}

fn owned_by(pod: &mut Value, kind: &str, controls: bool) {
    pod["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "apps/v1", "kind": kind, "name": "owner", "uid": "owner", "controller": controls,
    }]);
}

fn bare(pod: &mut Value) {
    pod["metadata"]["ownerReferences"] = json!([]);
}

fn volumes(pod: &mut Value, volumes: Value) {
    pod["spec"]["volumes"] = volumes;
}

fn in_kube_system(pod: &mut Value) {
    pod["metadata"]["namespace"] = "kube-system".into();
}

const SAFE: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict";
const SAFE_VOLUMES: &str = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const UNDISTURBED: &str = "karpenter.sh/do-not-disrupt";

/// All of them are a `ReplicaSet`'s unless they say otherwise.
const PODS: [Case; 30] = [
    ("a pod of a ReplicaSet", |_| (), GOES),
    ("a pod of a StatefulSet", |pod| owned_by(pod, "StatefulSet", true), GOES),
    ("a pod of a controller that nobody knows", |pod| owned_by(pod, "Foo", true), GOES),
    ("a pod that something owns and does not control", |pod| owned_by(pod, "Foo", false), BARE),
    ("a bare pod", bare, BARE),
    (
        "a bare pod that is safe to evict",
        |pod| {
            bare(pod);
            annotate(pod, SAFE, "true");
        },
        GOES,
    ),
    ("a pod that is not safe to evict", |pod| annotate(pod, SAFE, "false"), "safe-to-evict=false"),
    ("a DaemonSet's pod", |pod| owned_by(pod, "DaemonSet", true), GOES),
    (
        "a DaemonSet's pod with data on the disk",
        |pod| {
            owned_by(pod, "DaemonSet", true);
            volumes(pod, json!([{ "name": "disk", "hostPath": { "path": "/data" } }]));
        },
        GOES,
    ),
    (
        "a bare pod that has finished",
        |pod| {
            bare(pod);
            pod["status"]["phase"] = "Succeeded".into();
        },
        GOES,
    ),
    (
        "a bare pod that failed",
        |pod| {
            bare(pod);
            pod["status"]["phase"] = "Failed".into();
        },
        GOES,
    ),
    (
        "a pod that must not be disturbed, and has finished",
        |pod| {
            annotate(pod, UNDISTURBED, "true");
            pod["status"]["phase"] = "Succeeded".into();
        },
        GOES,
    ),
    (
        "a bare pod that is being deleted, and is there still",
        |pod| {
            bare(pod);
            pod["metadata"]["finalizers"] = json!(["example.dev/never"]);
        },
        BARE,
    ),
    ("an emptyDir", |pod| volumes(pod, json!([{ "name": "scratch", "emptyDir": {} }])), DATA),
    (
        "an emptyDir in memory",
        |pod| volumes(pod, json!([{ "name": "scratch", "emptyDir": { "medium": "Memory" } }])),
        GOES,
    ),
    (
        "a path of the node",
        |pod| volumes(pod, json!([{ "name": "disk", "hostPath": { "path": "/data" } }])),
        DATA,
    ),
    (
        "what a ConfigMap holds",
        |pod| volumes(pod, json!([{ "name": "words", "configMap": { "name": "words" } }])),
        GOES,
    ),
    (
        "an emptyDir that may be lost",
        |pod| {
            volumes(pod, json!([{ "name": "scratch", "emptyDir": {} }]));
            annotate(pod, SAFE_VOLUMES, "other,scratch");
        },
        GOES,
    ),
    (
        "two of which one may be lost",
        |pod| {
            volumes(
                pod,
                json!([{ "name": "scratch", "emptyDir": {} }, { "name": "data", "emptyDir": {} }]),
            );
            annotate(pod, SAFE_VOLUMES, "scratch");
        },
        DATA,
    ),
    (
        "an emptyDir of a pod that is safe to evict",
        |pod| {
            volumes(pod, json!([{ "name": "scratch", "emptyDir": {} }]));
            annotate(pod, SAFE, "true");
        },
        GOES,
    ),
    ("a pod of kube-system", in_kube_system, SYSTEM),
    (
        "a pod of kube-system for which a budget speaks",
        |pod| {
            in_kube_system(pod);
            pod["metadata"]["labels"]["budget"] = "system".into();
        },
        GOES,
    ),
    (
        "a pod of kube-system that is safe to evict",
        |pod| {
            in_kube_system(pod);
            annotate(pod, SAFE, "true");
        },
        GOES,
    ),
    (
        "a DaemonSet's pod of kube-system",
        |pod| {
            in_kube_system(pod);
            owned_by(pod, "DaemonSet", true);
        },
        GOES,
    ),
    (
        // The eviction waits for it, not the choice: it may allow one by then.
        "a pod whose budget allows no disruption",
        |pod| pod["metadata"]["labels"]["budget"] = "none".into(),
        GOES,
    ),
    ("a pod not to be disturbed", |pod| annotate(pod, UNDISTURBED, "true"), "do-not-disrupt=true"),
    ("a pod that may be disturbed", |pod| annotate(pod, UNDISTURBED, "false"), GOES),
    (
        "a pod not to be disturbed for a while",
        |pod| annotate(pod, UNDISTURBED, "30m"),
        "do-not-disrupt=30m, until ",
    ),
    (
        "a pod with a word that nobody can read",
        |pod| annotate(pod, UNDISTURBED, "soon"),
        "do-not-disrupt=soon",
    ),
    (
        "a pod that no other node may have",
        |pod| {
            pod["spec"]["nodeSelector"] =
                json!({ "kubernetes.io/hostname": pod["spec"]["nodeName"] });
        },
        "would fit nowhere else",
    ),
];

/// What is special about a node that has no pod at all.
const NODES: [Case; 6] = [
    ("an empty node", |_| (), GOES),
    (
        "a node not to be scaled down",
        |node| annotate(node, "cluster-autoscaler.kubernetes.io/scale-down-disabled", "true"),
        "scale-down-disabled=true",
    ),
    (
        "a node not to be disturbed",
        |node| annotate(node, UNDISTURBED, "true"),
        "do-not-disrupt=true",
    ),
    ("a node that may be disturbed", |node| annotate(node, UNDISTURBED, "false"), GOES),
    (
        "a node that is kept",
        |node| annotate(node, "bellwether.dev/keep", "a person's reason"),
        "bellwether.dev/keep=a person's reason",
    ),
    (
        "a node that a person closed",
        |node| node["spec"]["unschedulable"] = true.into(),
        "cordoned by somebody else",
    ),
];

/// Writes the object of a case: a pod on a worker's node.
async fn put(yard: &Yard, number: usize, worker: &str, change: fn(&mut Value)) {
    let mut object = pod(&format!("case-{number}"), "10m");
    object["metadata"]["namespace"] = "default".into();
    object["metadata"]["annotations"] = json!({});
    object["spec"]["nodeName"] = node_of(worker).into();
    owned_by(&mut object, "ReplicaSet", true);
    change(&mut object);
    let status = object.as_object_mut().unwrap().remove("status");
    let namespace = object["metadata"]["namespace"].as_str().unwrap().to_owned();
    let pods: Api<Pod> = Api::namespaced(yard.plane.client().await, &namespace);
    let made = create(&pods, object).await.metadata;
    let name = made.name.unwrap();
    if let Some(status) = status {
        // Its kubelet says what it is once, and then no more.
        until(&pods, &name, "the pod to run", is_running).await;
        let status = json!({ "status": status });
        pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    }
    if made.finalizers.is_some() {
        pods.delete(&name, &DeleteParams::default()).await.unwrap();
    }
}

async fn mark(yard: &Yard, worker: &str, change: fn(&mut Value)) {
    let nodes: Api<Node> = yard.plane.nodes().await;
    let mut wish = json!({});
    change(&mut wish);
    nodes.patch(&node_of(worker), &PatchParams::default(), &Patch::Merge(&wish)).await.unwrap();
}

/// One that speaks for pods of kube-system, and one that allows none of the others to be away.
async fn budgets(yard: &Yard) {
    for (namespace, name, least) in [("kube-system", "system", 0), ("default", "none", 1)] {
        let budgets: Api<PodDisruptionBudget> =
            Api::namespaced(yard.plane.client().await, namespace);
        let selector = json!({ "matchLabels": { "budget": name } });
        let spec = json!({ "selector": selector, "minAvailable": least });
        create(&budgets, json!({ "metadata": { "name": name }, "spec": spec })).await;
    }
}

async fn told(yard: &Yard, worker: &str) -> String {
    let url = format!("{}/v1/explain/node/{}", yard.program.url, node_of(worker));
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

/// W-56: bare pods and local storage hold it, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_holds_a_node_by_the_rules_that_people_know_holds_it_and_nothing_else_does() {
    // Without the controllers, who would take pods away whose owners nobody has made.
    let setting = Setting { parts: vec![Part::Kwok], ..Setting::default() };
    let Some(yard) = Yard::start(&setting, "").await else { return };
    let count = PODS.len() + NODES.len();
    yard.grow(i32::try_from(count).unwrap(), count).await;
    budgets(&yard).await;
    let workers = yard.workers().await;
    let workers: Vec<&str> = workers.iter().map(|one| one["id"].as_str().unwrap()).collect();
    let (with_pods, empty) = workers.split_at(PODS.len());
    for (number, (case, worker)) in PODS.iter().zip(with_pods).enumerate() {
        put(&yard, number, worker, case.1).await;
    }
    for (case, worker) in NODES.iter().zip(empty) {
        mark(&yard, worker, case.1).await;
    }
    let cases: Vec<_> = PODS.iter().chain(&NODES).zip(&workers).collect();
    // Changes are heard of in the order in which they were made, and what was done last keeps its worker.
    for last in [PODS.len() - 1, cases.len() - 1] {
        let ((case, _, words), worker) = cases[last];
        wait::until(case, || async { told(&yard, worker).await.contains(words) }).await;
    }
    // Budgets are heard of beside them.
    for ((case, _, words), worker) in cases {
        let in_time =
            wait::comes_true(wait::LIMIT, || async { told(&yard, worker).await.contains(words) })
                .await;
        assert!(in_time, "{case}: {words:?}, but {}", told(&yard, worker).await);
    }
}
