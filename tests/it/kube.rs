//! A real cluster, seen and changed: what the apiserver has is what a pass looks at, and what we may not see is unknown.

mod claimed;
mod drainability;
mod drains;
mod faults;
mod foresight;
mod hindered;
mod inside;
#[cfg(feature = "killpoints")]
mod links;
mod notices;
mod odd;
mod rights;
mod scene;
mod several;
mod shadow;
#[cfg(feature = "killpoints")]
mod steps;
mod stock;
mod workers;

use crate::support::control_plane::{
    self, ControlPlane, FakeNode, Part, RESTRICTED, Setting, create, is_bound, pod, until,
    why_unschedulable,
};
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::cluster::kube::Kube;
use bellwether::cluster::{Cluster as _, Error, Eviction, Manner, Mark};
use bellwether::config::{ClusterConfig, Config, Kubernetes};
use bellwether::model::{
    About, ClusterView, Cordon, Node as Seen, NodeRef, Note, Pin, Placement, Pod as SeenPod,
    PodKind, Uid, View,
};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the watches ask for.
const WATCHED: [(&str, &str); 9] = [
    ("", "nodes"),
    ("", "pods"),
    ("", "namespaces"),
    ("apps", "daemonsets"),
    ("policy", "poddisruptionbudgets"),
    ("", "persistentvolumeclaims"),
    ("", "persistentvolumes"),
    ("storage.k8s.io", "storageclasses"),
    ("storage.k8s.io", "volumeattachments"),
];

fn limits(timing: &str) -> ClusterConfig {
    let text = format!(
        "alertmanager: {{ urls: [http://127.0.0.1:9] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
clusters: {{ one: {{ kubernetes: {{ in_cluster: true }}, timing: {{ {timing} }}, pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 9 }} }} }} }}"
    );
    let read = Config::parse(&text, &BTreeMap::<String, String>::new());
    let mut config = read.unwrap_or_else(|errors| panic!("{errors}")).config;
    config.clusters.remove(&"one".into()).unwrap()
}

/// As one who may do nothing.
async fn connect_restricted(plane: &ControlPlane) -> Kube {
    let context = Some(RESTRICTED.to_owned());
    let file = Kubernetes::File { kubeconfig: plane.kubeconfig(), context };
    Kube::connect(&file, &limits(""), Clock::system()).await.unwrap()
}

/// With the rights of `deploy/rbac.yaml` and no other, as everything that follows.
async fn connect(plane: &ControlPlane) -> Kube {
    connect_at(plane, Clock::system()).await
}

/// With a clock that the test steers.
pub(crate) async fn connect_at(plane: &ControlPlane, clock: Clock) -> Kube {
    let file = Kubernetes::File { kubeconfig: plane.service().await, context: None };
    Kube::connect(&file, &limits(""), clock).await.unwrap()
}

/// With watches of a second.
async fn connect_hasty(plane: &ControlPlane) -> Kube {
    let file = Kubernetes::File { kubeconfig: plane.service().await, context: None };
    Kube::connect(&file, &limits("view_max_age: 3s"), Clock::system()).await.unwrap()
}

/// The same, through a port that leads to the apiserver.
#[cfg(feature = "killpoints")]
async fn connect_through(plane: &ControlPlane, port: u16) -> Kube {
    let kubeconfig = plane.through(port, &plane.service().await);
    let file = Kubernetes::File { kubeconfig, context: None };
    Kube::connect(&file, &limits("view_max_age: 3s"), Clock::system()).await.unwrap()
}

/// Waits until it holds of what is seen, and gives that.
async fn sees(kube: &Kube, what: &str, holds: impl Fn(&ClusterView) -> bool) -> ClusterView {
    wait::until(what, || async { kube.observe().await.known().is_some_and(&holds) }).await;
    let View::Known { value, .. } = kube.observe().await else { panic!("it is not seen any more") };
    value
}

fn node<'v>(view: &'v ClusterView, name: &str) -> Option<&'v Seen> {
    view.nodes().find(|node| node.at.name.as_str() == name)
}

fn seen_pod<'v>(view: &'v ClusterView, name: &str) -> Option<&'v SeenPod> {
    view.pods().find(|pod| pod.name == name)
}

/// A worker's node that has joined.
async fn join(plane: &ControlPlane, name: &str) -> NodeRef {
    let labels = &[
        ("bellwether.dev/worker", "w1"),
        ("bellwether.dev/pool", "workers"),
        ("topology.kubernetes.io/zone", "a"),
    ];
    let id = Some("kwok:///a/i-1");
    let node = plane.join(&FakeNode { name, labels, provider_id: id, ..FakeNode::default() }).await;
    NodeRef { name: name.into(), uid: node.metadata.uid.unwrap().as_str().into() }
}

#[tokio::test]
async fn what_the_cluster_has_is_seen_and_so_is_each_change() {
    let Some(plane) = control_plane::start().await else { return };
    let kube = connect(&plane).await;
    let at = join(&plane, "one").await;
    let pods = plane.pods().await;
    create(&pods, pod("small", "1")).await;
    create(&pods, pod("large", "40")).await;
    until(&pods, "small", "the pod to be bound", is_bound).await;
    until(&pods, "large", "the mark", |pod| why_unschedulable(pod).is_some()).await;
    let view = sees(&kube, "both pods", |view| {
        let bound = seen_pod(view, "small").is_some_and(|pod| pod.node() == Some(&at.name));
        let placement = seen_pod(view, "large").map(|pod| &pod.placement);
        bound && matches!(placement, Some(Placement::Unschedulable { .. }))
    })
    .await;
    let one = node(&view, "one").unwrap();
    assert_eq!((&one.at, one.is_ready(), one.cordon), (&at, true, Cordon::None));
    assert_eq!((one.worker.clone(), one.pool.clone()), (Some("w1".into()), Some("workers".into())));
    assert_eq!(
        (one.zone.clone(), one.provider_id.as_deref()),
        (Some("a".into()), Some("kwok:///a/i-1"))
    );
    assert_eq!((one.allocatable.cpu_milli, one.allocatable.memory), (4_000, 8 << 30));
    assert_eq!(seen_pod(&view, "large").unwrap().spec.requests.cpu_milli, 40_000);
    assert_eq!(seen_pod(&view, "small").unwrap().pins, [Pin::Bare]);
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(plane.client().await);
    let system = namespaces.get("kube-system").await.unwrap().metadata.uid.unwrap();
    assert_eq!(view.uid.as_str(), system);
    assert_eq!(view.namespaces["default"]["kubernetes.io/metadata.name"], "default");

    pods.delete("large", &DeleteParams::default()).await.unwrap();
    sees(&kube, "the pod's end", |view| seen_pod(view, "large").is_none()).await;
    let label = json!({ "metadata": { "labels": { "bellwether.dev/worker": null } } });
    let nodes = plane.nodes().await;
    nodes.patch("one", &PatchParams::default(), &Patch::Merge(&label)).await.unwrap();
    sees(&kube, "a node that is not ours", |view| node(view, "one").unwrap().worker.is_none())
        .await;
    // Whatever was told until now.
    while tokio::time::timeout(Duration::from_secs(2), kube.changed()).await.is_ok() {}
    nodes.delete("one", &DeleteParams::default()).await.unwrap();
    tokio::time::timeout(wait::LIMIT, kube.changed()).await.unwrap();
    sees(&kube, "the node's end", |view| node(view, "one").is_none()).await;
}

#[tokio::test]
async fn daemons_are_seen_by_their_set_and_by_their_pods() {
    let Some(plane) = control_plane::start().await else { return };
    let kube = connect(&plane).await;
    let sets: Api<DaemonSet> = Api::default_namespaced(plane.client().await);
    let labels = json!({ "app": "logs" });
    let mut template = pod("logs", "150m");
    template["metadata"] = json!({ "labels": labels });
    let set = json!({
        "metadata": { "name": "logs" },
        "spec": { "selector": { "matchLabels": labels }, "template": template },
    });
    create(&sets, set).await;
    join(&plane, "one").await;
    let view = sees(&kube, "a daemon on the node", |view| {
        view.pods().any(|pod| pod.kind == PodKind::Daemon && pod.node().is_some())
    })
    .await;
    let promised: Vec<u64> = view.daemons.iter().map(|spec| spec.requests.cpu_milli).collect();
    assert_eq!(promised, [150]);
}

#[tokio::test]
async fn a_pod_of_kube_system_is_held_until_a_budget_speaks_for_it() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let kube = connect(&plane).await;
    let pods: Api<Pod> = Api::namespaced(plane.client().await, "kube-system");
    create(&pods, pod("dns", "1")).await;
    let is_held = |view: &ClusterView| {
        seen_pod(view, "dns").is_some_and(|pod| pod.pins.contains(&Pin::KubeSystem))
    };
    sees(&kube, "a held pod", is_held).await;
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(plane.client().await, "kube-system");
    let selector = json!({ "matchLabels": { "app": "dns" } });
    let budget = json!({ "metadata": { "name": "dns" }, "spec": { "selector": selector, "maxUnavailable": 1 } });
    create(&budgets, budget).await;
    sees(&kube, "a free pod", |view| seen_pod(view, "dns").is_some() && !is_held(view)).await;
}

/// Lets the restricted user see these.
async fn permit(plane: &ControlPlane, kinds: &[(&str, &str)]) {
    let rule = |(group, kind): &(&str, &str)| json!({ "apiGroups": [group], "resources": [kind], "verbs": ["list", "watch"] });
    plane.permit(kinds.iter().map(rule).collect::<Value>()).await;
}

#[tokio::test]
async fn what_we_may_not_see_is_unknown_and_says_which_until_we_may() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    permit(&plane, &WATCHED[1..]).await;
    let kube = connect_restricted(&plane).await;
    wait::until("the reason", || async {
        let View::Unknown { why } = kube.observe().await else { panic!("nodes were seen") };
        why.contains("nodes cannot be watched") && why.contains("forbidden")
    })
    .await;
    permit(&plane, &WATCHED).await;
    sees(&kube, "the cluster", |_| true).await;
}

/// Tells something about a node or pod, and waits until it is an Event of that very object.
async fn is_told(plane: &ControlPlane, kube: &Kube, about: About, of: (&str, &str, &Uid)) {
    let words = "ä".repeat(2_000);
    kube.tell(vec![Note { about, is_warning: true, reason: "Tried", words }]);
    let events: Api<Event> = Api::all(plane.client().await);
    let is_it = |event: &Event| {
        let regarding = event.regarding.clone().unwrap_or_default();
        let named = (regarding.kind.as_deref(), regarding.name.as_deref(), regarding.uid);
        named == (Some(of.0), Some(of.1), Some(of.2.to_string()))
            && event.reason.as_deref() == Some("Tried")
            && event.type_.as_deref() == Some("Warning")
            && event.note.as_ref().is_some_and(|note| note.starts_with("ää"))
    };
    wait::until("the event", || async {
        events.list(&ListParams::default()).await.unwrap().iter().any(is_it)
    })
    .await;
}

#[tokio::test]
async fn what_is_told_is_an_event_of_that_very_node_or_pod() {
    let Some(plane) = control_plane::start().await else { return };
    let at = join(&plane, "one").await;
    create(&plane.pods().await, pod("small", "1")).await;
    let kube = connect(&plane).await;
    let view = sees(&kube, "the pod", |view| seen_pod(view, "small").is_some()).await;
    let pod = seen_pod(&view, "small").unwrap().at();
    is_told(&plane, &kube, About::Node(at.clone()), ("Node", "one", &at.uid)).await;
    is_told(&plane, &kube, About::Pod(pod.clone()), ("Pod", "small", &pod.uid)).await;
}

#[tokio::test]
async fn a_view_is_as_old_as_what_was_last_heard_and_new_again_when_the_server_is_back() {
    let Some(mut plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let kube = connect_hasty(&plane).await;
    create(&plane.nodes().await, FakeNode::default().json()).await;
    sees(&kube, "the node", |view| node(view, "one").is_some()).await;
    let age = async || match kube.observe().await {
        View::Known { at, value } => {
            assert!(node(&value, "one").is_some(), "what was seen is not lost");
            Some(bellwether::model::duration::since(at, Clock::system().now()))
        }
        View::Unknown { .. } => None,
    };
    // A watch lasts a third of that, so a silent cluster is heard of each second.
    wait::until("a view that is new though nothing changes", async || {
        age().await.is_some_and(|age| age < Duration::from_secs(2))
    })
    .await;
    plane.kill(Part::ApiServer);
    wait::until("a view that grows old", async || {
        age().await.is_none_or(|age| age > Duration::from_secs(4))
    })
    .await;
    plane.restart(Part::ApiServer).await;
    wait::until("a new view", async || age().await.is_some_and(|age| age < Duration::from_secs(2)))
        .await;
}

#[tokio::test]
async fn nothing_is_listed_again_while_the_watches_go_on() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let kube = connect_hasty(&plane).await;
    sees(&kube, "the cluster", |_| true).await;
    let before = lists(&plane).await;
    let begun = Clock::system().now();
    let nodes = plane.nodes().await;
    // Several watches long.
    wait::until("a view of much later", || async {
        let View::Known { at, .. } = kube.observe().await else { return false };
        bellwether::model::duration::since(begun, at) > Duration::from_secs(4)
    })
    .await;
    create(&nodes, FakeNode::default().json()).await;
    sees(&kube, "a node that came later", |view| node(view, "one").is_some()).await;
    assert_eq!(lists(&plane).await, before);
}

/// How often all objects of each kind that a view is made of were listed, by the apiserver's own count.
async fn lists(plane: &ControlPlane) -> BTreeMap<String, u64> {
    let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
    let text = plane.client().await.request_text(request).await.unwrap();
    // What is attached comes beside it, and may be listed later.
    let seen = &WATCHED[..WATCHED.len() - 1];
    let ours = |line: &&str| {
        line.starts_with("apiserver_request_total{")
            && line.contains("verb=\"LIST\"")
            && line.contains("scope=\"cluster\"")
            && seen.iter().any(|(_, kind)| line.contains(&format!("resource=\"{kind}\"")))
    };
    let lines = text.lines().filter(ours).filter_map(|line| line.rsplit_once(' '));
    let lists: BTreeMap<String, u64> =
        lines.map(|(name, count)| (name.to_owned(), count.parse().unwrap())).collect();
    for (_, kind) in seen {
        let of_it = format!("resource=\"{kind}\"");
        assert!(lists.keys().any(|name| name.contains(&of_it)), "{kind} was never listed");
    }
    lists
}

fn mark() -> Mark {
    Mark {
        pool: "workers".into(),
        worker: "w1".into(),
        why: "idle".to_owned(),
        pass: "default-1".into(),
    }
}

async fn cordon_of(kube: &Kube, name: &str, wanted: Cordon) {
    let is_so = |view: &ClusterView| node(view, name).is_some_and(|node| node.cordon == wanted);
    sees(kube, &format!("{wanted:?}"), is_so).await;
}

#[tokio::test]
async fn a_cordon_of_ours_is_taken_back_and_one_of_others_stays() {
    let Some(plane) = control_plane::start().await else { return };
    let kube = connect(&plane).await;
    let at = join(&plane, "one").await;
    kube.cordon(&at, &mark()).await.unwrap();
    kube.cordon(&at, &mark()).await.unwrap();
    cordon_of(&kube, "one", Cordon::Ours).await;
    let nodes = plane.nodes().await;
    let object = nodes.get("one").await.unwrap();
    let why = &object.metadata.annotations.unwrap()["bellwether.dev/cordoned"];
    assert_eq!(why, "worker w1 of pool workers: idle (pass default-1)");
    assert_eq!(object.spec.unwrap().unschedulable, Some(true));
    kube.uncordon(&at).await.unwrap();
    kube.uncordon(&at).await.unwrap();
    cordon_of(&kube, "one", Cordon::None).await;
    assert!(
        !nodes
            .get("one")
            .await
            .unwrap()
            .metadata
            .annotations
            .unwrap()
            .contains_key("bellwether.dev/cordoned")
    );

    nodes.cordon("one").await.unwrap();
    cordon_of(&kube, "one", Cordon::Foreign).await;
    kube.uncordon(&at).await.unwrap();
    kube.cordon(&at, &mark()).await.unwrap();
    cordon_of(&kube, "one", Cordon::Ours).await;
    kube.uncordon(&at).await.unwrap();
    cordon_of(&kube, "one", Cordon::Foreign).await;
}

#[tokio::test]
async fn another_node_under_the_same_name_is_not_touched() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let kube = connect(&plane).await;
    let nodes = plane.nodes().await;
    let before: Node = create(&nodes, FakeNode::default().json()).await;
    let gone = NodeRef { name: "one".into(), uid: "another".into() };
    assert_eq!(kube.cordon(&gone, &mark()).await, Err(Error::NotFound));
    assert_eq!(kube.uncordon(&gone).await, Err(Error::NotFound));
    assert_eq!(kube.evict_step(&gone, Manner::Evict).await, Err(Error::NotFound));
    assert_eq!(kube.remove_node(&gone).await, Ok(()), "it is gone already");
    assert_eq!(nodes.get("one").await.unwrap(), before);
    let at = NodeRef { name: "one".into(), uid: before.metadata.uid.unwrap().as_str().into() };
    kube.remove_node(&at).await.unwrap();
    assert!(nodes.get_opt("one").await.unwrap().is_none());
    kube.remove_node(&at).await.unwrap();
}

/// A-40, W-50, W-64: pods are asked to go, and a budget that refuses is waited for.
#[tokio::test]
async fn a_node_is_emptied_as_far_as_budgets_allow() {
    let Some(plane) = control_plane::start().await else { return };
    let kube = connect(&plane).await;
    let at = join(&plane, "one").await;
    assert_eq!(kube.evict_step(&at, Manner::Evict).await, Ok(Eviction::Empty));
    let pods = plane.pods().await;
    let budgets = plane.guard_one_of_two().await;
    let Eviction::Blocked { left, by } = kube.evict_step(&at, Manner::Evict).await.unwrap() else {
        panic!()
    };
    assert_eq!(left, 2);
    assert!(by.contains("default/guarded") && by.contains("disruption budget"), "{by}");
    wait::until("the free pod's end", || async { pods.get_opt("free").await.unwrap().is_none() })
        .await;
    assert_eq!(pods.list(&ListParams::default()).await.unwrap().items.len(), 1);
    budgets.delete("guarded", &DeleteParams::default()).await.unwrap();
    wait::until("an empty node", || async {
        kube.evict_step(&at, Manner::Evict).await == Ok(Eviction::Empty)
    })
    .await;
}

#[tokio::test]
async fn a_file_or_context_that_is_not_there_is_named() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let tell = async |kubeconfig: std::path::PathBuf, context: Option<&str>| {
        let file = Kubernetes::File { kubeconfig, context: context.map(str::to_owned) };
        Kube::connect(&file, &limits(""), Clock::system()).await.unwrap_err()
    };
    let why = tell("/nowhere/config".into(), None).await;
    assert!(why.starts_with("kubeconfig: /nowhere/config: "), "{why}");
    let why = tell(plane.kubeconfig(), Some("other")).await;
    assert_eq!(
        why,
        format!(
            "context: there is no context other; there are: {}, {RESTRICTED}",
            control_plane::ADMIN
        )
    );
    let broken = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(broken.path(), "clusters: 7").unwrap();
    let why = tell(broken.path().to_owned(), None).await;
    assert!(why.starts_with(&format!("kubeconfig: {}: ", broken.path().display())), "{why}");
}
