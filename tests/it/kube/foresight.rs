//! Need before the mark, on a real cluster: pods that the real scheduler has not judged, for it is not there.

use super::{create, pod};
use crate::support::control_plane::{FakeNode, Part, Setting, is_bound, until};
use crate::support::wait;
use crate::support::yard::Yard;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;

/// So many are enough to judge us by.
const ENOUGH: usize = 104;

/// A pool with room for all of them, at once.
const ROOMY: &str = "max: 300";

fn launched(yard: &Yard) -> usize {
    let calls = yard.world.calls();
    calls.iter().filter(|call| call.name() == "launch").map(|call| call.new).sum()
}

/// One Ready worker that a pod fills, and no scheduler.
async fn full() -> Option<Yard> {
    let mut yard = Yard::start(&Setting::default(), "").await?;
    yard.grow(1, 1).await;
    create::<Pod>(&yard.plane.pods().await, pod("fills", "3800m")).await;
    until(&yard.plane.pods().await, "fills", "the pod to be bound", is_bound).await;
    yard.plane.kill(Part::Scheduler);
    Some(yard)
}

async fn unjudged(yard: &Yard) -> bool {
    let pods = yard.plane.pods().await.list(&ListParams::default()).await.unwrap();
    let conditions = |pod: &Pod| pod.status.clone().and_then(|status| status.conditions);
    pods.iter()
        .filter(|pod| !is_bound(pod))
        .all(|pod| conditions(pod).unwrap_or_default().is_empty())
}

/// What a sensor says.
async fn sensor(yard: &Yard, name: &str) -> Option<f64> {
    let url = format!("{}/metrics", yard.program.url);
    let text = reqwest::get(url).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

async fn predictions(yard: &Yard, outcome: &str) -> f64 {
    let name = format!("bellwether_predictions{{cluster=\"default\",outcome=\"{outcome}\"}}");
    sensor(yard, &name).await.unwrap_or_default()
}

async fn is_on(yard: &Yard) -> Option<bool> {
    sensor(yard, "bellwether_prediction_on{").await.map(|on| on > 0.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_the_scheduler_has_not_judged_are_need_and_it_binds_them_to_what_comes() {
    let Some(mut yard) = full().await else { return };
    create::<Pod>(&yard.plane.pods().await, pod("web", "3")).await;
    wait::until("the launch", || async { launched(&yard) == 2 }).await;
    assert!(unjudged(&yard).await, "somebody marked it");
    yard.until("the worker", async || yard.are_ready(2).await).await;
    assert_eq!(launched(&yard), 2);
    yard.plane.restart(Part::Scheduler).await;
    until(&yard.plane.pods().await, "web", "the pod to be bound", is_bound).await;
    wait::until("it to be right", || async { predictions(&yard, "right").await >= 1.0 }).await;
    assert!(predictions(&yard, "wrong").await < 1.0);
}

/// A foreign node with room for all of them, which one pod takes up.
async fn vast(yard: &Yard) {
    let vast =
        FakeNode { name: "vast", cpu: "400", memory: "400Gi", pods: 400, ..FakeNode::default() };
    create(&yard.plane.nodes().await, vast.json()).await;
    let pods = yard.plane.pods().await;
    create::<Pod>(&pods, pod("whale", "399")).await;
    until(&pods, "whale", "the pod to be bound", is_bound).await;
}

/// Pods of which a worker holds one each.
async fn wait_for_room(yard: &Yard, name: &str, count: usize) {
    let pods = yard.plane.pods().await;
    for number in 0..count {
        create::<Pod>(&pods, pod(&format!("{name}-{number}"), "2500m")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_the_scheduler_places_after_all_are_false_and_many_end_it_until_an_operator_resumes()
 {
    let Some(mut yard) = Yard::start(&Setting::default(), ROOMY).await else { return };
    vast(&yard).await;
    yard.plane.kill(Part::Scheduler);
    wait_for_room(&yard, "web", ENOUGH).await;
    wait::until("the launches", || async { launched(&yard) == ENOUGH }).await;
    // Room that nobody could foresee, before the workers join.
    let pods = yard.plane.pods().await;
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    pods.delete("whale", &at_once).await.unwrap();
    yard.plane.restart(Part::Scheduler).await;
    wait::until("them to be on the old node", || async {
        pods.list(&ListParams::default()).await.unwrap().iter().all(is_bound)
    })
    .await;
    wait::until("it to be switched off", || async { is_on(&yard).await == Some(false) }).await;
    assert!(predictions(&yard, "wrong").await >= 100.0);
    yard.plane.kill(Part::Scheduler);
    // A place on the old node for as many as it has left, and each worker that comes is one for another.
    let room = (400 - ENOUGH * 5 / 2) * 2 / 5;
    wait_for_room(&yard, "more", room + ENOUGH + 1).await;
    yard.passes(3).await;
    assert_eq!(launched(&yard), ENOUGH, "it is foreseen still");
    let client = reqwest::Client::new();
    let resume = client.post(format!("{}/v1/resume", yard.program.url));
    let asked = resume.json(&json!({ "what": "predictions" })).send().await.unwrap();
    assert!(asked.status().is_success());
    wait::until("it to be on again", || async { is_on(&yard).await == Some(true) }).await;
    wait::until("a launch for the one", || async { launched(&yard) == ENOUGH + 1 }).await;
}
