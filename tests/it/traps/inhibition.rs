//! Inhibition that comes too late to keep a delivery back.

use super::scene::{BRISK, Plot, Scene};
use super::{DOWN, UP, on_both};
use bellwether::model::Reason;

/// How many alerts Prometheus sends in between.
const CROWD: usize = 2_000;

/// How often what is a race in Alertmanager is tried.
const TRIES: usize = 10;

/// With `group_wait: 0s` an alert and the one that inhibits it, in one request, race: the inhibited one is delivered
/// all the same. The shipped route waits 30 s for that; whoever does not is helped by the API, which says *inhibited*.
#[tokio::test(flavor = "multi_thread")]
async fn inhibition_that_loses_the_race_against_group_wait_0_still_holds() {
    on_both(|version| async move {
        let plot = Plot { times: ("1s", "4s", "0s"), ..Plot::new(version, BRISK) };
        let Some(scene) = Scene::start(plot).await else { return };
        scene.idle().await;
        // Nothing goes while this fires, so that the removal cannot begin within the race.
        scene.stage.fire("Busy", UP).await;
        scene.until("the busy alert to count", || scene.counts("Busy")).await;
        let common: &[(&str, &str)] = &[("cluster", "default")];
        let blind = [common, &[("alertname", "PrometheusBlind")]].concat();
        let idle = [common, &[("alertname", "Idle")], DOWN].concat();
        sprung(&scene, &idle, &blind).await;
        scene.refused("Idle", |why| matches!(why, Reason::Inhibited { .. })).await;
        scene.stage.resolve("Busy", UP).await;
        scene.told("Busy", false).await;
        scene.nothing_removed().await;
        scene.stage.alertmanager.tell(&[(&blind, false)]).await;
        scene.removed().await;
        scene.stage.stop().await;
    })
    .await;
}

/// Tells both in one request, the one that inhibits behind many others, again until the inhibited one is delivered.
async fn sprung(scene: &Scene, idle: &[(&str, &str)], blind: &[(&str, &str)]) {
    let numbers: Vec<String> = (0..CROWD).map(|number| number.to_string()).collect();
    let others: Vec<_> =
        numbers.iter().map(|number| [("alertname", "Other"), ("number", number)]).collect();
    let others = others.iter().map(|labels| (labels.as_slice(), true));
    let crowd: Vec<_> =
        std::iter::once((idle, true)).chain(others).chain([(blind, true)]).collect();
    for _ in 0..TRIES {
        scene.stage.alertmanager.tell(&crowd).await;
        scene.tick().await;
        if !scene.recorder.of("Idle").is_empty() {
            return;
        }
        scene.stage.alertmanager.tell(&[(idle, false), (blind, false)]).await;
        scene.told("Idle", false).await;
        scene.told("PrometheusBlind", false).await;
    }
    panic!("{TRIES} times inhibition came first");
}
