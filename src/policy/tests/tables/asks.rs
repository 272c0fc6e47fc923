//! Which signals count, what is remembered, and the check right before an act.

use super::world::{Read as _, World, drains, launches, mins, peer, secs, world, world_of};
use crate::config::Require;
use crate::model::{Ask, Decision, Guard, Permit, Reason, SilenceState, Source, duration};
use crate::policy::permit::{self, Moment};
use std::time::Duration;

/// Two idle workers and an alert that says so.
fn idle() -> World {
    let mut world = world().with_workers(2);
    world.down();
    world
}

fn tells(decision: &Decision, is_it: impl Fn(&Reason) -> bool) -> bool {
    is_it(&decision.reason) || decision.also.iter().any(is_it)
}

fn holds_with(world: &World, is_it: impl Fn(&Reason) -> bool) {
    let decision = world.decision();
    assert!(drains(&decision).is_empty(), "{decision:?}");
    assert!(tells(&decision, is_it), "{decision:?}");
}

#[test]
fn a_delivered_and_active_alert_counts() {
    assert_eq!(drains(&idle().decision()).len(), 2, "empty ones go together");
}

#[test]
fn an_alert_that_is_not_active_in_alertmanager_does_not_count() {
    let mut world = idle();
    world.over("PoolIdle");
    holds_with(&world, |reason| matches!(reason, Reason::NotConfirmed { .. }));
    let mut world = super::world::world();
    world.up_step(1);
    world.over("CpuHigh");
    let decision = world.decision();
    assert_eq!(launches(&decision), 0);
    assert!(tells(&decision, |reason| matches!(reason, Reason::NotConfirmed { .. })));
}

#[test]
fn an_alert_that_was_not_delivered_lately_does_not_count() {
    let mut world = idle();
    world.signal_mut("PoolIdle").last_seen = duration::before(world.now, secs(86));
    holds_with(&world, |reason| matches!(reason, Reason::NotDelivered { .. }));
    world.signal_mut("PoolIdle").last_seen = duration::before(world.now, secs(85));
    assert_eq!(drains(&world.decision()).len(), 2);
}

/// W-08, W-10
#[test]
fn w_08_w_10_a_delivery_of_long_ago_weighs_nothing_in_removal() {
    let mut world = idle();
    world.truth.ttl = Duration::from_hours(4);
    let signal = world.signal_mut("PoolIdle");
    signal.last_seen = duration::before(signal.last_seen, mins(7));
    holds_with(&world, |reason| matches!(reason, Reason::NotDelivered { .. }));
    world.up_step(1);
    world.signal_mut("CpuHigh").last_seen = duration::before(world.now, mins(7));
    assert_eq!(launches(&world.decision()), 1, "the short time is for removal only");
}

#[test]
fn resolved_alone_never_acts() {
    let mut world = super::world::world().with_workers(3);
    world.up_step(1);
    world.over("CpuHigh");
    if let Source::Alert { resolved, .. } = &mut world.signal_mut("CpuHigh").source {
        *resolved = true;
    }
    let plan = world.plan();
    assert_eq!(plan.of("workers").reason, Reason::NothingAsked);
    assert!(plan.steps.is_empty() && plan.transitions.is_empty());
}

#[test]
fn a_silenced_alert_pauses_and_says_who_until_when_and_why() {
    let mut world = idle();
    world.silence("alertname", "PoolIdle");
    let until = duration::after(world.now, Duration::from_hours(1));
    holds_with(&world, |reason| {
        matches!(reason, Reason::Paused { by, until: told, comment, remembered: false, .. }
            if by == "ann" && *told == until && comment == "maintenance")
    });
}

#[test]
fn an_inhibited_alert_does_not_count() {
    let mut world = idle();
    world.truth.alerts.get_mut(&"PoolIdle".into()).unwrap().inhibited_by = vec!["Other".into()];
    holds_with(&world, |reason| matches!(reason, Reason::Inhibited { .. }));
}

#[test]
fn a_silence_is_remembered_when_alertmanager_forgets_it() {
    let mut world = idle();
    world.silence("alertname", "PoolIdle");
    world.memory.cluster = world.plan().memory;
    world.truth.silences.clear();
    world.truth.alerts.get_mut(&"PoolIdle".into()).unwrap().silenced_by.clear();
    holds_with(&world, |reason| matches!(reason, Reason::Paused { remembered: true, .. }));
    world.pass_time(Duration::from_hours(1));
    world.memory.cluster = world.plan().memory;
    assert!(world.memory.cluster.silences.is_empty(), "its end ends it");
    assert_eq!(drains(&world.decision()).len(), 2);
}

#[test]
fn a_remembered_silence_ends_when_alertmanager_says_that_this_one_expired() {
    let mut world = idle();
    world.silence("alertname", "PoolIdle");
    world.memory.cluster = world.plan().memory;
    world.truth.silences.values_mut().for_each(|s| s.state = SilenceState::Expired);
    world.truth.alerts.get_mut(&"PoolIdle".into()).unwrap().silenced_by.clear();
    let plan = world.plan();
    assert!(plan.memory.silences.is_empty());
    assert_eq!(drains(plan.of("workers")).len(), 2);
}

#[test]
fn removal_needs_every_alertmanager_unless_a_majority_is_enough() {
    let mut world = idle();
    let started = world.truth.peers[0].started;
    world.truth.peers.push(peer("http://am-2:9093", started));
    world.truth.peers.push(peer("http://am-3:9093", None));
    holds_with(&world, |reason| *reason == Reason::AlertmanagerAway { answered: 2, asked: 3 });
    world.config.alertmanager.require = Require::Majority;
    assert_eq!(drains(&world.decision()).len(), 2);
}

#[test]
fn without_any_alertmanager_growing_goes_on_from_fresh_deliveries_and_removal_does_not() {
    let mut world = idle();
    world.truth.peers[0] = peer("http://am:9093", None);
    world.truth.alerts.clear();
    holds_with(&world, |reason| matches!(reason, Reason::AlertmanagerAway { .. }));
    world.up_step(1);
    world.truth.alerts.clear();
    assert_eq!(launches(&world.decision()), 1);
    if let Source::Alert { resolved, .. } = &mut world.signal_mut("CpuHigh").source {
        *resolved = true;
    }
    assert_eq!(launches(&world.decision()), 0, "the last we heard is that it is over");
}

/// W-04, A-60
#[test]
fn w_04_a_silent_watchdog_holds_removal() {
    let mut world = idle();
    let last = duration::before(world.now, secs(181));
    world.signal_mut("Watchdog").last_seen = last;
    holds_with(&world, |reason| *reason == Reason::WatchdogMissing { last: Some(last) });
    world.signals.retain(|signal| signal.name != "Watchdog");
    holds_with(&world, |reason| *reason == Reason::WatchdogMissing { last: None });
}

#[test]
fn a_restarted_alertmanager_holds_removal_for_its_time() {
    let mut world = idle();
    world.truth.peers[0].started = Some(world.now);
    let until = duration::after(world.now, mins(5));
    holds_with(&world, |reason| *reason == Reason::AlertmanagerRestarted { until });
    world.memory.cluster = world.plan().memory;
    world.pass_time(mins(5));
    assert_eq!(drains(&world.decision()).len(), 2);
}

#[test]
fn a_fresh_alertmanager_in_the_place_of_a_known_one_is_a_restart() {
    let mut world = idle();
    world.truth.peers[0] = peer("http://10.0.0.7:9093", Some(world.now));
    holds_with(&world, |reason| matches!(reason, Reason::AlertmanagerRestarted { .. }));
    world.memory.cluster.alertmanagers.clear();
    assert_eq!(drains(&world.decision()).len(), 2, "the very first one seen holds nothing");
}

#[test]
fn what_is_known_of_alertmanagers_outlives_an_hour_without_any() {
    let mut world = idle();
    world.truth.peers.clear();
    assert_eq!(world.plan().memory.alertmanagers, world.memory.cluster.alertmanagers);
}

#[test]
fn a_clock_that_creeps_is_no_restart() {
    let mut world = idle();
    let started = world.truth.peers[0].started.unwrap();
    for creep in 0..5 {
        world.truth.peers[0].started =
            Some(duration::after(started, Duration::from_millis(creep * 100)));
        let plan = world.plan();
        assert!(plan.memory.down_held_until.is_none());
        world.memory.cluster = plan.memory;
    }
}

#[test]
fn an_alert_for_a_pool_or_node_that_is_not_there_says_so() {
    let mut world = world_of(&["left", "right"]);
    world.alert("Idle", Ask::Down { node: None }, Some("middle"));
    let standings = crate::policy::standings(
        &world.signals,
        &world.observed(),
        &world.memory,
        &world.config,
        world.now,
    );
    assert!(matches!(standings[1], Err(Reason::WrongTarget { .. })));
    let mut world = super::world::world().with_workers(1);
    world.replace("w1");
    world.signal_mut("NodeSick").ask = Ask::Replace { node: Some("n-nowhere".into()) };
    let decision = world.decision();
    assert!(tells(&decision, |reason| matches!(reason, Reason::WrongTarget { .. })));
}

#[test]
fn guards_hold_removal_when_they_fail_are_unknown_or_were_not_asked() {
    let mut world = idle();
    world.config.guards.down = vec!["up".to_owned()];
    holds_with(&world, |reason| matches!(reason, Reason::GuardUnknown { .. }));
    world.guards.insert("up".to_owned(), Guard::Unknown { why: "stale".to_owned() });
    holds_with(&world, |reason| matches!(reason, Reason::GuardUnknown { .. }));
    world.guards.insert("up".to_owned(), Guard::Fails { detail: "0".to_owned() });
    holds_with(&world, |reason| matches!(reason, Reason::GuardFails { .. }));
    world.guards.insert("up".to_owned(), Guard::Holds);
    assert_eq!(drains(&world.decision()).len(), 2);
}

#[test]
fn another_cluster_under_the_same_name_holds_everything() {
    let mut world = idle();
    world.pool().min = 5;
    world.pool_named("workers").max = 9;
    world.uid = "another".to_owned();
    let plan = world.plan();
    assert!(matches!(plan.of("workers").reason, Reason::OtherCluster { .. }));
    assert!(plan.steps.is_empty() && plan.transitions.is_empty());
}

#[test]
fn a_new_store_beside_machines_of_ours_holds_removal() {
    let mut world = idle();
    world.memory.workers.clear();
    world.memory.cluster.uid = None;
    let plan = world.plan();
    assert_eq!(plan.memory.uid, Some(super::world::UID.into()));
    assert_eq!(plan.memory.down_held_until, Some(duration::after(world.now, mins(10))));
}

#[test]
fn a_pool_that_is_not_configured_any_more_is_shown_and_left_alone() {
    let mut world = world_of(&["workers", "old"]);
    world.ready_worker("old", "o1", Duration::from_hours(9));
    world.alert("Idle", Ask::Down { node: None }, Some("old"));
    world.config.pools.remove(&"old".into());
    world.instances.remove(&"old".into());
    let plan = world.plan();
    assert_eq!((&plan.of("old").reason, plan.of("old").have), (&Reason::Unmanaged, 1));
    assert!(plan.steps.is_empty());
}

// --- right before the act ---

fn check(world: &World, permit: &Permit) -> Result<(), Reason> {
    permit::check(
        permit,
        &Moment {
            cluster: &"one".into(),
            pool: &"workers".into(),
            signals: &world.signals,
            truth: &world.truth,
            guards: &world.guards,
            memory: &world.memory.cluster,
            limits: &world.config,
            now: world.now,
        },
    )
}

#[test]
fn what_a_drain_rests_on_is_asked_again_right_before_it() {
    let down = Permit::Down { signals: vec!["PoolIdle".into()], guards: vec!["up".to_owned()] };
    let healthy = || {
        let mut world = idle();
        world.guards.insert("up".to_owned(), Guard::Holds);
        world
    };
    assert_eq!(check(&healthy(), &down), Ok(()));
    let breaks: [fn(&mut World); 6] = [
        |world| world.silence("alertname", "PoolIdle"),
        |world| world.silence("autoscale", "down"),
        |world| world.over("PoolIdle"),
        |world| world.truth.peers[0].error = Some("away".to_owned()),
        |world| _ = world.guards.insert("up".to_owned(), Guard::Fails { detail: "0".to_owned() }),
        |world| world.signal_mut("Watchdog").last_seen = duration::before(world.now, mins(9)),
    ];
    for (number, break_it) in breaks.iter().enumerate() {
        let mut world = healthy();
        break_it(&mut world);
        assert!(check(&world, &down).is_err(), "case {number}");
    }
}

#[test]
fn every_act_without_an_alert_is_pausable_under_its_own_word() {
    let acts = [
        ("up", Permit::Need),
        ("restore", Permit::Restore),
        ("repair", Permit::Repair),
        ("gc", Permit::Gc),
        ("manual", Permit::Manual),
        ("replace", Permit::Replace { signals: Vec::new() }),
    ];
    for (word, permit) in &acts {
        for (silenced, _) in &acts {
            let mut world = world();
            world.silence("autoscale", silenced);
            assert_eq!(check(&world, permit).is_err(), word == silenced, "{word} {silenced}");
        }
    }
    let mut world = world();
    for (word, _) in &acts {
        world.silence("autoscale", word);
    }
    assert_eq!(check(&world, &Permit::Begun), Ok(()), "what was begun is finished");
}
