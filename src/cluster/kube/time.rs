//! Kubernetes' times are of another release of the library that ours are of.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use k8s_openapi::jiff as theirs;

/// A time of theirs; what is out of range is the bound.
pub(super) fn ours(time: &Time) -> Timestamp {
    Timestamp::from_nanosecond(time.0.as_nanosecond()).unwrap_or(Timestamp::MAX)
}

/// A time of ours.
pub(super) fn micro(time: Timestamp) -> MicroTime {
    let theirs = theirs::Timestamp::from_nanosecond(time.as_nanosecond());
    MicroTime(theirs.unwrap_or(theirs::Timestamp::MAX))
}
