//! Alerts that are posted for need before Prometheus has evaluated their rule: its real one, which a real Prometheus has
//! loaded, on the shipped routes of a real Alertmanager.

use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::ports;
use crate::support::prometheus::{self, RunningPrometheus};
use crate::support::stage::{Setting, Stage};
use crate::support::wait;
use serde_json::Value;

/// A rule that asks for workers, and never fires by itself within a test.
const RULES: &str = "groups:
  - name: pods
    interval: 1h
    rules:
      - alert: PodsUnschedulable
        expr: vector(0) > 1
        labels: { autoscale: up, cluster: default, LABEL }
        annotations: { summary: Pods wait }
";

const PUSHED: &str = "bellwether_push: \"true\"";

/// A stage with one Ready worker, beside a Prometheus that has loaded such a rule with this label.
async fn stage(versions: (&str, &'static str), label: &str) -> Option<(Stage, RunningPrometheus)> {
    let prometheus = loaded(versions.0, label).await?;
    let prometheuses = vec![prometheus.url.clone()];
    let setting = Setting { version: versions.1, prometheus: prometheuses, ..Setting::default() };
    let stage = Stage::start(setting).await?;
    is_ready(&stage).await;
    Some((stage, prometheus))
}

async fn loaded(version: &str, label: &str) -> Option<RunningPrometheus> {
    let rules = RULES.replace("LABEL", label);
    prometheus::start(version, "rule_files: [rules.yaml]", &rules).await
}

async fn is_ready(stage: &Stage) {
    stage.settled(1).await;
    // Without it, need would be served though no alert asks.
    stage.watchdog().await;
    wait::until("the watchdog to be heard", || async {
        stage.report().signals.iter().any(|signal| signal.counts)
    })
    .await;
}

async fn posted(alertmanager: &RunningAlertmanager) -> Vec<Value> {
    let alerts = alertmanager.alerts().await;
    let is_it = |alert: &&Value| alert["labels"]["alertname"] == "PodsUnschedulable";
    alerts.as_array().unwrap().iter().filter(is_it).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn need_that_no_rule_has_told_of_yet_is_served_by_the_alert_we_post() {
    for versions in [("2.42", "0.25"), ("3.16", "0.31")] {
        let Some((stage, _prometheus)) = stage(versions, PUSHED).await else { return };
        stage.pods(4);
        stage.settled(2).await;
        let posted = posted(&stage.alertmanager).await;
        assert_eq!(posted.len(), 1, "{posted:?}");
        let labels = &posted[0]["labels"];
        assert_eq!((&labels["pool"], &labels["autoscale"]), (&"workers".into(), &"up".into()));
        assert_eq!(posted[0]["annotations"]["summary"], "Pods wait");
        stage.quiet().await;
        stage.stop().await;
    }
}

/// Policy, routes and silences stay Alertmanager's.
#[tokio::test(flavor = "multi_thread")]
async fn a_silence_holds_the_alert_that_we_post() {
    let Some((stage, _prometheus)) = stage(("3.16", "0.31"), PUSHED).await else { return };
    let silence = stage.alertmanager.silence(&[("autoscale", "up")], "not now").await;
    stage.pods(4);
    wait::until("the alert to be posted", || async {
        !posted(&stage.alertmanager).await.is_empty()
    })
    .await;
    stage.quiet().await;
    assert_eq!(stage.ready(), 1);
    stage.alertmanager.expire(&silence).await;
    stage.settled(2).await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_does_not_permit_it_is_waited_for() {
    let label = "bellwether_push: \"false\"";
    let Some((stage, _prometheus)) = stage(("3.16", "0.31"), label).await else { return };
    stage.pods(4);
    stage.quiet().await;
    assert_eq!((stage.ready(), posted(&stage.alertmanager).await), (1, Vec::new()));
    stage.stop().await;
}

/// As Prometheus does with its own: one that is away misses it, and holds up no other.
#[tokio::test(flavor = "multi_thread")]
async fn each_of_two_alertmanagers_gets_the_alert_and_with_one_away_the_other() {
    for is_away in [false, true] {
        let Some(prometheus) = loaded("3.16", PUSHED).await else { return };
        let port = ports::free();
        let routes = alertmanager::faster_routes(port);
        let Some([first, second]) = alertmanager::start_peers("0.31", &routes).await else {
            return;
        };
        let (peers, prometheuses) = (vec![second.url.clone()], vec![prometheus.url.clone()]);
        // One that hangs makes each pass longer than what is delivered would count for.
        let alertmanager = "ttl_slack: 15s, restart_hold: 4s, watchdog_ttl: 30s".to_owned();
        let prometheus = prometheuses;
        let setting = Setting { peers, alertmanager, prometheus, ..Setting::default() };
        let stage = Stage::beside(first, port, &setting).await;
        is_ready(&stage).await;
        if is_away {
            second.freeze();
        }
        stage.pods(4);
        stage.settled(2).await;
        assert_eq!(posted(&stage.alertmanager).await.len(), 1);
        if !is_away {
            wait::until("it to be there, too", || async { posted(&second).await.len() == 1 }).await;
        }
        stage.stop().await;
    }
}
