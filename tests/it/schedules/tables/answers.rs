//! How the webhook's answers change what it gets next.

use super::{BEAT, EACH};
use crate::schedules::schedule::Event::{Answer, Silence};
use crate::schedules::schedule::{Mode, Schedule, fires, over, post};

/// Each alert its own group, with time for three retries between two ticks.
const SLOW: &str = "group_by: ['...'], group_wait: 0s, group_interval: 4s, repeat_interval: 1h";

const ONE_GROUP: &str = "group_by: [case], group_wait: 0s, group_interval: 2s, repeat_interval: 1h";

pub(super) fn all() -> Vec<Schedule> {
    [refusals(), retries(), delays()].concat()
}

/// 4xx: not again in this flush, and not noted.
fn refusals() -> Vec<Schedule> {
    let refused = |name, code| {
        let events = vec![(-0.5, Answer(Mode::First(1, code))), (0.0, post([fires("A", 0.0)]))];
        Schedule::new(name, EACH, 5.0, events)
    };
    vec![
        refused("refused_with_400", 400),
        refused("refused_with_429", 429),
        refused("refused_with_304", 304),
        Schedule::new(
            "refused_for_long",
            EACH,
            9.0,
            vec![
                (-0.5, Answer(Mode::Code(404))),
                (0.0, post([fires("A", 0.0)])),
                (5.0, Answer(Mode::Code(200))),
            ],
        ),
        Schedule::new(
            "refused_then_over",
            EACH,
            5.0,
            vec![
                (-0.5, Answer(Mode::First(1, 400))),
                (0.0, post([fires("A", 0.0)])),
                (0.7, post([over("A", 0.0)])),
            ],
        ),
        Schedule::new(
            "refused_resolution",
            EACH,
            7.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.5, Answer(Mode::First(1, 400))),
                (0.7, post([over("A", 0.0)])),
            ],
        ),
    ]
}

/// 5xx and no answer: again soon, with the same body.
fn retries() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "unavailable_twice",
            SLOW,
            7.0,
            vec![(-0.5, Answer(Mode::First(2, 503))), (0.0, post([fires("A", 0.0)]))],
        )
        .slack(0.8),
        Schedule::new(
            "no_answer_twice",
            SLOW,
            7.0,
            vec![(-0.5, Answer(Mode::Hangs(2))), (0.0, post([fires("A", 0.0)]))],
        )
        .slack(0.8),
        Schedule::new(
            "half_an_answer_is_one",
            EACH,
            5.0,
            vec![(-0.5, Answer(Mode::Half)), (0.0, post([fires("A", 0.0)]))],
        ),
        Schedule::new(
            "over_while_retried",
            SLOW,
            7.0,
            vec![
                (-0.5, Answer(Mode::First(3, 503))),
                (0.0, post([fires("A", 0.0)])),
                (0.15, post([over("A", 0.0)])),
            ],
        )
        .slack(1.7),
        Schedule::new(
            "silenced_while_retried",
            SLOW,
            3.0,
            vec![
                (-0.5, Answer(Mode::First(2, 503))),
                (0.0, post([fires("A", 0.0)])),
                (0.15, Silence("s", "alertname=A", 0.15, 60.0)),
            ],
        )
        .slack(0.8),
        Schedule::new(
            "unavailable_for_a_whole_flush",
            ONE_GROUP,
            13.0,
            vec![
                (-0.5, Answer(Mode::Code(503))),
                (0.0, post([fires("A", 0.0)])),
                (3.0, post([fires("B", 3.0)])),
                (11.0, Answer(Mode::Code(200))),
            ],
        )
        .ignoring_attempts(),
        Schedule::new(
            "over_after_a_failed_flush",
            ONE_GROUP,
            13.0,
            vec![
                (-0.5, Answer(Mode::Code(503))),
                (0.0, post([fires("A", 0.0)])),
                (3.0, post([over("A", 0.0)])),
            ],
        )
        .ignoring_attempts(),
    ]
}

/// A slow webhook.
fn delays() -> Vec<Schedule> {
    let repeat = |name, route| {
        let events = vec![(-0.5, Answer(Mode::Late(0.5))), (0.0, post([fires("A", 0.0)]))];
        Schedule::new(name, route, 7.5, events)
    };
    vec![
        repeat("late_answer_with_time_to_spare", BEAT),
        repeat(
            "late_answer_at_the_edge",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 4s",
        ),
        Schedule::new(
            "answer_after_the_next_tick",
            EACH,
            7.0,
            vec![
                (-0.5, Answer(Mode::Late(3.0))),
                (0.0, post([fires("A", 0.0)])),
                (1.0, Answer(Mode::Code(200))),
                (1.2, post([over("A", 0.0)])),
                (3.7, post([fires("A", 3.7)])),
            ],
        ),
        Schedule::new(
            "fires_while_its_resolution_is_sent",
            EACH,
            6.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.7, post([over("A", 0.0)])),
                (1.0, Answer(Mode::Late(1.4))),
                (2.7, post([fires("A", 2.7)])),
            ],
        ),
        Schedule::new(
            "answer_after_the_flush",
            ONE_GROUP,
            14.0,
            vec![
                (-0.5, Answer(Mode::Late(10.7))),
                (0.0, post([fires("A", 0.0)])),
                (1.0, Answer(Mode::Code(200))),
            ],
        ),
    ]
}
