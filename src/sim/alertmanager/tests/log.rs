//! What the notification log lets through.

use super::*;

fn without_resolutions(route: &str) -> Play {
    Play::with(Config::parse(&file(route, ", send_resolved: false")).unwrap(), Flags::default())
}

#[test]
fn nothing_new_is_not_delivered_until_it_repeats() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").wait(65.0);
    assert_eq!(play.seen(), ["0 A:firing", "30 A:firing", "60 A:firing"]);
}

#[test]
fn a_repeat_at_exactly_a_tick_waits_for_the_next() {
    let mut play =
        Play::new("group_by: ['...'], group_wait: 0s, group_interval: 10s, repeat_interval: 30s");
    play.fire(0.0, "A").wait(65.0);
    assert_eq!(play.seen(), ["0 A:firing", "40 A:firing"]);
}

#[test]
fn a_repeat_counts_from_the_answer() {
    let mut play =
        Play::new("group_by: ['...'], group_wait: 0s, group_interval: 10s, repeat_interval: 29s");
    play.server.post(vec![fires("A", 0.0)], second(0.0));
    let first = play.server.advance(second(0.0));
    play.server.answered(first[0].id, Answer::Ok, second(2.0));
    play.wait(45.0);
    assert_eq!(play.seen(), ["40 A:firing"]);
}

#[test]
fn changed_annotations_and_starts_are_no_news_but_repeats_carry_them() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A");
    let mut changed = fires("A", -7.0);
    changed.annotations = Labels::from([("summary".to_owned(), "new".to_owned())]);
    play.post(3.0, [changed]).wait(35.0);
    assert_eq!(play.seen(), ["0 A:firing", "30 A:firing"]);
    let alert = &play.all[1].body["alerts"][0];
    assert_eq!(alert["annotations"]["summary"], "new");
    assert_eq!(alert["startsAt"], "1969-12-31T23:59:53Z");
}

#[test]
fn a_member_that_is_over_is_told_with_those_that_are_not_once() {
    let mut play = Play::new(NAMED);
    play.post(0.0, [fires("A i=1", 0.0), fires("A i=2", 0.0)]).end(7.0, "A i=1", 0.0).wait(60.0);
    assert_eq!(play.seen(), ["5 A:firing A:firing", "15 A:resolved A:firing"]);
}

#[test]
fn what_was_resolved_is_forgotten_and_news_when_it_fires_again() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").end(3.0, "A", 0.0).wait(25.0);
    assert_eq!(play.seen(), ["0 A:firing", "10 A:resolved"]);
    play.fire(25.0, "A").wait(40.0);
    assert_eq!(play.seen(), ["30 A:firing"]);
}

#[test]
fn a_resolution_of_what_was_never_told_is_not_told() {
    let mut play = Play::new(EACH);
    play.end(0.0, "A", -60.0).wait(20.0);
    assert!(play.seen().is_empty());
}

#[test]
fn what_fires_and_ends_between_two_ticks_after_a_resolution_is_not_told() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").end(3.0, "A", 0.0).fire(12.0, "A").end(14.0, "A", 12.0).wait(40.0);
    assert_eq!(play.seen(), ["0 A:firing", "10 A:resolved"]);
}

#[test]
fn where_resolutions_are_not_wanted_they_are_noted_all_the_same() {
    let mut play = without_resolutions(EACH);
    play.fire(0.0, "A").end(3.0, "A", 0.0).fire(12.0, "A").wait(25.0);
    assert_eq!(play.seen(), ["0 A:firing", "20 A:firing"]);
}

#[test]
fn where_resolutions_are_not_wanted_bodies_have_none() {
    let mut play = without_resolutions(NAMED);
    play.post(0.0, [fires("A i=1", 0.0), fires("A i=2", 0.0)]).end(7.0, "A i=1", 0.0).wait(16.0);
    assert_eq!(play.seen(), ["5 A:firing A:firing"], "not news");
    play.fire(17.0, "A i=3").end(18.0, "A i=2", 0.0).wait(26.0);
    assert_eq!(play.seen(), ["25 A:firing"]);
}

#[test]
fn an_entry_counts_after_it_has_expired_until_it_is_collected() {
    let fires_again = |at: f64| {
        let mut play = Play::new("group_by: ['...'], group_wait: 0s, repeat_interval: 1m");
        // Over and fired again while muted: only the entry of the first delivery is left.
        play.fire(0.0, "A").silence(1.0, "s", "alertname=A").end(2.0, "A", 0.0).wait(at);
        play.seen();
        play.end(at, "A", 0.0).expire(at + 1.0, "s");
        play.end(at + 2.0, "A", 0.0).wait(at + 310.0).seen()
    };
    assert_eq!(fires_again(400.0), ["700 A:resolved"]);
    assert!(fires_again(1000.0).is_empty(), "collected each 15 m, after twice repeat_interval");
}

#[test]
fn receivers_have_entries_of_their_own() {
    let text = "route: { receiver: a, group_by: ['...'], group_wait: 0s, routes: [{ receiver: a, continue: true }, \
                { receiver: b }] }\n\
                receivers: [{ name: a, webhook_configs: [{}] }, { name: b, webhook_configs: [{}] }]";
    let mut play = Play::with(Config::parse(text).unwrap(), Flags::default());
    play.fire(0.0, "A").wait(1.0);
    let receivers: Vec<&str> = play.all.iter().map(|delivery| &*delivery.receiver).collect();
    assert_eq!(receivers, ["a", "b"]);
    assert_eq!(play.all[0].group, play.all[1].group);
}

#[test]
fn no_entry_outlives_the_retention() {
    let resolved_at = |hours: f64| {
        let mut play = Play::new("group_by: ['...'], group_wait: 0s, repeat_interval: 100h");
        play.fire(0.0, "A").silence(1.0, "s", "alertname=A").end(2.0, "A", 0.0).wait(400.0);
        play.expire(401.0, "s").seen();
        let at = hours * 3600.0;
        play.end(at, "A", at - 1.0).wait(at + 310.0).seen().len()
    };
    assert_eq!((resolved_at(119.0), resolved_at(121.0)), (1, 0));
}
