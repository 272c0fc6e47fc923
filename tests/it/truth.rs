//! The clients against real servers, both supported versions of each.

use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::{ports, prometheus, wait};
use bellwether::alertmanager::{Alertmanager as _, Http};
use bellwether::config::{AlertmanagerConfig, Credentials, Endpoint, PrometheusConfig, Secret};
use bellwether::metrics::Metrics;
use bellwether::model::{AlertState, Guard, SilenceState, Truth, Want};
use bellwether::prometheus::{self as prometheus_client, Prometheus as _};
use std::sync::Arc;
use std::time::Duration;

const ALERTMANAGERS: [&str; 2] = ["0.25", "0.31"];
const PROMETHEUSES: [&str; 2] = ["2.42", "3.16"];
const UP: [(&str, &str); 3] = [("alertname", "A"), ("autoscale", "up"), ("cluster", "c")];

fn endpoint(urls: &[&str]) -> Endpoint {
    Endpoint { urls: urls.iter().map(|url| (*url).to_owned()).collect(), ..Endpoint::default() }
}

fn config(urls: &[&str]) -> AlertmanagerConfig {
    AlertmanagerConfig { endpoint: endpoint(urls), ..AlertmanagerConfig::default() }
}

fn client(config: &AlertmanagerConfig) -> Http {
    Http::new(config, Arc::new(Metrics::new()))
}

async fn shipped(version: &str) -> Option<(RunningAlertmanager, Http)> {
    let running = alertmanager::start(version, &alertmanager::faster_routes(ports::free())).await?;
    let client = client(&config(&[&running.url]));
    Some((running, client))
}

fn only(truth: &Truth) -> &AlertState {
    truth.alerts.values().next().expect("one alert")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_is_active_until_a_silence_shows_in_the_very_next_look() {
    for version in ALERTMANAGERS {
        let Some((server, client)) = shipped(version).await else { return };
        server.fire(&UP).await;
        assert!(only(&client.truth().await).is_active(), "{version}");
        let silence = server.silence(&[("autoscale", "up")], "a test").await;
        let truth = client.truth().await;
        assert!(!only(&truth).is_active());
        let known = &truth.silences[&silence.as_str().into()];
        assert_eq!((known.created_by.as_str(), known.state), ("Ada", SilenceState::Active));
        server.expire(&silence).await;
        let truth = client.truth().await;
        assert!(only(&truth).is_active());
        assert_eq!(truth.silences[&silence.as_str().into()].state, SilenceState::Expired);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inhibited_alert_is_suppressed() {
    for version in ALERTMANAGERS {
        let Some((server, client)) = shipped(version).await else { return };
        server.fire(&[("alertname", "PrometheusBlind"), ("cluster", "c")]).await;
        server
            .fire(&[("alertname", "SustainedIdle"), ("autoscale", "down"), ("cluster", "c")])
            .await;
        wait::until("the inhibition", || async {
            client.truth().await.alerts.values().any(|state| !state.inhibited_by.is_empty())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_shows_by_its_start_time_and_a_kill_forgets_a_fresh_silence() {
    for version in ALERTMANAGERS {
        let Some((mut server, client)) = shipped(version).await else { return };
        server.silence(&[("autoscale", "up")], "a test").await;
        let before = client.truth().await;
        assert_eq!(before.silences.len(), 1);
        server.kill();
        let away = client.truth().await;
        assert_eq!(away.answered(), 0);
        server.restart().await;
        let after = client.truth().await;
        assert!(after.peers[0].started > before.peers[0].started, "{version}");
        assert!(after.silences.is_empty(), "{version}: this is why we remember them");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_routes_give_the_time_to_live_and_no_finding() {
    for version in ALERTMANAGERS {
        let text = include_str!("../../alertmanager/alertmanager.yml");
        let Some(server) = alertmanager::start(version, text).await else { return };
        let truth = client(&config(&[&server.url])).truth().await;
        assert_eq!(truth.ttl, Duration::from_secs(55 + 15 + 15));
        assert!(truth.findings.is_empty(), "{:?}", truth.findings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receivers_name_is_no_expression_and_a_missing_one_is_found() {
    for version in ALERTMANAGERS {
        let routes = "route: { receiver: 'auto.scaler', routes: [{ matchers: [x=y], receiver: autoXscaler }] }
receivers: [{ name: 'auto.scaler' }, { name: autoXscaler }]";
        let Some(server) = alertmanager::start(version, routes).await else { return };
        server.fire(&[("alertname", "other"), ("x", "y")]).await;
        let named =
            AlertmanagerConfig { receiver: "auto.scaler".to_owned(), ..config(&[&server.url]) };
        assert!(client(&named).truth().await.alerts.is_empty(), "only autoXscaler gets it");
        server.fire(&UP).await;
        assert_eq!(client(&named).truth().await.alerts.len(), 1);
        let missing = client(&config(&[&server.url])).truth().await;
        assert!(
            missing.findings.iter().any(|finding| finding.contains("auto.scaler, autoXscaler")),
            "{:?}",
            missing.findings
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_alertmanagers_the_one_that_is_away_is_said() {
    let Some((server, _)) = shipped("0.31").await else { return };
    server.fire(&UP).await;
    let mut two = config(&[&server.url, "http://127.0.0.1:1"]);
    two.endpoint.credentials = Some(Credentials::Bearer(Secret::new("hush")));
    let truth = client(&two).truth().await;
    assert_eq!((truth.answered(), truth.peers.len(), truth.alerts.len()), (1, 2, 1));
    assert!(!format!("{truth:?} {two:?}").contains("hush"), "no secret in what is shown");
}

/// A Prometheus that scrapes itself each second.
async fn self_scraping(
    version: &str,
) -> Option<(prometheus::RunningPrometheus, prometheus_client::Http)> {
    let port = ports::free();
    let config = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}
scrape_configs: [{{ job_name: self, static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}]"
    );
    let running = prometheus::start_at(port, version, &config, &[], &[]).await?;
    wait::until("the first scrape", || async {
        running.query("up").await["data"]["result"]
            .as_array()
            .is_some_and(|found| !found.is_empty())
    })
    .await;
    let client = prometheus_of(&[&running.url]);
    Some((running, client))
}

fn prometheus_of(urls: &[&str]) -> prometheus_client::Http {
    let config =
        PrometheusConfig { endpoint: endpoint(urls), scrape_interval: Duration::from_secs(5) };
    prometheus_client::Http::new(&config, Arc::new(Metrics::new()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_holds_fails_or_is_unknown_as_prometheus_answers() {
    for version in PROMETHEUSES {
        let Some((mut server, client)) = self_scraping(version).await else { return };
        assert_eq!(client.guard("up{job=\"self\"} == 1").await, Guard::Holds, "{version}");
        assert!(matches!(client.guard("up{job=\"self\"} * 0").await, Guard::Fails { .. }));
        for unknown in ["nothing_of_that_name", "up == 7", "up * NaN", "sum(", "up offset 1m"] {
            assert!(
                matches!(client.guard(unknown).await, Guard::Unknown { .. }),
                "{version}: {unknown}"
            );
        }
        let both = prometheus_of(&[&server.url, "http://127.0.0.1:1"]);
        assert!(
            matches!(both.guard("up == 1").await, Guard::Unknown { .. }),
            "every one must answer"
        );
        server.kill();
        assert!(matches!(client.guard("up == 1").await, Guard::Unknown { .. }));
    }
}

/// Samples older than three scrape intervals are no present.
#[tokio::test(flavor = "multi_thread")]
async fn a_guard_on_stale_samples_is_unknown() {
    let Some((server, _)) = self_scraping("3.16").await else { return };
    let config = PrometheusConfig {
        endpoint: endpoint(&[&server.url]),
        scrape_interval: Duration::from_millis(10),
    };
    let hasty = prometheus_client::Http::new(&config, Arc::new(Metrics::new()));
    wait::until("a sample older than 30 ms", || async {
        matches!(hasty.guard("up == 1").await, Guard::Unknown { why } if why.contains("s old"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wanted_size_is_one_number_of_one_series() {
    for version in PROMETHEUSES {
        let Some((server, client)) = self_scraping(version).await else { return };
        assert_eq!(client.want("count(up) + 1.2").await, Want::Workers(3), "{version}");
        for unknown in [
            "nothing_of_that_name",
            "0 - count(up)",
            "prometheus_build_info or up",
            "vector(0) / 0",
        ] {
            assert!(
                matches!(client.want(unknown).await, Want::Unknown { .. }),
                "{version}: {unknown}"
            );
        }
        let both = prometheus_of(&[&server.url, "http://127.0.0.1:1"]);
        assert!(matches!(both.want("vector(1)").await, Want::Unknown { .. }));
    }
}
