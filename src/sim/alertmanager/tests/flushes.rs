//! A flush that does not succeed at once.

use super::*;

/// The deliveries that came and were not answered.
fn unanswered(play: &mut Play, until: f64) -> Vec<Delivery> {
    play.server.advance(second(until))
}

#[test]
fn an_unavailable_webhook_is_tried_again_soon_and_ever_more_slowly() {
    let mut play = Play::new(EACH);
    play.answer(0.0, Answer::Retry).fire(0.0, "A").wait(9.9);
    assert_eq!(
        play.seen(),
        [
            "0 A:firing",
            "0.5 A:firing",
            "1.25 A:firing",
            "2.375 A:firing",
            "4.0625 A:firing",
            "6.59375 A:firing"
        ]
    );
    let attempts: Vec<u32> = play.all.iter().map(|delivery| delivery.attempt).collect();
    assert_eq!(attempts, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn retries_are_spread_by_half_and_the_same_seed_spreads_them_alike() {
    let times = |seed| {
        let flags = Flags { seed: Some(seed), ..Flags::default() };
        let mut play = Play::with(config(EACH), flags);
        play.answer(0.0, Answer::Retry).fire(0.0, "A").wait(3.0);
        play.all.iter().map(|delivery| seconds(delivery.at)).collect::<Vec<_>>()
    };
    assert_eq!(times(7), times(7));
    assert_ne!(times(7), times(8));
    for seed in 0..50 {
        assert!((0.25..=0.75).contains(&times(seed)[1]), "{seed}");
    }
}

#[test]
fn a_pause_counts_from_the_attempt_and_an_answer_after_it_is_followed_at_once() {
    let mut play = Play::new(EACH);
    play.wait(0.0).server.post(vec![fires("A", 0.0)], second(0.0));
    let first = unanswered(&mut play, 0.0);
    play.server.answered(first[0].id, Answer::Retry, second(0.3));
    assert_eq!(play.server.next_due(), Some(second(0.5)));
    let next = unanswered(&mut play, 0.5);
    play.server.answered(next[0].id, Answer::Retry, second(4.0));
    assert_eq!(unanswered(&mut play, 4.0).len(), 1);
}

#[test]
fn what_is_tried_again_is_the_body_of_the_first_attempt() {
    let mut play = Play::new(EACH);
    play.answer(0.0, Answer::Retry).fire(0.0, "A").end(3.0, "A", 0.0).silence(
        3.0,
        "s",
        "alertname=A",
    );
    play.answer(6.0, Answer::Ok).wait(7.0);
    assert_eq!(play.seen().last().unwrap(), "6.59375 A:firing");
    assert!(play.all.iter().all(|delivery| delivery.snapshot_at == second(0.0)));
}

#[test]
fn a_flush_is_given_up_after_the_interval_and_the_next_begins_at_once() {
    let mut play = Play::new(EACH);
    play.answer(0.0, Answer::Retry)
        .fire(0.0, "A")
        .end(3.0, "A", 0.0)
        .answer(9.0, Answer::Ok)
        .wait(30.0);
    assert_eq!(play.seen().last().unwrap(), "6.59375 A:firing", "over, and never noted: lost");
    let mut play = Play::new(EACH);
    play.answer(0.0, Answer::Retry).fire(0.0, "A").answer(9.0, Answer::Ok).wait(12.0);
    assert_eq!(play.seen().last().unwrap(), "10 A:firing");
    assert_eq!(play.all.last().unwrap().attempt, 1);
}

#[test]
fn a_flush_has_ten_seconds_however_short_the_interval() {
    let mut play = Play::new("group_by: ['...'], group_wait: 0s, group_interval: 2s");
    play.answer(0.0, Answer::Retry).fire(0.0, "A").answer(9.0, Answer::Ok).wait(12.0);
    let snapshots: Vec<f64> = play.all.iter().map(|d| seconds(d.snapshot_at)).collect();
    assert_eq!(snapshots, [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 10.0]);
    assert_eq!(play.server.next_due(), Some(second(14.0)), "the clock goes on from there");
}

#[test]
fn one_flush_at_a_time() {
    let mut play = Play::new("group_by: [alertname], group_wait: 0s, group_interval: 2s");
    play.wait(0.0).server.post(vec![fires("A i=1", 0.0)], second(0.0));
    let first = unanswered(&mut play, 1.0);
    assert_eq!(first.len(), 1);
    play.server.post(vec![fires("A i=2", 1.0)], second(1.0));
    assert!(unanswered(&mut play, 5.0).is_empty(), "a tick has passed");
    play.server.answered(first[0].id, Answer::Ok, second(5.0));
    let second_one = unanswered(&mut play, 5.0);
    assert_eq!(show(&second_one[0]), "5 A:firing A:firing");
}

#[test]
fn an_answer_after_the_flush_is_none() {
    let mut play = Play::new(EACH);
    play.wait(0.0).server.post(vec![fires("A", 0.0)], second(0.0));
    let first = unanswered(&mut play, 0.0);
    let again = unanswered(&mut play, 10.0);
    assert_eq!(again.len(), 1, "given up, and begun again");
    play.server.answered(first[0].id, Answer::Ok, second(11.0));
    play.server.answered(again[0].id, Answer::Refused, second(11.0));
    assert_eq!(unanswered(&mut play, 20.0).len(), 1, "neither was noted");
}

#[test]
fn a_refusal_is_made_good_at_the_next_tick() {
    let mut play = Play::new(EACH);
    play.answer(0.0, Answer::Refused).fire(0.0, "A").answer(1.0, Answer::Ok).wait(15.0);
    assert_eq!(play.seen(), ["0 A:firing", "10 A:firing"]);
}

#[test]
fn a_refused_alert_that_is_over_by_then_is_lost() {
    let mut play = Play::new(EACH);
    play.answer(0.0, Answer::Refused).fire(0.0, "A").answer(1.0, Answer::Ok);
    play.end(2.0, "A", 0.0).wait(30.0);
    assert_eq!(play.seen(), ["0 A:firing"]);
}

#[test]
fn a_refused_resolution_is_sent_again() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").answer(1.0, Answer::Refused).end(2.0, "A", 0.0).wait(15.0);
    play.answer(15.0, Answer::Ok).wait(35.0);
    assert_eq!(play.seen(), ["0 A:firing", "10 A:resolved", "20 A:resolved"]);
}

#[test]
fn what_fires_while_its_resolution_is_sent_stays() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").end(2.0, "A", 0.0).wait(9.0);
    let resolved = unanswered(&mut play, 10.0);
    play.server.post(vec![fires("A", 11.0)], second(11.0));
    play.server.answered(resolved[0].id, Answer::Ok, second(12.0));
    play.wait(20.0);
    assert_eq!(play.seen(), ["0 A:firing", "20 A:firing"]);
}

#[test]
fn a_resolution_that_nobody_answers_is_sent_in_the_next_flush() {
    let mut play = Play::new(EACH);
    play.fire(0.0, "A").answer(1.0, Answer::Retry).end(2.0, "A", 0.0);
    play.answer(19.9, Answer::Ok).wait(40.0);
    assert_eq!(play.seen().last().unwrap(), "20 A:resolved");
}

#[test]
fn no_pause_is_longer_than_a_minute() {
    let mut play = Play::new("group_by: ['...'], group_wait: 0s, group_interval: 1h");
    play.answer(0.0, Answer::Retry).post(0.0, [until("A", 0.0, 1e4)]).wait(3500.0);
    let times: Vec<f64> = play.all.iter().map(|delivery| seconds(delivery.at)).collect();
    let longest = times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!((59.9..=60.1).contains(&longest), "{longest}");
}
