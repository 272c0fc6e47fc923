//! Time-outs, retries, a rate limit and a breaker around any provider.
//!
//! Retried is only what changes nothing: lists and shapes. An act is asked for once: whether it still may
//! be is asked right before it, and by the time of a second try that may be over. Its intent is stored,
//! and the next pass settles a launch by list and by the very same request, and asks for an end again.

use super::{Error, Launched, Provider, Result};
use crate::config::ClusterConfig;
use crate::metrics::Metrics;
use crate::model::{ClusterUid, Instance, InstanceId, LaunchRequest, PoolName, Shape};
use async_trait::async_trait;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long is waited for what an act waits for before it is permitted: a console, which is told to people, and whether a machine
/// may be ended.
const SOON: Duration = Duration::from_secs(5);

/// The longest that a turn is waited for: the claim must outlive a pass. Whoever comes sooner than the rate is refused by the
/// provider itself, which harms nothing.
const TURN: Duration = Duration::from_secs(5);

/// The least of its rate that a provider is asked, however often it says that it is too much.
const SLOWEST: f64 = 0.1;

/// How a provider is guarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardedConfig {
    /// Limit for one call. Default 30 s.
    pub call: Duration,
    /// Attempts after the first, for calls that change nothing. Default 2.
    pub retries: u32,
    /// Wait before the first retry, doubling, with up to half of it taken off by chance. Default 200 ms.
    pub backoff: Duration,
    /// Calls per second over time. Default 20.
    pub rate: u32,
    /// Calls at once after a quiet time. Default 40.
    pub burst: u32,
    /// Failures in a row of one kind of call that open its breaker. Default 5.
    pub failures: u32,
    /// How long an open breaker refuses. Default 30 s.
    pub open: Duration,
    /// Seeds the chance in the waits, for a run that is to be played again. Default: none, a chance of its own.
    pub seed: Option<u64>,
}

/// A guarded provider.
#[derive(Debug)]
pub struct Guarded {
    inner: Arc<dyn Provider>,
    config: GuardedConfig,
    metrics: Arc<Metrics>,
    bucket: Mutex<Bucket>,
    breakers: Mutex<BTreeMap<&'static str, Breaker>>,
    chance: Mutex<StdRng>,
}

/// Tokens for calls, as many a second as the provider bears.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
    /// Tokens per second: halved when the provider says that it is too many, and back by a twentieth with each answer.
    rate: f64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Breaker {
    failures: u32,
    until: Option<Instant>,
}

impl Default for GuardedConfig {
    fn default() -> Self {
        Self {
            call: Duration::from_secs(30),
            retries: 2,
            backoff: Duration::from_millis(200),
            rate: 20,
            burst: 40,
            failures: 5,
            open: Duration::from_secs(30),
            seed: None,
        }
    }
}

impl Guarded {
    /// Guards a provider.
    pub fn new(inner: Arc<dyn Provider>, config: GuardedConfig, metrics: Arc<Metrics>) -> Self {
        let (tokens, rate) = (f64::from(config.burst), f64::from(config.rate));
        let bucket = Mutex::new(Bucket { tokens, filled: Instant::now(), rate });
        let chance =
            config.seed.map_or_else(|| StdRng::from_rng(&mut rand::rng()), StdRng::seed_from_u64);
        let (breakers, chance) = (Mutex::default(), Mutex::new(chance));
        Self { inner, config, metrics, bucket, breakers, chance }
    }

    /// A look, tried again while the provider is away for a moment.
    async fn look<T, F>(
        &self,
        pool: &PoolName,
        name: &'static str,
        attempt: impl Fn() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>> + Send,
    {
        for tried in 0..self.config.retries {
            self.turn(pool).await;
            match self.once(name, attempt()).await {
                // What holds back ourselves is no reason to knock again.
                Err(error) if error.is_transient() && error != Error::NotAsked => {
                    tokio::time::sleep(self.pause(tried)).await;
                }
                answer => return answer,
            }
        }
        self.turn(pool).await;
        self.once(name, attempt()).await
    }

    /// One call with everything around it but its turn, which an act waits for before it is permitted.
    async fn once<T>(
        &self,
        name: &'static str,
        attempt: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let is_try = match self.admitted(name) {
            Ok(is_try) => is_try,
            Err(error) => {
                self.count(name, Some(&error));
                return Err(error);
            }
        };
        let timer = self.metrics.calls.seconds.with_label_values(&["provider", name]).start_timer();
        let answer =
            tokio::time::timeout(self.config.call, attempt).await.unwrap_or(Err(Error::TimedOut));
        timer.observe_duration();
        match answer.as_ref().err() {
            // Who was not asked said nothing: its own pace held the call back.
            Some(Error::NotAsked) if is_try => self.let_the_next_try(name),
            Some(Error::NotAsked) => {}
            error => {
                self.learn(name, error);
                self.adapt(error);
            }
        }
        self.count(name, answer.as_ref().err());
        answer
    }

    /// Whether the breaker of this kind of call lets it through: one call each time an open one's time is over. Answers whether it
    /// is that one, by which the breaker learns.
    fn admitted(&self, name: &'static str) -> Result<bool> {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match breakers.get_mut(name).and_then(|breaker| breaker.until.as_mut()) {
            Some(until) if now < *until => Err(Error::NotAsked),
            Some(until) => {
                // The others wait for what this one learns; by time, for its caller may give it up.
                *until = now + self.config.open.max(self.config.call);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// The one call that an open breaker let through taught it nothing: the next one is let through in its place.
    fn let_the_next_try(&self, name: &'static str) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = breakers.get_mut(name).and_then(|breaker| breaker.until.as_mut()) {
            *until = Instant::now();
        }
    }

    /// An answer, even a refusal, is a sign of life; only what is transient counts towards the breaker.
    fn learn(&self, name: &'static str, error: Option<&Error>) {
        let mut breakers = self.breakers.lock().unwrap_or_else(PoisonError::into_inner);
        let breaker = breakers.entry(name).or_default();
        if !error.is_some_and(Error::is_transient) {
            *breaker = Breaker::default();
            return;
        }
        breaker.failures = breaker.failures.saturating_add(1);
        if breaker.failures >= self.config.failures {
            // Also after the one call that an open breaker lets through again: it opens anew.
            breaker.until = Some(Instant::now() + self.config.open);
        }
    }

    /// Asks less where the provider says that it is too much: what has gathered is not spent then, either.
    fn adapt(&self, error: Option<&Error>) {
        let full = f64::from(self.config.rate);
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(Error::Throttled) => {
                bucket.rate = (bucket.rate / 2.0).max(full * SLOWEST);
                bucket.tokens = bucket.tokens.min(0.0);
            }
            _ => bucket.rate = (bucket.rate + full / 20.0).min(full),
        }
    }

    /// The wait before the next attempt.
    fn pause(&self, tried: u32) -> Duration {
        let full = self.config.backoff.saturating_mul(1 << tried.min(10));
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        full.mul_f64(chance.random_range(0.5..=1.0))
    }

    fn count(&self, name: &'static str, error: Option<&Error>) {
        let outcome = error.map_or("ok", Error::kind);
        self.metrics.calls.total.with_label_values(&["provider", name, outcome]).inc();
        if let Some(error) = error {
            tracing::debug!(section = "provider", call = name, error = %error, "call failed");
        }
    }
}

#[async_trait]
impl Provider for Guarded {
    fn follow(&self, limits: &ClusterConfig) {
        self.inner.follow(limits);
    }

    async fn turn(&self, _: &PoolName) {
        let wait = {
            let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
            let rate = bucket.rate;
            let since = bucket.filled.elapsed().as_secs_f64();
            bucket.filled = Instant::now();
            bucket.tokens = (bucket.tokens + since * rate).min(f64::from(self.config.burst)) - 1.0;
            bucket.tokens = bucket.tokens.max(-TURN.as_secs_f64() * rate);
            if bucket.tokens < 0.0 {
                Duration::from_secs_f64(-bucket.tokens / rate)
            } else {
                Duration::ZERO
            }
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        self.once("launch", self.inner.launch(request)).await
    }

    async fn terminate(
        &self,
        whose: &ClusterUid,
        pool: &PoolName,
        instance: &InstanceId,
    ) -> Result<()> {
        self.once("terminate", self.inner.terminate(whose, pool, instance)).await
    }

    async fn list(&self, pool: &PoolName) -> Result<Vec<Instance>> {
        self.look(pool, "list", || self.inner.list(pool)).await
    }

    async fn shapes(&self, pool: &PoolName) -> Result<Vec<Shape>> {
        self.look(pool, "shapes", || self.inner.shapes(pool)).await
    }

    /// Asked once.
    async fn console(&self, pool: &PoolName, instance: &InstanceId) -> Result<Option<String>> {
        let asked = async {
            let answer = tokio::time::timeout(SOON, self.inner.console(pool, instance)).await;
            answer.unwrap_or(Err(Error::TimedOut))
        };
        self.once("console", asked).await
    }

    /// Asked once, and soon: others wait for the act that it is asked for. Not behind a breaker: who is not asked cannot say that
    /// this machine is to be passed over, and it would be chosen again at once.
    async fn may_end(&self, pool: &PoolName, instance: &InstanceId) -> Result<bool> {
        let answer = tokio::time::timeout(SOON, self.inner.may_end(pool, instance)).await;
        let answer = answer.unwrap_or(Err(Error::TimedOut));
        self.count("may_end", answer.as_ref().err());
        answer
    }
}

#[cfg(test)]
mod tests;
