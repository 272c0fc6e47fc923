//! Schedules that nobody thought of. The same seeds make the same ones, so that a difference comes again.

use super::schedule::Event::{self, Answer, Expire, Look, Silence};
use super::schedule::{Fired, Mode, Schedule, fires, over, post, until};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// How many.
const COUNT: u64 = 48;

/// Every interval is a multiple of this, so that two things at different places in it never happen at once.
const CYCLE: f64 = 3.0;

/// Places in the cycle; one event stands at each. Ends that were named lie between them.
const PLACES: [f64; 8] = [0.0, 0.375, 0.75, 1.125, 1.5, 1.875, 2.25, 2.625];
const BETWEEN: f64 = 0.1875;

/// How many cycles events are spread over, and when the last consequence has been seen.
const CYCLES: u32 = 4;
const UNTIL: f64 = 18.9375;

const ALERTS: [&str; 4] =
    ["A role=target cluster=c", "B", "A role=target cluster=c i=2", "S role=source cluster=c"];

const ROUTES: [&str; 6] = [
    "group_by: ['...'], group_wait: 0s, group_interval: 6s, repeat_interval: 1h",
    "group_by: ['...'], group_wait: 3s, group_interval: 3s, repeat_interval: 7s",
    "group_by: [alertname], group_wait: 0s, group_interval: 6s, repeat_interval: 10s",
    "group_by: [alertname], group_wait: 3s, group_interval: 3s, repeat_interval: 1h",
    "group_by: [case], group_wait: 0s, group_interval: 3s, repeat_interval: 5s",
    "group_by: [case], group_wait: 3s, group_interval: 6s, repeat_interval: 1h",
];

/// Names of silences: each is set once.
const SILENCES: [&str; PLACES.len()] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// What has happened so far.
#[derive(Default)]
struct Story {
    /// Since when each alert fires, as far as was posted.
    firing: [Option<f64>; ALERTS.len()],
    silences: usize,
    is_silenced: bool,
    is_refused: bool,
}

pub(crate) fn all() -> Vec<Schedule> {
    (0..COUNT).map(one).collect()
}

fn one(seed: u64) -> Schedule {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut times: Vec<f64> =
        PLACES.map(|place| f64::from(rng.random_range(0..CYCLES)) * CYCLE + place).to_vec();
    times.sort_by(f64::total_cmp);
    let mut story = Story::default();
    let mut events: Vec<(f64, Event)> =
        times.into_iter().map(|at| (at, story.next(at, &mut rng))).collect();
    events.push((UNTIL - BETWEEN, Look));
    let route = ROUTES[rng.random_range(0..ROUTES.len())];
    let name = Box::leak(format!("chance_{seed}").into_boxed_str());
    let schedule = Schedule::new(name, route, UNTIL, events);
    if rng.random_bool(0.2) { schedule.webhook(", send_resolved: false") } else { schedule }
}

impl Story {
    fn next(&mut self, at: f64, rng: &mut StdRng) -> Event {
        match rng.random_range(0..10) {
            0 | 1 => {
                self.is_silenced = !self.is_silenced;
                if self.is_silenced {
                    self.silences += 1;
                    Silence(SILENCES[self.silences - 1], "alertname=A", at, at + 60.0)
                } else {
                    Expire(SILENCES[self.silences - 1])
                }
            }
            2 => {
                self.is_refused = !self.is_refused;
                Answer(Mode::Code(if self.is_refused { 400 } else { 200 }))
            }
            _ => post([self.alert(at, rng)]),
        }
    }

    fn alert(&mut self, at: f64, rng: &mut StdRng) -> Fired {
        let which = rng.random_range(0..ALERTS.len());
        let (labels, firing) = (ALERTS[which], &mut self.firing[which]);
        match (*firing, rng.random_range(0..6)) {
            (Some(since), 0..=2) => {
                *firing = None;
                over(labels, since)
            }
            (Some(since), 3) => until(labels, since, at + CYCLE + BETWEEN),
            (Some(since), _) => fires(labels, since),
            (None, 0) => {
                *firing = Some(at - 20.0);
                fires(labels, at - 20.0)
            }
            (None, 1) => {
                *firing = Some(at);
                until(labels, at, at + CYCLE + BETWEEN)
            }
            (None, _) => {
                *firing = Some(at);
                fires(labels, at)
            }
        }
    }
}
