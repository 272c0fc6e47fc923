//! What holds in every world, and through whatever happens to one. A counter-example that was found
//! is a test of its own beside the rule it broke.

mod life;
mod recipe;

use crate::config::Mode;
use crate::model::{
    Act, Cordon, Permit, Pin, Plan, Purpose, Reason, Transition, Verdict, WorkerEvent, WorkerId,
    duration,
};
use crate::policy::fixtures::{MINUTE, Reads as _, SECOND, UNSEEN, World, intents, launches};
use life::{Life, events};
use proptest::prelude::*;
use recipe::{made, recipe};
use std::collections::BTreeSet;
use std::time::Duration;

/// Enough to find what is wrong over some days of running, few enough to run every time.
const CASES: u32 = 64;

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
    let found = plan.transitions.iter().filter(|one| matches!(one, Transition::Adopt { .. }));
    u32::try_from(back.count() + found.count()).unwrap()
}

fn touched(plan: &Plan) -> Vec<&WorkerId> {
    plan.moved().chain(plan.steps.iter().map(|step| &step.worker)).collect()
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

    /// I2: a call that is under way.
    #[test]
    fn one_need_never_launches_twice(recipe in recipe()) {
        let mut world = made(&recipe);
        let plan = world.plan();
        world.commit(&plan);
        if intents(&plan).next().is_some() {
            prop_assert_eq!(world.launches(), 0, "{:#?}", plan);
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
            let decision = plan.of("workers");
            match &decision.verdict {
                Verdict::Launch { .. } => prop_assert!(decision.want <= most, "{:#?}", decision),
                Verdict::Drain { .. } => prop_assert!(decision.want >= min, "{:#?}", decision),
                Verdict::Hold => {}
            }
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
        let memory = world.remembered();
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
    fn a_partial_stale_or_unknown_view_removes_nothing(recipe in recipe(), which in 0..UNSEEN.len()) {
        let mut world = made(&recipe);
        UNSEEN[which](&mut world);
        let plan = world.plan();
        for step in &plan.steps {
            prop_assert!(!matches!(
                step.act,
                Act::Cordon { .. } | Act::Evict { .. } | Act::Force { .. } | Act::Terminate { .. } | Act::RemoveNode { .. }
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
            let unique: BTreeSet<_> = touched.iter().collect();
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// I1, I3, I6, I7; what must always hold is checked at each pass.
    #[test]
    fn whatever_happens_the_invariants_hold_and_in_the_end_it_is_quiet(events in events()) {
        let mut life = Life::new();
        for event in &events {
            life.happen(event);
            life.pass();
            life.wait(SECOND * 2);
        }
        life.mend();
        let mut plan = life.pass();
        for _ in 0..80 {
            life.wait(MINUTE * 3);
            plan = life.pass();
        }
        prop_assert!(plan.is_quiet() && plan.steps.is_empty(), "{:#?}", plan);
        let decision = plan.of("workers");
        prop_assert!(decision.have >= 1, "min is restored: {:?}", decision);
    }
}
