//! The replica that holds the claim ends, dies, or stands still.

use super::now;
use super::scene::{SLACK, Scene, Setting};
use crate::support::wait;
use bellwether::model::duration;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_asked_to_end_hands_over_at_once_and_nothing_is_done_twice() {
    // Far longer than the hand-over may take, and so is a third of it, in which each asks for the claim by itself.
    let setting = Setting { claim_ttl: Duration::from_mins(2), ..Setting::default() };
    let Some(mut scene) = Scene::start(setting).await else { return };
    let holder = scene.held().await;
    let other = 1 - holder;
    scene.need(4).await;
    wait::until("the launch", || async { scene.launched() == 2 }).await;
    scene.replicas[holder].stop().await;
    let stopped = now();
    scene.held_by(other).await;
    let took = duration::since(stopped, now());
    assert!(took < SLACK, "{took:?}");
    scene.settled_for_good(2, 0).await;
    scene.need(6).await;
    scene.settled_for_good(3, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_killed_is_followed_by_another_within_the_life_of_its_claim() {
    let Some(mut scene) = Scene::start(Setting::default()).await else { return };
    let holder = scene.held().await;
    let killed = now();
    scene.replicas[holder].kill();
    scene.need(4).await;
    scene.launched_soon_after(2, killed).await;
    scene.only_acts(1 - holder).await;
    scene.settled_for_good(2, 0).await;
}

/// Right before its call, for longer than its claim lives. When it goes on it does not make the call, which the other
/// made meanwhile; what it would store is refused, and it takes deliveries as a replica that does not hold.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_stood_still_for_longer_than_its_claim_acts_no_more() {
    let Some(mut scene) = Scene::start(Setting::default()).await else { return };
    // Both are needed for the start only: the one that will stop takes the claim while it is alone.
    scene.replicas[0].stop().await;
    scene.replicas[1].stop().await;
    scene.replicas[0].start(&["--die-at", "intent_committed:stop"]).await;
    scene.held_by(0).await;
    scene.replicas[1].start(&[]).await;
    scene.need(4).await;
    scene.replicas[0].stopped().await;
    scene.launched_soon_after(2, now()).await;
    scene.settled(2, 0).await;
    let calls = scene.calls("launch");
    scene.replicas[0].go_on();
    let refused = || async { scene.replicas[0].log().contains("is not current") };
    wait::until("its commit to be refused", refused).await;
    assert!(!scene.replicas[0].acts().await);
    scene.replicas[0].passes(3).await;
    scene.only_acts(1).await;
    assert_eq!(scene.calls("launch"), calls, "it made no call");
    assert_eq!(scene.replicas[0].answer_to("After").await, 200);
    scene.settled_for_good(2, 0).await;
    scene.replicas[1].kill();
    scene.need(6).await;
    scene.settled_for_good(3, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_three_replicas_the_last_one_left_still_acts() {
    let Some(mut scene) = Scene::start(Setting { replicas: 3, ..Setting::default() }).await else {
        return;
    };
    for launched in [2, 3] {
        let holder = scene.held().await;
        let killed = now();
        scene.replicas[holder].kill();
        scene.need(2 * u32::try_from(launched).unwrap()).await;
        scene.launched_soon_after(launched, killed).await;
    }
    scene.settled_for_good(3, 0).await;
    let holder = scene.held().await;
    scene.only_acts(holder).await;
}
