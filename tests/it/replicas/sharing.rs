//! Several replicas that are well: who takes, who acts, who answers.

use super::scene::{SLACK, Scene, Setting};
use super::{LONG, now};
use crate::support::inlet::delivery;
use crate::support::proxy::Link;
use crate::support::wait;
use bellwether::model::duration;
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::time::Duration;

/// How long "at any time" is watched, in looks at everybody.
const LOOKS: usize = 20;

/// Alertmanager delivers to all three, and everything comes to each of them many times more.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_delivered_to_all_replicas_is_done_once_by_the_one_that_holds_the_claim() {
    let setting = Setting { replicas: 3, claim_ttl: LONG, ..Setting::default() };
    let Some(scene) = Scene::start(setting).await else { return };
    let holder = scene.held().await;
    scene.need(6).await;
    let body = delivery(&json!({ "alertname": "PodsUnschedulable", "cluster": "default" }));
    let client = reqwest::Client::new();
    let posts = (0..30).map(|n| {
        let url = format!("{}/v1/alerts", scene.replicas[n % 3].url);
        client.post(url).json(&body).send()
    });
    for answer in join_all(posts).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    for _ in 0..LOOKS {
        assert_eq!(scene.acting().await, [holder], "exactly one, at any time");
    }
    scene.settled_for_good(3, 0).await;
    for replica in &scene.replicas {
        let taken = replica.count(&["bellwether_http_alerts_total", "accepted"]).await;
        assert!(taken > 10, "Alertmanager delivers to each: {taken}");
    }
    assert_eq!(scene.acting().await, [holder]);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_replica_answers_what_is_read_and_is_ready() {
    let Some(scene) = Scene::start(Setting { claim_ttl: LONG, ..Setting::default() }).await else {
        return;
    };
    scene.need(4).await;
    scene.settled(2, 0).await;
    let holder = scene.held().await;
    for part in ["workers", "nodes", "pools", "signals", "history"] {
        let path = format!("/v1/{part}");
        let what = format!("the same {part} from both");
        wait::until(&what, || async {
            let answers = scene.all_answer(&path).await;
            let [one, other] = [0, 1].map(|n| shared(&answers[n], part));
            one == other && !one.is_empty()
        })
        .await;
    }
    for replica in &scene.replicas {
        assert!(replica.is_ready().await);
    }
    assert_eq!(scene.acting().await, [holder], "in this alone they differ");
}

/// What is the same whoever looked: the plan of a replica that does not hold is its own.
fn shared(answer: &Value, part: &str) -> Vec<Value> {
    let all = answer["clusters"]["default"][part].as_array().cloned().unwrap_or_default();
    let one = |one: Value| match part {
        "pools" => json!([one["pool"], one["states"]]),
        "signals" => one["signal"]["id"].clone(),
        _ => one,
    };
    all.into_iter().map(one).collect()
}

/// The loop looks by itself only each minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_to_a_replica_that_does_not_hold_wakes_the_one_that_does() {
    let setting =
        Setting { claim_ttl: LONG, interval: Duration::from_mins(1), ..Setting::default() };
    let Some(mut scene) = Scene::new(setting).await else { return };
    scene.pods(2);
    scene.replicas[0].start(&[]).await;
    scene.settled(1, 0).await;
    scene.replicas[1].start(&[]).await;
    scene.replicas[0].links.webhook.set(Link::Cut);
    scene.pods(4);
    // The one delivery is to find them: the next one comes late.
    wait::until("pods to find no node", || async {
        scene.world.summary()["pods"]["unschedulable"] == 2
    })
    .await;
    let fired = now();
    scene.need(4).await;
    wait::until("the launch", || async { scene.launched() == 2 }).await;
    let took = duration::since(fired, now());
    assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
    let taken = scene.replicas[0].count(&["bellwether_http_alerts_total"]).await;
    assert_eq!(taken, 0, "none came to it");
    assert_eq!(scene.acting().await, [0]);
    scene.keeps_its_promises();
}
