//! Primaries and replicas: who may be written, and a fail-over that Sentinel makes.

use super::{LIMIT, TTL, away};
use crate::contract::store::{cluster, everything, signal};
use crate::support::redis::{self, RunningRedis};
use crate::support::wait;
use bellwether::model::Token;
use bellwether::store::{Error, Store};

/// A replica that has all that the primary has.
async fn replica_of(primary: &RunningRedis) -> Option<RunningRedis> {
    let replica = redis::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await?;
    wait::until(LIMIT, "the replica to follow", || async {
        let info: String = replica.ask(&["INFO", "replication"]);
        info.contains("master_link_status:up")
    })
    .await;
    Some(replica)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_may_only_be_read_is_away() {
    let Some(primary) = redis::start(&[]).await else { return };
    let Some(replica) = replica_of(&primary).await else { return };
    let store = replica.store("");
    for outcome in [
        store.claim(&cluster(), "a", TTL, Token(0)).await.map(drop),
        store.record_signals(&[signal("f", 1)]).await,
    ] {
        let why = away(outcome);
        assert!(
            why.contains("it is a read-only replica; store.url must name the primary"),
            "{why}"
        );
    }
    let _: String = replica.ask(&["REPLICAOF", "NO", "ONE"]);
    store.claim(&cluster(), "a", TTL, Token(0)).await.expect("it is a primary by now");
}

/// Three Sentinels, who ask for a password, watch a primary and its replica.
#[tokio::test(flavor = "multi_thread")]
async fn the_client_follows_the_new_primary() {
    let Some(mut primary) = redis::start(&[]).await else { return };
    let Some(replica) = replica_of(&primary).await else { return };
    let text = format!(
        "requirepass watch
user watcher on >watch allkeys allchannels +@all
sentinel sentinel-pass watch
sentinel monitor main 127.0.0.1 {} 2
sentinel down-after-milliseconds main 500
sentinel failover-timeout main 3000
",
        primary.port
    );
    let mut sentinels = Vec::new();
    for _ in 0..3 {
        sentinels.push(redis::start_sentinel(&text).await.unwrap());
    }
    let hosts: Vec<String> = sentinels.iter().map(|it| format!("127.0.0.1:{}", it.port)).collect();
    let url = format!("redis+sentinel://{}/main/0", hosts.join(","));
    let login = "sentinel: { username: watcher, password: watch }";
    let store = redis::store(&format!("url: \"{url}\", {login}"));
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    store.commit(&claim, &everything("1")).await.unwrap();
    let life = store.load(&cluster()).await.unwrap().life;
    wait::until(LIMIT, "the replica to have it", || async {
        let key = format!("{{bw:{}}}:workers", cluster());
        replica.ask::<i64>(&["HLEN", &key]) == 1
    })
    .await;
    wait::until(LIMIT, "the Sentinels to know each other and the replica", || async {
        sentinels.iter().all(|sentinel| {
            let told: String = sentinel.ask_with("watch", &["INFO", "sentinel"]);
            told.contains("slaves=1,sentinels=3")
        })
    })
    .await;
    primary.kill();
    away(store.now().await);
    wait::until(LIMIT * 2, "the new primary", || async {
        store.record_signals(&[signal("after", 1)]).await.is_ok()
    })
    .await;
    let memory = store.load(&cluster()).await.unwrap();
    assert_eq!(memory.workers.len(), 1);
    assert!(life.is_some() && memory.life != life, "it may have forgotten something");
    let refused = store.commit(&claim, &everything("2")).await;
    assert_eq!(refused, Err(Error::Fenced { token: claim.token }));
    let role: String = replica.ask(&["INFO", "replication"]);
    assert!(role.contains("role:master"), "{role}");
    let wrong = redis::store(&format!("url: \"{}\", {login}", url.replace("/main", "/other")));
    let why = away(wrong.now().await);
    assert!(why.contains("the Sentinels know no primary named other"), "{why}");
    let why = away(redis::store(&format!("url: \"{url}\"")).now().await);
    assert!(why.contains("refuses the user or the password"), "{why}");
}
