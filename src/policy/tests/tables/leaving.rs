//! Workers on their way out, and the end of each.

use super::world::{Read as _, World, launches, mins, peer, secs, world};
use crate::model::{
    Act, Cordon, InstanceState, Permit, Plan, Purpose, Readiness, Reason, Transition, WorkerEvent,
    WorkerState, duration,
};
use std::time::Duration;

/// Two workers, the first on its way out; the alert that asked for it still counts.
fn leaving(state: WorkerState) -> World {
    let mut world = world().with_workers(2);
    world.running_on("w1", 100);
    world.down();
    world.leaving("w1", state, Purpose::Idle);
    world
}

fn act(plan: &Plan) -> &'static str {
    match plan.step_of("w1").map(|step| &step.act) {
        None => "none",
        Some(Act::Cordon { .. }) => "cordon",
        Some(Act::Evict { .. }) => "evict",
        Some(Act::Uncordon { .. }) => "uncordon",
        Some(Act::Terminate { .. }) => "terminate",
        Some(Act::RemoveNode { .. }) => "remove_node",
        Some(Act::Replay { .. }) => "replay",
    }
}

#[test]
fn a_drain_goes_one_step_each_pass() {
    let plan = leaving(WorkerState::Cordoned).plan();
    assert_eq!(act(&plan), "evict");
    assert_eq!(plan.step_of("w1").unwrap().before, Some(WorkerEvent::StartDrain));
    let plan = leaving(WorkerState::Draining).plan();
    assert_eq!((act(&plan), &plan.step_of("w1").unwrap().before), ("evict", &None));
    let mut world = leaving(WorkerState::Drained);
    assert_eq!(act(&world.plan()), "evict", "a pod is left");
    world.pods.clear();
    let plan = world.plan();
    assert_eq!(act(&plan), "terminate");
    assert_eq!(plan.step_of("w1").unwrap().before, Some(WorkerEvent::Terminate));
}

#[test]
fn a_cordon_that_did_not_happen_is_asked_again_while_its_alert_counts() {
    let mut world = leaving(WorkerState::Cordoned);
    world.node_mut("w1").cordon = Cordon::None;
    assert_eq!(act(&world.plan()), "cordon");
    world.over("PoolIdle");
    assert_eq!(act(&world.plan()), "uncordon");
}

#[test]
fn an_alert_that_resolves_lets_the_drain_go_on() {
    let mut world = leaving(WorkerState::Draining);
    world.over("PoolIdle");
    assert_eq!(act(&world.plan()), "evict");
}

#[test]
fn a_pause_that_is_set_in_the_middle_gives_the_worker_back() {
    for (label, value) in [("alertname", "PoolIdle"), ("autoscale", "down")] {
        let mut world = leaving(WorkerState::Draining);
        world.silence(label, value);
        let plan = world.plan();
        assert_eq!(act(&plan), "uncordon");
        assert!(matches!(plan.step_of("w1").unwrap().reason, Reason::Paused { .. }));
        assert!(plan.memory.refusals.is_empty(), "that is no fault of the worker's");
    }
}

#[test]
fn monitoring_that_is_away_suspends_a_drain_and_its_clock() {
    let breaks: [fn(&mut World); 3] = [
        |world| world.truth.peers[0] = peer("http://am:9093", None),
        |world| world.truth.peers[0].started = Some(world.now),
        |world| world.signals.retain(|signal| signal.name != "Watchdog"),
    ];
    for break_it in breaks {
        for purpose in [Purpose::Idle, Purpose::Replace] {
            let mut world = leaving(WorkerState::Draining);
            world.worker_mut("w1").purpose = Some(purpose);
            break_it(&mut world);
            let plan = world.plan();
            assert_eq!(act(&plan), "none");
            let stands = |transition: &Transition| matches!(transition, Transition::Clock { worker } if worker.held_since.is_some());
            assert!(plan.transitions.iter().any(stands), "{plan:?}");
        }
    }
}

#[test]
fn time_that_stood_still_does_not_count_towards_the_deadline() {
    let mut world = leaving(WorkerState::Draining);
    let now = world.now;
    let worker = world.worker_mut("w1");
    worker.deadline_from = duration::before(now, mins(9));
    worker.held_since = Some(duration::before(now, mins(8)));
    let plan = world.plan();
    assert_eq!(act(&plan), "none", "first the clock goes on");
    for transition in plan.transitions {
        if let Transition::Clock { worker } = transition {
            world.memory.workers.insert(worker.id.clone(), worker);
        }
    }
    assert_eq!(act(&world.plan()), "evict");
}

#[test]
fn past_its_deadline_a_worker_is_given_back_for_an_hour_then_two() {
    let mut world = leaving(WorkerState::Draining);
    world.worker_mut("w1").deadline_from = duration::before(world.now, mins(6));
    let plan = world.plan();
    assert_eq!(act(&plan), "uncordon");
    assert!(matches!(plan.step_of("w1").unwrap().reason, Reason::DrainDeadline { .. }));
    let refusal = |plan: &Plan| plan.memory.refusals[&"w1".into()].clone();
    assert_eq!(refusal(&plan).until, duration::after(world.now, Duration::from_hours(1)));
    world.memory.cluster = plan.memory;
    let again = world.plan();
    assert_eq!(refusal(&again).count, 1, "a failed uncordon is no second refusal");
    world.pass_time(mins(61));
    let plan = world.plan();
    assert_eq!(refusal(&plan).until, duration::after(world.now, Duration::from_hours(2)));
}

#[test]
fn a_foreign_cordon_on_the_way_out_is_not_ours_to_drain_but_waits() {
    let mut world = leaving(WorkerState::Drained);
    world.pods.clear();
    world.node_mut("w1").cordon = Cordon::None;
    assert_ne!(act(&world.plan()), "terminate", "somebody opened it: pods may come");
}

#[test]
fn a_committed_termination_is_repeated_until_the_machine_is_gone_then_the_node_goes() {
    let mut world = leaving(WorkerState::Terminating);
    assert_eq!(act(&world.plan()), "terminate");
    world.instance_mut("w1").state = InstanceState::Ending;
    assert_eq!(act(&world.plan()), "none");
    world.instance_mut("w1").state = InstanceState::Gone;
    assert_eq!(act(&world.plan()), "remove_node");
    world.nodes.retain(|node| node.worker != Some("w1".into()));
    assert_eq!(world.plan().moved("w1"), Some("finished"));
}

#[test]
fn a_committed_termination_is_never_taken_back_and_is_asked_for_the_pause() {
    let mut world = leaving(WorkerState::Terminating);
    world.up_step(3);
    assert_eq!(act(&world.plan()), "terminate");
    let permit = world.plan().step_of("w1").unwrap().permit.clone();
    assert!(matches!(permit, Permit::Down { .. }), "{permit:?}");
}

#[test]
fn nothing_is_terminated_from_an_unknown_or_stale_view() {
    let breaks: [fn(&mut World); 4] = [
        |world| world.cluster_unknown = true,
        |world| _ = world.lists_unknown.insert("workers".into()),
        |world| world.view_age = secs(61),
        |world| world.list_age = secs(61),
    ];
    for state in [WorkerState::Draining, WorkerState::Drained, WorkerState::Terminating] {
        for break_it in breaks {
            let mut world = leaving(state.clone());
            world.pods.clear();
            break_it(&mut world);
            assert_eq!(act(&world.plan()), "none", "{state}");
        }
    }
}

#[test]
fn the_down_cooldown_starts_when_the_last_one_is_gone() {
    let mut world = leaving(WorkerState::Terminating);
    world.worker_mut("w1").since = duration::before(world.now, mins(3));
    world.lose("w1");
    world.nodes.retain(|node| node.worker != Some("w1".into()));
    let plan = world.plan();
    assert_eq!(plan.moved("w1"), Some("finished"));
    assert_eq!(plan.pools[&"workers".into()].down_ended, Some(world.now));
}

#[test]
fn restore_repair_and_replace_start_no_cooldown() {
    let mut world = leaving(WorkerState::Terminating);
    world.worker_mut("w1").purpose = Some(Purpose::Replace);
    world.lose("w1");
    world.nodes.retain(|node| node.worker != Some("w1".into()));
    assert!(world.plan().pools[&"workers".into()].down_ended.is_none());
    let mut world = super::world::world();
    world.pool().min = 1;
    let plan = world.plan();
    assert_eq!(launches(plan.of("workers")), 1);
    assert!(plan.pools[&"workers".into()].up_started.is_none());
}

// --- replace ---

#[test]
fn a_sick_node_is_replaced_launch_first_then_drain() {
    let mut world = world().with_workers(2);
    world.pool().max = 2;
    world.replace("w1");
    let plan = world.plan();
    assert_eq!(launches(plan.of("workers")), 1, "max and one surge");
    assert!(plan.step_of("w1").is_none(), "the old one stays until the new one is Ready");
    let memory = &plan.pools[&"workers".into()];
    let batch = memory.replacing[&"w1".into()].clone();
    world.memory.pools = plan.pools.clone();
    world.ready_worker("workers", "new", secs(60));
    world.worker_mut("new").batch = Some(batch);
    let plan = world.plan();
    let step = plan.step_of("w1").unwrap();
    assert!(matches!(step.act, Act::Cordon { .. }));
    assert_eq!(step.before, Some(WorkerEvent::Cordon { purpose: Purpose::Replace }));
    assert_eq!(launches(plan.of("workers")), 0);
}

#[test]
fn a_replacement_that_matches_the_same_alert_stops_it() {
    let mut world = world().with_workers(1);
    world.replace("w1");
    world.ready_worker("workers", "new", secs(60));
    world.worker_mut("new").batch = Some("b".into());
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.replacing.insert("w1".into(), "b".into());
    world.pass_time(secs(1));
    let ask = crate::model::Ask::Replace { node: Some("n-new".into()) };
    world.alert("NodeSick2", ask, Some("workers"));
    let plan = world.plan();
    assert!(plan.step_of("w1").is_none() && plan.step_of("new").is_none());
    let also = &plan.of("workers").also;
    assert!(also.iter().any(|reason| matches!(reason, Reason::ReplacementToo { .. })), "{plan:?}");
}

#[test]
fn a_node_that_is_younger_than_the_alert_is_not_the_one_it_speaks_of() {
    let mut world = world().with_workers(1);
    world.replace("w1");
    world.node_mut("w1").created = duration::after(world.now, secs(1));
    assert_eq!(launches(&world.decision()), 0);
}

#[test]
fn one_at_a_time_and_so_many_per_hour_are_replaced() {
    let mut world = world().with_workers(3);
    world.pool().max_age = Some(Duration::from_hours(1));
    assert_eq!(launches(&world.decision()), 1);
    world.pool().replacements_per_hour = 2;
    world.memory.cluster.replacements = vec![world.now, world.now];
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    assert!(decision.also.contains(&Reason::ReplacePerHour { limit: 2 }), "{decision:?}");
}

#[test]
fn max_age_waits_while_monitoring_is_away() {
    let mut world = world().with_workers(1);
    world.pool().max_age = Some(Duration::from_hours(1));
    assert_eq!(launches(&world.decision()), 1);
    world.truth.peers[0] = peer("http://am:9093", None);
    assert_eq!(launches(&world.decision()), 0);
}

#[test]
fn a_not_ready_node_can_still_be_replaced() {
    let mut world = world().with_workers(1);
    world.replace("w1");
    world.node_mut("w1").readiness = Readiness::NotReady { since: world.now };
    assert_eq!(launches(&world.decision()), 1);
}

#[test]
fn a_worker_that_is_given_up_in_a_pass_is_not_replaced_in_the_same_one() {
    let mut world = world().with_workers(4);
    let since = duration::before(world.now, mins(11));
    world.node_mut("w1").readiness = Readiness::NotReady { since };
    world.instance_mut("w1").notice = Some(duration::after(world.now, mins(2)));
    let plan = world.plan();
    assert_eq!(plan.moved("w1"), Some("fail"));
    assert!(plan.step_of("w1").is_none(), "{plan:?}");
}

#[test]
fn our_own_mark_on_a_worker_that_is_not_leaving_is_taken_away() {
    let mut world = world().with_workers(1);
    world.node_mut("w1").cordon = Cordon::Ours;
    assert_eq!(act(&world.plan()), "uncordon");
}
