//! One replica's delivery wakes another.

use super::LIMIT;
use crate::contract::store::{cluster, signal};
use crate::support::redis;
use bellwether::store::Store;
use std::time::Duration;

/// From the answer of one to the waking of the other.
const SOON: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_one_replica_records_wake_another_and_not_itself() {
    let Some(mut server) = redis::start(&[]).await else { return };
    let (one, two) = (server.store(""), server.store(""));
    for store in [&one, &two] {
        assert_eq!(store.wake().await, None, "what came before it listened is not known");
    }
    one.record_signals(&[signal("f", 1)]).await.unwrap();
    let woken = tokio::time::timeout(SOON, two.wake()).await;
    assert_eq!(woken.unwrap(), Some(cluster()));
    let own = tokio::time::timeout(SOON, one.wake()).await;
    assert!(own.is_err(), "its own loop is woken without this: {own:?}");
    server.kill();
    server.restart().await;
    let woken = tokio::time::timeout(LIMIT, two.wake()).await;
    assert_eq!(woken.unwrap(), None, "what came meanwhile is not known");
}
