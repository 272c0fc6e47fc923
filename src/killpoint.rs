//! Named points at which a test may end the process as `kill -9` would.
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
    use std::sync::OnceLock;

    static ARMED: OnceLock<String> = OnceLock::new();

    /// Chooses, once per process, the point to end at.
    pub fn arm(name: &str) {
        let _ = ARMED.set(name.to_owned());
    }

    /// Says that a point is reached; the process ends here if it is the chosen one.
    pub fn reached(point: Point) {
        if ARMED.get().is_some_and(|name| name == point.name()) {
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}
