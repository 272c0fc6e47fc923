//! What Alertmanager forgets when it ends, and what it tells anew.

use super::scene::{BRISK, ONCE, Plot, Scene};
use super::{DOWN, UP, on_both};
use bellwether::model::Reason;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// A killed Alertmanager forgets whom it told what, and tells all of it again as soon as Prometheus sends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_alertmanager_tells_twice_and_we_act_once() {
    on_both(|version| async move {
        let plot = Plot { times: ("1s", "1h", "1s"), ..Plot::new(version, ONCE) };
        let Some(mut scene) = Scene::start(plot).await else { return };
        scene.stage.fire("CPUHigh", UP).await;
        scene.delivered("CPUHigh", 1).await;
        scene.stage.settled(2).await;
        scene.stage.alertmanager.kill();
        scene.stage.alertmanager.restart().await;
        scene.stage.fire("CPUHigh", UP).await;
        let told = scene.delivered("CPUHigh", 2).await;
        assert!(told.iter().all(|told| told.status("CPUHigh") == Some("firing")), "{version}");
        scene.until("it to count again", || scene.counts("CPUHigh")).await;
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// After a start Alertmanager knows no alert until Prometheus sends it again, and may have forgotten a fresh silence:
/// the busy alert and the pause that would hold a removal are both missing. So for `restart_hold` nothing is removed.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_removals_wait_for_what_may_be_missing() {
    on_both(|version| async move {
        let mut plot = Plot::new(version, BRISK);
        // Long enough that what is delivered first is heard meanwhile, however busy the machine.
        let hold = Duration::from_secs(15);
        let alertmanager = &mut plot.setting.alertmanager;
        *alertmanager = alertmanager.replace("restart_hold: 3s", "restart_hold: 15s");
        assert!(alertmanager.contains("restart_hold: 15s"));
        let Some(mut scene) = Scene::start(plot).await else { return };
        scene.idle().await;
        scene.stage.alertmanager.kill();
        let restarted = Instant::now();
        scene.stage.alertmanager.restart().await;
        assert!(!scene.is_told("Watchdog").await, "{version}: it knows nothing");
        scene.stage.watchdog().await;
        scene.stage.fire("Idle", DOWN).await;
        scene.delivered("Idle", 1).await;
        let restart = |why: &Reason| matches!(why, Reason::AlertmanagerRestarted { .. });
        scene.refused("Idle", restart).await;
        scene.removed().await;
        assert!(restarted.elapsed() >= hold, "{version}: {restarted:?}");
        scene.stage.stop().await;
    })
    .await;
}

/// A reload that changes a route's matchers makes new groups of all its alerts, and tells each of them again.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_with_changed_matchers_tells_twice_and_we_act_once() {
    on_both(|version| async move {
        let plot = Plot { times: ("1s", "1h", "1s"), ..Plot::new(version, ONCE) };
        let Some(scene) = Scene::start(plot).await else { return };
        scene.stage.fire("CPUHigh", UP).await;
        scene.delivered("CPUHigh", 1).await;
        scene.stage.settled(2).await;
        scene.reload(&[("up|down|replace|watchdog", "watchdog|replace|down|up")]).await;
        let told = scene.delivered("CPUHigh", 2).await;
        let keys: BTreeSet<_> = told.iter().map(|told| told.body["groupKey"].as_str()).collect();
        assert_eq!(keys.len(), 2, "{version}: {keys:?}");
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}
