//! Two Alertmanagers share silences and what they told, not alerts; each delivers where the other seems not to.

use super::scene::{BRISK, ONCE, Plot, Scene, named};
use super::{DOWN, NEED, UP, on_both};
use crate::support::alertmanager::{self, RunningAlertmanager};
use crate::support::ports;
use crate::support::recorder::{Delivery, Recorder, Rule};
use crate::support::wait;
use bellwether::model::Reason;
use std::collections::BTreeSet;
use std::time::Duration;

/// Two peers that deliver to one recorder; the second waits so long for the first.
async fn pair(peer_timeout: &str, plot: Plot) -> Option<(Scene, RunningAlertmanager)> {
    let port = ports::free();
    let recorder = Recorder::start(port).await;
    let patience = format!("--cluster.peer-timeout={peer_timeout}");
    let often = "--cluster.gossip-interval=50ms";
    let first = [&*patience, often, "--web.external-url=http://first"];
    let second = [&*patience, often, "--web.external-url=http://second"];
    let routes = plot.routes(&recorder.url);
    let [one, other] =
        alertmanager::start_peers_with(plot.version, &routes, [&first, &second]).await?;
    wait::until("the peers to find each other", || async {
        one.has_settled().await && other.has_settled().await
    })
    .await;
    let mut plot = plot;
    plot.setting.peers = vec![other.url.clone()];
    Some((Scene::beside(one, recorder, port, plot).await, other))
}

/// As a Prometheus that sends to both, as it must.
async fn fire(scene: &Scene, other: &RunningAlertmanager, name: &str, labels: &[(&str, &str)]) {
    let all = [labels, &[("alertname", name), ("cluster", "default")]].concat();
    tokio::join!(scene.stage.alertmanager.fire(&all), other.fire(&all));
}

/// Who delivered.
fn peers(deliveries: &[Delivery]) -> BTreeSet<&str> {
    deliveries.iter().filter_map(|delivery| delivery.body["externalURL"].as_str()).collect()
}

/// The second peer waits `peer_timeout` to hear that the first delivered; where it hears of it too late, both do.
#[tokio::test(flavor = "multi_thread")]
async fn two_peers_that_both_deliver_act_once() {
    on_both(|version| async move {
        let Some((scene, other)) = pair("1ms", Plot::new(version, ONCE)).await else { return };
        // The first tells of its delivery when it is answered, so that the second is surely not told before.
        scene.recorder.rule(Rule::Late(Duration::from_secs(1)));
        fire(&scene, &other, "CPUHigh", UP).await;
        scene.until("both to deliver", || peers(&scene.recorder.of("CPUHigh")).len() == 2).await;
        scene.stage.settled(2).await;
        assert_eq!(scene.still().await, 2, "{version}");
        scene.stage.stop().await;
    })
    .await;
}

/// A receiver that answers after `peer_timeout` is called by the next peer as well. We answer as soon as the signal is
/// stored; where the answer is late on its way all the same, what comes twice is done once.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_is_called_by_the_next_peer_and_acts_once() {
    on_both(|version| async move {
        let plot = Plot { times: ("1s", "1h", "1s"), ..Plot::new(version, ONCE) };
        let Some((scene, other)) = pair("500ms", plot).await else { return };
        scene.recorder.rule(Rule::Late(Duration::from_secs(2)));
        fire(&scene, &other, "CPUHigh", UP).await;
        scene.until("both to deliver", || peers(&scene.recorder.of("CPUHigh")).len() == 2).await;
        let told = scene.recorder.of("CPUHigh");
        let slowest = told.iter().map(|told| told.took).max().unwrap();
        assert!(slowest < Duration::from_secs(5), "{version}: {slowest:?}, whatever else goes on");
        scene.stage.settled(2).await;
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// Peers do not tell each other of alerts: one that was restarted, or that Prometheus does not reach, knows none. That
/// it does not tell of an alert takes nothing from what the other tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_knows_no_alerts_denies_none() {
    on_both(|version| async move {
        let Some((scene, other)) = pair("15s", Plot::new(version, ONCE)).await else { return };
        let all = [UP, &[("alertname", "CPUHigh"), ("cluster", "default")]].concat();
        other.fire(&all).await;
        scene.stage.settled(2).await;
        assert!(named(&scene.stage.alertmanager, "CPUHigh").await.is_empty(), "{version}");
        assert_eq!(named(&other, "CPUHigh").await.len(), 1);
        assert_eq!(scene.still().await, 2);
        scene.stage.stop().await;
    })
    .await;
}

/// The peer that is left says that it is ready, and that nothing is silenced; the one that is away might know better.
/// Growing goes on, removing waits until it is back.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_peer_is_away_nothing_is_removed() {
    on_both(|version| async move {
        let plot = Plot::new(version, BRISK);
        let Some((scene, mut other)) = pair("15s", plot).await else { return };
        fire(&scene, &other, "Watchdog", &[("autoscale", "watchdog")]).await;
        fire(&scene, &other, "Idle", DOWN).await;
        scene.until("the idle alert to count", || scene.counts("Idle")).await;
        other.kill();
        scene.stage.pods(3);
        scene.stage.fire("Need", NEED).await;
        scene.stage.settled(2).await;
        scene.stage.resolve("Need", NEED).await;
        scene.told("Need", false).await;
        scene.stage.pods(1);
        assert!(scene.is_told("Idle").await, "{version}: the one that is left says active");
        let away = |why: &Reason| matches!(why, Reason::AlertmanagerAway { answered: 1, asked: 2 });
        scene.refused("Idle", away).await;
        scene.nothing_removed().await;
        other.restart().await;
        fire(&scene, &other, "Watchdog", &[("autoscale", "watchdog")]).await;
        fire(&scene, &other, "Idle", DOWN).await;
        scene.removed().await;
        scene.stage.stop().await;
    })
    .await;
}
