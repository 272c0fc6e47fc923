//! What is muted looks like nothing at all: neither firing nor resolved is told.

use super::scene::{ONCE, Plot, Scene};
use super::{NEED, UP, on_both};
use bellwether::model::Reason;

/// Told seldom enough that no repeat comes to help.
fn seldom(version: &'static str) -> Plot {
    Plot { times: ("1s", "30s", "1s"), ..Plot::new(version, ONCE) }
}

/// The worst of them: an alert that was told is silenced, ends unseen, and fires again after the silence. Alertmanager
/// still believes that we know of it and says nothing until `repeat_interval` is over. It counts all the same: it is
/// active, and its last delivery is not older than a repeat may be.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_ends_and_fires_again_under_a_silence_counts_though_nothing_is_told() {
    on_both(|version| async move {
        let Some(scene) = Scene::start(seldom(version)).await else { return };
        scene.stage.watchdog().await;
        scene.stage.fire("Need", NEED).await;
        scene.delivered("Need", 1).await;
        let silence = scene.stage.alertmanager.silence(&[("alertname", "Need")], "wait").await;
        scene.stage.resolve("Need", NEED).await;
        scene.told("Need", false).await;
        // Its group drops it, unsent.
        scene.tick().await;
        scene.stage.alertmanager.expire(&silence).await;
        assert_eq!(scene.still().await, 1, "only what min asked for");
        scene.stage.pods(3);
        scene.stage.fire("Need", NEED).await;
        scene.stage.settled(2).await;
        scene.tick().await;
        assert_eq!(scene.recorder.of("Need").len(), 1, "{version}: told once, fired twice");
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// An alert that was told before its silence, and fires on after it, is not told again until `repeat_interval` is
/// over. The pause ends for us when it ends, without a delivery.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_told_before_its_silence_counts_as_soon_as_that_ends() {
    on_both(|version| async move {
        let Some(scene) = Scene::start(seldom(version)).await else { return };
        scene.stage.watchdog().await;
        scene.stage.fire("Need", NEED).await;
        scene.delivered("Need", 1).await;
        let silence = scene.stage.alertmanager.silence(&[("alertname", "Need")], "wait").await;
        scene.stage.pods(3);
        scene.refused("Need", |why| matches!(why, Reason::Paused { .. })).await;
        assert_eq!(scene.still().await, 1, "only what min asked for");
        scene.stage.alertmanager.expire(&silence).await;
        scene.stage.settled(2).await;
        scene.tick().await;
        assert_eq!(scene.recorder.of("Need").len(), 1, "{version}: nothing was told anew");
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// Silences are written to disk every fifteen minutes and at an orderly end: a killed Alertmanager has forgotten a
/// fresh one, and delivers what it muted. We have not.
#[tokio::test(flavor = "multi_thread")]
async fn a_silence_survives_alertmanagers_sigkill_for_us() {
    on_both(|version| async move {
        let Some(mut scene) = Scene::start(Plot::new(version, ONCE)).await else { return };
        scene.stage.alertmanager.silence(&[("autoscale", "up")], "no growing today").await;
        scene
            .until("the silence to be seen", || {
                !scene.stage.report().plan.memory.silences.is_empty()
            })
            .await;
        scene.stage.alertmanager.kill();
        scene.stage.alertmanager.restart().await;
        scene.stage.fire("CPUHigh", UP).await;
        scene.delivered("CPUHigh", 1).await;
        let is_remembered = |why: &Reason| matches!(why, Reason::Paused { remembered: true, .. });
        scene.refused("CPUHigh", is_remembered).await;
        assert_eq!(scene.still().await, 1, "{version}: only what min asked for");
        scene.stage.stop().await;
    })
    .await;
}
