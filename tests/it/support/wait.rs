//! Waiting for something to become true, with a deadline.

use std::future::Future;
use std::time::Duration;

/// The longest that anything is waited for. Each wait ends as soon as what it is for is true, so only what fails takes so long:
/// this must suffice on the slowest machine, with eleven other tests and their servers beside.
pub(crate) const LIMIT: Duration = Duration::from_mins(4);

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until it is true; panics with `what` when the limit is over.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    until_at(LOOK, what, holds).await;
}

/// The same, looking as often as this.
pub(crate) async fn until_at<F: Future<Output = bool>>(
    look: Duration,
    what: &str,
    holds: impl Fn() -> F,
) {
    assert!(comes_true_at(look, LIMIT, holds).await, "waited {LIMIT:?} for {what}, in vain");
}

/// Whether it is true at any look within this time.
pub(crate) async fn comes_true<F: Future<Output = bool>>(
    within: Duration,
    holds: impl Fn() -> F,
) -> bool {
    comes_true_at(LOOK, within, holds).await
}

/// The same, looking as often as this.
pub(crate) async fn comes_true_at<F: Future<Output = bool>>(
    look: Duration,
    within: Duration,
    holds: impl Fn() -> F,
) -> bool {
    let looks = async {
        let mut look = tokio::time::interval(look);
        loop {
            look.tick().await;
            if holds().await {
                return;
            }
        }
    };
    tokio::time::timeout(within, looks).await.is_ok()
}
