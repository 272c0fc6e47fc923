//! Links to an apiserver that break and lag: what is seen is seen whole, in the end all of it, and none of it is asked for
//! again without need.

use super::{connect_through, lists, node, sees};
use crate::support::control_plane::{self, FakeNode, Setting, create};
use crate::support::proxy::{Link, Proxy};
use crate::support::wait;
use bellwether::cluster::Cluster as _;
use bellwether::model::View;
use std::time::Duration;

#[tokio::test]
async fn watches_that_are_cut_again_and_again_hear_of_everything_and_list_nothing_anew() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let proxy = Proxy::start(plane.port()).await;
    let kube = connect_through(&plane, proxy.port).await;
    sees(&kube, "the cluster", |_| true).await;
    let (before, nodes) = (lists(&plane).await, plane.nodes().await);
    for number in 1..=6 {
        proxy.set(Link::Cut);
        let name = format!("node-{number}");
        create(&nodes, FakeNode { name: &name, ..FakeNode::default() }.json()).await;
        proxy.set(Link::Well);
        sees(&kube, "the node that came meanwhile", |view| node(view, &name).is_some()).await;
    }
    assert_eq!(lists(&plane).await, before);
}

/// A list that is under way is no view: part of a cluster would look like the whole of a smaller one.
#[tokio::test]
async fn a_list_that_comes_slowly_is_no_view_until_it_is_whole() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let nodes = plane.nodes().await;
    for number in 0..60 {
        let name = format!("node-{number}");
        create(&nodes, FakeNode { name: &name, ..FakeNode::default() }.json()).await;
    }
    let proxy = Proxy::start(plane.port()).await;
    proxy.set(Link::Slow(8 << 10));
    let kube = connect_through(&plane, proxy.port).await;
    wait::until("the whole view", || async {
        match kube.observe().await {
            View::Known { value, .. } => {
                assert_eq!(value.nodes().count(), 60);
                true
            }
            View::Unknown { why } => {
                assert!(why.contains("not listed yet") || why.contains("watched"), "{why}");
                false
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_heard_is_seen_as_old_as_it_is_and_as_new_again() {
    let Some(plane) = control_plane::start_with(&Setting::bare()).await else { return };
    let proxy = Proxy::start(plane.port()).await;
    let kube = connect_through(&plane, proxy.port).await;
    sees(&kube, "the cluster", |_| true).await;
    proxy.set(Link::HalfOpen);
    let age = async || {
        let View::Known { at, .. } = kube.observe().await else { panic!("it is lost") };
        bellwether::model::duration::since(at, bellwether::clock::Clock::system().now())
    };
    wait::until("a view that grows old", || async { age().await > Duration::from_secs(4) }).await;
    proxy.set(Link::Well);
    wait::until("a new view", || async { age().await < Duration::from_secs(2) }).await;
}
