//! The client of real Prometheuses.

use super::judge::{self, Answer};
use super::{Prometheus, selectors};
use crate::config::PrometheusConfig;
use crate::metrics::Metrics;
use crate::model::{Guard, Want};
use crate::wire::{self, Error, Peer, Peers};
use async_trait::async_trait;
use futures_util::future::join_all;
use reqwest::Method;
use std::sync::Arc;
use std::time::Duration;

/// A sample older than this many scrape intervals is stale.
const STALE_AFTER: u32 = 3;

/// All Prometheuses of one cluster.
#[derive(Debug)]
pub struct Http {
    stale: Duration,
    metrics: Arc<Metrics>,
    peers: Peers,
}

type Reached = Result<Peer, (String, Error)>;

impl Http {
    /// A client for these Prometheuses; nothing is called yet.
    pub fn new(config: &PrometheusConfig, metrics: Arc<Metrics>) -> Self {
        Self {
            stale: config.scrape_interval * STALE_AFTER,
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
        answer.map_err(|error| format!("{}: {error}", peer.name)).and_then(judge::numbers)
    }

    async fn query(&self, peer: &Peer, query: &str) -> Result<Answer, Error> {
        let request = peer.request(Method::POST, "api/v1/query")?.form(&[("query", query)]);
        let body = wire::send(request).await?;
        serde_json::from_slice(&body).map_err(|error| Error::Unreadable(error.to_string()))
    }

    async fn guard_on(&self, peer: Reached, expression: &str, selectors: &[String]) -> Guard {
        let peer = match peer {
            Ok(peer) => peer,
            Err((url, error)) => return Guard::Unknown { why: format!("{url}: {error}") },
        };
        let (answer, ages) = tokio::join!(
            self.numbers(&peer, expression),
            join_all(selectors.iter().map(|s| self.fresh(&peer, s)))
        );
        if let Some(why) = ages.into_iter().find_map(Result::err) {
            return Guard::Unknown { why };
        }
        answer.map_or_else(|why| Guard::Unknown { why }, |numbers| judge::guard(&numbers))
    }

    /// Whether every sample a selector reads now is young enough.
    async fn fresh(&self, peer: &Peer, selector: &str) -> Result<(), String> {
        let ages = self.numbers(peer, &format!("max(time() - timestamp({selector}))")).await?;
        match ages.as_slice() {
            [age] if *age <= self.stale.as_secs_f64() => Ok(()),
            [age] => Err(format!("{selector} is {age:.0} s old")),
            _ => Err(format!("{selector} has no data")),
        }
    }

    async fn want_on(&self, peer: Reached, query: &str) -> Want {
        let numbers = match peer {
            Ok(peer) => self.numbers(&peer, query).await,
            Err((url, error)) => Err(format!("{url}: {error}")),
        };
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
        let peers = self.peers.get().await;
        if peers.is_empty() {
            return Guard::Unknown { why: "no Prometheus is configured".to_owned() };
        }
        let answers =
            join_all(peers.into_iter().map(|peer| self.guard_on(peer, expression, &selectors)))
                .await;
        answers.into_iter().fold(Guard::Holds, judge::worse)
    }

    async fn want(&self, query: &str) -> Want {
        let peers = self.peers.get().await;
        let answers = join_all(peers.into_iter().map(|peer| self.want_on(peer, query))).await;
        answers
            .into_iter()
            .reduce(judge::larger)
            .unwrap_or(Want::Unknown { why: "no Prometheus is configured".to_owned() })
    }
}
