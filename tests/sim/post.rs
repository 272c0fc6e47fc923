//! The way of a delivery: to a process, or astray, and what Alertmanager makes of the answer.

use crate::checker::Checker;
use crate::happening::Mail;
use crate::monitoring::Monitoring;
use crate::secrets::TOKEN;
use bellwether::sim::alertmanager::{Answer, Delivery, Peer};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;

/// How long Alertmanager waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way to a process.
pub(crate) struct Post {
    pub(crate) connections: Option<mpsc::UnboundedSender<DuplexStream>>,
    pub(crate) checker: Arc<Checker>,
}

/// Carries one delivery, and what Alertmanager makes of its answer.
pub(crate) async fn carry(
    post: Post,
    mail: Option<Mail>,
    peer: Peer,
    delivery: Delivery,
    monitoring: Arc<Mutex<Monitoring>>,
) {
    let body = delivery.body;
    let answer = match mail {
        None => post.send(&body).await,
        Some(Mail::Lost) => {
            tokio::time::sleep(PATIENCE).await;
            Answer::Retry
        }
        Some(Mail::Twice) => {
            post.send(&body).await;
            post.send(&body).await
        }
        Some(Mail::Unanswered) => {
            post.send(&body).await;
            Answer::Retry
        }
        Some(Mail::Late(most)) => {
            let share = u32::try_from(delivery.id * 37 % 100).expect("less than a hundred");
            tokio::time::sleep(most * share / 100).await;
            post.send(&body).await
        }
    };
    let now = post.checker.now();
    monitoring.lock().unwrap().answered(peer, delivery.id, answer, now);
}

impl Post {
    /// Posts a body to the webhook; what Alertmanager makes of the answer.
    async fn send(&self, body: &Value) -> Answer {
        let (before, sent) = (self.checker.pools(), self.checker.sent());
        match tokio::time::timeout(PATIENCE, self.exchange(body)).await {
            Ok(Some(200..=299)) => {
                let mut pools = self.checker.pools();
                pools.retain(|pool| before.contains(pool));
                self.checker.answered(&prints(body, &pools), sent).await;
                Answer::Ok
            }
            Ok(Some(500..) | None) | Err(_) => Answer::Retry,
            Ok(Some(status)) => {
                self.checker.violated("I9", format!("a good delivery was answered {status}"));
                Answer::Refused
            }
        }
    }

    async fn exchange(&self, body: &Value) -> Option<u16> {
        let (mut ours, theirs) = tokio::io::duplex(256 * 1024);
        self.connections.as_ref()?.send(theirs).ok()?;
        let body = body.to_string();
        let request = format!(
            "POST /v1/alerts HTTP/1.1\r\nhost: bellwether\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        ours.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        ours.read_to_end(&mut answer).await.ok()?;
        let text = String::from_utf8(answer).ok()?;
        self.checker.shows("an answer", &text);
        text.split(' ').nth(1)?.parse().ok()
    }
}

/// Fingerprints of the alerts that are for a pool that there is.
fn prints(body: &Value, pools: &[String]) -> Vec<String> {
    let alerts = body["alerts"].as_array().into_iter().flatten();
    let ours = alerts.filter(|alert| {
        let pool = alert["labels"]["pool"].as_str();
        pool.is_none_or(|pool| pools.iter().any(|one| one == pool))
    });
    ours.filter_map(|alert| Some(alert["fingerprint"].as_str()?.to_owned())).collect()
}
