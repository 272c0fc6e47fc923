//! Bellwether is killed after each step of a drain on a real control plane, and what happened is judged by the API
//! server's own record of who asked it for what.

use super::{create, pod};
use crate::support::control_plane::{AUDITED, Setting, is_running, until};
use crate::support::observer::Observer;
use crate::support::yard::Yard;
use bellwether::killpoint::Point;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

/// Behind each effect of a worker's way out.
const STEPS: [Point; 6] = [
    Point::Cordoned,
    Point::Evicted,
    Point::LastEviction,
    Point::TerminateAnswered,
    Point::NodeRemoved,
    Point::OutcomeCommitted,
];

/// What the pool has at first, and never more: one worker is left in the end.
const MAX: usize = STEPS.len() + 1;

/// A pod that something would make again, and that shares a node with none of its kind.
async fn runs(yard: &Yard, name: &str) {
    let mut object = pod(name, "100m");
    object["metadata"]["labels"]["app"] = "web".into();
    object["metadata"]["annotations"] =
        json!({ "cluster-autoscaler.kubernetes.io/safe-to-evict": "true" });
    let term = json!({ "labelSelector": { "matchLabels": { "app": "web" } },
        "topologyKey": "kubernetes.io/hostname" });
    object["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"] =
        json!([{ "weight": 100, "podAffinityTerm": term }]);
    create::<Pod>(&yard.plane.pods().await, object).await;
    until(&yard.plane.pods().await, name, "the pod to run", is_running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_after_any_step_of_a_drain_it_ends_that_worker_and_no_other() {
    let setting = Setting { flags: AUDITED.into(), ..Setting::default() };
    let Some(mut yard) = Yard::start(&setting, "drain: { detach: 0s }").await else { return };
    yard.grow(i32::try_from(MAX).unwrap(), MAX).await;
    for number in 0..MAX {
        runs(&yard, &format!("web-{number}")).await;
    }
    for (ended, point) in STEPS.into_iter().enumerate() {
        yard.program.kill();
        yard.program.restart_once_with(&["--die-at", point.name()]).await;
        yard.wish(-1).await;
        yard.until("the program to die", async || yard.program.has_ended()).await;
        yard.program.restart().await;
        yard.until("one worker less", async || {
            let left = MAX - ended - 1;
            yard.are_ready(left).await && yard.nodes().await.len() == left
        })
        .await;
        assert_eq!(yard.live(), MAX - ended - 1, "killed after {}", point.name());
    }
    yard.passes(2).await;
    let observer = Observer::of(&yard.plane.audit());
    let before = observer.deeds();
    yard.passes(2).await;
    let observer = Observer::of(&yard.plane.audit());
    assert_eq!(observer.deeds(), before, "there is nothing more to do");
    let told = observer.told();
    assert_eq!((told.removed, told.evicted), (STEPS.len(), STEPS.len()), "{told:?}");
    let history = yard.history().await;
    let wrong = observer.judge(MAX, &history);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // And it would have been noticed.
    let audit = yard.plane.audit();
    let unsaid = |what: &str| -> Vec<Value> {
        history.iter().filter(|line| line["what"] != what).cloned().collect()
    };
    let without = |verb, resource| Observer::of(&audit).without(verb, resource);
    for (invariant, wrong) in [
        ("I1", observer.judge(MAX - 1, &history)),
        ("I3", without("patch", "nodes").judge(MAX, &history)),
        ("I3", without("delete", "pods").judge(MAX, &history)),
        ("I5", without("update", "leases").without("patch", "leases").judge(MAX, &history)),
        ("I8", observer.judge(MAX, &unsaid("cordon"))),
        ("I8", observer.judge(MAX, &unsaid("evict"))),
        ("I8", observer.judge(MAX, &unsaid("remove_node"))),
    ] {
        let is_told = wrong.iter().any(|wrong| wrong.starts_with(invariant));
        assert!(is_told, "{invariant}: {wrong:#?}");
    }
}
