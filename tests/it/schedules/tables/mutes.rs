//! Silences, inhibition and time intervals: what is withheld, and what of it is lost.

use super::{EACH, NAMED};
use crate::schedules::schedule::Event::{Answer, Expire, Look, Silence};
use crate::schedules::schedule::{Mode, Schedule, fires, over, post};

/// Again at the fourth tick.
const AFTER_SEVEN: &str =
    "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 7s";

const SOURCE: &str = "S role=source cluster=c";
const TARGET: &str = "T role=target cluster=c";

pub(super) fn all() -> Vec<Schedule> {
    [silences(), lost(), inhibition(), intervals()].concat()
}

fn silences() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "silenced_before_it_fires",
            EACH,
            6.0,
            vec![
                (0.0, Silence("s", "alertname=A", 0.0, 60.0)),
                (0.3, post([fires("A", 0.3), fires("B", 0.3)])),
                (1.0, Look),
                (2.8, Expire("s")),
                (3.0, Look),
            ],
        ),
        Schedule::new(
            "silenced_when_it_was_told",
            EACH,
            7.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (1.0, Silence("s", "alertname=A", 1.0, 60.0)),
                (1.3, Look),
                (2.8, Expire("s")),
            ],
        ),
        Schedule::new(
            "silence_ends_by_itself",
            EACH,
            6.0,
            vec![
                (0.0, Silence("s", "alertname=A", 0.0, 2.8)),
                (0.3, post([fires("A", 0.3)])),
                (3.0, Look),
            ],
        ),
        Schedule::new(
            "silence_begins_later",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 3s",
            9.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.3, Silence("s", "alertname=A", 2.8, 5.2)),
                (1.0, Look),
                (3.0, Look),
            ],
        ),
        Schedule::new(
            "two_silences",
            EACH,
            6.0,
            vec![
                (0.0, Silence("a", "alertname=A", 0.0, 60.0)),
                (0.1, post([fires("A", 0.1)])),
                (0.3, Silence("b", "alertname=A", 0.3, 60.0)),
                (2.8, Expire("a")),
                (3.0, Look),
            ],
        ),
        Schedule::new(
            "one_member_is_silenced",
            NAMED,
            8.0,
            vec![
                (0.0, Silence("s", "i=1", 0.0, 60.0)),
                (0.2, post([fires("A i=1", 0.2), fires("A i=2", 0.2)])),
                (3.7, Expire("s")),
            ],
        ),
    ]
}

/// What happened unseen.
fn lost() -> Vec<Schedule> {
    let trap = |name, route, until| {
        let events = vec![
            (0.0, post([fires("A", 0.0)])),
            (0.7, Silence("s", "alertname=A", 0.7, 60.0)),
            (1.3, post([over("A", 0.0)])),
            (2.7, Expire("s")),
            (3.3, post([fires("A", 3.3)])),
            (3.5, Look),
        ];
        Schedule::new(name, route, until, events)
    };
    vec![
        trap("over_under_a_silence_and_again", EACH, 9.0),
        trap("over_under_a_silence_and_again_repeats", AFTER_SEVEN, 9.0),
        Schedule::new(
            "over_under_a_silence_then_not",
            EACH,
            7.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.7, Silence("s", "alertname=A", 0.7, 60.0)),
                (1.3, post([over("A", 0.0)])),
                (2.7, Expire("s")),
            ],
        ),
        Schedule::new(
            "a_silenced_member_is_over",
            NAMED,
            9.0,
            vec![
                (0.0, post([fires("A i=1", 0.0), fires("A i=2", 0.0)])),
                (1.5, Silence("s", "i=1", 1.5, 60.0)),
                (2.0, post([over("A i=1", 0.0)])),
                (3.7, Expire("s")),
                (4.0, post([fires("A i=1", 4.0)])),
                (5.7, post([over("A i=2", 0.0)])),
            ],
        ),
        Schedule::new(
            "a_muted_flush_with_a_failing_webhook",
            EACH,
            7.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.5, Answer(Mode::Code(400))),
                (0.7, post([over("A", 0.0)])),
                (2.5, Silence("s", "alertname=A", 2.5, 60.0)),
                (4.5, Expire("s")),
                (4.6, Answer(Mode::Code(200))),
            ],
        ),
    ]
}

fn inhibition() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "inhibited",
            EACH,
            6.0,
            vec![
                (0.0, post([fires(SOURCE, 0.0)])),
                (0.5, post([fires(TARGET, 0.5)])),
                (1.0, Look),
                (2.9, post([over(SOURCE, 0.0)])),
                (3.2, Look),
            ],
        ),
        Schedule::new(
            "not_inhibited_by_another_cluster",
            EACH,
            3.0,
            vec![
                (0.0, post([fires("S role=source cluster=d", 0.0)])),
                (0.5, post([fires(TARGET, 0.5)])),
                (1.0, Look),
            ],
        ),
        Schedule::new(
            "absent_labels_are_equal",
            EACH,
            3.0,
            vec![
                (0.0, post([fires("S role=source", 0.0)])),
                (0.5, post([fires("T role=target", 0.5)])),
                (1.0, Look),
            ],
        ),
        Schedule::new(
            "over_while_inhibited_and_again",
            EACH,
            9.0,
            vec![
                (0.0, post([fires(TARGET, 0.0)])),
                (0.7, post([fires(SOURCE, 0.7)])),
                (1.3, post([over(TARGET, 0.0)])),
                (2.9, post([over(SOURCE, 0.7)])),
                (3.3, post([fires(TARGET, 3.3)])),
            ],
        ),
        Schedule::new(
            "both_sides_of_a_rule",
            EACH,
            4.0,
            vec![
                (0.0, post([fires("A role=both cluster=c", 0.0)])),
                (0.5, post([fires("B role=both cluster=c", 0.5)])),
                (0.8, Look), // which of the two mutes the third is chance, so it is looked at before
                (1.0, post([fires("T role=target cluster=c", 1.0)])),
            ],
        ),
        Schedule::new(
            "one_of_two_sources_is_over",
            EACH,
            6.0,
            vec![
                (0.0, post([fires("S1 role=source cluster=c", 0.0)])),
                (0.3, post([fires("S2 role=source cluster=c", 0.3)])),
                (0.6, post([fires(TARGET, 0.6)])),
                (1.2, post([over("S2 role=source cluster=c", 0.3)])),
                (1.4, Look),
                (3.2, post([fires("S1 role=source cluster=c", 0.0)])),
                (3.5, Look),
            ],
        ),
        Schedule::new(
            "inhibited_and_silenced",
            EACH,
            4.0,
            vec![
                (0.0, post([fires(SOURCE, 0.0)])),
                (0.3, Silence("s", "alertname=T", 0.3, 60.0)),
                (0.6, post([fires(TARGET, 0.6)])),
                (1.0, Look),
            ],
        ),
    ]
}

/// The clock of their zone strikes twelve at 4.5 s.
fn intervals() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "muted_before_noon",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 1h, \
             mute_time_intervals: [before]",
            9.0,
            vec![(0.0, post([fires("A", 0.0)])), (1.0, Look)],
        ),
        Schedule::new(
            "muted_after_noon",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 3s, \
             mute_time_intervals: [after]",
            11.0,
            vec![(0.0, post([fires("A", 0.0)])), (5.0, Look), (6.7, post([over("A", 0.0)]))],
        ),
        Schedule::new(
            "active_before_noon",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 3s, \
             active_time_intervals: [before]",
            9.0,
            vec![(0.0, post([fires("A", 0.0)]))],
        ),
        Schedule::new(
            "over_while_muted_by_time_and_again",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 1h, \
             active_time_intervals: [after]",
            11.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.7, post([over("A", 0.0)])),
                (3.3, post([fires("A", 3.3)])),
            ],
        ),
    ]
}
