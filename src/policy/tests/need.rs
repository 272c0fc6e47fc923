//! What is need and what is room already: each test here was a fault once.

use crate::config::Amount;
use crate::model::{Act, BreakerState, Reason, Resources, Verdict, Want, WorkerState, duration};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, World, code, launches, shape};
use crate::policy::sensors;
use std::time::Duration;

#[test]
fn what_a_node_keeps_for_itself_is_no_room_on_workers_on_their_way_either() {
    let mut world = World::of(0);
    world.up(None);
    world.pool().node.reserved = Resources::new(600, 0);
    world.pending(2, 900);
    assert_eq!(world.launches(), 2);
    let plan = world.plan();
    world.apply(&plan);
    assert_eq!(code(&world), "no_pod_waits");
    world.pending(1, 900);
    assert_eq!(world.launches(), 1, "a coming worker holds one such pod, not two");
}

#[test]
fn a_worker_that_has_just_become_ready_is_not_counted_as_room_twice() {
    let mut world = World::of(1);
    world.up(None);
    world.set(1, WorkerState::Joined);
    world.pending(2, 1_500);
    assert_eq!(world.launches(), 1);
    world.view().pods.pop();
    assert_eq!(world.launches(), 0);
    world.pod_on(1, 1_000);
    assert_eq!(world.launches(), 1, "somebody is on it already");
}

#[test]
fn an_essential_pod_makes_one_pool_grow_by_one_without_any_alert() {
    let mut world = World::of(1);
    world.add_pool("others", 10);
    world.pod_on(1, 1_900);
    world.pending(3, 1_500);
    for pod in world.pods().skip(1) {
        pod.essential = Some(crate::model::Essential::Alertmanager);
    }
    let plan = world.plan();
    let all: usize = plan.decisions.iter().map(launches).sum();
    assert_eq!(all, 1, "{plan:#?}");
    world.apply(&plan);
    assert_eq!(world.plan().decisions.iter().map(launches).sum::<usize>(), 0, "one at a time");
    world.silence("restore");
    world.memory.workers.retain(|_, worker| worker.state == WorkerState::Ready);
    world.instances("others").clear();
    assert_eq!(world.decision_of("others").reason.code(), "paused");
}

#[test]
fn an_essential_pod_that_the_packing_serves_makes_no_other_pool_grow() {
    let mut world = World::of(0);
    world.add_pool("others", 10);
    world.up(None);
    world.pending(1, 1_500);
    world.first_pod().essential = Some(crate::model::Essential::Store);
    let plan = world.plan();
    assert_eq!(plan.decisions.iter().map(launches).sum::<usize>(), 1, "{plan:#?}");
}

#[test]
fn machines_and_nodes_of_ours_without_a_record_count_towards_the_minimum() {
    let mut world = World::of(3);
    world.pool().min = 3;
    world.memory.workers.remove(&"w1".into());
    assert_eq!(world.launches(), 0, "its machine is there");
    let mut untagged = world.clone();
    untagged.unjoined(1);
    untagged.instance(1).worker = None;
    assert_eq!(untagged.launches(), 0, "whoever it is");
    world.instances("workers").retain(|i| i.id.as_str() != "i1");
    assert_eq!(world.launches(), 0, "its node is there");
    let mut unlabelled = world.clone();
    unlabelled.node(1).worker = None;
    assert_eq!(unlabelled.launches(), 1, "it is nobody's");
    world.view().nodes.retain(|node| node.at.name.as_str() != "n1");
    assert_eq!(world.launches(), 1);
}

#[test]
fn need_that_went_away_does_not_shorten_the_wait_of_the_next() {
    let mut world = World::of(0);
    world.up(None);
    world.pool().settle = Duration::from_millis(50);
    world.pending(1, 1_500);
    world.memory.pools = world.plan().pools;
    world.view().pods.clear();
    world.memory.pools = world.plan().pools;
    world.later(MINUTE);
    world.pending(1, 1_500);
    assert_eq!(code(&world), "settling");
}

#[test]
fn proven_need_is_served_though_an_alerts_larger_step_is_cooling_down() {
    let mut world = World::of(1);
    world.pod_on(1, 1_900);
    world.up(Some(4));
    world.pool().step.up = Amount::Count(1);
    world.run();
    world.pool().step.up = Amount::Count(4);
    world.pending(2, 1_500);
    let decision = world.decision();
    assert_eq!(decision.reason.code(), "pods_pending", "{decision:#?}");
    assert_eq!(launches(&decision), 1);
}

#[test]
fn restoring_the_minimum_does_not_carry_an_alerts_step_past_its_cooldown() {
    let mut world = World::of(1);
    world.pool().min = 2;
    world.up(Some(4));
    let memory = world.memory.pools.entry("workers".into()).or_default();
    (memory.up_started, memory.up_ended) = (Some(world.now), Some(world.now));
    assert_eq!(world.launches(), 1);
}

/// Others have limits of their own, and come next.
#[test]
fn restoring_the_minimum_launches_for_nobody() {
    let mut world = World::of(1);
    world.pool().min = 2;
    world.up(None);
    world.shapes().push(shape(
        "large",
        Resources::new(8_000, 16 << 30).with_pods(110),
        Some(200_000),
    ));
    world.pending(1, 3_000);
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    assert_eq!(intent.request.orders[0].offering.shape.as_str(), "small");
    assert!(intent.pods.is_empty());
    world.pool().min = 1;
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    assert_eq!(intent.request.orders[0].offering.shape.as_str(), "large");
}

#[test]
fn a_wish_larger_than_what_pods_need_is_served_though_an_alert_is_cooling_down() {
    let mut world = World::of(1);
    world.pod_on(1, 1_900);
    world.up(Some(4));
    let now = world.now;
    (world.remembered().up_started, world.remembered().up_ended) = (Some(now), Some(now));
    world.manual(3);
    world.pending(1, 1_500);
    assert_eq!(world.launches(), 3);
}

#[test]
fn pods_that_a_limit_left_out_were_not_launched_for_in_vain() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(4, 1_500);
    world.pool().limits.launches_per_hour = 1;
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    assert_eq!(intent.request.orders.len(), 1);
    assert_eq!(intent.pods.len(), 1);
}

#[test]
fn an_essential_pod_is_given_the_cheapest_shape_that_holds_it() {
    let mut world = World::of(1);
    let large = Resources::new(8_000, 16 << 30).with_pods(110);
    world.shapes().push(shape("large", large, Some(200_000)));
    world.pending(1, 3_000);
    world.first_pod().essential = Some(crate::model::Essential::Prometheus);
    let Verdict::Launch { intent, .. } = world.decision().verdict else { panic!() };
    assert_eq!(intent.request.orders[0].offering.shape.as_str(), "large");
    assert_eq!(intent.pods, [world.first_pod().uid.clone()]);
}

#[test]
fn an_essential_pod_is_served_though_other_pools_grow_for_others() {
    let mut world = World::of(0);
    world.add_pool("others", 10);
    world.up(None).pool = Some("others".into());
    for pool in ["others", "workers"] {
        world.pool_named(pool).node.labels.insert("tier".to_owned(), pool.to_owned());
        world.pending(1, 1_500);
        world.spec().node_selector.insert("tier".to_owned(), pool.to_owned());
    }
    assert_eq!(world.launches(), 0);
    world.pods().last().unwrap().essential = Some(crate::model::Essential::Store);
    let plan = world.plan();
    assert_eq!((launches(plan.of("others")), launches(plan.of("workers"))), (1, 1));
}

#[test]
fn what_is_taken_back_and_what_is_bought_stay_within_the_maximum_together() {
    let mut world = World::of(3);
    world.pool().max = 3;
    world.set(3, WorkerState::Draining);
    let node = world.nodes().find(|node| node.at.name.as_str() == "n3").unwrap();
    node.cordon = crate::model::Cordon::Ours;
    world.worker(3).purpose = Some(crate::model::Purpose::Idle);
    world.up(Some(4));
    assert_eq!(world.launches(), 0);
    world.pool().max = 2;
    let plan = world.plan();
    assert!(plan.steps.iter().all(|step| !matches!(step.act, Act::Uncordon { .. })), "{plan:#?}");
}

#[test]
fn the_open_breaker_refuses_and_then_tries_one_worker_at_a_time() {
    let mut world = World::of(0);
    world.up(Some(4));
    let breaker = &mut world.memory.pools.entry("workers".into()).or_default().breaker;
    (breaker.state, breaker.failures) = (BreakerState::Open, 1);
    breaker.retry_at = Some(duration::after(world.now, MINUTE));
    assert_eq!(code(&world), "breaker_open");
    world.later(MINUTE * 2);
    let plan = world.plan();
    assert_eq!(launches(&plan.decisions[0]), 1);
    world.apply(&plan);
    assert_eq!(world.memory.pools[&"workers".into()].breaker.state, BreakerState::HalfOpen);
    world.resolve("Up");
    world.manual(1);
    assert_eq!(code(&world), "breaker_open", "the one on trial is still coming");
    world.boot();
    world.run();
    assert_eq!(world.memory.pools[&"workers".into()].breaker.state, BreakerState::Closed);
}

///
#[test]
fn an_unknown_query_asks_for_nothing_and_says_so() {
    let mut world = World::of(2);
    world.up_wants(Want::Unknown { why: "NaN".to_owned() });
    let decision = world.decision();
    assert_eq!(decision.reason, Reason::NothingAsked);
    assert!(decision.also.iter().any(|reason| reason.code() == "want_unknown"), "{decision:#?}");
}

#[test]
fn launches_that_help_no_pod_open_the_breaker_and_twice_in_vain_is_unhelpable() {
    let mut world = World::of(0);
    world.up(None);
    world.pending(1, 1_500);
    for vain in 1..=2 {
        assert_eq!(world.launches(), 1, "{vain}");
        let plan = world.plan();
        world.apply(&plan);
        world.boot();
        for node in world.nodes() {
            node.cordon = crate::model::Cordon::Foreign;
        }
        world.run();
        world.later(SECOND * 50);
        assert_eq!(code(&world), "no_pod_waits", "one need never launches twice");
        world.later(SECOND * 20);
        let plan = world.plan();
        world.apply(&plan);
        let memory = &world.memory.pools[&"workers".into()];
        assert_eq!(memory.breaker.state, BreakerState::Open, "{vain}");
        assert_eq!(memory.unhelpable.values().next().unwrap().vain, vain);
        world.later(MINUTE * 4);
    }
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    assert!(decision.also.iter().any(|reason| reason.code() == "unhelpable"), "{decision:#?}");
    let told = sensors(&world.observed, &world.memory, &world.limits, world.now).unwrap();
    let told: Vec<_> = told.unschedulable.iter().filter(|(_, pods)| **pods > 0).collect();
    assert_eq!((told.len(), told[0].0.reason, *told[0].1), (1, "in_vain", 1));
}

#[test]
fn a_clock_that_tells_a_moment_twice_never_gives_one_id_to_two_workers() {
    let mut world = World::of(0);
    world.manual(1);
    world.apply(&world.plan());
    world.manual(1);
    world.apply(&world.plan());
    assert_eq!(world.memory.workers.len(), 2);
}

#[test]
fn a_worker_that_never_joins_opens_the_breaker_once_and_is_ended() {
    let mut world = World::of(0);
    world.up(Some(1));
    let plan = world.plan();
    world.apply(&plan);
    world.later(MINUTE * 6);
    world.silence("repair");
    for _ in 0..4 {
        let plan = world.plan();
        world.apply(&plan);
        world.later(SECOND);
    }
    let breaker = world.memory.pools[&"workers".into()].breaker;
    assert_eq!((breaker.state, breaker.failures), (BreakerState::Open, 1));
}

#[test]
fn a_launch_that_the_provider_refused_opens_the_breaker_once() {
    let mut world = World::of(1);
    world.set(1, WorkerState::Failed { failure: crate::model::Failure::NotLaunched });
    world.worker(1).instance = None;
    world.instances("workers").clear();
    world.view().nodes.clear();
    world.run();
    let breaker = world.memory.pools[&"workers".into()].breaker;
    assert_eq!((breaker.state, breaker.failures), (BreakerState::Open, 1));
}

#[test]
fn pending_pods_under_a_pause_of_growing_do_not_hold_back_a_wish() {
    let mut world = World::of(0);
    world.pending(3, 1_500);
    world.silence("up");
    world.manual(2);
    let decision = world.decision();
    assert_eq!(launches(&decision), 2);
    assert_eq!(decision.reason.code(), "manual_scale");
}

#[test]
fn a_wish_for_no_more_than_an_alert_asks_for_is_served_with_it() {
    let mut world = World::of(1);
    world.up(Some(1));
    world.manual(1);
    let plan = world.plan();
    let decision = &plan.decisions[0];
    assert_eq!((launches(decision), decision.reason.code()), (1, "alert_step"));
    assert_eq!(plan.expired.len(), 1, "it is done with");
}

/// A pod of our own monitoring that no alert may bring a worker for.
fn essential(world: &mut World) {
    world.pending(1, 1_500);
    world.pods().last().unwrap().essential = Some(crate::model::Essential::Prometheus);
}

#[test]
fn a_pod_that_no_shape_could_host_does_not_stand_in_the_way_of_an_essential_one() {
    let mut world = World::of(0);
    world.pending(1, 9_000);
    essential(&mut world);
    assert_eq!(world.decision().reason.code(), "essential_pending");
}

#[test]
fn where_the_first_pool_is_full_the_next_grows_for_an_essential_pod() {
    let mut world = World::of(1);
    world.pod_on(1, 1_900);
    world.pool().max = 1;
    world.add_pool("zone-b", 1);
    essential(&mut world);
    assert_eq!(world.launches(), 0);
    assert_eq!(launches(&world.decision_of("zone-b")), 1);
}

#[test]
fn a_larger_wish_brings_room_for_an_essential_pod_too() {
    let mut world = World::of(0);
    essential(&mut world);
    world.silence("up");
    world.manual(3);
    let decision = world.decision();
    assert_eq!((launches(&decision), decision.reason.code()), (3, "manual_scale"));
}
