//! Named points at which a test may end the process as `kill -9` would, stop it, or ask it to end.
//!
//! Only with the cargo feature `killpoints`, which no release has; without it every call is empty.

/// A point between two effects, where a crash must heal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A webhook's signals are stored; it is not answered yet.
    SignalStored,
    /// The pass' intent is committed; nothing was called yet.
    IntentCommitted,
    /// The provider answered a launch; the outcome is not committed.
    LaunchAnswered,
    /// A node is cordoned; the outcome is not committed.
    Cordoned,
    /// A node's last pod is gone; the outcome is not committed.
    LastEviction,
    /// The provider answered a terminate; the outcome is not committed.
    TerminateAnswered,
    /// A node object is deleted; the outcome is not committed.
    NodeRemoved,
}

impl Point {
    /// All points, in the order a worker's life meets them.
    pub const ALL: [Self; 7] = [
        Self::SignalStored,
        Self::IntentCommitted,
        Self::LaunchAnswered,
        Self::Cordoned,
        Self::LastEviction,
        Self::TerminateAnswered,
        Self::NodeRemoved,
    ];

    /// Its name on the command line of a test.
    pub fn name(self) -> &'static str {
        match self {
            Self::SignalStored => "signal_stored",
            Self::IntentCommitted => "intent_committed",
            Self::LaunchAnswered => "launch_answered",
            Self::Cordoned => "cordoned",
            Self::LastEviction => "last_eviction",
            Self::TerminateAnswered => "terminate_answered",
            Self::NodeRemoved => "node_removed",
        }
    }
}

/// Says that a point is reached; the process may end here.
#[cfg(not(feature = "killpoints"))]
pub fn reached(_: Point) {}

#[cfg(feature = "killpoints")]
pub use armed::{arm, reached};

#[cfg(feature = "killpoints")]
mod armed {
    use super::Point;
    use rustix::process::{Signal, getpid, kill_process};
    use std::sync::{Mutex, MutexGuard, PoisonError};

    static ARMED: Mutex<Option<(Point, Signal)>> = Mutex::new(None);

    /// Chooses a point and the signal that the process gets there, once: `cordoned` (kill),
    /// `cordoned:stop`, `cordoned:term`. False where there is no such point or signal.
    pub fn arm(chosen: &str) -> bool {
        let (name, signal) = chosen.split_once(':').unwrap_or((chosen, "kill"));
        let point = Point::ALL.into_iter().find(|point| point.name() == name);
        let signals = [("kill", Signal::KILL), ("stop", Signal::STOP), ("term", Signal::TERM)];
        let signal = signals.into_iter().find(|(word, _)| *word == signal);
        let armed = point.zip(signal).map(|(point, (_, signal))| (point, signal));
        *lock() = armed;
        armed.is_some()
    }

    /// Says that a point is reached; the process gets its signal here if it is the chosen one.
    pub fn reached(point: Point) {
        let chosen = lock().take_if(|(chosen, _)| *chosen == point);
        if let Some((_, signal)) = chosen {
            let _ = kill_process(getpid(), signal);
        }
    }

    fn lock() -> MutexGuard<'static, Option<(Point, Signal)>> {
        ARMED.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
