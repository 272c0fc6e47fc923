//! Schedules of two Alertmanagers; the second waits 2 s for the first.

use crate::schedules::schedule::Event::{Answer, Expire, Look, Silence};
use crate::schedules::schedule::{Mode, Schedule, at, fires, over, post};
use bellwether::sim::alertmanager::Peer::{First, Second};

const EACH: &str = "group_by: ['...'], group_wait: 0s, group_interval: 4s, repeat_interval: 1h";

pub(crate) fn all() -> Vec<Schedule> {
    vec![
        Schedule::new("told_once", EACH, 7.5, vec![(0.0, post([fires("A", 0.0)]))]),
        Schedule::new(
            "resolved_once",
            EACH,
            11.5,
            vec![(0.0, post([fires("A", 0.0)])), (1.0, post([over("A", 0.0)])), (1.5, Look)],
        ),
        Schedule::new(
            "told_only_to_the_second",
            EACH,
            5.0,
            vec![(0.0, at(Second, post([fires("A", 0.0)]))), (1.0, Look)],
        ),
        Schedule::new(
            "a_slow_webhook_is_told_twice",
            EACH,
            7.5,
            vec![(-0.5, Answer(Mode::Late(2.7))), (0.0, post([fires("A", 0.0)]))],
        ),
        Schedule::new(
            "a_refusal_is_made_up_by_the_second",
            EACH,
            7.5,
            vec![(-0.5, Answer(Mode::First(1, 400))), (0.0, post([fires("A", 0.0)]))],
        ),
        Schedule::new(
            "a_silence_reaches_both",
            EACH,
            8.0,
            vec![
                (0.0, at(First, Silence("s", "alertname=A", 0.0, 60.0))),
                (1.0, post([fires("A", 1.0)])),
                (1.5, Look),
                (3.0, at(First, Expire("s"))),
                (4.0, Look),
            ],
        ),
        Schedule::new(
            "over_only_for_the_first",
            EACH,
            7.5,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (1.0, at(First, post([over("A", 0.0)]))),
                (1.5, Look),
            ],
        ),
        Schedule::new(
            "repeats_once",
            "group_by: ['...'], group_wait: 0s, group_interval: 4s, repeat_interval: 3s",
            11.5,
            vec![(0.0, post([fires("A", 0.0)]))],
        ),
    ]
}
