//! A group has one clock, and one body for all its alerts.

use super::scene::{BRISK, ONCE, Plot, Scene};
use super::{DOWN, NEED, UP, on_both};
use bellwether::model::{Reason, Source};
use std::collections::BTreeSet;

/// Long enough for the alerts of one request to come into their group: they began a second ago, and 0.25 flushes a
/// group at once for one that is older than this.
const GATHERED: &str = "group_wait: 3s";

/// Removals grouped together with what asks for more, as with one route for all of it.
const TOGETHER: [(&str, &str); 2] = [
    ("group_by: [\"...\"]", "group_by: [of]"),
    ("      - matchers: ['autoscale=\"down\"']", "      - matchers: ['autoscale=\"none\"']"),
];

/// An alert that ends and fires again before the next tick is not told: nobody hears that it began anew. It goes on
/// counting as one, and its step is not done a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_flap_inside_one_group_interval_is_never_told_and_acts_once() {
    on_both(|version| async move {
        let plot = Plot { times: ("3s", "30s", "1s"), ..Plot::new(version, ONCE) };
        let Some(scene) = Scene::start(plot).await else { return };
        scene.stage.fire("CPUHigh", UP).await;
        let first = scene.delivered("CPUHigh", 1).await.remove(0);
        scene.stage.settled(2).await;
        scene.stage.resolve("CPUHigh", UP).await;
        scene.stage.fire("CPUHigh", UP).await;
        scene.tick().await;
        let now = super::scene::named(&scene.stage.alertmanager, "CPUHigh").await;
        assert_ne!(now[0]["startsAt"], first.body["alerts"][0]["startsAt"], "it began anew");
        assert_eq!(scene.recorder.of("CPUHigh").len(), 1, "{version}: and nobody was told");
        assert!(scene.counts("CPUHigh"));
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// What fires and is over within `group_wait` is never delivered, though the API says active all the while. Nothing
/// is removed for what only the API tells of; the same alert that stays is told, and a worker goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_fires_and_is_over_inside_group_wait_is_never_told_and_removes_nothing() {
    on_both(|version| async move {
        let plot = Plot { times: ("2s", "4s", "2s"), ..Plot::new(version, BRISK) };
        let Some(scene) = Scene::start(plot).await else { return };
        scene.idle().await;
        scene.stage.fire("Idle", DOWN).await;
        scene.told("Idle", true).await;
        scene.nothing_removed().await;
        scene.stage.resolve("Idle", DOWN).await;
        scene.tick().await;
        assert!(scene.recorder.of("Idle").is_empty(), "{version}: {:?}", scene.recorder.of("Idle"));
        scene.nothing_removed().await;
        scene.stage.fire("Idle", DOWN).await;
        scene.delivered("Idle", 1).await;
        scene.removed().await;
        scene.stage.stop().await;
    })
    .await;
}

/// With `max_alerts` the alerts beyond it are cut off every body: of an idle and a busy alert in one group, only the
/// idle one is ever delivered. The busy one is active all the same, and holds the removal; the fault is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_body_removes_nothing_against_the_alert_that_was_cut_off() {
    on_both(|version| async move {
        let mut plot = Plot::new(version, BRISK);
        plot.edits =
            [&TOGETHER[..], &[("max_alerts: 0", "max_alerts: 1"), ("group_wait: 0s", GATHERED)]]
                .concat();
        let Some(scene) = Scene::start(plot).await else { return };
        scene.idle().await;
        let of = |labels: &[(&'static str, &'static str)], name, instance| {
            let more = [("alertname", name), ("cluster", "default"), ("of", "both")];
            [labels, &more, &[("instance", instance)]].concat()
        };
        let (idle, busy) = (of(DOWN, "Idle", "a"), of(UP, "Busy", "b"));
        scene.stage.alertmanager.tell(&[(&idle, true), (&busy, true)]).await;
        let told = scene.delivered("Idle", 1).await.remove(0).body;
        assert_eq!(told["truncatedAlerts"], 1, "{version}: {told:#}");
        scene.held(|why| matches!(why, Reason::UpActive { .. })).await;
        scene.nothing_removed().await;
        assert!(scene.recorder.of("Busy").is_empty());
        let findings = scene.stage.report().findings.clone();
        assert!(findings.iter().any(|finding| finding.contains("max_alerts")), "{findings:?}");
        scene.stage.alertmanager.tell(&[(&busy, false)]).await;
        scene.removed().await;
        scene.stage.stop().await;
    })
    .await;
}

/// One body holds what is over, what fires, and what nobody can serve; its own status is *firing*, since one of them
/// does. Each is judged by itself, and the body is taken as a whole, so that it is not told again.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_mixed_body_each_alert_is_judged_by_itself() {
    on_both(|version| async move {
        let mut plot = Plot::new(version, ONCE);
        plot.times = ("1s", "30s", "1s");
        plot.edits = [&TOGETHER[..], &[("group_wait: 0s", GATHERED)]].concat();
        plot.setting.more = format!("      spare: {}\n", ONCE.replace("min: 1", "min: 0"));
        let Some(scene) = Scene::start(plot).await else { return };
        let of = |labels: &[(&'static str, &'static str)], name| {
            [labels, &[("alertname", name), ("cluster", "default"), ("of", "all")]].concat()
        };
        let over = of(NEED, "Over");
        let spare = of(&[("autoscale", "up"), ("pool", "spare"), ("step", "1")], "Spare");
        let nobody = of(&[("autoscale", "up"), ("pool", "nobody"), ("step", "1")], "Nobody");
        scene.stage.alertmanager.tell(&[(&over, true)]).await;
        scene.delivered("Over", 1).await;
        scene.stage.alertmanager.tell(&[(&nobody, true), (&over, false), (&spare, true)]).await;
        let mixed = scene.delivered("Spare", 1).await.remove(0);
        let statuses = ["Over", "Spare", "Nobody"].map(|name| mixed.status(name));
        assert_eq!(statuses, [Some("resolved"), Some("firing"), Some("firing")], "{version}");
        assert_eq!(mixed.body["status"], "firing");
        scene.stage.settled(2).await;
        scene.tick().await;
        assert_eq!(scene.recorder.of("Spare").len(), 1, "it was taken");
        assert_eq!(scene.still().await, 2);
        let report = scene.stage.report();
        let is_over = |source: &Source| matches!(source, Source::Alert { resolved: true, .. });
        let known: BTreeSet<(&str, bool)> = report
            .signals
            .iter()
            .map(|signal| (signal.signal.name.as_str(), is_over(&signal.signal.source)))
            .filter(|(name, _)| *name != "Tick")
            .collect();
        assert_eq!(known, BTreeSet::from([("Over", true), ("Spare", false)]));
        let spare = report.workers.iter().filter(|worker| worker.pool.as_str() == "spare");
        assert_eq!(spare.count(), 1);
        scene.stage.stop().await;
    })
    .await;
}
