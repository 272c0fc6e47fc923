//! Programs that know nothing of each other, on one cluster: each has a store of its own, and only the cluster itself keeps
//! them apart.

use super::LONG;
use super::scene::{SHORT, Scene, Setting, Stores};
use crate::support::wait;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_installs_on_one_cluster_one_acts_and_the_other_when_it_is_gone() {
    let setting = Setting { stores: Stores::OneEach, claim_ttl: SHORT, ..Setting::default() };
    let Some(mut scene) = Scene::start(setting).await else { return };
    let first = scene.held().await;
    scene.only_acts(first).await;
    // Both know of the need, and each would serve it.
    scene.need(4).await;
    scene.settled_for_good(2, 0).await;
    scene.replicas[first].kill();
    scene.need(6).await;
    scene.settled_for_good(3, 0).await;
    scene.only_acts(1 - first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_installs_on_one_cluster_end_one_worker_where_one_is_too_many() {
    let setting = Setting { stores: Stores::OneEach, claim_ttl: LONG, ..Setting::default() };
    let Some(scene) = Scene::start(setting).await else { return };
    scene.need(4).await;
    scene.settled(2, 0).await;
    scene.need_one_less().await;
    for replica in &scene.replicas {
        let known = || async {
            let signals = replica.get("/v1/signals").await.unwrap_or_default();
            signals.to_string().contains("SustainedIdle")
        };
        wait::until("the idle alert to be known to both", known).await;
    }
    scene.settled_for_good(2, 1).await;
    assert_eq!(scene.calls("cordon").len(), 1, "one of them chose one worker");
}
