//! Schedules that are played to one Alertmanager, each on a route of its own.

use super::schedule::{Schedule, moment};
use bellwether::sim::alertmanager::Flags;
use jiff::Timestamp;
use jiff::tz::Offset;
use std::path::Path;
use std::time::Duration;

/// Where the schedules stand in the day of the zone that is made for them: at noon a time interval ends and
/// another begins.
pub(crate) const NOON: f64 = 4.5;

/// Alertmanager's time intervals have no seconds, but a time zone may have.
pub(crate) const ZONE: &str = "Test/Noon";

/// Schedules, and the flags of their Alertmanager.
#[derive(Clone, Debug, Default)]
pub(crate) struct World {
    pub(crate) schedules: Vec<Schedule>,
    /// `--data.maintenance-interval`, in seconds.
    pub(crate) maintenance: Option<u64>,
    /// `--dispatch.maintenance-interval`, in seconds; from 0.31 on.
    pub(crate) cleanup: Option<u64>,
    /// `--dispatch.start-delay`, in seconds; from 0.31 on.
    pub(crate) start_delay: Option<u64>,
}

impl World {
    /// The configuration file.
    pub(crate) fn config(&self, url: &str) -> String {
        let route = |schedule: &Schedule| {
            let Schedule { name, route, .. } = schedule;
            format!("    - {{ matchers: ['case=\"{name}\"'], receiver: {name}, {route} }}\n")
        };
        let receiver = |schedule: &Schedule| {
            let Schedule { name, webhook, .. } = schedule;
            format!(
                "  - {{ name: {name}, webhook_configs: [{{ url: '{url}/{name}'{webhook} }}] }}\n"
            )
        };
        let routes: String = self.schedules.iter().map(route).collect();
        let receivers: String = self.schedules.iter().map(receiver).collect();
        format!(
            "global: {{ resolve_timeout: 2s }}\n\
             route:\n  receiver: nobody\n  routes:\n{routes}\
             receivers:\n  - {{ name: nobody }}\n{receivers}\
             inhibit_rules:\n  - {{ source_matchers: ['role=~\"source|both\"'], \
             target_matchers: ['role=~\"target|both\"'], equal: [case, cluster] }}\n\
             time_intervals:\n{}{}",
            interval("before", "11:00", "12:00"),
            interval("after", "12:00", "13:00"),
        )
    }

    pub(crate) fn flags(&self) -> Flags {
        let usual = Flags::default();
        let or = |told: Option<u64>, usual| told.map_or(usual, Duration::from_secs);
        Flags {
            maintenance: or(self.maintenance, usual.maintenance),
            cleanup: or(self.cleanup, usual.cleanup),
            start_delay: or(self.start_delay, usual.start_delay),
            ..usual
        }
    }

    /// The same flags for a real one.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let flag = |name: &str, told: Option<u64>| told.map(|told| format!("--{name}={told}s"));
        [
            Some("--cluster.listen-address=".to_owned()),
            Some("--web.external-url=http://alertmanager:9093".to_owned()),
            // Many schedules look at once; beyond eight the answer would be a refusal.
            Some("--web.get-concurrency=1000".to_owned()),
            flag("data.maintenance-interval", self.maintenance),
            flag("dispatch.maintenance-interval", self.cleanup),
            flag("dispatch.start-delay", self.start_delay),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// When the time intervals of the file hold.
pub(crate) const WINDOWS: [(&str, f64, f64); 2] =
    [("before", NOON - 3600.0, NOON), ("after", NOON, NOON + 3600.0)];

fn interval(name: &str, from: &str, to: &str) -> String {
    format!(
        "  - {{ name: {name}, time_intervals: [{{ times: [{{ start_time: '{from}', end_time: '{to}' }}], \
         location: '{ZONE}' }}] }}\n"
    )
}

/// Writes the zone in which it is noon at [`NOON`] of a schedule that begins at `origin`.
pub(crate) fn write_zone(folder: &Path, origin: Timestamp) {
    let noon = moment(origin, NOON);
    let civil = Offset::UTC.to_datetime(noon);
    let since_midnight = civil.time().duration_since(jiff::civil::Time::midnight());
    let offset = i32::try_from(12 * 3600 - since_midnight.as_secs()).unwrap();
    // TZif, version 1: a magic word, counts of six kinds (here one zone of four letters), the zone.
    let mut file = b"TZif".to_vec();
    file.extend([0; 16]);
    for count in [0_u32, 0, 0, 0, 1, 5] {
        file.extend(count.to_be_bytes());
    }
    file.extend(offset.to_be_bytes());
    file.extend([0, 0]);
    file.extend(b"NOON\0");
    let path = folder.join(ZONE);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file).unwrap();
}
