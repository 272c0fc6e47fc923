//! Hearing of what other replicas did, by publish and subscribe.
//!
//! Nothing is kept for who does not listen, so a line that was cut counts as news of every cluster.

use super::keys;
use super::link::Link;
use crate::store::Wake;
use futures_util::StreamExt as _;
use redis::aio::PubSub;
use std::time::Duration;

/// How long to wait before subscribing again, where that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// How long without news until the line is tried: a half-open one is silent for ever.
const SILENCE: Duration = Duration::from_secs(10);

/// The line that news comes on.
#[derive(Default)]
pub(super) struct Wakes(tokio::sync::Mutex<Option<PubSub>>);

impl Wakes {
    /// What somebody but `own` did next.
    pub(super) async fn next(&self, link: &Link, own: &str) -> Wake {
        let mut line = self.0.lock().await;
        loop {
            let Some(subscribed) = &mut *line else {
                match subscribe(link).await {
                    Some(subscribed) => {
                        *line = Some(subscribed);
                        return Wake::Unknown;
                    }
                    None => tokio::time::sleep(AGAIN).await,
                }
                continue;
            };
            let message = tokio::time::timeout(SILENCE, subscribed.on_message().next()).await;
            match message {
                Ok(Some(message)) => {
                    let told: String = message.get_payload().unwrap_or_default();
                    let mut words = told.splitn(3, ' ');
                    if words.next() != Some(own) {
                        return match (words.next(), words.next()) {
                            (Some("recorded"), Some(cluster)) => Wake::Recorded(cluster.into()),
                            (Some("released"), Some(cluster)) => Wake::Released(cluster.into()),
                            _ => Wake::Unknown,
                        };
                    }
                }
                Ok(None) => {
                    *line = None;
                    tokio::time::sleep(AGAIN).await;
                }
                Err(_) => {
                    let answers = tokio::time::timeout(link.timeout(), subscribed.ping::<String>());
                    if !matches!(answers.await, Ok(Ok(_))) {
                        *line = None;
                    }
                }
            }
        }
    }
}

/// A new line; `None` where there is no server, or the user may not listen. The store's calls tell why.
async fn subscribe(link: &Link) -> Option<PubSub> {
    let client = link.client().await.ok()?;
    let channel = keys::wakes(link.url().database);
    let subscribing = async {
        let mut line = client.get_async_pubsub().await?;
        line.subscribe(channel).await?;
        redis::RedisResult::Ok(line)
    };
    let outcome = tokio::time::timeout(link.timeout(), subscribing).await.ok()?;
    outcome
        .inspect_err(|error| tracing::debug!(section = "store", %error, "no wakes from redis"))
        .ok()
}

impl std::fmt::Debug for Wakes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Wakes")
    }
}
