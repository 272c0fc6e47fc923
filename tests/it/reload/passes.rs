//! What a reload does to the loop: one snapshot for each pass, and nothing removed by an edit.

use super::{Program, one, pool, workers};
use crate::support::scripted::{Answer, Scripted};
use crate::support::wait;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What a pool's last decision and its workers look like.
async fn shown(program: &Program, name: &str) -> Value {
    let pools = program.get("/v1/pools").await["clusters"]["one"]["pools"].clone();
    let found = pools.as_array().into_iter().flatten().find(|pool| pool["pool"] == name);
    found.cloned().unwrap_or_default()
}

/// The ids of its workers, once so many are Ready.
async fn ready(program: &Program, name: &str, count: usize) -> Vec<String> {
    let ids = async || {
        let workers = program.get("/v1/workers").await["clusters"]["one"]["workers"].clone();
        let ready = workers.as_array().cloned().unwrap_or_default().into_iter();
        let ready = ready.filter(|w| w["pool"] == name && w["state"]["state"] == "ready");
        ready.map(|worker| worker["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait::until("workers to be Ready", || async { ids().await.len() == count }).await;
    ids().await
}

/// What was done to machines so far, by the history.
async fn acts(program: &Program) -> Vec<Value> {
    let history = program.get("/v1/history?limit=1000").await["clusters"]["one"]["history"].clone();
    let lines = history.as_array().unwrap().iter();
    lines.filter(|line| line["kind"] == "done").map(|line| line["what"].clone()).collect()
}

/// The pass hangs on Alertmanager's answer while the file changes: it ends as it began, with the bounds it began with
/// and the receiver it asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_pass_under_way_keeps_its_snapshot_and_the_next_has_the_new_one() {
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let server = Scripted::start(move |request| {
        let is_first = request.target.starts_with("/api/v2/alerts?");
        if is_first { Answer::Held(held.clone(), 500) } else { Answer::Silence }
    })
    .await;
    let top = |receiver: &str| {
        format!("alertmanager: {{ urls: [\"{}\"], timeout: 1m, receiver: {receiver} }}", server.url)
    };
    let asked = || {
        let asked = server.asked().into_iter().map(|request| request.target);
        asked.filter(|target| target.starts_with("/api/v2/alerts?")).collect::<Vec<_>>()
    };
    let program = Program::start(&workers(9, &top("before"))).await;
    wait::until("the first question", || async { asked().len() == 1 }).await;
    program.reload(&workers(7, &top("after"))).await;
    assert_eq!(program.max().await, 7);
    gate.add_permits(1);
    wait::until("the question of the next pass", || async { asked().len() == 2 }).await;
    assert_eq!(shown(&program, "workers").await["max"], 9, "of the pass that was under way");
    let asked = asked();
    assert!(
        asked[0].ends_with("receiver=before") && asked[1].ends_with("receiver=after"),
        "{asked:?}"
    );
    gate.add_permits(1);
    wait::until("the next pass", || async { shown(&program, "workers").await["max"] == 7 }).await;
}

/// A pool that left the file: counted, shown, never touched; and ours again when it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_leaves_the_file_is_left_alone_until_it_comes_back() {
    let workers = format!("workers: {}", pool(9, "min: 1"));
    let (old, empty) =
        (format!("old: {}", pool(9, "min: 2, min_age: 0s")), format!("empty: {}", pool(9, "")));
    let all = one(&format!("{workers}, {old}, {empty}"));
    let program = Program::start(&all).await;
    let ids = ready(&program, "old", 2).await;
    ready(&program, "workers", 1).await;
    let before = acts(&program).await;
    let gauge = |name: &str, bound: &str, pool: &str| {
        format!("bellwether_{name}{{{bound}cluster=\"one\",pool=\"{pool}\"")
    };
    let max = gauge("pool_workers", "bound=\"max\",", "old") + "}";
    assert_eq!(program.metric(&max).await, Some(9.0));
    program.reload(&one(&workers)).await;
    wait::until("it to be told as unmanaged", || async {
        shown(&program, "old").await["decision"]["reason"]["code"] == "unmanaged"
    })
    .await;
    program.passes(10).await;
    assert_eq!(shown(&program, "old").await["decision"]["have"], 2);
    assert_eq!(ready(&program, "old", 2).await, ids);
    assert_eq!(acts(&program).await, before, "nothing was done to any machine");
    let count = gauge("workers", "", "old") + ",state=\"ready\"}";
    assert_eq!(program.metric(&count).await, Some(2.0));
    assert_eq!(program.metric(&max).await, None, "it has no bounds any more");
    let nothing = [
        gauge("workers", "", "empty") + ",state=\"ready\"}",
        gauge("breaker_state", "", "empty") + "}",
        gauge("offerings_backed_off", "", "empty") + "}",
    ];
    for series in &nothing {
        assert_eq!(program.metric(series).await, None, "it has no workers and is gone");
    }
    // What the file says of its bounds holds again.
    program.reload(&all.replace("min: 2", "min: 3")).await;
    let again = ready(&program, "old", 3).await;
    assert!(ids.iter().all(|id| again.contains(id)), "the same workers, and one more");
    assert_eq!(shown(&program, "old").await["max"], 9);
    assert_eq!(program.metric(&max).await, Some(9.0));
    assert!(program.metric(&nothing[0]).await.is_some());
}

/// A pool that asked to be drained when it leaves: the process knows what it was after the file does not say it any
/// more, also when it starts anew. Here no Alertmanager answers, so nothing goes.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_asked_for_it_is_told_as_removed_and_holds_like_any_other() {
    let workers = format!("workers: {}", pool(9, ""));
    let old = format!("old: {}", pool(9, "min: 2, min_age: 0s, drain: { when_removed: true }"));
    let top = "store: { url: \"file:FOLDER/store\" }\n";
    let file = |pools: &str| {
        let kept = one(pools).replace("boot: 100ms", "boot: 100ms, state: FOLDER/world.json");
        top.to_owned() + &kept
    };
    let both = file(&format!("{workers}, {old}"));
    let mut program = Program::start(&both).await;
    let ids = ready(&program, "old", 2).await;
    program.passes(2).await;
    program.reload(&file(&workers)).await;
    let told = async |program: &Program| {
        let decision = shown(program, "old").await["decision"].clone();
        let also = decision["also"].as_array().cloned().unwrap_or_default();
        decision["reason"]["code"] == "alertmanager_away"
            && also.iter().any(|reason| reason["code"] == "removed")
    };
    wait::until("it to be told as removed", || told(&program)).await;
    program.restart().await;
    wait::until("it to be told as removed after a start", || told(&program)).await;
    program.passes(5).await;
    assert_eq!(ready(&program, "old", 2).await, ids, "nobody knows of pauses, so they stay");
}

/// More workers than `max` are no reason to remove one.
#[tokio::test(flavor = "multi_thread")]
async fn lowering_max_removes_nothing() {
    let pools = |bounds: &str| {
        one(&format!("workers: {{ provider: {{ sim: {{}} }}, min_age: 0s, {bounds} }}"))
    };
    let program = Program::start(&pools("min: 3, max: 3")).await;
    let ids = ready(&program, "workers", 3).await;
    let before = acts(&program).await;
    program.reload(&pools("min: 0, max: 1")).await;
    wait::until("the pass with the new bound", || async {
        shown(&program, "workers").await["max"] == 1
    })
    .await;
    program.passes(10).await;
    assert_eq!(ready(&program, "workers", 3).await, ids);
    assert_eq!(acts(&program).await, before);
}
