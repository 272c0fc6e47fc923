//! A Redis that is started again, that lost the last of what it answered, or in whose place another one comes.

use super::scene::{Scene, Setting, Stores};
use crate::support::wait;

/// Writes to its disk before it answers.
const ALWAYS: Stores = Stores::Shared(&["--appendonly", "yes", "--appendfsync", "always"]);

/// Writes to its disk each second.
const EVERY_SECOND: Stores = Stores::Shared(&["--appendonly", "yes", "--appendfsync", "everysec"]);

async fn scene_on(stores: Stores) -> Option<Scene> {
    Scene::start(Setting { stores, ..Setting::default() }).await
}

/// Serves one need more, and both replicas are well.
async fn goes_on(scene: &Scene, launched: usize, ended: usize) {
    let pods = 2 * (launched - ended + 1);
    scene.need(u32::try_from(pods).unwrap()).await;
    scene.settled_for_good(launched + 1, ended).await;
    for replica in &scene.replicas {
        replica.answers(200).await;
    }
}

async fn wait_for_a_launch_and_its_record(scene: &Scene) {
    wait::until("a launch and its record", || async {
        scene.launched() == 2 && Scene::recorded(scene.redis.primary()) == 2
    })
    .await;
}

/// Waits until it is noted that the store may have forgotten: launches and removals wait from then on.
async fn it_may_have_forgotten(scene: &Scene) {
    wait::until("it to be noted that the store may have forgotten", || async {
        let redis = scene.redis.primary();
        let kept: Option<String> = redis.ask(&["GET", "{bw:default}:cluster"]);
        kept.is_some_and(|kept| {
            kept.contains("store_forgot") && !kept.contains("\"store_forgot\":null")
        })
    })
    .await;
}

/// Redis' machine loses its power, and only so much of the log of writes was on its disk.
async fn lose_behind(scene: &mut Scene, written: u64) {
    let redis = scene.redis.shared();
    redis.kill();
    assert!(redis.written() > written);
    redis.forget_behind(written);
    redis.restart().await;
    it_may_have_forgotten(scene).await;
}

/// Killed amid a launch, with all that it answered on its disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_started_again_amid_a_launch_launches_once() {
    let Some(mut scene) = scene_on(ALWAYS).await else { return };
    scene.need(4).await;
    wait::until("the launch", || async { scene.launched() == 2 }).await;
    scene.redis.shared().kill();
    for replica in &scene.replicas {
        replica.answers(503).await;
    }
    scene.redis.shared().restart().await;
    it_may_have_forgotten(&scene).await;
    scene.settled_for_good(2, 0).await;
    goes_on(&scene, 2, 0).await;
}

/// Its machine lost its power after the launch, and neither the alert nor the intent nor the worker were on its disk.
/// The machine is there and says whose it is; the alert comes again.
#[tokio::test(flavor = "multi_thread")]
async fn what_redis_lost_of_its_last_second_is_not_launched_again() {
    let Some(mut scene) = scene_on(EVERY_SECOND).await else { return };
    let written = scene.redis.primary().written();
    scene.need(4).await;
    wait_for_a_launch_and_its_record(&scene).await;
    lose_behind(&mut scene, written).await;
    scene.settled_for_good(2, 0).await;
    goes_on(&scene, 2, 0).await;
}

/// The same with a drain, whose node says that we began it.
#[tokio::test(flavor = "multi_thread")]
async fn a_drain_that_redis_lost_is_not_begun_on_a_second_worker() {
    let Some(mut scene) = scene_on(EVERY_SECOND).await else { return };
    scene.need(4).await;
    scene.settled(2, 0).await;
    let written = scene.redis.primary().written();
    scene.need_one_less().await;
    wait::until("a cordon", || async { !scene.calls("cordon").is_empty() }).await;
    lose_behind(&mut scene, written).await;
    scene.settled_for_good(2, 1).await;
    goes_on(&scene, 2, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fail_over_by_sentinel_amid_a_launch_launches_once() {
    let Some(mut scene) = scene_on(Stores::Watched).await else { return };
    scene.need(4).await;
    wait::until("the launch", || async { scene.launched() == 2 }).await;
    scene.redis.watched().fail_over().await;
    it_may_have_forgotten(&scene).await;
    scene.settled_for_good(2, 0).await;
    goes_on(&scene, 2, 0).await;
}

/// What takes over never heard of the launch, nor of who has the claim.
#[tokio::test(flavor = "multi_thread")]
async fn a_fail_over_to_a_standby_that_lagged_launches_nothing_again() {
    let Some(mut scene) = scene_on(Stores::Watched).await else { return };
    scene.redis.watched().lag();
    scene.need(4).await;
    wait_for_a_launch_and_its_record(&scene).await;
    assert_eq!(Scene::recorded(&scene.redis.watched().standby), 1, "it lags");
    scene.redis.watched().fail_over().await;
    it_may_have_forgotten(&scene).await;
    scene.settled_for_good(2, 0).await;
    goes_on(&scene, 2, 0).await;
}
