//! Start times are of Prometheus' clock, which need not be ours.

use super::scene::{ONCE, Plot, Scene};
use super::{UP, on_both};
use bellwether::model::Source;
use jiff::SignedDuration;

const MINUTE: SignedDuration = SignedDuration::from_mins(1);

fn labels<'a>(name: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [more, &[("alertname", name), ("cluster", "default")]].concat()
}

/// A clock ten minutes ahead: Alertmanager tells at once of an alert that has yet to begin. It is done once, by our
/// clock and cooldown, and no start is kept that lies ahead of ours.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_a_clock_that_is_ahead_acts_once() {
    on_both(|version| async move {
        let Some(scene) = Scene::start(Plot::new(version, ONCE)).await else { return };
        let ahead = (MINUTE * 10, MINUTE * 14);
        scene.stage.alertmanager.fire_from(&labels("CPUHigh", UP), ahead).await;
        let told = scene.delivered("CPUHigh", 1).await.remove(0).body;
        let begins = told["alerts"][0]["startsAt"].as_str().unwrap().parse().unwrap();
        scene.stage.settled(2).await;
        assert_eq!(scene.still().await, 2, "{version}");
        let report = scene.stage.report();
        assert!(report.at < begins, "{version}: it begins at {begins}");
        let signals = report.signals.iter().map(|signal| &signal.signal);
        for signal in signals.filter(|signal| signal.name == "CPUHigh") {
            let Source::Alert { starts_at, .. } = &signal.source else { panic!("{signal:?}") };
            assert!(*starts_at <= report.at, "{version}: {signal:?}");
        }
        scene.stage.stop().await;
    })
    .await;
}

/// A clock behind by more than the four times that an alert lives: each arrives already over, and is never told of.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_a_clock_that_is_behind_arrives_over_and_does_nothing() {
    on_both(|version| async move {
        let Some(scene) = Scene::start(Plot::new(version, ONCE)).await else { return };
        let behind = (-MINUTE * 10, -MINUTE * 6);
        scene.stage.alertmanager.fire_from(&labels("CPUHigh", UP), behind).await;
        scene.tick().await;
        assert!(!scene.is_told("CPUHigh").await, "{version}");
        assert!(scene.recorder.of("CPUHigh").is_empty(), "{version}");
        assert_eq!(scene.still().await, 1, "only what min asked for");
        scene.stage.stop().await;
    })
    .await;
}

/// An alert about a node that began before there was the node: its clock is behind, or it means another of that name.
/// The node stays. One that began since is served: another worker first.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_younger_than_the_alert_about_it_stays() {
    on_both(|version| async move {
        let Some(scene) = Scene::start(Plot::new(version, ONCE)).await else { return };
        scene.stage.watchdog().await;
        let node = scene.stage.report().workers[0].node.clone().unwrap().name.to_string();
        let about = [("autoscale", "replace"), ("pool", "workers"), ("node", &*node)];
        let old = (-MINUTE * 60, MINUTE * 5);
        scene.stage.alertmanager.fire_from(&labels("OldKernel", &about), old).await;
        scene.delivered("OldKernel", 1).await;
        scene.until("it to count", || scene.counts("OldKernel")).await;
        assert_eq!(scene.still().await, 1, "{version}: only what min asked for");
        scene.stage.fire("NewFault", &about).await;
        scene.until("the node to be replaced", || scene.stage.calls("terminate") == 1).await;
        scene.stage.settled(1).await;
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}
