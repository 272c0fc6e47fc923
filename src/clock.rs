//! The only room that reads the time. Pure code takes `now`; everybody else asks a [`Clock`].

use crate::model::duration;
use jiff::{SignedDuration, Timestamp};
use std::ops::Range;
use std::time::Duration;
use tokio::time::Instant;

/// A source of time, cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    virtual_time: Option<Virtual>,
}

/// Time that tokio's clock steers.
#[derive(Clone, Copy, Debug)]
struct Virtual {
    origin: Timestamp,
    started: Instant,
    /// How far the time of day is off in each of these times; where they overlap, by all of them.
    astray: [Option<(Instant, Instant, SignedDuration)>; ASTRAY],
}

/// How often a virtual clock goes astray at most.
const ASTRAY: usize = 4;

impl Clock {
    /// The machine's own clocks.
    pub fn system() -> Self {
        Self { virtual_time: None }
    }

    /// Starts at `origin` and moves with tokio's clock, so that a paused runtime steers it.
    pub fn starting_at(origin: Timestamp) -> Self {
        let virtual_time = Virtual { origin, started: Instant::now(), astray: [None; ASTRAY] };
        Self { virtual_time: Some(virtual_time) }
    }

    /// A virtual clock whose time of day jumps by `by` and later back, at these times after its start; the
    /// machine's own clocks stay as they are. It does so four times at most.
    #[must_use]
    pub fn astray(mut self, when: Range<Duration>, by: SignedDuration) -> Self {
        if let Some(time) = &mut self.virtual_time {
            let [from, until] = [when.start, when.end].map(|after| time.started + after);
            if let Some(free) = time.astray.iter_mut().find(|one| one.is_none()) {
                *free = Some((from, until, by));
            }
        }
        self
    }

    /// The time of day: for stamps that are stored or shown.
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
    pub fn now(&self) -> Timestamp {
        self.virtual_time.map_or_else(Timestamp::now, |time| time.now())
    }

    /// Time that never goes back and goes on while the machine sleeps (`CLOCK_BOOTTIME`): for
    /// deadlines, so that a process that was stopped knows how long.
    pub fn boottime(&self) -> Duration {
        match self.virtual_time {
            None => {
                let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(at.tv_sec.unsigned_abs(), u32::try_from(at.tv_nsec).unwrap_or(0))
            }
            Some(time) => time.started.elapsed(),
        }
    }
}

impl Virtual {
    fn now(&self) -> Timestamp {
        let is_now =
            |from: Instant, until: Instant| from <= Instant::now() && Instant::now() < until;
        let off = self.astray.iter().flatten().filter(|(from, until, _)| is_now(*from, *until));
        let now = duration::after(self.origin, self.started.elapsed());
        off.fold(now, |now, (_, _, by)| now.saturating_add(*by).unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_goes_astray_jumps_and_comes_back_and_its_boot_time_does_neither() {
        let second = Duration::from_secs;
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH)
            .astray(second(10)..second(20), SignedDuration::from_secs(-5))
            .astray(second(15)..second(30), SignedDuration::from_secs(2));
        for (passed, shown) in [(9, 9), (1, 5), (4, 9), (1, 12), (4, 16), (1, 22), (9, 31), (1, 30)]
        {
            tokio::time::advance(second(passed)).await;
            assert_eq!(clock.now().as_second(), shown);
        }
        assert_eq!(clock.boottime(), second(30));
    }
}
