//! What may go wrong at AWS while the whole program runs, and what comes of it: nothing twice, nothing lost, and by itself it goes on.

use super::chain::Story;
use crate::support::aws::{Fault, Lifecycle};
use crate::support::boots::node_of;
use crate::support::wait;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use std::time::Duration;

/// What a pool of these stories may be.
const SHAPES: [&str; 2] = ["t3.small", "t3a.small"];

const TOO_MUCH: Fault = Fault::Refused { status: 503, code: "RequestLimitExceeded" };

impl Story {
    /// Lines of the history that say this of an act or an event.
    async fn lines(&self, what: &str, kind: &str) -> Vec<Value> {
        let mut history = self.told("history").await;
        history.retain(|entry| entry["what"] == what && entry["kind"] == kind);
        history
    }

    /// Codes of all that is said of the pool now: what decided, and what else spoke.
    async fn says(&self, code: &str) -> Vec<Value> {
        // None before the first pass.
        let Some(pool) = self.told("pools").await.pop() else { return Vec::new() };
        let decision = &pool["decision"];
        let also = decision["also"].as_array().unwrap().iter();
        let all = also.chain([&decision["reason"]]).cloned();
        all.filter(|reason| reason["code"] == code).collect()
    }

    /// How often an act was asked for, dry runs left out.
    fn asked(&self, action: &str) -> usize {
        let calls = self.aws.calls();
        calls.iter().filter(|call| call.action == action && !call.is_dry()).count()
    }
}

/// A check of AWS's fails: the worker stays, and its history says so, once, whoever looks.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_is_a_line_in_the_history_of_its_worker_and_ends_nothing() {
    let Some(mut story) = Story::start().await else { return };
    story.create_pod("first").await;
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    let id = story.aws.machines().await.remove(0).id;
    story.aws.impairs(&id, "instance-status");
    // Whoever asked before asks again in a minute only.
    for _ in 0..2 {
        story.program.kill();
        story.aws.forget_calls();
        story.program.restart().await;
        wait::until("the check to be told", || async {
            story.reconcile().await;
            story.asked("DescribeInstanceStatus") > 0
                && !story.says("impaired").await.is_empty()
                && !story.lines("impaired", "seen").await.is_empty()
        })
        .await;
    }
    let (workers, lines) = (story.told("workers").await, story.lines("impaired", "seen").await);
    let what = format!("{id}: AWS's instance-status check fails");
    assert_eq!((lines.len(), &lines[0]["worker"]), (1, &workers[0]["id"]), "{lines:#?}");
    assert_eq!(lines[0]["reason"]["what"], *what);
    assert_eq!(story.instances("running").await, 1);
}

/// W-62, A-22. No spot is to be had, so a second round asks on demand; killed before its answer comes.
#[tokio::test(flavor = "multi_thread")]
async fn killed_amid_the_second_round_of_a_launch_it_goes_on_with_the_machine_that_is_there() {
    let Some(mut story) = Story::start().await else { return };
    story.aws.is_out_of(&SHAPES, Lifecycle::Spot, "InsufficientInstanceCapacity");
    story.aws.in_round(1, Fault::Late(Duration::from_mins(1)));
    story.create_pod("first").await;
    wait::until("the second round to have its effect", || async {
        story.instances("running").await == 1
    })
    .await;
    story.program.kill();
    story.program.restart().await;
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    wait::until("its record to be Ready", || async {
        let workers = story.told("workers").await;
        workers.len() == 1 && workers[0]["state"]["state"] == "ready"
    })
    .await;
    let worker = story.told("workers").await.remove(0);
    assert!(worker["id"].as_str().unwrap().starts_with("workers-"), "not adopted: {worker:#?}");
    assert_eq!(story.aws.machines().await.len(), 1, "and nothing was bought again");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_of_throttling_nothing_is_bought_twice_or_ended_and_then_it_goes_on() {
    let Some(story) = Story::start().await else { return };
    story.create_pod("first").await;
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    let all =
        ["CreateFleet", "DescribeInstances", "DescribeInstanceAttribute", "TerminateInstances"];
    for action in all {
        story.aws.always(action, Some(TOO_MUCH));
    }
    let before = story.lines("launch", "intent").await.len();
    story.aws.forget_calls();
    story.create_pod("second").await;
    wait::until("what is not known to hold the pool", || async {
        story.reconcile().await;
        !story.says("unknown").await.is_empty()
    })
    .await;
    assert_eq!((story.asked("CreateFleet"), story.asked("TerminateInstances")), (0, 0));
    // Looks go through again; launches do not.
    story.aws.always("DescribeInstances", None);
    wait::until("launches to be given up", || async {
        story.reconcile().await;
        story.lines("launch", "failed").await.len() >= 2
    })
    .await;
    for line in story.lines("launch", "failed").await {
        let told = (&line["reason"]["code"], &line["reason"]["detail"]);
        assert_eq!(told, (&json!("launch_failed"), &json!("throttled")), "{line:#?}");
    }
    // Counted before what they came to is looked at.
    let asked = story.asked("CreateFleet");
    let launches = story.lines("launch", "intent").await.len() - before;
    assert!(asked <= 3 * launches, "{asked} times for {launches}: three in each act");
    assert_eq!((story.aws.machines().await.len(), story.instances("running").await), (1, 1));
    for action in all {
        story.aws.always(action, None);
    }
    story.until("the second pod to run", || async { story.bound().await == 2 }).await;
    assert_eq!((story.aws.machines().await.len(), story.instances("running").await), (2, 2));
    assert_eq!(story.asked("TerminateInstances"), 0);
}

/// Refused by AWS's own fault, then done and answered too late.
#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_fails_or_is_answered_too_late_is_asked_again_and_recorded_once() {
    let Some(story) = Story::start().await else { return };
    story.create_pod("first").await;
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    for (status, code) in [(500, "InternalError"), (503, "Unavailable")] {
        story.aws.next_act("TerminateInstances", Fault::Refused { status, code });
    }
    story.aws.next_act("TerminateInstances", Fault::Late(Duration::from_secs(20)));
    story.work_ends("first").await;
    story
        .until("it to be ended and forgotten by the cluster", || async {
            story.instances("terminated").await == 1
                && story.nodes().await == 0
                && !story.lines("finished", "seen").await.is_empty()
        })
        .await;
    let counts = [("terminate", "intent"), ("terminate", "failed"), ("finished", "seen")];
    let mut told = Vec::new();
    for (what, kind) in counts {
        told.push(story.lines(what, kind).await.len());
    }
    assert_eq!(told, [1, 3, 1], "{:#?}", story.told("history").await);
    assert_eq!((story.asked("TerminateInstances"), story.aws.machines().await.len()), (3, 1));
}

/// A budget holds its pod, so it is there for long; then a person protects its machine.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_somebody_protects_amid_its_drain_is_given_back_and_not_asked_for_again() {
    let Some(story) = Story::start().await else { return };
    let leaving = story.drain_that_a_budget_holds().await;
    let words = [("InstanceId", leaving.as_str()), ("DisableApiTermination.Value", "true")];
    story.aws.ask("ModifyInstanceAttribute", &words).await;
    let nodes: Api<Node> = Api::all(story.client.clone());
    let is_open = || async {
        let node = nodes.get(&node_of(&leaving)).await.unwrap();
        node.spec.unwrap().unschedulable.is_none()
    };
    assert!(!is_open().await, "it is on its way out");
    let budgets: Api<PodDisruptionBudget> = Api::default_namespaced(story.client.clone());
    budgets.delete("small", &DeleteParams::default()).await.unwrap();
    story
        .until("its node to be given back", || async {
            is_open().await && !story.lines("protected", "seen").await.is_empty()
        })
        .await;
    let refused = story.lines("terminate", "failed").await;
    let why = refused[0]["detail"].as_str().unwrap();
    assert!(why.contains("OperationNotPermitted"), "AWS's own words: {why}");
    assert_eq!((refused.len(), story.asked("TerminateInstances")), (1, 1));
    story.aws.forget_calls();
    wait::until("it to be looked at again and again", || async {
        story.reconcile().await;
        story.asked("DescribeInstances") >= 10
    })
    .await;
    assert_eq!((story.asked("TerminateInstances"), is_open().await), (0, true));
    assert_eq!((story.instances("running").await, story.nodes().await), (2, 2));
    assert_eq!(story.lines("protected", "seen").await.len(), 1);
    let workers = story.told("workers").await;
    let worker = workers.iter().find(|one| one["instance"] == *leaving).unwrap();
    assert_eq!(worker["state"]["state"], "ready", "{worker:#?}");
}

/// Keys that have expired, then a right that is missing.
#[tokio::test(flavor = "multi_thread")]
async fn without_good_keys_or_a_right_nothing_is_bought_and_aws_s_words_are_shown() {
    let Some(story) = Story::start().await else { return };
    let all = ["CreateFleet", "DescribeInstances", "TerminateInstances"];
    for action in all {
        let expired = Fault::Refused { status: 400, code: "ExpiredToken" };
        story.aws.always(action, Some(expired));
    }
    story.create_pod("first").await;
    wait::until("what is not known to hold the pool, and why to be told", || async {
        story.reconcile().await;
        let is_why = |pool: &Value| {
            pool["decision"]["reason"]["code"] == "unknown"
                && pool["why"].as_str().is_some_and(|why| why.contains("ExpiredToken"))
        };
        story.told("pools").await.iter().any(is_why)
    })
    .await;
    assert_eq!(story.asked("CreateFleet"), 0);
    for action in all {
        story.aws.always(action, None);
    }
    let denied = Fault::Refused { status: 403, code: "UnauthorizedOperation" };
    story.aws.always("CreateFleet", Some(denied));
    wait::until("the refusal to be told, and to hold the next launch", || async {
        story.reconcile().await;
        let failed = story.lines("launch", "failed").await;
        let why = failed.iter().filter_map(|line| line["reason"]["detail"].as_str());
        why.filter(|why| why.contains("UnauthorizedOperation")).count() >= 1
            && !story.says("breaker_open").await.is_empty()
    })
    .await;
    assert_eq!(story.aws.machines().await.len(), 0);
    story.aws.always("CreateFleet", None);
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    assert_eq!(story.aws.machines().await.len(), 1);
}

/// a quota of each market is used up, and raised later.
#[tokio::test(flavor = "multi_thread")]
async fn while_both_markets_are_out_that_is_shown_and_once_they_are_back_it_launches() {
    let Some(story) = Story::start().await else { return };
    story.aws.is_out_of(&SHAPES, Lifecycle::Spot, "MaxSpotInstanceCountExceeded");
    story.aws.is_out_of(&SHAPES, Lifecycle::OnDemand, "VcpuLimitExceeded");
    story.create_pod("first").await;
    // Two shapes in three zones, in two markets.
    wait::until("each offering to be shown as backed off", || async {
        story.says("backed_off").await.len() == 12
    })
    .await;
    let why: Vec<String> =
        story.says("backed_off").await.iter().map(|reason| reason["why"].to_string()).collect();
    for code in ["MaxSpotInstanceCountExceeded", "VcpuLimitExceeded"] {
        assert_eq!(why.iter().filter(|why| why.contains(code)).count(), 6, "{why:#?}");
    }
    let failed = story.lines("launch", "failed").await;
    assert!(failed.iter().any(|line| line["reason"]["code"] == "no_capacity"), "{failed:#?}");
    assert_eq!(story.aws.machines().await.len(), 0);
    story.aws.sells_all();
    story.until("the pod to run", || async { story.bound().await == 1 }).await;
    assert_eq!(story.aws.machines().await.len(), 1);
}
