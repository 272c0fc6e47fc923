use super::world::{Case, ago, workers};
use crate::config::{Mode, OrderBy};
use crate::model::{
    Act, Ask, Cordon, Direction, Failure, Guard, InstanceState, Market, Permit, Pin, Plan, Price,
    Purpose, Readiness, Reason, Resources, Signal, Source, Transition, Verdict, View, Want,
    WorkerEvent, WorkerState,
};
use proptest::prelude::*;
use std::time::Duration;

fn launched(plan: &Plan) -> usize {
    match &plan.decisions[0].verdict {
        Verdict::Launch { intent, .. } => intent.request.orders.len(),
        _ => 0,
    }
}

fn drained(plan: &Plan) -> Vec<&str> {
    match &plan.decisions[0].verdict {
        Verdict::Drain { workers } => workers.iter().map(crate::model::WorkerId::as_str).collect(),
        _ => Vec::new(),
    }
}

fn reason(plan: &Plan) -> &Reason {
    &plan.decisions[0].reason
}

fn also(plan: &Plan, matches: impl Fn(&Reason) -> bool) -> bool {
    let decision = &plan.decisions[0];
    std::iter::once(&decision.reason).chain(&decision.also).any(matches)
}

fn quiet(plan: &Plan) -> bool {
    plan.is_quiet() && plan.steps.is_empty()
}

// === growing ===

///
#[test]
fn an_alert_with_a_step_adds_exactly_its_step() {
    assert_eq!(launched(&workers(2).up(1).plan()), 1);
    assert_eq!(launched(&workers(2).up(2).plan()), 2);
}

///
#[test]
fn waiting_pods_add_as_many_workers_as_they_need() {
    let plan = workers(1).pods_on(0, 2).waiting(4, 900).need().plan();
    assert_eq!(launched(&plan), 2);
    assert_eq!(reason(&plan), &Reason::PodsPending { pods: 4, workers: 2 });
}

/// the largest ask counts, never the sum.
#[test]
fn several_asks_combine_by_their_largest() {
    let case = workers(1).pods_on(0, 2).waiting(2, 900).need().up(2);
    assert_eq!(launched(&case.plan()), 2);
}

#[test]
fn pods_that_fit_on_what_is_there_or_coming_buy_nothing() {
    assert_eq!(launched(&workers(2).pods_on(0, 2).waiting(2, 900).need().plan()), 0);
}

#[test]
fn waiting_pods_without_an_alert_buy_nothing_while_alerts_could_come() {
    assert_eq!(launched(&workers(1).pods_on(0, 2).waiting(2, 900).plan()), 0);
}

/// nothing but need that the packing proves is served, and nothing is removed.
#[test]
fn a_60_with_a_silent_watchdog_proven_need_is_served_and_nothing_removed() {
    let mut case = workers(1).pods_on(0, 2).waiting(2, 900);
    case.signals.clear();
    assert_eq!(launched(&case.plan()), 1);
    let mut case = workers(3).idle();
    case.signals.retain(|signal| signal.name != "Watchdog");
    assert!(matches!(reason(&case.plan()), Reason::WatchdogMissing { .. }));
}

#[test]
fn a_query_wants_a_size_and_an_unknown_one_wants_nothing() {
    let ask = || Ask::Up { step: None, want_query: Some("q".to_owned()) };
    let mut case = workers(2).alert("Forecast", "up", ask());
    case.observed.wants.insert("Forecast".into(), Want::Workers(4));
    assert_eq!(launched(&case.plan()), 2);
    case.observed.wants.insert("Forecast".into(), Want::Unknown { why: "NaN".to_owned() });
    assert_eq!(launched(&case.plan()), 0);
    assert!(also(&case.plan(), |reason| matches!(reason, Reason::WantUnknown { .. })));
}

///
#[test]
fn w_15_max_is_never_passed() {
    let plan = workers(5).pods_on(0, 2).waiting(30, 1900).need().up(4).plan();
    assert_eq!(launched(&plan), 0);
    assert!(also(&plan, |reason| matches!(reason, Reason::AtMax { max: 5 })));
    assert_eq!(launched(&workers(4).up(4).plan()), 1);
}

#[test]
fn w_03_at_max_scale_down_is_still_possible() {
    assert_eq!(drained(&workers(5).idle().plan()).len(), 4, "empty ones go together, down to min");
}

/// no alert, no cooldown, no Alertmanager.
#[test]
fn below_min_is_restored_whatever_is_silent() {
    let mut case = workers(1).with(|case| case.pool().min = 3);
    case.signals.clear();
    case.observed.truth.peers[0].error = Some("away".to_owned());
    assert_eq!(launched(&case.plan()), 2);
    assert_eq!(launched(&case.clone().silence("restore").plan()), 0);
}

#[test]
fn w_02_an_unknown_list_restores_nothing() {
    let mut case = workers(1).with(|case| case.pool().min = 3);
    case.observed.instances.insert("workers".into(), View::Unknown { why: "away".to_owned() });
    assert!(matches!(reason(&case.plan()), Reason::Unknown { .. }));
    let mut case = workers(1).with(|case| case.pool().min = 3);
    case.observed.cluster = View::Unknown { why: "away".to_owned() };
    assert_eq!(launched(&case.plan()), 0);
}

///
#[test]
fn w_05_w_17_inside_the_up_cooldown_nothing_is_sized_by_step() {
    let mut case = workers(2).up(1);
    let now = case.now;
    let memory = case.memory.pools.entry("workers".into()).or_default();
    (memory.up_started, memory.up_ended) = (Some(ago(now, 100)), Some(ago(now, 60)));
    assert!(matches!(reason(&case.plan()), Reason::Cooldown { direction: Direction::Up, .. }));
    let proven = case.clone().pods_on(0, 2).pods_on(1, 2).waiting(2, 900).need();
    assert_eq!(
        launched(&proven.plan()),
        1,
        "need that the packing proves waits for cooldown.pending only"
    );
    case.memory.pools.get_mut(&"workers".into()).unwrap().up_ended = Some(ago(now, 301));
    assert_eq!(launched(&case.plan()), 1);
}

/// W-21
#[test]
fn w_21_a_pod_that_no_shape_could_host_adds_nothing_and_says_so() {
    let plan = workers(1).waiting(1, 64_000).need().plan();
    assert_eq!(launched(&plan), 0);
    assert!(also(&plan, |reason| matches!(reason, Reason::Unhostable { pods: 1, .. })));
    let idle = workers(3).waiting(1, 64_000).need().idle().plan();
    assert_eq!(drained(&idle).len(), 2, "nor does it hold removal");
}

#[test]
fn w_19_requests_beyond_what_there_is_are_need_and_no_error() {
    assert_eq!(launched(&workers(1).pods_on(0, 5).waiting(2, 900).need().plan()), 1);
}

#[test]
fn an_open_intent_holds_the_next_batch() {
    let mut case = workers(2).up(1);
    let plan = case.plan();
    case.apply(&plan);
    assert!(matches!(reason(&case.plan()), Reason::IntentOpen { .. }));
}

#[test]
fn launches_per_hour_and_budget_bind() {
    let mut case = workers(1).up(4).with(|case| case.pool().limits.launches_per_hour = 3);
    let now = case.now;
    case.memory.pools.entry("workers".into()).or_default().launches.push((ago(now, 60), 2));
    assert_eq!(launched(&case.plan()), 1);
    let budget =
        |price| workers(1).up(4).with(|case| case.pool().budget.per_hour = Some(Price(price)));
    assert_eq!(launched(&budget(150_000).plan()), 2);
    assert!(matches!(reason(&budget(60_000).plan()), Reason::OverBudget { .. }));
}

#[test]
fn an_unknown_price_refuses_only_where_a_budget_is_set() {
    let unpriced = |mut case: Case| {
        if let Some(View::Known { value, .. }) = case.observed.shapes.get_mut(&"workers".into()) {
            value[0].offerings.iter_mut().for_each(|offering| offering.price = None);
        }
        case
    };
    assert_eq!(launched(&unpriced(workers(1).up(1)).plan()), 1);
    let budget = workers(1).up(1).with(|case| case.pool().budget.per_hour = Some(Price(9_000_000)));
    assert!(matches!(reason(&unpriced(budget).plan()), Reason::PriceUnknown { .. }));
}

#[test]
fn new_workers_go_to_the_zone_with_the_fewest() {
    let plan = workers(1).up(3).plan();
    let Verdict::Launch { intent, .. } = &plan.decisions[0].verdict else { panic!("no launch") };
    let zones: Vec<&str> =
        intent.request.orders.iter().map(|order| order.offering.zone.as_str()).collect();
    assert_eq!(zones, ["b", "a", "b"], "worker 0 stands in a");
}

#[test]
fn launches_that_do_not_become_ready_open_the_breaker_and_a_ready_one_closes_it() {
    let mut case = workers(1).up(1);
    let mut failed = case.memory.workers[&"w0".into()].clone();
    failed.id = "w9".into();
    (failed.instance, failed.node) = (None, None);
    failed.state = WorkerState::Failed { failure: Failure::NotLaunched };
    case.memory.workers.insert(failed.id.clone(), failed);
    let plan = case.plan();
    assert!(
        matches!(reason(&plan), Reason::BreakerOpen { failures: 1, .. }),
        "{:?}",
        reason(&plan)
    );
}

#[test]
fn new_need_waits_for_its_siblings_but_not_for_ever() {
    let mut case = workers(1).pods_on(0, 2).waiting(1, 900).need();
    case.pool().settle = Duration::from_millis(50);
    let plan = case.plan();
    assert!(matches!(reason(&plan), Reason::Settling { .. }));
    case.apply(&plan);
    case.now += jiff::SignedDuration::from_millis(60);
    assert_eq!(launched(&case.plan()), 1);
}

// === alerts, silences ===

#[test]
fn a_silenced_alert_does_not_count_and_says_who_and_until_when() {
    let plan = workers(2).up(1).silence("up").plan();
    assert!(
        matches!(reason(&plan), Reason::Paused { by, remembered: false, .. } if by == "Ada"),
        "{:?}",
        reason(&plan)
    );
    assert!(quiet(&plan));
}

/// The alert of a cluster with one pool may lack the label `pool`; a silence of the pool pauses it all the same.
#[test]
fn a_pause_of_the_pool_holds_removal_though_it_does_not_match_the_alert() {
    let mut case = workers(3).idle();
    for state in case.observed.truth.alerts.values_mut() {
        state.labels.remove("pool");
    }
    for signal in &mut case.signals {
        if let Source::Alert { labels, .. } = &mut signal.source {
            labels.remove("pool");
        }
    }
    let mut case = case.silence("down");
    case.observed.truth.alerts.values_mut().for_each(|state| state.silenced_by.clear());
    let silence = case.observed.truth.silences.values_mut().next().unwrap();
    (silence.matchers[0].name, silence.matchers[0].value) =
        ("pool".to_owned(), "workers".to_owned());
    assert!(matches!(reason(&case.plan()), Reason::Paused { .. }));
    assert!(quiet(&case.plan()));
}

#[test]
fn a_silence_that_alertmanager_forgot_is_remembered() {
    let mut case = workers(2).up(1).silence("up");
    let plan = case.plan();
    case.apply(&plan);
    case.observed.truth.silences.clear();
    case.observed.truth.alerts.values_mut().for_each(|state| state.silenced_by.clear());
    assert!(also(&case.plan(), |reason| matches!(reason, Reason::Paused { remembered: true, .. })));
    assert_eq!(launched(&case.plan()), 0);
}

#[test]
fn an_alert_must_be_delivered_and_confirmed() {
    let stale = workers(2).up(1).with(|case| {
        let old = ago(case.now, 86);
        case.signals
            .iter_mut()
            .filter(|signal| signal.name == "CPUHigh")
            .for_each(|signal| signal.last_seen = old);
    });
    assert!(also(&stale.plan(), |reason| matches!(reason, Reason::NotDelivered { .. })));
    let unconfirmed = workers(2).up(1).with(|case| {
        case.observed.truth.alerts.remove(&crate::model::Fingerprint::new("CPUHigh"));
    });
    assert!(also(&unconfirmed.plan(), |reason| matches!(reason, Reason::NotConfirmed { .. })));
    assert!(quiet(&stale.plan()) && quiet(&unconfirmed.plan()));
}

#[test]
fn without_alertmanager_growing_goes_on_from_fresh_deliveries_and_shrinking_stops() {
    let away = |case: &mut Case| {
        case.observed.truth.peers[0].error = Some("away".to_owned());
        case.observed.truth.alerts.clear();
    };
    assert_eq!(launched(&workers(2).up(1).with(away).plan()), 1);
    assert!(matches!(
        reason(&workers(3).idle().with(away).plan()),
        Reason::AlertmanagerAway { .. }
    ));
}

#[test]
fn a_restarted_alertmanager_holds_removal() {
    let restarted = workers(3).idle().with(|case| {
        case.observed.truth.peers[0].started = Some(ago(case.now, 5));
    });
    assert!(matches!(reason(&restarted.plan()), Reason::AlertmanagerRestarted { .. }));
}

#[test]
fn w_08_resolved_and_absence_never_remove() {
    let mut case = workers(3).idle();
    for signal in &mut case.signals {
        if let Source::Alert { resolved, .. } = &mut signal.source {
            *resolved = signal.name == "SustainedIdle";
        }
    }
    case.observed.truth.alerts.remove(&crate::model::Fingerprint::new("SustainedIdle"));
    assert!(quiet(&case.plan()));
    assert!(quiet(&workers(3).plan()));
}

// === shrinking ===

///
#[test]
fn idle_removes_one_worker_whose_pods_fit_elsewhere() {
    let plan = workers(3).pods_on(0, 1).pods_on(1, 1).pods_on(2, 1).idle().plan();
    assert_eq!(drained(&plan).len(), 1);
    assert!(matches!(plan.steps[0].act, Act::Cordon { .. }));
    assert_eq!(plan.steps[0].before, Some(WorkerEvent::Cordon { purpose: Purpose::Idle }));
}

///
#[test]
fn at_min_nothing_is_removed() {
    assert_eq!(reason(&workers(1).idle().plan()), &Reason::AtMin { min: 1 });
}

///
#[test]
fn w_06_w_14_anything_upward_holds_removal() {
    let pending = workers(3).pods_on(0, 2).pods_on(1, 2).pods_on(2, 2).waiting(1, 900).idle();
    assert!(drained(&pending.plan()).is_empty());
    assert!(matches!(reason(&pending.plan()), Reason::PendingPods { pods: 1 }));
    let silenced = workers(3).idle().up(1).silence("up");
    assert!(
        also(&silenced.plan(), |reason| matches!(reason, Reason::UpActive { .. })),
        "a pause of growing is no licence"
    );
    assert!(drained(&silenced.plan()).is_empty());
}

#[test]
fn a_query_that_is_still_met_after_the_removal_does_not_hold_it() {
    let ask = || Ask::Up { step: None, want_query: Some("q".to_owned()) };
    let case = |want| {
        let mut case = workers(4).alert("Forecast", "up", ask()).idle();
        case.observed.wants.insert("Forecast".into(), Want::Workers(want));
        case.plan()
    };
    assert_eq!(drained(&case(2)).len(), 2);
    assert_eq!(reason(&case(4)), &Reason::StillWanted { want: 4 });
}

#[test]
fn guards_must_hold_and_an_unknown_is_no_yes() {
    assert_eq!(drained(&workers(2).idle().guard(Guard::Holds).plan()).len(), 1);
    let fails = workers(2).idle().guard(Guard::Fails { detail: "0".to_owned() }).plan();
    assert!(matches!(reason(&fails), Reason::GuardFails { .. }));
    let unknown = workers(2).idle().guard(Guard::Unknown { why: "away".to_owned() }).plan();
    assert!(matches!(reason(&unknown), Reason::GuardUnknown { .. }));
    let mut unasked = workers(2).idle().guard(Guard::Holds);
    unasked.observed.guards.clear();
    assert!(matches!(reason(&unasked.plan()), Reason::GuardUnknown { .. }));
}

#[test]
fn the_down_cooldown_runs_from_the_end_of_the_last_change() {
    for is_up in [true, false] {
        let mut case = workers(2).idle();
        let ended = Some(ago(case.now, 599));
        let memory = case.memory.pools.entry("workers".into()).or_default();
        if is_up {
            (memory.up_started, memory.up_ended) = (ended, ended);
        } else {
            memory.down_ended = ended;
        }
        assert!(matches!(
            reason(&case.plan()),
            Reason::Cooldown { direction: Direction::Down, .. }
        ));
        case.now += jiff::SignedDuration::from_secs(2);
        assert_eq!(drained(&case.plan()).len(), 1);
    }
}

/// Everything that keeps a worker, each alone.
#[test]
fn each_blocker_keeps_its_worker() {
    type Blocker = fn(&mut Case);
    type Told = fn(&Reason) -> bool;
    let blockers: [(Blocker, Told); 8] = [
        (
            |c| c.pool().permanent = ["w0", "n1"].map(str::to_owned).into(),
            |r| matches!(r, Reason::Permanent),
        ),
        (|c| c.pool().min_age = Duration::from_hours(2), |r| matches!(r, Reason::TooYoung { .. })),
        (
            |c| c.list().iter_mut().for_each(|i| i.protected = true),
            |r| matches!(r, Reason::Protected),
        ),
        (
            |c| c.view().nodes.iter_mut().for_each(|n| n.cordon = Cordon::Foreign),
            |r| matches!(r, Reason::ForeignCordon),
        ),
        (
            |c| c.view().pods.iter_mut().for_each(|p| p.pins = vec![Pin::Bare]),
            |r| matches!(r, Reason::PodPinned { .. }),
        ),
        (
            |c| c.view().pods.iter_mut().for_each(|p| p.pins = vec![Pin::LocalStorage]),
            |r| matches!(r, Reason::PodPinned { .. }),
        ),
        (
            |c| c.view().pods.iter_mut().for_each(|p| p.pins = vec![Pin::KubeSystem]),
            |r| matches!(r, Reason::PodPinned { .. }),
        ),
        (|c| c.pool().headroom = Resources::new(1500, 0), |r| matches!(r, Reason::NoHeadroom)),
    ];
    for (number, (block, told)) in blockers.into_iter().enumerate() {
        let mut case = workers(2).pods_on(0, 1).pods_on(1, 1).idle();
        case.pool().min = 0;
        block(&mut case);
        let plan = case.plan();
        assert!(drained(&plan).is_empty(), "blocker {number}");
        match reason(&plan) {
            Reason::NoCandidate { blocked } => {
                assert!(blocked.iter().any(|(_, reason)| told(reason)), "{blocked:?}");
            }
            Reason::AtMin { min: 2 } => assert_eq!(number, 0, "two permanent workers are a floor"),
            other => panic!("blocker {number}: {other:?}"),
        }
    }
}

/// A-45, W-69
#[test]
fn w_69_a_permanent_worker_is_never_removed() {
    let case = workers(3).idle().with(|case| case.pool().permanent = [String::from("n1")].into());
    assert!(!drained(&case.plan()).contains(&"w1"));
    assert_eq!(drained(&case.plan()).len(), 2);
}

#[test]
fn kube_system_pods_hold_their_worker_for_an_hour_and_then_move() {
    let mut case = workers(2).pods_on(0, 1).pods_on(1, 1).idle();
    case.view().pods.iter_mut().for_each(|pod| pod.pins = vec![Pin::KubeSystem]);
    let plan = case.plan();
    case.apply(&plan);
    assert_eq!(case.memory.cluster.kube_system_since.len(), 2);
    let past = ago(case.now, 3601);
    case.memory.cluster.kube_system_since.values_mut().for_each(|since| *since = past);
    assert_eq!(drained(&case.plan()).len(), 1);
}

///
#[test]
fn the_configured_order_decides_who_goes() {
    let choose = |order| {
        let mut case = workers(3).pods_on(0, 1).pods_on(1, 1).pods_on(2, 1).idle();
        case.pool().order = order;
        let now = case.now;
        for (number, worker) in case.memory.workers.values_mut().enumerate() {
            worker.created = ago(now, 3600 + 600 * i64::try_from(number).unwrap());
            // In one zone, so that none is the last of its own.
            worker.zone = "a".into();
        }
        case.view().pods[1].spec = std::sync::Arc::new(crate::model::PodSpec {
            requests: Resources::new(100, 1 << 20).with_pods(1),
            ..Default::default()
        });
        drained(&case.plan())[0].to_owned()
    };
    assert_eq!(choose(OrderBy::Emptiest), "w1");
    assert_eq!(choose(OrderBy::Newest), "w0");
    assert_eq!(choose(OrderBy::Oldest), "w2");
}

#[test]
fn spot_goes_before_on_demand_at_equal_rank() {
    let mut case = workers(3).pods_on(0, 1).pods_on(1, 1).pods_on(2, 1).idle();
    case.memory.workers.get_mut(&"w2".into()).unwrap().market = Market::Spot;
    assert_eq!(drained(&case.plan()), ["w2"]);
}

#[test]
fn pods_that_fit_nowhere_else_keep_their_worker() {
    let plan = workers(2).pods_on(0, 2).pods_on(1, 2).idle().plan();
    assert!(matches!(reason(&plan), Reason::NoCandidate { .. }));
}

///
#[test]
fn w_04_a_61_a_stale_or_unknown_view_removes_nothing() {
    let mut stale = workers(3).idle();
    if let View::Known { at, .. } = &mut stale.observed.cluster {
        *at = ago(stale.now, 61);
    }
    assert!(matches!(reason(&stale.plan()), Reason::Stale { .. }));
    let mut unknown = workers(3).idle();
    unknown.observed.cluster = View::Unknown { why: "away".to_owned() };
    assert!(drained(&unknown.plan()).is_empty());
    let mut unlisted = workers(3).idle();
    unlisted.observed.instances.insert("workers".into(), View::Unknown { why: "away".to_owned() });
    assert!(drained(&unlisted.plan()).is_empty());
}

// === workers on their way out ===

/// A worker that is being drained for idleness.
fn draining() -> Case {
    let mut case = workers(2).pods_on(1, 1).idle();
    let plan = case.plan();
    assert_eq!(drained(&plan), ["w0"]);
    case.apply(&plan);
    case.view().nodes[0].cordon = Cordon::Ours;
    case
}

#[test]
fn a_drain_goes_step_by_step() {
    let mut case = draining();
    let plan = case.plan();
    assert!(matches!(plan.steps[0].act, Act::Evict { .. }));
    case.apply(&plan);
    case.memory.workers.get_mut(&"w0".into()).unwrap().on(&WorkerEvent::Drained, case.now).unwrap();
    let plan = case.plan();
    assert!(matches!(plan.steps[0].act, Act::Terminate { .. }));
    case.apply(&plan);
    assert_eq!(case.memory.workers[&"w0".into()].state, WorkerState::Terminating);
    case.list()[0].state = InstanceState::Gone;
    let plan = case.plan();
    assert!(matches!(plan.steps[0].act, Act::RemoveNode { .. }));
    case.view().nodes.remove(0);
    let plan = case.plan();
    case.apply(&plan);
    assert_eq!(case.memory.workers[&"w0".into()].state, WorkerState::Gone);
}

#[test]
fn a_worker_on_its_way_out_is_taken_back_before_anything_is_bought() {
    let case = draining().up(1);
    let plan = case.plan();
    assert_eq!(launched(&plan), 0);
    assert!(matches!(plan.steps[0].act, Act::Uncordon { .. }));
    assert_eq!(plan.steps[0].reason, Reason::DemandReturned);
}

#[test]
fn a_pause_set_during_a_drain_gives_the_worker_back() {
    let plan = draining().silence("down").plan();
    assert!(matches!(plan.steps[0].act, Act::Uncordon { .. }));
    assert!(matches!(plan.steps[0].reason, Reason::Paused { .. }));
}

#[test]
fn a_drain_whose_alert_resolved_goes_on_and_one_without_monitoring_stands_still() {
    let mut resolved = draining();
    resolved.observed.truth.alerts.remove(&crate::model::Fingerprint::new("SustainedIdle"));
    assert!(matches!(resolved.plan().steps[0].act, Act::Evict { .. }));
    let mut blind = draining();
    blind.signals.retain(|signal| signal.name != "Watchdog");
    let plan = blind.plan();
    assert!(plan.steps.is_empty());
    assert!(
        matches!(&plan.transitions[0], Transition::Clock { worker } if worker.held_since.is_some())
    );
}

///
#[test]
fn a_drain_past_its_deadline_is_given_up_and_refused_for_an_hour_then_two() {
    let mut case = draining();
    case.now += jiff::SignedDuration::from_secs(301);
    refresh(&mut case);
    let plan = case.plan();
    assert!(matches!(plan.steps[0].reason, Reason::DrainDeadline { .. }), "{:?}", plan.steps);
    let refusal = &plan.memory.refusals[&"w0".into()];
    assert_eq!((refusal.count, refusal.until), (1, ago(case.now, -3600)));
    case.memory.cluster = plan.memory;
    assert_eq!(case.plan().memory.refusals[&"w0".into()].count, 1, "the uncordon is asked again");
    case.now += jiff::SignedDuration::from_secs(3601);
    refresh(&mut case);
    assert_eq!(case.plan().memory.refusals[&"w0".into()].until, ago(case.now, -7200));
}

#[test]
fn w_07_the_configured_drain_timeout_is_the_one_that_counts() {
    for (timeout, is_over) in [(Duration::from_mins(5), true), (Duration::from_mins(6), false)] {
        let mut case = draining().with(|case| case.pool().drain.timeout = timeout);
        case.now += jiff::SignedDuration::from_secs(301);
        refresh(&mut case);
        let plan = case.plan();
        assert_eq!(
            matches!(plan.steps[0].reason, Reason::DrainDeadline { .. }),
            is_over,
            "{timeout:?}"
        );
    }
}

/// However often it is looked, only time makes a cooldown end and a deadline come.
#[test]
fn w_10_waits_are_measured_in_time_not_in_passes() {
    let mut case = workers(2).up(1);
    let ended = Some(ago(case.now, 299));
    let memory = case.memory.pools.entry("workers".into()).or_default();
    (memory.up_started, memory.up_ended) = (ended, ended);
    for _ in 0..50 {
        let plan = case.plan();
        assert!(matches!(reason(&plan), Reason::Cooldown { .. }));
        case.apply(&plan);
    }
    case.now += jiff::SignedDuration::from_secs(1);
    assert_eq!(launched(&case.plan()), 1);
}

///
#[test]
fn without_anything_asked_nothing_happens() {
    let mut case = workers(3).pods_on(0, 1).pods_on(1, 1);
    let plan = case.plan();
    assert!(quiet(&plan));
    assert_eq!(reason(&plan), &Reason::NothingAsked);
    case.apply(&plan);
    assert!(quiet(&case.plan()));
}

/// Everything is seen and delivered anew at the case's time.
fn refresh(case: &mut Case) {
    let now = case.now;
    case.signals.iter_mut().for_each(|signal| signal.last_seen = now);
    if let View::Known { at, .. } = &mut case.observed.cluster {
        *at = now;
    }
    if let Some(View::Known { at, .. }) = case.observed.instances.get_mut(&"workers".into()) {
        *at = now;
    }
}

#[test]
fn a_cordon_that_was_not_made_is_asked_for_again_with_everything_it_needs() {
    let mut case = draining().guard(Guard::Holds);
    case.view().nodes[0].cordon = Cordon::None;
    let step = &case.plan().steps[0];
    assert!(matches!(step.act, Act::Cordon { .. }));
    assert!(
        matches!(&step.permit, crate::model::Permit::Down { signals, guards } if !signals.is_empty() && !guards.is_empty())
    );
    case.observed.truth.alerts.remove(&crate::model::Fingerprint::new("SustainedIdle"));
    assert!(matches!(case.plan().steps[0].act, Act::Uncordon { .. }), "nothing asks any more");
}

// === records ===

///
#[test]
fn a_worker_that_is_still_joining_is_left_alone_until_its_deadline() {
    let mut case = workers(2);
    let worker = case.memory.workers.get_mut(&"w1".into()).unwrap();
    (worker.state, worker.node) = (WorkerState::Booting, None);
    worker.deadline_from = ago(case.now, 299);
    case.view().nodes.remove(1);
    assert!(case.plan().transitions.is_empty() && case.plan().steps.is_empty());
    case.now += jiff::SignedDuration::from_secs(2);
    let plan = case.plan();
    assert!(matches!(
        &plan.transitions[0],
        Transition::Move { event: WorkerEvent::Fail { failure: Failure::NeverJoined }, .. }
    ));
}

#[test]
fn an_empty_list_beside_ready_nodes_loses_nobody() {
    let mut case = workers(3);
    case.list().clear();
    let plan = case.plan();
    assert!(plan.transitions.is_empty() && launched(&plan) == 0);
    case.view().nodes[0].readiness = Readiness::NotReady { since: case.now };
    assert!(matches!(
        &case.plan().transitions[0],
        Transition::Move { event: WorkerEvent::Fail { failure: Failure::Lost }, .. }
    ));
}

///
#[test]
fn a_machine_of_ours_without_a_record_is_adopted_and_a_foreign_one_left_alone() {
    let mut case = workers(2);
    case.memory.workers.remove(&"w1".into());
    let plan = case.plan();
    assert!(
        matches!(&plan.transitions[0], Transition::Adopt { worker, .. } if worker.id.as_str() == "w1")
    );
    case.list()[1].cluster_uid = Some("another".into());
    assert!(case.plan().transitions.is_empty());
}

#[test]
fn w_20_a_leftover_node_goes_only_when_its_machine_is_proven_gone() {
    let mut case = workers(2);
    case.memory.workers.remove(&"w1".into());
    case.list().remove(1);
    assert!(case.plan().transitions.is_empty(), "its node is Ready: somebody is wrong");
    let now = ago(case.now, 601);
    case.view().nodes[1].readiness = Readiness::NotReady { since: now };
    assert!(matches!(&case.plan().transitions[0],
        Transition::Adopt { worker, .. } if worker.state == WorkerState::Terminating));
    case.observed.instances.insert("workers".into(), View::Unknown { why: "away".to_owned() });
    assert!(case.plan().transitions.is_empty());
}

#[test]
fn many_sick_at_once_are_not_repaired() {
    let sick = |count: usize| {
        let mut case = workers(5);
        let since = ago(case.now, 700);
        case.view()
            .nodes
            .iter_mut()
            .take(count)
            .for_each(|node| node.readiness = Readiness::NotReady { since });
        let plan = case.plan();
        plan.transitions.len()
    };
    assert_eq!(sick(1), 1);
    assert_eq!(sick(3), 0);
}

#[test]
fn another_cluster_under_the_same_name_is_refused() {
    let mut case = workers(1).up(1).with(|case| case.pool().min = 3);
    case.memory.cluster.uid = Some("before".into());
    assert!(matches!(reason(&case.plan()), Reason::OtherCluster { .. }));
    assert!(quiet(&case.plan()));
}

#[test]
fn a_pool_that_vanished_from_the_file_is_shown_and_never_changed() {
    let mut case = workers(3).idle();
    for worker in case.memory.workers.values_mut() {
        worker.pool = "old".into();
    }
    let plan = case.plan();
    let old = plan.decisions.iter().find(|decision| decision.pool.as_str() == "old").unwrap();
    assert_eq!(old.reason, Reason::Unmanaged);
    assert!(plan.steps.is_empty());
}

/// A silence set after the decision holds the call, and the next passes too.
#[test]
fn a_pause_holds_a_termination_that_is_committed_already() {
    let mut case = workers(2);
    let worker = case.memory.workers.get_mut(&"w1".into()).unwrap();
    worker.state = WorkerState::Failed { failure: Failure::NeverReady };
    let paused = case.clone().silence("repair").plan();
    assert!(paused.steps.is_empty() && paused.transitions.is_empty(), "not even begun");
    let plan = case.plan();
    assert!(matches!(plan.steps[0].permit, Permit::Repair));
    case.apply(&plan);
    assert!(matches!(case.plan().steps[0].permit, Permit::Repair), "asked again before the call");
}

#[test]
fn a_machine_that_was_taken_for_left_over_and_is_there_after_all_is_not_ended() {
    let mut case = workers(2);
    let worker = case.memory.workers.get_mut(&"w1".into()).unwrap();
    (worker.state, worker.instance) = (WorkerState::Terminating, None);
    let plan = case.plan();
    assert!(plan.steps.is_empty());
    assert_eq!(plan.forget.len(), 1);
}

#[test]
fn a_live_machine_behind_the_record_of_a_gone_worker_is_seen() {
    let mut case = workers(2);
    let long_ago = ago(case.now, 600);
    let worker = case.memory.workers.get_mut(&"w1".into()).unwrap();
    (worker.state, worker.since) = (WorkerState::Gone, long_ago);
    let plan = case.plan();
    assert!(
        matches!(&plan.transitions[0], Transition::Adopt { worker, .. } if worker.id.as_str() == "w1")
    );
}

#[test]
fn a_permanent_worker_is_neither_repaired_nor_replaced() {
    let mut case = workers(2).with(|case| {
        let pool = case.pool();
        pool.permanent = [String::from("w0"), String::from("w1")].into();
        pool.max_age = Some(Duration::from_mins(1));
    });
    let since = ago(case.now, 7200);
    case.view().nodes[0].readiness = Readiness::NotReady { since };
    let at = ago(case.now, -120);
    case.list()[1].notice = Some(at);
    let plan = case.plan();
    assert!(plan.steps.is_empty() && plan.transitions.is_empty());
}

#[test]
fn a_drain_on_a_node_that_somebody_opened_closes_it_first() {
    let mut case = draining();
    let plan = case.plan();
    case.apply(&plan);
    case.view().nodes[0].cordon = Cordon::None;
    assert!(matches!(case.plan().steps[0].act, Act::Cordon { .. }));
}

/// The last check before a drained worker's end names no alert, and still asks whether anybody can be asked.
#[test]
fn without_alertmanager_a_drained_worker_is_not_ended() {
    let mut case = workers(2);
    let permit = Permit::Down { signals: Vec::new(), guards: Vec::new() };
    let check = |case: &Case| {
        let moment = crate::policy::permit::Moment {
            cluster: &"c".into(),
            pool: &"workers".into(),
            signals: &case.signals,
            truth: &case.observed.truth,
            guards: &case.observed.guards,
            memory: &case.memory.cluster,
            limits: &case.limits,
            now: case.now,
        };
        crate::policy::permit::check(&permit, &moment)
    };
    assert_eq!(check(&case), Ok(()));
    case.observed.truth.peers[0].error = Some("away".to_owned());
    assert!(matches!(check(&case), Err(Reason::AlertmanagerAway { .. })));
}

// === replacing ===

#[test]
fn a_spot_notice_launches_and_drains_at_once() {
    let mut case = workers(2);
    let at = ago(case.now, -120);
    case.list()[0].notice = Some(at);
    let plan = case.plan();
    assert_eq!(launched(&plan), 1);
    assert_eq!(plan.steps[0].before, Some(WorkerEvent::Cordon { purpose: Purpose::Notice }));
}

#[test]
fn an_old_worker_is_replaced_first_and_drained_after_even_at_max() {
    let mut case = workers(5).with(|case| case.pool().max_age = Some(Duration::from_mins(30)));
    let plan = case.plan();
    assert_eq!(launched(&plan), 1, "surge");
    assert!(plan.steps.is_empty());
    case.apply(&plan);
    assert_eq!(case.memory.pools[&"workers".into()].replacing.len(), 1);
    assert_eq!(launched(&case.plan()), 0, "one at a time");
}

// === dry run ===

///
#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    for case in [workers(2).up(1), workers(3).idle()] {
        let plan = case.with(|case| case.pool().mode = Mode::DryRun).plan();
        assert!(plan.decisions[0].dry_run && !matches!(plan.decisions[0].verdict, Verdict::Hold));
        assert!(plan.steps.iter().all(|step| step.dry_run && step.before.is_none()));
        assert!(plan.is_quiet());
    }
}

// === operators ===

#[test]
fn a_wish_is_done_once_and_within_the_limits() {
    let wish = |by: i32| {
        let mut case = workers(3);
        let now = case.now;
        case.signals.push(Signal {
            id: "wish".into(),
            cluster: "c".into(),
            pool: Some("workers".into()),
            ask: Ask::Scale { by },
            source: Source::Manual { who: "operator".to_owned() },
            name: "manual".to_owned(),
            summary: String::new(),
            description: String::new(),
            first_seen: now,
            last_seen: now,
        });
        case.plan()
    };
    assert_eq!(launched(&wish(9)), 2, "max binds");
    assert_eq!(drained(&wish(-9)).len(), 2, "min binds");
    assert!(wish(1).expired.iter().any(|(id, _)| id.as_str() == "wish"));
}

// === properties ===

fn any_case() -> impl Strategy<Value = Case> {
    let alerts = (any::<bool>(), any::<bool>(), any::<bool>(), 0_u32..4);
    (0_usize..7, 0_usize..3, 0_usize..8, alerts, any::<[bool; 5]>()).prop_map(
        |(count, pods, waiting, alerts, flags)| {
            let (up, need, idle, step) = alerts;
            let [unknown, stale, pinned, silenced, low] = flags;
            let mut case = workers(count).waiting(waiting, 900);
            for number in 0..count {
                case = case.pods_on(number, pods * (number % 2));
            }
            if up && step > 0 {
                case = case.up(step);
            }
            case = if need { case.need() } else { case };
            case = if idle { case.idle() } else { case };
            if pinned {
                case.view().pods.iter_mut().for_each(|pod| pod.pins = vec![Pin::Bare]);
            }
            case = if silenced { case.silence("down") } else { case };
            case.pool().min = if low { 0 } else { 2 };
            let now = case.now;
            if let (true, View::Known { at, .. }) = (stale, &mut case.observed.cluster) {
                *at = ago(now, 3600);
            }
            if unknown {
                case.observed.cluster = View::Unknown { why: "away".to_owned() };
            }
            case
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// I1
    #[test]
    fn never_below_min_nor_above_max(case in any_case()) {
        let plan = case.plan();
        let pool = &case.limits.pools[&"workers".into()];
        let decision = &plan.decisions[0];
        match &decision.verdict {
            Verdict::Launch { .. } => prop_assert!(decision.want <= pool.max, "{decision:?}"),
            Verdict::Drain { .. } => prop_assert!(decision.want >= pool.min, "{decision:?}"),
            Verdict::Hold => {}
        }
    }

    /// I6
    #[test]
    fn a_stale_or_unknown_view_never_removes(case in any_case()) {
        let is_sure = matches!(&case.observed.cluster, View::Known { at, .. } if *at == case.now);
        let plan = case.plan();
        let removes = |act: &Act| matches!(act, Act::Cordon { .. } | Act::Terminate { .. } | Act::Evict { .. });
        prop_assert!(is_sure || !plan.steps.iter().any(|step| removes(&step.act)));
    }

    /// I3
    #[test]
    fn a_worker_with_a_pod_that_must_stay_is_never_chosen(case in any_case()) {
        let plan = case.plan();
        for worker in drained(&plan) {
            let node = &case.memory.workers[&worker.into()].node.clone().unwrap().name;
            let View::Known { value, .. } = &case.observed.cluster else { panic!("chosen from an unknown") };
            prop_assert!(value.pods.iter().filter(|pod| pod.node() == Some(node)).all(|pod| pod.pins.is_empty()));
        }
    }

    /// I2, I7
    #[test]
    fn one_need_never_launches_twice(case in any_case()) {
        let mut case = case;
        let plan = case.plan();
        case.apply(&plan);
        prop_assert_eq!(launched(&case.plan()), 0, "{:?}", reason(&plan));
    }

    #[test]
    fn more_demand_never_launches_fewer(case in any_case()) {
        let more = case.clone();
        let before = launched(&case.plan());
        let known = matches!(more.observed.cluster, View::Known { .. });
        if known {
            prop_assert!(launched(&more.waiting(2, 900).plan()) >= before);
        }
    }

    /// I8
    #[test]
    fn every_pool_gets_one_decision_and_ids_are_unique(case in any_case()) {
        let plan = case.plan();
        prop_assert_eq!(plan.decisions.len(), 1);
        let mut ids: Vec<_> = match &plan.decisions[0].verdict {
            Verdict::Launch { intent, .. } => intent.request.orders.iter().map(|order| order.worker.clone()).collect(),
            _ => plan.steps.iter().map(|step| step.worker.clone()).collect(),
        };
        let count = ids.len();
        ids.sort();
        ids.dedup();
        prop_assert_eq!(ids.len(), count);
    }
}
