//! A link between two parts that is cut, late, half open or slow, and a Redis that stands still.

use super::scene::{SHORT, Scene, Setting};
use super::{LONG, now};
use crate::support::proxy::{Link, Proxy};
use crate::support::{redis, wait};
use bellwether::model::duration;
use bellwether::store::Store as _;
use rustix::process::Signal;
use std::time::Duration;

/// One and a half times the limit that the replicas have for a call to Redis.
const TOO_LATE: Link = Link::Late(Duration::from_millis(1_200));

/// The link of the replica that holds the claim fails: what comes to it is to be sent again, and it acts no more; the
/// other does, in time. Mended, it takes deliveries by itself, and acts when it has to.
async fn the_other_acts_while_the_link_to_redis_is(fault: Link) {
    let Some(mut scene) = Scene::start(Setting::default()).await else { return };
    let cut = scene.held().await;
    let other = 1 - cut;
    let failed = now();
    scene.replicas[cut].links.redis.set(fault);
    scene.need(4).await;
    scene.launched_soon_after(2, failed).await;
    scene.replicas[cut].answers(503).await;
    assert!(!scene.replicas[cut].acts().await, "it is cut off, and does not say that it acts");
    scene.only_acts(other).await;
    wait::until("it not to be ready", || async { !scene.replicas[cut].is_ready().await }).await;
    let passes = ["bellwether_passes_total{", "outcome=\"failed\""];
    wait::until("passes that fail", || async { scene.replicas[cut].count(&passes).await > 0 })
        .await;
    scene.settled(2, 0).await;
    let stored = ["bellwether_http_requests_total{", "code=\"200\"", "/v1/alerts"];
    let before = scene.replicas[cut].count(&stored).await;
    scene.replicas[cut].links.redis.set(Link::Well);
    wait::until("Alertmanager to deliver again", || async {
        scene.replicas[cut].count(&stored).await > before
    })
    .await;
    wait::until("it to be ready", || async { scene.replicas[cut].is_ready().await }).await;
    scene.settled_for_good(2, 0).await;
    scene.replicas[other].kill();
    scene.need(6).await;
    scene.settled_for_good(3, 0).await;
    scene.only_acts(cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_cut_off_from_redis_acts_no_more_and_another_does() {
    the_other_acts_while_the_link_to_redis_is(Link::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_redis_answers_too_late_acts_no_more_and_another_does() {
    the_other_acts_while_the_link_to_redis_is(TOO_LATE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_link_to_redis_is_half_open_acts_no_more_and_another_does() {
    the_other_acts_while_the_link_to_redis_is(Link::HalfOpen).await;
}

/// A link on which connecting and a call together take longer than a call may, and each alone does not. Would the
/// connection not be kept, each call would fail, though Redis did it: the claim would be renewed for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_took_most_of_a_calls_time_is_kept_for_the_next() {
    let Some(server) = redis::start(&[]).await else { return };
    let proxy = Proxy::start(server.port).await;
    // There and back three times: twice to connect, once for the call.
    proxy.set(Link::Late(Duration::from_millis(400)));
    let store = redis::store(&format!("url: \"redis://127.0.0.1:{}/0\", timeout: 2s", proxy.port));
    store.now().await.expect_err("the call came too late");
    // A busy machine may need more than one attempt to connect.
    wait::until("a call on a connection that stands", || async { store.now().await.is_ok() }).await;
}

/// A slow link is a link: as long as the answers come in time, it acts as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_link_to_redis_is_slow_goes_on() {
    let Some(scene) = Scene::start(Setting { claim_ttl: LONG, ..Setting::default() }).await else {
        return;
    };
    let holder = scene.held().await;
    scene.replicas[holder].links.redis.set(Link::Slow(4096));
    scene.need(4).await;
    scene.settled_for_good(2, 0).await;
    assert_eq!(scene.acting().await, [holder]);
}

/// Nothing that Alertmanager sends arrives at the holder: what another takes wakes it.
#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_cannot_reach_the_holder_comes_by_another_and_is_done_once() {
    for fault in [Link::HalfOpen, Link::Cut] {
        let setting = Setting { claim_ttl: LONG, ..Setting::default() };
        let Some(scene) = Scene::start(setting).await else { return };
        let holder = scene.held().await;
        scene.replicas[holder].links.webhook.set(fault);
        let stored = ["bellwether_http_requests_total{", "code=\"200\"", "/v1/alerts"];
        let before = scene.replicas[holder].count(&stored).await;
        scene.need(4).await;
        scene.settled_for_good(2, 0).await;
        assert_eq!(scene.acting().await, [holder], "{fault:?}");
        assert_eq!(scene.replicas[holder].count(&stored).await, before, "{fault:?}");
        scene.replicas[holder].links.webhook.set(Link::Well);
        wait::until("Alertmanager to deliver again", || async {
            scene.replicas[holder].count(&stored).await > before
        })
        .await;
        scene.settled_for_good(2, 0).await;
    }
}

/// Who cannot ask whether an alert is silenced removes nothing, whatever is delivered.
async fn removes_nothing_while_the_link_to_alertmanager_is(fault: Link) {
    let Some(scene) = Scene::start(Setting { claim_ttl: LONG, ..Setting::default() }).await else {
        return;
    };
    scene.need(4).await;
    scene.settled(2, 0).await;
    let holder = scene.held().await;
    scene.replicas[holder].links.alertmanager.set(fault);
    scene.need_one_less().await;
    let known = || async {
        let signals = scene.replicas[holder].get("/v1/signals").await.unwrap_or_default();
        signals.to_string().contains("SustainedIdle")
    };
    wait::until("the idle alert to be known", known).await;
    // Each of them waits for Alertmanager's limit.
    scene.replicas[holder].passes(5).await;
    assert!(scene.calls("cordon").is_empty() && scene.calls("terminate").is_empty());
    scene.replicas[holder].links.alertmanager.set(Link::Well);
    scene.settled_for_good(2, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_cannot_ask_alertmanager_removes_nothing_until_it_can() {
    removes_nothing_while_the_link_to_alertmanager_is(Link::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_link_to_alertmanager_is_half_open_removes_nothing_until_it_is_well() {
    removes_nothing_while_the_link_to_alertmanager_is(Link::HalfOpen).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_alertmanager_answers_too_late_removes_nothing_until_it_is_in_time() {
    removes_nothing_while_the_link_to_alertmanager_is(TOO_LATE).await;
}

/// As long as the answers come in time, it acts as ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_link_to_alertmanager_is_slow_goes_on() {
    let Some(scene) = Scene::start(Setting { claim_ttl: LONG, ..Setting::default() }).await else {
        return;
    };
    let holder = scene.held().await;
    scene.replicas[holder].links.alertmanager.set(Link::Slow(4096));
    scene.need(4).await;
    scene.settled(2, 0).await;
    scene.need_one_less().await;
    scene.settled_for_good(2, 1).await;
}

/// For ten lives of the claim, with a need that nobody can take: it comes again, and one of the two serves it.
#[tokio::test(flavor = "multi_thread")]
async fn while_redis_stands_still_nobody_acts_and_afterwards_one_does_once() {
    let Some(scene) = Scene::start(Setting::default()).await else { return };
    scene.redis.primary().signal(Signal::STOP);
    let stopped = now();
    scene.need(4).await;
    for replica in &scene.replicas {
        replica.answers(503).await;
    }
    wait::until("it to last, and both to know that their claim is over", || async {
        duration::since(stopped, now()) > SHORT * 10 && scene.acting().await.is_empty()
    })
    .await;
    assert_eq!(scene.launched(), 1, "nothing can be stored, so nothing is done");
    let went_on = now();
    scene.redis.primary().signal(Signal::CONT);
    scene.launched_soon_after(2, went_on).await;
    scene.settled_for_good(2, 0).await;
    let holder = scene.held().await;
    scene.only_acts(holder).await;
}
