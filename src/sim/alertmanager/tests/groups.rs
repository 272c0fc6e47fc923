//! Who waits for whom.

use super::*;

#[test]
fn without_a_wait_the_first_delivery_leaves_at_once() {
    let mut play = Play::new(EACH);
    play.fire(3.0, "A").wait(4.0);
    assert_eq!(play.seen(), ["3 A:firing"]);
}

#[test]
fn a_new_group_waits_for_its_siblings() {
    let mut play = Play::new(NAMED);
    play.fire(0.0, "A i=1").fire(4.0, "A i=2").wait(6.0);
    assert_eq!(play.seen(), ["5 A:firing A:firing"]);
}

#[test]
fn whoever_joins_later_waits_for_the_tick() {
    let mut play = Play::new(NAMED);
    play.fire(0.0, "A i=1").fire(6.0, "A i=2").wait(16.0);
    assert_eq!(play.seen(), ["5 A:firing", "15 A:firing A:firing"]);
}

#[test]
fn groups_do_not_wait_for_each_other() {
    let mut play = Play::new(NAMED);
    play.fire(0.0, "A").fire(2.0, "B").wait(8.0);
    assert_eq!(play.seen(), ["5 A:firing", "7 B:firing"]);
}

#[test]
fn an_alert_older_than_the_wait_hurries_its_new_group() {
    let mut play = Play::new(NAMED);
    play.post(10.0, [fires("A", 4.9)]).post(10.0, [fires("B", 5.0)]).wait(16.0);
    assert_eq!(play.seen(), ["10 A:firing", "15 B:firing"]);
}

#[test]
fn an_old_member_hurries_a_group_before_its_first_flush_in_0_25_only() {
    let seen = |release| {
        let mut play = Play::with(config(NAMED), Flags { release, ..Flags::default() });
        play.fire(20.0, "A i=1")
            .post(21.0, [fires("A i=2", 0.0)])
            .post(26.0, [fires("A i=3", 0.0)]);
        play.wait(40.0).seen()
    };
    assert_eq!(seen(Release::V0_25), ["21 A:firing A:firing", "31 A:firing A:firing A:firing"]);
    assert_eq!(seen(Release::V0_31), ["25 A:firing A:firing", "35 A:firing A:firing A:firing"]);
}

#[test]
fn what_fires_and_ends_inside_the_wait_is_never_seen() {
    let mut play = Play::new(NAMED);
    play.fire(0.0, "A").end(3.0, "A", 0.0).wait(60.0);
    assert!(play.seen().is_empty());
}

#[test]
fn a_flap_inside_a_tick_is_never_seen() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").end(3.0, "A", 0.0).fire(6.0, "A").wait(20.0);
    assert_eq!(play.seen(), ["0 A:firing"]);
}

#[test]
fn an_empty_group_keeps_its_clock_until_it_is_looked_for() {
    let mut play = Play::new(NAMED);
    play.fire(0.0, "A").end(6.0, "A", 0.0).fire(16.0, "A").wait(30.0);
    assert_eq!(play.seen(), ["5 A:firing", "15 A:resolved", "25 A:firing"]);
    let mut play = Play::new(NAMED);
    play.fire(0.0, "A").end(6.0, "A", 0.0).fire(31.0, "A").wait(40.0);
    assert_eq!(play.seen(), ["5 A:firing", "15 A:resolved", "36 A:firing"], "each 30 s");
}

#[test]
fn from_0_34_on_a_group_ends_with_its_last_alert() {
    let mut play = Play::with(config(NAMED), Flags { release: Release::V0_34, ..Flags::default() });
    play.fire(0.0, "A").end(6.0, "A", 0.0).fire(16.0, "A").wait(30.0);
    assert_eq!(play.seen(), ["5 A:firing", "15 A:resolved", "21 A:firing"]);
}

#[test]
fn an_alert_on_two_routes_is_delivered_on_both() {
    let mut play = Play::new(
        "group_by: ['...'], group_wait: 0s, routes: [{ matchers: [x=1], continue: true }, \
         { matchers: [y=1] }, { matchers: [z=1], receiver: humans }]",
    );
    play.fire(0.0, "A x=1 y=1").fire(1.0, "B z=1").wait(2.0);
    assert_eq!(play.seen(), ["0 A:firing", "0 A:firing"], "nobody hears of B");
    assert_ne!(play.all[0].group, play.all[1].group);
}

#[test]
fn a_late_caller_gets_each_delivery_with_its_own_time() {
    let mut play = Play::new(EACH);
    play.server.post(vec![fires("A", 0.0)], second(0.0));
    play.server.post(vec![fires("B", 5.0)], second(5.0));
    let all = play.server.advance(second(7.0));
    assert_eq!(all.iter().map(show).collect::<Vec<_>>(), ["0 A:firing", "5 B:firing"]);
}

#[test]
fn a_late_caller_finds_what_was_to_be_done_done_in_its_order() {
    let mut late = Play::new(NAMED);
    late.silence(0.0, "s", "alertname=A").fire(0.0, "A").end(7.0, "A", 0.0);
    // The tick at 15 empties the group, and at 30 it is looked for: neither has happened yet.
    assert!(late.server.post(vec![fires("A", 31.0)], second(31.0)));
    assert!(late.server.expire(&SilenceId::from("s"), second(32.0)));
    late.wait(50.0);
    assert_eq!(late.seen(), ["36 A:firing"]);
}
