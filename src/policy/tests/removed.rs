//! Pools that left the file.

use crate::config::Mode;
use crate::model::{
    Act, Cordon, Direction, Failure, Guard, Permit, Purpose, Reason, Step, Verdict, View, Worker,
    WorkerEvent, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, World, blocked, intents, launches, pool};

/// A pool `old` of two workers, with another beside it that has room. Its last word in the file was to drain
/// it, and the file does not name it since an hour.
fn left() -> World {
    let mut world = World::of(2);
    world.add_pool("old", 5);
    for _ in 0..2 {
        world.ready("old");
    }
    world.pool_named("old").drain.when_removed = true;
    world.apply(&world.plan());
    world.limits.pools.remove(&"old".into());
    world.apply(&world.plan());
    world.later(MINUTE * 60);
    world
}

fn held(world: &World) -> Reason {
    let decision = world.decision_of("old");
    assert!(matches!(decision.verdict, Verdict::Hold), "{decision:#?}");
    decision.reason
}

#[test]
fn a_pool_that_is_not_configured_any_more_is_shown_and_never_changed() {
    let mut world = World::of(1);
    world.add_pool("old", 5);
    let number = world.ready("old");
    let id = format!("w{number}");
    let failed = WorkerState::Failed { failure: Failure::NotReady };
    for state in [WorkerState::Ready, WorkerState::Draining, WorkerState::Drained, failed] {
        let mut world = world.clone();
        let worker: &mut Worker = world.memory.workers.get_mut(&id.as_str().into()).unwrap();
        (worker.state, worker.purpose) = (state.clone(), Some(Purpose::Idle));
        world.limits.pools.remove(&"old".into());
        let plan = world.plan();
        let decision = plan.of("old");
        assert_eq!((&decision.reason, launches(decision)), (&Reason::Unmanaged, 0));
        assert!(plan.steps.is_empty(), "{state}: {plan:#?}");
    }
}

#[test]
fn one_that_asked_for_it_is_drained_a_step_at_a_time() {
    let mut world = left();
    world.pod_on(3, 100);
    world.pod_on(4, 200);
    let since = duration::before(world.now, MINUTE * 60);
    let plan = world.plan();
    let decision = plan.of("old");
    assert_eq!(decision.reason, Reason::Removed { since });
    assert_eq!((decision.have, decision.want), (2, 1));
    let [step] = &plan.steps[..] else { panic!("{plan:#?}") };
    assert!(matches!(step.act, Act::Cordon { .. }));
    assert_eq!(step.before, Some(WorkerEvent::Cordon { purpose: Purpose::Removed }));
    assert!(matches!(&step.permit, Permit::Down { signals, .. } if signals.is_empty()));
    world.run();
    assert_eq!(held(&world).code(), "cooldown", "the next one waits for the down-cooldown");
    world.later(MINUTE * 10);
    let plans = world.run();
    let acts: Vec<&str> =
        plans.iter().map(|plan| plan.act(4)).filter(|act| *act != "none").collect();
    assert_eq!(acts, ["cordon", "evict", "terminate", "remove node"]);
    assert!([3, 4].into_iter().all(|number| world.worker(number).state == WorkerState::Gone));
    assert!([1, 2].into_iter().all(|number| world.worker(number).state == WorkerState::Ready));
}

#[test]
fn a_file_that_was_only_half_written_for_a_moment_removes_nothing() {
    let mut world = left();
    let memory = world.memory.pools.get_mut(&"old".into()).unwrap();
    memory.farewell.as_mut().unwrap().left = Some(duration::before(world.now, MINUTE * 9));
    let until = duration::after(world.now, MINUTE);
    assert_eq!(held(&world), Reason::Cooldown { direction: Direction::Down, until });
    world.later(MINUTE);
    assert!(matches!(world.decision_of("old").verdict, Verdict::Drain { .. }));
}

#[test]
fn a_pool_that_left_never_grows_and_is_no_alerts_target() {
    let mut world = left();
    world.up(Some(2)).pool = Some("old".into());
    let plan = world.plan();
    assert_eq!(launches(plan.of("old")), 0);
    assert_eq!(plan.of("old").reason.code(), "up_active", "and whoever is busy is not idle");
    let mut world = left();
    world.pending(1, 1_900);
    let plan = world.plan();
    assert_eq!(launches(plan.of("old")), 0);
    assert_eq!(plan.of("old").reason, Reason::PendingPods { pods: 1 }, "and need holds its end");
}

#[test]
fn no_worker_of_it_is_launched_for_pods_or_as_a_replacement() {
    let mut full = left();
    full.pool().max = 2;
    for number in 1..=4 {
        full.pod_on(number, 1_800);
    }
    full.pending(1, 1_900);
    full.up(None).pool = None;
    let plan = full.plan();
    assert!(plan.decisions.iter().all(|decision| launches(decision) == 0), "{plan:#?}");
    let decision = full.decision_of("old");
    assert_eq!(decision.reason.code(), "pending_pods", "the other pool could host it");
    for pod in full.pods() {
        let spec = std::sync::Arc::make_mut(&mut pod.spec);
        spec.node_selector.insert("tier".to_owned(), "old".to_owned());
    }
    let farewell = full.memory.pools.get_mut(&"old".into()).unwrap().farewell.as_mut().unwrap();
    farewell.config["node"]["labels"]["tier"] = "old".into();
    let plan = full.plan();
    let told = &plan.of("workers").also;
    assert!(told.iter().any(|reason| reason.code() == "unhostable"), "{plan:#?}");
    let mut noticed = left();
    noticed.instances("old")[0].notice = Some(duration::after(noticed.now, MINUTE * 2));
    assert_eq!(launches(&noticed.decision_of("old")), 0);
}

#[test]
fn what_holds_every_removal_holds_this_one() {
    let holds = |change: &dyn Fn(&mut World)| {
        let mut world = left();
        change(&mut world);
        let plan = world.plan();
        assert!(plan.steps.is_empty(), "{plan:#?}");
        plan.of("old").reason.code()
    };
    assert_eq!(holds(&|world| world.observed.truth.peers.clear()), "alertmanager_away");
    assert_eq!(holds(&World::watchdog_falls_silent), "watchdog_missing");
    let silence = |world: &mut World| {
        world.silence("down");
    };
    assert_eq!(holds(&silence), "paused");
    let away = || "it is away".to_owned();
    let view = |world: &mut World| world.observed.cluster = View::Unknown { why: away() };
    assert_eq!(holds(&view), "unknown");
    let list = |world: &mut World| {
        world.observed.instances.insert("old".into(), View::Unknown { why: away() });
    };
    assert_eq!(holds(&list), "unknown");
    let guard = |world: &mut World| {
        world.limits.guards.down = vec!["up".to_owned()];
        let fails = Guard::Fails { detail: "0".to_owned() };
        world.observed.guards.insert("up".to_owned(), fails);
    };
    assert_eq!(holds(&guard), "guard_fails");
}

#[test]
fn pods_are_not_moved_from_one_worker_that_goes_to_the_next() {
    let mut world = left();
    for number in [1, 2] {
        world.pod_on(number, 1_800);
    }
    world.pod_on(3, 500);
    world.pod_on(4, 500);
    let reasons = blocked(&held(&world));
    assert!(matches!(reasons["w3"], Reason::PodFitsNowhere { .. }), "{reasons:?}");
}

#[test]
fn its_permanent_workers_stay() {
    let mut world = World::of(2);
    world.add_pool("old", 5);
    let number = world.ready("old");
    let pool = world.pool_named("old");
    pool.drain.when_removed = true;
    pool.permanent.insert(format!("n{number}"));
    world.apply(&world.plan());
    world.limits.pools.remove(&"old".into());
    world.apply(&world.plan());
    world.later(MINUTE * 60);
    assert_eq!(held(&world), Reason::AtMin { min: 1 });
}

#[test]
fn in_dry_run_it_is_only_said() {
    let mut world = World::of(2);
    world.add_pool("old", 5);
    let number = world.ready("old");
    let pool = world.pool_named("old");
    (pool.drain.when_removed, pool.mode) = (true, Mode::DryRun);
    world.apply(&world.plan());
    world.limits.pools.remove(&"old".into());
    world.apply(&world.plan());
    world.later(MINUTE * 60);
    let plan = world.plan();
    assert!(plan.steps.iter().all(|step| step.dry_run), "{plan:#?}");
    assert_eq!(plan.act(number), "cordon");
}

/// Its own last word was to act, and no pool in the file does: the cluster's lease is not even taken.
#[test]
fn where_no_pool_acts_it_is_only_said() {
    let mut world = left();
    assert!(world.plan().steps.iter().any(|step| !step.dry_run));
    world.pool().mode = Mode::DryRun;
    let plan = world.plan();
    assert!(!plan.steps.is_empty() && plan.steps.iter().all(|step| step.dry_run), "{plan:#?}");
}

#[test]
fn a_pool_that_comes_back_gets_its_workers_back_until_their_end_is_committed() {
    let on_its_way = |state: WorkerState| {
        let mut world = left();
        world.leaving(3, state, Purpose::Removed);
        world.limits.pools.insert("old".into(), pool("old", 5));
        world
    };
    for state in [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained] {
        let mut world = on_its_way(state.clone());
        let plan = world.plan();
        let Some(Step { act: Act::Uncordon { .. }, reason, .. }) = plan.step(3) else {
            panic!("{state}: {plan:#?}")
        };
        assert_eq!(reason.code(), "changed");
        world.apply(&plan);
        assert_eq!(world.worker(3).state, WorkerState::Ready);
    }
    assert_eq!(on_its_way(WorkerState::Terminating).plan().act(3), "terminate");
}

#[test]
fn a_worker_that_was_opened_again_goes_on_only_where_its_pods_fit() {
    let opened = || {
        let mut world = left();
        world.leaving(3, WorkerState::Draining, Purpose::Removed);
        world.node(3).cordon = Cordon::None;
        world.pod_on(3, 500);
        world
    };
    assert_eq!(opened().plan().act(3), "cordon");
    let mut full = opened();
    for number in [1, 2] {
        full.pod_on(number, 1_800);
    }
    assert_eq!(full.plan().act(3), "uncordon");
}

#[test]
fn it_is_forgotten_when_nothing_is_left_and_not_before_the_list_is_known() {
    let kept = |world: &World| world.plan().pools[&"old".into()].farewell.is_some();
    let mut world = left();
    world.run();
    assert_eq!(world.worker(4).state, WorkerState::Gone);
    assert!(kept(&world), "a list may be late to show a machine");
    world.later(MINUTE * 3);
    let mut blind = world.clone();
    blind.observed.instances.insert("old".into(), View::Unknown { why: "away".to_owned() });
    assert!(kept(&blind), "who cannot see its machines does not know that they are gone");
    assert!(!kept(&world));
    let mut awaited = world.clone();
    let mut launching = World::of(0);
    launching.pool().min = 1;
    let mut intent = intents(&launching.plan()).next().unwrap().clone();
    intent.request.pool = "old".into();
    awaited.memory.intents.insert(intent.request.batch.clone(), intent);
    assert!(kept(&awaited), "a launch that was asked for may still have its effect");
    let mut adrift = world.clone();
    let mut worker = adrift.worker(3).clone();
    worker.instance = Some("i9".into());
    worker.id = "w9".into();
    adrift.add_instance(&worker);
    assert!(kept(&adrift), "a machine without a record is one of its own");
}

#[test]
fn what_cannot_be_read_back_is_left_alone() {
    let mut world = left();
    let memory = world.memory.pools.get_mut(&"old".into()).unwrap();
    memory.farewell.as_mut().unwrap().config["max"] = "many".into();
    assert_eq!(held(&world), Reason::Unmanaged);
}
