//! Primaries and replicas: who may be written, and a fail-over that Sentinel makes.

use super::{TTL, answers, away};
use crate::contract::store::{cluster, everything, signal};
use crate::support::redis::{self, RunningRedis};
use crate::support::sentinels::Watched;
use crate::support::wait;
use bellwether::model::Token;
use bellwether::store::{Error, Store};

/// A replica that has all that the primary has.
async fn replica_of(primary: &RunningRedis) -> Option<RunningRedis> {
    let replica = redis::start(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await?;
    wait::until("the replica to follow", || async {
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
        store.ready().await,
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

/// The stricter of the two settings that a primary with replicas may have.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_must_have_a_replica_takes_nothing_without_one() {
    let Some(primary) = redis::start(&["--min-replicas-to-write", "1"]).await else { return };
    let Some(mut replica) = replica_of(&primary).await else { return };
    let store = primary.store("");
    wait::until("the replica to count", || async { store.ready().await.is_ok() }).await;
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    store.commit(&claim, &everything("1")).await.unwrap();
    replica.kill();
    wait::until("it not to be ready", || async { store.ready().await.is_err() }).await;
    for outcome in [
        store.ready().await,
        store.commit(&claim, &everything("2")).await,
        store.record_signals(&[signal("f", 1)]).await,
    ] {
        let why = away(outcome);
        assert!(why.contains("it takes no writes, having too few replicas"), "{why}");
    }
    assert_eq!(store.load(&cluster()).await.unwrap().workers.len(), 1, "it is read as ever");
    replica.restart().await;
    wait::until("it to be ready", || async { store.ready().await.is_ok() }).await;
    store.commit(&claim, &everything("2")).await.expect("the claim stands");
}

/// Whoever looks only before and after finds the same process, and what it forgot in between is not to be seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_was_a_replica_meanwhile_lives_anew() {
    let Some(one) = redis::start(&[]).await else { return };
    let Some(two) = replica_of(&one).await else { return };
    let store = one.store("");
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    let life = store.load(&cluster()).await.unwrap().life;
    let _: String = two.ask(&["REPLICAOF", "NO", "ONE"]);
    let _: String = one.ask(&["REPLICAOF", "127.0.0.1", &two.port.to_string()]);
    wait::until("it to follow", || async {
        one.ask::<String>(&["INFO", "replication"]).contains("master_link_status:up")
    })
    .await;
    let _: String = one.ask(&["REPLICAOF", "NO", "ONE"]);
    answers(&store).await;
    assert_ne!(store.load(&cluster()).await.unwrap().life, life);
    let refused = store.commit(&claim, &everything("1")).await;
    assert_eq!(refused, Err(Error::Fenced { token: claim.token }));
}

/// The server says the same as after a fail-over, and nobody can tell that nothing was forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_gets_its_first_replica_lives_anew() {
    let Some(primary) = redis::start(&[]).await else { return };
    let store = primary.store("");
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    let life = store.load(&cluster()).await.unwrap().life;
    let Some(_replica) = replica_of(&primary).await else { return };
    assert_ne!(store.load(&cluster()).await.unwrap().life, life);
    let refused = store.commit(&claim, &everything("1")).await;
    assert_eq!(refused, Err(Error::Fenced { token: claim.token }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_follows_the_new_primary() {
    let Some(mut redis) = Watched::start().await else { return };
    let (url, login) = (redis.url(), Watched::login());
    let store = redis::store(&format!("url: \"{url}\", {login}"));
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    store.commit(&claim, &everything("1")).await.unwrap();
    let life = store.load(&cluster()).await.unwrap().life;
    wait::until("the standby to have it", || async {
        let key = format!("{{bw:{}}}:workers", cluster());
        redis.standby.ask::<i64>(&["HLEN", &key]) == 1
    })
    .await;
    redis.primary.kill();
    away(store.now().await);
    redis.fail_over().await;
    wait::until("the new primary to be found", || async {
        store.record_signals(&[signal("after", 1)]).await.is_ok()
    })
    .await;
    let memory = store.load(&cluster()).await.unwrap();
    assert_eq!(memory.workers.len(), 1);
    assert!(life.is_some() && memory.life != life, "it may have forgotten something");
    let refused = store.commit(&claim, &everything("2")).await;
    assert_eq!(refused, Err(Error::Fenced { token: claim.token }));
    let wrong = redis::store(&format!("url: \"{}\", {login}", url.replace("/main", "/other")));
    let why = away(wrong.now().await);
    assert!(why.contains("the Sentinels know no primary named other"), "{why}");
    let why = away(redis::store(&format!("url: \"{url}\"")).now().await);
    assert!(why.contains("refuses the user or the password"), "{why}");
}
