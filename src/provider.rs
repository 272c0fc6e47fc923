//! Machines: launching, ending and listing them, whoever provides them.
//!
//! A provider knows nothing of Kubernetes, alerts or policy, and makes no choice: a
//! [`LaunchRequest`] says exactly what to buy. Every method may be called again with the same
//! words after a crash and must then change nothing.

mod console;
pub mod contract;
#[cfg(feature = "docker")]
mod docker;
#[cfg(feature = "ec2")]
mod ec2;
mod exec;
pub mod guarded;
mod pools;
pub use console::{in_words, last_words};
#[cfg(feature = "docker")]
pub use docker::Docker;
#[cfg(feature = "ec2")]
pub use ec2::{Ec2, Keys};
pub use exec::Exec;
pub use guarded::Guarded;
pub use pools::{Pools, of};

use crate::config::ClusterConfig;
use crate::model::{
    ClusterUid, Instance, InstanceId, LaunchRequest, Offering, PoolName, Shape, WorkerId,
};
use async_trait::async_trait;
use std::fmt;

/// Creates and ends machines for one cluster.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// What a pass goes by: from now on a pool's machines are made as it says.
    fn follow(&self, _: &ClusterConfig) {}

    /// Waits until an act on this pool may be asked for, where a rate limits calls. Whether the act still may happen is
    /// asked after this and right before it, so that nothing waits in between.
    async fn turn(&self, _: &PoolName) {}

    /// Launches one machine per order. Idempotent by the orders' worker ids: an order that was
    /// fulfilled before answers with the same instance and launches nothing. An order whose
    /// offering has no capacity is tried on `request.fallback`, in order, within this call.
    /// Partial success is success for those that came: see [`Launched`].
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched>;

    /// Ends a machine of the cluster with this UID. One that is gone or ending already is success. One that bears another UID, or
    /// none, is left alone, whatever names it shares with ours: where the provider can tell, it does not rely on who asks.
    async fn terminate(
        &self,
        whose: &ClusterUid,
        pool: &PoolName,
        instance: &InstanceId,
    ) -> Result<()>;

    /// Every machine with our tags for this pool, whole: all pages, pending ones included, recently
    /// ended ones as long as the provider tells. An incomplete list is an error.
    async fn list(&self, pool: &PoolName) -> Result<Vec<Instance>>;

    /// What can be bought for this pool.
    async fn shapes(&self, pool: &PoolName) -> Result<Vec<Shape>>;

    /// What a machine wrote on its console, as far as the provider keeps that: people ask why it did not join. `None`
    /// where the provider keeps nothing.
    async fn console(&self, pool: &PoolName, instance: &InstanceId) -> Result<Option<String>>;

    /// What it lacks of what the pool's configuration asks of it, as far as that can be told without changing anything.
    async fn complaints(&self, pool: &PoolName) -> Vec<Complaint> {
        let told = self.shapes(pool).await.err();
        let complaint = |error: Error| Complaint {
            field: String::new(),
            found: None,
            mend: format!("what can be bought is not known: {error}"),
        };
        told.into_iter().map(complaint).collect()
    }

    /// Whether it would end this machine now, asked before anything on it is touched: a person may have protected it. Where
    /// lists tell that, there is nothing to ask.
    async fn may_end(&self, _: &PoolName, _: &InstanceId) -> Result<bool> {
        Ok(true)
    }
}

/// What a provider lacks of what a pool's configuration asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The field below the provider's section; empty where it is about none of them.
    pub field: String,
    /// What stands there, or what was tried.
    pub found: Option<String>,
    /// What is wrong and how it is mended.
    pub mend: String,
}

/// What came of a launch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Launched {
    /// Orders that were fulfilled, each with where it was really had.
    pub instances: Vec<(WorkerId, InstanceId, Offering)>,
    /// Orders that were not, each with why. Nothing was left behind for these.
    pub failed: Vec<(WorkerId, Error)>,
    /// Offerings that were asked for a machine and had none, each with why; also where another had one.
    pub short: Vec<(Offering, Error)>,
}

/// What a failed call left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBehind {
    /// Nothing: the call had no effect.
    Nothing,
    /// It may have had its effect: list before deciding anything that counts machines.
    Unknown,
}

/// What went wrong, as far as the caller can act on it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No machine by that name.
    #[error("no such machine")]
    NotFound,
    /// The offering has no capacity now.
    #[error("no capacity: {0}")]
    Capacity(String),
    /// An account limit is reached.
    #[error("quota reached: {0}")]
    Quota(String),
    /// Too many calls; slow down.
    #[error("throttled")]
    Throttled,
    /// The credentials do not allow it.
    #[error("denied: {0}")]
    Denied(String),
    /// The request can never work as it is.
    #[error("invalid: {0}")]
    Invalid(String),
    /// The provider answered with an error of its own.
    #[error("provider unavailable: {0}")]
    Unavailable(String),
    /// No answer in time; the effect is unknown.
    #[error("no answer within the deadline")]
    TimedOut,
    /// It was not asked: it failed too often lately, or all together ask it as often as it bears.
    #[error("not asked: it failed too often lately, or is asked as often as it bears")]
    NotAsked,
}

/// A provider's answer.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Whether the same call may well work a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Throttled | Self::Unavailable(_) | Self::TimedOut | Self::NotAsked => true,
            Self::NotFound
            | Self::Capacity(_)
            | Self::Quota(_)
            | Self::Denied(_)
            | Self::Invalid(_) => false,
        }
    }

    /// Whether the call may have had its effect all the same.
    pub fn left_behind(&self) -> LeftBehind {
        match self {
            Self::Unavailable(_) | Self::TimedOut => LeftBehind::Unknown,
            Self::NotFound
            | Self::Capacity(_)
            | Self::Quota(_)
            | Self::Throttled
            | Self::Denied(_)
            | Self::Invalid(_)
            | Self::NotAsked => LeftBehind::Nothing,
        }
    }

    /// Its word in metrics: a closed set.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Capacity(_) => "capacity",
            Self::Quota(_) => "quota",
            Self::Throttled => "throttled",
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::Unavailable(_) => "unavailable",
            Self::TimedOut => "timed_out",
            Self::NotAsked => "not_asked",
        }
    }
}
