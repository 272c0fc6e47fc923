//! Waiting for something to become true, with a deadline.

use std::future::Future;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until it is true; panics with `what` when the limit is over.
pub(crate) async fn until<F: Future<Output = bool>>(
    limit: Duration,
    what: &str,
    holds: impl Fn() -> F,
) {
    until_at(LOOK, limit, what, holds).await;
}

/// The same, looking as often as this.
pub(crate) async fn until_at<F: Future<Output = bool>>(
    look: Duration,
    limit: Duration,
    what: &str,
    holds: impl Fn() -> F,
) {
    let deadline = Instant::now() + limit;
    let mut look = tokio::time::interval(look);
    while Instant::now() < deadline {
        look.tick().await;
        if holds().await {
            return;
        }
    }
    panic!("waited {limit:?} for {what}, in vain");
}
