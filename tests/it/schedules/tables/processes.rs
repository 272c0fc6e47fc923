//! Schedules in which the whole process ends, so that each has one to itself.

use super::{EACH, PATIENT};
use crate::schedules::schedule::Event::{Look, Reload, Silence, Start, Stop};
use crate::schedules::schedule::{Event, Schedule, fires, over, post};
use crate::schedules::world::World;
use bellwether::sim::alertmanager::Stop as End;

/// Each in its own world.
pub(crate) fn all() -> Vec<World> {
    let alone = |schedule| World { schedules: vec![schedule], ..World::default() };
    let mut worlds: Vec<World> = restarts().into_iter().chain(silenced()).map(alone).collect();
    worlds.push(alone(reload()));
    let kept = Schedule::new("killed_after_a_snapshot", EACH, 7.0, restart(End::Kill, 3.0));
    worlds.push(World { maintenance: Some(1), ..alone(kept) });
    worlds
}

/// Flags that 0.25 does not know.
pub(crate) fn later() -> Vec<World> {
    let cleaned = Schedule::new(
        "an_empty_group_ends_at_the_next_look",
        "group_by: ['...'], group_wait: 0s, group_interval: 4s, repeat_interval: 1h",
        8.0,
        vec![
            (0.0, post([fires("A", 0.0)])),
            (1.0, post([over("A", 0.0)])),
            (6.5, post([fires("A", 6.5)])),
        ],
    );
    let delayed = Schedule::new(
        "nothing_until_the_start_is_over",
        EACH,
        14.0,
        vec![
            (0.0, post([fires("A", 0.0)])),
            (1.0, Stop(End::Clean)),
            (2.0, Start),
            (3.0, post([fires("A", 0.0), fires("B", 3.0)])),
            (11.3, post([over("A", 0.0)])),
        ],
    )
    .slack(0.9);
    vec![
        World { schedules: vec![cleaned], cleanup: Some(1), ..World::default() },
        World { schedules: vec![delayed], start_delay: Some(6), ..World::default() },
    ]
}

/// It ends, comes back a second later, and is told again of what fires.
fn restart(end: End, at: f64) -> Vec<(f64, Event)> {
    vec![
        (0.0, post([fires("A", 0.0)])),
        (at, Stop(end)),
        (at + 1.0, Start),
        (at + 2.0, post([fires("A", 0.0)])),
        (at + 2.2, Look),
    ]
}

fn restarts() -> Vec<Schedule> {
    let over_meanwhile = vec![
        (0.0, post([fires("A", 0.0)])),
        (1.0, Stop(End::Clean)),
        (2.0, Start),
        (3.0, post([over("A", 0.0)])),
    ];
    let over_before_a_crash = vec![
        (0.0, post([fires("A", 0.0)])),
        (1.0, Stop(End::Kill)),
        (2.0, Start),
        (3.0, post([over("A", 0.0)])),
    ];
    vec![
        Schedule::new("stopped", EACH, 7.0, restart(End::Clean, 1.0)),
        Schedule::new("killed", EACH, 7.0, restart(End::Kill, 1.0)),
        Schedule::new("over_after_a_stop", EACH, 6.0, over_meanwhile),
        Schedule::new("over_after_a_crash", EACH, 6.0, over_before_a_crash),
        Schedule::new(
            "stopped_inside_group_wait",
            PATIENT,
            8.0,
            vec![
                (0.0, post([fires("A", 0.0)])),
                (1.0, Stop(End::Clean)),
                (2.0, Start),
                (2.6, post([fires("A", 0.0)])),
            ],
        ),
    ]
}

fn silenced() -> Vec<Schedule> {
    let silenced = |name, end| {
        let events = vec![
            (0.0, Silence("s", "alertname=A", 0.0, 60.0)),
            (1.0, Stop(end)),
            (2.0, Start),
            (3.0, post([fires("A", 3.0)])),
            (3.3, Look),
        ];
        Schedule::new(name, EACH, 6.0, events)
    };
    vec![
        silenced("silence_outlives_a_stop", End::Clean),
        silenced("silence_dies_in_a_crash", End::Kill),
    ]
}

fn reload() -> Schedule {
    Schedule::new(
        "reloaded",
        EACH,
        7.0,
        vec![
            (0.0, post([fires("A", 0.0)])),
            (1.0, Reload),
            (1.4, post([over("A", 0.0)])),
            (2.7, Look),
        ],
    )
}
