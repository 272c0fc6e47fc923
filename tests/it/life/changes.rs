//! What changes amid a drain, and what changes about workers, on real servers only but for the machines.

use super::{NOTICE, Story};
use crate::support::chain::{Chain, IDLE};
use bellwether::clock::Clock;
use bellwether::model::{InstanceId, InstanceState};
use bellwether::sim::Call;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a budget is kept under such a notice, at least.
const FORCED: Duration = Duration::from_secs(89);

/// Two workers of two pods each become two of one, and no pod may be away.
async fn blocked(pool: &str) -> Option<Story> {
    let chain = Chain::start_with(false, IDLE, pool).await?;
    let story = Story { chain, begun: Clock::system().now() };
    story.deploy(2, 0).await;
    story.until("a worker", || async { story.runs(2).await }).await;
    story.scale(3).await;
    story.until("another worker", || async { story.runs(3).await }).await;
    assert_eq!(story.chain.launched(), 2);
    story.scale(2).await;
    story.is_blocked().await;
    Some(story)
}

impl Story {
    async fn is_blocked(&self) {
        self.until("a worker to leave whose pod may not", || async {
            self.blocked().await.is_some_and(|by| by.contains("disruption budget"))
        })
        .await;
    }

    async fn is_given_back(&self) {
        self.until("both workers to be there for pods", || async {
            self.all_are_ready(2).await && self.cordoned().await == 0
        })
        .await;
    }

    /// Waits while none of these is left, nor more than one worker beyond two there at a time.
    async fn are_replaced_one_by_one(&self, before: &[String]) {
        self.until("others in their place", || async {
            self.is_served().await;
            let nodes = self.nodes().await;
            let live = self.workers().await.len();
            assert!(live <= 3, "one at a time: {live}");
            nodes.len() == 2 && !nodes.iter().any(|one| before.contains(one)) && self.runs(4).await
        })
        .await;
    }

    /// The provider tells that it takes the one machine that runs, and from when on.
    pub(super) fn is_noticed(&self) -> (InstanceId, Timestamp) {
        let machines = self.chain.world.machines();
        let machine = machines.iter().find(|one| one.state == InstanceState::Running).unwrap();
        self.chain.world.notice(machine.id.as_str(), NOTICE).unwrap();
        (machine.id.clone(), Clock::system().now())
    }

    /// Nodes that take no pod.
    async fn cordoned(&self) -> usize {
        let nodes: Api<Node> = Api::all(self.chain.client());
        let all = nodes.list(&ListParams::default()).await.unwrap().items;
        let closed =
            |node: &&Node| node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
        all.iter().filter(closed).count()
    }

    async fn permits(&self, away: u32) {
        let patch = Patch::Merge(json!({ "spec": { "maxUnavailable": away } }));
        self.budgets().patch("web", &PatchParams::default(), &patch).await.unwrap();
    }

    async fn told_of(&self, code: &str) -> Vec<Value> {
        let history = self.chain.told("history").await;
        history.into_iter().filter(|line| line["reason"]["code"] == code).collect()
    }

    /// Whether the pool's decision gives this reason, first or beside it.
    async fn says(&self, code: &str) -> bool {
        let decisions = self.chain.told("decisions").await;
        decisions.iter().any(|one| {
            let also = one["also"].as_array().into_iter().flatten();
            std::iter::once(&one["reason"]).chain(also).any(|reason| reason["code"] == code)
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_come_amid_an_idle_drain_take_the_worker_back_and_nothing_is_bought() {
    let Some(story) = blocked("").await else { return };
    story.scale(4).await;
    story.until("all pods to run", || async { story.runs(4).await }).await;
    story.is_given_back().await;
    assert_eq!((story.chain.launched(), story.nodes().await.len()), (2, 2));
    assert!(!story.told_of("demand_returned").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_amid_a_drain_gives_the_worker_back_until_it_is_over() {
    let Some(story) = blocked("").await else { return };
    let alertmanager = &story.chain.alertmanager;
    let silence = alertmanager.silence(&[("autoscale", "down")], "a release").await;
    story.is_given_back().await;
    story.until("that it is paused to be told", || async { story.says("paused").await }).await;
    story.permits(1).await;
    alertmanager.expire(&silence).await;
    story
        .until("one worker to be left", || async {
            story.all_are_ready(1).await && story.nodes().await.len() == 1 && story.runs(2).await
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_stands_still_while_alertmanager_does_not_answer_and_goes_on_when_it_does() {
    let Some(story) = blocked("        drain: { timeout: 10s, detach: 1s }\n").await else {
        return;
    };
    story.chain.alertmanager.freeze();
    story.until("it to stand still", || async { story.says("drain_suspended").await }).await;
    story.permits(1).await;
    story.chain.passes(3).await;
    assert!(story.runs(2).await && story.nodes().await.len() == 2, "nothing is evicted meanwhile");
    story.chain.alertmanager.thaw();
    story
        .until("one worker to be left", || async {
            story.all_are_ready(1).await && story.nodes().await.len() == 1 && story.runs(2).await
        })
        .await;
    assert!(story.told_of("drain_timeout").await.is_empty(), "its clock stood still");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_about_a_node_has_its_worker_replaced_and_no_other() {
    let Some(chain) = Chain::start_with(false, "", "").await else { return };
    let story = Story { chain, begun: Clock::system().now() };
    story.deploy(4, 1).await;
    story.until("two workers", || async { story.runs(4).await }).await;
    let before = story.nodes().await;
    let labels = [
        ("alertname", "BadDisk"),
        ("autoscale", "replace"),
        ("cluster", "default"),
        ("pool", "workers"),
        ("node", before[0].as_str()),
    ];
    // It fires since the node is there, and is told as Prometheus does.
    story.chain.alertmanager.fire(&labels).await;
    story
        .until("another in its place", || async {
            story.is_served().await;
            let nodes = story.nodes().await;
            nodes.len() == 2 && !nodes.contains(&before[0]) && story.runs(4).await
        })
        .await;
    assert!(story.nodes().await.contains(&before[1]));
    assert_eq!(story.chain.launched(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_another_template_are_replaced_one_by_one_within_the_budget() {
    let pool = "        replace_drifted: true\n        node: { labels: { tier: old } }\n";
    let Some(chain) = Chain::start_with(false, "", pool).await else { return };
    let story = Story { chain, begun: Clock::system().now() };
    story.deploy(4, 1).await;
    story.until("two workers", || async { story.runs(4).await }).await;
    let before = story.nodes().await;
    story.chain.reconfigure("tier: old", "tier: new");
    story.are_replaced_one_by_one(&before).await;
    assert_eq!(story.chain.launched(), 4);
    story.chain.passes(3).await;
    assert_eq!(story.chain.launched(), 4, "those that came are of the new template");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_too_old_are_replaced_one_by_one_within_the_budget() {
    let pool = "        max_age: 45s\n        join_deadline: 30s\n";
    let Some(chain) = Chain::start_with(false, "", pool).await else { return };
    let story = Story { chain, begun: Clock::system().now() };
    story.deploy(4, 1).await;
    story.until("two workers", || async { story.runs(4).await }).await;
    let before = story.nodes().await;
    story.are_replaced_one_by_one(&before).await;
    assert!(!story.told_of("max_age").await.is_empty());
}

/// A-50, W-65: the machine is taken after two minutes. In the last half of one, pods go whatever their budgets say.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_under_notice_whose_pods_may_not_go_keeps_them_to_the_last_and_is_gone_in_time() {
    let Some(chain) = Chain::start_with(false, "", "").await else { return };
    let story = Story { chain, begun: Clock::system().now() };
    story.deploy(2, 0).await;
    story.until("a worker", || async { story.runs(2).await }).await;
    let before = story.nodes().await.remove(0);
    let (machine, noticed) = story.is_noticed();
    story
        .until("another came, the pods moved there, and the first is gone", || async {
            let nodes = story.nodes().await;
            nodes.len() == 1 && nodes[0] != before && story.runs(2).await
        })
        .await;
    let calls = story.chain.world.calls();
    let is_end =
        |call: &&Call| call.name() == "terminate" && call.instance.as_ref() == Some(&machine);
    let ended = calls.iter().find(is_end).expect("it was ended, not taken").at;
    let passed = Duration::try_from(ended.duration_since(noticed)).unwrap();
    story.told(&format!("its end was asked {passed:.1?} after the notice"));
    assert!(passed > FORCED && passed < NOTICE, "after {passed:?}");
    assert_eq!(story.chain.launched(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_known_again_after_the_store_was_lost_and_nothing_is_bought_or_ended() {
    let Some(chain) = Chain::start_with(false, "", "").await else { return };
    let mut story = Story { chain, begun: Clock::system().now() };
    story.deploy(4, 1).await;
    story.until("two workers", || async { story.runs(4).await }).await;
    let (before, nodes) = (story.workers().await, story.nodes().await);
    story.chain.program.kill();
    story.chain.lose_the_store();
    story.chain.program.restart().await;
    story.until("both to be known", || async { story.all_are_ready(2).await }).await;
    story.chain.passes(3).await;
    let machines = |workers: &[Value]| {
        let mut all: Vec<Value> = workers.iter().map(|one| one["instance"].clone()).collect();
        all.sort_by_key(Value::to_string);
        all
    };
    assert_eq!(machines(&story.workers().await), machines(&before));
    assert_eq!((story.nodes().await, story.chain.launched()), (nodes, 2));
    assert!(!story.told_of("orphan").await.is_empty());
}
