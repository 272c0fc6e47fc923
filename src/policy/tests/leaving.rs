//! Workers on their way out.

use crate::model::{
    Act, Ask, Cordon, Guard, Permit, Pin, Plan, Purpose, Readiness, Reason, Step, Transition,
    Verdict, WorkerEvent, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, UNSEEN, World};

/// Three workers, the third on its way out in this state.
fn leaving(state: WorkerState) -> World {
    let mut world = World::of(3);
    world.pod_on(3, 100);
    world.leaving(3, state, Purpose::Idle);
    world.down();
    world
}

fn only(plan: &Plan) -> &Step {
    let [step] = &plan.steps[..] else { panic!("{plan:#?}") };
    step
}

#[test]
fn a_worker_goes_by_one_step_in_each_pass_until_machine_node_and_record_are_gone() {
    let mut world = World::of(2);
    world.pod_on(1, 100);
    world.pod_on(2, 300);
    world.down();
    let plans = world.run();
    let acts: Vec<&str> =
        plans.iter().map(|plan| plan.act(1)).filter(|act| *act != "none").collect();
    assert_eq!(acts, ["cordon", "evict", "terminate", "remove node"]);
    assert_eq!(world.worker(1).state, WorkerState::Gone);
    assert_eq!(world.view().nodes.len(), 1);
    world.later(MINUTE * 61);
    world.pool().min = 1;
    let plan = world.plan();
    assert_eq!(plan.forget.len(), 1);
}

#[test]
fn evictions_go_on_every_pass_and_the_record_waits_for_the_last() {
    let mut world = leaving(WorkerState::Draining);
    world.first_pod().pins.push(Pin::DisruptionBudget("pdb".to_owned()));
    for _ in 0..3 {
        let plan = world.plan();
        let step = only(&plan);
        assert!(matches!(step.act, Act::Evict { .. }));
        assert_eq!(step.reason, Reason::DrainGoesOn { left: 1 });
        world.apply(&plan);
        world.later(SECOND);
    }
    assert_eq!(world.worker(3).state, WorkerState::Draining);
}

#[test]
fn demand_takes_an_idle_worker_back_in_every_state_before_terminating() {
    for state in [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained] {
        let mut world = leaving(state.clone());
        world.up(Some(1));
        let plan = world.plan();
        let step = only(&plan);
        assert!(matches!(step.act, Act::Uncordon { .. }), "{state}");
        assert_eq!((&step.reason, &step.permit), (&Reason::DemandReturned, &Permit::Begun));
        world.apply(&plan);
        assert_eq!(world.worker(3).state, WorkerState::Ready);
        assert_eq!(world.node(3).cordon, Cordon::None);
    }
    let mut world = leaving(WorkerState::Terminating);
    world.up(Some(1));
    let plan = world.plan();
    assert!(
        matches!(only(&plan).act, Act::Terminate { .. }),
        "a committed end is never taken back"
    );
    assert!(matches!(plan.decisions[0].verdict, Verdict::Launch { .. }));
}

#[test]
fn a_worker_that_an_operator_removes_is_not_taken_back_by_demand() {
    let mut world = leaving(WorkerState::Draining);
    world.worker(3).purpose = Some(Purpose::Manual);
    world.up(Some(1));
    let plan = world.plan();
    assert!(matches!(only(&plan).act, Act::Evict { .. }));
    assert!(matches!(plan.decisions[0].verdict, Verdict::Launch { .. }));
}

#[test]
fn a_resolved_alert_lets_the_drain_go_on() {
    let mut world = leaving(WorkerState::Draining);
    world.resolve("Idle");
    assert!(matches!(only(&world.plan()).act, Act::Evict { .. }));
}

#[test]
fn a_pause_gives_the_worker_back_whatever_it_goes_for() {
    for (purpose, autoscale) in [
        (Purpose::Idle, "down"),
        (Purpose::Manual, "manual"),
        (Purpose::Replace, "replace"),
        (Purpose::Notice, "replace"),
    ] {
        for state in [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained] {
            let mut world = leaving(state);
            world.worker(3).purpose = Some(purpose);
            world.silence(autoscale);
            let plan = world.plan();
            assert!(matches!(only(&plan).act, Act::Uncordon { .. }), "{purpose:?}");
            assert_eq!(only(&plan).reason.code(), "paused", "{purpose:?}");
        }
    }
}

#[test]
fn a_silence_on_the_alert_itself_gives_the_worker_back() {
    let mut world = leaving(WorkerState::Draining);
    world.told_of("Idle").silenced_by.push("elsewhere".into());
    assert!(matches!(only(&world.plan()).act, Act::Uncordon { .. }));
    world.add_pool("others", 3);
    world.signal_named("Idle").pool = Some("others".into());
    assert_eq!(world.plan().act(3), "evict", "it is another pool's");
}

#[test]
fn while_monitoring_is_away_the_drain_and_its_clock_stand_still() {
    let mut world = leaving(WorkerState::Draining);
    world.later(MINUTE * 4);
    world.alertmanager_away();
    let plan = world.plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert!(matches!(&plan.transitions[..], [Transition::Clock { .. }]));
    assert!(plan.decisions[0].reason.code() == "alertmanager_away");
    world.apply(&plan);
    assert!(world.plan().is_quiet(), "it stands still once");
    world.later(MINUTE * 30);
    assert!(world.plan().steps.is_empty());
    let mut back = leaving(WorkerState::Draining);
    back.memory = world.memory.clone();
    back.now = world.now;
    back.later(SECOND);
    let plan = back.plan();
    back.apply(&plan);
    let plan = back.plan();
    assert!(matches!(only(&plan).act, Act::Evict { .. }), "four minutes of five are used");
    back.later(MINUTE * 2);
    assert!(matches!(only(&back.plan()).act, Act::Uncordon { .. }));
}

/// A-25, W-55.
#[test]
fn past_its_deadline_a_drain_is_given_up_and_not_tried_again_for_an_hour_doubling_to_a_day() {
    let mut world = leaving(WorkerState::Draining);
    for hours in [1, 2, 4, 8, 16, 24, 24] {
        world.leaving(3, WorkerState::Draining, Purpose::Idle);
        world.later(MINUTE * 5);
        assert!(matches!(only(&world.plan()).act, Act::Evict { .. }));
        world.later(SECOND);
        let plan = world.plan();
        assert!(matches!(only(&plan).act, Act::Uncordon { .. }));
        assert_eq!(only(&plan).reason, Reason::DrainDeadline { after: "5m".to_owned(), by: None });
        world.apply(&plan);
        let refusal = &world.memory.cluster.refusals[&"w3".into()];
        assert_eq!(refusal.until, duration::after(world.now, MINUTE * 60 * hours));
        world.later(MINUTE * 60 * hours);
    }
}

#[test]
fn a_spot_notice_drains_to_its_end() {
    let mut world = leaving(WorkerState::Draining);
    world.worker(3).purpose = Some(Purpose::Notice);
    world.later(MINUTE * 60);
    assert!(matches!(only(&world.plan()).act, Act::Evict { .. }));
}

#[test]
fn a_cordon_that_the_view_does_not_show_yet_is_not_done_twice() {
    let mut world = leaving(WorkerState::Cordoned);
    world.node(3).cordon = Cordon::None;
    world.resolve("Idle");
    for _ in 0..2 {
        assert_eq!(world.plan().act(3), "none");
        world.later(SECOND);
    }
    assert_eq!(world.plan().act(3), "uncordon");
}

#[test]
fn a_refused_cordon_is_not_done_later_without_being_asked_again() {
    let mut world = leaving(WorkerState::Cordoned);
    world.node(3).cordon = Cordon::None;
    world.later(SECOND * 2);
    world.guard(Some(Guard::Holds));
    let plan = world.plan();
    assert!(matches!(only(&plan).act, Act::Cordon { .. }));
    assert!(matches!(&only(&plan).permit,
        Permit::Down { signals, guards } if signals.len() == 1 && guards == &["up"]));
    world.add_pool("others", 3);
    world.signal_named("Idle").pool = Some("others".into());
    assert_eq!(world.plan().act(3), "uncordon", "it is of another pool");
    world.signal_named("Idle").pool = Some("workers".into());
    world.resolve("Idle");
    let plan = world.plan();
    assert!(matches!(only(&plan).act, Act::Uncordon { .. }), "nothing asks any more");
}

#[test]
fn pods_that_came_back_to_a_drained_worker_are_evicted_before_it_is_ended() {
    let mut world = leaving(WorkerState::Drained);
    assert!(matches!(only(&world.plan()).act, Act::Evict { .. }));
    world.view().pods.clear();
    let plan = world.plan();
    let step = only(&plan);
    assert!(matches!(step.act, Act::Terminate { .. }));
    assert_eq!(step.before, Some(WorkerEvent::Terminate));
    assert!(matches!(step.permit, Permit::Down { .. }), "the pause is asked once more");
}

#[test]
fn a_machine_that_vanished_mid_drain_is_lost_and_cleaned_up() {
    let mut world = leaving(WorkerState::Draining);
    world.instance(3).state = crate::model::InstanceState::Ending;
    let plan = world.plan();
    assert!(matches!(
        &plan.transitions[..],
        [Transition::Move { event: WorkerEvent::Fail { .. }, .. }]
    ));
    assert!(plan.steps.is_empty());
}

#[test]
fn a_dry_run_moves_no_worker_that_is_on_its_way_out() {
    for state in [WorkerState::Cordoned, WorkerState::Drained, WorkerState::Terminating] {
        let mut world = leaving(state.clone());
        world.pool().mode = crate::config::Mode::DryRun;
        let plan = world.plan();
        assert!(plan.steps.iter().all(|step| step.dry_run), "{state}: {plan:#?}");
    }
}

#[test]
fn an_end_that_was_refused_is_asked_again_with_the_same_question() {
    for (purpose, permit) in [
        (Some(Purpose::Idle), Permit::Down { signals: Vec::new(), guards: Vec::new() }),
        (Some(Purpose::Replace), Permit::Replace { signals: Vec::new() }),
        (Some(Purpose::Manual), Permit::Manual),
        (Some(Purpose::Notice), Permit::Notice),
        (None, Permit::Repair),
    ] {
        let mut world = leaving(WorkerState::Terminating);
        world.resolve("Idle");
        world.worker(3).purpose = purpose;
        if purpose.is_none() {
            world.node(3).readiness = Readiness::NotReady { since: world.now };
        }
        let plan = world.plan();
        assert!(matches!(only(&plan).act, Act::Terminate { .. }));
        assert_eq!(only(&plan).permit, permit, "{purpose:?}");
    }
}

#[test]
fn a_machine_that_became_protected_is_given_back_instead_of_ended() {
    let mut world = leaving(WorkerState::Drained);
    world.view().pods.clear();
    world.instance(3).protected = true;
    let plan = world.plan();
    assert!(matches!(only(&plan).act, Act::Uncordon { .. }), "{plan:#?}");
    assert_eq!(only(&plan).reason, Reason::Protected);
}

/// Else it would be drained for ever: pass after pass would find nothing to evict.
#[test]
fn a_drained_worker_whose_cordon_a_person_took_over_is_given_back() {
    let mut world = leaving(WorkerState::Drained);
    world.view().pods.clear();
    world.node(3).cordon = Cordon::Foreign;
    let plan = world.plan();
    assert!(matches!(only(&plan).act, Act::Uncordon { .. }), "{plan:#?}");
    assert_eq!(only(&plan).reason, Reason::ForeignCordon);
}

#[test]
fn a_refused_cordon_of_a_replacement_is_asked_again_too() {
    let mut world = leaving(WorkerState::Cordoned);
    world.worker(3).purpose = Some(Purpose::Replace);
    world.node(3).cordon = Cordon::None;
    world.replace(3);
    world.later(SECOND * 2);
    let plan = world.plan();
    assert!(matches!(only(&plan).act, Act::Cordon { .. }));
    assert!(matches!(&only(&plan).permit, Permit::Replace { signals } if signals.len() == 1));
    world.resolve("Sick");
    assert!(matches!(only(&world.plan()).act, Act::Uncordon { .. }));
}

#[test]
fn monitoring_that_is_away_suspends_what_rests_on_it_and_its_clock() {
    let breaks: [fn(&mut World); 3] =
        [World::alertmanager_away, World::watchdog_falls_silent, |world| {
            world.memory.cluster = world.plan().memory;
            world.observed.truth.peers[0].started = Some(world.now);
        }];
    for break_it in breaks {
        for purpose in [Purpose::Idle, Purpose::Replace] {
            let mut world = leaving(WorkerState::Draining);
            world.worker(3).purpose = Some(purpose);
            break_it(&mut world);
            let plan = world.plan();
            assert_eq!(plan.act(3), "none");
            let [Transition::Clock { worker }] = &plan.transitions[..] else { panic!("{plan:#?}") };
            assert_eq!(worker.held_since, Some(world.now));
        }
        for purpose in [Purpose::Notice, Purpose::Manual] {
            let mut world = leaving(WorkerState::Draining);
            world.worker(3).purpose = Some(purpose);
            break_it(&mut world);
            assert_eq!(world.plan().act(3), "evict", "{purpose:?} rests on no alert");
        }
    }
}

#[test]
fn nothing_goes_on_from_an_unknown_or_stale_view_and_no_clock_runs() {
    for state in [WorkerState::Draining, WorkerState::Drained, WorkerState::Terminating] {
        for hide in UNSEEN {
            let mut world = leaving(state.clone());
            world.view().pods.clear();
            hide(&mut world);
            let plan = world.plan();
            assert_eq!(plan.act(3), "none", "{state}");
            let stands = matches!(&plan.transitions[..], [Transition::Clock { .. }]);
            assert_eq!(stands, state != WorkerState::Terminating, "{state}");
            world.apply(&plan);
            assert!(world.plan().is_quiet(), "{state} stands still once");
        }
    }
}

/// Somebody else may take over between the intent to cordon and the call, when a list is answered that lacks machines.
#[test]
fn a_drain_and_its_clock_stand_still_while_its_machine_is_not_listed() {
    for state in [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained] {
        for purpose in [Purpose::Idle, Purpose::Replace, Purpose::Manual, Purpose::Notice] {
            let mut world = leaving(state.clone());
            world.worker(3).purpose = Some(purpose);
            world.node(3).cordon = Cordon::None;
            world.replace(3);
            world.later(SECOND * 2);
            assert_eq!(world.plan().act(3), "cordon", "{state} {purpose:?}");
            world.instances("workers").clear();
            let plan = world.plan();
            if purpose == Purpose::Notice {
                assert_eq!(plan.act(3), "cordon", "it has two minutes");
                continue;
            }
            assert_eq!(plan.act(3), "none", "{state} {purpose:?}");
            let [Transition::Clock { worker }] = &plan.transitions[..] else { panic!("{plan:#?}") };
            assert_eq!(worker.held_since, Some(world.now));
            world.silence_on("pool", "workers");
            assert_eq!(world.plan().act(3), "uncordon", "who pauses it needs no list");
        }
    }
}

#[test]
fn a_pause_is_no_refusal_and_a_failed_uncordon_no_second_one() {
    let mut world = leaving(WorkerState::Draining);
    world.silence_on("alertname", "Idle");
    let plan = world.plan();
    assert_eq!(plan.act(3), "uncordon");
    assert!(plan.memory.refusals.is_empty(), "it is no fault of the worker's");
    let mut world = leaving(WorkerState::Draining);
    world.later(MINUTE * 6);
    for _ in 0..3 {
        let plan = world.plan();
        assert_eq!(plan.act(3), "uncordon");
        assert_eq!(plan.memory.refusals[&"w3".into()].count, 1);
        world.memory.cluster = plan.memory;
    }
}

#[test]
fn while_another_alert_asks_for_it_a_silenced_one_gives_nothing_back() {
    let mut world = leaving(WorkerState::Draining);
    world.alert("Quiet", "down", Ask::Down { node: None });
    world.told_of("Idle").silenced_by.push("elsewhere".into());
    assert_eq!(world.plan().act(3), "evict");
    world.told_of("Quiet").silenced_by.push("elsewhere".into());
    assert_eq!(world.plan().act(3), "uncordon");
}

/// It would fill again while it empties.
#[test]
fn a_drain_on_a_node_that_somebody_opened_closes_it_first() {
    for state in [WorkerState::Draining, WorkerState::Drained] {
        let mut world = leaving(state);
        world.view().pods.clear();
        world.node(3).cordon = Cordon::None;
        assert_eq!(world.plan().act(3), "cordon");
        world.resolve("Idle");
        assert_eq!(world.plan().act(3), "uncordon", "nothing asks any more");
    }
}

/// We may have died right after opening it, and pods came.
#[test]
fn a_drain_on_an_open_node_whose_pods_fit_nowhere_else_is_given_back() {
    for state in [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained] {
        let mut world = leaving(state);
        world.node(3).cordon = Cordon::None;
        world.later(SECOND * 2);
        assert_eq!(world.plan().act(3), "cordon", "its pod has a place elsewhere");
        for number in 1..=3 {
            world.pod_on(number, 1_500);
        }
        assert_eq!(world.plan().act(3), "uncordon");
    }
}

#[test]
fn a_drained_worker_is_ended_only_while_the_cordon_is_ours_and_its_machine_lives() {
    let mut world = leaving(WorkerState::Drained);
    world.view().pods.clear();
    assert_eq!(world.plan().act(3), "terminate");
    world.node(3).cordon = Cordon::Foreign;
    assert_eq!(world.plan().act(3), "uncordon");
    world.node(3).cordon = Cordon::Ours;
    world.instance(3).state = crate::model::InstanceState::Gone;
    assert_eq!(world.plan().act(3), "none", "its node says Ready: neither is believed");
}

#[test]
fn a_worker_under_notice_is_not_ended_once_its_machine_is_gone() {
    let mut world = leaving(WorkerState::Drained);
    world.worker(3).purpose = Some(Purpose::Notice);
    world.view().pods.clear();
    assert_eq!(world.plan().act(3), "terminate");
    world.instance(3).state = crate::model::InstanceState::Gone;
    assert_eq!(world.plan().act(3), "none");
    world.unlisted(3);
    assert_eq!(world.plan().act(3), "none");
}

#[test]
fn those_that_lost_least_are_taken_back_first() {
    let mut world = leaving(WorkerState::Cordoned);
    world.leaving(1, WorkerState::Drained, Purpose::Idle);
    world.leaving(2, WorkerState::Draining, Purpose::Idle);
    world.up(Some(1));
    assert_eq!(world.plan().step(3).unwrap().reason, Reason::DemandReturned);
    world.signal_named("Up").ask = Ask::Up { step: Some(2), want_query: None };
    let plan = world.plan();
    let back = |number| plan.step(number).is_some_and(|s| s.reason == Reason::DemandReturned);
    assert_eq!([1, 2, 3].map(back), [false, true, true]);
}

#[test]
fn a_drain_that_stands_still_is_told_beside_the_decision() {
    let mut world = leaving(WorkerState::Draining);
    world.watchdog_falls_silent();
    let plan = world.plan();
    let told = plan.decisions[0].also.iter().find(|reason| reason.code() == "drain_suspended");
    assert!(told.is_some(), "{plan:#?}");
}

#[test]
fn a_worker_whose_node_somebody_deleted_is_given_back_and_does_not_hang() {
    for state in [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained] {
        let mut world = leaving(state.clone());
        world.unjoined(3);
        let plan = world.plan();
        assert_eq!(plan.event(3), Some(&WorkerEvent::Release), "{state}");
        assert!(plan.steps.is_empty());
        world.up(Some(1));
        assert_eq!(world.launches(), 1, "{state}: there is nothing to take back");
    }
}
