//! Faults of others with locks and with what is remembered (W-30 and on), tried on the loop and its claim.

use super::stage::{ACT, Monitoring, SECOND, TTL, cluster, firing, nobody, stage, told_stage};
use bellwether::cluster::fence::Fence as _;
use bellwether::model::{Ask, Claim, Cordon, EntryKind, Reason, Token, WorkerState};
use bellwether::reconcile::{Outcome, Reconciler};
use bellwether::sim::{Faults, Witness, Workload};
use jiff::Timestamp;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The claim of the first is over, as its process hangs or is dead, and another process has it.
async fn overtaken(stage: &super::stage::Stage) -> Reconciler {
    tokio::time::advance(TTL + SECOND).await;
    let other = stage.other();
    other.claims().step(ACT).await;
    assert!(other.claims().current().is_some());
    other
}

/// Theirs is killed before it writes when it last scaled, and launches again. Ours writes that with the intent, before
/// the call: whoever comes next finds the cooldown running.
#[tokio::test(start_paused = true)]
async fn w_30_a_process_killed_after_a_launch_leaves_its_cooldown_behind() {
    let truth = firing(&["Watchdog", "Busy"]);
    let pool = "min: 0, cooldown: { up: 100h }";
    let stage = told_stage(pool, Duration::ZERO, Monitoring { truth, ..nobody() }).await;
    stage.deliver("Watchdog", Ask::Watchdog).await;
    stage.deliver("Busy", Ask::Up { step: Some(1), want_query: None }).await;
    // The call had its effect, and nobody lived to see the answer.
    stage.world.set_faults(Faults { lose_launch_reply: true, ..Faults::default() });
    stage.pass().await;
    stage.world.set_faults(Faults::default());
    let other = overtaken(&stage).await;
    stage.deliver("Watchdog", Ask::Watchdog).await;
    stage.deliver("Busy", Ask::Up { step: Some(1), want_query: None }).await;
    for _ in 0..20 {
        tokio::time::advance(SECOND * 10).await;
        other.pass().await;
    }
    let memory = stage.memory().await;
    assert!(memory.workers.values().all(|worker| worker.state == WorkerState::Ready));
    assert_eq!(stage.world.machines().len(), 1);
}

/// The process that found it out dies before its first pass: the store wrote it down with the token.
#[tokio::test(start_paused = true)]
async fn that_the_store_is_behind_the_lease_is_known_to_whoever_comes_next() {
    let stage = stage("min: 1", Duration::ZERO).await;
    stage.reconciler.claims().release().await;
    let (holder, expires) = ("forgotten".to_owned(), Timestamp::UNIX_EPOCH);
    let forgotten = Claim { cluster: cluster(), holder, token: Token(9), expires };
    let witness = Witness::new(stage.world.clone());
    witness.hold(&forgotten, SECOND).await.unwrap();
    witness.let_go(&forgotten).await.unwrap();
    stage.reconciler.claims().step(ACT).await;
    assert_eq!(stage.reconciler.claims().leased().unwrap().token, Token(10));
    let other = overtaken(&stage).await;
    assert_eq!(other.pass().await.0, Outcome::Quiet);
    assert!(stage.world.machines().is_empty());
    let history = stage.history().await;
    let held = history.last().unwrap().reason.clone();
    assert!(matches!(held, Some(Reason::StoreForgot { .. })), "{history:#?}");
    assert!(stage.memory().await.cluster.store_forgot.is_some());
    tokio::time::advance(SECOND * 30).await;
    assert_eq!(other.pass().await.0, Outcome::Changed);
    assert_eq!(stage.world.machines().len(), 1, "no call can be under way any more");
}

/// Theirs frees the lock whoever has it, or fails as it frees its own too late. Ours gives nothing back that is not its
/// own, and goes on without it.
#[tokio::test(start_paused = true)]
async fn w_31_w_37_giving_back_a_claim_that_is_over_frees_nobody_elses() {
    let stage = stage("min: 1", Duration::ZERO).await;
    let other = overtaken(&stage).await;
    stage.reconciler.claims().release().await;
    stage.reconciler.claims().step(ACT).await;
    assert!(stage.reconciler.claims().current().is_none(), "it was not freed");
    assert_eq!(stage.pass().await, Outcome::Standby);
    assert!(stage.world.machines().is_empty());
    assert_eq!(other.pass().await.0, Outcome::Changed, "the other still has it");
    assert_eq!(stage.world.machines().len(), 1);
}

/// Theirs looks whether there is a lock and then sets one, so that both may have it.
#[tokio::test(start_paused = true)]
async fn w_32_w_33_of_two_processes_at_once_one_acts() {
    let stage = stage("min: 1", Duration::ZERO).await;
    stage.reconciler.claims().release().await;
    let other = stage.other();
    let (ours, theirs) = (stage.reconciler.claims(), other.claims());
    tokio::join!(ours.step(ACT), theirs.step(ACT));
    assert!(ours.current().is_some() != theirs.current().is_some());
    let (one, two) = tokio::join!(stage.reconciler.pass(), other.pass());
    assert!([one.0, two.0].contains(&Outcome::Standby));
    assert_eq!(stage.world.machines().len(), 1);
}

/// To theirs a store that is away is a lock that nobody has, and no cooldown. Ours does nothing without it.
#[tokio::test(start_paused = true)]
async fn w_34_without_its_store_it_refuses_to_act() {
    let stage = stage("min: 1", Duration::ZERO).await;
    stage.line.cut.store(true, Ordering::SeqCst);
    for _ in 0..5 {
        tokio::time::advance(SECOND).await;
        assert_eq!(stage.pass().await, Outcome::Failed);
    }
    assert!(stage.world.calls().is_empty(), "{:?}", stage.world.calls());
    stage.line.cut.store(false, Ordering::SeqCst);
    stage.settle(SECOND * 10).await;
    assert_eq!(stage.world.machines().len(), 1);
}

/// Theirs drains for as long as its lock lasts, and is then one of two that drain. Ours does one step in a pass;
/// whoever has the claim by then does the next.
#[tokio::test(start_paused = true)]
async fn w_35_a_drain_that_outlasts_its_claim_is_finished_by_the_next() {
    let stage = stage("min: 0, min_age: 0s", Duration::ZERO).await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.wish(-1).await;
    let is_cordoned = || stage.world.calls().iter().any(|call| call.name() == "cordon");
    while !is_cordoned() {
        tokio::time::advance(SECOND).await;
        assert_eq!(stage.pass().await, Outcome::Changed);
    }
    tokio::time::advance(TTL + SECOND).await;
    let before = stage.world.calls().len();
    assert_eq!(stage.pass().await, Outcome::Standby);
    assert_eq!(stage.world.calls().len(), before, "nothing without the claim");
    let other = stage.other();
    other.claims().step(ACT).await;
    for _ in 0..20 {
        tokio::time::advance(SECOND).await;
        other.pass().await;
    }
    let calls = stage.world.calls();
    let times = |name: &str| calls.iter().filter(|call| call.name() == name).count();
    let uncordoned = times("uncordon");
    // The drain's own time is over by then: it is given back, or ended, and never both.
    assert_eq!((times("launch"), uncordoned + times("terminate")), (1, 1), "{calls:#?}");
}

/// A-24's other half. Theirs renews by looking and then writing, with no token: one that slept goes on beside the next.
#[tokio::test(start_paused = true)]
async fn w_39_who_slept_through_its_claim_neither_renews_nor_acts() {
    let stage = stage("min: 1", Duration::ZERO).await;
    let other = overtaken(&stage).await;
    stage.reconciler.claims().step(ACT).await;
    assert!(stage.reconciler.claims().current().is_none());
    assert_eq!(stage.pass().await, Outcome::Standby);
    assert!(stage.world.calls().is_empty());
    assert_eq!(other.pass().await.0, Outcome::Changed);
}

/// Theirs leaves the node cordoned and a mark that blocks all scaling for a quarter of an hour.
#[tokio::test(start_paused = true)]
async fn w_36_a_drain_that_fails_is_taken_back_and_blocks_no_growing() {
    let pool = "min: 1, min_age: 0s, drain: { timeout: 60s }";
    let stage = stage(pool, Duration::ZERO).await;
    stage.settle(SECOND * 10).await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.world.set_workload(Workload::deployment("web", 4, 100, 64 << 20)).unwrap();
    tokio::time::advance(SECOND * 10).await;
    stage.world.set_faults(Faults { evictions_blocked: true, ..Faults::default() });
    stage.wish(-1).await;
    stage.settle(SECOND * 10).await;
    let memory = stage.memory().await;
    assert!(memory.workers.values().all(|worker| worker.state == WorkerState::Ready));
    assert!(stage.world.view().nodes.iter().all(|node| node.cordon == Cordon::None));
    let calls = stage.world.calls();
    let times = |name: &str| calls.iter().filter(|call| call.name() == name).count();
    assert_eq!((times("cordon"), times("uncordon"), times("terminate")), (1, 1, 0));
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    assert_eq!(stage.world.machines().len(), 3);
    let history = stage.history().await;
    assert!(history.iter().any(|line| line.kind != EntryKind::Held && line.what == "uncordon"));
}
