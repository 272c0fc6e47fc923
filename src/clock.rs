//! The only room that reads the time. Pure code takes `now`; everybody else asks a [`Clock`].

use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// A source of time, cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    virtual_origin: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// The machine's own clocks.
    pub fn system() -> Self {
        Self { virtual_origin: None }
    }

    /// Starts at `origin` and moves with tokio's clock, so that a paused runtime steers it.
    pub fn starting_at(origin: Timestamp) -> Self {
        Self { virtual_origin: Some((origin, Instant::now())) }
    }

    /// The time of day: for stamps that are stored or shown.
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads the clock")]
    pub fn now(&self) -> Timestamp {
        match self.virtual_origin {
            None => Timestamp::now(),
            Some((origin, started)) => crate::model::duration::after(origin, started.elapsed()),
        }
    }

    /// Time that never goes back and goes on while the machine sleeps (`CLOCK_BOOTTIME`): for
    /// deadlines, so that a process that was stopped knows how long.
    pub fn boottime(&self) -> Duration {
        match self.virtual_origin {
            None => {
                let at = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
                Duration::new(at.tv_sec.unsigned_abs(), u32::try_from(at.tv_nsec).unwrap_or(0))
            }
            Some((_, started)) => started.elapsed(),
        }
    }
}
