//! The truth as real Alertmanagers tell it, and what is made of answers that are none.

use crate::support::alertmanager::{self as real, RunningAlertmanager, VERSIONS};
use crate::support::scripted::{Answer, Scripted};
use crate::support::wait;
use bellwether::alertmanager::{Alertmanager, Http};
use bellwether::clock::Clock;
use bellwether::config::{AlertmanagerConfig, Credentials, Endpoint, Secret};
use bellwether::metrics::Metrics;
use bellwether::model::{AlertState, Matcher, SilenceId, SilenceState, Truth};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::Duration;

/// Ours is named as an expression would match others too; `humans` must never count.
const ROUTES: &str = "
route:
  receiver: humans
  routes:
    - { matchers: ['autoscale=~\".+\"', 'other!=\"yes\"'], receiver: auto.scaler, group_wait: 0s, group_interval: 20s, repeat_interval: 40s }
    - { matchers: ['other=\"yes\"'], receiver: autoXscaler }
receivers: [{ name: humans }, { name: auto.scaler }, { name: autoXscaler }]
inhibit_rules:
  - { source_matchers: ['alertname=\"Blind\"'], target_matchers: ['autoscale=\"down\"'], equal: [cluster] }
";

fn config(urls: &[&str], receiver: &str) -> AlertmanagerConfig {
    let urls = urls.iter().map(|url| (*url).to_owned()).collect();
    AlertmanagerConfig {
        endpoint: Endpoint { urls, ..Endpoint::default() },
        receiver: receiver.to_owned(),
        ..AlertmanagerConfig::default()
    }
}

fn client(urls: &[&str], receiver: &str) -> Http {
    Http::new(&config(urls, receiver), Arc::new(Metrics::new()))
}

/// A server with the routes above, and a client of it.
async fn start(version: &str) -> Option<(RunningAlertmanager, Http)> {
    let server = real::start(version, ROUTES).await?;
    let client = client(&[&server.url], "auto.scaler");
    Some((server, client))
}

fn named<'a>(truth: &'a Truth, name: &str) -> Option<&'a AlertState> {
    truth.alerts.values().find(|alert| alert.labels["alertname"] == name)
}

/// Waits for a truth in which something holds.
async fn until(client: &Http, what: &str, holds: impl Fn(&Truth) -> bool) -> Truth {
    wait::until(what, || async { holds(&client.truth().await) }).await;
    client.truth().await
}

fn matcher(name: &str, value: &str) -> Matcher {
    Matcher { name: name.to_owned(), value: value.to_owned(), is_regex: false, is_equal: true }
}

async fn pause(client: &Http, value: &str, lasts: SignedDuration) -> SilenceId {
    let now = Clock::system().now();
    let matchers = [matcher("autoscale", value)];
    client.create_silence(&matchers, (now, now + lasts), "Ada", "deploying").await.unwrap()
}

fn state(truth: &Truth, id: &SilenceId) -> Option<SilenceState> {
    truth.silences.get(id).map(|silence| silence.state)
}

const HOUR: SignedDuration = SignedDuration::from_hours(1);

#[tokio::test(flavor = "multi_thread")]
async fn active_silenced_and_inhibited_are_told_apart_and_other_receivers_do_not_count() {
    for version in VERSIONS {
        let Some((server, client)) = start(version).await else { return };
        let before = Clock::system().now();
        server.fire(&[("alertname", "High"), ("autoscale", "up"), ("cluster", "c")]).await;
        server.fire(&[("alertname", "Idle"), ("autoscale", "down"), ("cluster", "c")]).await;
        server.fire(&[("alertname", "Elsewhere"), ("autoscale", "down"), ("cluster", "d")]).await;
        server.fire(&[("alertname", "Drift"), ("autoscale", "replace"), ("cluster", "c")]).await;
        server.fire(&[("alertname", "Blind"), ("cluster", "c")]).await;
        server.fire(&[("alertname", "Other"), ("autoscale", "up"), ("other", "yes")]).await;
        let silence = server.silence(&[("autoscale", "replace")], "deploying").await;
        let truth = client.truth().await;

        assert_eq!(truth.answered(), 1, "{truth:?}");
        assert_eq!(truth.alerts.len(), 4, "{truth:?}");
        let high = named(&truth, "High").unwrap();
        assert!(high.is_active() && named(&truth, "Elsewhere").unwrap().is_active());
        assert!(high.starts_at >= before - SignedDuration::from_secs(1));
        assert_eq!(high.annotations["summary"], "a test");
        let idle = named(&truth, "Idle").unwrap();
        assert!(!idle.is_active() && idle.silenced_by.is_empty(), "{idle:?}");
        assert_eq!(named(&truth, "Drift").unwrap().silenced_by, [SilenceId::from(&*silence)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_is_over_is_told_no_more() {
    for version in VERSIONS {
        let Some((server, client)) = start(version).await else { return };
        let labels = [("alertname", "High"), ("autoscale", "up")];
        server.fire(&labels).await;
        assert!(named(&client.truth().await, "High").unwrap().is_active());
        server.resolve(&labels).await;
        until(&client, "the alert to be over", |truth| truth.alerts.is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_shows_in_the_very_next_truth_and_so_does_its_end() {
    for version in VERSIONS {
        let Some((server, client)) = start(version).await else { return };
        server.fire(&[("alertname", "Idle"), ("autoscale", "down"), ("cluster", "c")]).await;
        let id = pause(&client, "down", HOUR).await;
        let truth = client.truth().await;
        assert_eq!(named(&truth, "Idle").unwrap().silenced_by, std::slice::from_ref(&id));
        let silence = &truth.silences[&id];
        assert_eq!(silence.state, SilenceState::Active);
        assert_eq!((&*silence.created_by, &*silence.comment), ("Ada", "deploying"));
        assert_eq!(silence.matchers, [matcher("autoscale", "down")]);

        client.expire_silence(&id).await.unwrap();
        let truth = client.truth().await;
        assert!(named(&truth, "Idle").unwrap().is_active());
        assert_eq!(state(&truth, &id), Some(SilenceState::Expired));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_ends_by_itself_and_says_so() {
    for version in VERSIONS {
        let Some((_server, client)) = start(version).await else { return };
        let id = pause(&client, "down", SignedDuration::from_millis(1_500)).await;
        assert_eq!(state(&client.truth().await, &id), Some(SilenceState::Active));
        until(&client, "its end", |truth| state(truth, &id) == Some(SilenceState::Expired)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_of_tomorrow_is_pending_and_mutes_nothing_yet() {
    for version in VERSIONS {
        let Some((server, client)) = start(version).await else { return };
        server.fire(&[("alertname", "Idle"), ("autoscale", "down"), ("cluster", "c")]).await;
        let now = Clock::system().now();
        let times = (now + HOUR, now + HOUR * 2);
        let matchers = [matcher("autoscale", "down")];
        let id = client.create_silence(&matchers, times, "Ada", "tomorrow").await.unwrap();
        let truth = client.truth().await;
        assert_eq!(state(&truth, &id), Some(SilenceState::Pending));
        assert!(named(&truth, "Idle").unwrap().is_active());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_cannot_be_is_refused_with_the_reason() {
    for version in VERSIONS {
        let Some((_server, client)) = start(version).await else { return };
        let now = Clock::system().now();
        let none = client.create_silence(&[], (now, now + HOUR), "Ada", "x").await.unwrap_err();
        assert!(none.to_string().contains("matchers"), "{none}");
        let ended = [matcher("autoscale", "down")];
        let ended = client.create_silence(&ended, (now - HOUR, now - HOUR), "Ada", "x").await;
        assert!(ended.is_err());
        let unknown = SilenceId::from("00000000-0000-0000-0000-000000000000");
        assert!(client.expire_silence(&unknown).await.is_err());
        assert!(client.expire_silence(&SilenceId::from("../status")).await.is_err());
    }
}

/// What a crash does, as we see it: another start time, and a fresh silence unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_alertmanager_has_another_start_time_and_has_forgotten_a_fresh_silence() {
    for version in VERSIONS {
        let Some((mut server, client)) = start(version).await else { return };
        server.fire(&[("alertname", "Idle"), ("autoscale", "down"), ("cluster", "c")]).await;
        let id = pause(&client, "down", HOUR).await;
        let before = client.truth().await;
        let started = before.peers[0].started.unwrap();
        assert_eq!(state(&before, &id), Some(SilenceState::Active));

        server.kill();
        let away = client.truth().await;
        assert_eq!((away.answered(), away.peers.len()), (0, 1));
        assert!(away.peers[0].error.as_ref().unwrap().starts_with("no answer"), "{away:?}");
        assert!(away.alerts.is_empty() && away.silences.is_empty());

        server.restart().await;
        let after = client.truth().await;
        assert!(after.peers[0].started.unwrap() > started);
        assert!(after.alerts.is_empty());
        assert_eq!(state(&after, &id), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_routes_give_a_ttl_of_repeat_and_group_interval_and_slack_and_no_finding() {
    let shipped = include_str!("../../alertmanager/alertmanager.yml");
    for version in VERSIONS {
        let Some(server) = real::start(version, shipped).await else { return };
        let truth = client(&[&server.url], "bellwether").truth().await;
        assert_eq!(truth.ttl, Duration::from_secs(55 + 15 + 15));
        assert_eq!(truth.findings, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_real_set_up_are_found() {
    let careless = "
route: { receiver: bellwether }
receivers: [{ name: bellwether, webhook_configs: [{ url: 'http://127.0.0.1:1', max_alerts: 3, send_resolved: false }] }]";
    for version in VERSIONS {
        let Some(server) = real::start(version, careless).await else { return };
        let truth = client(&[&server.url], "bellwether").truth().await;
        for word in ["max_alerts", "send_resolved", "follow_redirects", "repeat_interval is 4h"] {
            assert!(truth.findings.iter().any(|finding| finding.contains(word)), "{truth:?}");
        }
        assert_eq!(truth.ttl, Duration::from_secs(4 * 3600 + 300 + 15));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_receiver_is_found_and_gives_no_alert() {
    let renamed = "
route: { receiver: monitoring/main/bellwether }
receivers: [{ name: monitoring/main/bellwether }, { name: humans }]";
    for version in VERSIONS {
        let Some(server) = real::start(version, renamed).await else { return };
        server.fire(&[("alertname", "High"), ("autoscale", "up")]).await;
        let ours = client(&[&server.url], "bellwether").truth().await;
        assert!(ours.alerts.is_empty());
        assert_eq!(ours.ttl, config(&[], "").ttl);
        let finding = ours.findings.iter().find(|finding| finding.contains("no receiver"));
        assert!(finding.unwrap().contains("\"bellwether\", but monitoring/main/bellwether"));
        let theirs = client(&[&server.url], "monitoring/main/bellwether").truth().await;
        assert_eq!(theirs.alerts.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_are_one_truth_and_the_one_that_dies_is_named() {
    for version in VERSIONS {
        let Some([mut one, other]) = real::start_peers(version, ROUTES).await else { return };
        let client = client(&[&one.url, &other.url], "auto.scaler");
        one.fire(&[("alertname", "High"), ("autoscale", "up"), ("cluster", "c")]).await;
        other.fire(&[("alertname", "Idle"), ("autoscale", "down"), ("cluster", "c")]).await;
        let both = client.truth().await;
        assert_eq!((both.answered(), both.alerts.len()), (2, 2));

        let id = SilenceId::new(other.silence(&[("autoscale", "up")], "deploying").await);
        let heard = Http::new(&config(&[&one.url], "auto.scaler"), Arc::new(Metrics::new()));
        until(&heard, "the silence to be told", |truth| truth.silences.contains_key(&id)).await;
        assert!(!named(&client.truth().await, "High").unwrap().is_active());

        one.kill();
        let left = client.truth().await;
        assert_eq!((left.answered(), left.peers.len()), (1, 2));
        assert_eq!((&left.peers[0].url, left.peers[0].error.is_some()), (&one.url, true));
        assert!(named(&left, "High").is_none() && named(&left, "Idle").unwrap().is_active());
        // A silence is set and lifted by whoever is left.
        let id = pause(&client, "down", HOUR).await;
        assert!(!named(&client.truth().await, "Idle").unwrap().is_active());
        client.expire_silence(&id).await.unwrap();
        assert!(named(&client.truth().await, "Idle").unwrap().is_active());
    }
}

/// One that says suppressed wins, also where peers do not know each other.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_silenced_on_one_of_two_strangers_is_silenced() {
    for version in VERSIONS {
        let Some((one, _)) = start(version).await else { return };
        let Some((other, _)) = start(version).await else { return };
        let client = client(&[&one.url, &other.url], "auto.scaler");
        for server in [&one, &other] {
            server.fire(&[("alertname", "High"), ("autoscale", "up"), ("cluster", "c")]).await;
        }
        assert!(named(&client.truth().await, "High").unwrap().is_active());
        other.silence(&[("alertname", "High")], "deploying").await;
        assert!(!named(&client.truth().await, "High").unwrap().is_active());
    }
}

// === answers that are none ===

const STATUS: &str =
    r#"{"uptime":"2026-01-01T00:00:00Z","config":{"original":"route: { receiver: bellwether }"}}"#;

/// A server that answers well, but for one path.
async fn scripted(odd: &'static str, answer: Answer) -> Scripted {
    Scripted::start(move |request| {
        if request.target.starts_with(odd) {
            return answer.clone();
        }
        let body = if request.target.starts_with("/api/v2/status") { STATUS } else { "[]" };
        Answer::Whole(200, body.to_owned())
    })
    .await
}

#[tokio::test]
async fn our_receiver_is_asked_for_by_an_expression_that_matches_nothing_else() {
    let server = scripted("/never", Answer::Half).await;
    client(&[&server.url], "auto.scaler").truth().await;
    let asked = server.asked();
    let alerts =
        asked.iter().find(|request| request.target.starts_with("/api/v2/alerts?")).unwrap();
    assert_eq!(
        alerts.target,
        "/api/v2/alerts?active=true&silenced=true&inhibited=true&unprocessed=true&receiver=auto%5C.scaler"
    );
}

/// A partial view is none: an Alertmanager that does not answer all of it did not answer.
#[tokio::test]
async fn whoever_leaves_one_question_open_did_not_answer() {
    let well = scripted("/never", Answer::Half).await;
    assert_eq!(client(&[&well.url], "bellwether").truth().await.answered(), 1);
    for path in ["/api/v2/alerts", "/api/v2/silences", "/api/v2/status", "/api/v2/receivers"] {
        for answer in [
            Answer::Whole(500, String::new()),
            Answer::Whole(200, "<html></html>".to_owned()),
            Answer::Whole(200, r#"[{"odd":1}]"#.to_owned()),
            Answer::Half,
        ] {
            let server = scripted(path, answer.clone()).await;
            let truth = client(&[&server.url], "bellwether").truth().await;
            assert_eq!((truth.answered(), truth.peers.len()), (0, 1), "{path} {answer:?}");
            assert!(truth.alerts.is_empty() && truth.silences.is_empty());
        }
    }
}

#[tokio::test]
async fn an_alert_in_a_state_we_do_not_know_makes_the_answer_unreadable() {
    let alert = r#"[{"fingerprint":"a","labels":{},"annotations":{},"startsAt":"2026-01-01T00:00:00Z","status":{"state":"asleep","silencedBy":[],"inhibitedBy":[]}}]"#;
    let server = scripted("/api/v2/alerts", Answer::Whole(200, alert.to_owned())).await;
    let truth = client(&[&server.url], "bellwether").truth().await;
    assert!(truth.peers[0].error.as_ref().unwrap().starts_with("unreadable"), "{truth:?}");
}

#[tokio::test]
async fn without_any_alertmanager_nobody_answered() {
    let truth = client(&[], "bellwether").truth().await;
    assert_eq!((truth.answered(), truth.peers.len()), (0, 0));
    let now = Timestamp::UNIX_EPOCH;
    let set = client(&[], "bellwether").create_silence(&[], (now, now), "Ada", "x").await;
    assert!(set.unwrap_err().to_string().contains("no Alertmanager"));
}

/// I10.
#[tokio::test]
async fn no_secret_shows_in_the_truth_or_in_debug() {
    let server = Scripted::always(Answer::Whole(401, String::new())).await;
    let mut config = config(&[&server.url], "bellwether");
    config.endpoint.credentials = Some(Credentials::Bearer(Secret::new("hunter2")));
    let client = Http::new(&config, Arc::new(Metrics::new()));
    let shown = format!("{:?} {client:?}", client.truth().await);
    assert!(shown.contains("answered 401") && !shown.contains("hunter2"), "{shown}");
}
