//! Several Alertmanagers' answers as one truth: whoever says suppressed wins. Pure.

use super::answers::Answers;
use super::routes;
use crate::config::AlertmanagerConfig;
use crate::model::{AlertState, PeerState, Silence, SilenceState, Truth};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// One peer, and what it said or why it did not.
pub(super) struct Reply {
    pub(super) url: String,
    pub(super) answer: Result<Answers, String>,
}

/// Merges what all peers said.
pub(super) fn merge(replies: Vec<Reply>, config: &AlertmanagerConfig) -> Truth {
    let mut truth = Truth::default();
    let mut period = None;
    for Reply { url, answer } in replies {
        let answers = match answer {
            Ok(answers) => answers,
            Err(error) => {
                truth.peers.push(PeerState { url, started: None, error: Some(error) });
                continue;
            }
        };
        truth.peers.push(PeerState { url, started: Some(answers.status.uptime), error: None });
        match routes::read(&answers.status.config.original, config) {
            Ok(routes) => {
                period = period.max(routes.period);
                truth.findings.extend(routes.findings);
            }
            Err(finding) => truth.findings.push(finding),
        }
        truth.findings.extend(receiver_finding(&answers, config));
        merge_answers(answers, &mut truth);
    }
    truth.findings.sort();
    truth.findings.dedup();
    truth.ttl = period.map_or(config.ttl, |period| period + config.ttl_slack);
    truth
}

fn merge_answers(answers: Answers, truth: &mut Truth) {
    for (fingerprint, alert) in answers.alerts.into_iter().map(super::answers::Alert::into_state) {
        match truth.alerts.entry(fingerprint) {
            Entry::Vacant(place) => {
                place.insert(alert);
            }
            Entry::Occupied(mut known) => join(known.get_mut(), alert),
        }
    }
    for silence in answers.silences.into_iter().map(Silence::from) {
        keep_stronger(&mut truth.silences, silence);
    }
}

/// The earliest start, and every reason to be mute that any peer knows.
fn join(known: &mut AlertState, other: AlertState) {
    known.starts_at = known.starts_at.min(other.starts_at);
    known.silenced_by.extend(other.silenced_by);
    known.inhibited_by.extend(other.inhibited_by);
    known.silenced_by.sort();
    known.silenced_by.dedup();
    known.inhibited_by.sort();
    known.inhibited_by.dedup();
}

/// A silence that any peer still holds to is held to: expired only where nobody says otherwise.
fn keep_stronger(silences: &mut BTreeMap<crate::model::SilenceId, Silence>, silence: Silence) {
    let strength = |silence: &Silence| match silence.state {
        SilenceState::Expired => 0,
        SilenceState::Pending => 1,
        SilenceState::Active => 2,
    };
    match silences.entry(silence.id.clone()) {
        Entry::Vacant(place) => {
            place.insert(silence);
        }
        Entry::Occupied(mut known) => {
            if strength(&silence) > strength(known.get()) {
                known.insert(silence);
            }
        }
    }
}

/// Operators rename receivers (prometheus-operator prefixes them), and then nothing reaches us.
fn receiver_finding(answers: &Answers, config: &AlertmanagerConfig) -> Option<String> {
    if answers.receivers.iter().any(|receiver| receiver.name == config.receiver) {
        return None;
    }
    let near: Vec<&str> = answers.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    Some(format!("Alertmanager has no receiver {:?}; it has {}", config.receiver, near.join(", ")))
}
