//! The schedules, by what they are about.

#[expect(clippy::too_many_lines, reason = "tables")]
mod alerts;
#[expect(clippy::too_many_lines, reason = "tables")]
mod answers;
#[expect(clippy::too_many_lines, reason = "tables")]
mod groups;
#[expect(clippy::too_many_lines, reason = "tables")]
mod mutes;
pub(crate) mod pairs;
pub(crate) mod processes;

use super::schedule::Schedule;

/// Each alert its own group, at once, each 2 s, never again within a schedule.
const EACH: &str = "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 1h";

/// The same, again after 3 s, which is at each second tick.
const BEAT: &str = "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 3s";

/// By name, after a second.
const NAMED: &str =
    "group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 1h";

/// By name, after three seconds.
const PATIENT: &str =
    "group_by: [alertname], group_wait: 3s, group_interval: 2s, repeat_interval: 1h";

/// All that can share one Alertmanager.
pub(crate) fn all() -> Vec<Schedule> {
    [alerts::all(), answers::all(), groups::all(), mutes::all()].concat()
}
