//! Growing: how many, and what holds it.

use crate::config::Amount;
use crate::model::{
    Act, Decision, Market, Permit, Price, Reason, Unhelpable, Verdict, View, Want, WorkerState,
    duration,
};
use crate::policy::fixtures::{GIB, MINUTE, SECOND, World, code, launches, shape, small};
use std::time::Duration;

/// the rule for load ships with `step: "1"`.
fn permit_of(decision: &Decision) -> Permit {
    let Verdict::Launch { intent } = &decision.verdict else { panic!("no launch: {decision:?}") };
    intent.permit.clone()
}

#[test]
fn an_alert_with_a_step_adds_exactly_that_many() {
    let mut world = World::of(2);
    world.up(Some(1));
    let decision = world.decision();
    assert_eq!(launches(&decision), 1);
    assert_eq!(decision.reason, Reason::AlertStep { alert: "Up".to_owned(), step: 1 });
    assert_eq!((decision.have, decision.want), (2, 3));
}

/// without a step it only opens the question, and the packing answers it.
#[test]
fn an_alert_without_a_step_asks_for_what_the_packing_proves() {
    let mut world = World::of(2);
    world.up(None);
    assert_eq!(world.held(), Reason::NoPodWaits { alert: "Up".to_owned() });
    world.pending(1, 500);
    assert_eq!(code(&world), "no_pod_waits", "there is room for it");
    world.pending(5, 1_500);
    assert_eq!(world.launches(), 3, "three of six fit onto what is there");
}

/// a spike that is over is an alert that never fired.
#[test]
fn an_alert_that_is_not_active_adds_none() {
    let mut world = World::of(2);
    world.up(Some(1));
    world.resolve("Up");
    assert_eq!(code(&world), "nothing_asked");
}

///
#[test]
fn any_rule_of_the_owner_may_ask_for_more() {
    let mut world = World::of(2);
    world.up(Some(1)).name = "MemoryHigh".to_owned();
    assert_eq!(world.launches(), 1);
}

///
#[test]
fn pending_pods_add_workers_whatever_the_load() {
    let mut world = World::of(1);
    world.pod_on(1, 1_900);
    world.pending(3, 1_500);
    world.up(None);
    let decision = world.decision();
    assert_eq!(launches(&decision), 3);
    assert_eq!(decision.reason, Reason::PodsPending { pods: 3, workers: 3 });
}

/// needs combine by the largest, never by the sum.
#[test]
fn step_query_packing_and_minimum_combine_by_the_largest() {
    let mut world = World::of(1);
    world.pod_on(1, 1_900);
    world.up(Some(2));
    world.pending(1, 1_500);
    assert_eq!(world.launches(), 2);
    world.up_wants(Want::Workers(4));
    assert_eq!(world.launches(), 3);
    world.pending(4, 1_500);
    assert_eq!(world.launches(), 5);
    world.pool().min = 9;
    assert_eq!(world.launches(), 8);
}

#[test]
fn a_query_asks_for_a_size_and_not_for_an_addition() {
    let mut world = World::of(3);
    world.up_wants(Want::Workers(3));
    assert_eq!(code(&world), "nothing_asked");
}

#[test]
fn alerts_and_queries_add_at_most_the_pools_step_and_packing_all_it_proves() {
    let mut world = World::of(1);
    world.pod_on(1, 1_900);
    world.pool().step.up = Amount::Count(2);
    world.up_wants(Want::Workers(9));
    assert_eq!(world.launches(), 2);
    world.pending(6, 1_500);
    assert_eq!(world.launches(), 6);
}

/// A-06, the first half; the other is `w_03`.
#[test]
fn at_the_maximum_nothing_is_launched_and_the_reason_says_so() {
    let mut world = World::of(3);
    world.pool().max = 3;
    world.up(Some(1));
    assert_eq!(world.held(), Reason::AtMax { max: 3 });
}

#[test]
fn a_need_beyond_the_maximum_is_served_up_to_it() {
    let mut world = World::of(2);
    world.pool().max = 4;
    world.up(Some(4));
    let decision = world.decision();
    assert_eq!(launches(&decision), 2);
    assert!(decision.also.contains(&Reason::AtMax { max: 4 }), "{decision:#?}");
}

#[test]
fn cores_and_memory_of_the_pool_are_limits() {
    let mut world = World::of(2);
    world.up(Some(4));
    world.pool().limits.cpu_milli = Some(7_000);
    assert_eq!(world.launches(), 1);
    world.pool().limits.cpu_milli = Some(5_000);
    assert_eq!(code(&world), "limit");
    world.pool().limits.cpu_milli = None;
    world.pool().limits.memory = Some(16 * GIB);
    assert_eq!(world.launches(), 2);
}

#[test]
fn a_worker_whose_shape_is_not_sold_any_more_counts_towards_limits_as_the_largest() {
    let mut world = World::of(2);
    world.up(Some(4));
    world.worker(1).shape = "old".into();
    world.pool().limits.cpu_milli = Some(7_000);
    assert_eq!(world.launches(), 1);
}

#[test]
fn the_budget_counts_what_runs_and_the_highest_price_of_what_would() {
    let mut world = World::of(2);
    world.up(Some(4));
    world.pool().budget.per_hour = Some(Price(210_000));
    assert_eq!(world.launches(), 2);
    world.pool().budget.per_hour = Some(Price(149_999));
    assert_eq!(code(&world), "over_budget");
}

#[test]
fn an_unknown_price_refuses_only_where_a_budget_is_set() {
    let mut world = World::of(2);
    world.up(Some(1));
    *world.shapes() = vec![shape("small", small(), None)];
    assert_eq!(world.launches(), 1);
    world.pool().budget.per_hour = Some(Price(1_000_000));
    assert_eq!(world.held(), Reason::PriceUnknown { shape: "small".to_owned() });
}

#[test]
fn launches_within_the_hour_are_limited() {
    let mut world = World::of(1);
    world.up(Some(4));
    world.pool().limits.launches_per_hour = 3;
    world.memory.pools.entry("workers".into()).or_default().launches = vec![
        (duration::before(world.now, MINUTE * 59), 2),
        (duration::before(world.now, MINUTE * 61), 9),
    ];
    assert_eq!(world.launches(), 1);
    world.pool().limits.launches_per_hour = 2;
    assert_eq!(world.held(), Reason::LaunchesPerHour { limit: 2 });
}

///
#[test]
fn the_up_cooldown_holds_steps_and_queries_from_the_intent_until_after_they_are_ready() {
    let mut world = World::of(1);
    world.up(Some(1));
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!(code(&world), "cooldown", "while the worker is coming");
    world.boot();
    world.run();
    world.later(MINUTE * 4);
    assert_eq!(code(&world), "cooldown");
    world.later(MINUTE * 2);
    assert_eq!(world.launches(), 1);
}

#[test]
fn need_that_the_packing_proves_waits_only_for_its_own_cooldown() {
    let mut world = World::of(1);
    world.pod_on(1, 1_900);
    world.up(Some(1));
    world.run();
    world.pending(2, 1_500);
    assert_eq!(world.launches(), 1, "one of both fits onto the worker that came");
    world.pool().cooldown.pending = MINUTE;
    assert_eq!(code(&world), "cooldown");
}

#[test]
fn new_need_waits_for_its_siblings_but_not_for_long() {
    let mut world = World::of(0);
    world.up(None);
    world.pool().settle = Duration::from_millis(50);
    world.pool().max = 30;
    for _ in 0..19 {
        world.pending(1, 1_500);
        assert_eq!(code(&world), "settling");
        world.memory.pools = world.plan().pools;
        world.now = duration::after(world.now, Duration::from_millis(49));
    }
    world.pending(1, 1_500);
    world.now = duration::after(world.now, SECOND);
    assert_eq!(world.launches(), 20, "a second is the most");
}

#[test]
fn workers_on_their_way_are_room_already() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(4, 900);
    assert_eq!(world.launches(), 2);
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!(code(&world), "no_pod_waits");
    world.boot();
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!(code(&world), "no_pod_waits");
}

#[test]
fn no_batch_starts_while_another_of_the_pool_is_open() {
    let mut world = World::of(1);
    world.up(Some(1));
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    world.memory.intents.insert("b".into(), *intent);
    assert_eq!(world.held(), Reason::IntentOpen { batch: "b".into() });
}

/// Two pools never buy for one need.
#[test]
fn one_need_is_given_to_one_pool() {
    let mut world = World::of(0);
    world.add_pool("others", 10);
    world.up(None).pool = None;
    world.pending(3, 1_500);
    let plan = world.plan();
    let all: usize = plan.decisions.iter().map(launches).sum();
    assert_eq!(all, 3, "{plan:#?}");
}

#[test]
fn without_any_alert_pending_pods_grow_nothing_while_alerts_could_come() {
    let mut world = World::of(0);
    world.pending(3, 1_500);
    assert_eq!(code(&world), "nothing_asked");
}

///
#[test]
fn while_no_alert_could_come_proven_need_is_served_and_nothing_else() {
    let mut world = World::of(0);
    world.pending(3, 1_500);
    world.watchdog_falls_silent();
    let decision = world.decision();
    assert_eq!(launches(&decision), 3);
    assert_eq!(permit_of(&decision), Permit::Need);
    world.remembered_silence("up");
    assert_eq!(code(&world), "nothing_asked", "a pause of growing holds it all the same");
}

#[test]
fn an_unknown_view_list_or_offer_launches_nothing() {
    let unknown = || "timeout".to_owned();
    let mut world = World::of(0);
    world.pool().min = 2;
    let mut blind = world.clone();
    blind.observed.cluster = View::Unknown { why: unknown() };
    assert_eq!(code(&blind), "unknown");
    let mut blind = world.clone();
    blind.observed.instances.insert("workers".into(), View::Unknown { why: unknown() });
    assert_eq!(code(&blind), "unknown");
    let mut blind = world.clone();
    blind.observed.shapes.insert("workers".into(), View::Unknown { why: unknown() });
    assert_eq!(code(&blind), "unknown");
    let mut blind = world.clone();
    blind.later(MINUTE * 2);
    blind
        .observed
        .instances
        .insert("workers".into(), View::Known { at: world.now, value: Vec::new() });
    assert_eq!(code(&blind), "stale");
}

#[test]
fn below_the_minimum_is_restored_without_alert_cooldown_and_monitoring() {
    let mut world = World::of(1);
    world.pool().min = 3;
    world.alertmanager_away();
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.up_started = Some(world.now);
    let decision = world.decision();
    assert_eq!(launches(&decision), 2);
    assert_eq!(decision.reason, Reason::BelowMin { have: 1, min: 3 });
    assert_eq!(permit_of(&decision), Permit::Restore);
    world.remembered_silence("restore");
    assert_eq!(code(&world), "paused");
}

#[test]
fn a_dry_run_tells_what_it_would_launch_and_remembers_nothing_of_it() {
    let mut world = World::of(1);
    world.up(Some(2));
    world.pool().mode = crate::config::Mode::DryRun;
    let plan = world.plan();
    assert!(plan.decisions[0].dry_run);
    assert_eq!(launches(&plan.decisions[0]), 2);
    assert!(plan.is_quiet());
    assert!(plan.pools[&"workers".into()].launches.is_empty());
}

#[test]
fn a_wish_is_done_once_and_not_bound_by_the_cooldown() {
    let mut world = World::of(1);
    world.manual(2);
    world.memory.pools.entry("workers".into()).or_default().up_started = Some(world.now);
    let plan = world.plan();
    assert_eq!(launches(&plan.decisions[0]), 2);
    assert_eq!(plan.decisions[0].reason, Reason::ManualScale { who: "ada".to_owned(), by: 2 });
    world.apply(&plan);
    assert_eq!(world.launches(), 0);
}

#[test]
fn an_unhelpable_pod_counts_again_when_its_time_is_over() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(1, 1_500);
    let pod = world.view().pods[0].uid.clone();
    let until = Some(duration::after(world.now, MINUTE));
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.unhelpable.insert(pod, Unhelpable { vain: 2, until });
    assert_eq!(world.launches(), 0);
    world.later(MINUTE * 2);
    assert_eq!(world.launches(), 1);
}

#[test]
fn idle_workers_on_their_way_out_are_taken_back_before_anything_is_bought() {
    let mut world = World::of(3);
    world.set(3, WorkerState::Draining);
    world.worker(3).purpose = Some(crate::model::Purpose::Idle);
    world.node(3).cordon = crate::model::Cordon::Ours;
    world.up(Some(1));
    let plan = world.plan();
    assert_eq!(plan.decisions[0].reason, Reason::DemandReturned);
    assert!(matches!(&plan.steps[..], [step] if matches!(step.act, Act::Uncordon { .. })));
    world.signal_named("Up").ask = crate::model::Ask::Up { step: Some(3), want_query: None };
    assert_eq!(world.launches(), 2);
}

#[test]
fn the_least_populated_zone_is_ordered_first_and_other_offerings_follow() {
    let mut world = World::of(1);
    world.shapes()[0].offerings[0].market = Market::Spot;
    world.up(Some(2));
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    let zones: Vec<&str> =
        intent.request.orders.iter().map(|order| order.offering.zone.as_str()).collect();
    assert_eq!(zones, ["b", "a"], "one stands in zone a");
    assert_eq!(intent.request.fallback.len(), 2);
    assert_eq!(intent.request.cluster_uid.as_str(), "uid-1");
}

#[test]
fn without_any_cooldown_a_step_still_waits_for_the_workers_of_the_last_one() {
    let mut world = World::of(1);
    world.pool().cooldown.up = Duration::ZERO;
    world.up(Some(1));
    world.apply(&world.plan());
    assert_eq!(code(&world), "cooldown");
}
