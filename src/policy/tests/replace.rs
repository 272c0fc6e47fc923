//! One worker for another.

use crate::model::{
    Act, Ask, Cordon, Failure, Permit, Pin, Plan, Purpose, Readiness, Reason, Refusal, Template,
    Verdict, WorkerEvent, WorkerState, duration,
};
use crate::policy::fixtures::{DAY, MINUTE, Reads as _, SECOND, World, launches, shape, small};

fn cordons(plan: &Plan) -> Vec<&str> {
    let steps = plan.steps.iter().filter(|step| matches!(step.act, Act::Cordon { .. }));
    steps.map(|step| step.worker.as_str()).collect()
}

type Change = fn(&mut World);

fn sick() -> World {
    let mut world = World::of(3);
    world.pool().max = 3;
    world.replace(1);
    world
}

#[test]
fn the_replacement_is_launched_first_above_the_maximum_and_then_the_old_one_is_drained() {
    let mut world = sick();
    let plan = world.plan();
    assert_eq!(launches(&plan.decisions[0]), 1);
    assert!(matches!(
        &plan.decisions[0].reason,
        Reason::Replacement { worker, .. } if worker.as_str() == "w1"
    ));
    assert!(plan.steps.is_empty(), "{plan:#?}");
    world.apply(&plan);
    let plan = world.plan();
    assert!(plan.steps.is_empty() && launches(&plan.decisions[0]) == 0, "it is booting");
    world.boot();
    world.apply(&world.plan());
    world.apply(&world.plan());
    let plan = world.plan();
    assert_eq!(cordons(&plan), ["w1"]);
    assert_eq!(plan.steps[0].before, Some(WorkerEvent::Cordon { purpose: Purpose::Replace }));
    assert!(matches!(&plan.steps[0].permit, Permit::Replace { signals } if signals.len() == 1));
    world.run();
    assert_eq!(world.worker(1).state, WorkerState::Gone);
    assert_eq!(world.memory.workers.values().filter(|worker| worker.is_serving()).count(), 3);
}

#[test]
fn without_surge_a_full_pool_replaces_nothing() {
    let mut world = sick();
    world.pool().surge = 0;
    assert_eq!(world.held(), Reason::AtMax { max: 3 });
    assert!(world.plan().steps.is_empty());
}

#[test]
fn a_spot_notice_is_drained_at_once_while_its_replacement_comes() {
    let mut world = World::of(3);
    world.instance(2).notice = Some(duration::after(world.now, MINUTE * 2));
    let plan = world.plan();
    assert_eq!(cordons(&plan), ["w2"]);
    assert_eq!(plan.steps[0].reason.code(), "spot_notice");
    assert_eq!(launches(&plan.decisions[0]), 1);
    world.apply(&plan);
    let plan = world.plan();
    assert!(cordons(&plan).is_empty() && launches(&plan.decisions[0]) == 0, "{plan:#?}");
}

#[test]
fn a_worker_above_its_age_is_replaced() {
    let mut world = World::of(2);
    world.pool().max_age = Some(DAY);
    assert_eq!(world.held(), Reason::NothingAsked);
    world.later(SECOND);
    assert_eq!(world.launches(), 1);
    world.alertmanager_away();
    assert_eq!(world.held(), Reason::NothingAsked, "whoever cannot ask, removes nothing");
}

/// Two were launched before the file gave the pool another label, the third after it, and of the fourth nobody knows.
fn drifted() -> World {
    let mut world = World::of(4);
    for number in 1..=2 {
        world.worker(number).template = Some(Template::default());
    }
    world.pool().node.labels.insert("tier".to_owned(), "web".to_owned());
    let now = world.pool().node.template();
    world.worker(3).template = Some(now);
    world
}

#[test]
fn workers_that_drifted_are_told_and_replaced_where_that_is_asked_for() {
    let mut world = drifted();
    let told = Reason::Drifted { workers: 2, what: "label tier is new".to_owned() };
    assert!(world.decision().also.contains(&told), "{:#?}", world.decision());
    assert_eq!(world.launches(), 0);
    world.pool().replace_drifted = true;
    let decision = world.decision();
    assert_eq!(launches(&decision), 1, "one at a time");
    assert!(!decision.also.contains(&told));
    let plans = world.run();
    let gone: Vec<&str> = plans.iter().flat_map(cordons).collect();
    assert_eq!(gone, ["w1", "w2"], "each once, and none of those that came for them");
    assert!(world.memory.workers.values().filter(|it| it.is_serving()).count() == 4);
}

#[test]
fn whoever_cannot_ask_replaces_nothing_that_drifted() {
    let mut world = drifted();
    world.pool().replace_drifted = true;
    world.alertmanager_away();
    assert_eq!(world.held(), Reason::NothingAsked);
}

#[test]
fn one_is_replaced_at_a_time() {
    let mut world = World::of(3);
    world.pool().max_age = Some(MINUTE * 60);
    assert_eq!(world.launches(), 1);
    world.apply(&world.plan());
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    assert!(decision.also.iter().any(|reason| reason.code() == "replace_busy"), "{decision:#?}");
}

#[test]
fn so_many_are_replaced_within_an_hour() {
    let mut world = sick();
    world.pool().replacements_per_hour = 1;
    world.memory.cluster.replacements = vec![duration::before(world.now, MINUTE * 59)];
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    assert!(decision.also.contains(&Reason::ReplacePerHour { limit: 1 }));
    world.memory.cluster.replacements = vec![duration::before(world.now, MINUTE * 61)];
    assert_eq!(world.launches(), 1);
}

#[test]
fn a_replacement_that_matches_the_same_alert_stops_it() {
    let mut world = sick();
    world.worker(3).batch = Some("b".into());
    world.remembered().replacing.insert("w1".into(), "b".into());
    assert_eq!(cordons(&world.plan()), ["w1"]);
    let mut other = world.signal_named("Sick").clone();
    other.id = "fp-Sick-3".into();
    other.ask = Ask::Replace { node: Some("n3".into()) };
    world.signals.push(other);
    let plan = world.plan();
    assert!(cordons(&plan).is_empty());
    assert!(plan.decisions[0].also.iter().any(|reason| reason.code() == "replacement_too"));
}

#[test]
fn a_replacement_that_came_to_nothing_is_launched_again() {
    let mut world = sick();
    world.apply(&world.plan());
    world.later(MINUTE * 6);
    world.apply(&world.plan());
    world.apply(&world.plan());
    assert_eq!(world.held().code(), "breaker_open");
    assert!(world.memory.pools[&"workers".into()].replacing.is_empty());
    world.later(MINUTE * 4);
    assert_eq!(world.launches(), 1);
}

#[test]
fn an_alert_about_an_older_node_of_that_name_replaces_nothing() {
    let mut world = sick();
    world.node(1).created = world.now;
    assert_eq!(world.held(), Reason::NothingAsked);
}

#[test]
fn a_paused_replacement_launches_nothing() {
    let mut world = sick();
    world.remembered_silence("replace");
    assert_eq!(world.held().code(), "paused");
    let mut world = World::of(1);
    world.pool().max_age = Some(MINUTE * 60);
    world.silence("replace");
    assert_eq!(world.held().code(), "paused");
}

#[test]
fn a_dry_run_replaces_nothing() {
    let mut world = sick();
    world.pool().mode = crate::config::Mode::DryRun;
    world.instance(2).notice = Some(world.now);
    assert!(world.plan().steps.iter().all(|step| step.dry_run));
    assert!(world.plan().is_quiet());
}

/// A replacement of idle kind starts no cooldown.
#[test]
fn replacing_starts_no_cooldown() {
    let mut world = sick();
    world.run();
    world.boot();
    world.run();
    let memory = &world.memory.pools[&"workers".into()];
    assert_eq!((memory.up_started, memory.down_ended), (None, None));
}

#[test]
fn a_replacement_is_of_the_same_shape() {
    let mut world = sick();
    let mut large = small();
    large.cpu_milli = 8_000;
    world.shapes().push(shape("large", large, Some(900_000)));
    world.worker(1).shape = "large".into();
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    assert_eq!(intent.request.orders[0].offering.shape.as_str(), "large");
}

#[test]
fn several_notices_at_once_are_all_drained_and_count_towards_no_limit() {
    let mut world = World::of(4);
    world.pool().replacements_per_hour = 1;
    for number in 1..=3 {
        world.instance(number).notice = Some(world.now);
    }
    let plan = world.plan();
    assert_eq!(cordons(&plan).len(), 3);
    assert_eq!(launches(&plan.decisions[0]), 3);
    assert!(plan.memory.replacements.is_empty());
}

#[test]
fn what_may_not_leave_is_not_replaced_and_it_is_told_why() {
    let changes: [(&str, Change); 7] = [
        ("unknown", |world| world.unlisted(1)),
        ("kept", |world| world.node(1).kept = Some("bellwether.dev/keep=true".to_owned())),
        ("permanent", |world| {
            world.pool().permanent.insert("w1".to_owned());
        }),
        ("protected", |world| world.instance(1).protected = true),
        ("foreign_cordon", |world| world.node(1).cordon = Cordon::Foreign),
        ("pod_pinned", |world| world.pinned_on(1, Pin::Bare)),
        ("refused_before", |world| {
            let until = duration::after(world.now, MINUTE);
            let refusal = Refusal { count: 1, until, why: String::new() };
            world.memory.cluster.refusals.insert("w1".into(), refusal);
        }),
    ];
    for (code, change) in changes {
        let mut world = sick();
        change(&mut world);
        let decision = world.decision();
        assert_eq!(decision.verdict, Verdict::Hold, "{code}");
        let told = decision.also.iter().find_map(|reason| match reason {
            Reason::NoCandidate { blocked } => Some(blocked[0].1.code()),
            _ => None,
        });
        assert_eq!(told, Some(code), "{decision:#?}");
    }
}

/// One of two workers is old, and the other stands for its Ready replacement.
fn replaced() -> World {
    let mut world = World::of(2);
    world.pool().max_age = Some(DAY * 2);
    world.worker(1).created = duration::before(world.now, DAY * 3);
    world.worker(2).batch = Some("b".into());
    world.remembered().replacing.insert("w1".into(), "b".into());
    world
}

#[test]
fn a_drain_for_a_replacement_counts_towards_those_of_the_hour() {
    let world = replaced();
    let plan = world.plan();
    assert_eq!(cordons(&plan), ["w1"]);
    assert_eq!(plan.memory.replacements, [world.now]);
}

/// No alert asks for it, so that no alert's own pause holds it.
#[test]
fn a_paused_replacement_drains_nothing_though_the_new_one_is_ready() {
    let mut world = replaced();
    world.silence("replace");
    assert_eq!(cordons(&world.plan()), Vec::<&str>::new());
    let mut world = World::of(2);
    world.instance(1).notice = Some(world.now);
    world.silence("replace");
    assert_eq!(cordons(&world.plan()), Vec::<&str>::new());
    assert_eq!(world.held().code(), "paused");
}

#[test]
fn a_pause_of_growing_holds_no_replacement() {
    let mut world = sick();
    world.silence("up");
    assert_eq!(world.launches(), 1);
}

#[test]
fn while_one_is_drained_for_its_replacement_no_other_is_replaced() {
    let mut world = World::of(3);
    world.leaving(1, WorkerState::Draining, Purpose::Replace);
    world.pool().max_age = Some(MINUTE);
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    assert!(decision.also.contains(&Reason::ReplaceBusy { worker: "w1".into() }));
}

#[test]
fn a_replacement_is_not_waited_for_once_its_old_worker_goes() {
    let mut world = replaced();
    assert_eq!(world.plan().pools[&"workers".into()].replacing.len(), 1);
    world.leaving(1, WorkerState::Draining, Purpose::Replace);
    assert!(world.plan().pools[&"workers".into()].replacing.is_empty());
}

#[test]
fn a_notice_goes_before_an_older_worker() {
    let mut world = World::of(2);
    world.pool().max_age = Some(DAY * 2);
    world.worker(1).created = duration::before(world.now, DAY * 3);
    world.instance(2).notice = Some(world.now);
    assert!(matches!(
        world.decision().reason,
        Reason::Replacement { worker, .. } if worker.as_str() == "w2"
    ));
}

#[test]
fn a_larger_need_replaces_on_its_way() {
    let mut world = World::of(2);
    world.instance(1).notice = Some(world.now);
    world.up(Some(2));
    let decision = world.decision();
    assert_eq!((launches(&decision), decision.reason.code()), (2, "alert_step"));
}

#[test]
fn a_node_that_is_not_ready_can_still_be_replaced() {
    let mut world = sick();
    world.node(1).readiness = Readiness::NotReady { since: world.now };
    assert_eq!(world.launches(), 1);
}

#[test]
fn a_worker_that_is_given_up_in_a_pass_is_not_replaced_in_the_same_one() {
    let mut world = World::of(4);
    world.sick(1);
    world.instance(1).notice = Some(duration::after(world.now, MINUTE * 2));
    let plan = world.plan();
    assert_eq!(plan.failure(1), Some(Failure::NotReady));
    assert_eq!(plan.act(1), "none");
}

/// The owner's word stands, also where the provider takes it.
#[test]
fn a_permanent_worker_is_neither_repaired_nor_replaced_nor_drained_for_a_notice() {
    let mut world = World::of(2);
    world.pool().permanent = ["w1", "n2"].map(str::to_owned).into();
    world.pool().max_age = Some(MINUTE);
    world.sick(1);
    world.instance(2).notice = Some(duration::after(world.now, MINUTE * 2));
    let plan = world.plan();
    assert!(plan.steps.is_empty() && plan.transitions.is_empty(), "{plan:#?}");
}

#[test]
fn a_pod_in_kube_system_does_not_hold_a_replacement() {
    let mut world = sick();
    world.pinned_on(1, Pin::KubeSystem);
    assert_eq!(world.launches(), 1);
}

#[test]
fn a_need_that_cannot_be_served_holds_no_replacement() {
    let mut full = sick();
    full.up(Some(2));
    assert_eq!(full.decision().reason.code(), "replacement", "the pool is full");
    assert_eq!(full.launches(), 1);
    let mut cooling = World::of(3);
    cooling.replace(1);
    cooling.up(Some(2));
    cooling.remembered().up_started = Some(cooling.now);
    assert_eq!(cooling.decision().reason.code(), "replacement", "the step waits");
    assert_eq!(cooling.launches(), 1);
}

#[test]
fn as_many_as_are_to_be_replaced_are_launched_once_whoever_asks() {
    let mut world = World::of(3);
    world.replace(1);
    world.up(Some(1));
    let decision = world.decision();
    assert_eq!((launches(&decision), decision.reason.code()), (1, "alert_step"));
}

#[test]
fn a_notice_asks_no_alert_right_before_it_is_followed() {
    let mut world = World::of(3);
    world.instance(2).notice = Some(duration::after(world.now, MINUTE * 2));
    let plan = world.plan();
    assert_eq!(plan.steps[0].permit, Permit::Notice);
    let Verdict::Launch { intent } = &plan.decisions[0].verdict else { panic!() };
    assert_eq!(intent.permit, Permit::Notice);
}
