//! Several Alertmanagers' answers as one truth: whoever says suppressed wins. Pure.

use super::answers::Answers;
use super::routes::KnownRoutes;

use crate::config::AlertmanagerConfig;
use crate::model::{AlertState, PeerState, Silence, SilenceId, SilenceState, Truth};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// How many receivers a finding lists.
const NAMES_SHOWN: usize = 10;

/// One peer, and what it said or why it did not.
pub(super) struct Reply {
    pub(super) url: String,
    pub(super) answer: Result<Answers, String>,
}

/// Merges what all peers said. `known` belongs to this configuration.
pub(super) fn merge(
    replies: Vec<Reply>,
    config: &AlertmanagerConfig,
    known: &KnownRoutes,
) -> Truth {
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
        match known.read(&answers.status.config.original, config) {
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
    truth.ttl = period.map_or(config.ttl, |period| period.saturating_add(config.ttl_slack));
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

/// A silence that any peer still holds to is held to: expired only where nobody says otherwise. Peers
/// whose clocks differ, or that have not yet told each other of a change, agree on the longer pause.
fn keep_stronger(silences: &mut BTreeMap<SilenceId, Silence>, silence: Silence) {
    match silences.entry(silence.id.clone()) {
        Entry::Vacant(place) => {
            place.insert(silence);
        }
        Entry::Occupied(mut known) => {
            let known = known.get_mut();
            let (starts, ends) = (known.starts.min(silence.starts), known.ends.max(silence.ends));
            let strengths = (strength(known.state), strength(silence.state));
            if strengths.1 > strengths.0 {
                *known = silence;
            } else if strengths.1 == strengths.0 {
                (known.starts, known.ends) = (starts, ends);
            }
        }
    }
}

fn strength(state: SilenceState) -> u8 {
    match state {
        SilenceState::Expired => 0,
        SilenceState::Pending => 1,
        SilenceState::Active => 2,
    }
}

/// Operators rename receivers (prometheus-operator makes `namespace/name/receiver` of them), and then
/// nothing reaches us: said with the names that look like ours, or else all.
fn receiver_finding(answers: &Answers, config: &AlertmanagerConfig) -> Option<String> {
    let ours = config.receiver.as_str();
    let names: Vec<&str> =
        answers.receivers.iter().map(|receiver| receiver.name.as_str()).collect();
    if names.contains(&ours) {
        return None;
    }
    let word = ours.rsplit('/').next().unwrap_or(ours).to_lowercase();
    let is_near = |name: &&&str| name.to_lowercase().contains(&word);
    let near: Vec<&str> = names.iter().filter(is_near).copied().collect();
    Some(if near.is_empty() {
        let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).copied().collect();
        format!("Alertmanager has no receiver {ours:?}; it has {}", shown.join(", "))
    } else {
        format!(
            "Alertmanager has no receiver {ours:?}, but {}; set `alertmanager.receiver` to it if that is ours",
            near.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fingerprint, SilenceId};
    use serde_json::json;

    /// What one peer says of alert `f` and silence `s`.
    fn reply(url: &str, alert: &serde_json::Value, silence: &str) -> Reply {
        let silence = json!({ "id": "s", "matchers": [], "startsAt": "2026-01-01T00:00:00Z",
            "endsAt": "2026-01-02T00:00:00Z", "createdBy": "Ada", "comment": "", "status": { "state": silence } });
        let answers = Answers {
            alerts: serde_json::from_value(json!([alert])).unwrap(),
            silences: serde_json::from_value(json!([silence])).unwrap(),
            status: serde_json::from_value(json!({ "uptime": "2026-01-01T00:00:00Z",
                "config": { "original": "route: { receiver: bellwether, repeat_interval: 1m, group_interval: 15s }" } }))
            .unwrap(),
            receivers: serde_json::from_value(json!([{ "name": "team/am/bellwether" }])).unwrap(),
        };
        Reply { url: url.to_owned(), answer: Ok(answers) }
    }

    fn alert(starts: &str, state: &str, silenced_by: &[&str]) -> serde_json::Value {
        json!({ "fingerprint": "f", "labels": {}, "startsAt": starts,
            "status": { "state": state, "silencedBy": silenced_by, "inhibitedBy": [] } })
    }

    fn merged(replies: Vec<Reply>) -> Truth {
        merge(replies, &AlertmanagerConfig::default(), &KnownRoutes::default())
    }

    #[test]
    fn one_peer_that_says_suppressed_wins_and_the_earliest_start_stands() {
        let truth = merged(vec![
            reply("a", &alert("2026-01-01T00:02:00Z", "active", &[]), "expired"),
            reply("b", &alert("2026-01-01T00:01:00Z", "suppressed", &["s"]), "active"),
        ]);
        let state = &truth.alerts[&Fingerprint::new("f")];
        assert!(!state.is_active());
        assert_eq!(state.starts_at, "2026-01-01T00:01:00Z".parse().unwrap());
        assert_eq!(
            truth.silences[&SilenceId::new("s")].state,
            SilenceState::Active,
            "expired only where nobody says otherwise"
        );
    }

    #[test]
    fn suppressed_without_a_cause_is_suppressed_all_the_same() {
        let truth =
            merged(vec![reply("a", &alert("2026-01-01T00:00:00Z", "suppressed", &[]), "expired")]);
        assert!(!truth.alerts[&Fingerprint::new("f")].is_active());
    }

    #[test]
    fn a_peer_that_is_away_is_said_and_the_other_still_counts() {
        let away = Reply { url: "b".to_owned(), answer: Err("no answer".to_owned()) };
        let truth = merged(vec![
            reply("a", &alert("2026-01-01T00:00:00Z", "active", &[]), "expired"),
            away,
        ]);
        assert_eq!((truth.answered(), truth.peers.len()), (1, 2));
        assert_eq!(truth.alerts.len(), 1);
    }

    #[test]
    fn the_time_to_live_comes_from_the_routes_and_a_renamed_receiver_is_found() {
        let config = AlertmanagerConfig::default();
        let truth =
            merged(vec![reply("a", &alert("2026-01-01T00:00:00Z", "active", &[]), "expired")]);
        assert_eq!(truth.ttl, std::time::Duration::from_secs(75) + config.ttl_slack);
        assert!(truth.findings.iter().any(|finding| finding.contains("team/am/bellwether")));
        assert_eq!(merged(Vec::new()).ttl, config.ttl, "configured where it cannot be read");
    }
}
