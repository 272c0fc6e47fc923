//! Everything a world is: plain data, so that it can be written down and compared.

use super::workload::Workload;
use crate::cluster::fence::Lease;
use crate::model::{
    Cordon, Instance, InstanceId, InstanceState, NodeName, Offering, Price, Resources, Taint, Uid,
    WorkerId, duration,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A world's state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) seed: u64,
    /// Draws so far: chance is a function of seed and count, so that it survives being written down.
    pub(super) draws: u64,
    /// Names given so far.
    pub(super) names: u64,
    /// The moment the state is true for.
    pub(super) now: Timestamp,
    pub(super) instances: BTreeMap<InstanceId, Machine>,
    pub(super) nodes: BTreeMap<NodeName, SimNode>,
    pub(super) pods: BTreeMap<Uid, SimPod>,
    pub(super) workloads: BTreeMap<String, Workload>,
    pub(super) calls: Vec<Call>,
    pub(super) faults: Faults,
    /// Who may act.
    #[serde(default)]
    pub(super) lease: Lease,
}

/// A machine, and what it will become.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) instance: Instance,
    pub(super) capacity: Resources,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<Taint>,
    /// What it was bought for.
    pub(super) price: Option<Price>,
    /// When it is no longer pending.
    pub(super) runs: Timestamp,
    /// When its node appears; `None` if never, or if the node was deleted: a kubelet that runs does
    /// not register again.
    pub(super) joins: Option<Timestamp>,
    /// When its node is Ready; `None` if never.
    pub(super) ready: Option<Timestamp>,
    /// When it was ended.
    pub(super) ended: Option<Timestamp>,
    /// Whether its kubelet is silent.
    #[serde(default)]
    pub(super) silent: bool,
    /// How often it registered under another name.
    #[serde(default)]
    pub(super) renames: u32,
}

impl Machine {
    /// The name it registers under.
    pub(super) fn node_name(&self) -> NodeName {
        let worker = self.instance.worker.as_ref();
        let name = worker.map_or(self.instance.id.as_str(), |worker| worker.as_str());
        match self.renames {
            0 => NodeName::new(format!("node-{name}")),
            times => NodeName::new(format!("node-{name}-{times}")),
        }
    }
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SimNode {
    pub(super) uid: Uid,
    pub(super) instance: Option<InstanceId>,
    pub(super) worker: Option<WorkerId>,
    pub(super) pool: Option<crate::model::PoolName>,
    pub(super) zone: Option<crate::model::Zone>,
    pub(super) control_plane: bool,
    pub(super) created: Timestamp,
    /// Since when it is Ready, or is not.
    pub(super) ready: bool,
    pub(super) since: Timestamp,
    pub(super) cordon: Cordon,
    pub(super) capacity: Resources,
    pub(super) allocatable: Resources,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) taints: Vec<Taint>,
    /// Busy seconds of all its cores together.
    pub(super) busy: f64,
    /// Seconds it has existed.
    pub(super) up: f64,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SimPod {
    pub(super) workload: String,
    pub(super) name: String,
    pub(super) created: Timestamp,
    pub(super) node: Option<NodeName>,
    /// Since when the scheduler says it fits nowhere.
    pub(super) unschedulable: Option<Timestamp>,
    /// When it will be gone, once it was asked to go.
    pub(super) ends: Option<Timestamp>,
}

/// One call that changed the world.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// When.
    pub at: Timestamp,
    /// `launch`, `terminate`, `cordon`, `uncordon`, `evict` or `remove_node`.
    pub call: String,
    /// The machine, where it concerns one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub instance: Option<InstanceId>,
    /// The node, where it concerns one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<NodeName>,
    /// Machines that a launch really made.
    #[serde(default)]
    pub new: usize,
    /// Workers a launch was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workers: Vec<WorkerId>,
}

/// What goes wrong, until it is set otherwise.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of a test")]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Listing machines fails.
    pub list_errors: bool,
    /// Listing machines answers that there are none.
    pub list_empty: bool,
    /// Nodes and pods cannot be seen.
    pub observe_errors: bool,
    /// So many of a hundred calls to the cluster fail, half of those that change it after they did.
    pub cluster_errors: u8,
    /// No offering has capacity.
    pub no_capacity: bool,
    /// Offerings of these shapes, zones or markets (`spot`, `on-demand`) have no capacity.
    pub no_capacity_for: BTreeSet<String>,
    /// There is capacity for so many machines in all.
    pub at_most: Option<usize>,
    /// New machines never join.
    pub never_join: bool,
    /// New machines join and are never Ready.
    pub never_ready: bool,
    /// Launching fails without effect.
    pub launch_errors: bool,
    /// Launching has its effect and the answer is lost.
    pub lose_launch_reply: bool,
    /// Ending has its effect and the answer is lost.
    pub lose_terminate_reply: bool,
    /// Every eviction is refused.
    pub evictions_blocked: bool,
    /// The time to boot, instead of the configured one.
    #[serde(with = "optional_duration")]
    pub boot: Option<Duration>,
}

/// How far a call comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fortune {
    Good,
    /// It fails and changes nothing.
    NoEffect,
    /// It has its effect, and fails.
    NoAnswer,
}

impl Call {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.call
    }

    pub(super) fn new(at: Timestamp, call: &str) -> Self {
        Self { at, call: call.to_owned(), instance: None, node: None, new: 0, workers: Vec::new() }
    }
}

impl State {
    pub(super) fn new(seed: u64, now: Timestamp) -> Self {
        let mut state = Self {
            seed,
            draws: 0,
            names: 0,
            now,
            instances: BTreeMap::new(),
            nodes: BTreeMap::new(),
            pods: BTreeMap::new(),
            workloads: BTreeMap::new(),
            calls: Vec::new(),
            faults: Faults::default(),
            lease: Lease::default(),
        };
        state.nodes.insert("server".into(), server(now));
        state
    }

    /// A number from 0 to 1, the next of this world.
    pub(super) fn draw(&mut self) -> f64 {
        use rand::{RngExt as _, SeedableRng as _};
        self.draws += 1;
        let seed = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(self.draws);
        rand::rngs::StdRng::seed_from_u64(seed).random()
    }

    /// How far a call to the cluster comes.
    pub(super) fn fortune(&mut self) -> Fortune {
        let share = f64::from(self.faults.cluster_errors);
        // A world without such faults draws nothing for them.
        let drawn = if share > 0.0 { self.draw() * 100.0 } else { share };
        if drawn >= share {
            Fortune::Good
        } else if drawn < share / 2.0 {
            Fortune::NoEffect
        } else {
            Fortune::NoAnswer
        }
    }

    /// A number that no other thing of this world has.
    pub(super) fn number(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    /// What a machine of this offering costs more or less than its list price: spot moves slowly.
    pub(super) fn spot_factor(&self, offering: &Offering) -> f64 {
        let hour = self.now.as_second() / 3600;
        let phase =
            offering.zone.as_str().bytes().map(u64::from).sum::<u64>().wrapping_add(self.seed);
        #[expect(clippy::cast_precision_loss, reason = "a phase of a slow wave")]
        let wave = ((hour as f64) / 6.0 + phase as f64).sin();
        0.3 + 0.05 * wave
    }

    /// Marks a machine as ended, now.
    pub(super) fn end(&mut self, id: &InstanceId) {
        let now = self.now;
        if let Some(machine) = self.instances.get_mut(id)
            && machine.ended.is_none()
        {
            machine.ended = Some(now);
            machine.instance.state = InstanceState::Gone;
        }
    }
}

fn server(now: Timestamp) -> SimNode {
    let capacity = Resources::new(2000, 4 << 30).with_pods(110);
    SimNode {
        uid: "server".into(),
        instance: None,
        worker: None,
        pool: None,
        zone: None,
        control_plane: true,
        created: now,
        ready: true,
        since: now,
        cordon: Cordon::None,
        allocatable: capacity.clone(),
        capacity,
        labels: BTreeMap::new(),
        taints: vec![Taint {
            key: "node-role.kubernetes.io/control-plane".to_owned(),
            value: String::new(),
            effect: crate::model::Effect::NoSchedule,
        }],
        busy: 0.0,
        up: 0.0,
    }
}

/// A node that nobody here launched.
pub(super) fn stranger(now: Timestamp, number: u64) -> SimNode {
    let capacity = Resources::new(4000, 8 << 30).with_pods(110);
    SimNode {
        uid: format!("stranger-uid-{number}").as_str().into(),
        control_plane: false,
        allocatable: capacity.clone(),
        capacity,
        taints: Vec::new(),
        ..server(now)
    }
}

/// `Option<Duration>` as text.
mod optional_duration {
    use super::duration;
    use serde::{Deserialize, Deserializer, Serializer, de::Error as _};
    use std::time::Duration;

    #[expect(clippy::ref_option, reason = "serde passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.serialize_some(&duration::format(*value)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| duration::parse(&text).map_err(D::Error::custom)).transpose()
    }
}
