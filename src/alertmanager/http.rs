//! The client of real Alertmanagers.

use super::Alertmanager;
use super::answers::Answers;
use super::merge::{Reply, merge};
use super::routes::KnownRoutes;
use crate::config::AlertmanagerConfig;
use crate::metrics::Metrics;
use crate::model::{Matcher, PostedAlert, SilenceId, Truth};
use crate::wire::{self, Error, Peer, Reached};
use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

/// All Alertmanagers of one cluster, over their API version 2.
#[derive(Debug)]
pub struct Http {
    config: AlertmanagerConfig,
    /// The receiver's name as an expression that matches nothing else.
    receiver: String,
    metrics: Arc<Metrics>,
    peers: wire::Peers,
    routes: KnownRoutes,
}

#[derive(Deserialize)]
struct Created {
    #[serde(rename = "silenceID")]
    silence: SilenceId,
}

impl Http {
    /// A client for these Alertmanagers; nothing is called yet.
    pub fn new(config: &AlertmanagerConfig, metrics: Arc<Metrics>) -> Self {
        Self {
            receiver: regex::escape(&config.receiver),
            peers: wire::Peers::new(config.endpoint.clone()),
            config: config.clone(),
            metrics,
            routes: KnownRoutes::default(),
        }
    }

    /// Sets a silence on the first Alertmanager that takes it; peers tell each other.
    pub async fn create_silence(
        &self,
        matchers: &[Matcher],
        (starts, ends): (Timestamp, Timestamp),
        created_by: &str,
        comment: &str,
    ) -> Result<SilenceId, Error> {
        let body = json!({
            "matchers": matchers, "startsAt": starts, "endsAt": ends, "createdBy": created_by, "comment": comment,
        });
        let answer = self.first(Method::POST, "api/v2/silences", Some(&body)).await?;
        wire::json(&answer).map(|created: Created| created.silence)
    }

    /// Ends a silence, by the first Alertmanager that knows it.
    pub async fn expire_silence(&self, id: &SilenceId) -> Result<(), Error> {
        if !id.as_str().chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return Err(Error::Config("not the id of a silence".to_owned()));
        }
        self.first(Method::DELETE, &format!("api/v2/silence/{id}"), None).await.map(drop)
    }

    async fn first(
        &self,
        method: Method,
        path: &str,
        body: Option<&serde_json::Value>,
    ) -> Result<Vec<u8>, Error> {
        let mut last = Error::Away("no Alertmanager is configured".to_owned());
        for peer in self.peers.get().await {
            let attempt = async {
                let request = peer.map_err(|(_, error)| error)?.request(method.clone(), path)?;
                let request = if let Some(body) = body { request.json(body) } else { request };
                wire::send(request).await
            };
            match attempt.await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn post_to(&self, peer: Reached, alerts: &[PostedAlert]) -> Result<(), String> {
        let peer = peer.map_err(|(url, error)| format!("{url}: {error}"))?;
        let call = async {
            let request = peer.request(Method::POST, "api/v2/alerts")?;
            wire::send(request.json(alerts)).await
        };
        call.await.map(drop).map_err(|error| format!("{}: {error}", peer.name))
    }

    async fn ask(&self, peer: Reached) -> Reply {
        let peer = match peer {
            Ok(peer) => peer,
            Err((url, error)) => return Reply { url, answer: Err(error.to_string()) },
        };
        let timer =
            self.metrics.calls.seconds.with_label_values(&["alertmanager", "truth"]).start_timer();
        let answer = self.answers(&peer).await;
        timer.observe_duration();
        let outcome = if answer.is_ok() { "ok" } else { "error" };
        self.metrics.calls.total.with_label_values(&["alertmanager", "truth", outcome]).inc();
        Reply { url: peer.name, answer: answer.map_err(|error| error.to_string()) }
    }

    async fn answers(&self, peer: &Peer) -> Result<Answers, Error> {
        let all = [
            ("active", "true"),
            ("silenced", "true"),
            ("inhibited", "true"),
            ("unprocessed", "true"),
        ];
        let ours: Vec<(&str, &str)> =
            all.into_iter().chain([("receiver", self.receiver.as_str())]).collect();
        let (alerts, silences, status, receivers) = tokio::try_join!(
            peer.get("api/v2/alerts", &ours),
            peer.get("api/v2/silences", &[]),
            peer.get("api/v2/status", &[]),
            peer.get("api/v2/receivers", &[]),
        )?;
        Ok(Answers { alerts, silences, status, receivers })
    }
}

#[async_trait]
impl Alertmanager for Http {
    async fn truth(&self) -> Truth {
        let peers = self.peers.get().await;
        let replies = join_all(peers.into_iter().map(|peer| self.ask(peer))).await;
        merge(replies, &self.config, &self.routes)
    }

    async fn post(&self, alerts: &[PostedAlert]) -> Vec<String> {
        let post = async |peer: Reached| {
            let seconds = &self.metrics.calls.seconds;
            let timer = seconds.with_label_values(&["alertmanager", "post"]).start_timer();
            let posted = self.post_to(peer, alerts).await;
            timer.observe_duration();
            let outcome = if posted.is_ok() { "ok" } else { "error" };
            self.metrics.calls.total.with_label_values(&["alertmanager", "post", outcome]).inc();
            posted.err()
        };
        let posts = self.peers.get().await.into_iter().map(post);
        join_all(posts).await.into_iter().flatten().collect()
    }

    fn renewed(&self, config: &AlertmanagerConfig) -> Option<Arc<dyn Alertmanager>> {
        (self.config != *config).then(|| Arc::new(Self::new(config, self.metrics.clone())) as _)
    }
}
