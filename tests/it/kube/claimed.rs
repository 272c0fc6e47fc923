//! A node that two pools claim: its worker is of one, and it says the other.

use crate::support::control_plane::Setting;
use crate::support::kubelets::node_of;
use crate::support::yard::Yard;
use kube::api::{Patch, PatchParams};
use serde_json::json;

async fn say(yard: &Yard, node: &str, pool: &str) {
    let label = json!({ "metadata": { "labels": { "bellwether.dev/pool": pool } } });
    let (nodes, params) = (yard.plane.nodes().await, PatchParams::default());
    nodes.patch(node, &params, &Patch::Merge(&label)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_two_pools_claim_is_left_alone_and_named_until_they_agree() {
    let Some(yard) = Yard::start(&Setting::default(), "not_ready_deadline: 5s").await else {
        return;
    };
    yard.grow(1, 1).await;
    let workers = yard.workers().await;
    let worker = workers[0]["id"].as_str().unwrap();
    let node = node_of(worker);
    say(&yard, &node, "others").await;
    let told = async || {
        let url = format!("{}/v1/decisions", yard.program.url);
        let told = reqwest::get(url).await.unwrap().text().await.unwrap();
        told.contains(&format!("whose node {node} is")) && told.contains("it says pool others")
    };
    yard.until("it to be named", told).await;
    // Neither idle nor sick is it ended.
    yard.wish(-1).await;
    yard.passes(2).await;
    yard.kubelets.silence(worker).await;
    let sick = std::time::Instant::now();
    yard.until("it to be sick for long", async || sick.elapsed().as_secs() > 8).await;
    yard.passes(2).await;
    assert_eq!((yard.ended(), yard.nodes().await.len()), (0, 1));
    say(&yard, &node, "workers").await;
    yard.until("its end as a sick one", async || yard.ended() == 1).await;
}
