use super::answers::{Answers, CAUSE_UNKNOWN};
use super::merge::{Reply, merge};
use super::routes;
use super::routes::KnownRoutes;
use crate::config::AlertmanagerConfig;
use crate::model::{Fingerprint, SilenceId, SilenceState, Truth};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

const SHIPPED: &str = include_str!("../../alertmanager/alertmanager.yml");

fn config() -> AlertmanagerConfig {
    AlertmanagerConfig::default()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

// === routes ===

fn read(yaml: &str) -> routes::Routes {
    routes::read(yaml, &config()).unwrap()
}

fn period(yaml: &str) -> Option<Duration> {
    read(yaml).period
}

#[test]
fn the_shipped_route_gives_its_repeat_and_group_interval_and_has_no_fault() {
    assert_eq!(period(SHIPPED), Some(Duration::from_secs(55 + 15)));
    assert_eq!(read(SHIPPED).findings, Vec::<String>::new());
}

#[test]
fn intervals_are_inherited_from_route_to_route_and_default_as_in_alertmanager() {
    for (routes, expected) in [
        ("{ receiver: bellwether }", 4 * 3600 + 300),
        ("{ receiver: bellwether, repeat_interval: 1m }", 60 + 300),
        ("{ receiver: bellwether, repeat_interval: 1m, group_interval: 10s }", 70),
        ("{ receiver: humans, repeat_interval: 1m, routes: [{ receiver: bellwether }] }", 60 + 300),
        (
            "{ receiver: humans, repeat_interval: 9m, group_interval: 1s, routes: [{ receiver: bellwether, repeat_interval: 2m }] }",
            121,
        ),
        (
            "{ receiver: humans, routes: [{ receiver: bellwether, repeat_interval: 1m, group_interval: 5s, routes: [{ group_interval: 20s }] }] }",
            80,
        ),
        (
            "{ receiver: bellwether, repeat_interval: 1m, group_interval: 5s, routes: [{ receiver: humans, repeat_interval: 9h }] }",
            65,
        ),
    ] {
        let yaml = format!("route: {routes}");
        assert_eq!(period(&yaml), Some(Duration::from_secs(expected)), "{routes}");
    }
}

#[test]
fn the_receiver_is_matched_exactly_and_a_missing_route_is_said() {
    for receiver in ["bellwether2", "ns/name/bellwether", "Bellwether", "bell.ether"] {
        let found = read(&format!("route: {{ receiver: {receiver} }}"));
        assert_eq!(found.period, None, "{receiver}");
        assert!(found.findings[0].contains("no route"), "{found:?}");
    }
}

#[test]
fn what_cannot_be_read_is_no_guess() {
    for yaml in [
        "route: [",
        "route: { receiver: bellwether, repeat_interval: soon }",
        "route: { receiver: bellwether, routes: [{ group_interval: 1y }] }",
        "<html>",
    ] {
        assert!(routes::read(yaml, &config()).is_err(), "{yaml}");
    }
}

#[test]
fn faults_of_the_set_up_are_found() {
    let on_our_webhook = |lines: &str| {
        let yaml = format!(
            "route: {{ receiver: bellwether, repeat_interval: 1m }}\nreceivers: [{{ name: bellwether, webhook_configs: [{{ {lines} }}] }}, {{ name: other, webhook_configs: [{{ max_alerts: 7 }}] }}]"
        );
        read(&yaml).findings
    };
    let safe = "http_config: { follow_redirects: false }";
    assert_eq!(on_our_webhook(safe), Vec::<String>::new());
    for (lines, word) in [
        ("max_alerts: 1, http_config: { follow_redirects: false }", "max_alerts"),
        ("send_resolved: false, http_config: { follow_redirects: false }", "send_resolved"),
        ("http_config: { follow_redirects: true }", "follow_redirects"),
        ("http_config: {}", "follow_redirects"),
        ("url: x", "follow_redirects"),
    ] {
        let findings = on_our_webhook(lines);
        assert!(findings.len() == 1 && findings[0].contains(word), "{lines}: {findings:?}");
    }
}

#[test]
fn a_repeat_above_five_minutes_is_reported_with_what_was_found() {
    let findings = |repeat: &str| {
        read(&format!("route: {{ receiver: bellwether, repeat_interval: {repeat} }}")).findings
    };
    assert_eq!(findings("5m"), Vec::<String>::new());
    assert!(findings("301s")[0].contains("repeat_interval is 5m1s"), "{:?}", findings("301s"));
}

#[test]
fn redirects_refused_for_all_are_refused_for_our_webhook() {
    let yaml = "global: { http_config: { follow_redirects: false } }
route: { receiver: bellwether, repeat_interval: 1m }
receivers: [{ name: bellwether, webhook_configs: [{ url: x }] }]";
    assert_eq!(read(yaml).findings, Vec::<String>::new());
}

// === merge ===

fn alert(fingerprint: &str, starts: &str, silenced: &[&str], inhibited: &[&str]) -> Value {
    let is_active = silenced.is_empty() && inhibited.is_empty();
    json!({
        "fingerprint": fingerprint, "labels": { "alertname": fingerprint }, "annotations": {},
        "startsAt": starts, "endsAt": "2026-01-01T01:00:00Z",
        "status": { "state": if is_active { "active" } else { "suppressed" },
            "silencedBy": silenced, "inhibitedBy": inhibited },
    })
}

fn silence(id: &str, state: &str, starts: &str, ends: &str) -> Value {
    json!({
        "id": id, "status": { "state": state }, "startsAt": starts, "endsAt": ends,
        "matchers": [{ "name": "autoscale", "value": "down", "isRegex": false }],
        "createdBy": "Ada", "comment": "why",
    })
}

fn peer(alerts: &[Value], silences: &[Value]) -> Answers {
    Answers {
        alerts: serde_json::from_value(alerts.into()).unwrap(),
        silences: serde_json::from_value(silences.into()).unwrap(),
        status: serde_json::from_value(json!({
            "uptime": "2026-01-01T00:00:00Z", "config": { "original": SHIPPED },
        }))
        .unwrap(),
        receivers: serde_json::from_value(json!([{ "name": "humans" }, { "name": "bellwether" }]))
            .unwrap(),
    }
}

fn replies(answers: Vec<Answers>) -> Vec<Reply> {
    let urls = (1..).map(|number| format!("http://peer-{number}"));
    urls.zip(answers).map(|(url, answers)| Reply { url, answer: Ok(answers) }).collect()
}

fn merged(answers: Vec<Answers>) -> Truth {
    merge(replies(answers), &config(), &KnownRoutes::default())
}

const EARLY: &str = "2026-01-01T00:00:00Z";
const LATE: &str = "2026-01-01T00:10:00Z";

#[test]
fn alerts_of_all_peers_count_and_one_that_says_suppressed_wins() {
    let truth = merged(vec![
        peer(&[alert("a", LATE, &[], &[]), alert("b", LATE, &[], &[])], &[]),
        peer(&[alert("a", EARLY, &["s1"], &[]), alert("c", LATE, &[], &["x"])], &[]),
    ]);
    let is_active = |name: &str| truth.alerts[&Fingerprint::from(name)].is_active();
    assert_eq!(truth.alerts.len(), 3);
    assert!(!is_active("a") && is_active("b") && !is_active("c"));
    let a = &truth.alerts[&Fingerprint::from("a")];
    assert_eq!((a.starts_at, &a.silenced_by[..]), (at(EARLY), &[SilenceId::from("s1")][..]));
}

#[test]
fn suppressed_without_a_cause_that_we_know_is_suppressed() {
    for status in [
        json!({ "state": "suppressed" }),
        json!({ "state": "unprocessed", "silencedBy": [], "inhibitedBy": [] }),
        json!({ "state": "active", "mutedBy": ["nights"] }),
    ] {
        let mut told = alert("a", EARLY, &[], &[]);
        told["status"] = status.clone();
        let truth = merged(vec![peer(&[told], &[])]);
        let a = &truth.alerts[&Fingerprint::from("a")];
        assert_eq!(a.inhibited_by, [Fingerprint::from(CAUSE_UNKNOWN)], "{status}");
    }
}

#[test]
fn a_silence_is_expired_only_where_no_peer_still_holds_to_it() {
    for (states, expected) in [
        (["expired", "expired"], SilenceState::Expired),
        (["expired", "active"], SilenceState::Active),
        (["active", "expired"], SilenceState::Active),
        (["pending", "expired"], SilenceState::Pending),
        (["pending", "active"], SilenceState::Active),
    ] {
        let silences = states.map(|state| peer(&[], &[silence("s", state, EARLY, LATE)]));
        let truth = merged(silences.into());
        assert_eq!(truth.silences[&SilenceId::from("s")].state, expected, "{states:?}");
    }
}

#[test]
fn a_silence_that_one_peer_alone_knows_as_expired_is_known_as_expired() {
    let truth = merged(vec![peer(&[], &[silence("s", "expired", EARLY, LATE)]), peer(&[], &[])]);
    assert_eq!(truth.silences[&SilenceId::from("s")].state, SilenceState::Expired);
}

#[test]
fn peers_that_differ_about_an_active_silence_agree_on_the_longer_pause() {
    let later = "2026-01-01T00:20:00Z";
    let truth = merged(vec![
        peer(&[], &[silence("s", "active", LATE, later)]),
        peer(&[], &[silence("s", "active", EARLY, LATE)]),
    ]);
    let s = &truth.silences[&SilenceId::from("s")];
    assert_eq!((s.starts, s.ends), (at(EARLY), at(later)));
}

#[test]
fn an_active_silence_has_begun_whatever_our_clock_says() {
    let truth = merged(vec![peer(&[], &[silence("s", "active", LATE, "2026-01-01T01:00:00Z")])]);
    let labels = [("autoscale".to_owned(), "down".to_owned())].into();
    assert!(truth.silences[&SilenceId::from("s")].mutes(&labels, at(EARLY)));
}

#[test]
fn who_does_not_answer_is_named_and_nothing_is_concluded_from_it() {
    let mut all = replies(vec![peer(&[alert("a", EARLY, &[], &[])], &[])]);
    all.push(Reply { url: "http://away".to_owned(), answer: Err("timed out".to_owned()) });
    let truth = merge(all, &config(), &KnownRoutes::default());
    assert_eq!((truth.answered(), truth.peers.len()), (1, 2));
    assert_eq!(truth.peers[1].error.as_deref(), Some("timed out"));
    assert_eq!(truth.peers[0].started, Some(at(EARLY)));
    assert_eq!(truth.alerts.len(), 1);
}

#[test]
fn a_text_that_was_read_before_says_what_it_said_and_another_its_own() {
    let known = KnownRoutes::default();
    let route = |repeat: &str| {
        format!("route: {{ receiver: bellwether, repeat_interval: {repeat}, group_interval: 15s }}")
    };
    for repeat in ["1m", "2m", "1m", "3m"].into_iter().cycle().take(20) {
        let yaml = route(repeat);
        assert_eq!(known.read(&yaml, &config()), routes::read(&yaml, &config()), "{repeat}");
    }
}

#[test]
fn the_ttl_is_the_largest_period_and_slack_or_the_configured_one() {
    let with = |yaml: &str| {
        let mut answers = peer(&[], &[]);
        yaml.clone_into(&mut answers.status.config.original);
        answers
    };
    let slow = "route: { receiver: bellwether, repeat_interval: 2m, group_interval: 1m }";
    for (configs, expected) in [
        (vec![SHIPPED], 55 + 15 + 15),
        (vec![SHIPPED, slow], 180 + 15),
        (vec![slow, SHIPPED], 180 + 15),
        (vec!["route: ["], 360),
        (vec!["route: [", SHIPPED], 85),
        (vec!["route: { receiver: other }"], 360),
        (vec![], 360),
    ] {
        let truth = merged(configs.iter().map(|yaml| with(yaml)).collect());
        assert_eq!(truth.ttl, Duration::from_secs(expected), "{configs:?}");
    }
    assert!(!merged(vec![with("route: [")]).findings.is_empty());
}

#[test]
fn a_receiver_that_was_renamed_is_shown_beside_ours() {
    let with = |names: &[&str]| {
        let mut answers = peer(&[], &[]);
        let names: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
        answers.receivers = serde_json::from_value(names.into()).unwrap();
        merged(vec![answers]).findings
    };
    assert_eq!(with(&["bellwether", "humans"]), Vec::<String>::new());
    let renamed = with(&["monitoring/main/bellwether", "humans"]);
    assert!(renamed[0].contains("monitoring/main/bellwether"), "{renamed:?}");
    assert!(!renamed[0].contains("humans"), "{renamed:?}");
    assert!(with(&["humans", "null"])[0].contains("humans, null"));
}

#[test]
fn an_answer_whose_meaning_is_unknown_is_unreadable() {
    for status in [json!({ "state": "asleep" }), json!({}), json!(null)] {
        let mut told = alert("a", EARLY, &[], &[]);
        told["status"] = status.clone();
        assert!(serde_json::from_value::<super::answers::Alert>(told).is_err(), "{status}");
    }
    let odd = silence("s", "paused", EARLY, LATE);
    assert!(serde_json::from_value::<super::answers::SilenceAnswer>(odd).is_err());
}

prop_compose! {
    fn some_alert()(name in "[ab]", late in any::<bool>(), silenced in any::<bool>(), inhibited in any::<bool>()) -> Value {
        let (silenced, inhibited) = (["s"].get(..usize::from(silenced)), ["x"].get(..usize::from(inhibited)));
        alert(&name, if late { LATE } else { EARLY }, silenced.unwrap(), inhibited.unwrap())
    }
}

prop_compose! {
    fn some_silence()(state in prop_oneof![Just("expired"), Just("pending"), Just("active")], late in any::<bool>()) -> Value {
        silence("s", state, EARLY, if late { "2026-01-01T02:00:00Z" } else { LATE })
    }
}

prop_compose! {
    fn some_peer()(
        alerts in prop::collection::vec(some_alert(), 0..3),
        silences in prop::collection::vec(some_silence(), 0..2),
    ) -> Answers {
        peer(&alerts, &silences)
    }
}

proptest! {
    #[test]
    fn the_order_in_which_peers_answer_does_not_matter(peers in prop::collection::vec(some_peer(), 0..4)) {
        let told = merged(peers.clone());
        let turned = merged(peers.into_iter().rev().collect());
        prop_assert_eq!((told.alerts, told.silences, told.ttl), (turned.alerts, turned.silences, turned.ttl));
    }

    #[test]
    fn one_more_peer_never_lifts_a_pause(peers in prop::collection::vec(some_peer(), 0..3), one in some_peer()) {
        let before = merged(peers.clone());
        let after = merged(peers.into_iter().chain([one]).collect());
        for (print, state) in &before.alerts {
            prop_assert!(state.is_active() || !after.alerts[print].is_active());
        }
        for (id, silence) in before.silences.iter().filter(|(_, s)| s.state != SilenceState::Expired) {
            prop_assert!(after.silences[id].state != SilenceState::Expired);
            prop_assert!(after.silences[id].ends >= silence.ends || after.silences[id].state != silence.state);
        }
    }
}
