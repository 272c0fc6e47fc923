//! Records follow what is seen; what is dead is ended, what is left over is cleared away.

use super::up::intent_of;
use super::world::{Read as _, World, launches, mins, secs, world};
use crate::model::{
    Act, BreakerState, Failure, InstanceState, Permit, Plan, Purpose, Readiness, Reason,
    Transition, WorkerState, duration,
};
use std::time::Duration;

fn adopted<'p>(plan: &'p Plan, id: &str) -> Option<&'p crate::model::Worker> {
    plan.transitions.iter().find_map(|transition| match transition {
        Transition::Adopt { worker, .. } if worker.id == id.into() => Some(worker),
        _ => None,
    })
}

#[test]
fn a_worker_goes_from_requested_to_ready_as_it_is_seen() {
    let mut world = world();
    world.record("workers", "w1", WorkerState::Requested, world.now);
    world.worker_mut("w1").batch = Some("b".into());
    let intent = intent_of(&world, "b", "w1");
    world.memory.intents.insert("b".into(), intent);
    assert_eq!(world.plan().moved("w1"), None, "nothing is seen yet");
    world.machine("workers", "w1", world.now, "a");
    assert_eq!(world.plan().moved("w1"), Some("launched"));
    world.worker_mut("w1").state = WorkerState::Booting;
    world.worker_mut("w1").instance = Some("i-w1".into());
    let plan = world.plan();
    assert_eq!(plan.moved("w1"), None);
    assert_eq!(plan.settled, ["b".into()], "every order has its machine");
    world.node("workers", "w1", world.now, "a");
    world.node_mut("w1").readiness = Readiness::NotReady { since: world.now };
    assert_eq!(world.plan().moved("w1"), Some("joined"));
    world.worker_mut("w1").state = WorkerState::Joined;
    assert_eq!(world.plan().moved("w1"), None);
    world.node_mut("w1").readiness = Readiness::Ready;
    assert_eq!(world.plan().moved("w1"), Some("became_ready"));
}

#[test]
fn an_open_launch_is_replayed_after_its_call_is_over_once_for_the_whole_batch() {
    let mut world = world();
    for id in ["w1", "w2"] {
        world.record("workers", id, WorkerState::Requested, world.now);
        world.worker_mut(id).batch = Some("b".into());
    }
    let intent = intent_of(&world, "b", "w1");
    world.memory.intents.insert("b".into(), intent);
    assert!(world.plan().steps.is_empty(), "the call may still be under way");
    world.pass_time(secs(31));
    let plan = world.plan();
    assert_eq!(plan.steps.len(), 1);
    assert_eq!(plan.steps[0].act, Act::Replay { batch: "b".into() });
}

#[test]
fn a_request_without_a_launch_to_resolve_came_to_nothing() {
    let mut world = world();
    world.record("workers", "w1", WorkerState::Requested, world.now);
    assert_eq!(world.plan().moved("w1"), Some("fail"));
}

///
#[test]
fn a_worker_that_is_still_joining_is_left_alone() {
    let mut world = world();
    world.booting("w1", mins(4));
    let plan = world.plan();
    assert!(plan.transitions.is_empty() && plan.steps.is_empty(), "{plan:?}");
    let mut world = super::world::world();
    world.booting("w1", secs(10));
    world.instances.values_mut().for_each(Vec::clear);
    assert_eq!(world.plan().moved("w1"), None, "lists are late");
    let mut world = super::world::world();
    world.node("workers", "x1", world.now, "a");
    world.node_mut("x1").readiness = Readiness::NotReady { since: world.now };
    assert!(adopted(&world.plan(), "x1").is_none(), "its machine may not be listed yet");
}

#[test]
fn what_never_joins_or_never_gets_ready_is_ended() {
    let mut world = world();
    world.booting("w1", mins(6));
    assert_eq!(world.plan().moved("w1"), Some("fail"));
    world.worker_mut("w1").state = WorkerState::Failed { failure: Failure::NeverJoined };
    let plan = world.plan();
    let step = plan.step_of("w1").unwrap();
    assert!(matches!(step.act, Act::Terminate { .. }));
    assert_eq!(
        (&step.permit, &step.reason),
        (&Permit::Repair, &Reason::NeverJoined { after: "5m".to_owned() })
    );
    let mut world = super::world::world();
    world.ready_worker("workers", "w1", mins(6));
    world.worker_mut("w1").state = WorkerState::Joined;
    world.node_mut("w1").readiness = Readiness::NotReady { since: world.now };
    assert_eq!(world.plan().moved("w1"), Some("fail"));
}

#[test]
fn the_join_deadline_stands_still_while_it_cannot_be_seen() {
    let mut world = world();
    world.booting("w1", mins(3));
    world.cluster_unknown = true;
    let plan = world.plan();
    let [Transition::Clock { worker }] = plan.transitions.as_slice() else { panic!("{plan:?}") };
    world.memory.workers.insert("w1".into(), worker.clone());
    world.pass_time(mins(10));
    assert!(world.plan().transitions.is_empty(), "it stands already");
    world.cluster_unknown = false;
    let plan = world.plan();
    assert!(matches!(plan.transitions.as_slice(), [Transition::Clock { .. }]), "{plan:?}");
}

///
#[test]
fn a_lost_machine_is_noticed_and_its_place_restored() {
    let mut world = world().with_workers(2);
    world.pool().min = 2;
    world.lose("w1");
    assert_eq!(world.plan().moved("w1"), Some("fail"));
    world.worker_mut("w1").state = WorkerState::Failed { failure: Failure::Lost };
    let plan = world.plan();
    assert_eq!(launches(plan.of("workers")), 1, "at once");
    assert_eq!(plan.moved("w1"), Some("terminate"), "it is gone: no call");
}

#[test]
fn a_list_that_is_empty_by_error_loses_nobody_whose_node_is_ready() {
    let mut world = world().with_workers(3);
    world.pool().min = 3;
    world.instances.values_mut().for_each(Vec::clear);
    let plan = world.plan();
    assert!(plan.transitions.is_empty(), "{plan:?}");
    assert_eq!(launches(plan.of("workers")), 0);
}

#[test]
fn not_ready_for_too_long_is_repaired_within_the_repair_budget() {
    let mut world = world().with_workers(4);
    let since = duration::before(world.now, mins(11));
    world.node_mut("w1").readiness = Readiness::NotReady { since };
    assert_eq!(world.plan().moved("w1"), Some("fail"));
    world.node_mut("w2").readiness = Readiness::NotReady { since };
    let plan = world.plan();
    assert_eq!((plan.moved("w1"), plan.moved("w2")), (None, None));
    let also = &plan.of("workers").also;
    assert!(also.contains(&Reason::RepairBudget { sick: 2, allowed: 1 }), "{also:?}");
}

#[test]
fn permanent_protected_and_human_cordoned_workers_are_not_repaired_away() {
    let breaks: [fn(&mut World); 3] = [
        |world| _ = world.pool().permanent.insert("w1".to_owned()),
        |world| world.instance_mut("w1").protected = true,
        |world| world.node_mut("w1").cordon = crate::model::Cordon::Foreign,
    ];
    for (number, break_it) in breaks.iter().enumerate() {
        let mut world = world().with_workers(4);
        let since = duration::before(world.now, mins(11));
        world.node_mut("w1").readiness = Readiness::NotReady { since };
        break_it(&mut world);
        let plan = world.plan();
        assert_eq!(plan.moved("w1"), None, "case {number}");
        assert!(!plan.of("workers").also.is_empty(), "case {number} says why");
    }
}

#[test]
fn a_protected_machine_that_never_joined_is_not_asked_to_end() {
    let mut world = world();
    world.booting("w1", mins(6));
    world.worker_mut("w1").state = WorkerState::Failed { failure: Failure::NeverJoined };
    world.instance_mut("w1").protected = true;
    let plan = world.plan();
    assert!(plan.step_of("w1").is_none());
    assert!(plan.of("workers").also.contains(&Reason::Protected));
}

#[test]
fn a_ready_worker_whose_node_object_vanished_is_ended_after_the_same_deadline() {
    let mut world = world().with_workers(4);
    world.nodes.retain(|node| node.worker != Some("w1".into()));
    let plan = world.plan();
    assert_eq!(plan.moved("w1"), None);
    world.memory.cluster = plan.memory;
    world.pass_time(mins(11));
    assert_eq!(world.plan().moved("w1"), Some("fail"));
}

/// W-20
#[test]
fn w_20_a_machine_of_ours_without_a_record_is_adopted_and_one_of_others_is_not() {
    let mut world = world();
    world.machine("workers", "x1", world.now, "a");
    world.machine("workers", "x2", world.now, "a");
    world.instance_mut("x2").cluster_uid = Some("another".into());
    world.machine("workers", "x3", world.now, "a");
    world.instance_mut("x3").cluster_uid = None;
    let plan = world.plan();
    assert_eq!(adopted(&plan, "x1").map(|worker| &worker.state), Some(&WorkerState::Booting));
    assert!(adopted(&plan, "x2").is_none() && adopted(&plan, "x3").is_none());
    assert!(plan.steps.is_empty());
}

#[test]
fn a_machine_that_turns_up_after_its_record_ended_is_adopted_again() {
    let mut world = world();
    let ended = duration::before(world.now, mins(3));
    world.record("workers", "w1", WorkerState::Gone, ended);
    world.machine("workers", "w1", ended, "a");
    assert!(adopted(&world.plan(), "w1").is_some());
    world.pool().min = 1;
    assert_eq!(launches(&world.decision()), 0, "and counted");
}

#[test]
fn a_node_whose_machine_is_gone_is_removed_and_that_can_be_paused() {
    let mut world = world();
    let long_ago = duration::before(world.now, mins(11));
    world.node("workers", "x1", long_ago, "a");
    world.node_mut("x1").readiness = Readiness::NotReady { since: long_ago };
    let record = adopted(&world.plan(), "x1").cloned().unwrap();
    world.memory.workers.insert(record.id.clone(), record);
    let plan = world.plan();
    let step = plan.step_of("x1").unwrap();
    assert!(matches!(step.act, Act::RemoveNode { .. }));
    assert_eq!(step.permit, Permit::Gc);
    let mut other = super::world::world();
    other.node("workers", "x1", long_ago, "a");
    assert!(adopted(&other.plan(), "x1").is_none(), "a Ready one contradicts the list");
}

#[test]
fn a_node_of_the_same_name_with_another_uid_is_another_machine() {
    let mut world = world().with_workers(1);
    world.leaving("w1", WorkerState::Terminating, Purpose::Idle);
    world.instance_mut("w1").state = InstanceState::Gone;
    world.node_mut("w1").at.uid = "reborn".into();
    let plan = world.plan();
    assert!(plan.step_of("w1").is_none());
    assert_eq!(plan.moved("w1"), Some("finished"));
}

#[test]
fn records_of_gone_workers_are_dropped_after_their_time() {
    let mut world = world();
    world.record("workers", "w1", WorkerState::Gone, world.now);
    assert!(world.plan().forget.is_empty());
    world.pass_time(Duration::from_mins(61));
    assert_eq!(world.plan().forget, ["w1".into()]);
}

// --- breaker ---

fn breaker(plan: &Plan) -> crate::model::Breaker {
    plan.pools[&"workers".into()].breaker
}

#[test]
fn while_one_is_on_trial_no_other_is_launched() {
    let mut world = world();
    world.up();
    world.pending(3, 1_900);
    world.booting("w1", secs(20));
    let past = duration::before(world.now, secs(30));
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.breaker.state = BreakerState::HalfOpen;
    memory.breaker.retry_at = Some(past);
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    assert!(matches!(decision.reason, Reason::BreakerOpen { .. }));
}

#[test]
fn workers_that_place_none_of_their_pods_open_the_breaker_for_a_growing_time() {
    let mut world = world();
    world.up();
    world.pending(1, 1_950);
    let mut waits = Vec::new();
    for round in 0..3 {
        let id = format!("w{round}");
        world.ready_worker("workers", &id, mins(2));
        world.running_on(&id, 1_000);
        world.worker_mut(&id).batch = Some(id.as_str().into());
        let uid = world.pods[0].uid.clone();
        let memory = world.memory.pools.entry("workers".into()).or_default();
        memory.watching.insert(id.as_str().into(), vec![uid]);
        let plan = world.plan();
        let breaker = breaker(&plan);
        assert_eq!(breaker.state, BreakerState::Open);
        waits.push(duration::until(breaker.retry_at.unwrap(), world.now));
        world.memory.pools = plan.pools;
        world.pass_time(mins(40));
        // The next one becomes Ready: that alone is no help.
        let next = format!("w{}", round + 1);
        let memory = world.memory.pools.entry("workers".into()).or_default();
        memory.watching.insert(next.as_str().into(), vec![world.pods[0].uid.clone()]);
        world.ready_worker("workers", &next, secs(20));
        world.worker_mut(&next).batch = Some(next.as_str().into());
        world.worker_mut(&next).state = WorkerState::Joined;
        let plan = world.plan();
        assert_eq!(plan.moved(&next), Some("became_ready"));
        world.memory.pools = plan.pools;
        world.memory.workers.remove(&next.as_str().into());
        world.nodes.retain(|node| node.worker != Some(next.as_str().into()));
        world.instances.values_mut().for_each(|list| {
            list.retain(|instance| instance.worker != Some(next.as_str().into()));
        });
    }
    assert_eq!(waits, [mins(3), mins(6), mins(12)]);
}

#[test]
fn a_batch_that_placed_a_pod_closes_the_breaker() {
    let mut world = world();
    world.ready_worker("workers", "w1", mins(2));
    world.worker_mut("w1").batch = Some("b".into());
    let placed = world.running_on("w1", 100).uid.clone();
    world.pending(1, 1_950);
    let left = world.pods[1].uid.clone();
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.watching.insert("b".into(), vec![placed, left]);
    memory.breaker.state = BreakerState::HalfOpen;
    memory.breaker.failures = 3;
    let breaker = breaker(&world.plan());
    assert_eq!((breaker.state, breaker.failures), (BreakerState::Closed, 0));
}

#[test]
fn a_pod_that_was_not_helped_twice_is_no_need_for_a_growing_time() {
    let mut world = world();
    world.up();
    world.pending(1, 1_950);
    let uid = world.pods[0].uid.clone();
    for round in 0..3 {
        let id = format!("w{round}");
        world.ready_worker("workers", &id, mins(2));
        world.running_on(&id, 1_000);
        world.worker_mut(&id).batch = Some(id.as_str().into());
        let memory = world.memory.pools.entry("workers".into()).or_default();
        memory.watching.insert(id.as_str().into(), vec![uid.clone()]);
        memory.breaker = crate::model::Breaker::default();
        let plan = world.plan();
        world.memory.pools = plan.pools;
    }
    let unhelpable = world.memory.pools[&"workers".into()].unhelpable[&uid];
    assert_eq!(unhelpable.vain, 3);
    assert_eq!(unhelpable.until, Some(duration::after(world.now, mins(10))));
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    let told = |reason: &Reason| matches!(reason, Reason::Unhelpable { pods: 1, .. });
    assert!(told(&decision.reason) || decision.also.iter().any(told), "{decision:?}");
}

#[test]
fn a_step_alert_that_persists_never_opens_the_breaker() {
    let mut world = world().with_workers(2);
    world.up_step(1);
    for _ in 0..20 {
        let plan = world.plan();
        assert_eq!(breaker(&plan).state, BreakerState::Closed);
        world.memory.pools = plan.pools;
        world.pass_time(mins(10));
    }
}
