//! The real program killed, stopped for longer than its claim, and asked to end, at each named point: what it began is
//! finished once, by itself or by the next start.

mod list;
mod scene;

use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::killpoint::Point;
use bellwether::model::duration;
use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use rustix::process::Signal;
use scene::{Fate, IN_REDIS, Scene, Setting};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

/// Scenes that are played at once: each is two programs.
const SCENES: usize = 4;

/// A scene with one Ready worker, two pods on it, and nothing running.
async fn settled_scene(setting: Setting) -> Option<Scene> {
    let scene = Scene::new(setting).await?;
    let process = scene.start().await;
    scene.pods("web", 2).await;
    scene.settled((1, 0, 1)).await;
    drop(process);
    Some(scene)
}

/// The same with a second worker, and one pod on each.
async fn scene_of_two(setting: Setting) -> Option<Scene> {
    let scene = settled_scene(setting).await?;
    let process = scene.start().await;
    scene.pods("api", 1).await;
    scene.fire("PodsUnschedulable", "up").await;
    scene.settled((2, 0, 2)).await;
    scene.resolve("PodsUnschedulable", "up").await;
    scene.pods("web", 1).await;
    drop(process);
    Some(scene)
}

/// One pod more than there is room for, and its alert.
async fn need_one_more(scene: &Scene) {
    scene.pods("web", 3).await;
    scene.fire("PodsUnschedulable", "up").await;
}

/// Everything that lets one go.
async fn need_one_less(scene: &Scene) {
    scene.fire("Watchdog", "watchdog").await;
    scene.fire("SustainedIdle", "down").await;
}

/// Met by its fate while scaling up by one: in the end exactly one machine more was ever launched.
async fn scaling_up_survives(point: Point, fate: Fate, setting: Setting) {
    let Some(scene) = settled_scene(setting).await else { return };
    let process = scene.start_towards(point, fate).await;
    need_one_more(&scene).await;
    let _process = scene.outlive(process, fate).await;
    scene.settled_for_good((2, 0, 2)).await;
}

/// The same with a launch that nobody answered, so that it is asked again.
async fn asking_again_survives(point: Point, fate: Fate, setting: Setting) {
    let Some(scene) = settled_scene(setting).await else { return };
    let process = scene.start_towards(Point::IntentCommitted, Fate::Killed).await;
    need_one_more(&scene).await;
    let mut process = process;
    assert_eq!(process.ended().await.signal(), Some(9), "{}", process.log());
    let process = scene.start_towards(point, fate).await;
    let _process = scene.outlive(process, fate).await;
    scene.settled_for_good((2, 0, 2)).await;
}

/// Met by its fate while scaling down by one: in the end exactly one machine was ever ended, drained before, and no
/// other node was ever touched.
async fn scaling_down_survives(point: Point, fate: Fate, setting: Setting) {
    let Some(scene) = scene_of_two(setting).await else { return };
    let process = scene.start_towards(point, fate).await;
    need_one_less(&scene).await;
    let _process = scene.outlive(process, fate).await;
    scene.settled_for_good((2, 1, 1)).await;
    let cordoned = scene.calls("cordon").await;
    let nodes: BTreeSet<String> = cordoned.iter().map(|call| call["node"].to_string()).collect();
    assert_eq!(nodes.len(), 1, "one was drained: {cordoned:?}");
    assert_eq!(scene.calls("evict").await.len(), 1, "and its pod was asked to go once");
    scene.everything_runs().await;
}

/// Met by its fate while a drain is taken back: the worker serves again, and nothing was ended.
async fn taking_back_survives(point: Point, fate: Fate, setting: Setting) {
    let Some(scene) = scene_of_two(setting).await else { return };
    let process = scene.start_towards(point, fate).await;
    scene.faults(&json!({ "evictions_blocked": true })).await;
    need_one_less(&scene).await;
    scene.some_worker_is("draining").await;
    need_one_more(&scene).await;
    let _process = scene.outlive(process, fate).await;
    scene.settled_for_good((2, 0, 2)).await;
    scene.everything_runs().await;
}

/// Met by its fate while it claims, or keeps its claim: whoever has it then serves the need once.
async fn claiming_survives(point: Point, fate: Fate, setting: Setting) {
    let Some(scene) = settled_scene(setting).await else { return };
    let process = scene.spawn_towards(point, fate);
    let _process = scene.outlive(process, fate).await;
    wait::until("it to serve", || async { scene.workers().await.is_some() }).await;
    need_one_more(&scene).await;
    scene.settled_for_good((2, 0, 2)).await;
}

/// Met by its fate when it has given its claim back: the next one serves the need once.
async fn giving_back_survives(point: Point, fate: Fate, setting: Setting) {
    let Some(scene) = settled_scene(setting).await else { return };
    let mut process = scene.start_towards(point, fate).await;
    scene.acts().await;
    process.signal(Signal::TERM);
    if matches!(fate, Fate::Stopped) {
        process = scene.outlive(process, fate).await;
    }
    let ended = process.ended().await;
    match fate {
        Fate::Killed => assert_eq!(ended.signal(), Some(9), "{}", process.log()),
        Fate::Stopped => assert_eq!(ended.code(), Some(0), "{}", process.log()),
        // A second signal ends it at once, if it comes before the end.
        Fate::Asked => assert!(ended.code().is_some(), "{}", process.log()),
    }
    drop(process);
    let _process = scene.start().await;
    need_one_more(&scene).await;
    scene.settled_for_good((2, 0, 2)).await;
}

/// The story in which a point is reached. Without a wildcard: a new point does not compile before it has one.
async fn survives(point: Point, fate: Fate, setting: Setting) {
    match point {
        Point::Claimed | Point::LeaseHeld | Point::Renewed => {
            claiming_survives(point, fate, setting).await;
        }
        Point::SignalStored
        | Point::IntentCommitted
        | Point::LaunchAnswered
        | Point::OutcomeCommitted => scaling_up_survives(point, fate, setting).await,
        Point::ReplayAnswered => asking_again_survives(point, fate, setting).await,
        Point::RecordsCommitted
        | Point::Cordoned
        | Point::Evicted
        | Point::LastEviction
        | Point::TerminateAnswered
        | Point::NodeRemoved => scaling_down_survives(point, fate, setting).await,
        Point::Uncordoned => taking_back_survives(point, fate, setting).await,
        Point::LeaseLetGo | Point::Released => giving_back_survives(point, fate, setting).await,
    }
}

/// A claim that ran out meanwhile is not acted under: what was begun is looked at anew.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_longer_than_its_claim_at_any_point_it_acts_once() {
    stream::iter(Point::ALL)
        .for_each_concurrent(SCENES, |at| survives(at, Fate::Stopped, Setting::default()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_at_any_point_it_ends_in_order_and_the_next_acts_once() {
    stream::iter(Point::ALL)
        .for_each_concurrent(SCENES, |at| survives(at, Fate::Asked, Setting::default()))
        .await;
}

/// What was stored before it died is there for the next one, and no more than that.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_with_its_state_in_redis_the_next_acts_once() {
    let killed = |at| survives(at, Fate::Killed, IN_REDIS);
    stream::iter(Point::ALL).for_each_concurrent(SCENES, killed).await;
}

/// The claim ran out in Redis: what it would store is refused there.
#[tokio::test(flavor = "multi_thread")]
async fn stopped_for_longer_than_its_claim_in_redis_at_any_point_it_acts_once() {
    let stopped = |at| survives(at, Fate::Stopped, IN_REDIS);
    stream::iter(Point::ALL).for_each_concurrent(SCENES, stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_it_claimed_the_next_acts_once() {
    survives(Point::Claimed, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_it_has_the_lease_the_next_acts_once() {
    survives(Point::LeaseHeld, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_renewal_the_next_acts_once() {
    survives(Point::Renewed, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_signal_is_stored_it_acts_once() {
    survives(Point::SignalStored, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn w_72_killed_after_an_intent_is_committed_it_launches_once() {
    survives(Point::IntentCommitted, Fate::Killed, Setting::default()).await;
}

/// the instance is found again.
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_launch_is_answered_it_launches_once() {
    survives(Point::LaunchAnswered, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_replay_is_answered_it_launches_once() {
    survives(Point::ReplayAnswered, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_an_outcome_is_committed_it_launches_once() {
    survives(Point::OutcomeCommitted, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_records_are_committed_it_ends_one_worker() {
    survives(Point::RecordsCommitted, Fate::Killed, Setting::default()).await;
}

///
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_cordon_it_ends_one_worker() {
    survives(Point::Cordoned, Fate::Killed, Setting::default()).await;
}

/// the drain is resumed, and nobody is drained instead.
#[tokio::test(flavor = "multi_thread")]
async fn killed_amid_a_drain_it_ends_one_worker() {
    survives(Point::Evicted, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_last_eviction_it_ends_one_worker() {
    survives(Point::LastEviction, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_terminate_is_answered_it_ends_one_worker() {
    survives(Point::TerminateAnswered, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_node_is_removed_it_ends_one_worker() {
    survives(Point::NodeRemoved, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_an_uncordon_it_ends_none() {
    survives(Point::Uncordoned, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_it_let_go_of_the_lease_the_next_acts_once() {
    survives(Point::LeaseLetGo, Fate::Killed, Setting::default()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_it_gave_its_claim_back_the_next_acts_once() {
    survives(Point::Released, Fate::Killed, Setting::default()).await;
}

/// nobody acts before the dead one's claim is over, and then once.
#[tokio::test(flavor = "multi_thread")]
async fn the_holder_of_the_claim_dies_and_the_next_acts_once_when_it_is_over() {
    let setting = Setting { claim_ttl: "6s", ..Setting::default() };
    let Some(scene) = settled_scene(setting).await else { return };
    let mut process = scene.start_towards(Point::SignalStored, Fate::Killed).await;
    scene.acts().await;
    need_one_more(&scene).await;
    assert_eq!(process.ended().await.signal(), Some(9), "{}", process.log());
    let died = Clock::system().now();
    let _process = scene.start().await;
    scene.settled_for_good((2, 0, 2)).await;
    let launches = scene.calls("launch").await;
    let at: Timestamp = launches.last().unwrap()["at"].as_str().unwrap().parse().unwrap();
    // It was renewed each third of its time; a third more is left to a machine that is slow.
    let waited = duration::since(died, at);
    assert!(waited >= Duration::from_secs(2), "after {waited:?}: {launches:?}");
}

/// A-22, the other half: the instance that was found again never joins, and is given up in its time.
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_a_launch_whose_machine_never_joins_it_ends_that_one_machine() {
    let setting = Setting { join_deadline: "3s", ..Setting::default() };
    let Some(scene) = settled_scene(setting).await else { return };
    let mut process = scene.start_towards(Point::LaunchAnswered, Fate::Killed).await;
    scene.faults(&json!({ "never_join": true })).await;
    need_one_more(&scene).await;
    assert_eq!(process.ended().await.signal(), Some(9), "{}", process.log());
    let _process = scene.start().await;
    scene.faults(&json!({})).await;
    scene.settled_for_good((3, 1, 2)).await;
    scene.everything_runs().await;
}

/// F-175, I10: JSON lines with the part of the turn they belong to, and never a token.
#[tokio::test(flavor = "multi_thread")]
async fn log_lines_are_json_with_their_section_and_without_any_secret() {
    let Some(scene) = Scene::new(Setting::default()).await else { return };
    let yaml = std::fs::read_to_string(&scene.config).unwrap();
    std::fs::write(&scene.config, format!("auth: {{ bearer_token: hush-hush-hush-hush }}\n{yaml}"))
        .unwrap();
    let process = scene.start().await;
    for token in ["hush-hush-hush-hush", "wrong-hush-hush-hush"] {
        let url = format!("{}/v1/status", scene.url);
        let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), if token.starts_with("wrong") { 401 } else { 200 });
    }
    let log = scene.config.with_extension("log");
    let sections = || -> BTreeSet<String> {
        let text = std::fs::read_to_string(&log).unwrap();
        let lines = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("{line}")));
        lines.filter_map(|line| Some(line["fields"]["section"].as_str()?.to_owned())).collect()
    };
    wait::until("a start and an act in the log", || async {
        sections().contains("start") && sections().contains("act")
    })
    .await;
    drop(process);
    let text = std::fs::read_to_string(&log).unwrap();
    assert!(!text.contains("hush-hush-hush"), "{text}");
}
