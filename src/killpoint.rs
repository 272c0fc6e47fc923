//! Named points at which a test may end the process as `kill -9` would, stop it, or ask it to end.
//!
//! Only with the cargo feature `killpoints`, which no release has; without it every call is empty.

/// A point between two effects, where a crash must heal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The store answered who asked for a claim; the loop does not know it yet.
    Claimed,
    /// The cluster answered who asked for its lease; the loop does not know it yet.
    LeaseHeld,
    /// The store answered who prolonged its claim; the loop does not know it yet.
    Renewed,
    /// A webhook's signals are stored; it is not answered yet.
    SignalStored,
    /// What the pass found is committed, without a launch; nothing was called yet.
    RecordsCommitted,
    /// The intent of a launch is committed; nothing was called yet.
    IntentCommitted,
    /// The provider answered a launch; the outcome is not committed.
    LaunchAnswered,
    /// The provider answered a launch that was asked again; the outcome is not committed.
    ReplayAnswered,
    /// A node is cordoned; the outcome is not committed.
    Cordoned,
    /// Pods of a node were asked to go, as far as they may; the outcome is not committed.
    Evicted,
    /// A node's last pod is gone; the outcome is not committed.
    LastEviction,
    /// The provider answered a terminate; the outcome is not committed.
    TerminateAnswered,
    /// A node object is deleted; the outcome is not committed.
    NodeRemoved,
    /// A node is uncordoned; the outcome is not committed.
    Uncordoned,
    /// The pass' outcome is committed; nothing was reported yet.
    OutcomeCommitted,
    /// The lease is given back; the claim is not.
    LeaseLetGo,
    /// The claim is given back; the process has not ended yet.
    Released,
}

impl Point {
    /// All points, in the order in which a worker's life meets them.
    pub const ALL: [Self; 17] = [
        Self::Claimed,
        Self::LeaseHeld,
        Self::Renewed,
        Self::SignalStored,
        Self::RecordsCommitted,
        Self::IntentCommitted,
        Self::LaunchAnswered,
        Self::ReplayAnswered,
        Self::Cordoned,
        Self::Evicted,
        Self::LastEviction,
        Self::TerminateAnswered,
        Self::NodeRemoved,
        Self::Uncordoned,
        Self::OutcomeCommitted,
        Self::LeaseLetGo,
        Self::Released,
    ];

    /// Its name on the command line of a test.
    pub fn name(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::LeaseHeld => "lease_held",
            Self::Renewed => "renewed",
            Self::SignalStored => "signal_stored",
            Self::RecordsCommitted => "records_committed",
            Self::IntentCommitted => "intent_committed",
            Self::LaunchAnswered => "launch_answered",
            Self::ReplayAnswered => "replay_answered",
            Self::Cordoned => "cordoned",
            Self::Evicted => "evicted",
            Self::LastEviction => "last_eviction",
            Self::TerminateAnswered => "terminate_answered",
            Self::NodeRemoved => "node_removed",
            Self::Uncordoned => "uncordoned",
            Self::OutcomeCommitted => "outcome_committed",
            Self::LeaseLetGo => "lease_let_go",
            Self::Released => "released",
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
    use std::time::Duration;

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
            if signal == Signal::STOP {
                // Another thread may be the one that takes it, a moment later: this one must not go on meanwhile.
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    }

    fn lock() -> MutexGuard<'static, Option<(Point, Signal)>> {
        ARMED.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
