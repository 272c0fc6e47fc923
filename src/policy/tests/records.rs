//! Records follow what is seen, and what that makes of machines nobody needs.

use crate::model::{
    Act, Cordon, Failure, InstanceState, NodeRef, Permit, Plan, Readiness, Reason, Transition,
    View, WorkerEvent, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, World, worker_id};

/// One worker that is booting, without a node, and one that serves.
fn booting() -> World {
    let mut world = World::of(2);
    world.set(1, WorkerState::Booting);
    world.worker(1).node = None;
    world.worker(1).created = world.now;
    world.view().nodes.remove(0);
    world
}

fn moves(plan: &Plan) -> Vec<&WorkerEvent> {
    plan.transitions
        .iter()
        .filter_map(|transition| match transition {
            Transition::Move { event, .. } => Some(event),
            _ => None,
        })
        .collect()
}

fn failed(plan: &Plan) -> Option<Failure> {
    moves(plan).into_iter().find_map(|event| match event {
        WorkerEvent::Fail { failure } => Some(*failure),
        _ => None,
    })
}

#[test]
fn a_launched_worker_joins_and_becomes_ready() {
    let mut world = World::of(0);
    world.up(Some(1));
    let plan = world.plan();
    world.apply(&plan);
    assert!(moves(&world.plan()).is_empty(), "no node yet");
    world.boot();
    world.apply(&world.plan());
    world.apply(&world.plan());
    let worker = world.memory.workers.values().next().unwrap();
    assert_eq!(worker.state, WorkerState::Ready);
    assert!(worker.node.is_some() && worker.ready.is_some());
}

#[test]
fn a_worker_without_a_node_by_the_deadline_is_failed_and_its_machine_ended() {
    let mut world = booting();
    world.later(MINUTE * 5);
    assert_eq!(failed(&world.plan()), None);
    world.later(SECOND);
    let plan = world.plan();
    assert_eq!(failed(&plan), Some(Failure::NeverJoined));
    assert!(plan.steps.is_empty());
    world.apply(&plan);
    let plan = world.plan();
    assert!(matches!(plan.steps[0].act, Act::Terminate { .. }));
    assert_eq!(plan.steps[0].before, Some(WorkerEvent::Terminate));
    assert_eq!(plan.steps[0].permit, Permit::Repair);
    world.run();
    assert_eq!(world.worker(1).state, WorkerState::Gone);
}

/// W-63: what is there and not Ready has not joined.
#[test]
fn a_node_that_is_not_ready_by_the_deadline_is_failed() {
    let mut world = World::of(2);
    world.set(1, WorkerState::Joined);
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    world.later(MINUTE * 5);
    assert!(moves(&world.plan()).is_empty());
    world.later(SECOND);
    assert_eq!(failed(&world.plan()), Some(Failure::NeverReady));
}

///
#[test]
fn a_worker_that_is_still_joining_is_left_alone() {
    let mut world = booting();
    world.later(MINUTE * 4);
    let plan = world.plan();
    assert!(plan.is_quiet(), "{plan:#?}");
}

#[test]
fn an_unknown_list_or_view_stops_the_clock_of_a_joining_worker() {
    let mut world = booting();
    world.later(MINUTE * 4);
    let seen = world.observed.clone();
    world.observed.instances.insert("workers".into(), View::Unknown { why: "timeout".into() });
    world.apply(&world.plan());
    world.now = duration::after(world.now, MINUTE * 30);
    assert!(world.plan().is_quiet(), "it stands still once");
    world.observed = seen;
    world.later(SECOND);
    let plan = world.plan();
    assert_eq!(failed(&plan), None, "four minutes of five are used");
    world.apply(&plan);
    world.later(MINUTE * 2);
    assert_eq!(failed(&world.plan()), Some(Failure::NeverJoined));
}

#[test]
fn a_machine_that_was_stopped_is_lost_and_ended_and_what_its_provider_says_is_told() {
    let mut world = World::of(2);
    world.pool().min = 2;
    world.instance(1).state = InstanceState::Stopped;
    world.instance(1).told = Some("exited with code 1".to_owned());
    assert_eq!(failed(&world.plan()), None, "its node says Ready: one of the two is wrong");
    world.sick(1);
    let plan = world.plan();
    assert_eq!(failed(&plan), Some(Failure::Lost));
    let told = format!("{:?}", plan.transitions);
    assert!(told.contains("exited with code 1"), "{told}");
    world.apply(&plan);
    let mut well = world.clone();
    well.node(1).readiness = Readiness::Ready;
    assert_eq!(well.plan().act(1), "none", "they contradict each other again");
    let plan = world.plan();
    assert_eq!(plan.act(1), "terminate");
    world.apply(&plan);
    world.instance(1).state = InstanceState::Stopped;
    world.sick(1);
    assert_eq!(world.plan().act(1), "terminate", "it does not end by itself");
    world.node(1).readiness = Readiness::Ready;
    assert_eq!(world.plan().act(1), "none", "nothing was drained");
}

#[test]
fn a_stopped_machine_that_is_to_stay_is_left_alone() {
    let spared: [fn(&mut World); 3] = [
        |world| world.pool().permanent = [worker_id(1).to_string()].into(),
        |world| world.instance(1).protected = true,
        |world| world.node(1).cordon = Cordon::Foreign,
    ];
    for spare in spared {
        let mut world = World::of(2);
        world.instance(1).state = InstanceState::Stopped;
        world.sick(1);
        spare(&mut world);
        let plan = world.plan();
        assert_eq!(failed(&plan), Some(Failure::Lost));
        world.apply(&plan);
        assert_eq!(world.plan().act(1), "none");
        // It runs again, and is well.
        world.node(1).readiness = Readiness::Ready;
        let id = world.instance(1).id.clone();
        world.instance(1).state = InstanceState::Running;
        let anew = world.plan();
        world.apply(&anew);
        world.run();
        let states: Vec<_> =
            world.memory.workers.values().map(|worker| (&worker.state, &worker.instance)).collect();
        assert!(states.contains(&(&WorkerState::Ready, &Some(id))), "{states:#?}");
    }
}

#[test]
fn a_machine_that_is_ending_or_gone_is_lost_and_its_node_removed() {
    for state in [InstanceState::Ending, InstanceState::Gone] {
        let mut world = World::of(2);
        world.instance(1).state = state;
        world.node(1).readiness = Readiness::NotReady { since: world.now };
        let plan = world.plan();
        assert_eq!(failed(&plan), Some(Failure::Lost), "{state:?}");
        world.apply(&plan);
        world.instance(1).state = InstanceState::Gone;
        let plans = world.run();
        let acts: Vec<&Act> = plans.iter().flat_map(|p| &p.steps).map(|s| &s.act).collect();
        assert!(matches!(acts[..], [Act::RemoveNode { .. }]), "{acts:?}");
        assert_eq!(world.worker(1).state, WorkerState::Gone);
    }
}

#[test]
fn a_machine_asked_for_a_moment_ago_may_be_missing_from_the_list() {
    let mut world = booting();
    world.instances("workers").remove(0);
    world.later(MINUTE);
    assert_eq!(failed(&world.plan()), None);
    world.later(MINUTE * 2);
    assert_eq!(failed(&world.plan()), Some(Failure::Lost));
}

#[test]
fn a_list_is_late_by_the_time_of_a_few_calls_and_never_by_long() {
    for (call, seconds) in [(SECOND, 4), (MINUTE, 120)] {
        let mut world = World::of(1);
        world.limits.timing.call = call;
        world.set(1, WorkerState::Booting);
        world.unlisted(1);
        world.unjoined(1);
        world.later(SECOND * (seconds - 1));
        assert_eq!(failed(&world.plan()), None);
        world.later(SECOND);
        assert_eq!(failed(&world.plan()), Some(Failure::Lost));
    }
}

/// a missing record.
#[test]
fn a_machine_without_a_record_is_adopted_and_serves() {
    let mut world = World::of(3);
    let record = world.memory.workers.remove(&"w1".into()).unwrap();
    let plan = world.plan();
    let [Transition::Adopt { worker, reason: Reason::Orphan }] = &plan.transitions[..] else {
        panic!("{plan:#?}");
    };
    assert_eq!((&worker.id, &worker.instance), (&record.id, &record.instance));
    world.run();
    assert_eq!(world.worker(1).state, WorkerState::Ready);
}

#[test]
fn an_adopted_machine_that_never_joins_is_ended() {
    let mut world = World::of(3);
    world.memory.workers.remove(&"w1".into());
    world.view().nodes.remove(0);
    world.apply(&world.plan());
    world.later(MINUTE * 6);
    world.run();
    assert_eq!(world.worker(1).state, WorkerState::Gone);
    assert_eq!(world.instance(1).state, InstanceState::Gone);
}

/// an orphan node.
#[test]
fn a_node_whose_machine_is_gone_is_removed_once() {
    let mut world = World::of(2);
    world.memory.workers.remove(&"w1".into());
    world.instances("workers").remove(0);
    assert!(world.plan().is_quiet(), "it says Ready");
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    assert!(world.plan().is_quiet(), "its machine may be listed late");
    world.later(MINUTE * 11);
    let plans = world.run();
    let acts: Vec<&Act> = plans.iter().flat_map(|plan| &plan.steps).map(|step| &step.act).collect();
    assert!(matches!(acts[..], [Act::RemoveNode { .. }]), "{acts:?}");
    assert_eq!(world.view().nodes.len(), 1);
}

/// only what is ours.
#[test]
fn machines_of_another_cluster_and_nodes_of_nobody_are_never_touched() {
    let mut world = World::of(2);
    world.memory.workers.remove(&"w1".into());
    world.instance(1).cluster_uid = Some("another".into());
    let node = world.node(1);
    (node.worker, node.pool) = (None, None);
    node.readiness = Readiness::NotReady { since: jiff::Timestamp::UNIX_EPOCH };
    world.down();
    world.pool().min = 1;
    assert!(world.plan().is_quiet(), "{:#?}", world.plan());
    world.instance(1).cluster_uid = None;
    assert!(world.plan().is_quiet());
}

#[test]
fn a_node_that_is_not_ready_for_long_is_repaired() {
    let mut world = World::of(4);
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    world.look();
    world.later(MINUTE * 10);
    assert!(world.plan().is_quiet());
    world.later(SECOND);
    assert_eq!(failed(&world.plan()), Some(Failure::NotReady));
    world.run();
    assert_eq!(world.worker(1).state, WorkerState::Gone);
}

/// Since when, is told by the control plane's clock, which may be wrong by any time.
#[test]
fn a_node_is_not_ready_for_long_only_if_both_clocks_say_so() {
    let hours = [duration::before, duration::after];
    for (skewed, patience) in hours.into_iter().zip([MINUTE * 10, MINUTE * 70]) {
        let mut world = World::of(4);
        world.node(1).readiness = Readiness::NotReady { since: skewed(world.now, MINUTE * 60) };
        world.look();
        world.later(patience);
        assert!(world.plan().is_quiet(), "{patience:?}");
        world.later(SECOND);
        assert_eq!(failed(&world.plan()), Some(Failure::NotReady), "{patience:?}");
    }
}

/// What it was before does not count.
#[test]
fn a_node_that_was_ready_in_between_is_not_ready_anew() {
    let mut world = World::of(4);
    world.sick_for(1, MINUTE * 9);
    world.node(1).readiness = Readiness::Ready;
    world.look();
    world.node(1).readiness = Readiness::NotReady { since: jiff::Timestamp::UNIX_EPOCH };
    world.later(MINUTE * 5);
    assert!(world.plan().is_quiet());
}

#[test]
fn many_sick_at_once_are_not_repaired() {
    let mut world = World::of(10);
    world.pool().max = 20;
    for number in 1..=4 {
        world.node(number).readiness = Readiness::NotReady { since: world.now };
    }
    world.look();
    world.later(MINUTE * 11);
    let decision = world.decision();
    assert_eq!(failed(&world.plan()), None);
    assert!(decision.also.contains(&Reason::RepairBudget { sick: 4, allowed: 3 }), "{decision:#?}");
    world.node(4).readiness = Readiness::Ready;
    assert_eq!(failed(&world.plan()), Some(Failure::NotReady));
}

#[test]
fn a_request_that_nothing_came_of_is_replayed_after_its_time_and_settled() {
    let mut world = World::of(0);
    world.up(Some(2));
    let plan = world.plan();
    world.apply(&plan);
    let crate::model::Verdict::Launch { intent, .. } = &plan.decisions[0].verdict else { panic!() };
    for worker in world.memory.workers.values_mut() {
        (worker.state, worker.instance) = (WorkerState::Requested, None);
    }
    world.memory.intents.insert(intent.request.batch.clone(), (**intent).clone());
    world.instances("workers").clear();
    assert!(world.plan().is_quiet(), "the call may still be under way");
    world.later(SECOND * 31);
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 1, "one replay for the batch");
    assert!(matches!(plan.steps[0].act, Act::Replay { .. }));
    assert!(plan.settled.is_empty());
    world.apply(&plan);
    assert_eq!(world.memory.workers.len(), 2);
    world.run();
    assert_eq!(world.instances("workers").len(), 2);
}

#[test]
fn a_request_whose_machine_is_listed_was_launched() {
    let mut world = World::of(1);
    world.set(1, WorkerState::Requested);
    world.worker(1).instance = None;
    assert!(matches!(moves(&world.plan())[..], [WorkerEvent::Launched { .. }]));
}

#[test]
fn a_request_without_an_intent_came_to_nothing() {
    let mut world = World::of(1);
    world.set(1, WorkerState::Requested);
    world.worker(1).instance = None;
    world.instances("workers").clear();
    world.view().nodes.clear();
    assert_eq!(failed(&world.plan()), Some(Failure::NotLaunched));
    world.run();
    assert_eq!(world.worker(1).state, WorkerState::Gone);
}

/// a wrong status.
#[test]
fn a_dry_run_follows_what_is_seen_and_calls_nothing() {
    let mut world = World::of(2);
    world.pool().mode = crate::config::Mode::DryRun;
    world.instance(1).state = InstanceState::Gone;
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    for _ in 0..4 {
        let plan = world.plan();
        assert!(plan.steps.is_empty(), "{plan:#?}");
        world.apply(&plan);
    }
}

#[test]
fn another_cluster_under_the_same_name_is_refused_whole() {
    let mut world = World::of(2);
    world.up(Some(1));
    world.pool().min = 5;
    world.view().uid = "another".into();
    let plan = world.plan();
    let reason = &plan.decisions[0].reason;
    let expected = Reason::OtherCluster { expected: "uid-1".into(), seen: "another".into() };
    assert_eq!(*reason, expected);
    assert!(reason.to_string().contains("store.url"), "{reason}");
    assert!(plan.is_quiet());
    assert_eq!(plan.memory.uid, Some("uid-1".into()), "it does not get used to it");
}

#[test]
fn a_control_plane_is_never_a_worker_whatever_its_labels_say() {
    let mut world = World::of(2);
    world.node(1).control_plane = true;
    world.down();
    world.pod_on(1, 1_900);
    world.pod_on(2, 200);
    assert_eq!(world.drains(), Vec::<String>::new());
}

#[test]
fn a_paused_repair_ends_no_machine() {
    let mut world = World::of(4);
    world.set(1, WorkerState::Failed { failure: Failure::NotReady });
    world.sick(1);
    world.silence("repair");
    let plan = world.plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert_eq!(plan.decisions[0].reason.code(), "paused");
}

/// Found by the simulation: a list that had lost a machine came back before its end was committed.
#[test]
fn a_machine_that_was_judged_dead_and_is_well_is_adopted_anew_and_not_ended() {
    for failure in [Failure::Lost, Failure::NotReady, Failure::NeverJoined, Failure::NeverReady] {
        let mut world = World::of(2);
        world.set(1, WorkerState::Failed { failure });
        let plan = world.plan();
        assert_eq!(plan.forget, ["w1".into()], "{failure:?}");
        assert!(plan.steps.is_empty());
        world.sick(1);
        assert_eq!(world.plan().act(1), "terminate", "{failure:?}");
    }
}

#[test]
fn a_stale_view_fails_replaces_and_adopts_nothing() {
    let mut world = World::of(4);
    world.node(1).readiness = Readiness::NotReady { since: jiff::Timestamp::UNIX_EPOCH };
    world.instance(2).notice = Some(world.now);
    world.memory.workers.remove(&"w3".into());
    world.later(MINUTE * 2);
    if let View::Known { at, .. } = &mut world.observed.cluster {
        *at = duration::before(*at, MINUTE * 2);
    }
    assert!(world.plan().is_quiet(), "{:#?}", world.plan());
}

/// Two workers; the first one's machine is seen as this node too.
fn anew(name: &str, readiness: Readiness) -> World {
    let mut world = World::of(2);
    let worker = world.worker(1).clone();
    world.add_node(&worker, NodeRef { name: name.into(), uid: "anew".into() });
    world.nodes().last().unwrap().readiness = readiness;
    world
}

/// W-60: a machine that is well is not repaired because its name changed.
#[test]
fn w_60_a_machine_that_registers_anew_is_bound_to_its_new_node() {
    let now = World::of(0).now;
    let long_ago = Readiness::NotReady { since: duration::before(now, MINUTE * 30) };
    for (old, new) in
        [(None, Readiness::Ready), (None, long_ago), (Some(long_ago), Readiness::Ready)]
    {
        let mut world = anew("renamed", new);
        match old {
            Some(readiness) => world.node(1).readiness = readiness,
            None => world.unjoined(1),
        }
        let plan = world.plan();
        let at = NodeRef { name: "renamed".into(), uid: "anew".into() };
        assert_eq!(moves(&plan), [&WorkerEvent::Joined { node: at }], "{old:?} {new:?}");
        assert!(plan.steps.is_empty());
    }
}

#[test]
fn a_worker_stays_bound_while_its_node_is_well_or_the_other_is_no_better() {
    let since = World::of(0).now;
    let sick = Readiness::NotReady { since };
    for (old, new) in [(Readiness::Ready, Readiness::Ready), (sick, sick)] {
        let mut world = anew("renamed", new);
        world.node(1).readiness = old;
        assert!(moves(&world.plan()).is_empty(), "{old:?} {new:?}");
    }
}

#[test]
fn a_worker_is_bound_to_none_of_two_ready_nodes_that_say_to_be_it() {
    let since = World::of(0).now;
    for (readiness, is_bound) in [(Readiness::Ready, false), (Readiness::NotReady { since }, true)]
    {
        let mut world = anew("renamed", Readiness::Ready);
        let worker = world.worker(1).clone();
        world.add_node(&worker, NodeRef { name: "another".into(), uid: "other".into() });
        world.nodes().last().unwrap().readiness = readiness;
        world.unjoined(1);
        assert_eq!(!moves(&world.plan()).is_empty(), is_bound, "{readiness:?}");
    }
}

#[test]
fn a_machine_that_registered_anew_has_a_join_deadline_of_its_own() {
    let since = World::of(0).now;
    let mut world = anew("renamed", Readiness::NotReady { since });
    world.unjoined(1);
    world.apply(&world.plan());
    assert_eq!(world.worker(1).state, WorkerState::Joined);
    world.later(MINUTE * 5);
    assert_eq!(failed(&world.plan()), None);
    world.later(SECOND);
    assert_eq!(failed(&world.plan()), Some(Failure::NeverReady));
    world.nodes().last().unwrap().readiness = Readiness::Ready;
    world.apply(&world.plan());
    assert_eq!(world.worker(1).state, WorkerState::Ready);
}
