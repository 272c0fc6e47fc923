//! What Alertmanager tells when Prometheus dies, has a twin, sees only a part, or changes a rule.

use super::scene::{BRISK, ONCE, Plot, Scene, named};
use super::{DOWN, UP, on_both};
use crate::support::prometheus::{self, RunningPrometheus};
use crate::support::{ports, wait};
use bellwether::model::Reason;
use std::collections::BTreeSet;

const WATCHDOG: &str =
    "{ alert: Watchdog, expr: vector(1), labels: { autoscale: watchdog, cluster: default } }";

/// A Prometheus that scrapes itself under a job's name, and evaluates rules twice a second. It tells of its alerts
/// each second, and they end four seconds after the last time.
async fn start(
    scene: &Scene,
    version: &str,
    place: (u16, &str),
    rules: &str,
) -> Option<RunningPrometheus> {
    start_telling(scene, version, place, rules, 1).await
}

/// The same, which tells of its alerts every so many seconds.
async fn start_telling(
    scene: &Scene,
    version: &str,
    (port, job): (u16, &str),
    rules: &str,
    every: u32,
) -> Option<RunningPrometheus> {
    let alertmanager = scene.stage.alertmanager.url.trim_start_matches("http://");
    let config = format!(
        "global: {{ scrape_interval: 500ms, evaluation_interval: 500ms }}
rule_files: [rules.yaml]
alerting: {{ alertmanagers: [{{ static_configs: [{{ targets: ['{alertmanager}'] }}] }}] }}
scrape_configs: [{{ job_name: {job}, static_configs: [{{ targets: ['127.0.0.1:{port}'] }}] }}]"
    );
    let flags =
        [format!("--rules.alert.resend-delay={every}s"), "--web.enable-lifecycle".to_owned()];
    prometheus::start_at(port, beside(version), &config, &[("rules.yaml", &group(rules))], &flags)
        .await
}

fn group(rules: &str) -> String {
    format!("groups: [{{ name: g, interval: 500ms, rules: [{rules}, {WATCHDOG}] }}]")
}

/// The release of Prometheus that goes with one of Alertmanager.
fn beside(version: &str) -> &'static str {
    if version == "0.25" { prometheus::VERSIONS[0] } else { prometheus::VERSIONS[1] }
}

/// A dead Prometheus looks like a solved problem: its alerts end by themselves, and are told as resolved. Neither that
/// removes anything, nor an idle alert that is active still: the watchdog of the dead one has ended too.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_prometheus_resolves_everything_and_nothing_is_removed() {
    on_both(|version| async move {
        let Some(scene) = Scene::start(Plot::new(version, BRISK)).await else { return };
        let rule = "{ alert: CPUHigh, expr: vector(1), labels: { autoscale: up, cluster: default, pool: workers, step: '1' } }";
        let Some(mut server) = start(&scene, version, (ports::free(), "nodes"), rule).await else {
            return;
        };
        scene.stage.settled(2).await;
        scene.stage.fire("Idle", DOWN).await;
        scene.delivered("Idle", 1).await;
        scene.delivered("Watchdog", 1).await;
        server.kill();
        let is_over = |name| {
            let told = scene.recorder.of(name);
            told.last().is_some_and(|told| told.status(name) == Some("resolved"))
        };
        scene.until("both to be told as over", || is_over("CPUHigh") && is_over("Watchdog")).await;
        assert!(scene.is_told("Idle").await, "{version}: it is active still");
        scene.refused("Idle", |why| matches!(why, Reason::WatchdogMissing { .. })).await;
        scene.nothing_removed().await;
        scene.stage.stop().await;
    })
    .await;
}

/// Two Prometheuses send one alert, each with its own start. Alertmanager keeps the earlier; but the one that sees it
/// end first ends it for both until the other sends again: told as over, and anew with another start. One record, one
/// act.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_of_prometheus_posting_one_alert_act_once() {
    on_both(|version| async move {
        let plot = Plot { times: ("1s", "1h", "1s"), ..Plot::new(version, ONCE) };
        let Some(scene) = Scene::start(plot).await else { return };
        scene.stage.fire("CPUHigh", UP).await;
        scene.delivered("CPUHigh", 1).await;
        scene.stage.fire("CPUHigh", UP).await;
        scene.stage.settled(2).await;
        scene.stage.resolve("CPUHigh", UP).await;
        scene.delivered("CPUHigh", 2).await;
        scene.stage.fire("CPUHigh", UP).await;
        let told = scene.delivered("CPUHigh", 3).await;
        let statuses: Vec<_> = told.iter().filter_map(|told| told.status("CPUHigh")).collect();
        assert_eq!(statuses, ["firing", "resolved", "firing"], "{version}");
        let starts: BTreeSet<_> =
            told.iter().map(|told| told.body["alerts"][0]["startsAt"].as_str()).collect();
        assert!(starts.len() > 1, "{version}: {starts:?}");
        scene.until("it to count again", || scene.counts("CPUHigh")).await;
        assert_eq!(scene.still().await, 2);
        assert_eq!(scene.stage.report().signals.len(), 1);
        scene.stage.stop().await;
    })
    .await;
}

/// One of two Prometheuses does not scrape the nodes: to it they are idle, and its alert is as good as any other to
/// Alertmanager. The guard is asked of both, and the one that sees nothing does not say that it holds.
#[tokio::test(flavor = "multi_thread")]
async fn one_replica_of_prometheus_that_sees_a_part_removes_nothing() {
    on_both(|version| async move {
        let ports = [ports::free(), ports::free()];
        let mut plot = Plot::new(version, BRISK);
        plot.setting.prometheus = ports.map(|port| format!("http://127.0.0.1:{port}")).to_vec();
        plot.setting.cluster =
            "    guards: { down: [ 'up{job=\"nodes\"} == 1' ] }\n".to_owned();
        let Some(scene) = Scene::start(plot).await else { return };
        scene.idle().await;
        let rule = "{ alert: Idle, expr: 'absent(up{job=\"nodes\"})', labels: { autoscale: down, cluster: default, pool: workers } }";
        let whole = start(&scene, version, (ports[0], "nodes"), rule).await;
        let Some(whole) = whole else { return };
        whole.answers("up{job=\"nodes\"} == 1").await;
        scene.tick().await;
        let Some(part) = start(&scene, version, (ports[1], "other"), rule).await else { return };
        part.answers("ALERTS{alertname=\"Idle\",alertstate=\"firing\"}").await;
        whole.forgets("ALERTS{alertname=\"Idle\"}").await;
        scene.delivered("Idle", 1).await;
        scene.held(|why| matches!(why, Reason::GuardUnknown { .. })).await;
        scene.nothing_removed().await;
        scene.until("it to count, so that nothing else holds it", || scene.counts("Idle")).await;
        scene.stage.stop().await;
    })
    .await;
}

/// A rule's label is changed while it fires: under the old label the alert stays active until it ends by itself, and
/// both are told. Each pool's step is done once.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_whose_pool_is_changed_while_it_fires_acts_once_for_each() {
    on_both(|version| async move {
        let mut plot = Plot::new(version, ONCE);
        plot.setting.more = format!("      spare: {}\n", ONCE.replace("min: 1", "min: 0"));
        let Some(scene) = Scene::start(plot).await else { return };
        let rule = |pool: &str| {
            format!("{{ alert: CPUHigh, expr: vector(1), labels: {{ autoscale: up, cluster: default, pool: {pool}, step: '1' }} }}")
        };
        let port = ports::free();
        // After a reload Prometheus finds its Alertmanagers anew, which takes it five seconds.
        let server = start_telling(&scene, version, (port, "nodes"), &rule("workers"), 3).await;
        let Some(server) = server else { return };
        scene.stage.settled(2).await;
        server.reload(&[("rules.yaml", &group(&rule("spare")))]).await;
        labels(&scene, 2).await;
        scene.stage.settled(3).await;
        labels(&scene, 1).await;
        assert_eq!(scene.still().await, 3);
        let report = scene.stage.report();
        let spare = report.workers.iter().filter(|worker| worker.pool.as_str() == "spare");
        assert_eq!(spare.count(), 1);
        scene.stage.stop().await;
    })
    .await;
}

/// Waits until an alert is told under so many sets of labels.
async fn labels(scene: &Scene, count: usize) {
    wait::until(&format!("{count} alerts of one rule"), || async {
        named(&scene.stage.alertmanager, "CPUHigh").await.len() == count
    })
    .await;
}
