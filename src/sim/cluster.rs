//! The world as a cluster.

use super::World;
use super::state::{Call, Fortune, SimNode, SimPod, State};
use super::workload::{Workload, WorkloadKind};
use crate::cluster::{self, Error, Eviction, Manner, Mark, Result};
use crate::model::{
    ClusterView, Cordon, Node, NodeName, NodeRef, Pin, Placement, Pod, PodKind, PodSpec, Readiness,
    Uid, View, duration,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Nodes and pods of one world.
#[derive(Clone, Debug)]
pub struct Cluster {
    world: World,
}

impl Cluster {
    /// The cluster of a world.
    pub fn new(world: World) -> Self {
        Self { world }
    }

    /// A call that changes something, as far as it comes.
    fn call<T>(&self, call: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let away = || Err(Error::Unavailable("simulated".to_owned()));
        self.world.change(|state| match state.fortune() {
            Fortune::Good => call(state),
            Fortune::NoEffect => away(),
            Fortune::NoAnswer => call(state).and_then(|_| away()),
        })
    }
}

#[async_trait]
impl cluster::Cluster for Cluster {
    async fn observe(&self) -> View<ClusterView> {
        let lucky = self.world.look(|state| state.faults.cluster_errors == 0)
            || self.world.change(State::fortune) == Fortune::Good;
        self.world.look(|state| {
            if state.faults.observe_errors || !lucky {
                return View::Unknown { why: "simulated".to_owned() };
            }
            View::Known { at: state.now, value: view(state) }
        })
    }

    async fn cordon(&self, node: &NodeRef, _: &Mark) -> Result<()> {
        self.call(|state| {
            on(state, node, "cordon")?;
            let at = state.nodes.get_mut(&node.name).ok_or(Error::NotFound)?;
            if at.cordon == Cordon::None {
                at.cordon = Cordon::Ours;
            }
            Ok(())
        })
    }

    async fn uncordon(&self, node: &NodeRef) -> Result<()> {
        self.call(|state| {
            on(state, node, "uncordon")?;
            let at = state.nodes.get_mut(&node.name).ok_or(Error::NotFound)?;
            if at.cordon == Cordon::Ours {
                at.cordon = Cordon::None;
            }
            Ok(())
        })
    }

    async fn evict_step(&self, node: &NodeRef, manner: Manner) -> Result<Eviction> {
        self.call(|state| {
            if !is_there(state, node) {
                return Err(Error::NotFound);
            }
            Ok(evict(state, &node.name, manner))
        })
    }

    async fn remove_node(&self, node: &NodeRef) -> Result<()> {
        self.call(|state| {
            if is_there(state, node) {
                on(state, node, "remove_node")?;
                let removed = state.nodes.remove(&node.name);
                let id = removed.and_then(|node| node.instance);
                if let Some(machine) = id.and_then(|id| state.instances.get_mut(&id)) {
                    machine.joins = None;
                }
            }
            Ok(())
        })
    }
}

/// Whether the node is there under this very UID.
fn is_there(state: &State, node: &NodeRef) -> bool {
    state.nodes.get(&node.name).is_some_and(|at| at.uid == node.uid)
}

fn on(state: &mut State, node: &NodeRef, call: &str) -> Result<()> {
    if !is_there(state, node) {
        return Err(Error::NotFound);
    }
    let call = Call { node: Some(node.name.clone()), ..Call::new(state.now, call) };
    state.calls.push(call);
    Ok(())
}

/// Asks every pod that is to go and is not going yet, as far as its budget allows where that holds.
fn evict(state: &mut State, node: &NodeName, manner: Manner) -> Eviction {
    let here: Vec<Uid> = movable(state, node);
    let left = u32::try_from(here.len()).unwrap_or(u32::MAX);
    if here.is_empty() {
        return Eviction::Empty;
    }
    let (mut refused, mut evicted) = (None, false);
    for uid in here {
        let pod = &state.pods[&uid];
        if pod.ends.is_some() {
            continue;
        }
        let workload = state.workloads[&pod.workload].clone();
        let is_blocked = state.faults.evictions_blocked || !may_go(state, &workload);
        if manner == Manner::Evict && is_blocked {
            refused = Some(format!("the budget of {}/{}", workload.namespace, workload.name));
            continue;
        }
        let ends = duration::after(state.now, workload.grace);
        if let Some(pod) = state.pods.get_mut(&uid) {
            pod.ends = Some(ends);
            evicted = true;
        }
    }
    if evicted {
        let call = Call { node: Some(node.clone()), ..Call::new(state.now, "evict") };
        state.calls.push(call);
    }
    match refused {
        Some(by) => Eviction::Blocked { left, by },
        None => Eviction::Evicting { left },
    }
}

fn movable(state: &State, node: &NodeName) -> Vec<Uid> {
    let is_movable = |pod: &SimPod| {
        pod.node.as_ref() == Some(node)
            && state
                .workloads
                .get(&pod.workload)
                .is_some_and(|workload| workload.kind == WorkloadKind::Deployment)
    };
    state.pods.iter().filter(|(_, pod)| is_movable(pod)).map(|(uid, _)| uid.clone()).collect()
}

/// Whether a budget allows one pod more to go.
fn may_go(state: &State, workload: &Workload) -> bool {
    let serves =
        |pod: &&SimPod| pod.workload == workload.name && pod.node.is_some() && pod.ends.is_none();
    let serving = state.pods.values().filter(serves).count();
    workload.min_available.is_none_or(|min| serving > min as usize)
}

pub(super) fn view(state: &State) -> ClusterView {
    let specs: BTreeMap<&String, Arc<PodSpec>> =
        state.workloads.iter().map(|(name, workload)| (name, Arc::new(workload.spec()))).collect();
    let pods = state.pods.iter().filter_map(|(uid, pod)| {
        let workload = state.workloads.get(&pod.workload)?;
        Some(pod_view(state, uid, pod, workload, specs[&pod.workload].clone()))
    });
    ClusterView {
        uid: format!("sim-{}", state.seed).as_str().into(),
        nodes: state.nodes.iter().map(|(name, node)| Arc::new(node_view(name, node))).collect(),
        pods: pods.map(Arc::new).collect(),
        attached: Some(BTreeMap::new()),
        daemons: Vec::new(),
        namespaces: BTreeMap::new(),
    }
}

fn node_view(name: &NodeName, node: &SimNode) -> Node {
    Node {
        at: NodeRef { name: name.clone(), uid: node.uid.clone() },
        worker: node.worker.clone(),
        pool: node.pool.clone(),
        provider_id: node.instance.as_ref().map(|id| format!("sim:///{id}")),
        control_plane: node.control_plane,
        created: node.created,
        readiness: if node.ready {
            Readiness::Ready
        } else {
            Readiness::NotReady { since: node.since }
        },
        cordon: node.cordon,
        kept: None,
        allocatable: node.allocatable.clone(),
        labels: node.labels.clone(),
        taints: node.taints.clone(),
        zone: node.zone.clone(),
    }
}

fn pod_view(
    state: &State,
    uid: &Uid,
    pod: &SimPod,
    workload: &Workload,
    spec: Arc<PodSpec>,
) -> Pod {
    let mut pins = workload.pins.clone();
    if !may_go(state, workload) {
        pins.push(Pin::DisruptionBudget(workload.name.clone()));
    }
    Pod {
        uid: uid.clone(),
        name: pod.name.clone(),
        created: pod.created,
        placement: match (&pod.node, pod.unschedulable) {
            (Some(node), _) => Placement::Bound(node.clone()),
            (None, Some(since)) => Placement::Unschedulable { since },
            (None, None) => Placement::Waiting,
        },
        spec,
        kind: if workload.kind == WorkloadKind::DaemonSet {
            PodKind::Daemon
        } else {
            PodKind::Normal
        },
        pins,
        essential: workload.essential,
    }
}
