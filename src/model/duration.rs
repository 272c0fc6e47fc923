//! Durations as Prometheus and Alertmanager write them: `1h30m`, `55s`, `250ms`, `1d`.

use jiff::{SignedDuration, Timestamp};
use std::fmt::Write as _;
use std::time::Duration;

/// Units from the largest to the smallest with their length in milliseconds.
/// A day is 24 h and a week 7 days, as in Prometheus (years are left out on purpose).
const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a duration; write it like 30s, 5m, 1h30m or 250ms")]
pub struct NotADuration;

/// Reads a duration such as `1h30m`; units must come from large to small, each once.
/// `0` alone is allowed.
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut next_unit) = (0_u64, 0);
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let count: u64 = rest[..digits].parse().map_err(|_| NotADuration)?;
        rest = &rest[digits..];
        let letters = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let unit =
            UNITS.iter().position(|(name, _)| *name == &rest[..letters]).ok_or(NotADuration)?;
        if unit < next_unit {
            return Err(NotADuration);
        }
        next_unit = unit + 1;
        rest = &rest[letters..];
        total = count
            .checked_mul(UNITS[unit].1)
            .and_then(|ms| total.checked_add(ms))
            .ok_or(NotADuration)?;
    }
    if next_unit == 0 { Err(NotADuration) } else { Ok(Duration::from_millis(total)) }
}

/// Writes a duration in the same form; what is below a millisecond is dropped.
pub fn format(duration: Duration) -> String {
    let mut left = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, length) in UNITS {
        let count = left / length;
        if count > 0 {
            let _ = write!(text, "{count}{name}");
            left %= length;
        }
    }
    text
}

/// How long ago `then` was; zero when it lies in the future (clocks differ).
pub fn since(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

/// How long until `then`; zero when it has passed.
pub fn until(then: Timestamp, now: Timestamp) -> Duration {
    since(now, then)
}

/// `at` moved forward, stopping at the end of time instead of failing.
pub fn after(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// `at` moved back, stopping at the beginning of time instead of failing.
pub fn before(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| at.checked_sub(by).ok())
        .unwrap_or(Timestamp::MIN)
}

/// Serialises a `Duration` as text in the form above.
pub mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use std::time::Duration;

    /// Writes the text form.
    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::format(*duration))
    }

    /// Reads the text form.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_read_as_prometheus_reads_them() {
        for (text, ms) in
            [("0", 0), ("250ms", 250), ("55s", 55_000), ("1h30m", 5_400_000), ("1d", 86_400_000)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "5", "m", "5x", "1m1h", "1m1m", "-1s", "1.5s", "99999999999999999w", "5 m"]
        {
            assert_eq!(parse(text), Err(NotADuration), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(ms in 0_u64..10_000_000_000_000) {
            let duration = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(duration)), Ok(duration));
        }
    }
}
