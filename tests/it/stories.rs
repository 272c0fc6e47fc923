//! Whole stories: a real Alertmanager, the whole service, a simulated world. Each asserts what was done to machines.

use crate::support::stage::{Setting, Stage, is_settled, ready};
use crate::support::{interposed, prometheus, wait};
use bellwether::model::{EntryKind, Reason, Verdict};
use bellwether::sim::Faults;
use serde_json::{Value, json};
use std::time::Duration;

const UP: &[(&str, &str)] = &[("autoscale", "up"), ("pool", "workers"), ("step", "1")];
const NEED: &[(&str, &str)] = &[("autoscale", "up"), ("pool", "workers")];
const DOWN: &[(&str, &str)] = &[("autoscale", "down"), ("pool", "workers")];

fn pool(min: u32, max: u32, more: &str) -> String {
    format!("{{ provider: {{ sim: {{}} }}, min: {min}, max: {max}, min_age: 0s, {more} }}")
}

/// A stage whose cooldowns are short and whose pool has these bounds.
async fn stage(min: u32, max: u32) -> Option<Stage> {
    let pool = pool(min, max, "cooldown: { up: 300ms, down: 300ms }");
    let stage = Stage::start(Setting { pool, ..Setting::default() }).await?;
    stage.settled(min as usize).await;
    Some(stage)
}

/// A stage where one alert's step is done once, since the cooldown outlasts the story.
async fn slow_stage(version: &'static str) -> Option<Stage> {
    let pool = pool(1, 4, "cooldown: { up: 10m, down: 10m }");
    let stage = Stage::start(Setting { version, pool, ..Setting::default() }).await?;
    stage.settled(1).await;
    Some(stage)
}

/// one alert, delivered ten times beside Alertmanager's own repeats, adds one worker.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_delivery_ten_times_acts_once() {
    for version in ["0.25", "0.31"] {
        let Some(stage) = slow_stage(version).await else { return };
        stage.fire("CPUHigh", UP).await;
        stage.settled(2).await;
        let alerts = stage.alertmanager.alerts().await;
        let alert = alerts
            .as_array()
            .unwrap()
            .iter()
            .find(|alert| alert["labels"]["alertname"] == "CPUHigh")
            .unwrap();
        let body = json!({ "version": "4", "status": "firing", "receiver": "bellwether", "groupLabels": {}, "commonLabels": {},
            "alerts": [{ "status": "firing", "labels": alert["labels"], "annotations": {}, "startsAt": alert["startsAt"],
                "endsAt": "0001-01-01T00:00:00Z", "fingerprint": alert["fingerprint"] }] });
        let client = reqwest::Client::new();
        for _ in 0..10 {
            let answer =
                client.post(format!("{}/v1/alerts", stage.url)).json(&body).send().await.unwrap();
            assert_eq!(answer.status(), 200);
        }
        stage.quiet().await;
        assert_eq!(
            (stage.ready(), stage.calls("launch")),
            (2, 2),
            "one for min, one for the alert"
        );
        stage.stop().await;
    }
}

/// W-72: the silence is set after the intent is stored, before the provider is called.
#[tokio::test(flavor = "multi_thread")]
async fn a_silence_set_between_plan_and_act_stops_the_act() {
    let Some(scene) = interposed::Scene::start(&pool(
        1,
        4,
        "limits: { launches_per_hour: 2 }, cooldown: { up: 10m, down: 10m }",
    ))
    .await
    else {
        return;
    };
    scene.silence_after_next_intent("up");
    scene.deliver("CPUHigh", UP).await;
    wait::until("the act to be refused", || async {
        scene.history().await.iter().any(|entry| {
            entry.kind == EntryKind::Refused && matches!(entry.reason, Some(Reason::Paused { .. }))
        })
    })
    .await;
    assert_eq!(scene.launches(), 1, "only what min asked for");
    // Nothing was asked of the provider, so no limit and no cooldown counts it.
    scene.lift().await;
    wait::until("the launch, now that nothing pauses it", || async { scene.launches() == 2 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_shows_who_set_it_and_ends_with_it() {
    let Some(stage) = stage(1, 4).await else { return };
    let silence = stage.alertmanager.silence(&[("autoscale", "up")], "no growing today").await;
    stage.fire("CPUHigh", UP).await;
    wait::until("the pause to be told", || async {
        stage
            .report()
            .pools
            .iter()
            .any(|pool| pool.why.contains("paused by Ada") && pool.why.contains("no growing today"))
            || stage.report().signals.iter().any(|signal| signal.words.contains("paused by Ada"))
    })
    .await;
    stage.quiet().await;
    stage.alertmanager.expire(&silence).await;
    wait::until("it to go on", || async { stage.ready() > 1 }).await;
    stage.stop().await;
}

/// The history is an audit: the intent first, then each outcome, once.
#[tokio::test(flavor = "multi_thread")]
async fn w_18_history_tells_the_intent_and_then_each_outcome_once() {
    let Some(stage) = slow_stage("0.31").await else { return };
    stage.fire("CPUHigh", UP).await;
    stage.settled(2).await;
    let url = format!("{}/v1/history", stage.url);
    let shown: serde_json::Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let lines = shown["clusters"]["default"]["history"].as_array().unwrap().clone();
    let launches: Vec<(String, u64)> = lines
        .iter()
        .filter(|line| line["what"] == "launch" && line["reason"]["code"] != "below_min")
        .map(|line| (line["kind"].as_str().unwrap().to_owned(), line["id"].as_u64().unwrap()))
        .collect();
    let kinds: Vec<&str> = launches.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["done", "intent", "done"], "newest first; the last is of min: {lines:#?}");
    assert!(launches[0].1 > launches[1].1);
    assert!(lines.iter().all(|line| !line["reason"].is_null()), "every line has its reason");
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w_70_metrics_tell_what_the_last_pass_saw() {
    let Some(stage) = stage(2, 4).await else { return };
    // With a live watchdog and no alert nothing is launched for the pods that wait.
    stage.watchdog().await;
    wait::until("the watchdog", || async {
        stage
            .report()
            .signals
            .iter()
            .any(|signal| signal.counts && signal.signal.name == "Watchdog")
    })
    .await;
    stage.pods(9);
    let url = format!("{}/metrics", stage.url);
    let lines = [
        "bellwether_pool_workers{bound=\"have\",cluster=\"default\",pool=\"workers\"} 2",
        "bellwether_workers{cluster=\"default\",pool=\"workers\",state=\"ready\"} 2",
        "bellwether_unschedulable_pods{cluster=\"default\",helpable=\"yes\",pool=\"workers\",reason=\"worker\"} 4",
        "bellwether_unschedulable_pods{cluster=\"default\",helpable=\"yes\",pool=\"\",reason=\"full\"} 1",
        "bellwether_unschedulable_pods{cluster=\"default\",helpable=\"no\",pool=\"\",reason=\"taints\"} 0",
        "bellwether_predictions{cluster=\"default\",outcome=\"wrong\"} 0",
        "bellwether_prediction_on{cluster=\"default\"} 1",
        "bellwether_claim_held{cluster=\"default\"} 1",
        "bellwether_alertmanager_answered{cluster=\"default\"} 1",
    ];
    wait::until("the metrics to tell it", || async {
        let text = reqwest::get(&url).await.unwrap().text().await.unwrap();
        lines.iter().all(|line| text.lines().any(|told| told == *line))
    })
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_waits_and_a_node_that_stays_are_explained() {
    let Some(stage) = stage(2, 2).await else { return };
    stage.watchdog().await;
    stage.pods(9);
    let get = |path: String| async { reqwest::get(path).await.unwrap() };
    wait::until("pods that wait, in a pass", || async { stage.report().pending_pods == Some(5) })
        .await;
    let view = stage.world.view();
    let name = &view.pods().find(|pod| pod.node().is_none()).unwrap().name;
    let url = format!("{}/v1/explain", stage.url);
    let told = get(format!("{url}/pod/default/{name}")).await;
    let told: serde_json::Value = told.json().await.unwrap();
    let told = &told["clusters"]["default"];
    assert_eq!(told["subject"], format!("pod default/{name}"));
    let helps = told["helps"][0].as_str().unwrap();
    assert!(helps.contains("would host it, but it is at `max` (2)"), "{told:#}");
    let report = stage.report();
    let full = report.nodes.iter().find(|seen| seen.node.worker.is_some()).unwrap();
    let pods = view.pods().filter(|pod| pod.node() == Some(&full.node.at.name));
    let cpu: u64 = pods.map(|pod| pod.spec.requests.cpu_milli).sum();
    assert!(cpu > 0 && full.requested.cpu_milli == cpu, "{full:?}");
    assert_eq!(full.free.cpu_milli, full.node.allocatable.cpu_milli - cpu);
    let node = full.node.at.name.clone();
    let told: serde_json::Value = get(format!("{url}/node/{node}")).await.json().await.unwrap();
    assert!(told["clusters"]["default"]["state"].as_str().unwrap().contains("of pool workers"));
    let missing = get(format!("{url}/pod/default/none")).await;
    assert_eq!(missing.status(), 404);
    assert!(missing.text().await.unwrap().contains("has a pod default/none"));
    stage.stop().await;
}

/// Neither `resolved` nor absence ever removes anything.
#[tokio::test(flavor = "multi_thread")]
async fn resolved_alone_does_nothing() {
    let Some(stage) = stage(1, 4).await else { return };
    stage.watchdog().await;
    stage.pods(3);
    stage.fire("PodsUnschedulable", NEED).await;
    stage.settled(2).await;
    stage.pods(1);
    stage.resolve("PodsUnschedulable", NEED).await;
    stage
        .fire("SustainedIdle", &[("autoscale", "down"), ("pool", "workers"), ("later", "yes")])
        .await;
    stage
        .resolve("SustainedIdle", &[("autoscale", "down"), ("pool", "workers"), ("later", "yes")])
        .await;
    stage.quiet().await;
    assert_eq!(stage.calls("terminate"), 0);
    stage.stop().await;
}

/// A-06, W-03
#[tokio::test(flavor = "multi_thread")]
async fn at_max_nothing_is_added_and_scale_down_works_once_the_up_alert_is_gone() {
    let Some(stage) = stage(1, 2).await else { return };
    stage.watchdog().await;
    stage.pods(9);
    stage.fire("PodsUnschedulable", NEED).await;
    stage.settled(2).await;
    wait::until("it to say that it is at max", || async {
        let report = stage.report();
        let decision = &report.plan.decisions[0];
        std::iter::once(&decision.reason)
            .chain(&decision.also)
            .any(|reason| matches!(reason, Reason::AtMax { .. } | Reason::PendingPods { .. }))
    })
    .await;
    stage.quiet().await;
    stage.resolve("PodsUnschedulable", NEED).await;
    stage.pods(1);
    stage.fire("SustainedIdle", DOWN).await;
    stage.settled(1).await;
    assert_eq!((stage.calls("launch"), stage.calls("terminate")), (2, 1));
    stage.stop().await;
}

/// W-21: a pod that no worker could host neither buys workers nor holds removal for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_unhostable_pod_that_stays_pending_does_not_hold_scale_down_for_ever() {
    let Some(stage) = stage(1, 3).await else { return };
    stage.watchdog().await;
    stage.pods(3);
    stage.fire("PodsUnschedulable", NEED).await;
    stage.settled(2).await;
    stage.pods(1);
    stage
        .world
        .set_workload(bellwether::sim::Workload::deployment("giant", 1, 64_000, 1 << 40))
        .unwrap();
    wait::until("it to be told", || async {
        stage.report().plan.decisions[0]
            .also
            .iter()
            .any(|reason| matches!(reason, Reason::Unhostable { .. }))
    })
    .await;
    stage.fire("SustainedIdle", DOWN).await;
    stage.settled(1).await;
    assert_eq!(stage.calls("launch"), 2, "nothing was launched for the giant");
    stage.stop().await;
}

///
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_tells_what_it_would_do_and_calls_nothing() {
    let Some(stage) = Stage::start(Setting {
        pool: pool(2, 4, "mode: dry_run, cooldown: { up: 300ms, down: 300ms }"),
        ..Setting::default()
    })
    .await
    else {
        return;
    };
    stage.pods(3);
    stage.fire("PodsPending", NEED).await;
    let would_launch = || {
        let decision = stage.report().plan.decisions[0].clone();
        decision.dry_run && matches!(decision.verdict, Verdict::Launch { .. })
    };
    wait::until("a launch that is only told", || async { would_launch() }).await;
    stage.quiet().await;
    assert_eq!(stage.acts(), 0);
    stage.stop().await;
}

/// lost, too few, launched, Ready, in this order.
#[tokio::test(flavor = "multi_thread")]
async fn below_min_is_restored_without_any_alert() {
    let Some(stage) = stage(2, 4).await else { return };
    let instance = stage.report().workers[0].instance.clone().unwrap();
    stage.world.kill(instance.as_str()).unwrap();
    wait::until("a third machine", || async {
        stage.calls("launch") >= 2 && is_settled(&stage.report(), 2)
    })
    .await;
    let url = format!("{}/v1/history?limit=1000", stage.url);
    let told: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    let mut codes: Vec<&str> = told["clusters"]["default"]["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["reason"]["code"].as_str())
        .collect();
    codes.reverse();
    let since = codes.iter().position(|code| *code == "lost").expect("the loss is told");
    let order = ["below_min", "launched", "became_ready"];
    let told: Vec<&str> =
        codes[since..].iter().copied().filter(|code| order.contains(code)).collect();
    assert_eq!(told, order);
    stage.stop().await;
}

/// W-02, W-20: an empty list beside nodes that are Ready is an error, not a loss.
#[tokio::test(flavor = "multi_thread")]
async fn below_min_is_not_restored_when_the_providers_list_is_empty_by_error() {
    let Some(stage) = stage(2, 4).await else { return };
    stage.world.set_faults(Faults { list_empty: true, ..Faults::default() });
    stage.quiet().await;
    stage.world.set_faults(Faults { list_errors: true, ..Faults::default() });
    stage.quiet().await;
    stage.world.set_faults(Faults::default());
    stage.settled(2).await;
    assert_eq!(stage.calls("launch"), stage.report().plan.decisions.len(), "only the first batch");
    stage.stop().await;
}

/// F-036: a failure in one cluster never touches another.
#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_in_one_config_one_failing_the_other_goes_on() {
    let more = "  other:
    kubernetes: { sim: { boot: 300ms, seed: 2 } }
    pools:
      workers: { provider: { sim: {} }, min: 1, max: 2 }
"
    .to_owned();
    let Some(stage) = Stage::start(Setting { more, ..Setting::default() }).await else { return };
    stage.settled(1).await;
    stage.worlds[&"other".into()].set_faults(Faults {
        observe_errors: true,
        list_errors: true,
        ..Faults::default()
    });
    wait::until("the failure to be told", || async {
        !stage.report_of("other").findings.is_empty()
    })
    .await;
    stage.fire("CPUHigh", UP).await;
    wait::until("the other to grow", || async { ready(&stage.report()) == 2 }).await;
    assert!(stage.report_of("other").plan.steps.is_empty());
    stage.stop().await;
}

/// A-60, W-04: the idle alert was delivered and is active, but Prometheus is gone: the guard is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_killed_while_the_idle_rule_fires_removes_nothing() {
    idle_without_prometheus("0s").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_killed_while_the_idle_rule_is_pending_removes_nothing() {
    idle_without_prometheus("4s").await;
}

/// A real Prometheus evaluates an idle rule (after `wait`), and is killed before anything could be removed.
async fn idle_without_prometheus(wait_for: &str) {
    let pool = pool(1, 3, "cooldown: { up: 300ms, down: 15s }");
    let port = crate::support::ports::free();
    let cluster = "    guards: { down: [ 'up == 1' ] }\n".to_owned();
    let setting = Setting {
        pool,
        cluster,
        prometheus: vec![format!("http://127.0.0.1:{port}")],
        ..Setting::default()
    };
    let Some(stage) = Stage::start(setting).await else { return };
    stage.pods(3);
    stage.fire("PodsUnschedulable", NEED).await;
    stage.settled(2).await;
    stage.resolve("PodsUnschedulable", NEED).await;
    stage.pods(1);
    let Some(mut prometheus) = idle_prometheus(&stage, port, wait_for).await else { return };
    let state = if wait_for == "0s" { "firing" } else { "pending" };
    let query = format!("ALERTS{{alertname=\"SustainedIdle\",alertstate=\"{state}\"}}");
    wait::until("the rule", || async {
        prometheus.query(&query).await["data"]["result"]
            .as_array()
            .is_some_and(|found| !found.is_empty())
    })
    .await;
    if state == "firing" {
        wait::until("the alert to count", || async {
            stage
                .report()
                .signals
                .iter()
                .any(|signal| signal.counts && signal.signal.name == "SustainedIdle")
        })
        .await;
    }
    prometheus.kill();
    let over = Duration::from_secs(18); // longer than the cooldown that held it so far
    let removed =
        wait::comes_true(over, || async { stage.calls("cordon") + stage.calls("terminate") > 0 });
    assert!(!removed.await, "{:#?}", stage.world.calls());
    assert_eq!(stage.ready(), 2);
    stage.stop().await;
}

/// A Prometheus whose idle rule fires after `wait_for`, and that scrapes itself.
async fn idle_prometheus(
    stage: &Stage,
    port: u16,
    wait_for: &str,
) -> Option<prometheus::RunningPrometheus> {
    let rules = format!(
        "groups: [{{name: idle, interval: 500ms, rules: [
  {{alert: SustainedIdle, expr: vector(1), for: {wait_for}, labels: {{autoscale: down, cluster: default, pool: workers}}}},
  {{alert: Watchdog, expr: vector(1), labels: {{autoscale: watchdog, cluster: default}}}}]}}]"
    );
    let am = stage.alertmanager.url.trim_start_matches("http://").to_owned();
    let config = format!(
        "global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}
rule_files: [rules.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{am}']}}]}}]}}
scrape_configs: [{{job_name: self, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]"
    );
    prometheus::start_at(
        port,
        "2.42",
        &config,
        &[("rules.yaml", &rules)],
        &["--rules.alert.resend-delay=5s".to_owned()],
    )
    .await
}
