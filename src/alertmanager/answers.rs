//! What one Alertmanager answers, as its API version 2 writes it.

use crate::model::{AlertState, Fingerprint, Matcher, Silence, SilenceId, SilenceState};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Stands for what mutes an alert where Alertmanager does not name it.
pub(super) const CAUSE_UNKNOWN: &str = "unknown";

/// Everything one peer said.
#[derive(Clone, Debug)]
pub(super) struct Answers {
    pub(super) alerts: Vec<Alert>,
    pub(super) silences: Vec<SilenceAnswer>,
    pub(super) status: Status,
    pub(super) receivers: Vec<Receiver>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Alert {
    pub(super) fingerprint: Fingerprint,
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) starts_at: Timestamp,
    pub(super) status: AlertStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AlertStatus {
    pub(super) state: State,
    #[serde(default)]
    pub(super) silenced_by: Vec<SilenceId>,
    #[serde(default)]
    pub(super) inhibited_by: Vec<Fingerprint>,
    /// Time intervals that mute it, where a version tells them.
    #[serde(default)]
    pub(super) muted_by: Vec<String>,
}

/// A word we do not know makes the whole answer unreadable: better unknown than guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Active,
    Suppressed,
    Unprocessed,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SilenceAnswer {
    id: SilenceId,
    matchers: Vec<Matcher>,
    starts_at: Timestamp,
    ends_at: Timestamp,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
    status: SilenceStatus,
}

#[derive(Clone, Debug, Deserialize)]
struct SilenceStatus {
    state: SilenceState,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Status {
    pub(super) uptime: Timestamp,
    pub(super) config: ConfigStatus,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ConfigStatus {
    pub(super) original: String,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Receiver {
    pub(super) name: String,
}

impl Alert {
    /// As the model says it. Suppressed without a cause that we know is suppressed all the same.
    pub(super) fn into_state(self) -> (Fingerprint, AlertState) {
        let AlertStatus { state, silenced_by, mut inhibited_by, muted_by } = self.status;
        let is_mute = state != State::Active || !muted_by.is_empty();
        if is_mute && silenced_by.is_empty() && inhibited_by.is_empty() {
            inhibited_by.push(Fingerprint::new(CAUSE_UNKNOWN));
        }
        let alert = AlertState {
            labels: self.labels,
            annotations: self.annotations,
            starts_at: self.starts_at,
            silenced_by,
            inhibited_by,
        };
        (self.fingerprint, alert)
    }
}

impl From<SilenceAnswer> for Silence {
    fn from(answer: SilenceAnswer) -> Self {
        Self {
            id: answer.id,
            matchers: answer.matchers,
            starts: answer.starts_at,
            ends: answer.ends_at,
            created_by: answer.created_by,
            comment: answer.comment,
            state: answer.status.state,
        }
    }
}
