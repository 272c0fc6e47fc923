//! Every trap of Alertmanager that we know of, sprung on real ones with the shipped routes: what they did is
//! asserted first, and then what was done to machines, which is the right thing once, or nothing.
//!
//! `docs/alertmanager.md` has the list. What Alertmanager does is described in more detail, and held against the
//! simulated one, by `schedules`.

mod answers;
mod groups;
mod inhibition;
mod peers;
mod prometheus;
mod receivers;
mod restarts;
mod retries;
mod scene;
mod silences;
mod skew;
mod timetables;

use crate::support::alertmanager::VERSIONS;
use futures_util::future::join_all;
use std::future::Future;

/// One worker more; its pool's cooldown says how often.
const UP: &[(&str, &str)] = &[("autoscale", "up"), ("pool", "workers"), ("step", "1")];

/// As many workers as the pods that wait need.
const NEED: &[(&str, &str)] = &[("autoscale", "up"), ("pool", "workers")];

/// A worker less.
const DOWN: &[(&str, &str)] = &[("autoscale", "down"), ("pool", "workers")];

/// Plays one story on both supported versions at once.
async fn on_both<F: Future<Output = ()>>(story: impl Fn(&'static str) -> F) {
    join_all(VERSIONS.map(story)).await;
}
