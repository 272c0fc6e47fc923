//! Need before the mark, on a real cluster: pods that the real scheduler has not judged, for it is not there.

use super::{create, pod};
use crate::support::control_plane::{Part, Setting, is_bound, until};
use crate::support::wait;
use crate::support::yard::Yard;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;

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
