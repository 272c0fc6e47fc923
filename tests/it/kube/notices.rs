//! What a provider says of machines that it takes back, on a real control plane: each is answered once, and of ours only. And a
//! control plane whose clock is not ours.

use crate::support::control_plane::Setting;
use crate::support::kubelets::node_of;
use crate::support::yard::Yard;
use bellwether::clock::Clock;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use std::time::Duration;

const AHEAD: Duration = Duration::from_mins(2);

fn launched(yard: &Yard) -> usize {
    yard.world.calls().iter().filter(|call| call.name() == "launch").count()
}

/// W-66.
#[tokio::test(flavor = "multi_thread")]
async fn a_notice_that_is_repeated_is_answered_once_and_one_for_a_foreign_machine_never() {
    let Some(yard) = Yard::start(&Setting::default(), "min: 2").await else { return };
    yard.until("the minimum", async || yard.are_ready(2).await).await;
    let (before, foreign) = (launched(&yard), yard.world.add_foreign_instance());
    yard.world.notice(foreign.as_str(), AHEAD).unwrap();
    yard.passes(3).await;
    assert_eq!((launched(&yard), yard.ended(), yard.nodes().await.len()), (before, 0, 2));
    let worker = yard.workers().await.remove(0);
    let (id, machine) = (worker["id"].as_str().unwrap(), worker["instance"].as_str().unwrap());
    yard.world.notice(machine, AHEAD).unwrap();
    yard.until("another in its place", async || {
        // Its deadline moves each time, as it is told again.
        let _ = yard.world.notice(machine, AHEAD);
        let workers = yard.workers().await;
        let is_gone = !workers.iter().any(|one| one["id"] == id);
        is_gone && yard.are_ready(2).await && yard.nodes().await.len() == 2
    })
    .await;
    yard.passes(3).await;
    assert_eq!((launched(&yard), yard.ended()), (before + 1, 1));
    let machines = yard.world.machines();
    let theirs = machines.iter().find(|one| one.id == foreign).unwrap();
    assert!(theirs.is_live(), "{theirs:?}");
}

/// It says that a node has not been Ready for hours, and has just begun to.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_not_given_up_by_the_clock_of_a_control_plane_that_is_behind() {
    let pool = "not_ready_deadline: 30m";
    let Some(yard) = Yard::start(&Setting::default(), pool).await else { return };
    yard.grow(3, 3).await;
    let worker = yard.workers().await.remove(0);
    let silent = worker["id"].as_str().unwrap();
    yard.kubelets.silence(silent).await;
    let long_ago = Clock::system().now() - jiff::SignedDuration::from_hours(3);
    let condition = json!({ "type": "Ready", "status": "Unknown", "lastTransitionTime": long_ago.strftime("%FT%TZ").to_string() });
    let told = json!({ "status": { "conditions": [condition] } });
    let nodes = yard.plane.nodes().await;
    let patch = Patch::Strategic(&told);
    nodes.patch_status(&node_of(silent), &PatchParams::default(), &patch).await.unwrap();
    yard.until("that it is seen", async || {
        let url = format!("{}/v1/explain/node/{}", yard.program.url, node_of(silent));
        let told = reqwest::get(url).await.unwrap().text().await.unwrap();
        told.contains("not Ready for 3h")
    })
    .await;
    yard.passes(3).await;
    assert_eq!((yard.ended(), yard.nodes().await.len()), (0, 3));
}
