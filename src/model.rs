//! The vocabulary: every noun that two rooms share, and nothing that acts.
//!
//! Pure: no clock, no I/O, no lock, no log, no `async`. Whatever happens elsewhere is described
//! here as a value: what was asked ([`Signal`]), what is true ([`Observed`]), what we remember
//! ([`Memory`]), what we decided ([`Plan`]) and why ([`Reason`]).

pub mod affinity;
pub mod change;
pub mod duration;
pub mod explanation;
pub mod history;
pub mod id;
pub mod instance;
pub mod intent;
pub mod memory;
pub mod node;
pub mod note;
pub mod observed;
pub mod plan;
pub mod pod;
pub mod push;
mod reason;
pub mod resources;
pub mod shape;
pub mod signal;
pub mod silence;
pub mod template;
mod truth;
pub mod worker;

pub use affinity::{
    FreeVolume, HostPort, Is, Labels, NodeTerm, PodTerm, Requirement, Selector, Spread, VolumeNeed,
};
pub use change::{Changes, Claim};
pub use explanation::{Explanation, Subject};
pub use history::{Entry, EntryKind};
pub use id::{
    BatchId, ClusterName, ClusterUid, Fingerprint, InstanceId, NodeName, PassId, PoolName,
    ShapeName, SignalId, SilenceId, Token, Uid, WorkerId, Zone,
};
pub use instance::{Instance, InstanceState};
pub use intent::{Intent, LaunchRequest, Order};
pub use memory::{
    BackOff, Breaker, BreakerState, ClusterMemory, Farewell, Foreseen, Memory, PoolMemory,
    Predictions, Refusal, Unhelpable,
};
pub use node::{
    Cordon, Effect, Node, NodeRef, POOL_LABEL, Readiness, Taint, WORKER_LABEL, ZONE_LABEL,
    ZONE_LABELS,
};
pub use note::{About, Note, PodRef};
pub use observed::{ClusterView, Guard, Observed, View, Want};
pub use plan::{Act, Decision, Permit, Plan, Step, Transition, Verdict};
pub use pod::{Essential, Pin, Placement, Pod, PodKind, PodSpec, Toleration};
pub use push::{PUSH_LABEL, PostedAlert, PushRule};
pub use reason::Reason;
pub use resources::Resources;
pub use shape::{Market, Offering, Price, Shape};
pub use signal::{Ask, Direction, Signal, Source};
pub use silence::{Matcher, Silence, SilenceState};
pub use template::Template;
pub use truth::{AlertState, PeerState, Truth};
pub use worker::{Failure, IllegalTransition, Purpose, Worker, WorkerEvent, WorkerState};
