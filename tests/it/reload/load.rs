//! Reloading under load.

use super::{Program, workers};
use crate::support::inlet::delivery;
use bellwether::clock::Clock;
use bellwether::model::Source;
use bellwether::store::{Embedded, Retention, Store};
use reqwest::Client;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// Callers, each with one connection that stays.
const CALLERS: usize = 4;

/// Reloads, every second one of a bad file.
const RELOADS: u32 = 40;

/// Deliveries at the least, in all.
const DELIVERIES: usize = 1_000;

/// Delivers alerts of its own, one after the other, until told to stop; the numbers of those that were answered 200.
async fn caller(
    number: usize,
    url: String,
    taken: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
) -> Vec<String> {
    let client = Client::builder().pool_max_idle_per_host(1).build().unwrap();
    let mut stored = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let name = format!("{number}-{}", stored.len());
        let post =
            client.post(&url).bearer_auth("deliverer").json(&delivery(&json!({ "n": name })));
        let answer = post.send().await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(answer.status(), 200, "{name}");
        stored.push(name);
        taken.fetch_add(1, Ordering::SeqCst);
    }
    stored
}

/// I9: hundreds of deliveries a second, dozens of reloads, good and bad by turns, with a token that changes each time:
/// every delivery is answered 200, and what was answered so is in the store.
#[tokio::test(flavor = "multi_thread")]
async fn no_delivery_is_refused_or_lost_while_files_good_and_bad_come_and_go() {
    let top = |token: u32| {
        format!(
            "store: {{ url: \"file:FOLDER/store\" }}
auth: {{ tokens: [{{ role: webhook, token: deliverer }}, {{ role: viewer, token: watcher }}, {{ role: operator, token: t{token} }}] }}"
        )
    };
    let program =
        Program::start_at(&workers(9, &top(0)), "bellwether.yaml", Some("watcher"), |_| ()).await;
    let (over, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        callers.spawn(caller(number, program.url("/v1/alerts"), taken.clone(), over.clone()));
    }
    for number in 1..=RELOADS {
        if number % 2 == 0 {
            program.reload(&workers(9 + number, &top(number))).await;
            assert_eq!(program.max().await, 9 + number);
            let with = async |token: u32| {
                let get =
                    program.client.get(program.url("/v1/pools")).bearer_auth(format!("t{token}"));
                get.send().await.unwrap().status().as_u16()
            };
            assert_eq!([with(number).await, with(number - 2).await], [200, 401]);
        } else {
            program.write(&workers(9, &top(number)).replace("max: 9", "max: none"));
            program.hang_up();
            program.stands("a bad file", |standing| !standing["wrong"].is_null()).await;
        }
    }
    // A busy machine reloads slowly and delivers slowly; enough of both is what counts.
    let is_enough = || async { taken.load(Ordering::SeqCst) >= DELIVERIES };
    crate::support::wait::until("enough deliveries", is_enough).await;
    over.store(true, Ordering::SeqCst);
    let stored: BTreeSet<String> = callers.join_all().await.into_iter().flatten().collect();
    let folder = program.folder;
    drop(program.process);
    let retention = Retention { entries: 9, age: Duration::from_secs(9) };
    let store = Embedded::open(&folder.path().join("store"), Clock::system(), retention).unwrap();
    let kept: BTreeSet<String> =
        store.signals(&"one".into()).await.unwrap().into_iter().map(number_of).collect();
    let lost: Vec<&String> = stored.difference(&kept).collect();
    assert!(lost.is_empty(), "answered 200 and lost: {lost:?} of {}", stored.len());
}

fn number_of(signal: bellwether::model::Signal) -> String {
    let Source::Alert { labels, .. } = signal.source else { panic!("no alert") };
    labels["n"].clone()
}
