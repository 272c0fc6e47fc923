//! The connection: one, shared by all calls, which Redis answers in their order. Made when it is needed, and
//! anew when it broke. Every call ends within `store.timeout`, connecting included.
//!
//! No call is asked twice here: one whose answer did not come may have been done.

use super::fault::{self, Fault, Sent};
use super::primary;
use crate::config::{Config, RedisAccess, RedisUrl};
use redis::aio::MultiplexedConnection;
use redis::{Client, FromRedisValue, RedisError, ScriptInvocation};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long nobody tries to connect after an attempt that failed: those who wait are told the same.
const REST: Duration = Duration::from_millis(250);

/// The way to the server.
#[derive(Debug)]
pub(super) struct Link {
    url: RedisUrl,
    config: watch::Receiver<Arc<Config>>,
    open: Mutex<Option<Open>>,
    connecting: tokio::sync::Mutex<Option<(Instant, Fault)>>,
    next: AtomicU64,
}

/// A connection that stands.
#[derive(Clone)]
struct Open {
    /// Tells it from the one after it.
    number: u64,
    /// Where it leads, for errors.
    server: String,
    since: Instant,
    connection: MultiplexedConnection,
}

impl Link {
    pub(super) fn new(url: RedisUrl, config: watch::Receiver<Arc<Config>>) -> Self {
        Self {
            url,
            config,
            open: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            next: AtomicU64::new(1),
        }
    }

    pub(super) fn url(&self) -> &RedisUrl {
        &self.url
    }

    /// Limit for one call.
    pub(super) fn timeout(&self) -> Duration {
        self.config.borrow().service.redis.timeout
    }

    /// Runs a script.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, Fault> {
        self.run_within(call, self.timeout()).await
    }

    /// Runs a script that may take longer.
    pub(super) async fn run_within<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
        limit: Duration,
    ) -> Result<T, Fault> {
        self.ask(limit, async |mut connection| call.invoke_async(&mut connection).await).await
    }

    /// Asks the server, within a limit.
    pub(super) async fn ask<T>(
        &self,
        limit: Duration,
        ask: impl AsyncFnOnce(MultiplexedConnection) -> redis::RedisResult<T>,
    ) -> Result<T, Fault> {
        let begun = Instant::now();
        let deadline = begun + limit;
        let Open { number, server, since, connection } = self.opened(deadline, limit).await?;
        match tokio::time::timeout_at(deadline, ask(connection)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if fault::ends_connection(&error) {
                    self.drop_connection(number);
                }
                Err(fault::meaning(&server, &error, Sent::Perhaps))
            }
            Err(_) => {
                // It may be half open: nobody is to wait for it again. One that was only made meanwhile did not
                // have the whole limit, and a slow one would never be kept, while all that it is sent is done.
                if since <= begun {
                    self.drop_connection(number);
                }
                Err(fault::late(&server, limit, Sent::Perhaps))
            }
        }
    }

    /// A client for a connection of another kind to the same server.
    pub(super) async fn client(&self) -> Result<Client, Fault> {
        let (limit, access) = (self.timeout(), self.access());
        let finding = primary::client(&self.url, &access, limit);
        let late = |_| fault::late(&self.url.to_string(), limit, Sent::No);
        tokio::time::timeout(limit, finding).await.map_err(late)?
    }

    /// The connection, or a new one. Those who come while it is made wait for it.
    async fn opened(&self, deadline: Instant, limit: Duration) -> Result<Open, Fault> {
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let late = |_| fault::late(&self.url.to_string(), limit, Sent::No);
        let connecting = self.connecting.lock();
        let mut failed = tokio::time::timeout_at(deadline, connecting).await.map_err(late)?;
        if let Some(open) = self.current() {
            return Ok(open);
        }
        if let Some((at, error)) = &*failed
            && at.elapsed() < REST
        {
            return Err(error.clone());
        }
        let made = tokio::time::timeout_at(deadline, self.connect(limit)).await;
        match made.map_err(late).flatten() {
            Ok(open) => {
                *failed = None;
                *self.lock() = Some(open.clone());
                Ok(open)
            }
            Err(error) => {
                *failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn connect(&self, limit: Duration) -> Result<Open, Fault> {
        let access = self.access();
        let client = primary::client(&self.url, &access, limit).await?;
        let server = client.get_connection_info().addr().to_string();
        let said = |error: RedisError| fault::meaning(&server, &error, Sent::No);
        let mut connection = primary::connect(&client).await.map_err(said)?;
        primary::check(&self.url, &mut connection).await.map_err(said)?;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        tracing::info!(section = "store", server, "connected to redis");
        Ok(Open { number, server, since: Instant::now(), connection })
    }

    fn access(&self) -> RedisAccess {
        self.config.borrow().service.redis.clone()
    }

    fn current(&self) -> Option<Open> {
        self.lock().clone()
    }

    fn drop_connection(&self, number: u64) {
        let mut open = self.lock();
        if open.as_ref().is_some_and(|open| open.number == number) {
            *open = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open").field("server", &self.server).finish_non_exhaustive()
    }
}
