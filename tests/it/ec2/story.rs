//! The whole chain on real servers but for AWS itself: a pod waits, Prometheus says so, Alertmanager posts, instances are launched
//! and boot into a real control plane, pods run; they leave, and an idle worker is emptied and ended. Redis keeps what is known.

use super::chain::Story;
use crate::support::aws::{Fault, Machine};
use crate::support::boots::node_of;
use crate::support::wait;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// That consoles were told, and not why they could not be.
fn are_words(all: &[String]) {
    assert!(!all.iter().any(|words| words.contains("is not known")), "{all:#?}");
}

///
#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_waits_brings_an_instance_and_an_idle_one_is_emptied_and_ended() {
    let Some(story) = Story::start().await else { return };
    story.create_pod("first").await;
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    assert_eq!((story.instances("running").await, story.nodes().await), (1, 1));
    story.create_pod("second").await;
    story.until("the second pod to run", || async { story.bound().await == 2 }).await;
    assert_eq!(story.instances("running").await, 2);
    let workers = story.told("workers").await;
    assert_eq!(workers.len(), 2, "{workers:#?}");
    story.work_ends("first").await;
    story
        .until("one to be emptied, ended and forgotten by the cluster", || async {
            story.instances("terminated").await == 1 && story.nodes().await == 1
        })
        .await;
    assert_eq!((story.instances("running").await, story.bound().await), (1, 1));
    story.work_ends("second").await;
    story
        .until("the last to go", || async {
            story.instances("terminated").await == 2 && story.nodes().await == 0
        })
        .await;
}

/// W-62, A-22.
#[cfg(feature = "killpoints")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_after_the_fleet_was_made_it_goes_on_with_the_machine_that_is_there() {
    let Some(mut story) = Story::start().await else { return };
    story.program.kill();
    story.program.restart_once_with(&["--die-at", "launch_answered"]).await;
    story.hears_the_watchdog().await;
    story.create_pod("first").await;
    wait::until("the program to die after the launch", || async { story.program.has_ended() })
        .await;
    assert_eq!(story.instances("running").await, 1, "the call had its effect");
    story.program.restart().await;
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    let launched = story.aws.machines().await.len();
    assert_eq!(launched, 1, "and nothing was bought again");
    wait::until("its record to be Ready", || async {
        let workers = story.told("workers").await;
        workers.len() == 1 && workers[0]["state"]["state"] == "ready"
    })
    .await;
    let worker = story.told("workers").await.remove(0);
    assert!(worker["id"].as_str().unwrap().starts_with("workers-"), "not adopted: {worker:#?}");
    story.work_ends("first").await;
    story
        .until("it to be emptied, ended and forgotten by the cluster", || async {
            story.instances("terminated").await == 1 && story.nodes().await == 0
        })
        .await;
    assert_eq!(story.aws.machines().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_an_instance_boots_nothing_more_is_launched_for_its_pod() {
    let Some(story) = Story::start().await else { return };
    story.boots.take(Duration::from_secs(3));
    story.create_pod("first").await;
    wait::until("a launch", || async { story.instances("running").await == 1 }).await;
    story.aws.forget_calls();
    story
        .until("the pod to run", || async {
            story.reconcile().await;
            story.bound().await == 1
        })
        .await;
    let calls = story.aws.calls();
    let asked = |action: &str| calls.iter().filter(|call| call.action == action).count();
    assert!(asked("DescribeInstances") > 0, "it looked meanwhile");
    assert_eq!((asked("CreateFleet"), story.aws.machines().await.len()), (0, 1));
}

///
#[tokio::test(flavor = "multi_thread")]
async fn of_two_of_one_launch_one_never_joins_and_only_that_one_is_ended() {
    // Long enough for the other one to be Ready before.
    let Some(story) = Story::start_with("        join_deadline: 30s\n").await else { return };
    story.boots.never_join(1);
    for name in ["first", "second"] {
        story.create_pod(name).await;
    }
    story.until("one pod to run", || async { story.bound().await == 1 }).await;
    let machines = story.aws.machines().await;
    let batches: BTreeSet<_> = machines.iter().map(|one| &one.tags["bellwether:batch"]).collect();
    assert_eq!((machines.len(), batches.len()), (2, 1), "one launch: {machines:#?}");
    let pods = story.pods().list(&ListParams::default()).await.unwrap();
    let served = pods.iter().find_map(|pod| pod.spec.as_ref()?.node_name.clone()).unwrap();
    story
        .until("the other one to be ended, and why to be told", || async {
            let history = story.told("history").await;
            story.instances("terminated").await == 1
                && history.iter().any(|entry| entry["reason"]["code"] == "never_joined")
        })
        .await;
    for Machine { id, state, .. } in story.aws.machines().await {
        assert!(node_of(&id) != served || state == "running", "{id} is {state}");
    }
    assert!(story.bound().await >= 1);
    let history = story.told("history").await;
    assert!(history.iter().all(|entry| entry["reason"]["code"] != "never_ready"), "{history:#?}");
}

///
#[tokio::test(flavor = "multi_thread")]
async fn one_that_never_joins_is_ended_at_its_deadline_and_its_console_is_kept() {
    let Some(story) = Story::start_with("        join_deadline: 3s\n").await else { return };
    story.boots.never_join(1);
    story.create_pod("first").await;
    story.until("it to be ended", || async { story.instances("terminated").await == 1 }).await;
    // What came of a call is told after it was made.
    story
        .until("its end and what its console said last to be told", || async {
            let history = story.told("history").await;
            history.iter().any(|entry| entry["reason"]["code"] == "never_joined")
                && !story.last_words().await.is_empty()
        })
        .await;
    are_words(&story.last_words().await);
}

/// Its network never comes up, say.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_joins_and_is_never_ready_is_ended_at_its_deadline() {
    // Long enough for its node to be seen before.
    let Some(story) = Story::start_with("        join_deadline: 15s\n").await else { return };
    story.boots.never_ready(1);
    story.create_pod("first").await;
    story.until("it to be ended", || async { story.instances("terminated").await == 1 }).await;
    let machines = story.aws.machines().await;
    let ended = machines.iter().find(|machine| machine.state == "terminated").unwrap();
    let (nodes, node): (Api<Node>, _) = (Api::all(story.client.clone()), node_of(&ended.id));
    story
        .until("its end and why to be told, and its node to go", || async {
            let history = story.told("history").await;
            history.iter().any(|entry| entry["reason"]["code"] == "never_ready")
                && !story.last_words().await.is_empty()
                && nodes.get_opt(&node).await.unwrap().is_none()
        })
        .await;
    let history = story.told("history").await;
    assert!(history.iter().all(|entry| entry["reason"]["code"] != "never_joined"), "{history:#?}");
    are_words(&story.last_words().await);
}

/// A person protects an instance: nothing on it is touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_protected_instance_is_not_even_cordoned_and_another_goes_instead() {
    let Some(story) = Story::start().await else { return };
    story.create_pod("first").await;
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    let kept = story.aws.machines().await.remove(0).id;
    let words = [("InstanceId", kept.as_str()), ("DisableApiTermination.Value", "true")];
    story.aws.ask("ModifyInstanceAttribute", &words).await;
    story.create_pod("second").await;
    story.until("the second pod to run", || async { story.bound().await == 2 }).await;
    story.work_ends("first").await;
    story
        .until("the protected one to be found out", || async {
            story.told("history").await.iter().any(|entry| entry["reason"]["code"] == "protected")
        })
        .await;
    story.work_ends("second").await;
    story
        .until("the other one to go", || async {
            story.instances("terminated").await == 1 && story.nodes().await == 1
        })
        .await;
    let nodes: Api<Node> = Api::all(story.client.clone());
    let node = nodes.get(&node_of(&kept)).await.unwrap();
    assert_eq!(node.spec.unwrap().unschedulable, None);
    let workers = story.told("workers").await;
    let worker = &workers.iter().find(|one| one["instance"] == *kept).unwrap()["id"];
    let history = story.told("history").await;
    let is_cordoned = |entry: &Value| {
        entry["what"] == "cordon" && entry["kind"] == "done" && entry["worker"] == *worker
    };
    assert!(!history.iter().any(is_cordoned), "{history:#?}");
}

/// Lists that lack a page, while the nodes of those that are missing say that they live.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_lost_ends_nothing_and_buys_nothing() {
    let Some(story) = Story::start().await else { return };
    for name in ["first", "second"] {
        story.create_pod(name).await;
    }
    story.until("both pods to run", || async { story.bound().await == 2 }).await;
    story.aws.pages_of(1);
    story.aws.always("DescribeInstances", Some(Fault::PageLost));
    story.aws.forget_calls();
    let asked = |action: &'static str| {
        story.aws.calls().iter().filter(|call| call.action == action).count()
    };
    wait::until("ten lists", || async {
        story.reconcile().await;
        asked("DescribeInstances") >= 10
    })
    .await;
    assert_eq!((asked("CreateFleet"), asked("TerminateInstances")), (0, 0));
    assert_eq!((story.instances("running").await, story.nodes().await), (2, 2));
}

/// A budget holds its pod, so it is there for long; then a person ends it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_somebody_ends_amid_its_drain_is_lost_and_nothing_is_bought_for_it() {
    let Some(story) = Story::start().await else { return };
    let leaving = story.drain_that_a_budget_holds().await;
    story.aws.ask("TerminateInstances", &[("InstanceId.1", &leaving)]).await;
    story.until("its node to go", || async { story.nodes().await == 1 }).await;
    let lost = |entry: &Value| entry["reason"]["code"] == "lost";
    assert!(story.told("history").await.iter().any(lost));
    assert_eq!((story.aws.machines().await.len(), story.instances("running").await), (2, 1));
}

/// The SDK would go by AWS's time from the first refusal on; it is kept from that, so that AWS goes on refusing.
#[tokio::test(flavor = "multi_thread")]
async fn while_its_clock_is_wrong_nothing_is_bought_or_ended_and_then_it_goes_on() {
    let variables = ["AWS_DISABLE_CLOCK_SKEW_CORRECTION=true"];
    let Some(story) = Story::start_in(&variables, "").await else { return };
    story.create_pod("first").await;
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    story.aws.clock_is_off(Duration::from_mins(20));
    story.aws.forget_calls();
    story.create_pod("second").await;
    wait::until("the clock to hold what the pod asks for", || async {
        story.reconcile().await;
        let is_held = |pool: &Value| {
            pool["decision"]["reason"]["code"] == "unknown"
                && pool["why"].as_str().is_some_and(|why| why.contains("clock"))
        };
        story.told("pools").await.iter().any(is_held)
    })
    .await;
    let calls = story.aws.calls();
    assert!(calls.iter().all(|call| call.action.starts_with("Describe")), "{calls:#?}");
    assert_eq!((story.instances("running").await, story.nodes().await), (1, 1));
    story.aws.clock_is_off(Duration::ZERO);
    story.until("the second pod to run", || async { story.bound().await == 2 }).await;
    assert_eq!((story.aws.machines().await.len(), story.instances("running").await), (2, 2));
}
