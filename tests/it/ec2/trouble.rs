//! What may go wrong at AWS while the whole program runs, and what comes of it: nothing twice, nothing lost, and by itself it goes on.

use super::chain::Story;
use crate::support::wait;
use serde_json::Value;

impl Story {
    /// Lines of the history that say this of an act or an event.
    async fn lines(&self, what: &str, kind: &str) -> Vec<Value> {
        let mut history = self.told("history").await;
        history.retain(|entry| entry["what"] == what && entry["kind"] == kind);
        history
    }

    /// Codes of all that is said of the pool now: what decided, and what else spoke.
    async fn says(&self, code: &str) -> Vec<Value> {
        let pools = self.told("pools").await;
        let decision = &pools[0]["decision"];
        let also = decision["also"].as_array().unwrap().iter();
        let all = also.chain([&decision["reason"]]).cloned();
        all.filter(|reason| reason["code"] == code).collect()
    }

    /// How often an act was asked for.
    fn asked(&self, action: &str) -> usize {
        let calls = self.aws.calls();
        calls.iter().filter(|call| call.action == action).count()
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
        story.program.restart().await;
        story.aws.forget_calls();
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
