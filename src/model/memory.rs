//! What we remember of one cluster between passes; all of it lives in the store.

use super::{
    BatchId, Changes, ClusterUid, Intent, Market, Offering, PoolName, ShapeName, Silence,
    SilenceId, Uid, Worker, WorkerId, Zone,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// All memory of one cluster, as `plan` reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Workers, the recently gone included.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// Launches that are not settled.
    pub intents: BTreeMap<BatchId, Intent>,
    /// What belongs to a pool.
    pub pools: BTreeMap<PoolName, PoolMemory>,
    /// What belongs to the cluster.
    pub cluster: ClusterMemory,
    /// Which life of the store this was read from, where a store has several: its server was started anew, or
    /// another took its place, and what was written last may be forgotten. Told by the store, not kept.
    #[serde(skip)]
    pub life: Option<String>,
    /// When the store last gave out a token past one that it had forgotten, which proves that it forgot. Told by the
    /// store, which writes it down with that token.
    #[serde(skip)]
    pub forgot: Option<Timestamp>,
}

impl BackOff {
    /// Whether it speaks of this offering, whatever that costs by now.
    pub fn is_of(&self, offering: &Offering) -> bool {
        (&self.shape, &self.zone, self.market) == (&offering.shape, &offering.zone, offering.market)
    }
}

impl Memory {
    /// Takes in a set of changes; signals and history are kept elsewhere.
    pub fn apply(&mut self, changes: &Changes) {
        self.workers.extend(changes.workers.iter().map(|it| (it.id.clone(), it.clone())));
        self.workers.retain(|id, _| !changes.forget_workers.contains(id));
        let intents = changes.intents.iter();
        self.intents.extend(intents.map(|it| (it.request.batch.clone(), it.clone())));
        self.intents.retain(|batch, _| !changes.settled.contains(batch));
        self.pools.extend(changes.pools.iter().map(|(name, it)| (name.clone(), it.clone())));
        if let Some(cluster) = &changes.cluster {
            self.cluster = cluster.clone();
        }
    }
}

/// What we remember of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolMemory {
    /// The last scale-up's intent; the up-cooldown holds from here.
    pub up_started: Option<Timestamp>,
    /// When the last scale-up's workers were all Ready or given up; `None` while they are coming.
    pub up_ended: Option<Timestamp>,
    /// The end of the last scale-down. Restore, repair, replace and gc do not set it.
    pub down_ended: Option<Timestamp>,
    /// When new need was last seen to grow, for `settle`; `None` when none waits.
    pub need_since: Option<Timestamp>,
    /// When the need that waits was first seen; `settle` never waits longer than a second in all.
    pub need_first: Option<Timestamp>,
    /// The need that was last seen: a pod's UID each.
    pub need: Vec<Uid>,
    /// Workers launched, by time, over the last hour.
    pub launches: Vec<(Timestamp, u32)>,
    /// Stops launching when launching does not help.
    pub breaker: Breaker,
    /// Batches that are Ready and whose pods are being watched: did it help them?
    pub watching: BTreeMap<BatchId, Vec<Uid>>,
    /// Batches that were launched for pods which the scheduler had not judged, until it is known whether that was right.
    pub foreseen: BTreeMap<BatchId, Foreseen>,
    /// Workers whose replacement is launched, and its batch.
    pub replacing: BTreeMap<WorkerId, BatchId>,
    /// Workers to replace, for which nothing is launched yet.
    pub to_replace: Vec<WorkerId>,
    /// Pods that launching did not help.
    pub unhelpable: BTreeMap<Uid, Unhelpable>,
    /// Code of the reason shown last, so that history notes changes only.
    pub held: Option<String>,
    /// Offerings whose machines came to nothing lately.
    pub back_offs: Vec<BackOff>,
    /// Its last words in the file, if those were to drain it once it leaves the file.
    pub farewell: Option<Farewell>,
}

/// What a pool that is to be drained once it leaves the file said there last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farewell {
    /// Its configuration, as the file would say it.
    pub config: Value,
    /// Since when the file does not name it; `None` while it does.
    pub left: Option<Timestamp>,
}

/// What we remember of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterMemory {
    /// The cluster's UID as first seen; another one under the same name is refused.
    pub uid: Option<ClusterUid>,
    /// Every silence seen, until its end or until known to be expired.
    pub silences: BTreeMap<SilenceId, Silence>,
    /// When each Alertmanager said it started.
    pub alertmanagers: BTreeMap<String, Timestamp>,
    /// No removal until then: an Alertmanager restarted.
    pub down_held_until: Option<Timestamp>,
    /// The life of the store that this was written in.
    pub store_life: Option<String>,
    /// When the store was last found to be empty, in another life than before, or behind the cluster's lease.
    pub store_forgot: Option<Timestamp>,
    /// What the store told last of having forgotten ([`Memory::forgot`]), so that it counts once.
    pub store_behind: Option<Timestamp>,
    /// Workers that could not be removed, and until when they are no candidates.
    pub refusals: BTreeMap<WorkerId, Refusal>,
    /// Since when nothing but kube-system pods without a budget holds this worker.
    pub kube_system_since: BTreeMap<WorkerId, Timestamp>,
    /// Since when the node of this Ready worker is not seen.
    pub unseen_since: BTreeMap<WorkerId, Timestamp>,
    /// Since when it is seen, and is not Ready, by our own clock.
    pub sick_since: BTreeMap<WorkerId, Timestamp>,
    /// What the provider says of the machine of this worker, which runs and is not well.
    pub impaired: BTreeMap<WorkerId, String>,
    /// The last replacements' times, for the limit per hour.
    pub replacements: Vec<Timestamp>,
    /// What became of need that was foreseen.
    pub predictions: Predictions,
}

/// Whether need that was foreseen came true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Predictions {
    /// How many pods of late were rightly launched for: the scheduler found no node either, or only one that came since.
    pub right: u32,
    /// How many of late had a place on nodes that were there.
    pub wrong: u32,
    /// The configuration under which too many were wrong: none is foreseen until it changes.
    pub off: Option<String>,
}

/// A launch for pods that the scheduler had not judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreseen {
    /// When it was decided.
    pub at: Timestamp,
    /// For how many of them workers were launched.
    pub launched_for: u32,
    /// Those, and others that it had not judged either, and for which we knew of a place. Who of them goes where is the
    /// scheduler's choice.
    pub pods: Vec<Uid>,
}

/// Stops launching when launching does not help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// Where it stands.
    pub state: BreakerState,
    /// How often in a row it opened; the wait grows with it.
    pub failures: u32,
    /// When it lets one worker through, while open.
    pub retry_at: Option<Timestamp>,
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Launches are allowed.
    #[default]
    Closed,
    /// Launches are refused until `retry_at`.
    Open,
    /// One worker is on trial.
    HalfOpen,
}

/// An offering whose machines came to nothing lately: every other is preferred for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackOff {
    /// The instance type.
    pub shape: ShapeName,
    /// The availability zone.
    pub zone: Zone,
    /// Spot or on-demand.
    pub market: Market,
    /// How often in a row; the time doubles with it.
    pub count: u32,
    /// When it came to nothing last.
    pub since: Timestamp,
    /// Like any other again from then on.
    pub until: Timestamp,
    /// Why, for people.
    pub why: String,
}

/// A pod for which workers were launched in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unhelpable {
    /// Workers launched in vain.
    pub vain: u32,
    /// It is no need until then; `None` while fewer than two were in vain.
    pub until: Option<Timestamp>,
}

/// A worker that could not be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// How often in a row; the time doubles from 1 h to 24 h.
    pub count: u32,
    /// No candidate until then.
    pub until: Timestamp,
    /// Why, for people.
    pub why: String,
}
