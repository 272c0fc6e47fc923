//! The client of real Prometheuses.

use super::judge::{self, Answer};
use super::{Prometheus, rules, selectors};
use crate::config::PrometheusConfig;
use crate::metrics::Metrics;
use crate::model::{Guard, PushRule, Want, duration};
use crate::wire::{self, Error, Peer, Peers, Reached};
use async_trait::async_trait;
use futures_util::future::join_all;
use reqwest::Method;
use std::sync::Arc;
use std::time::Duration;

/// A sample older than this many scrape intervals is stale.
const STALE_AFTER: u32 = 3;

const NONE: &str = "no Prometheus is configured";

/// All Prometheuses of one cluster.
#[derive(Debug)]
pub struct Http {
    config: PrometheusConfig,
    stale: Duration,
    /// Limit for one query, as Prometheus reads it.
    limit: String,
    metrics: Arc<Metrics>,
    peers: Peers,
}

impl Http {
    /// A client for these Prometheuses; nothing is called yet.
    pub fn new(config: &PrometheusConfig, metrics: Arc<Metrics>) -> Self {
        Self {
            config: config.clone(),
            stale: config.scrape_interval.saturating_mul(STALE_AFTER),
            limit: duration::format(config.endpoint.timeout),
            peers: Peers::new(config.endpoint.clone()),
            metrics,
        }
    }

    /// The numbers that one peer answers to a query.
    async fn numbers(&self, peer: &Peer, query: &str) -> Result<Vec<f64>, String> {
        let timer =
            self.metrics.calls.seconds.with_label_values(&["prometheus", "query"]).start_timer();
        let answer = self.query(peer, query).await;
        timer.observe_duration();
        let outcome = if answer.is_ok() { "ok" } else { "error" };
        self.metrics.calls.total.with_label_values(&["prometheus", "query", outcome]).inc();
        answer.map_err(|error| error.to_string()).and_then(judge::numbers)
    }

    /// By POST: an expression may be longer than an address. The limit goes along, so that nobody works
    /// on an answer that is not waited for.
    async fn query(&self, peer: &Peer, query: &str) -> Result<Answer, Error> {
        let form = [("query", query), ("timeout", &self.limit)];
        let request = peer.request(Method::POST, "api/v1/query")?.form(&form);
        wire::json(&wire::send(request).await?)
    }

    async fn guard_on(&self, peer: &Peer, expression: &str, selectors: &[String]) -> Guard {
        let (answer, ages) = tokio::join!(
            self.numbers(peer, expression),
            join_all(selectors.iter().map(|selector| self.fresh(peer, selector)))
        );
        // The expression's own fault first: it explains more than missing samples do.
        let numbers = match answer {
            Ok(numbers) => numbers,
            Err(why) => return Guard::Unknown { why },
        };
        match ages.into_iter().find_map(Result::err) {
            Some(why) => Guard::Unknown { why },
            None => judge::guard(&numbers),
        }
    }

    /// Whether every sample a selector reads now is young enough, by the server's own clock.
    async fn fresh(&self, peer: &Peer, selector: &str) -> Result<(), String> {
        let ages = self.numbers(peer, &format!("max(time() - timestamp({selector}))")).await?;
        judge::fresh(&ages, selector, self.stale)
    }

    async fn rules(&self, peer: &Peer) -> Result<Vec<PushRule>, String> {
        let query = [("type", "alert"), ("exclude_alerts", "true")];
        let timer =
            self.metrics.calls.seconds.with_label_values(&["prometheus", "rules"]).start_timer();
        let answer = peer.get("api/v1/rules", &query).await;
        timer.observe_duration();
        let outcome = if answer.is_ok() { "ok" } else { "error" };
        self.metrics.calls.total.with_label_values(&["prometheus", "rules", outcome]).inc();
        answer.map_err(|error| error.to_string()).and_then(rules::pushed)
    }

    async fn want_on(&self, peer: &Peer, query: &str) -> Want {
        let numbers = self.numbers(peer, query).await;
        numbers.map_or_else(|why| Want::Unknown { why }, |numbers| judge::want(&numbers))
    }
}

#[async_trait]
impl Prometheus for Http {
    async fn guard(&self, expression: &str) -> Guard {
        let selectors = match selectors::selectors(expression) {
            Ok(selectors) => selectors,
            Err(why) => return Guard::Unknown { why },
        };
        let ask = async |peer: Reached| match peer {
            Ok(peer) => judge::told(self.guard_on(&peer, expression, &selectors).await, &peer.name),
            Err((url, error)) => Guard::Unknown { why: format!("{url}: {error}") },
        };
        let answers = join_all(self.peers.get().await.into_iter().map(ask)).await;
        answers.into_iter().reduce(judge::worse).unwrap_or(Guard::Unknown { why: NONE.to_owned() })
    }

    async fn want(&self, query: &str) -> Want {
        let ask = async |peer: Reached| match peer {
            Ok(peer) => judge::wanted(self.want_on(&peer, query).await, &peer.name),
            Err((url, error)) => Want::Unknown { why: format!("{url}: {error}") },
        };
        let answers = join_all(self.peers.get().await.into_iter().map(ask)).await;
        answers.into_iter().reduce(judge::larger).unwrap_or(Want::Unknown { why: NONE.to_owned() })
    }

    async fn push_rules(&self) -> Result<Vec<PushRule>, String> {
        let mut why = NONE.to_owned();
        for peer in self.peers.get().await {
            let told = match peer {
                Ok(peer) => self.rules(&peer).await.map_err(|why| format!("{}: {why}", peer.name)),
                Err((url, error)) => Err(format!("{url}: {error}")),
            };
            match told {
                Ok(rules) => return Ok(rules),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    fn renewed(&self, config: &PrometheusConfig) -> Option<Arc<dyn Prometheus>> {
        (self.config != *config).then(|| Arc::new(Self::new(config, self.metrics.clone())) as _)
    }
}
