//! Export and import: between all stores, by the trait and by the program.

use super::TTL;
use crate::contract::store::{all, cluster, everything, signal, start};
use crate::support::redis;
use crate::support::stores::{self, Stage};
use bellwether::clock::Clock;
use bellwether::model::{Claim, Token};
use bellwether::store::{Dump, Embedded, Error, HistoryQuery, Retention, Store};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

const RETENTION: Retention = Retention { entries: 3, age: TTL };

async fn stages() -> Vec<Stage> {
    let mut stages = vec![stores::memory(start(), RETENTION), stores::embedded(start(), RETENTION)];
    stages.extend(stores::redis(start(), RETENTION).await);
    stages
}

/// Something of everything, entries that are gone among it.
async fn fill(stage: &Stage) {
    let claim = stage.one.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    for n in 0..5 {
        stage.one.record_signals(&[signal(&format!("s{n}"), n)]).await.unwrap();
        stage.one.commit(&claim, &everything(&n.to_string())).await.unwrap();
    }
}

#[tokio::test]
async fn every_store_restores_what_every_store_dumps() {
    for from in &stages().await {
        fill(from).await;
        let dump = from.one.dump(&cluster()).await.unwrap();
        assert_eq!((dump.signals.len(), dump.history.len(), dump.last_entry), (5, 3, 5));
        for to in &stages().await {
            assert_eq!(to.one.dump(&cluster()).await.unwrap(), Dump::default());
            to.one.restore(&cluster(), &dump).await.unwrap();
            assert_eq!(all(&to.two).await, all(&from.one).await);
            assert_eq!(to.two.dump(&cluster()).await.unwrap(), dump);
            let claim =
                to.two.claim(&cluster(), "b", TTL, Token(0)).await.expect("nobody has the claim");
            assert!(claim.token > dump.token, "tokens grow on");
            to.two.commit(&claim, &everything("more")).await.unwrap();
            let query = HistoryQuery { limit: 1, before: None };
            assert_eq!(to.one.history(&cluster(), &query).await.unwrap()[0].id, 6);
        }
    }
}

#[tokio::test]
async fn numbers_grow_on_after_a_history_that_is_gone() {
    for to in &stages().await {
        let dump = Dump { token: Token(7), last_entry: 9, ..Dump::default() };
        to.one.restore(&cluster(), &dump).await.unwrap();
        let claim = to.one.claim(&cluster(), "b", TTL, Token(0)).await.unwrap();
        assert_eq!(claim.token.0, 8);
        to.one.commit(&claim, &everything("1")).await.unwrap();
        let query = HistoryQuery { limit: 9, before: None };
        assert_eq!(to.one.history(&cluster(), &query).await.unwrap()[0].id, 10);
    }
}

#[tokio::test]
async fn nothing_is_restored_over_anything() {
    let dump = Dump { last_entry: 9, ..Dump::default() };
    for to in &stages().await {
        to.one.record_signals(&[signal("f", 1)]).await.unwrap();
        let claim = to.one.claim(&"claimed".into(), "a", TTL, Token(0)).await.unwrap();
        to.one.release(&claim).await.unwrap();
        for name in [cluster(), "claimed".into()] {
            let before = to.one.dump(&name).await.unwrap();
            let refused = to.one.restore(&name, &dump).await;
            assert_eq!(refused, Err(Error::Occupied { cluster: name.clone() }));
            assert_eq!(to.one.dump(&name).await.unwrap(), before);
        }
        to.one.restore(&"clean".into(), &dump).await.unwrap();
    }
}

/// A write that was refused leaves nothing that could be lost.
#[tokio::test]
async fn who_was_refused_is_in_no_restores_way() {
    for to in &stages().await {
        let claim = to.one.claim(&"other".into(), "a", TTL, Token(0)).await.unwrap();
        let stranger = Claim { cluster: cluster(), ..claim };
        let fenced = Error::Fenced { token: stranger.token };
        assert_eq!(to.one.renew(&stranger, TTL).await, Err(fenced.clone()));
        assert_eq!(to.one.commit(&stranger, &everything("1")).await, Err(fenced));
        to.one.restore(&cluster(), &Dump::default()).await.unwrap();
    }
}

fn configure(folder: &Path, name: &str, url: &str, cluster: &str) {
    let text = format!(
        "store: {{ url: \"{url}\" }}
alertmanager: {{ urls: [http://127.0.0.1:9] }}
prometheus: {{ urls: [http://127.0.0.1:9] }}
clusters: {{ {cluster}: {{ kubernetes: {{ sim: {{}} }}, pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: 9 }} }} }} }}"
    );
    std::fs::write(folder.join(name), text).unwrap();
}

fn bellwether(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bellwether"));
    command.args(words).current_dir(folder).stdin(Stdio::null()).output().unwrap()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Backup is one command, and moving to another store two; the file of the old store is not touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_moved_from_the_file_to_redis_and_back() {
    let Some(server) = redis::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, "file.yaml", &format!("file:{}", folder.join("data").display()), "cluster");
    configure(folder, "redis.yaml", &server.url(), "cluster");
    let before = {
        let store = Embedded::open(&folder.join("data"), Clock::system(), redis::RETENTION);
        let store: Arc<dyn Store> = Arc::new(store.unwrap());
        let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
        store.record_signals(&[signal("f", 1)]).await.unwrap();
        store.commit(&claim, &everything("1")).await.unwrap();
        all(&store).await
    };
    let export = ["store", "export", "--config", "file.yaml", "copy.json"];
    let output = bellwether(folder, &export);
    assert!(output.status.success(), "{}", told(&output));
    assert!(
        told(&output).contains("cluster: 1 workers, 1 signals, 1 entries"),
        "{}",
        told(&output)
    );
    let import = ["store", "import", "--config", "redis.yaml", "copy.json"];
    let output = bellwether(folder, &import);
    assert!(output.status.success(), "{}", told(&output));
    let store: Arc<dyn Store> = Arc::new(server.store(""));
    let mut moved = all(&store).await;
    // Whoever acts next knows that it may be older than what was done.
    assert_eq!(moved.0.cluster.store_life.take().as_deref(), Some("copied"));
    assert_eq!(moved, before);
    let output = bellwether(folder, &import);
    assert!(!output.status.success());
    assert!(
        told(&output).contains("cluster cluster is not empty in this store"),
        "{}",
        told(&output)
    );
    let back = bellwether(folder, &["store", "export", "--config", "redis.yaml"]);
    let back = String::from_utf8(back.stdout).unwrap();
    let copy = std::fs::read_to_string(folder.join("copy.json")).unwrap();
    let told = |life: &str| format!("\"store_life\": {life}");
    assert!(back.contains(&told("\"copied\"")));
    assert_eq!(back.replace(&told("\"copied\""), &told("null")), copy, "else the very same");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_export_of_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    configure(folder, "file.yaml", &format!("file:{}", folder.join("data").display()), "one");
    configure(folder, "memory.yaml", "memory:", "one");
    for (text, why) in [
        ("hello", "this is no export of a store"),
        ("{}", "this is no export of a store"),
        ("{\"bellwether_store\": 2, \"new\": 1}", "use the version that wrote it"),
        ("{\"bellwether_store\": 1, \"clusters\": {\"one\": {}}}", "this export is damaged"),
        (
            "{\"bellwether_store\": 1, \"clusters\": {\"two\": {\"token\": 1, \"last_entry\": 0, \"memory\": \
             {\"workers\": {}, \"intents\": {}, \"pools\": {}, \"cluster\": {}}, \"signals\": [], \"history\": []}}}",
            "the configuration has no cluster two",
        ),
    ] {
        std::fs::write(folder.join("copy.json"), text).unwrap();
        let output = bellwether(folder, &["store", "import", "--config", "file.yaml", "copy.json"]);
        assert!(!output.status.success() && told(&output).contains(why), "{}", told(&output));
    }
    let output = bellwether(folder, &["store", "export", "--config", "memory.yaml"]);
    assert!(told(&output).contains("gone with the process"), "{}", told(&output));
}
