//! One replica's deliveries, and a claim that it gives back, wake another.

use crate::contract::store::{cluster, signal};
use crate::support::{redis, wait};
use bellwether::model::Token;
use bellwether::store::{Store, Wake};
use std::time::Duration;

/// So long it is watched that nobody is woken.
const SOON: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_does_wakes_another_and_not_itself() {
    let Some(mut server) = redis::start(&[]).await else { return };
    let (one, two) = (server.store(""), server.store(""));
    for store in [&one, &two] {
        assert_eq!(store.wake().await, Wake::Unknown, "what came before it listened is not known");
    }
    one.record_signals(&[signal("f", 1)]).await.unwrap();
    let woken = tokio::time::timeout(wait::LIMIT, two.wake()).await;
    assert_eq!(woken.unwrap(), Wake::Recorded(cluster()));
    let claim = one.claim(&cluster(), "a", super::TTL, Token(0)).await.unwrap();
    one.release(&claim).await.unwrap();
    let woken = tokio::time::timeout(wait::LIMIT, two.wake()).await;
    assert_eq!(woken.unwrap(), Wake::Released(cluster()));
    let own = tokio::time::timeout(SOON, one.wake()).await;
    assert!(own.is_err(), "its own loop is woken without this: {own:?}");
    server.kill();
    server.restart().await;
    let woken = tokio::time::timeout(wait::LIMIT, two.wake()).await;
    assert_eq!(woken.unwrap(), Wake::Unknown, "what came meanwhile is not known");
}
