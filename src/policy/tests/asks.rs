//! Which signals count.

use crate::config::Require;
use crate::model::{Ask, Reason, SilenceState, Want, duration};
use crate::policy::fixtures::{DAY, MINUTE, SECOND, World};
use crate::policy::standings;
use jiff::SignedDuration;

fn standing(world: &World, name: &str) -> Result<(), Reason> {
    let at = world.signals.iter().position(|signal| signal.name == name).unwrap();
    standings(&world.signals, &world.observed, &world.memory, &world.limits, world.now).remove(at)
}

fn code(world: &World, name: &str) -> &'static str {
    standing(world, name).map_or_else(|reason| reason.code(), |()| "counts")
}

#[test]
fn alerts_count_that_were_delivered_and_that_alertmanager_calls_active() {
    let world = World::asked();
    for name in ["Up", "Idle", "Sick", "Watchdog"] {
        assert_eq!(standing(&world, name), Ok(()), "{name}");
    }
}

#[test]
fn an_alert_that_alertmanager_does_not_tell_of_does_not_count() {
    let mut world = World::asked();
    for name in ["Up", "Idle", "Sick"] {
        world.not_told_of(name);
        assert_eq!(code(&world, name), "not_confirmed", "{name}");
    }
}

#[test]
fn an_active_alert_that_was_not_delivered_lately_does_not_count() {
    let mut world = World::asked();
    for name in ["Up", "Idle", "Sick"] {
        let (now, ttl) = (world.now, world.observed.truth.ttl);
        world.signal_named(name).last_seen = duration::before(now, ttl);
        assert_eq!(code(&world, name), "counts", "{name}");
        world.signal_named(name).last_seen = duration::before(now, ttl + SECOND);
        assert_eq!(code(&world, name), "not_delivered", "{name}");
    }
}

#[test]
fn w_08_w_10_a_delivery_of_long_ago_weighs_nothing_in_removal() {
    let mut world = World::asked();
    world.observed.truth.ttl = DAY;
    for (name, expected) in [("Up", "counts"), ("Idle", "not_delivered"), ("Sick", "not_delivered")]
    {
        world.signal_named(name).last_seen = duration::before(world.now, MINUTE * 7);
        assert_eq!(code(&world, name), expected, "{name}");
    }
}

#[test]
fn a_silenced_alert_tells_who_paused_it_until_when_and_why() {
    let mut world = World::asked();
    world.silence("up");
    let Err(Reason::Paused { by, until, comment, remembered, .. }) = standing(&world, "Up") else {
        panic!("not paused");
    };
    assert_eq!(until, duration::after(world.now, MINUTE * 60));
    assert_eq!((by.as_str(), comment.as_str(), remembered), ("ada", "maintenance", false));
    assert_eq!(code(&world, "Idle"), "counts");
}

#[test]
fn an_alert_silenced_by_an_unknown_silence_is_paused_all_the_same() {
    let mut world = World::asked();
    world.told_of("Up").silenced_by.push("somewhere".into());
    assert_eq!(code(&world, "Up"), "paused");
}

#[test]
fn an_inhibited_alert_names_what_inhibits_it() {
    let mut world = World::asked();
    world.told_of("Idle").inhibited_by.push("fp-Up".into());
    let reason = standing(&world, "Idle").unwrap_err();
    assert_eq!(reason, Reason::Inhibited { alert: "Idle".to_owned(), by: "Up".to_owned() });
}

#[test]
fn a_silence_that_a_restarted_alertmanager_forgot_is_honoured_to_its_end() {
    let mut world = World::asked();
    world.remembered_silence("down");
    assert!(matches!(standing(&world, "Idle"), Err(Reason::Paused { remembered: true, .. })));
    world.later(MINUTE * 61);
    assert_eq!(code(&world, "Idle"), "counts");
    assert!(world.plan().memory.silences.is_empty(), "and no longer");
}

#[test]
fn a_silence_that_alertmanager_calls_expired_is_forgotten_at_once() {
    let mut world = World::asked();
    let id = world.remembered_silence("down");
    let mut silence = world.memory.cluster.silences[&id].clone();
    silence.state = SilenceState::Expired;
    world.observed.truth.silences.insert(id.clone(), silence);
    assert_eq!(code(&world, "Idle"), "counts");
    assert!(!world.plan().memory.silences.contains_key(&id));
}

#[test]
fn silences_seen_are_remembered_by_the_plan() {
    let mut world = World::asked();
    let id = world.silence("down");
    assert!(world.plan().memory.silences.contains_key(&id));
}

#[test]
fn after_an_alertmanager_restart_removals_wait_and_growing_does_not() {
    let mut world = World::asked();
    let first = world.plan();
    world.apply(&first);
    world.observed.truth.peers[0].started = Some(world.now);
    assert_eq!(code(&world, "Idle"), "alertmanager_restarted");
    assert_eq!(code(&world, "Sick"), "alertmanager_restarted");
    assert_eq!(code(&world, "Up"), "counts");
    world.memory.cluster = world.plan().memory;
    world.later(SECOND * 299);
    assert_eq!(code(&world, "Idle"), "alertmanager_restarted");
    world.later(SECOND);
    assert_eq!(code(&world, "Idle"), "counts");
}

#[test]
fn an_alertmanager_that_started_again_at_once_or_was_set_back_has_restarted() {
    let millisecond = SignedDuration::from_millis(1);
    for other in [millisecond, -millisecond] {
        let mut world = World::asked();
        world.memory.cluster = world.plan().memory;
        let peer = &mut world.observed.truth.peers[0];
        peer.started = peer.started.map(|at| at + other);
        assert_eq!(code(&world, "Idle"), "alertmanager_restarted");
    }
}

#[test]
fn without_alertmanager_fresh_deliveries_still_grow_and_nothing_is_removed() {
    let mut world = World::asked();
    world.alertmanager_away();
    assert_eq!(code(&world, "Up"), "counts");
    assert_eq!(code(&world, "Idle"), "alertmanager_away");
    assert_eq!(code(&world, "Sick"), "alertmanager_away");
}

#[test]
fn with_neither_alertmanager_nor_watchdog_an_alert_asks_for_nothing_itself() {
    let mut world = World::of(1);
    world.up(Some(2));
    world.alertmanager_away();
    assert_eq!(world.launches(), 2);
    world.watchdog_falls_silent();
    assert_eq!(world.launches(), 0, "nobody tells that it is active");
    world.pending(4, 900);
    assert_eq!(world.launches(), 1, "what pods prove is served");
}

#[test]
fn without_alertmanager_a_delivery_that_said_resolved_grows_nothing() {
    let mut world = World::asked();
    world.resolve("Up");
    world.alertmanager_away();
    assert_eq!(code(&world, "Up"), "not_confirmed");
}

#[test]
fn one_of_two_alertmanagers_away_holds_removals_only() {
    let mut world = World::asked();
    world.a_peer_is_away();
    assert_eq!(code(&world, "Idle"), "alertmanager_away");
    assert_eq!(code(&world, "Up"), "counts");
    world.not_told_of("Up");
    assert_eq!(code(&world, "Up"), "counts", "the one that would tell may be the one away");
}

#[test]
fn a_majority_is_enough_where_it_is_configured() {
    let mut world = World::asked();
    world.a_peer_is_away();
    world.limits.alertmanager.require = Require::Majority;
    assert_eq!(code(&world, "Idle"), "alertmanager_away", "one of two is no majority");
    let third = crate::model::PeerState {
        url: "http://am-3".to_owned(),
        ..world.observed.truth.peers[0].clone()
    };
    world.observed.truth.peers.push(third);
    assert_eq!(code(&world, "Idle"), "counts");
    world.not_told_of("Idle");
    assert_eq!(code(&world, "Idle"), "alertmanager_away", "the third may tell of it");
}

#[test]
fn w_04_a_silent_watchdog_holds_removal() {
    let mut world = World::asked();
    world.watchdog_falls_silent();
    assert_eq!(code(&world, "Idle"), "watchdog_missing");
    assert_eq!(code(&world, "Sick"), "watchdog_missing");
    assert_eq!(code(&world, "Up"), "counts");
    let mut last = duration::before(world.now, MINUTE * 3);
    world.signal_named("Watchdog").last_seen = last;
    assert_eq!(code(&world, "Idle"), "counts");
    last = duration::before(last, SECOND);
    world.signal_named("Watchdog").last_seen = last;
    assert_eq!(standing(&world, "Idle"), Err(Reason::WatchdogMissing { last: Some(last) }));
    world.watchdog();
    world.resolve("Watchdog");
    assert_eq!(standing(&world, "Idle"), Err(Reason::WatchdogMissing { last: None }));
    world.signals.retain(|signal| signal.name != "Watchdog");
    assert_eq!(standing(&world, "Idle"), Err(Reason::WatchdogMissing { last: None }));
}

/// Found by a real Prometheus that was killed: the busy alert was over, and that the watchdog was too had not been
/// delivered yet.
#[test]
fn a_watchdog_that_is_told_no_more_holds_removal_before_that_is_delivered() {
    let mut world = World::asked();
    world.not_told_of("Watchdog");
    assert_eq!(code(&world, "Idle"), "watchdog_missing");
    assert_eq!(code(&world, "Sick"), "watchdog_missing");
    assert_eq!(code(&world, "Up"), "counts");
}

#[test]
fn an_alert_that_names_no_pool_of_ours_does_not_count() {
    let mut world = World::asked();
    world.signal_named("Up").pool = Some("elsewhere".into());
    assert_eq!(code(&world, "Up"), "wrong_target");
    world.signal_named("Idle").pool = None;
    assert_eq!(code(&world, "Idle"), "counts", "there is only one pool it could mean");
    world.add_pool("other", 3);
    assert_eq!(code(&world, "Idle"), "wrong_target");
}

#[test]
fn a_wish_is_pausable_and_does_not_wait_for_ever() {
    let mut world = World::of(2);
    world.manual(1);
    assert_eq!(code(&world, "manual"), "counts");
    world.silence("manual");
    assert_eq!(code(&world, "manual"), "paused");
    world.observed.truth.silences.clear();
    world.signal_named("manual").last_seen = duration::before(world.now, MINUTE * 11);
    assert_eq!(code(&world, "manual"), "not_delivered");
}

#[test]
fn a_pause_is_the_reason_where_nothing_else_asks() {
    let mut world = World::of(2);
    world.up_wants(Want::Workers(4));
    world.silence("up");
    let decision = world.decision();
    assert!(matches!(decision.reason, Reason::Paused { .. }), "{decision:#?}");
}

#[test]
fn a_node_that_is_not_there_is_the_wrong_target() {
    let mut world = World::asked();
    for ask in [Ask::Replace { node: Some("n9".into()) }, Ask::Replace { node: None }] {
        world.signal_named("Sick").ask = ask;
        assert_eq!(code(&world, "Sick"), "wrong_target");
    }
    world.signal_named("Idle").ask = Ask::Down { node: Some("n9".into()) };
    assert_eq!(code(&world, "Idle"), "wrong_target");
    world.signal_named("Up").pool = Some("workers".into());
    let told = world.decision().also;
    assert!(told.iter().any(|reason| reason.code() == "wrong_target"), "{told:?}");
}

#[test]
fn where_no_alertmanager_is_asked_none_denies_a_fresh_delivery() {
    let mut world = World::asked();
    world.observed.truth.peers.clear();
    world.observed.truth.alerts.clear();
    assert_eq!(code(&world, "Up"), "counts");
    assert_eq!(code(&world, "Idle"), "alertmanager_away");
}

#[test]
fn that_an_alert_is_over_is_no_news() {
    let mut world = World::of(2);
    world.up(Some(1));
    world.not_told_of("Up");
    assert_eq!(world.decision().also.len(), 1);
    world.resolve("Up");
    assert_eq!(world.decision().also, []);
}

/// Muted from the start, it is never delivered: only Alertmanager tells of it.
#[test]
fn a_pause_of_an_alert_that_never_reached_us_is_told() {
    let mut world = World::of(2);
    world.up(Some(1));
    world.silence("up");
    world.signals.retain(|signal| signal.name != "Up");
    let held = world.decision().reason;
    assert!(matches!(held, Reason::Paused { by, .. } if by == "ada"));
}

#[test]
fn an_up_alert_that_was_silenced_before_it_ever_reached_us_holds_removal() {
    let mut world = World::of(2);
    world.down();
    world.up(Some(1));
    world.silence("up");
    world.signals.retain(|signal| signal.name != "Up");
    assert_eq!(world.drains().len(), 2, "what the packing would answer is seen without it");
    world.told_of("Up").labels.insert("step".to_owned(), "1".to_owned());
    assert_eq!(world.held(), Reason::UpActive { alert: "Up".to_owned() });
    for label in ["pool", "cluster"] {
        let mut world = world.clone();
        world.told_of("Up").labels.insert(label.to_owned(), "elsewhere".to_owned());
        assert_eq!(world.drains().len(), 2, "another {label} is asked for");
    }
}
