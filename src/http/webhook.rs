//! `POST /v1/alerts`: parse, one durable write, wake, answer.

use super::answer::{self, ApiError, Code};
use super::{Server, body};
use crate::alert::{self, BodyError, Delivery, Judged};
use crate::config::Config;
use crate::killpoint::{self, Point};
use crate::model::{ClusterName, Signal};
use hyper::Request;
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::Serialize;
use std::collections::BTreeSet;

/// Refusals that an answer spells out; the counts tell the rest.
const REASONS_MAX: usize = 10;

/// What became of a delivery.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    accepted: usize,
    ignored: usize,
    refused: usize,
    /// Alerts that Alertmanager left out; they reach us with no delivery.
    #[serde(skip_serializing_if = "is_zero")]
    truncated: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason>,
}

/// Why one alert was not taken.
#[derive(Debug, Serialize)]
struct Reason {
    code: &'static str,
    message: String,
}

// === impl Outcome ===

impl Outcome {
    /// Judges all alerts, counts what becomes of each, and returns what they ask.
    fn of(
        &mut self,
        delivery: Delivery,
        config: &Config,
        server: &Server,
        now: jiff::Timestamp,
    ) -> Vec<Signal> {
        let counter = &server.state.metrics.http.alerts;
        self.truncated = delivery.truncated;
        if delivery.truncated > 0 {
            counter.with_label_values(&["truncated"]).inc_by(delivery.truncated);
        }
        let mut signals = Vec::with_capacity(delivery.alerts.len());
        for alert in delivery.alerts {
            let judged = alert::judge(alert, &config.clusters, now);
            let code = judged.code();
            counter.with_label_values(&[code]).inc();
            match judged {
                Judged::Accepted(signal) => {
                    self.accepted += 1;
                    signals.push(*signal);
                }
                Judged::Ignored(_) => self.ignored += 1,
                Judged::Refused(why) => {
                    self.refused += 1;
                    if self.reasons.len() < REASONS_MAX {
                        self.reasons.push(Reason { code, message: why.to_string() });
                    }
                }
            }
        }
        signals
    }

    /// One line per kind of refusal, damped: the answer goes to a machine that reads none.
    fn log(&self, server: &Server) {
        for reason in &self.reasons {
            if let Some(saved) = server.damper.admit(reason.code) {
                tracing::warn!(code = reason.code, why = reason.message, saved, "alert refused");
            }
        }
        if self.truncated > 0
            && let Some(saved) = server.damper.admit("truncated")
        {
            let alerts = self.truncated;
            tracing::warn!(alerts, saved, "alertmanager left out alerts; raise max_alerts");
        }
    }
}

// === impl BodyError ===

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::Grafana => Code::Grafana,
            BodyError::NotJson(_) | BodyError::Foreign(_) => Code::Invalid,
            BodyError::TooMany => Code::TooLarge,
        };
        Self::new(code, error.to_string())
    }
}

// === free functions ===

/// Takes a delivery.
pub(super) async fn deliver(server: &Server, request: Request<Incoming>) -> answer::Result {
    refuse_while_stopping(server)?;
    body::check_type(request.headers(), body::Untyped::Taken)?;
    let body = body::read(request.into_body(), &server.state.limits).await?;
    let delivery = Delivery::parse(&body)?;
    drop(body);
    let now = server.state.store.now().await?;
    let config = server.state.config.borrow().clone();
    let mut outcome = Outcome::default();
    let signals = alert::merge(outcome.of(delivery, &config, server, now));
    store(server, &signals).await?;
    outcome.log(server);
    Ok(answer::json(StatusCode::OK, &outcome))
}

/// Stores signals with one write, then wakes whom they concern.
pub(super) async fn store(server: &Server, signals: &[Signal]) -> Result<(), ApiError> {
    if signals.is_empty() {
        return Ok(());
    }
    server.state.store.record_signals(signals).await?;
    killpoint::reached(Point::SignalStored);
    let clusters: BTreeSet<&ClusterName> = signals.iter().map(|signal| &signal.cluster).collect();
    for cluster in clusters {
        (server.state.handle.wake)(cluster);
    }
    Ok(())
}

/// Whoever comes now should come again, to the next process.
pub(super) fn refuse_while_stopping(server: &Server) -> Result<(), ApiError> {
    if server.stopping.is_cancelled() {
        return Err(ApiError::new(Code::Draining, "shutting down; nothing was stored"));
    }
    Ok(())
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
