//! Growing.

use super::world::{Read as _, asking, drains, launches, mins, secs, shape, world, world_of};
use crate::model::{
    BreakerState, Essential, Intent, LaunchRequest, Market, Order, Permit, Price, Purpose, Reason,
    Resources, Taint, Verdict, Want, WorkerState, duration,
};
use std::time::Duration;

///
#[test]
fn nothing_asked_means_nothing_done() {
    let plan = world().with_workers(2).plan();
    assert_eq!(plan.of("workers").reason, Reason::NothingAsked);
    assert!(plan.is_quiet(), "{plan:?}");
}

///
#[test]
fn an_alert_adds_exactly_its_step() {
    for step in [1, 2] {
        let mut world = world().with_workers(3);
        world.up_step(step);
        let decision = world.decision();
        assert_eq!(launches(&decision), step as usize);
        assert!(matches!(decision.reason, Reason::AlertStep { .. }));
    }
}

///
#[test]
fn pending_pods_are_packed_onto_as_few_workers_as_hold_them() {
    let mut world = world();
    world.up();
    world.pending(5, 900);
    let decision = world.decision();
    assert_eq!(launches(&decision), 3, "two pods of 900m on each worker of 2000m");
    assert_eq!(decision.reason, Reason::PodsPending { pods: 5, workers: 3 });
    let Verdict::Launch { intent, .. } = decision.verdict else { panic!("no launch") };
    assert_eq!(intent.pods.len(), 5);
}

#[test]
fn signals_combine_by_the_largest_and_never_by_their_sum() {
    let mut world = world().with_workers(1);
    world.running_on("w1", 1_900);
    world.up();
    world.pending(4, 900);
    world.up_step(1);
    world.up_want(Want::Workers(3));
    assert_eq!(launches(&world.decision()), 2, "not 2 + 1 + 2");
}

#[test]
fn two_pools_never_buy_for_one_need() {
    let mut world = world_of(&["left", "right"]);
    let ask = crate::model::Ask::Up { step: None, want_query: None };
    world.alert("Left", ask.clone(), Some("left"));
    world.alert("Right", ask, Some("right"));
    world.pending(2, 900);
    let plan = world.plan();
    assert_eq!(launches(plan.of("left")) + launches(plan.of("right")), 1);
}

#[test]
fn without_an_up_alert_pending_pods_buy_nothing() {
    let mut world = world();
    world.pending(5, 900);
    assert_eq!(launches(&world.decision()), 0);
}

/// no Prometheus, no alert: what the packing proves is served, what a step asks is not.
#[test]
fn while_no_alert_could_come_the_packing_is_served() {
    let mut world = world();
    world.pending(2, 900);
    world.signals.clear();
    assert_eq!(launches(&world.decision()), 1, "the watchdog is silent");
    let mut world = super::world::world();
    world.pending(2, 900);
    world.truth.peers[0] = super::world::peer("http://am:9093", None);
    world.truth.alerts.clear();
    assert_eq!(launches(&world.decision()), 1, "no Alertmanager answers");
}

#[test]
fn workers_on_their_way_are_room_already() {
    let mut world = world();
    world.booting("b1", secs(20));
    world.up();
    world.pending(2, 900);
    assert_eq!(launches(&world.decision()), 0);
    world.pending(1, 900);
    assert_eq!(launches(&world.decision()), 1);
}

#[test]
fn a_worker_that_joined_is_not_counted_as_room_twice() {
    let mut world = world();
    world.ready_worker("workers", "w1", secs(60));
    world.worker_mut("w1").state = WorkerState::Joined;
    world.up();
    world.pending(4, 900);
    assert_eq!(launches(&world.decision()), 1, "two find room on w1, two need a new one");
}

#[test]
fn what_a_node_keeps_for_itself_is_taken_off_workers_on_their_way_too() {
    let mut world = world();
    world.pool().node.reserved = Resources::new(500, 0);
    world.booting("b1", secs(20));
    world.up();
    world.pending(2, 900);
    assert_eq!(launches(&world.decision()), 1, "one of 900m fits into 1500m, not two");
}

#[test]
fn what_daemon_pods_take_of_each_node_is_not_promised_again() {
    let mut world = world().with_workers(1);
    world.running_on("w1", 300).kind = crate::model::PodKind::Daemon;
    world.running_on("w1", 1_700);
    world.up();
    world.pending(2, 900);
    assert_eq!(launches(&world.decision()), 2, "1700m are left on a new worker");
}

/// W-21
#[test]
fn w_21_only_pods_the_scheduler_could_not_place_are_need() {
    let mut world = world();
    world.up();
    world.pending(3, 900);
    world.pods[0].placement = crate::model::Placement::Waiting;
    world.pods[1].created = world.now;
    assert_eq!(world.decision().reason, Reason::PodsPending { pods: 1, workers: 1 });
}

/// W-21
#[test]
fn w_21_a_pod_that_no_shape_could_host_adds_nothing_and_says_why() {
    let mut world = world();
    world.up();
    world.pending(1, 5_000);
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    let said = |reason: &Reason| matches!(reason, Reason::Unhostable { pods: 1, .. });
    assert!(said(&decision.reason) || decision.also.iter().any(said), "{decision:?}");
}

#[test]
fn each_predicate_that_keeps_a_pod_off_is_named() {
    let mut selector = asking(100);
    selector.node_selector.insert("disk".to_owned(), "ssd".to_owned());
    let mut gpu = asking(100);
    gpu.requests.extended.insert("nvidia.com/gpu".to_owned(), 1);
    let cases = [(selector, "disk=ssd"), (asking(5_000), "5000m CPU"), (gpu, "nvidia.com/gpu")];
    for (spec, word) in cases {
        let mut world = world();
        world.up();
        world.pending_like(1, spec);
        let told = format!("{:?}", world.decision());
        assert!(told.contains("Unhostable") && told.contains(word), "{word}: {told}");
    }
    let mut world = world();
    world.pool().node.taints = vec![Taint {
        key: "batch".to_owned(),
        value: "yes".to_owned(),
        effect: crate::model::Effect::NoSchedule,
    }];
    world.up();
    world.pending(1, 100);
    assert!(format!("{:?}", world.decision()).contains("batch=yes"));
}

/// A-06, W-15
#[test]
fn w_15_nothing_is_launched_above_max() {
    let mut world = world().with_workers(3);
    world.pool().max = 3;
    world.up_step(2);
    let decision = world.decision();
    assert_eq!((launches(&decision), decision.reason), (0, Reason::AtMax { max: 3 }));
    world.pool().max = 4;
    assert_eq!(launches(&world.decision()), 1);
}

/// W-19
#[test]
fn w_19_demand_far_beyond_capacity_is_counted_and_not_an_error() {
    let mut world = world();
    world.up();
    world.pending(500, 1_900);
    assert_eq!(launches(&world.decision()), 10);
}

#[test]
fn the_step_of_the_pool_caps_what_alerts_and_queries_ask_but_not_proven_need() {
    let mut world = world();
    world.up_want(Want::Workers(9));
    assert_eq!(launches(&world.decision()), 4, "step.up is 4");
    world.up();
    world.pending(7, 1_900);
    assert_eq!(launches(&world.decision()), 7);
}

#[test]
fn an_unknown_wanted_size_adds_nothing_and_says_so() {
    let mut world = world();
    world.up_want(Want::Unknown { why: "NaN".to_owned() });
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    let told = |reason: &Reason| matches!(reason, Reason::WantUnknown { .. });
    assert!(told(&decision.reason) || decision.also.iter().any(told), "{decision:?}");
}

#[test]
fn cores_memory_and_money_are_limits() {
    let mut world = world().with_workers(2);
    world.up_step(4);
    world.pool().limits.cpu_milli = Some(6_000);
    assert_eq!(launches(&world.decision()), 1);
    world.pool().limits.cpu_milli = Some(4_000);
    assert!(matches!(world.decision().reason, Reason::Limit { .. }));
    world.pool().limits.cpu_milli = None;
    world.pool().limits.memory = Some(33 * super::world::GIB);
    assert_eq!(launches(&world.decision()), 2);
    world.pool().limits.memory = None;
    world.pool().budget.per_hour = Some(Price(300_000));
    assert_eq!(launches(&world.decision()), 1, "ten cents each, two are paid already");
    world.pool().budget.per_hour = Some(Price(200_000));
    assert!(matches!(world.decision().reason, Reason::OverBudget { .. }));
}

#[test]
fn an_unknown_price_refuses_only_where_a_budget_is_set() {
    let mut world = world();
    world.up_step(1);
    for shape in world.shapes.values_mut().flatten() {
        shape.offerings.iter_mut().for_each(|offering| offering.price = None);
    }
    assert_eq!(launches(&world.decision()), 1);
    world.pool().budget.per_hour = Some(Price(1_000_000));
    assert!(matches!(world.decision().reason, Reason::PriceUnknown { .. }));
}

#[test]
fn launches_per_hour_bind_even_below_min() {
    let mut world = world();
    world.pool().min = 3;
    world.pool().limits.launches_per_hour = 4;
    let at = duration::before(world.now, mins(10));
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.launches = vec![(at, 2)];
    assert_eq!(launches(&world.decision()), 2);
    world.memory.pools.entry("workers".into()).or_default().launches = vec![(at, 4)];
    assert_eq!(world.decision().reason, Reason::LaunchesPerHour { limit: 4 });
    world.now = duration::after(world.now, mins(55));
    assert_eq!(launches(&world.decision()), 3, "an hour later they count no more");
}

/// A-11, W-05, W-17
#[test]
fn w_05_w_17_the_up_cooldown_that_is_set_is_the_one_that_is_asked() {
    let mut world = world().with_workers(1);
    world.up_step(1);
    let now = world.now;
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.up_started = Some(duration::before(now, mins(6)));
    memory.up_ended = Some(duration::before(now, mins(4)));
    let until = duration::after(now, mins(1));
    let direction = crate::model::Direction::Up;
    assert_eq!(world.decision().reason, Reason::Cooldown { direction, until });
    world.pass_time(mins(1));
    assert_eq!(launches(&world.decision()), 1, "five minutes, not the ten of going down");
}

#[test]
fn the_up_cooldown_holds_as_long_as_its_workers_are_coming() {
    let mut world = world();
    world.booting("b1", mins(4));
    world.up_step(1);
    let started = duration::before(world.now, Duration::from_hours(2));
    world.memory.pools.entry("workers".into()).or_default().up_started = Some(started);
    assert!(matches!(world.decision().reason, Reason::Cooldown { .. }));
}

#[test]
fn proven_need_does_not_wait_for_the_cooldown_of_a_larger_step() {
    let mut world = world().with_workers(1);
    world.running_on("w1", 1_900);
    world.up_step(2);
    world.up();
    world.pending(1, 900);
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.up_started = Some(duration::before(world.now, mins(3)));
    memory.up_ended = Some(duration::before(world.now, mins(2)));
    assert_eq!(launches(&world.decision()), 1, "one for the pod, none for the step");
}

#[test]
fn need_that_grows_is_waited_for_but_not_for_ever() {
    let mut world = world();
    world.pool().settle = Duration::from_millis(50);
    world.up();
    world.pending(1, 900);
    let plan = world.plan();
    assert!(matches!(plan.of("workers").reason, Reason::Settling { .. }));
    world.memory.pools = plan.pools;
    world.pass_time(Duration::from_millis(60));
    assert_eq!(launches(&world.decision()), 1);
    for _ in 0..30 {
        world.pending(1, 900);
        let plan = world.plan();
        world.memory.pools = plan.pools.clone();
        if launches(plan.of("workers")) > 0 {
            return;
        }
        world.pass_time(Duration::from_millis(40));
    }
    panic!("it waited longer than a second");
}

#[test]
fn an_open_launch_holds_the_next() {
    let mut world = world();
    world.up_step(1);
    world.record("workers", "b-1", WorkerState::Requested, world.now);
    world.worker_mut("b-1").batch = Some("b".into());
    let intent = intent_of(&world, "b", "b-1");
    world.memory.intents.insert("b".into(), intent);
    assert_eq!(world.decision().reason, Reason::IntentOpen { batch: "b".into() });
}

pub(super) fn intent_of(world: &super::world::World, batch: &str, worker: &str) -> Intent {
    let offering = shape("medium", 2_000, 8).offerings[0].clone();
    let request = LaunchRequest {
        cluster: "one".into(),
        cluster_uid: super::world::UID.into(),
        pool: "workers".into(),
        batch: batch.into(),
        orders: vec![Order { worker: worker.into(), offering }],
        fallback: Vec::new(),
        labels: std::collections::BTreeMap::new(),
        taints: Vec::new(),
    };
    Intent { at: world.now, request, permit: Permit::Need, pods: Vec::new() }
}

#[test]
fn zones_are_filled_evenly_and_the_cheapest_shape_that_fits_is_bought() {
    let mut world = world().with_workers(1);
    world.running_on("w1", 2_000);
    let shapes = vec![shape("large", 8_000, 32), shape("medium", 2_000, 8)];
    world.shapes.insert("workers".into(), shapes);
    world.up();
    world.pending(3, 1_900);
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!("no launch") };
    let orders = &intent.request.orders;
    let zones: Vec<&str> = orders.iter().map(|order| order.offering.zone.as_str()).collect();
    assert_eq!(zones, ["b", "a", "b"], "w1 is in a");
    assert!(orders.iter().all(|order| order.offering.shape == "medium".into()));
    let next: Vec<_> = intent.request.fallback.iter().map(|o| o.shape.as_str()).collect();
    assert_eq!(next, ["medium", "medium", "large", "large"]);
}

#[test]
fn the_market_is_the_one_the_provider_lists_first() {
    let mut world = world();
    for shape in world.shapes.values_mut().flatten() {
        let mut spot = shape.offerings[0].clone();
        spot.market = Market::Spot;
        shape.offerings.insert(0, spot);
    }
    world.up_step(1);
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!("no launch") };
    assert_eq!(intent.request.orders[0].offering.market, Market::Spot);
}

///
#[test]
fn below_min_is_restored_without_alert_cooldown_prometheus_or_alertmanager() {
    let mut world = world().with_workers(1);
    world.pool().min = 3;
    world.signals.clear();
    world.truth.peers[0] = super::world::peer("http://am:9093", None);
    world.truth.alerts.clear();
    let memory = world.memory.pools.entry("workers".into()).or_default();
    (memory.up_started, memory.up_ended) = (Some(world.now), Some(world.now));
    let decision = world.decision();
    assert_eq!(launches(&decision), 2);
    assert_eq!(decision.reason, Reason::BelowMin { have: 1, min: 3 });
}

/// W-02, A-61
#[test]
fn w_02_what_is_unknown_is_never_below_min() {
    for break_it in [
        (|world| world.cluster_unknown = true) as fn(&mut super::world::World),
        |world| _ = world.lists_unknown.insert("workers".into()),
        |world| world.view_age = mins(2),
        |world| world.list_age = mins(2),
    ] {
        let mut world = world();
        world.pool().min = 3;
        break_it(&mut world);
        let decision = world.decision();
        assert_eq!(launches(&decision), 0);
        assert!(matches!(decision.reason, Reason::Unknown { .. } | Reason::Stale { .. }));
    }
}

#[test]
fn machines_and_nodes_without_a_record_count_towards_min() {
    let mut world = world();
    world.pool().min = 2;
    world.machine("workers", "x1", world.now, "a");
    world.node("workers", "x2", world.now, "a");
    assert_eq!(launches(&world.decision()), 0);
}

/// W-22
#[test]
fn w_22_machines_of_another_cluster_count_nowhere() {
    let mut world = world();
    world.pool().min = 1;
    world.machine("workers", "x1", world.now, "a");
    world.instance_mut("x1").cluster_uid = Some("another".into());
    assert_eq!(launches(&world.decision()), 1);
}

#[test]
fn a_pause_of_restore_is_honoured() {
    let mut world = world();
    world.pool().min = 1;
    world.silence("autoscale", "restore");
    assert!(matches!(world.decision().reason, Reason::Paused { .. }));
}

#[test]
fn our_own_monitoring_on_a_full_cluster_gets_one_worker_at_a_time_without_an_alert() {
    let mut world = world();
    world.pending(3, 1_900);
    assert_eq!(launches(&world.decision()), 0);
    world.pods.iter_mut().for_each(|pod| pod.essential = Some(Essential::Prometheus));
    let decision = world.decision();
    assert_eq!(launches(&decision), 1);
    assert!(matches!(decision.reason, Reason::EssentialPending { .. }));
}

///
#[test]
fn dry_run_decides_the_same_and_leaves_memory_as_it_was() {
    let mut world = world();
    world.up_step(1);
    world.pool().mode = crate::config::Mode::DryRun;
    let plan = world.plan();
    let decision = plan.of("workers");
    assert!(decision.dry_run && launches(decision) == 1);
    assert!(plan.pools[&"workers".into()].up_started.is_none());
    assert!(plan.is_quiet());
}

#[test]
fn an_idle_worker_on_its_way_out_is_taken_back_before_anything_is_bought() {
    let mut world = world().with_workers(2);
    world.leaving("w1", WorkerState::Draining, Purpose::Idle);
    world.up_step(1);
    let plan = world.plan();
    assert_eq!(launches(plan.of("workers")), 0);
    let step = plan.step_of("w1").unwrap();
    assert!(matches!(step.act, crate::model::Act::Uncordon { .. }));
    assert_eq!(step.reason, Reason::DemandReturned);
}

#[test]
fn a_manual_wish_is_done_once() {
    let mut world = world();
    world.manual(2);
    let plan = world.plan();
    assert_eq!(launches(plan.of("workers")), 2);
    assert!(plan.expired.iter().any(|(id, _)| *id == "manual".into()));
}

/// W-16
#[test]
fn w_16_a_manual_wish_removes_as_many_as_it_says_and_no_more() {
    let mut world = world().with_workers(5);
    world.manual(-2);
    assert_eq!(drains(&world.decision()).len(), 2);
}

#[test]
fn an_open_breaker_holds_and_then_lets_one_worker_through() {
    let mut world = world();
    world.up_step(4);
    let until = duration::after(world.now, mins(3));
    let memory = world.memory.pools.entry("workers".into()).or_default();
    memory.breaker.state = BreakerState::Open;
    memory.breaker.failures = 1;
    memory.breaker.retry_at = Some(until);
    assert_eq!(world.decision().reason, Reason::BreakerOpen { until, failures: 1 });
    world.pass_time(mins(3));
    let plan = world.plan();
    assert_eq!(launches(plan.of("workers")), 1);
    assert_eq!(plan.pools[&"workers".into()].breaker.state, BreakerState::HalfOpen);
}
