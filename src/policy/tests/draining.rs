//! What a worker on its way out waits for, and what is told of it.

use crate::model::{Act, Cordon, Plan, Purpose, Reason, WorkerEvent, WorkerState, duration};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, World};
use std::time::Duration;

/// Three workers, the third on its way out in this state.
fn leaving(state: WorkerState) -> World {
    let mut world = World::of(3);
    world.leaving(3, state, Purpose::Idle);
    world.down();
    world
}

fn told(plan: &Plan) -> &[Reason] {
    &plan.of("workers").also
}

#[test]
fn load_balancers_are_given_their_time_before_the_first_eviction() {
    let mut world = leaving(WorkerState::Cordoned);
    world.pool().drain.load_balancers = SECOND * 15;
    let until = duration::after(world.now, SECOND * 15);
    world.later(Duration::from_millis(14_999));
    let plan = world.plan();
    assert_eq!(plan.act(3), "none");
    assert!(told(&plan).contains(&Reason::LoadBalancers { worker: "w3".into(), until }));
    world.later(Duration::from_millis(1));
    assert_eq!(world.plan().act(3), "evict");
}

#[test]
fn a_node_that_is_not_cordoned_yet_is_cordoned_whatever_load_balancers_need() {
    let mut world = leaving(WorkerState::Cordoned);
    world.pool().drain.load_balancers = SECOND * 15;
    world.node(3).cordon = Cordon::None;
    world.later(SECOND * 2);
    assert_eq!(world.plan().act(3), "cordon");
}

#[test]
fn volumes_are_given_their_time_to_come_off_an_empty_node() {
    let mut world = leaving(WorkerState::Drained);
    world
        .view()
        .attached
        .as_mut()
        .unwrap()
        .insert("n3".into(), vec!["pv-1".to_owned(), "pv-2".to_owned()]);
    let until = duration::after(world.now, MINUTE * 2);
    let waits = Reason::VolumesAttached { worker: "w3".into(), volumes: 2, until };
    world.later(SECOND * 119);
    let plan = world.plan();
    assert_eq!(plan.act(3), "none");
    assert!(told(&plan).contains(&waits));
    let mut off = world.clone();
    off.view().attached.as_mut().unwrap().clear();
    assert_eq!(off.plan().act(3), "terminate", "they are off");
    off.view().attached.as_mut().unwrap().insert("n1".into(), vec!["pv-3".to_owned()]);
    assert_eq!(off.plan().act(3), "terminate", "another node's");
    world.later(SECOND);
    assert_eq!(world.plan().act(3), "terminate", "and no longer");
}

#[test]
fn a_shorter_deadline_gives_no_empty_worker_back() {
    let mut world = leaving(WorkerState::Drained);
    world.pool().drain.timeout = MINUTE;
    world.view().attached.as_mut().unwrap().insert("n3".into(), vec!["pv-1".to_owned()]);
    world.later(MINUTE + SECOND);
    assert_eq!(world.plan().act(3), "none");
    world.later(MINUTE);
    assert_eq!(world.plan().act(3), "terminate");
}

#[test]
fn what_is_attached_and_not_known_is_waited_for_as_long() {
    let mut world = leaving(WorkerState::Drained);
    world.view().attached = None;
    let plan = world.plan();
    assert_eq!(plan.act(3), "none");
    assert!(told(&plan).iter().any(|reason| reason.code() == "unknown"));
    world.later(MINUTE * 2);
    assert_eq!(world.plan().act(3), "terminate");
}

#[test]
fn a_node_that_somebody_keeps_during_its_drain_is_given_back() {
    for state in [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained] {
        let mut world = leaving(state);
        world.node(3).kept = Some("bellwether.dev/keep=true".to_owned());
        assert_eq!(world.plan().act(3), "uncordon");
        world.worker(3).purpose = Some(Purpose::Notice);
        assert_ne!(world.plan().act(3), "uncordon", "the provider takes it all the same");
    }
}

#[test]
fn what_the_provider_takes_back_waits_for_neither() {
    let mut world = leaving(WorkerState::Cordoned);
    world.pool().drain.load_balancers = MINUTE;
    world.worker(3).purpose = Some(Purpose::Notice);
    assert_eq!(world.plan().act(3), "evict");
    world.set(3, WorkerState::Drained);
    world.view().attached.as_mut().unwrap().insert("n3".into(), vec!["pv-1".to_owned()]);
    assert_eq!(world.plan().act(3), "terminate");
}

#[test]
fn what_keeps_a_pod_is_told_while_it_does_and_when_the_drain_is_given_up() {
    let by = "shop/web-0: its budget needs 2 healthy pods and has 2".to_owned();
    let mut world = leaving(WorkerState::Draining);
    world.pod_on(3, 100);
    world.worker(3).blocked = Some(by.clone());
    let plan = world.plan();
    let blocked = Reason::DrainBlocked { worker: "w3".into(), by: by.clone() };
    assert!(told(&plan).contains(&blocked));
    world.later(MINUTE * 5 + SECOND);
    let plan = world.plan();
    let [step] = &plan.steps[..] else { panic!("{plan:#?}") };
    assert!(matches!(step.act, Act::Uncordon { .. }));
    assert_eq!(step.reason, Reason::DrainDeadline { after: "5m".to_owned(), by: Some(by.clone()) });
    assert!(
        plan.memory.refusals[&"w3".into()].why.contains(&by),
        "and as long as it is left alone"
    );
}

/// Its last pod is held by a budget, and the provider takes the machine in this time.
fn taken_in(time: Duration) -> World {
    let mut world = leaving(WorkerState::Draining);
    world.pod_on(3, 100);
    world.worker(3).purpose = Some(Purpose::Notice);
    world.instance(3).notice = Some(duration::after(world.now, time));
    world
}

#[test]
fn in_the_last_half_minute_of_a_notice_no_budget_holds_a_pod() {
    assert_eq!(taken_in(SECOND * 31).plan().act(3), "evict");
    let mut world = taken_in(SECOND * 30);
    let at = duration::after(world.now, SECOND * 30);
    let plan = world.plan();
    assert_eq!(plan.act(3), "force");
    assert_eq!(plan.steps[0].reason, Reason::NoticeEnds { at, left: 1 });
    world.pool().drain.force_last = Duration::ZERO;
    world.later(SECOND * 30);
    assert_eq!(world.plan().act(3), "evict", "never, where that is asked for");
    let mut over = taken_in(Duration::ZERO);
    assert_eq!(over.plan().act(3), "evict", "it was not taken");
    over.set(3, WorkerState::Drained);
    over.instance(3).notice = Some(duration::after(over.now, SECOND));
    assert_eq!(over.plan().act(3), "force", "a pod came back");
    let mut idle = taken_in(SECOND * 10);
    idle.worker(3).purpose = Some(Purpose::Idle);
    let plan = idle.plan();
    assert_eq!(plan.event(3), Some(&WorkerEvent::Noticed));
    idle.apply(&plan);
    assert_eq!(idle.plan().act(3), "force", "whatever it left for");
}

/// It was idle, and the provider takes it: demand does not take it back, and no monitoring that is away holds it up.
#[test]
fn a_worker_that_is_taken_amid_its_drain_leaves_for_that() {
    let mut world = World::of(3);
    world.leaving(3, WorkerState::Draining, Purpose::Idle);
    world.pod_on(3, 100);
    let at = duration::after(world.now, MINUTE * 2);
    world.instance(3).notice = Some(at);
    world.up(None);
    world.pending(1, 1_900);
    world.alertmanager_away();
    let plan = world.plan();
    assert_eq!(plan.event(3), Some(&WorkerEvent::Noticed));
    assert_eq!(plan.step(3), None, "one state in a pass");
    world.apply(&plan);
    assert_eq!(world.worker(3).purpose, Some(Purpose::Notice));
    assert_eq!(world.worker(3).state, WorkerState::Draining);
    let plan = world.plan();
    assert_eq!((plan.event(3), plan.act(3)), (None, "evict"));
}

/// A silence on replacing would give the worker back as soon as it leaves for its notice.
#[test]
fn where_replacing_is_paused_a_notice_leaves_the_drain_as_it_is() {
    let mut world = World::of(3);
    world.down();
    world.leaving(3, WorkerState::Draining, Purpose::Idle);
    world.pod_on(3, 100);
    world.instance(3).notice = Some(duration::after(world.now, MINUTE * 2));
    world.silence("replace");
    let plan = world.plan();
    assert_eq!((plan.event(3), plan.act(3)), (None, "evict"));
}

#[test]
fn a_notice_that_is_over_changes_no_drain() {
    let mut world = World::of(3);
    world.down();
    world.leaving(3, WorkerState::Draining, Purpose::Idle);
    world.pod_on(3, 100);
    world.instance(3).notice = Some(world.now);
    assert_eq!(world.plan().event(3), None, "it was not taken");
}
