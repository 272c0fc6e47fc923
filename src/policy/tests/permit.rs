//! The check right before an act.

use crate::model::{Guard, Permit, Reason, SignalId, View, duration};
use crate::policy::fixtures::{MINUTE, SECOND, World};
use crate::policy::permit::{Moment, check, fresh};

fn checked(world: &World, permit: &Permit) -> Result<(), Reason> {
    check(
        permit,
        &Moment {
            cluster: &world.limits.name,
            pool: &"workers".into(),
            signals: &world.signals,
            truth: &world.observed.truth,
            guards: &world.observed.guards,
            memory: &world.memory.cluster,
            limits: &world.limits,
            now: world.now,
        },
    )
}

fn code(world: &World, permit: &Permit) -> &'static str {
    checked(world, permit).map_or_else(|reason| reason.code(), |()| "granted")
}

fn by(name: &str) -> Vec<SignalId> {
    vec![format!("fp-{name}").as_str().into()]
}

fn every() -> Vec<(&'static str, Permit)> {
    vec![
        ("up", Permit::Up { signals: by("Up") }),
        ("up", Permit::Need),
        ("down", Permit::Down { signals: by("Idle"), guards: Vec::new() }),
        ("down", Permit::Down { signals: Vec::new(), guards: Vec::new() }),
        ("replace", Permit::Replace { signals: by("Sick") }),
        ("replace", Permit::Replace { signals: Vec::new() }),
        ("replace", Permit::Notice),
        ("restore", Permit::Restore),
        ("repair", Permit::Repair),
        ("gc", Permit::Gc),
        ("manual", Permit::Manual),
    ]
}

#[test]
fn what_still_holds_is_granted() {
    let world = World::asked();
    for (_, permit) in every() {
        assert_eq!(checked(&world, &permit), Ok(()), "{permit:?}");
    }
    assert_eq!(checked(&world, &Permit::Begun), Ok(()));
}

#[test]
fn each_is_pausable_by_its_own_silence_seen_or_remembered_and_by_no_other() {
    for (autoscale, permit) in every() {
        let mut world = World::asked();
        world.silence(autoscale);
        assert_eq!(code(&world, &permit), "paused", "{permit:?}");
        let mut world = World::asked();
        world.remembered_silence(autoscale);
        assert_eq!(code(&world, &permit), "paused", "{permit:?}");
        let mut world = World::asked();
        world.silence("another");
        assert_eq!(code(&world, &permit), "granted", "{permit:?}");
    }
}

#[test]
fn taking_back_and_going_on_asks_only_for_the_claim() {
    let mut world = World::asked();
    for autoscale in ["up", "down", "replace", "restore", "repair", "gc", "manual"] {
        world.silence(autoscale);
    }
    world.alertmanager_away();
    assert_eq!(checked(&world, &Permit::Begun), Ok(()));
}

#[test]
fn one_alert_that_still_counts_is_enough_and_none_is_too_few() {
    let mut world = World::asked();
    world.alert("Other", "up", crate::model::Ask::Up { step: Some(1), want_query: None });
    let permit = Permit::Up { signals: [by("Up"), by("Other")].concat() };
    world.not_told_of("Up");
    assert_eq!(code(&world, &permit), "granted");
    world.not_told_of("Other");
    assert_eq!(code(&world, &permit), "not_confirmed");
}

#[test]
fn guards_are_asked_at_the_moment_of_acting() {
    let mut world = World::asked();
    let permit = Permit::Down { signals: by("Idle"), guards: vec!["up".to_owned()] };
    assert_eq!(code(&world, &permit), "guard_unknown");
    for (answer, expected) in [
        (Guard::Holds, "granted"),
        (Guard::Fails { detail: "0".to_owned() }, "guard_fails"),
        (Guard::Unknown { why: "stale".to_owned() }, "guard_unknown"),
    ] {
        world.observed.guards.insert("up".to_owned(), answer);
        assert_eq!(code(&world, &permit), expected);
    }
}

#[test]
fn an_alert_whose_record_is_gone_asks_for_nothing() {
    let mut world = World::asked();
    world.signals.clear();
    world.watchdog();
    for (_, permit) in every() {
        let named = match &permit {
            Permit::Up { signals } | Permit::Replace { signals } | Permit::Down { signals, .. } => {
                !signals.is_empty()
            }
            _ => false,
        };
        assert_eq!(checked(&world, &permit).is_err(), named, "{permit:?}");
    }
}

#[test]
fn without_alertmanager_growing_restoring_and_repairing_are_granted_and_removing_is_not() {
    let mut world = World::asked();
    world.alertmanager_away();
    for (permit, expected) in [
        (Permit::Up { signals: by("Up") }, "granted"),
        (Permit::Need, "granted"),
        (Permit::Restore, "granted"),
        (Permit::Repair, "granted"),
        (Permit::Manual, "granted"),
        (Permit::Down { signals: by("Idle"), guards: Vec::new() }, "alertmanager_away"),
        (Permit::Down { signals: Vec::new(), guards: Vec::new() }, "alertmanager_away"),
        (Permit::Replace { signals: by("Sick") }, "alertmanager_away"),
        (Permit::Replace { signals: Vec::new() }, "alertmanager_away"),
        (Permit::Notice, "granted"),
        (Permit::Gc, "alertmanager_away"),
    ] {
        assert_eq!(code(&world, &permit), expected, "{permit:?}");
    }
}

/// The alert of a cluster with one pool may lack the label `pool`.
#[test]
fn a_pause_of_the_pool_is_found_though_it_does_not_match_the_alert() {
    let mut world = World::asked();
    for name in ["Up", "Idle", "Sick"] {
        world.unlabelled(name, "pool");
    }
    world.silence_on("pool", "workers");
    for (_, permit) in every() {
        assert_eq!(code(&world, &permit), "paused", "{permit:?}");
    }
}

/// The view or the list: each by itself.
#[test]
fn what_was_seen_too_long_ago_removes_nothing_at_the_moment_of_acting() {
    let world = World::asked();
    let judged = |world: &World, passed| {
        let then = duration::after(world.now, passed);
        fresh(&world.observed, &"workers".into(), &world.limits, then)
    };
    assert_eq!(judged(&world, MINUTE), Ok(()));
    let stale = |what: &str| Err(Reason::Stale { what: what.to_owned(), seconds: 61 });
    assert_eq!(judged(&world, MINUTE + SECOND), stale("the view of the cluster"));
    let mut seen_later = world.clone();
    if let View::Known { at, .. } = &mut seen_later.observed.cluster {
        *at = duration::after(*at, SECOND);
    }
    assert_eq!(judged(&seen_later, MINUTE + SECOND), stale("the list of machines"));
}
