//! A worker: our record of one machine through its life, and the only ways it can change.

use super::{
    BatchId, InstanceId, Market, NodeRef, PoolName, ShapeName, Template, WorkerId, Zone, duration,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Our record of one machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Worker {
    /// Our name for it.
    pub id: WorkerId,
    /// Its pool.
    pub pool: PoolName,
    /// The decision it came from; `None` for an adopted one.
    pub batch: Option<BatchId>,
    /// Instance type.
    pub shape: ShapeName,
    /// Zone.
    pub zone: Zone,
    /// Spot or on-demand.
    pub market: Market,
    /// The provider's machine, once known.
    pub instance: Option<InstanceId>,
    /// Kubernetes' node, once known.
    pub node: Option<NodeRef>,
    /// Where it stands.
    pub state: WorkerState,
    /// When it came into this state.
    pub since: Timestamp,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it first became Ready.
    pub ready: Option<Timestamp>,
    /// Why it is on its way out, from Cordoned on.
    pub purpose: Option<Purpose>,
    /// From when its deadline is counted: from its state on, but a machine on its way in has one
    /// deadline from its launch until it is Ready.
    pub deadline_from: Timestamp,
    /// Time since then that does not count (pause, unknown, no claim).
    #[serde(with = "duration::text")]
    pub held: Duration,
    /// Since when its clock stands still, while it does.
    pub held_since: Option<Timestamp>,
    /// What kept a pod on its node when its pods were last evicted; `None` once it comes into another state.
    #[serde(default)]
    pub blocked: Option<String>,
    /// What it was launched as; `None` of one that was adopted, of which nobody knows.
    #[serde(default)]
    pub template: Option<Template>,
    /// The last lines of its console, of one that did not become Ready by its deadline; what may be a secret is masked.
    #[serde(default)]
    pub last_words: Option<String>,
}

/// Where a worker stands. Every state has an exit by time; see `docs/architecture.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WorkerState {
    /// Committed; the provider may or may not have been asked.
    Requested,
    /// The provider gave us an instance.
    Booting,
    /// Its node exists.
    Joined,
    /// Its node was Ready.
    Ready,
    /// Chosen to go; kept off new pods.
    Cordoned,
    /// Its pods are being evicted.
    Draining,
    /// No pod is left that matters.
    Drained,
    /// Committed to end. Never taken back.
    Terminating,
    /// Instance and node are gone.
    Gone,
    /// Judged dead or useless; goes on to Terminating.
    Failed {
        /// Why.
        failure: Failure,
    },
}

/// Why a worker failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The provider refused or nothing came of the request.
    NotLaunched,
    /// The provider was not asked: the check right before the call said no, or the call was held back.
    Refused,
    /// No node by the join deadline.
    NeverJoined,
    /// A node, but never Ready by the deadline.
    NeverReady,
    /// NotReady for longer than the repair deadline.
    NotReady,
    /// The instance is gone or ending though we did not ask for it.
    Lost,
    /// An instance of ours that no record asked for.
    Orphan,
}

/// Why a worker is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Not needed; taken back when demand returns.
    Idle,
    /// A replacement takes over.
    Replace,
    /// A spot notice: two minutes.
    Notice,
    /// An operator asked.
    Manual,
    /// Its pool left the file, whose last word was to drain it.
    Removed,
}

/// What can happen to a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum WorkerEvent {
    /// The provider answered with an instance, where it was really had.
    Launched {
        /// The instance.
        instance: InstanceId,
        /// Its shape.
        shape: ShapeName,
        /// Its zone.
        zone: Zone,
        /// Its market.
        market: Market,
    },
    /// Its node was seen.
    Joined {
        /// The node.
        node: NodeRef,
    },
    /// Its node is Ready.
    BecameReady,
    /// It is chosen to go.
    Cordon {
        /// Why.
        purpose: Purpose,
    },
    /// Evictions begin.
    StartDrain,
    /// Nothing is left to evict.
    Drained,
    /// The provider takes its machine while it is on its way out: from now on that is why it leaves.
    Noticed,
    /// It is taken back.
    Release,
    /// The point of no return.
    Terminate,
    /// Instance and node are proven gone.
    Finished,
    /// It is judged dead or useless.
    Fail {
        /// Why.
        failure: Failure,
    },
}

/// An event that cannot happen to a worker in this state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("worker cannot go from {state} by {event}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub state: &'static str,
    /// The event that came.
    pub event: &'static str,
}

impl Failure {
    /// Every one.
    pub const ALL: [Self; 7] = [
        Self::NotLaunched,
        Self::Refused,
        Self::NeverJoined,
        Self::NeverReady,
        Self::NotReady,
        Self::Lost,
        Self::Orphan,
    ];

    /// Its word in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotLaunched => "not_launched",
            Self::Refused => "refused",
            Self::NeverJoined => "never_joined",
            Self::NeverReady => "never_ready",
            Self::NotReady => "not_ready",
            Self::Lost => "lost",
            Self::Orphan => "orphan",
        }
    }
}

// === impl Worker ===

impl Worker {
    /// Applies an event at `now`. The record is unchanged when it is illegal.
    pub fn on(&mut self, event: &WorkerEvent, now: Timestamp) -> Result<(), IllegalTransition> {
        let was_coming = self.is_coming();
        self.state = self.state.clone().on(event)?;
        self.since = now;
        self.blocked = None;
        self.wind(was_coming, now);
        match event {
            WorkerEvent::Launched { instance, shape, zone, market } => {
                self.instance = Some(instance.clone());
                self.shape = shape.clone();
                self.zone = zone.clone();
                self.market = *market;
            }
            WorkerEvent::Joined { node } => self.node = Some(node.clone()),
            WorkerEvent::BecameReady => self.ready = self.ready.or(Some(now)),
            WorkerEvent::Cordon { purpose } => self.purpose = Some(*purpose),
            WorkerEvent::Noticed => self.purpose = Some(Purpose::Notice),
            WorkerEvent::Release => self.purpose = None,
            WorkerEvent::StartDrain
            | WorkerEvent::Drained
            | WorkerEvent::Terminate
            | WorkerEvent::Finished
            | WorkerEvent::Fail { .. } => {}
        }
        Ok(())
    }

    /// Sets its clock for the state it has come into; on its way in it goes on.
    fn wind(&mut self, was_coming: bool, now: Timestamp) {
        if was_coming && self.state == WorkerState::Joined {
            self.held += self.standing(now);
        } else {
            self.deadline_from = now;
            self.held = Duration::ZERO;
        }
        self.held_since = None;
    }

    /// How much of its deadline is used up: without the time its clock stood still.
    pub fn elapsed(&self, now: Timestamp) -> Duration {
        let held = self.held.saturating_add(self.standing(now));
        duration::since(self.deadline_from, now).saturating_sub(held)
    }

    fn standing(&self, now: Timestamp) -> Duration {
        self.held_since.map_or(Duration::ZERO, |from| duration::since(from, now))
    }

    /// Whether it is, or is about to be, a machine that serves: what `min` and `max` count.
    pub fn is_serving(&self) -> bool {
        matches!(
            self.state,
            WorkerState::Requested
                | WorkerState::Booting
                | WorkerState::Joined
                | WorkerState::Ready
        )
    }

    /// Whether it is on its way in: asked for and not yet Ready.
    pub fn is_coming(&self) -> bool {
        matches!(self.state, WorkerState::Requested | WorkerState::Booting | WorkerState::Joined)
    }

    /// Whether it is on its way out and can still be taken back.
    pub fn is_leaving(&self) -> bool {
        matches!(self.state, WorkerState::Cordoned | WorkerState::Draining | WorkerState::Drained)
    }

    /// Whether a machine may exist behind it: everything but Gone.
    pub fn is_live(&self) -> bool {
        self.state != WorkerState::Gone
    }
}

// === impl WorkerState ===

impl WorkerState {
    /// The words of all states.
    pub const NAMES: [&'static str; 10] = [
        "requested",
        "booting",
        "joined",
        "ready",
        "cordoned",
        "draining",
        "drained",
        "terminating",
        "gone",
        "failed",
    ];

    /// The state after `event`. Written out in full: a new state or event must be thought through here.
    pub fn on(self, event: &WorkerEvent) -> Result<Self, IllegalTransition> {
        use WorkerEvent as E;
        let next = match (&self, event) {
            (Self::Requested, E::Launched { .. }) => Self::Booting,
            // From Joined and Ready: its machine registered anew.
            (Self::Requested | Self::Booting | Self::Joined | Self::Ready, E::Joined { .. }) => {
                Self::Joined
            }
            (Self::Ready, E::Cordon { .. }) => Self::Cordoned,
            (Self::Cordoned, E::StartDrain) => Self::Draining,
            (Self::Draining, E::Drained) => Self::Drained,
            (Self::Cordoned | Self::Draining | Self::Drained, E::Noticed) => self,
            (Self::Joined, E::BecameReady)
            | (Self::Cordoned | Self::Draining | Self::Drained, E::Release) => Self::Ready,
            (Self::Drained | Self::Failed { .. }, E::Terminate) => Self::Terminating,
            (Self::Terminating, E::Finished) => Self::Gone,
            (Self::Requested, E::Fail { failure }) => Self::Failed { failure: *failure },
            // One that has its machine cannot have come to nothing, whatever a later answer says.
            (
                Self::Booting
                | Self::Joined
                | Self::Ready
                | Self::Cordoned
                | Self::Draining
                | Self::Drained,
                E::Fail { failure },
            ) if !matches!(failure, Failure::NotLaunched | Failure::Refused) => {
                Self::Failed { failure: *failure }
            }
            (
                Self::Requested
                | Self::Booting
                | Self::Joined
                | Self::Ready
                | Self::Cordoned
                | Self::Draining
                | Self::Drained
                | Self::Terminating
                | Self::Gone
                | Self::Failed { .. },
                event,
            ) => {
                return Err(IllegalTransition { state: self.name(), event: event.name() });
            }
        };
        Ok(next)
    }

    /// Its word in logs, metrics and docs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Booting => "booting",
            Self::Joined => "joined",
            Self::Ready => "ready",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Terminating => "terminating",
            Self::Gone => "gone",
            Self::Failed { .. } => "failed",
        }
    }
}

impl WorkerEvent {
    /// Its word in logs and docs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Launched { .. } => "launched",
            Self::Joined { .. } => "joined",
            Self::BecameReady => "became_ready",
            Self::Cordon { .. } => "cordon",
            Self::StartDrain => "start_drain",
            Self::Drained => "drained",
            Self::Noticed => "noticed",
            Self::Release => "release",
            Self::Terminate => "terminate",
            Self::Finished => "finished",
            Self::Fail { .. } => "fail",
        }
    }
}

impl fmt::Display for WorkerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests;
