//! Muting by time intervals never shows among the alerts: they are active, and only the deliveries cease.

use super::scene::{ALONE, BRISK, Plot, Scene, named};
use super::{DOWN, NEED, on_both};
use crate::schedules::world::{NOON, write_zone};
use crate::support::recorder::Recorder;
use crate::support::{alertmanager, ports};
use bellwether::clock::Clock;
use bellwether::model::{Reason, duration};
use jiff::Timestamp;
use std::time::Duration;

/// The shipped file whose removals are muted in one half of the day, in a zone where it will soon be noon.
async fn start(
    version: &'static str,
    hours: &'static str,
    until: u64,
) -> Option<(Scene, Timestamp)> {
    let mut plot = Plot::new(version, BRISK);
    let mute = "          group_wait: 1s\n          mute_time_intervals: [closed]";
    plot.edits = vec![("          group_wait: 1s", mute), ("receivers:\n", hours)];
    let port = ports::free();
    let recorder = Recorder::start(port).await;
    let noon = duration::after(now(), Duration::from_secs(until));
    // A zone is so many whole seconds off.
    let noon = Timestamp::from_second(noon.as_second()).unwrap();
    // A schedule's noon is NOON after its beginning.
    let origin = duration::before(noon, Duration::from_secs_f64(NOON));
    let routes = plot.routes(&recorder.url);
    let zones = |folder: &std::path::Path| write_zone(folder, origin);
    let server = alertmanager::start_in_zones(version, &routes, ALONE, zones).await?;
    Some((Scene::beside(server, recorder, port, plot).await, noon))
}

const BEFORE_NOON: &str = "time_intervals:\n  - { name: closed, time_intervals: [{ times: [{ start_time: '11:00', end_time: '12:00' }], location: Test/Noon }] }\nreceivers:\n";
const AFTER_NOON: &str = "time_intervals:\n  - { name: closed, time_intervals: [{ times: [{ start_time: '12:00', end_time: '13:00' }], location: Test/Noon }] }\nreceivers:\n";

fn now() -> Timestamp {
    Clock::system().now()
}

/// A removal that is muted until noon, local time, fires before: active in the API, and not delivered. It is delivered
/// when noon has come, and only then a worker goes.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_muted_by_local_time_is_done_when_its_hours_begin_and_not_before() {
    on_both(|version| async move {
        let Some((scene, noon)) = start(version, BEFORE_NOON, 20).await else { return };
        scene.idle().await;
        scene.stage.fire("Idle", DOWN).await;
        scene.tick().await;
        let told = named(&scene.stage.alertmanager, "Idle").await;
        assert_eq!(told[0]["status"]["state"], "active", "{version}");
        assert!(scene.recorder.of("Idle").is_empty(), "{version}: {:?}", scene.recorder.of("Idle"));
        scene.nothing_removed().await;
        assert!(now() < noon, "{version}: this machine is too slow for it");
        scene.delivered("Idle", 1).await;
        assert!(now() >= noon, "{version}: delivered before its hours");
        scene.removed().await;
        scene.stage.stop().await;
    })
    .await;
}

/// A removal that was delivered is muted from noon on: still active in the API, for all we see. Its last delivery
/// counts for `repeat_interval` and `group_interval` and a little more, and then nothing goes until the hours end.
#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_muted_by_local_time_counts_no_longer_than_its_last_delivery() {
    on_both(|version| async move {
        let Some((scene, noon)) = start(version, AFTER_NOON, 8).await else { return };
        scene.stage.watchdog().await;
        scene.stage.fire("Idle", DOWN).await;
        scene.delivered("Idle", 1).await;
        scene.until("noon", || now() >= noon).await;
        scene.refused("Idle", |why| matches!(why, Reason::NotDelivered { .. })).await;
        let told = named(&scene.stage.alertmanager, "Idle").await;
        assert_eq!(told[0]["status"]["state"], "active", "{version}");
        scene.stage.pods(3);
        scene.stage.fire("Need", NEED).await;
        scene.stage.settled(2).await;
        scene.stage.resolve("Need", NEED).await;
        scene.told("Need", false).await;
        scene.stage.pods(1);
        scene.nothing_removed().await;
        scene.stage.stop().await;
    })
    .await;
}
