//! Silences, remembered: a crash of Alertmanager forgets fresh ones, we do not.

use crate::model::{ClusterMemory, Reason, Silence, SilenceId, SilenceState, Truth};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What is remembered after this pass: every silence seen, to its end, unless an Alertmanager says
/// that this very one is expired.
pub(super) fn remember(
    known: &BTreeMap<SilenceId, Silence>,
    truth: &Truth,
    now: Timestamp,
) -> BTreeMap<SilenceId, Silence> {
    let mut silences = known.clone();
    for (id, silence) in &truth.silences {
        if silence.state == SilenceState::Expired {
            silences.remove(id);
        } else {
            silences.insert(id.clone(), silence.clone());
        }
    }
    silences.retain(|_, silence| now < silence.ends);
    silences
}

/// Whether a label set is paused now, by what Alertmanager says or what we remember.
pub(super) fn check(
    labels: &BTreeMap<String, String>,
    memory: &ClusterMemory,
    truth: &Truth,
    now: Timestamp,
) -> Result<(), Reason> {
    let silences = remember(&memory.silences, truth, now);
    match silences.values().find(|silence| silence.mutes(labels, now)) {
        Some(silence) => Err(paused(silence, truth)),
        None => Ok(()),
    }
}

/// The reason that tells who paused it, until when, and why.
pub(super) fn paused(silence: &Silence, truth: &Truth) -> Reason {
    Reason::Paused {
        silence: silence.id.clone(),
        by: silence.created_by.clone(),
        until: silence.ends,
        comment: silence.comment.clone(),
        remembered: !truth.silences.contains_key(&silence.id),
    }
}
