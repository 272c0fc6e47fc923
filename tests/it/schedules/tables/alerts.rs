//! What becomes of an alert as it is posted, again and otherwise.

use super::{BEAT, EACH, NAMED, PATIENT};
use crate::schedules::schedule::Event::Look;
use crate::schedules::schedule::{Schedule, endless, fires, over, post, until};

pub(super) fn all() -> Vec<Schedule> {
    [lives(), times(), texts()].concat()
}

/// It fires, it is over, it flaps.
fn lives() -> Vec<Schedule> {
    vec![
        Schedule::new("fires_once", EACH, 5.0, vec![(0.0, post([fires("A", 0.0)])), (1.0, Look)]),
        Schedule::new(
            "posted_again_and_again",
            EACH,
            5.0,
            [0.0, 0.7, 1.4, 2.7, 3.4].map(|at| (at, post([fires("A", 0.0)]))).to_vec(),
        ),
        Schedule::new("repeats", BEAT, 9.0, vec![(0.0, post([fires("A", 0.0)]))]),
        Schedule::new(
            "resolved",
            EACH,
            7.0,
            vec![(0.0, post([fires("A", 0.0)])), (2.7, post([over("A", 0.0)])), (2.9, Look)],
        ),
        Schedule::new(
            "resolved_again_and_again",
            EACH,
            7.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (2.7, post([over("A", 0.0)])),
                (3.2, post([over("A", 0.0)])),
                (4.7, post([over("A", 0.0)])),
            ],
        ),
        Schedule::new("resolved_unheard_of", EACH, 3.0, vec![(0.0, post([over("A", -5.0)]))]),
        Schedule::new(
            "flap_inside_a_tick",
            EACH,
            5.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.7, post([over("A", 0.0)])),
                (1.2, post([fires("A", 1.2)])),
                (2.6, Look),
            ],
        ),
        Schedule::new(
            "flap_across_a_tick",
            EACH,
            7.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.7, post([over("A", 0.0)])),
                (2.7, post([fires("A", 2.7)])),
            ],
        ),
        Schedule::new(
            "over_inside_group_wait",
            NAMED,
            4.0,
            vec![(0.0, post([fires("A", 0.0)])), (0.6, post([over("A", 0.0)]))],
        ),
        Schedule::new(
            "flap_inside_group_wait",
            PATIENT,
            6.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.7, post([over("A", 0.0)])),
                (1.4, post([fires("A", 1.4)])),
            ],
        ),
        Schedule::new(
            "one_replica_resolves_first",
            EACH,
            5.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.7, post([over("A", 0.0)])),
                (1.0, Look),
                (1.4, post([fires("A", 0.0)])),
                (2.6, Look),
            ],
        ),
    ]
}

/// When it starts and ends.
fn times() -> Vec<Schedule> {
    vec![
        Schedule::new("ends_by_itself", EACH, 6.0, vec![(0.0, post([until("A", 0.0, 2.7)]))]),
        Schedule::new(
            "kept_alive",
            EACH,
            8.0,
            vec![(0.0, post([until("A", 0.0, 2.7)])), (1.5, post([until("A", 0.0, 5.3)]))],
        ),
        Schedule::new(
            "an_earlier_end_does_not_count",
            EACH,
            8.0,
            vec![(0.0, post([until("A", 0.0, 5.3)])), (1.5, post([until("A", 0.0, 2.7)]))],
        ),
        Schedule::new(
            "without_an_end",
            "group_by: ['...'], group_wait: 0s, group_interval: 3s, repeat_interval: 1h",
            5.0,
            vec![(0.0, post([endless("A", 0.0)]))],
        ),
        Schedule::new(
            "a_named_end_beats_a_timeout",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 1h",
            5.0,
            vec![(0.0, post([endless("A", 0.0)])), (0.7, post([until("A", 0.0, 1.4)]))],
        ),
        Schedule::new(
            "start_moves_on",
            BEAT,
            6.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (1.0, post([fires("A", 1.0)])),
                (2.6, Look),
                (2.8, post([fires("A", -5.0)])),
                (3.4, Look),
            ],
        ),
        Schedule::new(
            "start_moves_back",
            BEAT,
            6.0,
            vec![(0.0, post([fires("A", 0.0)])), (1.0, post([fires("A", -5.0)])), (1.4, Look)],
        ),
        Schedule::new(
            "over_before_the_last_end",
            EACH,
            6.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (1.4, post([over("A", 0.0)])),
                (1.5, post([until("A", 0.0, 0.7)])),
            ],
        ),
        Schedule::new("old_alert_hurries", PATIENT, 5.0, vec![(0.0, post([fires("A", -10.0)]))]),
        Schedule::new(
            "old_member_may_hurry",
            PATIENT,
            6.0,
            vec![(0.0, post([fires("A i=1", 0.0)])), (1.0, post([fires("A i=2", -10.0)]))],
        ),
        Schedule::new(
            "old_member_after_the_first_flush",
            NAMED,
            6.0,
            vec![(0.0, post([fires("A i=1", 0.0)])), (1.7, post([fires("A i=2", -10.0)]))],
        ),
    ]
}

/// What its labels and annotations do.
fn texts() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "annotations_change",
            BEAT,
            6.0,
            vec![
                (0.0, post([fires("A", 0.0).note("one")])),
                (1.4, post([fires("A", 0.0).note("two")])),
                (2.6, Look),
            ],
        ),
        Schedule::new(
            "a_label_changes",
            EACH,
            5.0,
            vec![(0.0, post([fires("A pool=x", 0.0)])), (1.4, post([fires("A pool=y", 0.0)]))],
        ),
        Schedule::new(
            "empty_labels_are_none",
            EACH,
            2.0,
            vec![(0.0, post([fires("A pool=", 0.0)]))],
        ),
        Schedule::new(
            "odd_letters",
            EACH,
            2.0,
            vec![(0.0, post([fires("A path=C:\\dir say=\"hi\" tab=a\tb name=Zoë", 0.0)]))],
        ),
        Schedule::new("dotted.name", EACH, 2.0, vec![(0.0, post([fires("A", 0.0)])), (1.0, Look)]),
    ]
}
