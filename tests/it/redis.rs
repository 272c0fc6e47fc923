//! The store in a real Redis: among faults of the server, of its settings, of other programs.

mod access;
mod copies;
mod faults;
mod foreign;
mod program;
mod replicas;
mod wakes;

use crate::contract::store::cluster;
use crate::support::wait;
use bellwether::store::{Error, Store};
use std::time::Duration;

/// Longer than any test.
const TTL: Duration = Duration::from_mins(5);

/// What is said of a store that is away.
fn away<T: std::fmt::Debug>(outcome: Result<T, Error>) -> String {
    match outcome {
        Err(Error::Away(why)) => why,
        other => panic!("it should be away: {other:?}"),
    }
}

/// Waits until the store answers what it keeps: the time it tells even while it reads its file.
async fn answers(store: &dyn Store) {
    let answers = || async { store.load(&cluster()).await.is_ok() };
    wait::until("redis to answer", answers).await;
}
