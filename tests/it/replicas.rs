//! Two and three real programs on one Redis: any takes, one acts, and another does when that one cannot.

mod handover;
mod installs;
mod links;
mod replica;
mod restarts;
mod scene;
mod sharing;

use bellwether::clock::Clock;
use jiff::Timestamp;
use std::time::Duration;

/// A claim that no load of this machine ends.
const LONG: Duration = Duration::from_secs(20);

fn now() -> Timestamp {
    Clock::system().now()
}
