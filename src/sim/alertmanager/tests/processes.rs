//! What a process keeps.

use super::*;

#[test]
fn a_clean_stop_keeps_the_log_and_loses_the_alerts() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").restart(1.0, Stop::Clean);
    assert_eq!(play.server.told("bellwether", second(11.0)).unwrap().alerts, serde_json::json!([]));
    play.post(12.0, [fires("A", 0.0)]).wait(20.0);
    assert_eq!(play.seen(), ["0 A:firing"]);
    play.end(21.0, "A", 0.0).wait(30.0);
    assert_eq!(play.seen(), ["22 A:resolved"], "its clock began at 12");
}

#[test]
fn a_crash_loses_what_was_told_since_the_last_snapshot() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").restart(1.0, Stop::Kill).post(12.0, [fires("A", 0.0)]).wait(20.0);
    assert_eq!(play.seen(), ["0 A:firing", "12 A:firing"]);
}

#[test]
fn a_crash_keeps_what_was_told_before_the_last_snapshot() {
    let mut play = Play::new("group_by: ['...'], group_wait: 0s, repeat_interval: 1h");
    play.post(0.0, [until("A", 0.0, 1e4)]).restart(901.0, Stop::Kill);
    play.post(912.0, [until("A", 0.0, 1e4)]).wait(920.0);
    assert_eq!(play.seen(), ["0 A:firing"], "each 15 m");
}

#[test]
fn a_silence_outlives_a_stop_and_dies_in_a_crash() {
    let seen = |stop| {
        let mut play = Play::new(EACH);
        play.silence(0.0, "s", "alertname=A").restart(1.0, stop).fire(12.0, "A").wait(13.0).seen()
    };
    assert!(seen(Stop::Clean).is_empty());
    assert_eq!(seen(Stop::Kill), ["12 A:firing"]);
}

#[test]
fn an_expired_silence_comes_back_in_a_crash() {
    let mut play = Play::new("group_by: ['...'], group_wait: 0s");
    play.silence(0.0, "s", "alertname=A").expire(901.0, "s").restart(902.0, Stop::Kill);
    play.fire(913.0, "A").wait(920.0);
    assert!(play.seen().is_empty());
}

#[test]
fn nobody_answers_while_it_is_down() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A");
    play.server.stop(Stop::Clean, second(1.0));
    assert!(play.server.is_down() && play.server.next_due().is_none());
    assert!(!play.server.post(vec![fires("B", 2.0)], second(2.0)));
    assert!(!play.server.silence(silence("s", "a=b", (2.0, 9.0)), second(2.0)));
    assert!(play.server.told("bellwether", second(2.0)).is_none());
    play.server.start(second(3.0));
    assert_eq!(play.server.started(), second(3.0));
    assert!(play.server.told("bellwether", second(3.0)).is_some());
}

#[test]
fn an_answer_to_a_process_that_ended_is_none() {
    let mut play = Play::new(EACH);
    play.server.post(vec![fires("A", 0.0)], second(0.0));
    let first = play.server.advance(second(0.0));
    play.restart(1.0, Stop::Clean);
    play.server.post(vec![fires("A", 0.0)], second(12.0));
    let again = play.server.advance(second(12.0));
    play.server.answered(first[0].id, Answer::Ok, second(13.0));
    play.server.answered(again[0].id, Answer::Refused, second(13.0));
    play.wait(23.0);
    assert_eq!(play.seen(), ["22 A:firing"], "nothing was noted");
}

#[test]
fn nothing_is_delivered_until_the_start_delay_is_over() {
    let flags = Flags { start_delay: Duration::from_mins(1), ..Flags::default() };
    let mut play = Play::with(config(EACH), flags);
    play.fire(1.0, "A").post(2.0, [fires("B", -50.0)]).fire(70.0, "C").wait(71.0);
    assert_eq!(play.seen(), ["60 B:firing", "60 A:firing", "70 C:firing"]);
}

#[test]
fn until_gossip_has_settled_a_flush_waits_with_what_it_saw() {
    let flags = Flags { settle: Duration::from_secs(8), ..Flags::default() };
    let mut play = Play::with(config(EACH), flags);
    play.fire(1.0, "A").end(2.0, "A", 1.0).fire(9.0, "B").wait(10.0);
    assert_eq!(play.seen(), ["8 A:firing", "9 B:firing"]);
    assert_eq!(play.all[0].snapshot_at, second(1.0));
}

#[test]
fn a_flush_that_waits_too_long_for_gossip_is_given_up() {
    let flags = Flags { settle: Duration::from_secs(25), ..Flags::default() };
    let mut play = Play::with(config(EACH), flags);
    play.fire(1.0, "A").fire(1.0, "B").end(12.0, "B", 1.0).wait(40.0);
    assert_eq!(play.seen(), ["25 A:firing"]);
    assert_eq!(play.all[0].snapshot_at, second(21.0));
}

#[test]
fn a_reload_makes_every_group_anew_and_tells_nothing_twice() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").wait(4.0).server.reload(config(EACH), second(4.0));
    play.end(6.0, "A", 0.0).wait(20.0);
    assert_eq!(play.seen(), ["0 A:firing", "14 A:resolved"], "its clock began at 4");
}

#[test]
fn a_reload_with_other_matchers_tells_everything_again() {
    let mut play = Play::new(EACH);
    let other = config(&format!("{EACH}, routes: [{{ matchers: ['alertname=A'] }}]"));
    play.fire(0.0, "A").wait(4.0).server.reload(other, second(4.0));
    play.wait(5.0);
    assert_eq!(play.seen(), ["0 A:firing", "4 A:firing"]);
}

#[test]
fn a_silence_is_told_for_five_days_after_its_end() {
    let mut play = Play::new(EACH);
    play.silence(0.0, "s", "a=b").expire(1.0, "s");
    let told = |play: &mut Play, hours: f64| {
        let silences = play.server.told("bellwether", second(hours * 3600.0)).unwrap().silences;
        silences.as_array().unwrap().len()
    };
    assert_eq!((told(&mut play, 119.0), told(&mut play, 121.0)), (1, 0));
}
