//! How often EC2 is asked by all pools of this process together: AWS counts the calls of a whole account in a region, each action by
//! itself. A look that would be too much waits its turn for a moment. An act does not wait, since it was permitted right before: it is
//! answered at once, by a code that AWS does not have, which proves that it did nothing.
//!
//! <https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>

use aws_sdk_ec2::config::http::{HttpRequest, HttpResponse};
use aws_sdk_ec2::config::{ConfigBag, HttpClient, RuntimeComponents, SharedHttpClient};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponentsBuilder;
use aws_smithy_runtime_api::http::StatusCode;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// The longest that a look waits for its turn. With the time to connect it is shorter than what the SDK takes for a line that
/// stands still.
const LONGEST: Duration = Duration::from_secs(2);

/// What a call that was not sent is answered with: none of AWS's codes, which would be AWS's own word.
pub(super) const HELD_BACK: &str = "Bellwether.HeldBack";

/// Calls at once after a quiet time, and each second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit {
    burst: f64,
    rate: f64,
}

/// What AWS lets an account ask: by kind of action, but for those that it singles out. Others ask there too, and an account may have
/// less: told so, a pool asks half as often. How many instances a launch makes AWS counts as well; that is not known here.
fn limit(action: &str) -> Limit {
    match action {
        "RunInstances" => Limit { burst: 5.0, rate: 2.0 },
        "TerminateInstances" => Limit { burst: 100.0, rate: 5.0 },
        look if is_look(look) => Limit { burst: 100.0, rate: 20.0 },
        _ => Limit { burst: 50.0, rate: 5.0 },
    }
}

/// Whether an action changes nothing.
fn is_look(action: &str) -> bool {
    action.starts_with("Describe") || action.starts_with("Get")
}

/// An account in a region, as far as we can tell them apart: by where it is asked, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Account {
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) role: Option<String>,
    /// The id of an access key that was given.
    pub(super) key: Option<String>,
}

/// The calls of one account.
#[derive(Debug, Default)]
struct Pace {
    buckets: Mutex<BTreeMap<String, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    /// Below zero while calls wait.
    tokens: f64,
    filled: Instant,
}

impl Pace {
    /// The one of this account. Clusters and pools do not know of one another, but AWS counts them as one.
    fn of(account: Account) -> Arc<Self> {
        static ALL: LazyLock<Mutex<BTreeMap<Account, Arc<Pace>>>> = LazyLock::new(Mutex::default);
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(account).or_default().clone()
    }

    /// Takes a turn: how long it is until it comes; `None` where that is too long, and none was taken.
    fn turn(&self, action: &str) -> Option<Duration> {
        let Limit { burst, rate } = limit(action);
        let longest = if is_look(action) { LONGEST } else { Duration::ZERO };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let new = || Bucket { tokens: burst, filled: now };
        let bucket = buckets.entry(action.to_owned()).or_insert_with(new);
        let since = now.duration_since(bucket.filled).as_secs_f64();
        (bucket.tokens, bucket.filled) = ((bucket.tokens + since * rate).min(burst), now);
        let left = bucket.tokens - 1.0;
        let wait = Duration::from_secs_f64((-left).max(0.0) / rate);
        if wait > longest {
            return None;
        }
        bucket.tokens = left;
        Some(wait)
    }
}

/// Over which EC2 is asked at its account's pace.
#[derive(Debug)]
pub(super) struct Paced {
    inner: SharedHttpClient,
    pace: Arc<Pace>,
}

impl Paced {
    pub(super) fn new(inner: SharedHttpClient, account: Account) -> Self {
        Self { inner, pace: Pace::of(account) }
    }
}

impl HttpClient for Paced {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(Line { inner, pace: self.pace.clone() })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.inner.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.inner.connector_metadata()
    }
}

#[derive(Debug)]
struct Line {
    inner: SharedHttpConnector,
    pace: Arc<Pace>,
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, pace) = (self.inner.clone(), self.pace.clone());
        HttpConnectorFuture::new(async move {
            match pace.turn(action(&request)) {
                None => {
                    let action = action(&request);
                    tracing::debug!(
                        section = "provider",
                        action,
                        "not sent: AWS lets nobody ask so often"
                    );
                    return Ok(too_much());
                }
                Some(Duration::ZERO) => {}
                Some(wait) => tokio::time::sleep(wait).await,
            }
            inner.call(request).await
        })
    }
}

/// The action that a request names: it is the first that its form says.
fn action(request: &HttpRequest) -> &str {
    let body = request.body().bytes().and_then(|bytes| std::str::from_utf8(bytes).ok());
    let named = body.and_then(|form| form.strip_prefix("Action="));
    named.map_or("", |rest| rest.split('&').next().unwrap_or_default())
}

/// An error as AWS writes them. Nothing was sent, and by this answer everybody knows that.
fn too_much() -> HttpResponse {
    let told = format!(
        "<Response><Errors><Error><Code>{HELD_BACK}</Code><Message>it is not asked so often</Message></Error></Errors></Response>"
    );
    let status = StatusCode::try_from(503).expect("a status");
    HttpResponse::new(status, told.into())
}

#[cfg(test)]
mod tests;
