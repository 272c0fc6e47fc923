//! What is withheld.

use super::*;
use crate::alertmanager::{KnownRoutes, truth};
use crate::config::AlertmanagerConfig;
use crate::model::{Fingerprint, SilenceState};

const SOURCE: &str = "S role=source cluster=c";
const TARGET: &str = "T role=target cluster=c";

#[test]
fn a_silence_withholds_from_its_start_to_its_end() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A");
    assert!(play.server.silence(silence("s", "alertname=A", (25.0, 45.0)), second(1.0)));
    play.wait(65.0);
    assert_eq!(play.seen(), ["0 A:firing", "50 A:firing"], "not at 30, not at 40");
}

#[test]
fn a_silence_matches_by_all_its_matchers() {
    let mut play = Play::new(EACH);
    let mut both = silence("s", "alertname=A", (0.0, 60.0));
    both.matchers.extend(silence("", "pool=x", (0.0, 1.0)).matchers);
    assert!(play.server.silence(both, second(0.0)));
    play.fire(1.0, "A pool=x").fire(2.0, "A pool=y").fire(3.0, "B pool=x").wait(4.0);
    assert_eq!(play.seen(), ["2 A:firing", "3 B:firing"]);
}

#[test]
fn a_silence_that_cannot_be_is_refused() {
    let mut play = Play::new(EACH);
    let none = NewSilence { matchers: Vec::new(), ..silence("s", "a=b", (0.0, 9.0)) };
    let mut broken = silence("s", "a=(", (0.0, 9.0));
    broken.matchers[0].is_regex = true;
    for refused in [none, broken, silence("s", "a=b", (-9.0, -1.0))] {
        assert!(!play.server.silence(refused, second(0.0)));
    }
    assert!(!play.server.expire(&SilenceId::from("s"), second(0.0)));
}

#[test]
fn a_silence_ends_when_it_is_ended_even_before_its_start() {
    let mut play = Play::new(EACH);
    play.silence(0.0, "now", "alertname=A");
    assert!(play.server.silence(silence("later", "alertname=A", (50.0, 90.0)), second(0.0)));
    play.fire(1.0, "A").expire(2.0, "now").expire(2.0, "later");
    let told = play.server.told("bellwether", second(3.0)).unwrap().silences;
    let states: Vec<_> = told.as_array().unwrap().iter().map(|s| &s["status"]["state"]).collect();
    assert_eq!(states, ["expired", "expired"]);
    play.wait(71.0);
    assert_eq!(play.seen(), ["11 A:firing", "41 A:firing", "71 A:firing"]);
    assert!(!play.server.expire(&SilenceId::from("now"), second(71.0)), "it is over");
}

#[test]
fn what_was_told_before_a_silence_is_not_told_after_it_until_it_repeats() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").silence(1.0, "s", "alertname=A").expire(12.0, "s").wait(31.0);
    assert_eq!(play.seen(), ["0 A:firing", "30 A:firing"]);
}

/// E2: the worst trap.
#[test]
fn what_ends_and_fires_again_under_a_silence_is_not_told_until_it_repeats() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").silence(1.0, "s", "alertname=A").end(2.0, "A", 0.0).expire(12.0, "s");
    play.fire(13.0, "A");
    assert_eq!(play.state(14.0), ("active".to_owned(), 0, 0));
    play.wait(35.0);
    assert_eq!(play.seen(), ["0 A:firing", "30 A:firing"]);
}

#[test]
fn what_ends_under_a_silence_is_dropped_without_a_word() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").silence(1.0, "s", "alertname=A").end(2.0, "A", 0.0).expire(12.0, "s");
    play.wait(100.0);
    assert_eq!(play.seen(), ["0 A:firing"]);
}

#[test]
fn a_muted_member_is_left_out_and_the_others_are_told() {
    let mut play = Play::new(NAMED);
    play.silence(0.0, "s", "i=1");
    play.post(1.0, [fires("A i=1", 1.0), fires("A i=2", 1.0)])
        .wait(7.0)
        .expire(8.0, "s")
        .wait(17.0);
    assert_eq!(play.seen(), ["6 A:firing", "16 A:firing A:firing"]);
}

#[test]
fn an_alert_inhibits_those_with_equal_labels_while_it_fires() {
    for release in [Release::V0_25, Release::V0_31] {
        let mut play = Play::with(config(EACH), Flags { release, ..Flags::default() });
        play.fire(0.0, SOURCE).fire(1.0, TARGET).fire(2.0, "T role=target cluster=d").wait(3.0);
        assert_eq!(play.seen(), ["0 S:firing", "2 T:firing"]);
        play.end(4.0, SOURCE, 0.0).wait(11.0);
        assert_eq!(play.seen(), ["10 S:resolved", "11 T:firing"]);
    }
}

#[test]
fn an_alert_on_both_sides_of_a_rule_is_not_inhibited_by_another_such() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A role=both cluster=c").fire(1.0, "B role=both cluster=c");
    play.fire(2.0, TARGET).wait(3.0);
    assert_eq!(play.seen(), ["0 A:firing", "1 B:firing"]);
}

#[test]
fn in_0_31_a_source_that_is_over_hides_another_until_that_is_posted_again() {
    let seen = |release| {
        let mut play = Play::with(config(EACH), Flags { release, ..Flags::default() });
        play.fire(0.0, "S1 role=source cluster=c").fire(1.0, "S2 role=source cluster=c");
        play.fire(2.0, TARGET).end(3.0, "S2 role=source cluster=c", 1.0).wait(12.0);
        let told = play.seen().contains(&"12 T:firing".to_owned());
        play.post(13.0, [fires("S1 role=source cluster=c", 0.0)]);
        let suppressed = |alert: &&Value| alert["status"]["state"] == "suppressed";
        let api = play.server.told("bellwether", second(13.0)).unwrap().alerts;
        (told, api.as_array().unwrap().iter().filter(suppressed).count())
    };
    assert_eq!(seen(Release::V0_25), (false, 1));
    assert_eq!(seen(Release::V0_31), (true, 1));
    assert_eq!(seen(Release::V0_34), (false, 1));
}

#[test]
fn in_one_request_who_wins_is_chosen() {
    let seen = |race| {
        let mut play = Play::with(config(EACH), Flags { race, ..Flags::default() });
        play.post(0.0, [fires(SOURCE, 0.0), fires(TARGET, 0.0)]).wait(1.0).seen().len()
    };
    assert_eq!((seen(Race::Target), seen(Race::Source)), (2, 1));
}

#[test]
fn a_source_that_ends_sooner_does_not_take_the_place_of_another() {
    let mut play = Play::with(config(EACH), Flags { release: Release::V0_31, ..Flags::default() });
    play.post(0.0, [until("S1 role=source cluster=c", 0.0, 500.0)]);
    play.post(1.0, [until("S2 role=source cluster=c", 1.0, 60.0)]).fire(70.0, TARGET).wait(71.0);
    assert!(!play.seen().iter().any(|line| line.contains('T')));
}

#[test]
fn as_0_31_forgets_a_source_that_is_over_it_forgets_another_with_it() {
    let mut play = Play::with(config(EACH), Flags { release: Release::V0_31, ..Flags::default() });
    let first = [until("S1 role=source cluster=c", 0.0, 5000.0)];
    play.post(0.0, first.clone()).post(1.0, [until("S2 role=source cluster=c", 1.0, 6000.0)]);
    play.end(2.0, "S2 role=source cluster=c", 1.0).post(3.0, first.clone());
    play.post(4.0, [until(TARGET, 4.0, 6000.0)]).wait(899.0);
    assert!(!play.seen().iter().any(|line| line.contains('T')), "S1 mutes it");
    play.wait(906.0);
    assert!(play.seen().contains(&"904 T:firing".to_owned()), "each 15 m");
    assert!(!format!("{:?}", play.server.inhibitor).contains("S2"));
}

fn in_intervals(route: &str) -> Play {
    let config = config(&format!("{EACH}, {route}"))
        .with_window("morning", &[(second(0.0), second(15.0)), (second(200.0), second(300.0))]);
    Play::with(config, Flags::default())
}

#[test]
fn a_time_interval_mutes_without_a_trace_in_the_api() {
    let mut play = in_intervals("mute_time_intervals: [morning]");
    play.fire(0.0, "A");
    assert_eq!(play.state(1.0), ("active".to_owned(), 0, 0));
    play.wait(45.0);
    assert_eq!(play.seen(), ["20 A:firing"]);
}

#[test]
fn outside_its_active_interval_a_route_is_mute() {
    let mut play = in_intervals("active_time_intervals: [morning]");
    play.fire(0.0, "A").end(16.0, "A", 0.0).fire(17.0, "B").wait(100.0);
    assert_eq!(play.seen(), ["0 A:firing"], "its end is lost too");
}

#[test]
fn the_truth_is_made_of_its_answers_as_of_real_ones() {
    let mut play = Play::new(EACH);
    play.fire(0.0, SOURCE).fire(1.0, TARGET).fire(2.0, "A").silence(3.0, "s", "alertname=A");
    play.fire(4.0, "B");
    let told = play.server.told("bellwether", second(5.0)).unwrap();
    let peers = vec![("a".to_owned(), Ok(told)), ("b".to_owned(), Err("no answer".to_owned()))];
    let truth = truth(peers, &AlertmanagerConfig::default(), &KnownRoutes::default());
    let state = |text: &str| &truth.alerts[&Fingerprint::of(&labels(text))];
    assert!(state("B").is_active() && state(SOURCE).is_active());
    assert_eq!(state("A").silenced_by, [SilenceId::from("s")]);
    assert_eq!(state(TARGET).inhibited_by, [Fingerprint::of(&labels(SOURCE))]);
    assert_eq!(state("A").starts_at, second(2.0));
    let silence = &truth.silences[&SilenceId::from("s")];
    assert_eq!((silence.state, &*silence.created_by), (SilenceState::Active, "Ada"));
    assert_eq!((truth.answered(), truth.peers[0].started), (1, Some(second(0.0))));
    let slack = AlertmanagerConfig::default().ttl_slack;
    assert_eq!(truth.ttl, Duration::from_secs(35) + slack, "read off the file");
    assert!(truth.findings.is_empty() || !truth.findings[0].contains("receiver"));
}

#[test]
fn the_api_tells_of_one_receiver_only() {
    let mut play = Play::new("routes: [{ matchers: [x=1], receiver: humans }]");
    play.fire(0.0, "A").fire(0.0, "B x=1");
    let count = |play: &mut Play, receiver: &str| {
        play.server.told(receiver, second(1.0)).unwrap().alerts.as_array().unwrap().len()
    };
    assert_eq!((count(&mut play, "bellwether"), count(&mut play, "humans")), (1, 1));
    assert_eq!(count(&mut play, "nobody"), 0);
}
