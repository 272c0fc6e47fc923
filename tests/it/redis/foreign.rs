//! What others left under our names: refused with the setting to look at, and never written over.

use super::{TTL, away};
use crate::contract::store::{cluster, everything, signal};
use crate::support::redis;
use bellwether::model::{Changes, Signal, Token};
use bellwether::store::{Error, Store};

fn unreadable<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Unreadable(why)) => why,
        other => panic!("it should be unreadable: {other:?}"),
    }
}

fn key(kind: &str) -> String {
    format!("{{bw:{}}}:{kind}", cluster())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_another_type_are_refused_and_stay() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = server.store("");
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    for kind in ["claim", "signals", "workers", "intents", "pools", "cluster", "history"] {
        let key = key(kind);
        let _: i64 = server.ask(&["COPY", &key, "aside", "REPLACE"]);
        let _: i64 = server.ask(&["DEL", &key]);
        let _: i64 = server.ask(&["LPUSH", &key, "theirs"]);
        let why = unreadable(store.commit(&claim, &everything("1")).await);
        assert!(why.contains(&key) && why.contains("store.url"), "{why}");
        match kind {
            "claim" => drop(unreadable(store.claim(&cluster(), "b", TTL, Token(0)).await)),
            "signals" => drop(unreadable(store.record_signals(&[signal("f", 1)]).await)),
            "history" => {}
            _ => drop(unreadable(store.load(&cluster()).await)),
        }
        assert_eq!(server.ask::<Vec<String>>(&["LRANGE", &key, "0", "-1"]), ["theirs"]);
        let _: i64 = server.ask(&["DEL", &key]);
        let _: i64 = server.ask(&["COPY", "aside", &key]);
        let _: i64 = server.ask(&["DEL", "aside"]);
    }
    assert!(store.load(&cluster()).await.unwrap().workers.is_empty(), "nothing was half written");
    store.commit(&claim, &everything("1")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_shows_whether_writes_are_taken_is_not_written_over_either() {
    let Some(server) = redis::start(&[]).await else { return };
    let _: String = server.ask(&["SET", "{bw:}:ready", "theirs"]);
    let why = away(server.store("").ready().await);
    assert!(why.contains("another program's") && why.contains("store.url"), "{why}");
    assert_eq!(server.ask::<String>(&["GET", "{bw:}:ready"]), "theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_version_wrote_is_refused_and_stays() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = server.store("");
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    let _: String = server.ask(&["SET", &key("schema"), "2"]);
    let commit = store.commit(&claim, &everything("1")).await;
    let record = store.record_signals(&[signal("f", 1)]).await;
    let (load, take) =
        (store.load(&cluster()).await, store.claim(&cluster(), "b", TTL, Token(0)).await);
    for why in [unreadable(commit), unreadable(record), unreadable(load), unreadable(take)] {
        assert!(why.contains("schema 2") && why.contains("newer version"), "{why}");
    }
    assert_eq!(server.ask::<i64>(&["EXISTS", &key("workers"), &key("signals")]), 0);
    let elsewhere = Signal { cluster: "b".into(), ..signal("f", 1) };
    store.record_signals(&[elsewhere]).await.expect("another cluster goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_no_kind_we_know_is_refused_for_itself_only() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = server.store("");
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    let theirs = "{\"ask\":\"dance\"}";
    let _: i64 = server.ask(&["HSET", &key("signals"), "odd", theirs]);
    let (first, odd, even) = ([signal("first", 1)], [signal("odd", 1)], [signal("even", 1)]);
    // The two that come while the first is written go together.
    let (first, odd, even) = tokio::join!(
        store.record_signals(&first),
        store.record_signals(&odd),
        store.record_signals(&even),
    );
    assert_eq!(first, Ok(()));
    let why = unreadable(odd);
    assert!(why.contains("\"odd\"") && why.contains(&key("signals")), "{why}");
    assert_eq!(even, Ok(()));
    let forget_signals = vec![("odd".into(), claim.expires)];
    store.commit(&claim, &Changes { forget_signals, ..Changes::default() }).await.unwrap();
    assert_eq!(server.ask::<String>(&["HGET", &key("signals"), "odd"]), theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_the_server_has_not_is_told() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = redis::store(&format!("url: \"redis://127.0.0.1:{}/99\"", server.port));
    let why = away(store.now().await);
    assert!(why.contains("no database of the number that store.url ends with"), "{why}");
}
