//! One pass at a time, on a simulated world: what it does, stores, tells and counts.

mod held;
mod late;
mod pitfalls;
mod replays;
mod stage;
mod turns;

use bellwether::model::{
    Ask, ClusterMemory, Cordon, EntryKind, Failure, Market, Memory, Reason, Want, WorkerState,
};
use bellwether::reconcile::{Outcome, Terms};
use bellwether::sim::{Faults, Workload};
use stage::{Monitoring, SECOND, Stage, cluster, config, firing, nobody, stage, told_stage};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test(start_paused = true)]
async fn why_a_pool_holds_is_told_once_and_not_in_every_pass() {
    let stage = stage("min: 0", Duration::ZERO).await;
    for _ in 0..3 {
        assert_eq!(stage.pass().await, Outcome::Quiet);
    }
    let history = stage.history().await;
    let [held] = &history[..] else { panic!("{history:#?}") };
    assert_eq!((held.kind, held.what.as_str()), (EntryKind::Held, "hold"));
    assert_eq!((&held.pool, &held.reason), (&Some("workers".into()), &Some(Reason::NothingAsked)));
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_is_told_once_and_calls_nothing() {
    let stage = stage("min: 2, mode: dry_run", Duration::ZERO).await;
    for _ in 0..3 {
        assert_eq!(stage.pass().await, Outcome::Quiet);
    }
    assert_eq!(stage.told().await, ["DryRun launch"]);
    assert!(stage.history().await[0].detail.starts_with("0 → 2 workers; "));
    assert!(stage.world.machines().is_empty() && stage.memory().await.workers.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_pass_learns_of_the_cluster_is_stored() {
    let stage = stage("min: 0", Duration::ZERO).await;
    let before = stage.memory().await;
    assert_eq!(before.cluster, ClusterMemory::default());
    stage.pass().await;
    let learned = stage.memory().await.cluster;
    assert!(learned.uid.is_some(), "whose it is");
    assert_eq!(learned.store_life, before.life, "and in which life of the store it was written");
}

#[tokio::test(start_paused = true)]
async fn a_launch_is_made_in_its_own_pass_and_told_before_and_after() {
    let stage = stage("min: 2", Duration::ZERO).await;
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert_eq!(stage.world.machines().len(), 2);
    assert_eq!(stage.told().await, ["Intent launch", "Done launch", "Done launch"]);
    let memory = stage.memory().await;
    assert!(memory.intents.is_empty(), "it is settled");
    assert!(memory.workers.values().all(|worker| worker.state == WorkerState::Booting));
    let history = stage.history().await;
    let done = &history[1..];
    for (worker, line) in memory.workers.values().zip(done) {
        assert_eq!(
            (&line.worker, &line.reason),
            (&Some(worker.id.clone()), &Some(Reason::Launched))
        );
        assert_eq!(
            (&line.pool, Some(line.detail.as_str())),
            (
                &Some("workers".into()),
                worker.batch.as_ref().map(bellwether::model::BatchId::as_str)
            )
        );
    }
    assert_eq!(stage.acts("launch", "ok"), 2);
    assert_eq!(stage.pass().await, Outcome::Busy, "both are on their way");
    tokio::time::advance(SECOND * 120).await;
    assert_eq!(stage.pass().await, Outcome::Changed, "both have joined");
    assert_eq!(stage.settle(SECOND * 10).await, Outcome::Quiet, "both are Ready");
}

#[tokio::test(start_paused = true)]
async fn a_worker_s_life_is_told_step_by_step_each_once() {
    let stage = stage("min: 0, min_age: 0s", Duration::ZERO).await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.wish(-1).await;
    stage.settle(SECOND * 10).await;
    assert!(stage.world.machines().iter().all(|machine| !machine.is_live()));
    let told = stage.told().await;
    for line in ["Intent launch", "Done launch", "Intent drain", "Intent cordon", "Done cordon"] {
        assert_eq!(told.iter().filter(|other| *other == line).count(), 1, "{line}: {told:#?}");
    }
    for line in ["Intent terminate", "Done terminate", "Intent remove_node", "Done remove_node"] {
        assert_eq!(told.iter().filter(|other| *other == line).count(), 1, "{line}: {told:#?}");
    }
    assert!(!told.iter().any(|line| line.starts_with("DryRun")));
    for line in stage.history().await.iter().filter(|line| line.what != "hold") {
        assert!(line.pool.is_some() && line.reason.is_some(), "{line:?}");
        let is_of_pool =
            line.kind == EntryKind::Intent && ["launch", "drain"].contains(&&*line.what);
        assert_eq!(
            (line.worker.is_none(), !line.signals.is_empty()),
            (is_of_pool, is_of_pool),
            "{line:?}"
        );
    }
    tokio::time::advance(SECOND * 7_200).await;
    stage.pass().await;
    assert!(stage.memory().await.workers.is_empty(), "two hours later nobody asks for it");
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_was_refused_is_told_of_every_worker_and_settled() {
    let stage = stage("min: 2", Duration::ZERO).await;
    stage.world.set_faults(Faults { launch_errors: true, ..Faults::default() });
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert_eq!(stage.told().await, ["Intent launch", "Failed launch", "Failed launch"]);
    let history = stage.history().await;
    let why = history.iter().rfind(|entry| entry.kind == EntryKind::Failed).unwrap();
    let why = why.reason.as_ref().unwrap();
    assert_eq!((why.code(), why.to_string().contains("simulated")), ("launch_failed", true));
    let memory = stage.memory().await;
    assert!(memory.intents.is_empty());
    let failed = WorkerState::Failed { failure: Failure::NotLaunched };
    assert!(memory.workers.len() == 2 && memory.workers.values().all(|w| w.state == failed));
}

#[tokio::test(start_paused = true)]
async fn where_nothing_can_be_had_that_is_what_is_told() {
    let stage = stage("min: 1", Duration::ZERO).await;
    stage.world.set_faults(Faults { no_capacity: true, ..Faults::default() });
    stage.pass().await;
    let history = stage.history().await;
    let told = history.iter().filter_map(|entry| entry.reason.as_ref());
    assert!(told.map(Reason::code).any(|code| code == "no_capacity"), "{history:#?}");
}

/// A zone has no machine, and the other has one in the same call. For a while nothing is bought there in the way that was
/// refused, though it would be its turn and could be had again.
#[tokio::test(start_paused = true)]
async fn an_offering_without_capacity_is_left_out_for_a_while() {
    let stage = stage("min: 1", Duration::ZERO).await;
    let dry = Faults { no_capacity_for: ["a".to_owned()].into(), ..Faults::default() };
    stage.world.set_faults(dry);
    stage.pass().await;
    let had = |stage: &Stage| {
        let machines = stage.world.machines();
        let last = machines.last().unwrap();
        (machines.len(), last.zone.to_string(), last.market)
    };
    assert_eq!(had(&stage), (1, "b".to_owned(), Market::OnDemand));
    let short = &stage.memory().await.pools[&"workers".into()].back_offs;
    assert_eq!(short.len(), 1);
    assert!(short[0].why.contains("no capacity"), "{}", short[0].why);
    stage.world.set_faults(Faults::default());
    stage.settle(SECOND * 10).await;
    assert_eq!(gauge(&stage), 1);
    stage.wish(1).await;
    stage.pass().await;
    assert_eq!(had(&stage), (2, "a".to_owned(), Market::Spot), "the other way it is sold there");
    stage.settle(SECOND * 10).await;
    tokio::time::advance(SECOND * 180).await;
    stage.wish(2).await;
    stage.pass().await;
    assert_eq!(had(&stage).0, 4);
    let bought: Vec<_> = stage
        .world
        .machines()
        .into_iter()
        .skip(2)
        .map(|it| (it.zone.to_string(), it.market))
        .collect();
    assert!(bought.contains(&("a".to_owned(), Market::OnDemand)), "{bought:?}");
    assert_eq!(gauge(&stage), 0);
}

/// Boot scripts print the token that they join with.
#[tokio::test(start_paused = true)]
async fn what_a_machine_wrote_that_did_not_join_is_kept_without_its_secrets() {
    let stage = stage("min: 1, join_deadline: 2m", Duration::ZERO).await;
    stage.world.set_faults(Faults { never_join: true, ..Faults::default() });
    stage.pass().await;
    tokio::time::advance(SECOND * 121).await;
    stage.settle(SECOND * 10).await;
    let memory = stage.memory().await;
    let given_up = memory.workers.values().find_map(|worker| worker.last_words.as_deref());
    let [token, start, why] = given_up.unwrap().lines().collect::<Vec<_>>()[..] else {
        panic!("{given_up:?}")
    };
    assert_eq!((token, &start[..18]), ("K3S_TOKEN=***", "starting k3s agent"));
    assert_eq!(why, "fatal: token CA hash does not match the Cluster CA certificate hash");
    let history = stage.history().await;
    let ended =
        history.iter().find(|line| line.what == "terminate" && line.kind == EntryKind::Done);
    assert!(ended.unwrap().detail.ends_with(why), "{ended:#?}");
    assert!(!serde_json::to_string(&(history, memory)).unwrap().contains("simulated-token"));
    let failed = &stage.metrics.pass.failed;
    assert_eq!(failed.with_label_values(&["default", "workers", "never_joined"]).get(), 1);
}

/// How many offerings of the pool are told to be backed off.
fn gauge(stage: &Stage) -> i64 {
    stage.metrics.seen.backed_off.with_label_values(&["default", "workers"]).get()
}

#[tokio::test(start_paused = true)]
async fn a_launch_whose_answer_is_lost_stays_open_and_its_machines_are_found() {
    let stage = stage("min: 2", Duration::ZERO).await;
    stage.world.set_faults(Faults { lose_launch_reply: true, ..Faults::default() });
    stage.pass().await;
    assert_eq!(stage.told().await, ["Intent launch", "Failed launch"]);
    let memory = stage.memory().await;
    assert_eq!(
        (memory.intents.len(), memory.workers.len()),
        (1, 2),
        "all that is asked for is stored"
    );
    stage.settle(SECOND * 10).await;
    assert_eq!(stage.world.machines().len(), 2);
    assert!(stage.memory().await.intents.is_empty());
}

#[tokio::test(start_paused = true)]
async fn beyond_two_seconds_between_the_clocks_nothing_is_done() {
    for (ahead, acts) in [(2_000, true), (2_001, false), (10_000, false)] {
        let stage = stage("min: 1", Duration::from_millis(ahead)).await;
        let expected = if acts { Outcome::Changed } else { Outcome::Failed };
        assert_eq!(stage.pass().await, expected, "{ahead} ms");
        assert_eq!(stage.world.machines().len(), usize::from(acts), "{ahead} ms");
        let seconds = if acts { 1_800_000_000.0 } else { 0.0 };
        assert!((stage.last_success() - seconds).abs() < 0.001, "{ahead} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_claim_a_pass_looks_and_does_nothing() {
    let stage = stage("min: 1", Duration::ZERO).await;
    assert!(stage.reconciler.handle().report().is_none());
    stage.reconciler.claims().release().await;
    assert_eq!(stage.pass().await, Outcome::Standby);
    assert!(stage.world.machines().is_empty() && stage.told().await.is_empty());
    assert!(stage.reconciler.handle().report().is_some(), "what it saw can be read");
}

#[tokio::test(start_paused = true)]
async fn need_that_settles_is_looked_at_again_as_soon_as_it_has() {
    let stage = stage("min: 0, settle: 50ms", Duration::ZERO).await;
    stage.world.set_workload(Workload::deployment("web", 1, 500, 64 << 20)).unwrap();
    tokio::time::advance(SECOND * 10).await;
    let (_, due) = stage.reconciler.pass().await;
    assert_eq!(due, Duration::from_millis(50));
    tokio::time::advance(due).await;
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert_eq!(stage.world.machines().len(), 1);
}

/// Found by the simulation: a process whose clock was off passed twenty times a second, as long as pods waited.
#[tokio::test(start_paused = true)]
async fn who_may_not_act_waits_for_no_need_to_settle() {
    let pending = |stage: &Stage| {
        stage.world.set_workload(Workload::deployment("web", 1, 500, 64 << 20)).unwrap();
    };
    let astray = stage("min: 0, settle: 50ms", SECOND * 3).await;
    let standby = stage("min: 0, settle: 50ms", Duration::ZERO).await;
    standby.reconciler.claims().release().await;
    for (stage, expected) in [(astray, Outcome::Failed), (standby, Outcome::Standby)] {
        pending(&stage);
        tokio::time::advance(SECOND * 10).await;
        let (outcome, due) = stage.reconciler.pass().await;
        assert_eq!((outcome, due), (expected, SECOND * 30));
    }
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_brings_the_next_pass_at_once() {
    let stage = stage("min: 0", Duration::ZERO).await;
    let (stop, handle) = (CancellationToken::new(), stage.reconciler.handle());
    let wakes = async {
        for _ in 0..5 {
            tokio::time::sleep(SECOND).await;
            handle.wake();
        }
        tokio::time::sleep(SECOND).await;
        stop.cancel();
    };
    tokio::join!(stage.reconciler.run(stop.clone()), wakes);
    let passes = stage.metrics.pass.total.with_label_values(&["default", "quiet"]).get();
    // The first, one after the claim was gained, and those that were woken, within a period of 30 s.
    assert!((6..=7).contains(&passes), "{passes}");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_removes_nothing_though_it_says_what_it_would() {
    let stage = stage("min: 0", Duration::ZERO).await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.file.send_replace(Arc::new(config("min: 0, min_age: 0s, mode: dry_run")));
    stage.wish(-1).await;
    for _ in 0..3 {
        stage.pass().await;
    }
    assert_eq!(stage.told().await.iter().filter(|line| *line == "DryRun drain").count(), 1);
    assert!(stage.world.view().nodes.iter().all(|node| node.cordon == Cordon::None));
    assert!(stage.world.machines()[0].is_live());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_wholly_in_dry_run_says_what_it_would_do_without_the_lease() {
    let stage = stage("min: 2, mode: dry_run", Duration::ZERO).await;
    stage.reconciler.claims().release().await;
    stage.keep().await;
    assert_eq!(stage.pass().await, Outcome::Quiet);
    assert_eq!(stage.told().await, ["DryRun launch"]);
    assert!(!stage.reconciler.handle().may_act());
}

#[tokio::test(start_paused = true)]
async fn from_dry_run_to_act_nothing_is_done_before_the_lease_is_taken() {
    let stage = stage("min: 2, mode: dry_run", Duration::ZERO).await;
    stage.reconciler.claims().release().await;
    stage.keep().await;
    stage.pass().await;
    stage.file.send_replace(Arc::new(config("min: 2")));
    assert_eq!(stage.pass().await, Outcome::Standby);
    assert_eq!(stage.told().await, ["DryRun launch"], "nor is it begun");
    assert!(stage.world.machines().is_empty() && !stage.reconciler.handle().may_act());
    stage.keep().await;
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert!(stage.world.machines().len() == 2 && stage.reconciler.handle().may_act());
}

/// The keeper is told by the pass, and the loop by the keeper: neither waits for its time.
#[tokio::test(start_paused = true)]
async fn from_dry_run_to_act_the_lease_is_asked_for_at_once() {
    let stage = stage("min: 2, mode: dry_run", Duration::ZERO).await;
    stage.reconciler.claims().release().await;
    let (stop, claims) = (CancellationToken::new(), stage.reconciler.claims());
    let terms = || Terms { ttl: SECOND * 600, ..Terms::of(&stage.file.borrow(), &cluster()) };
    let edits = async {
        tokio::time::sleep(SECOND).await;
        stage.file.send_replace(Arc::new(config("min: 2")));
        tokio::time::sleep(SECOND).await;
        stop.cancel();
    };
    tokio::join!(claims.keep(terms, stop.clone()), stage.reconciler.run(stop.clone()), edits);
    assert_eq!(stage.world.machines().len(), 2);
}

/// The pass looks, then the silence is set, then it asks once more.
#[tokio::test(start_paused = true)]
async fn a_launch_that_is_paused_right_before_its_call_is_as_if_it_had_not_been_planned() {
    let silenced = Monitoring { silent_from: 2, ..nobody() };
    let stage = told_stage("min: 1", Duration::ZERO, silenced).await;
    assert_eq!(stage.pass().await, Outcome::Busy, "it is not tried again at once");
    assert_eq!(stage.told().await, ["Intent launch", "Refused launch"]);
    assert!(stage.world.machines().is_empty());
    let memory = stage.memory().await;
    let refused = WorkerState::Failed { failure: Failure::Refused };
    assert!(memory.workers.values().all(|worker| worker.state == refused));
    assert!(memory.intents.is_empty() && memory.pools[&"workers".into()].launches.is_empty());
}

#[tokio::test(start_paused = true)]
async fn w_38_a_call_that_fails_is_told_with_its_cause() {
    let stage = stage("min: 0, min_age: 0s", Duration::ZERO).await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.world.set_faults(Faults { lose_terminate_reply: true, ..Faults::default() });
    stage.wish(-1).await;
    stage.settle(SECOND * 10).await;
    let history = stage.history().await;
    let failed = history.iter().find(|line| line.kind == EntryKind::Failed).expect("it is told");
    assert!(failed.what == "terminate" && failed.worker.is_some() && !failed.detail.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_query_is_asked_in_the_pass_that_it_sizes() {
    let truth = firing(&["Watchdog", "Forecast"]);
    let asked = Monitoring { truth, want: Want::Workers(3), ..nobody() };
    let stage = told_stage("min: 0", Duration::ZERO, asked).await;
    stage.deliver("Watchdog", Ask::Watchdog).await;
    stage.deliver("Forecast", Ask::Up { step: None, want_query: Some("x".to_owned()) }).await;
    assert_eq!(stage.pass().await, Outcome::Changed);
    assert_eq!(stage.world.machines().len(), 3);
}

/// It is asked when the removal is planned, and once more right before it begins.
#[tokio::test(start_paused = true)]
async fn a_guard_must_hold_both_times_that_it_is_asked() {
    for (holds, told) in [(2, "Done cordon"), (1, "Refused cordon"), (0, "Held hold")] {
        let truth = firing(&["Watchdog", "Idle"]);
        let guarded = Monitoring { truth, holds, ..nobody() };
        let pool = "min: 0, min_age: 0s, cooldown: { down: 0s }";
        let stage = told_stage(pool, Duration::ZERO, guarded).await;
        stage.wish(1).await;
        stage.settle(SECOND * 10).await;
        stage.deliver("Watchdog", Ask::Watchdog).await;
        stage.deliver("Idle", Ask::Down { node: None }).await;
        stage.pass().await;
        assert_eq!(stage.told().await.last().unwrap(), told, "{:#?}", stage.history().await.last());
        let worker = stage.memory().await.workers.into_values().next().unwrap();
        assert_eq!(worker.state == WorkerState::Ready, holds < 2);
    }
}

/// Found in review: what it once took to become Ready is counted once.
#[tokio::test(start_paused = true)]
async fn a_machine_that_registers_anew_is_bound_again_and_counted_once() {
    let stage = stage("min: 1", Duration::ZERO).await;
    stage.settle(SECOND * 10).await;
    let node = |memory: Memory| memory.workers.into_values().next().unwrap().node.unwrap();
    let before = node(stage.memory().await);
    let machine = stage.world.machines()[0].id.to_string();
    stage.world.register_anew(&machine, true).unwrap();
    stage.settle(SECOND * 10).await;
    let after = node(stage.memory().await);
    assert_eq!((&before.name, before.uid != after.uid), (&after.name, true));
    assert_eq!(stage.metrics.pass.ready_seconds.get_sample_count(), 1);
    assert!(stage.told().await.contains(&"Seen joined".to_owned()));
}
