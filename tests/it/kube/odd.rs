//! What an API server should never tell, and what it has forgotten: nothing is taken for the whole that is not, and once it is told as
//! it should be, all is as before.

use super::{limits, node, seen_pod, sees};
use crate::support::control_plane::{self, ControlPlane, FakeNode, Part, Setting, create, pod};
use crate::support::rewriter::Rewriter;
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::cluster::Cluster as _;
use bellwether::cluster::kube::Kube;
use bellwether::config::Kubernetes;
use bellwether::model::View;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::time::Duration;

/// Fewer than there are of several kinds.
const PAGE: usize = 2;

/// A server without its own memory of what happened: what etcd forgets is forgotten.
fn forgetful() -> Setting {
    let flags = vec![(Part::ApiServer, "--watch-cache=false")];
    Setting { flags, ..Setting::bare() }
}

async fn by(rewriter: &Rewriter) -> Kube {
    let file = Kubernetes::File { kubeconfig: rewriter.kubeconfig(), context: None };
    Kube::connect(&file, &limits("view_max_age: 3s"), Clock::system()).await.unwrap()
}

/// A node and a pod.
async fn populated() -> Option<(ControlPlane, Rewriter)> {
    let plane = control_plane::start_with(&Setting::bare()).await?;
    create(&plane.nodes().await, FakeNode::default().json()).await;
    create(&plane.pods().await, pod("small", "1")).await;
    let rewriter = Rewriter::start(&plane, PAGE).await;
    Some((plane, rewriter))
}

fn is_pod(object: &Value) -> bool {
    object["metadata"]["name"] == "small"
}

fn break_pod(object: &mut Value) {
    if is_pod(object) {
        object["spec"]["containers"] = json!("none");
    }
}

async fn touch(plane: &ControlPlane, label: &str) {
    let touched = json!({ "metadata": { "labels": { "touched": label } } });
    let touched = Patch::Merge(&touched);
    plane.pods().await.patch("small", &PatchParams::default(), &touched).await.unwrap();
}

/// Waits until all is unknown for the one pod.
async fn is_unknown(kube: &Kube) {
    wait::until("the pod to be named", || async {
        let View::Unknown { why } = kube.observe().await else { return false };
        why.contains("1 of the pods cannot be read: default/small: invalid type")
    })
    .await;
}

#[tokio::test]
async fn a_pod_of_a_list_that_cannot_be_read_is_named_and_nothing_is_known_until_it_can_be() {
    let Some((plane, rewriter)) = populated().await else { return };
    rewriter.change(break_pod);
    let kube = by(&rewriter).await;
    is_unknown(&kube).await;
    rewriter.change(|_| ());
    touch(&plane, "once").await;
    sees(&kube, "all", |view| seen_pod(view, "small").is_some() && node(view, "one").is_some())
        .await;
}

/// The library goes on after such an event as if it had not been told.
#[tokio::test]
async fn a_pod_that_cannot_be_read_any_more_is_not_seen_as_it_was() {
    let Some((plane, rewriter)) = populated().await else { return };
    let kube = by(&rewriter).await;
    sees(&kube, "the pod", |view| seen_pod(view, "small").is_some()).await;
    rewriter.change(break_pod);
    touch(&plane, "once").await;
    is_unknown(&kube).await;
    create(&plane.pods().await, pod("other", "1")).await;
    let heard = wait::comes_true(Duration::from_secs(4), || async {
        kube.observe().await.known().is_some()
    });
    assert!(!heard.await, "what is told of others says nothing of it");
    plane.pods().await.delete("small", &DeleteParams::default()).await.unwrap();
    sees(&kube, "the others", |view| seen_pod(view, "other").is_some()).await;
}

#[tokio::test]
async fn objects_of_megabytes_are_small_views_and_absurd_amounts_neither_room_nor_nothing() {
    let Some((_plane, rewriter)) = populated().await else { return };
    rewriter.change(|object| {
        let annotations = json!({ "example.dev/blob": "x".repeat(5 << 20) });
        if object["metadata"]["name"] == "one" {
            object["metadata"]["annotations"] = annotations;
            object["status"]["allocatable"] =
                json!({ "cpu": "-4", "memory": "9e99", "pods": "many", "example.dev/gpu": "1parsec" });
        } else if is_pod(object) {
            object["metadata"]["annotations"] = annotations;
            object["spec"]["containers"][0]["resources"]["requests"] =
                json!({ "cpu": "99999999999999999999", "memory": "much" });
        }
    });
    let kube = by(&rewriter).await;
    let view = sees(&kube, "both", |view| {
        seen_pod(view, "small").is_some() && node(view, "one").is_some()
    })
    .await;
    let (one, small) = (node(&view, "one").unwrap(), seen_pod(&view, "small").unwrap());
    let kept = serde_json::to_string(&(one, small)).unwrap();
    assert!(kept.len() < 4_096, "{} bytes are kept", kept.len());
    let (room, asked) = (&one.allocatable, &small.spec.requests);
    assert_eq!((room.cpu_milli, room.pods), (0, 0), "{room:?}");
    assert!(
        !asked.fits_in(room) && asked.cpu_milli > 1 << 40 && asked.memory > 1 << 50,
        "{asked:?}"
    );
}

/// What was deleted meanwhile is never seen as if it were there still.
#[cfg(feature = "killpoints")]
#[tokio::test]
async fn a_watch_whose_place_is_forgotten_lists_anew_and_until_then_the_view_is_old() {
    use super::lists;
    use crate::support::proxy::{Link, Proxy};
    use bellwether::model::duration;
    use k8s_openapi::api::core::v1::Node;
    use kube::Api;
    let Some(plane) = control_plane::start_with(&forgetful()).await else { return };
    let nodes: Api<Node> = plane.nodes().await;
    create(&nodes, FakeNode { name: "gone", ..FakeNode::default() }.json()).await;
    let proxy = Proxy::start(plane.port()).await;
    let kube = super::connect_through(&plane, proxy.port).await;
    sees(&kube, "the node", |view| node(view, "gone").is_some()).await;
    let before = lists(&plane).await;
    proxy.set(Link::Cut);
    let cut = Clock::system().now();
    nodes.delete("gone", &DeleteParams::default()).await.unwrap();
    for name in ["new", "newer"] {
        create(&nodes, FakeNode { name, ..FakeNode::default() }.json()).await;
    }
    plane.compact().await;
    proxy.set(Link::Well);
    wait::until("what is there now", || async {
        match kube.observe().await {
            View::Known { at, value } if node(&value, "gone").is_some() => {
                let later = duration::since(cut, at);
                assert!(later < Duration::from_secs(1), "it is seen as of {later:?} later");
                false
            }
            View::Known { value, .. } => {
                let is_there = |name: &str| node(&value, name).is_some();
                assert!(is_there("new") && is_there("newer"), "a part is no view");
                true
            }
            View::Unknown { .. } => false,
        }
    })
    .await;
    assert_ne!(lists(&plane).await, before, "etcd had not forgotten it");
}

#[tokio::test]
async fn a_list_whose_next_page_is_forgotten_begins_anew() {
    let Some(plane) = control_plane::start_with(&forgetful()).await else { return };
    let nodes = plane.nodes().await;
    let create = async |name: &str| {
        create(&nodes, FakeNode { name, ..FakeNode::default() }.json()).await;
    };
    for name in ["one", "two", "three", "four", "five"] {
        create(name).await;
    }
    let rewriter = Rewriter::start(&plane, PAGE).await;
    rewriter.open(false);
    let kube = by(&rewriter).await;
    wait::until("the second page to be asked for", || async { rewriter.waiting() >= 2 }).await;
    assert!(kube.observe().await.known().is_none(), "a page is no view");
    create("six").await;
    create("seven").await;
    plane.compact().await;
    rewriter.open(true);
    let view = sees(&kube, "all nodes", |_| true).await;
    assert_eq!(view.nodes().count(), 7);
    assert!(rewriter.pages().contains(&410), "{:?}", rewriter.pages());
}
