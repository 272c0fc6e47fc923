//! Shrinking: what holds it, how many go, and down to where.

use crate::config::Amount;
use crate::model::{
    Act, Ask, Cordon, Direction, Guard, Permit, Purpose, Reason, Resources, Unhelpable, Verdict,
    View, Want, WorkerEvent, WorkerState, duration,
};
use crate::policy::fixtures::{GIB, MINUTE, World, code};

/// Five workers with a little on each, and an alert that says idle.
fn idle() -> World {
    let mut world = World::of(5);
    for number in 1..=5 {
        world.pod_on(number, 100);
    }
    world.down();
    world
}

///
#[test]
fn an_idle_alert_begins_to_remove_exactly_one() {
    let world = idle();
    let plan = world.plan();
    let decision = &plan.decisions[0];
    assert_eq!(decision.reason, Reason::Idle { alert: "Idle".to_owned() });
    assert_eq!((decision.have, decision.want), (5, 4));
    let [step] = &plan.steps[..] else { panic!("{plan:#?}") };
    assert!(matches!(step.act, Act::Cordon { .. }));
    assert_eq!(step.before, Some(WorkerEvent::Cordon { purpose: Purpose::Idle }));
    assert!(matches!(&step.permit, Permit::Down { signals, .. } if signals.len() == 1));
}

///
#[test]
fn nothing_goes_below_the_minimum() {
    let mut world = idle();
    world.pool().min = 5;
    assert_eq!(world.held(), Reason::AtMin { min: 5 });
    world.pool().min = 0;
    world.pool().permanent = ["x1", "x2", "x3", "x4", "x5"].map(str::to_owned).into();
    assert_eq!(world.held(), Reason::AtMin { min: 5 }, "permanent workers are a minimum too");
}

///
#[test]
fn pending_pods_that_could_be_helped_hold_every_removal() {
    let mut world = idle();
    world.pending(1, 500);
    assert_eq!(world.held(), Reason::PendingPods { pods: 1 });
}

#[test]
fn pods_that_no_worker_could_help_hold_nothing() {
    let mut world = idle();
    world.pending(1, 99_000);
    assert_eq!(world.drains().len(), 1);
}

///
#[test]
fn nothing_asked_is_nothing_done() {
    let world = World::of(3);
    let plan = world.plan();
    assert_eq!(plan.decisions[0].reason, Reason::NothingAsked);
    assert!(plan.is_quiet());
}

///
#[test]
fn the_down_cooldown_runs_from_the_end_of_the_last_scaling() {
    let mut world = idle();
    let at = duration::before(world.now, MINUTE * 9);
    for both in [true, false] {
        let memory = world.remembered();
        (memory.up_ended, memory.down_ended) =
            if both { (Some(at), None) } else { (None, Some(at)) };
        let until = duration::after(at, MINUTE * 10);
        assert_eq!(world.held(), Reason::Cooldown { direction: Direction::Down, until });
    }
    world.later(MINUTE);
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn a_removal_ends_only_when_the_machine_is_gone() {
    let mut world = idle();
    world.run();
    let gone = world.memory.workers.values().filter(|w| w.state == WorkerState::Gone).count();
    assert_eq!(gone, 1);
    assert_eq!(code(&world), "cooldown");
    let ended = world.memory.pools[&"workers".into()].down_ended;
    assert!(ended.is_some_and(|at| at > idle().now), "{ended:?}");
}

#[test]
fn an_up_alert_with_a_step_holds_removal_silenced_or_not() {
    let mut world = idle();
    world.up(Some(1));
    world.pool().max = 5;
    assert_eq!(code(&world), "at_max");
    assert!(world.decision().also.contains(&Reason::UpActive { alert: "Up".to_owned() }));
    world.silence("up");
    assert_eq!(world.held(), Reason::UpActive { alert: "Up".to_owned() });
    world.resolve("Up");
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn an_up_alert_that_asks_only_for_what_the_packing_proves_holds_nothing() {
    let mut world = idle();
    world.up(None);
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn workers_on_their_way_hold_removal() {
    let mut world = idle();
    world.set(5, WorkerState::Joined);
    world.node(5).readiness = crate::model::Readiness::NotReady { since: world.now };
    assert_eq!(world.held(), Reason::WorkersComing { workers: 1 });
}

#[test]
fn another_removal_under_way_holds_the_next() {
    let mut world = idle();
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!(world.held(), Reason::Draining { workers: 1 });
}

#[test]
fn an_open_launch_holds_removal() {
    let mut world = idle();
    let mut other = World::of(1);
    other.up(Some(1));
    let Verdict::Launch { intent, .. } = other.decision().verdict else { panic!() };
    world.memory.intents.insert("b".into(), *intent);
    assert_eq!(world.held(), Reason::IntentOpen { batch: "b".into() });
    let intent = world.memory.intents.get_mut(&"b".into()).unwrap();
    intent.request.pool = "others".into();
    assert_eq!(world.drains().len(), 1, "it is another pool's");
}

#[test]
fn a_guard_that_fails_is_unknown_or_was_not_asked_holds_removal() {
    let mut world = idle();
    world.guard(None);
    assert_eq!(code(&world), "guard_unknown");
    world.guard(Some(Guard::Unknown { why: "stale".to_owned() }));
    assert_eq!(code(&world), "guard_unknown");
    world.guard(Some(Guard::Fails { detail: "0".to_owned() }));
    assert_eq!(code(&world), "guard_fails");
    world.guard(Some(Guard::Holds));
    assert_eq!(world.drains().len(), 1);
    let permit = world.plan().steps[0].permit.clone();
    assert!(matches!(permit, Permit::Down { guards, .. } if guards == ["up"]));
}

///
#[test]
fn nothing_is_removed_while_monitoring_is_away() {
    let mut world = idle();
    world.watchdog_falls_silent();
    assert_eq!(code(&world), "watchdog_missing");
    let mut world = idle();
    world.alertmanager_away();
    assert_eq!(code(&world), "alertmanager_away");
}

#[test]
fn w_02_a_partial_stale_or_unknown_view_never_removes() {
    let mut world = idle();
    world.observed.cluster = View::Unknown { why: "timeout".to_owned() };
    assert_eq!(code(&world), "unknown");
    let mut world = idle();
    world.observed.instances.insert("workers".into(), View::Unknown { why: "timeout".to_owned() });
    assert_eq!(code(&world), "unknown");
    for stale in [0, 1] {
        let mut world = idle();
        let old = duration::before(world.now, MINUTE * 2);
        if let (0, View::Known { at, .. }) = (stale, &mut world.observed.cluster) {
            *at = old;
        }
        for list in world.observed.instances.values_mut() {
            if let (1, View::Known { at, .. }) = (stale, list) {
                *at = old;
            }
        }
        assert_eq!(code(&world), "stale");
    }
}

#[test]
fn a_lost_store_holds_removal_until_it_is_rebuilt() {
    let mut world = idle();
    let plan = {
        world.memory.workers.clear();
        world.memory.cluster.uid = None;
        world.plan()
    };
    world.apply(&plan);
    world.run();
    assert_eq!(code(&world), "store_forgot");
    world.later(MINUTE * 11);
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn empty_workers_go_several_at_once_and_others_by_the_step() {
    let mut world = World::of(6);
    world.down();
    world.pool().min = 1;
    assert_eq!(world.drains().len(), 5, "down to the minimum");
    world.pool().step.empty = Amount::Percent(50);
    assert_eq!(world.drains().len(), 3);
    for number in 1..=6 {
        world.pod_on(number, 100);
    }
    assert_eq!(world.drains().len(), 1);
    world.pool().step.down = Amount::Count(2);
    assert_eq!(world.drains().len(), 2);
}

#[test]
fn several_go_only_if_all_their_pods_fit_elsewhere_together() {
    let mut world = World::of(3);
    for number in 1..=3 {
        world.pod_on(number, 900);
    }
    world.down();
    world.pool().step.down = Amount::Count(3);
    assert_eq!(world.drains().len(), 1);
    for number in 1..=3 {
        world.pod_on(number, 900);
    }
    assert_eq!(code(&world), "no_candidate");
}

#[test]
fn headroom_stays_free_after_a_removal() {
    let mut world = idle();
    world.pool().headroom = Resources::new(7_500, 0);
    assert_eq!(world.drains().len(), 1, "four of five workers leave 7.5 cores");
    world.pool().headroom = Resources::new(7_501, 0);
    assert_eq!(code(&world), "no_candidate");
    world.pool().headroom = Resources::new(0, 16 * GIB);
    assert_eq!(code(&world), "no_candidate");
}

#[test]
fn a_wish_to_shrink_removes_so_many_without_cooldown_and_guard() {
    let mut world = World::of(5);
    for number in 1..=5 {
        world.pod_on(number, 100);
    }
    world.guard(Some(Guard::Fails { detail: "0".to_owned() }));
    world.remembered().down_ended = Some(world.now);
    world.manual(-2);
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 2);
    assert!(plan.steps.iter().all(|step| step.permit == Permit::Manual));
    world.apply(&plan);
    assert!(world.signals.iter().all(|signal| signal.name != "manual"), "it is done with");
    world.run();
    assert_eq!(world.memory.workers.values().filter(|worker| worker.is_serving()).count(), 3);
}

#[test]
fn a_wish_to_shrink_stops_at_the_minimum() {
    let mut world = World::of(3);
    world.pool().min = 2;
    world.manual(-100);
    assert_eq!(world.drains().len(), 1);
    world.signal_named("manual").ask = Ask::Scale { by: i32::MIN };
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn a_dry_run_tells_what_it_would_remove_and_moves_no_record() {
    let mut world = idle();
    world.pool().mode = crate::config::Mode::DryRun;
    let plan = world.plan();
    assert!(matches!(plan.decisions[0].verdict, Verdict::Drain { .. }));
    assert!(plan.steps.iter().all(|step| step.dry_run && step.before.is_none()));
    assert!(plan.is_quiet());
    world.resolve("Idle");
    world.manual(-1);
    let plan = world.plan();
    assert!(matches!(plan.decisions[0].verdict, Verdict::Drain { .. }));
    assert!(plan.expired.is_empty(), "a wish is not done with by telling of it");
}

#[test]
fn several_pools_shrink_each_for_itself() {
    let mut world = World::of(2);
    world.add_pool("others", 5);
    let number = world.ready("others");
    world.down().pool = Some("others".into());
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].worker.as_str(), format!("w{number}"));
    assert_eq!(world.held(), Reason::NothingAsked);
}

#[test]
fn a_cordon_of_ours_on_a_ready_worker_is_taken_away_before_it_may_go() {
    let mut world = World::of(1);
    world.down();
    world.node(1).cordon = Cordon::Ours;
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 1);
    assert!(matches!(plan.steps[0].act, crate::model::Act::Uncordon { .. }));
}

#[test]
fn a_worker_lost_in_the_same_pass_does_not_let_another_go_below_the_minimum() {
    let mut world = idle();
    world.pool().min = 4;
    world.instances("workers").retain(|instance| instance.id.as_str() != "i1");
    world.view().nodes.retain(|node| node.at.name.as_str() != "n1");
    assert_eq!(world.drains(), Vec::<String>::new());
}

#[test]
fn a_worker_that_begins_to_be_replaced_holds_the_removal_of_others() {
    let mut world = idle();
    world.replace(1);
    world.worker(5).batch = Some("b".into());
    let memory = world.remembered();
    memory.replacing.insert("w1".into(), "b".into());
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 1, "{plan:#?}");
    assert_eq!(plan.steps[0].worker.as_str(), "w1");
    assert_eq!(world.held(), Reason::Draining { workers: 1 });
}

#[test]
fn what_a_query_still_wants_is_the_floor() {
    let mut world = idle();
    world.up_wants(Want::Workers(5));
    assert_eq!(world.held(), Reason::StillWanted { want: 5 });
    world.observed.wants.values_mut().for_each(|want| *want = Want::Workers(4));
    assert_eq!(world.drains().len(), 1);
    world.observed.wants.values_mut().for_each(|want| *want = Want::Unknown { why: "NaN".into() });
    assert_eq!(code(&world), "want_unknown");
    world.observed.wants.clear();
    assert_eq!(code(&world), "want_unknown");
}

#[test]
fn a_wish_for_more_that_waits_for_something_holds_removal() {
    let mut world = idle();
    world.manual(1);
    world.pool().limits.launches_per_hour = 0;
    let decision = world.decision();
    assert_eq!(decision.reason.code(), "launches_per_hour");
    assert!(decision.also.iter().any(|reason| reason.code() == "manual_scale"), "{decision:#?}");
}

/// The alert of a cluster with one pool may lack the label `pool`.
#[test]
fn a_pause_of_the_pool_holds_removal_though_it_does_not_match_the_alert() {
    let mut world = idle();
    world.unlabelled("Idle", "pool");
    world.silence_on("pool", "workers");
    assert_eq!(code(&world), "paused");
}

#[test]
fn an_up_alert_whose_only_need_no_worker_could_help_holds_nothing() {
    let mut world = idle();
    world.up(None);
    world.pending(1, 1_950);
    assert_eq!(world.drains(), Vec::<String>::new());
    let pod = world.view().pods.last().unwrap().uid.clone();
    let until = Some(duration::after(world.now, MINUTE));
    world.remembered().unhelpable.insert(pod, Unhelpable { vain: 2, until });
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn a_silenced_query_still_tells_the_floor() {
    let mut world = idle();
    world.up_wants(Want::Workers(5));
    world.silence("up");
    assert_eq!(world.held(), Reason::StillWanted { want: 5 });
}

#[test]
fn a_view_is_young_enough_for_its_whole_time() {
    let mut world = idle();
    world.now = duration::after(world.now, MINUTE);
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn a_pause_of_one_way_to_shrink_holds_no_other() {
    let mut world = idle();
    world.silence("manual");
    assert_eq!(world.drains().len(), 1);
    let mut world = World::of(3);
    world.manual(-1);
    world.silence("down");
    assert_eq!(world.drains().len(), 1);
}

#[test]
fn a_wish_for_none_fewer_asks_for_nothing() {
    let mut world = World::of(3);
    world.manual(0);
    assert_eq!(world.held(), Reason::NothingAsked);
}

#[test]
fn a_machine_that_is_being_ended_for_idleness_is_a_removal_still() {
    let mut world = idle();
    world.leaving(1, WorkerState::Terminating, Purpose::Idle);
    assert_eq!(world.plan().pools[&"workers".into()].down_ended, Some(world.now));
    world.worker(1).purpose = Some(Purpose::Manual);
    assert_eq!(world.plan().pools[&"workers".into()].down_ended, None);
}
