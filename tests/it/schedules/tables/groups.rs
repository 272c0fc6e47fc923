//! Who is in a group, and what a group delivers.

use super::{BEAT, EACH, NAMED, PATIENT};
use crate::schedules::schedule::Event::{Answer, Post};
use crate::schedules::schedule::{Fired, Mode, Schedule, fires, over, post};

pub(super) fn all() -> Vec<Schedule> {
    [members(), routes(), webhooks()].concat()
}

fn members() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "joined_inside_group_wait",
            NAMED,
            4.0,
            vec![(0.0, post([fires("A i=1", 0.0)])), (0.5, post([fires("A i=2", 0.5)]))],
        ),
        Schedule::new(
            "joined_member_waits_for_the_tick",
            NAMED,
            6.0,
            vec![(0.0, post([fires("A i=1", 0.0)])), (1.7, post([fires("A i=2", 1.7)]))],
        ),
        Schedule::new(
            "one_member_resolves",
            NAMED,
            7.0,
            vec![
                (0.0, post([fires("A i=1", 0.0), fires("A i=2", 0.0)])),
                (1.7, post([over("A i=1", 0.0)])),
            ],
        ),
        Schedule::new(
            "members_resolve_one_by_one",
            NAMED,
            9.0,
            vec![
                (0.0, post([fires("A i=1", 0.0), fires("A i=2", 0.0)])),
                (1.7, post([over("A i=1", 0.0)])),
                (3.7, post([over("A i=2", 0.0)])),
            ],
        ),
        Schedule::new(
            "one_goes_as_another_comes",
            NAMED,
            7.0,
            vec![
                (0.0, post([fires("A i=1", 0.0)])),
                (1.7, post([over("A i=1", 0.0), fires("A i=2", 1.7)])),
            ],
        ),
        Schedule::new(
            "one_flaps_beside_another",
            NAMED,
            9.0,
            vec![
                (0.0, post([fires("A i=1", 0.0), fires("A i=2", 0.0)])),
                (1.7, post([over("A i=1", 0.0)])),
                (3.7, post([fires("A i=1", 3.7)])),
            ],
        ),
        Schedule::new(
            "an_empty_group_keeps_its_clock",
            "group_by: ['...'], group_wait: 0s, group_interval: 4s, repeat_interval: 1h",
            9.5,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (1.0, post([over("A", 0.0)])),
                (5.5, post([fires("A", 5.5)])),
            ],
        ),
        Schedule::new("many_alerts", NAMED, 4.0, vec![(0.0, Post(many())), (1.7, Post(many()))]),
    ]
}

/// Labels in an order that is not that of bodies: by job, instance, their number, then their values.
fn many() -> Vec<Fired> {
    const LABELS: [&str; 12] = [
        "A zone=z",
        "A job=b instance=2",
        "A job=b instance=1",
        "A job=a",
        "A instance=9",
        "A instance=1 zone=a",
        "A zone=b pool=x",
        "A zone=a pool=x",
        "A pool=y",
        "A job=a zone=q pool=x",
        "A",
        "A yak=1",
    ];
    LABELS.iter().map(|labels| fires(labels, 0.0)).collect()
}

fn routes() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "two_groups",
            "group_by: [alertname, pool], group_wait: 0s, group_interval: 2s, repeat_interval: 1h",
            5.0,
            vec![
                (0.0, post([fires("A pool=x i=1", 0.0)])),
                (0.5, post([fires("A pool=y i=1", 0.5)])),
                (1.2, post([fires("A pool=x i=2", 1.2)])),
                (1.3, post([fires("A i=3", 1.3)])),
            ],
        ),
        Schedule::new(
            "no_grouping_is_one_group",
            "group_wait: 1s, group_interval: 2s, repeat_interval: 1h",
            5.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.3, post([fires("B pool=x", 0.3)])),
                (1.6, post([fires("C", 1.6)])),
            ],
        ),
        Schedule::new(
            "a_deeper_route_waits_longer",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 1h, \
             routes: [{ matchers: ['autoscale=\"down\"'], group_wait: 3s }]",
            6.0,
            vec![
                (0.0, post([fires("A autoscale=up", 0.0), fires("B autoscale=down", 0.0)])),
                (1.0, post([over("A autoscale=up", 0.0)])),
            ],
        ),
        Schedule::new(
            "routes_that_continue",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 1h, \
             routes: [{ matchers: ['a=~\"x|y\"', alertname!=B], group_by: [alertname], continue: true }, \
             { matchers: ['pool!~\"q.*\"'], group_by: [pool] }]",
            4.0,
            vec![
                (0.0, post([fires("A a=x pool=p", 0.0)])),
                (0.3, post([fires("B a=x pool=q1", 0.3)])),
                (0.6, post([fires("A a=y", 0.6)])),
            ],
        ),
        Schedule::new(
            "each_alert_its_own_beat",
            BEAT,
            7.3,
            vec![(0.0, post([fires("A", 0.0)])), (0.7, post([fires("B", 0.7)]))],
        ),
        Schedule::new(
            "a_repeat_shorter_than_a_tick",
            "group_by: ['...'], group_wait: 0s, group_interval: 2s, repeat_interval: 1s",
            7.0,
            vec![(0.0, post([fires("A", 0.0)]))],
        ),
        Schedule::new(
            "a_repeat_inside_a_group_with_news",
            "group_by: [alertname], group_wait: 0s, group_interval: 2s, repeat_interval: 3s",
            9.0,
            vec![(0.0, post([fires("A i=1", 0.0)])), (1.4, post([fires("A i=2", 1.4)]))],
        ),
    ]
}

fn webhooks() -> Vec<Schedule> {
    vec![
        Schedule::new(
            "resolutions_are_not_wanted",
            EACH,
            7.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (0.7, post([over("A", 0.0)])),
                (2.7, post([fires("A", 2.7)])),
            ],
        )
        .webhook(", send_resolved: false"),
        Schedule::new(
            "resolutions_are_not_wanted_in_a_group",
            NAMED,
            9.0,
            vec![
                (0.0, post([fires("A i=1", 0.0), fires("A i=2", 0.0)])),
                (1.7, post([over("A i=1", 0.0)])),
                (3.7, post([fires("A i=3", 3.7)])),
                (3.8, post([over("A i=2", 0.0)])),
            ],
        )
        .webhook(", send_resolved: false"),
        Schedule::new(
            "a_cut_body_has_the_status_of_what_is_left",
            PATIENT,
            7.0,
            vec![
                (0.0, post([fires("A i=1", 0.0), fires("A i=2", 0.0)])),
                (3.7, post([over("A i=1", 0.0)])),
                (3.8, Answer(Mode::Code(200))),
            ],
        )
        .webhook(", max_alerts: 1"),
    ]
}
