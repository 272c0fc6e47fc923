//! Fields that only a start reads, and clusters that come and go.

use super::{Program, one, pool, workers};
use crate::support::inlet::delivery;
use serde_json::{Value, json};

fn cluster(name: &str, max: u32) -> String {
    let workers = pool(max, "");
    format!("  {name}: {{ kubernetes: {{ sim: {{}} }}, pools: {{ workers: {workers} }} }}\n")
}

fn clusters(names: &[&str]) -> String {
    names.iter().fold("clusters:\n".to_owned(), |text, name| text + &cluster(name, 9))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_start_reads_stays_as_it_runs_and_is_told() {
    let program = Program::start(&workers(9, "")).await;
    let running = program.get("/v1/config").await;
    let top = "listen: 127.0.0.1:1
store: { url: \"file:FOLDER/store\", claim_ttl: 3s, history: { entries: 200 } }
shutdown_grace: 3s";
    program.reload(&workers(8, top).replace("boot: 100ms", "boot: 1h")).await;
    let later = json!([
        "listen",
        "store.url",
        "store.history.entries",
        "shutdown_grace",
        "clusters.one.kubernetes"
    ]);
    assert_eq!(program.standing().await["at_next_start"], later);
    let mut expected = running;
    expected["store"]["claim_ttl"] = json!("3s");
    let pool = &mut expected["clusters"]["one"]["pools"]["workers"];
    pool["max"] = json!(8);
    assert_eq!(program.get("/v1/config").await, expected, "and what is live was taken");
    assert!(!program.folder.path().join("store").exists());
    assert!(program.process.log().contains("changed, takes effect at the next start"));
    assert!(program.status(&[]).contains("takes effect at the next start: listen, store.url"));
    program.reload(&workers(8, "")).await;
    assert_eq!(program.standing().await["at_next_start"], json!([]), "it is as it runs again");
}

/// A cluster that comes has no loop before the next start, so nothing is taken for it; one that left has its loop
/// still, which goes on as before.
#[tokio::test(flavor = "multi_thread")]
async fn clusters_come_and_go_at_the_next_start() {
    let program = Program::start(&clusters(&["one", "two"])).await;
    program.reload(&clusters(&["two", "three"])).await;
    let told = program.standing().await["at_next_start"].clone();
    assert_eq!(told, json!(["clusters.one", "clusters.three"]));
    let known: Vec<String> =
        program.get("/v1/status").await["clusters"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(known, ["one", "two"]);
    for (name, outcome) in [("one", "accepted"), ("two", "accepted"), ("three", "refused")] {
        let (status, answer) = program.post(&delivery(&json!({ "cluster": name }))).await;
        assert_eq!((status, &answer[outcome]), (200, &json!(1)), "{name}: {answer}");
    }
    for name in ["one", "two"] {
        let told = |answer: &Value| answer["clusters"][name]["signals"].as_array().map(Vec::len);
        crate::support::wait::until(name, || async {
            told(&program.get("/v1/signals").await) == Some(1)
        })
        .await;
    }
    program.reload(&clusters(&["one", "two"])).await;
    assert_eq!(program.standing().await["at_next_start"], json!([]));
}

/// The next pass comes when the new interval says, not when the old one would have.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_holds_from_the_next_pass_which_comes_at_once() {
    let slow = "reconcile: { interval: 1h, busy_interval: 1h, overdue: 2h }";
    let program = Program::start(&workers(9, slow)).await;
    // One at the start, one when the claim is gained; then none for an hour.
    crate::support::wait::until("the first two", || async { program.passed().await == 2 }).await;
    let text = format!("{slow}\n{}", one(&format!("workers: {}", pool(9, "min: 2"))));
    program.reload(&text).await;
    let min = |pools: &Value| pools["clusters"]["one"]["pools"][0]["min"].clone();
    crate::support::wait::until("the pass with the new bound", || async {
        min(&program.get("/v1/pools").await) == 2
    })
    .await;
}
