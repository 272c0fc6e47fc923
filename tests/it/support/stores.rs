//! Every kind of store, as two replicas see it, under a clock that only the test moves.

use super::redis::{self, RunningRedis};
use bellwether::clock::Clock;
use bellwether::store::{Embedded, Memory, Retention, Store};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::watch;

/// A store as two replicas see it.
pub(crate) struct Stage {
    pub(crate) one: Arc<dyn Store>,
    pub(crate) two: Arc<dyn Store>,
    time: Time,
    _dir: Option<TempDir>,
}

/// Whose clock the store goes by.
enum Time {
    /// Tokio's, which is paused.
    Tokio,
    /// Its server's.
    Redis(RunningRedis),
}

/// The reference, on a paused clock.
pub(crate) fn memory(start: Timestamp, retention: Retention) -> Stage {
    let store = Memory::new(Clock::starting_at(start), retention);
    Stage { one: Arc::new(store.clone()), two: Arc::new(store), time: Time::Tokio, _dir: None }
}

/// The embedded file, on a paused clock.
pub(crate) fn embedded(start: Timestamp, retention: Retention) -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::open(dir.path(), Clock::starting_at(start), retention).unwrap();
    let (one, two) = (Arc::new(store.clone()), Arc::new(store));
    Stage { one, two, time: Time::Tokio, _dir: Some(dir) }
}

/// Two connections to a Redis whose clock stands; `None` after a printed skip where it is missing.
pub(crate) async fn redis(start: Timestamp, retention: Retention) -> Option<Stage> {
    let server = redis::start_at(start).await?;
    let config = watch::channel(redis::config(&format!("url: \"{}\"", server.url()))).1;
    let store = || Arc::new(redis::open(&config, retention));
    Some(Stage { one: store(), two: store(), time: Time::Redis(server), _dir: None })
}

impl Stage {
    /// Moves the store's clock.
    pub(crate) async fn pass(&self, time: Duration) {
        match &self.time {
            Time::Tokio => tokio::time::advance(time).await,
            Time::Redis(server) => server.pass(time),
        }
    }
}
