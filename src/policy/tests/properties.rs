//! What holds in every world. Worlds are small, so that a counter-example is; one that was found is
//! a test of its own beside the rule it broke.

use crate::config::Mode;
use crate::model::{
    Act, BreakerState, Cordon, Failure, Permit, Pin, Plan, Purpose, Readiness, Reason, Transition,
    Verdict, View, Want, WorkerEvent, WorkerState, duration,
};
use crate::policy::fixtures::{MINUTE, World, launches};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::time::Duration;

/// Enough to find what is wrong over some days of running, few enough to run every time.
const CASES: u32 = 64;

/// What a world is made of.
#[derive(Clone, Debug)]
struct Recipe {
    workers: Vec<(u8, Vec<(u8, u8)>)>,
    pending: Vec<u8>,
    bounds: (u32, u32, u32),
    asks: Vec<(u8, u32)>,
    silenced: Option<u8>,
    troubles: Vec<u8>,
    memory: u8,
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let pods = prop::collection::vec((0_u8..3, 0_u8..12), 0..3);
    (
        prop::collection::vec((0_u8..22, pods), 0..6),
        prop::collection::vec(0_u8..4, 0..5),
        (0_u32..4, 0_u32..6, 0_u32..2),
        prop::collection::vec((0_u8..8, 0_u32..4), 0..4),
        prop::option::weighted(0.2, 0_u8..5),
        prop::collection::vec(0_u8..40, 0..3),
        0_u8..10,
    )
        .prop_map(|(workers, pending, bounds, asks, silenced, troubles, memory)| Recipe {
            workers,
            pending,
            bounds,
            asks,
            silenced,
            troubles,
            memory,
        })
}

fn made(recipe: &Recipe) -> World {
    let mut world = World::of(u32::try_from(recipe.workers.len()).unwrap());
    let (min, more, surge) = recipe.bounds;
    let pool = world.pool();
    (pool.min, pool.max, pool.surge) = (min, min + more, surge);
    for (number, (state, pods)) in (1..).zip(&recipe.workers) {
        for (size, pin) in pods {
            let pod = world.pod_on(number, [100, 500, 900][usize::from(*size)]);
            pod.pins.extend(match pin {
                0 => Some(Pin::Bare),
                1 => Some(Pin::LocalStorage),
                2 => Some(Pin::KubeSystem),
                3 => Some(Pin::DisruptionBudget("pdb".to_owned())),
                _ => None,
            });
        }
        worker(&mut world, number, *state);
    }
    for size in &recipe.pending {
        world.pending(1, [500, 1_500, 1_900, 99_000][usize::from(*size)]);
    }
    for (ask, size) in &recipe.asks {
        asked(&mut world, *ask, *size);
    }
    if let Some(which) = recipe.silenced {
        let autoscale = ["up", "down", "replace", "manual", "restore"][usize::from(which)];
        world.silence(autoscale);
    }
    remembered(&mut world, recipe.memory);
    recipe.troubles.iter().for_each(|trouble| troubled(&mut world, *trouble));
    world
}

fn worker(world: &mut World, number: u32, state: u8) {
    let (now, purpose) = (world.now, Some(Purpose::Idle));
    match state {
        0 => world.node(number).cordon = Cordon::Foreign,
        1 => world.node(number).readiness = Readiness::NotReady { since: now },
        2 => {
            let since = duration::before(now, MINUTE * 30);
            world.node(number).readiness = Readiness::NotReady { since };
        }
        3 => world.set(number, WorkerState::Joined),
        4 => {
            world.set(number, WorkerState::Booting);
            let name = format!("n{number}");
            world.view().nodes.retain(|node| node.at.name.as_str() != name);
            world.worker(number).node = None;
        }
        5..=8 => {
            let states = [WorkerState::Cordoned, WorkerState::Draining, WorkerState::Drained];
            world.set(number, states[usize::from(state) % 3].clone());
            world.worker(number).purpose = purpose;
            world.node(number).cordon = Cordon::Ours;
        }
        9 => {
            let name = format!("i{number}");
            world.instances("workers").retain(|instance| instance.id.as_str() != name);
        }
        10 => world.instance(number).notice = Some(now),
        11 => world.instance(number).protected = true,
        12 => world.set(number, WorkerState::Terminating),
        13 => world.set(number, WorkerState::Failed { failure: Failure::NeverReady }),
        14 => {
            world.pool().permanent.insert(format!("w{number}"));
        }
        _ => {}
    }
}

fn asked(world: &mut World, ask: u8, size: u32) {
    let manual = i32::try_from(size).unwrap();
    match ask {
        0 => drop(world.up(Some(size)).id.clone()),
        1 => drop(world.up(None).id.clone()),
        2 => world.up_wants(Want::Workers(size * 2)),
        3 | 4 => drop(world.down().id.clone()),
        5 => drop(world.manual(if size == 0 { 1 } else { manual }).id.clone()),
        6 => drop(world.manual(if size == 0 { -1 } else { -manual }).id.clone()),
        _ => drop(world.replace(size + 1).id.clone()),
    }
}

fn remembered(world: &mut World, memory: u8) {
    let now = world.now;
    let pool = world.memory.pools.entry("workers".into()).or_default();
    match memory {
        0 => pool.down_ended = Some(now),
        1 => (pool.up_started, pool.up_ended) = (Some(now), Some(now)),
        2 => {
            (pool.breaker.state, pool.breaker.failures) = (BreakerState::Open, 1);
            pool.breaker.retry_at = Some(now);
        }
        3 => pool.launches = vec![(now, 58)],
        _ => {}
    }
}

fn troubled(world: &mut World, trouble: u8) {
    match trouble {
        0 => world.watchdog_falls_silent(),
        1 => world.alertmanager_away(),
        2 => world.a_peer_is_away(),
        3 => world.pool().mode = Mode::DryRun,
        _ => {}
    }
}

/// Serving workers after a plan, before anything new is seen.
fn serving(world: &World) -> u32 {
    u32::try_from(world.memory.workers.values().filter(|worker| worker.is_serving()).count())
        .unwrap()
}

/// Workers that begin to go in a plan, by why.
fn going(plan: &Plan, purpose: Purpose) -> Vec<&str> {
    let event = Some(WorkerEvent::Cordon { purpose });
    let steps = plan.steps.iter().filter(|step| step.before == event);
    steps.map(|step| step.worker.as_str()).collect()
}

/// Workers that come back because their way out was paused or took too long: a pause beats a bound.
fn given_back(plan: &Plan) -> u32 {
    let back = plan.steps.iter().filter(|step| {
        matches!(step.act, Act::Uncordon { .. }) && step.reason != Reason::DemandReturned
    });
    u32::try_from(back.count()).unwrap()
}

fn touched(plan: &Plan) -> Vec<String> {
    let moved = plan.transitions.iter().map(|transition| match transition {
        Transition::Move { worker, .. } => worker.to_string(),
        Transition::Adopt { worker, .. } | Transition::Clock { worker } => worker.id.to_string(),
    });
    moved.chain(plan.steps.iter().map(|step| step.worker.to_string())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn planning_again_after_applying_the_plan_begins_nothing_new(recipe in recipe()) {
        let mut world = made(&recipe);
        let plan = world.plan();
        world.apply(&plan);
        world.now = duration::after(world.now, Duration::from_millis(1));
        let again = world.plan();
        let (first, second) = (&plan.decisions[0], &again.decisions[0]);
        // What the minimum held back is launched after it, and so is what fails or goes meanwhile or
        // what a worker taken back has no room for; never the same need twice.
        let is_alone = !plan.steps.iter().any(|step| {
            matches!(step.act, Act::Cordon { .. } | Act::Uncordon { .. })
        });
        let is_same = !first.dry_run && is_alone && second.have >= first.want;
        if is_same && launches(first) > 0 && launches(second) > 0 {
            prop_assert_ne!(first.reason.code(), second.reason.code(), "{:#?}", second);
        }
        for _ in 0..8 {
            let plan = world.plan();
            world.apply(&plan);
            world.now = duration::after(world.now, Duration::from_millis(1));
        }
        for decision in world.plan().decisions.iter().filter(|decision| !decision.dry_run) {
            prop_assert_eq!(&decision.verdict, &Verdict::Hold);
        }
    }

    #[test]
    fn a_plan_is_made_of_its_input_alone(recipe in recipe()) {
        let world = made(&recipe);
        prop_assert_eq!(world.plan(), world.clone().plan());
    }

    #[test]
    fn never_above_the_maximum_nor_below_the_minimum(recipe in recipe()) {
        let mut world = made(&recipe);
        let (min, max, surge) = (world.pool().min, world.pool().max, world.pool().surge);
        for _ in 0..4 {
            let before = serving(&world);
            let plan = world.plan();
            world.apply(&plan);
            let after = serving(&world);
            let replaces = plan.decisions.iter().any(|decision| matches!(
                &decision.verdict,
                Verdict::Launch { intent } if matches!(intent.permit, Permit::Replace { .. } | Permit::Notice)
            ));
            let most = max + if replaces { surge } else { 0 };
            prop_assert!(after <= most.max(before) + given_back(&plan), "{} {} {:#?}", before, after, plan);
            let shrinks = going(&plan, Purpose::Idle).len() + going(&plan, Purpose::Manual).len();
            prop_assert!(shrinks == 0 || after >= min, "{} {} {:#?}", before, after, plan);
            world.boot();
        }
    }

    #[test]
    fn a_worker_with_a_pod_that_must_stay_or_that_may_not_leave_is_never_chosen(recipe in recipe()) {
        let mut world = made(&recipe);
        let plan = world.plan();
        for purpose in [Purpose::Idle, Purpose::Manual, Purpose::Replace] {
            for id in going(&plan, purpose) {
                let number: u32 = id.trim_start_matches('w').parse().unwrap();
                let node = world.node(number).at.name.clone();
                let pods = world.view().pods.clone();
                let mut pods = pods.iter().filter(|pod| pod.node() == Some(&node));
                let stays = |pin: &Pin| matches!(pin, Pin::Bare | Pin::LocalStorage);
                prop_assert!(!pods.any(|pod| pod.pins.iter().any(stays)), "{:#?}", plan);
                prop_assert!(!world.instance(number).protected);
                prop_assert!(!world.pool().permanent.contains(id));
                prop_assert_ne!(world.node(number).cordon, Cordon::Foreign);
            }
        }
    }

    #[test]
    fn a_pool_never_launches_and_drains_idle_workers_together(recipe in recipe()) {
        let plan = made(&recipe).plan();
        if launches(&plan.decisions[0]) > 0 {
            prop_assert_eq!(going(&plan, Purpose::Idle), Vec::<&str>::new());
            prop_assert_eq!(going(&plan, Purpose::Manual), Vec::<&str>::new());
        }
    }

    #[test]
    fn within_the_cooldown_nothing_is_sized_by_step_or_query(recipe in recipe(), ended: bool) {
        let mut world = made(&recipe);
        let now = world.now;
        let memory = world.memory.pools.entry("workers".into()).or_default();
        (memory.up_started, memory.up_ended) = (Some(now), ended.then_some(now));
        let decision = world.decision();
        if launches(&decision) > 0 {
            prop_assert_ne!(decision.reason.code(), "alert_step");
            prop_assert_ne!(decision.reason.code(), "want_query");
        }
    }

    #[test]
    fn more_demand_never_launches_fewer(recipe in recipe(), more in 1_u32..5, size in 0_usize..4) {
        let world = made(&recipe);
        let mut fuller = world.clone();
        fuller.pending(more, [500, 1_500, 1_900, 99_000][size]);
        prop_assert!(
            fuller.launches() >= world.launches(),
            "{:#?}\n{:#?}", world.decision(), fuller.decision()
        );
    }

    #[test]
    fn two_pools_never_buy_for_one_pod(recipe in recipe(), max in 0_u32..4, shared in 0_u8..3) {
        let mut world = made(&recipe);
        world.add_pool("others", max);
        for signal in &mut world.signals {
            signal.pool = [None, Some("others".into()), signal.pool.clone()][usize::from(shared)].clone();
        }
        let plan = world.plan();
        let pods = plan.decisions.iter().flat_map(|decision| match &decision.verdict {
            Verdict::Launch { intent, .. } => intent.pods.clone(),
            _ => Vec::new(),
        });
        let pods: Vec<_> = pods.collect();
        let unique: BTreeSet<_> = pods.iter().collect();
        prop_assert_eq!(unique.len(), pods.len(), "{:#?}", plan);
    }

    #[test]
    fn a_partial_stale_or_unknown_view_removes_nothing(recipe in recipe(), which in 0..4) {
        let mut world = made(&recipe);
        let (old, why) = (duration::before(world.now, MINUTE * 2), "timeout".to_owned());
        match (which, &mut world.observed.cluster) {
            (0, cluster) => *cluster = View::Unknown { why },
            (1, View::Known { at, .. }) => *at = old,
            (2, _) => {
                world.observed.instances.insert("workers".into(), View::Unknown { why });
            }
            _ => {
                if let Some(View::Known { at, .. }) =
                    world.observed.instances.get_mut(&"workers".into())
                {
                    *at = old;
                }
            }
        }
        let plan = world.plan();
        for step in &plan.steps {
            prop_assert!(!matches!(
                step.act,
                Act::Cordon { .. } | Act::Evict { .. } | Act::Terminate { .. } | Act::RemoveNode { .. }
            ), "{:#?}", plan);
        }
        let fails = |transition: &Transition| {
            matches!(transition, Transition::Move { event: WorkerEvent::Fail { .. }, .. })
        };
        prop_assert!(!plan.transitions.iter().any(fails), "{:#?}", plan);
    }

    #[test]
    fn ids_are_unique_and_a_worker_has_one_thing_to_do(recipe in recipe()) {
        let mut world = made(&recipe);
        for _ in 0..3 {
            let plan = world.plan();
            let touched = touched(&plan);
            let unique: BTreeSet<&String> = touched.iter().collect();
            prop_assert_eq!(unique.len(), touched.len(), "{:#?}", plan);
            world.apply(&plan);
            world.boot();
        }
    }

    #[test]
    fn every_pool_has_one_decision_with_a_reason_of_the_list(recipe in recipe()) {
        let world = made(&recipe);
        let plan = world.plan();
        prop_assert_eq!(plan.decisions.len(), world.limits.pools.len());
        let decided = plan.decisions.iter().flat_map(|decision| {
            decision.also.iter().chain([&decision.reason])
        });
        for reason in decided.chain(plan.steps.iter().map(|step| &step.reason)) {
            prop_assert!(Reason::CODES.contains(&reason.code()));
        }
        let acts = |verdict: &Verdict| *verdict != Verdict::Hold;
        for decision in plan.decisions.iter().filter(|decision| acts(&decision.verdict)) {
            prop_assert_ne!(&decision.reason, &Reason::NothingAsked);
        }
    }

    #[test]
    fn a_dry_run_touches_nothing(recipe in recipe()) {
        let mut world = made(&recipe);
        world.pool().mode = Mode::DryRun;
        for _ in 0..3 {
            let plan = world.plan();
            prop_assert!(plan.steps.iter().all(|step| step.dry_run && step.before.is_none()));
            let acts = |verdict: &Verdict| *verdict != Verdict::Hold;
            prop_assert!(plan.decisions.iter().all(|d| d.dry_run || !acts(&d.verdict)));
            world.apply(&plan);
        }
    }
}
