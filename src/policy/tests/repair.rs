//! What is dead, lost or left over: ended, spared, cleared away. How records follow is in `records`.

use crate::config::Mode;
use crate::model::{
    Cordon, Failure, InstanceState, Permit, Purpose, Readiness, Reason, Verdict, WorkerEvent,
    WorkerState,
};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, World};

#[test]
fn a_launch_is_settled_when_every_order_has_its_machine() {
    let mut world = World::of(0);
    world.up(Some(2));
    let plan = world.plan();
    world.commit(&plan);
    assert!(world.plan().settled.is_empty());
    let Verdict::Launch { intent } = &plan.decisions[0].verdict else { panic!("{plan:#?}") };
    world.buy(intent);
    let batch = intent.request.batch.clone();
    world.memory.intents.insert(batch.clone(), (**intent).clone());
    assert_eq!(world.plan().settled, [batch]);
}

///
#[test]
fn a_lost_machine_is_noticed_and_its_place_restored_at_once() {
    let mut world = World::of(2);
    world.pool().min = 2;
    world.lose(1);
    let plan = world.plan();
    assert_eq!(plan.failure(1), Some(Failure::Lost));
    world.apply(&plan);
    assert_eq!(world.launches(), 1);
    world.later(MINUTE * 2);
    let plan = world.plan();
    assert_eq!(plan.event(1).map(WorkerEvent::name), Some("terminate"), "it is gone: no call");
    assert_eq!(plan.act(1), "none");
}

#[test]
fn the_machine_of_a_worker_that_never_joined_is_ended_and_the_reason_told() {
    let mut world = World::of(0);
    let number = world.booting(MINUTE * 6);
    world.apply(&world.plan());
    let plan = world.plan();
    let step = plan.step(number).unwrap();
    assert_eq!(plan.act(number), "terminate");
    assert_eq!(step.reason, Reason::NeverJoined { after: "5m".to_owned() });
    world.instance(number).protected = true;
    let plan = world.plan();
    assert_eq!(plan.act(number), "none", "the provider would refuse");
    assert!(plan.of("workers").also.contains(&Reason::Protected));
}

#[test]
fn in_a_small_pool_one_may_always_be_sick() {
    let mut world = World::of(2);
    world.sick(1);
    assert_eq!(world.plan().failure(1), Some(Failure::NotReady));
    world.sick(2);
    let plan = world.plan();
    assert_eq!((plan.failure(1), plan.failure(2)), (None, None));
    assert!(plan.of("workers").also.contains(&Reason::RepairBudget { sick: 2, allowed: 1 }));
}

/// Nobody tells an apiserver that is ill from ten pools of one worker each that are.
#[test]
fn many_pools_of_one_worker_each_are_judged_together() {
    let mut world = World::of(1);
    for number in 2..=10 {
        let name = format!("pool-{number}");
        world.add_pool(&name, 3);
        world.ready(&name);
    }
    (1..=4).for_each(|number| world.sick(number));
    let plan = world.plan();
    assert!((1..=4).all(|number| plan.failure(number).is_none()));
    let told = Reason::RepairBudget { sick: 4, allowed: 3 };
    assert!(plan.of("pool-4").also.contains(&told), "{:#?}", plan.of("pool-4"));
    world.node(4).readiness = Readiness::Ready;
    assert_eq!(world.plan().failure(1), Some(Failure::NotReady), "three of ten may be");
}

/// Else one after the other could go, each time within the budget.
#[test]
fn a_repair_that_is_under_way_counts_as_sick() {
    for state in [WorkerState::Failed { failure: Failure::NotReady }, WorkerState::Terminating] {
        let mut world = World::of(4);
        world.set(1, state.clone());
        world.worker(1).purpose = None;
        world.sick(2);
        let plan = world.plan();
        assert_eq!(plan.failure(2), None, "{state:?}");
        let told = Reason::RepairBudget { sick: 2, allowed: 1 };
        assert!(plan.of("workers").also.contains(&told), "{state:?}");
    }
}

#[test]
fn permanent_protected_kept_and_human_cordoned_workers_are_not_repaired_away() {
    type Change = fn(&mut World);
    let mark = "karpenter.sh/do-not-disrupt=true";
    let changes: [(Reason, Change); 5] = [
        (Reason::Permanent, |world| _ = world.pool().permanent.insert("w1".to_owned())),
        (Reason::Permanent, |world| _ = world.pool().permanent.insert("n1".to_owned())),
        (Reason::Protected, |world| world.instance(1).protected = true),
        (Reason::ForeignCordon, |world| world.node(1).cordon = Cordon::Foreign),
        (Reason::Kept { mark: mark.to_owned() }, |world| {
            world.node(1).kept = Some("karpenter.sh/do-not-disrupt=true".to_owned());
        }),
    ];
    for (reason, change) in changes {
        let mut world = World::of(4);
        world.sick(1);
        change(&mut world);
        let plan = world.plan();
        assert_eq!(plan.failure(1), None, "{reason}");
        assert!(plan.of("workers").also.contains(&reason), "{reason}");
    }
}

/// Its node was deleted while its kubelet was silent, and the one that came in its place was not Ready in time.
#[test]
fn a_permanent_worker_is_not_ended_whatever_it_failed_by() {
    let mut world = World::of(2);
    world.set(1, WorkerState::Failed { failure: Failure::NeverReady });
    world.worker(1).purpose = None;
    world.sick(1);
    assert_eq!(world.plan().act(1), "terminate");
    for name in ["w1", "n1"] {
        world.pool().permanent = [name.to_owned()].into();
        let plan = world.plan();
        assert_eq!(plan.act(1), "none", "{name}");
        assert!(plan.of("workers").also.contains(&Reason::Permanent), "{name}");
    }
}

#[test]
fn a_ready_worker_whose_node_object_vanished_is_ended_after_the_same_deadline() {
    let mut world = World::of(4);
    let node = world.node(1).clone();
    let vanishes = |world: &mut World| {
        world.unjoined(1);
        world.apply(&world.plan());
        world.later(MINUTE * 10);
        assert_eq!(world.plan().failure(1), None);
    };
    vanishes(&mut world);
    world.view().nodes.push(std::sync::Arc::new(node));
    world.apply(&world.plan());
    vanishes(&mut world);
    world.later(SECOND);
    assert_eq!(world.plan().failure(1), Some(Failure::NotReady), "it was seen in between");
}

#[test]
fn a_machine_that_was_taken_for_left_over_and_is_there_after_all_is_not_ended() {
    let mut world = World::of(2);
    world.set(1, WorkerState::Terminating);
    world.worker(1).instance = None;
    world.sick(1);
    let plan = world.plan();
    assert!(plan.steps.is_empty());
    assert_eq!(plan.forget, ["w1".into()]);
}

/// A list had lost it, or it came back before its end.
#[test]
fn a_machine_that_was_taken_for_dead_and_is_well_is_adopted_anew_and_not_ended() {
    let mut world = World::of(2);
    world.set(1, WorkerState::Terminating);
    let plan = world.plan();
    assert!(plan.steps.is_empty(), "{plan:#?}");
    assert_eq!(plan.forget, ["w1".into()]);
    world.apply(&plan);
    world.run();
    assert_eq!(world.worker(1).state, WorkerState::Ready);
    assert_eq!(world.memory.workers.len(), 2);
}

#[test]
fn a_committed_end_is_repeated_until_the_machine_is_gone_then_the_node_goes_then_the_record() {
    let mut world = World::of(2);
    world.leaving(1, WorkerState::Terminating, Purpose::Idle);
    assert_eq!(world.plan().act(1), "terminate");
    world.instance(1).state = InstanceState::Ending;
    assert_eq!(world.plan().act(1), "none");
    let mut early = world.clone();
    early.unjoined(1);
    assert_eq!(early.plan().event(1), None, "it is not gone yet");
    world.instance(1).state = InstanceState::Gone;
    assert_eq!(world.plan().act(1), "none", "its node says Ready: one of the two is wrong");
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    let plan = world.plan();
    assert_eq!((plan.act(1), &plan.step(1).unwrap().permit), ("remove node", &Permit::Begun));
    world.node(1).at.uid = "reborn".into();
    let plan = world.plan();
    assert_eq!(plan.act(1), "none", "a node of the same name is another machine");
    assert_eq!(plan.event(1).map(WorkerEvent::name), Some("finished"));
}

#[test]
fn a_left_over_node_goes_under_its_own_word_so_that_it_can_be_paused() {
    let mut world = World::of(2);
    world.unrecorded(1);
    world.unlisted(1);
    world.sick(1);
    world.apply(&world.plan());
    let plan = world.plan();
    assert_eq!((plan.act(1), &plan.step(1).unwrap().permit), ("remove node", &Permit::Gc));
}

/// A mark that no record speaks of.
#[test]
fn our_own_mark_on_a_worker_that_is_not_leaving_is_taken_away_and_not_in_a_dry_run() {
    let mut world = World::of(1);
    world.node(1).cordon = Cordon::Ours;
    assert_eq!(world.plan().act(1), "uncordon");
    world.apply(&world.plan());
    assert_eq!(world.node(1).cordon, Cordon::None);
    world.node(1).cordon = Cordon::Ours;
    world.pool().mode = Mode::DryRun;
    assert!(world.plan().steps.is_empty());
}

/// W-02: neither the list nor the node is believed.
#[test]
fn an_empty_list_beside_ready_nodes_loses_nobody() {
    let mut world = World::of(3);
    world.pool().min = 3;
    world.instances("workers").clear();
    let plan = world.plan();
    assert!(plan.is_quiet(), "{plan:#?}");
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    assert_eq!(world.plan().failure(1), None, "the others tell that the list is wrong");
}

/// An empty answer by error: nothing follows for a worker whose node happens to be away just then.
#[test]
fn a_list_that_lacks_machines_whose_nodes_are_ready_proves_no_loss() {
    let lost = |lacks: &[&str]| {
        let mut world = World::of(3);
        world.node(1).readiness = Readiness::NotReady { since: world.now };
        world.instances("workers").retain(|machine| !lacks.contains(&machine.id.as_str()));
        world.plan().failure(1)
    };
    assert_eq!(lost(&["i1"]), Some(Failure::Lost), "it alone is gone");
    assert_eq!(lost(&["i1", "i2"]), None, "w2 is there, whatever the list says");
    assert_eq!(lost(&["i1", "i2", "i3"]), None);
}

#[test]
fn a_list_that_lacks_machines_whose_nodes_are_ready_is_told_of() {
    let told = |lacks: &str| {
        let mut world = World::of(2);
        world.instances("workers").retain(|machine| machine.id.as_str() != lacks);
        world.decision().also.iter().any(|reason| reason.code() == "unknown")
    };
    assert!(told("i1"));
    assert!(!told("none"));
}

#[test]
fn a_machine_that_is_being_ended_and_unlisted_makes_no_list_doubtful() {
    let mut world = World::of(2);
    world.leaving(1, WorkerState::Terminating, Purpose::Idle);
    world.unlisted(1);
    world.lose(2);
    assert_eq!(world.plan().failure(2), Some(Failure::Lost));
}
