//! Alertmanager retries with the body it had when it began.

use super::scene::{ONCE, Plot, Scene};
use super::{UP, on_both};
use crate::support::recorder::Rule;
use bellwether::model::Reason;

/// A group that is told again and again delivers the snapshot of its first attempt: here *firing*, when the alert was
/// over already. Its resolution waits until that delivery is done. Nothing is launched for what is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_comes_late_is_not_taken_for_the_present() {
    on_both(|version| async move {
        let mut plot = Plot::new(version, ONCE);
        plot.times = ("5s", "1h", "1s");
        let Some(scene) = Scene::start(plot).await else { return };
        // Without it nothing would be taken for certain.
        scene.stage.watchdog().await;
        scene.delivered("Watchdog", 1).await;
        scene.recorder.rule(Rule::Answer(503));
        scene.stage.fire("CPUHigh", UP).await;
        scene.until("an attempt", || !scene.recorder.of("CPUHigh").is_empty()).await;
        scene.stage.resolve("CPUHigh", UP).await;
        scene.told("CPUHigh", false).await;
        scene.recorder.rule(Rule::Pass);
        let late = scene.delivered("CPUHigh", 1).await;
        assert_eq!(late[0].status("CPUHigh"), Some("firing"), "{version}");
        assert!(!scene.is_told("CPUHigh").await);
        scene.refused("CPUHigh", |why| matches!(why, Reason::NotConfirmed { .. })).await;
        assert_eq!(scene.still().await, 1, "only what min asked for");
        let over = scene.delivered("CPUHigh", 2).await;
        assert_eq!(over[1].status("CPUHigh"), Some("resolved"));
        assert_eq!(scene.still().await, 1);
        scene.stage.stop().await;
    })
    .await;
}

/// Silences are asked once, before the first attempt: one that is set while a delivery is tried again does not stop
/// it. It is delivered as firing, and held, since we ask for silences ourselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_silence_set_during_a_retry_holds_what_is_delivered_all_the_same() {
    on_both(|version| async move {
        let Some(scene) = Scene::start(Plot::new(version, ONCE)).await else { return };
        scene.recorder.rule(Rule::Answer(503));
        scene.stage.fire("CPUHigh", UP).await;
        scene.until("an attempt", || !scene.recorder.of("CPUHigh").is_empty()).await;
        let silence = scene.stage.alertmanager.silence(&[("alertname", "CPUHigh")], "wait").await;
        scene.recorder.rule(Rule::Pass);
        let silenced = scene.delivered("CPUHigh", 1).await;
        assert_eq!(silenced[0].status("CPUHigh"), Some("firing"), "{version}");
        scene.refused("CPUHigh", |why| matches!(why, Reason::Paused { .. })).await;
        assert_eq!(scene.still().await, 1, "only what min asked for");
        scene.stage.alertmanager.expire(&silence).await;
        scene.stage.settled(2).await;
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}
