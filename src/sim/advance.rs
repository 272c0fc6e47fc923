//! Moving a world forward: machines boot, pods are made, placed and end, counters grow.

use super::state::{SimNode, SimPod, State};
use super::workload::{Workload, WorkloadKind};
use crate::model::{
    Cordon, Effect, InstanceState, NodeName, PodSpec, Resources, Taint, ZONE_LABEL, duration,
};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::time::Duration;

/// The scheduler's time to say that a pod fits nowhere.
const JUDGEMENT: Duration = Duration::from_millis(50);
/// How long an ended machine is listed.
const LISTED: Duration = Duration::from_mins(10);
/// What a node uses for itself, as a share of its cores.
const OWN_USE: f64 = 0.02;

impl State {
    /// Brings the world to `now`, through every moment at which something happens by itself: what
    /// became of it must not depend on how often somebody looked.
    pub(super) fn advance(&mut self, now: Timestamp) {
        if now < self.now {
            return;
        }
        while let Some(next) = self.next_event().filter(|at| *at < now) {
            self.step(next);
        }
        self.step(now);
    }

    /// The next moment, after this one, at which something happens by itself.
    fn next_event(&self) -> Option<Timestamp> {
        let machines = self.instances.values().flat_map(|machine| match machine.ended {
            Some(ended) => [Some(duration::after(ended, LISTED)), None, None, None],
            None => [Some(machine.runs), machine.joins, machine.ready, machine.instance.notice],
        });
        let pods = self.pods.values().flat_map(|pod| {
            let unjudged = pod.node.is_none() && pod.unschedulable.is_none();
            [pod.ends, unjudged.then(|| duration::after(pod.created, JUDGEMENT))]
        });
        machines.chain(pods).flatten().filter(|at| *at > self.now).min()
    }

    fn step(&mut self, now: Timestamp) {
        self.count_cpu(duration::since(self.now, now).as_secs_f64());
        self.now = now;
        self.machines();
        self.end_pods();
        self.controllers();
        self.schedule();
    }

    fn count_cpu(&mut self, seconds: f64) {
        if seconds == 0.0 {
            return;
        }
        let ready = self.nodes.iter().filter(|(_, node)| node.ready);
        let used: Vec<(NodeName, f64)> =
            ready.map(|(name, _)| (name.clone(), self.used(name).0)).collect();
        for (name, used) in used {
            if let Some(node) = self.nodes.get_mut(&name) {
                #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
                let cores = node.capacity.cpu_milli as f64 / 1000.0;
                node.busy += (used + OWN_USE * cores).min(cores) * seconds;
                node.up += seconds;
            }
        }
    }

    /// Cores and bytes really used on a node.
    pub(super) fn used(&self, node: &NodeName) -> (f64, f64) {
        let pods = self.pods.values().filter(|pod| pod.node.as_ref() == Some(node));
        pods.filter_map(|pod| self.workloads.get(&pod.workload)).fold(
            (0.0, 0.0),
            |(cpu, memory), workload| {
                #[expect(clippy::cast_precision_loss, reason = "shares of resources")]
                let (asked_cpu, asked_memory) =
                    (workload.requests.cpu_milli as f64 / 1000.0, workload.requests.memory as f64);
                (cpu + workload.usage * asked_cpu, memory + workload.memory_usage * asked_memory)
            },
        )
    }

    fn machines(&mut self) {
        let now = self.now;
        let ids: Vec<_> = self.instances.keys().cloned().collect();
        for id in ids {
            let machine = &self.instances[&id];
            if machine.ended.is_some_and(|ended| duration::since(ended, now) >= LISTED) {
                self.instances.remove(&id);
                continue;
            }
            if machine.instance.notice.is_some_and(|at| at <= now) {
                self.end(&id);
            }
            self.boot(&id);
        }
        self.lose_nodes();
    }

    fn boot(&mut self, id: &crate::model::InstanceId) {
        let now = self.now;
        let Some(machine) = self.instances.get_mut(id).filter(|machine| machine.ended.is_none())
        else {
            return;
        };
        if machine.runs <= now {
            machine.instance.state = InstanceState::Running;
        }
        let name = machine.node_name();
        let is_well = machine.ready.is_some_and(|at| at <= now) && !machine.silent;
        if machine.joins.is_some_and(|at| at <= now) && !self.nodes.contains_key(&name) {
            let machine = machine.clone();
            let number = self.number();
            self.nodes.insert(name.clone(), joined(&machine, number, now));
        }
        if let Some(node) = self.nodes.get_mut(&name).filter(|node| node.ready != is_well) {
            node.ready = is_well;
            node.since = now;
        }
    }

    /// A node whose machine is gone is not Ready; its pods are gone with the machine.
    fn lose_nodes(&mut self) {
        let now = self.now;
        let is_lost = |(_, node): &(&NodeName, &SimNode)| !self.is_alive(node);
        let lost: BTreeSet<NodeName> =
            self.nodes.iter().filter(is_lost).map(|(name, _)| name.clone()).collect();
        for name in &lost {
            if let Some(node) = self.nodes.get_mut(name).filter(|node| node.ready) {
                node.ready = false;
                node.since = now;
            }
        }
        self.pods.retain(|_, pod| pod.node.as_ref().is_none_or(|node| !lost.contains(node)));
    }

    fn end_pods(&mut self) {
        let Self { now, nodes, workloads, pods, .. } = self;
        pods.retain(|_, pod| {
            pod.ends.is_none_or(|at| *now < at)
                && pod.node.as_ref().is_none_or(|node| nodes.contains_key(node))
                && workloads.contains_key(&pod.workload)
        });
    }

    /// Controllers make the pods that are missing and end those that are too many, newest first.
    fn controllers(&mut self) {
        let workloads: Vec<Workload> = self.workloads.values().cloned().collect();
        for workload in workloads {
            match workload.kind {
                WorkloadKind::Deployment => self.replicas(&workload),
                WorkloadKind::DaemonSet => self.daemons(&workload),
            }
        }
    }

    fn replicas(&mut self, workload: &Workload) {
        let ours = |pod: &SimPod| pod.workload == workload.name && pod.ends.is_none();
        let have = self.pods.values().filter(|pod| ours(pod)).count();
        let want = workload.replicas as usize;
        for _ in have..want {
            self.make_pod(workload, None);
        }
        if have > want {
            let mut pods: Vec<_> = self
                .pods
                .iter()
                .filter(|(_, pod)| ours(pod))
                .map(|(uid, pod)| (uid.clone(), pod.clone()))
                .collect();
            // Pods without a place go first, then the newest: as a ReplicaSet does.
            pods.sort_by_key(|(uid, pod)| {
                (pod.node.is_some(), std::cmp::Reverse((pod.created, uid.clone())))
            });
            for (uid, _) in pods.into_iter().take(have - want) {
                self.pods.remove(&uid);
            }
        }
    }

    /// One pod on each node that admits it. A node whose machine is gone gets none: it would be lost
    /// and made again at every look.
    fn daemons(&mut self, workload: &Workload) {
        let spec = workload.spec();
        let nodes =
            self.nodes.iter().filter(|(_, node)| self.is_alive(node) && admits(node, &spec));
        let mut bare: BTreeSet<NodeName> = nodes.map(|(name, _)| name.clone()).collect();
        self.pods.retain(|_, pod| {
            pod.workload != workload.name || pod.node.as_ref().is_some_and(|node| bare.remove(node))
        });
        for node in bare {
            self.make_pod(workload, Some(node));
        }
    }

    /// Whether there is a machine under the node, as far as it ever had one.
    fn is_alive(&self, node: &SimNode) -> bool {
        let runs = |id| self.instances.get(id).is_some_and(|machine| machine.ended.is_none());
        node.instance.as_ref().is_none_or(runs)
    }

    fn make_pod(&mut self, workload: &Workload, node: Option<NodeName>) {
        let number = self.number();
        let pod = SimPod {
            workload: workload.name.clone(),
            name: format!("{}-{number}", workload.name),
            created: self.now,
            node,
            unschedulable: None,
            ends: None,
        };
        self.pods.insert(format!("pod-{number:06}").as_str().into(), pod);
    }

    /// A scheduler of its own, simpler than Kubernetes' and not the one that plans.
    fn schedule(&mut self) {
        let now = self.now;
        let waiting: Vec<_> = self
            .pods
            .iter()
            .filter(|(_, pod)| pod.node.is_none())
            .map(|(uid, _)| uid.clone())
            .collect();
        if waiting.is_empty() {
            return;
        }
        let mut free: Vec<(NodeName, Resources)> = self.open_nodes();
        for uid in waiting {
            let workload = self.workloads[&self.pods[&uid].workload].clone();
            let spec = workload.spec();
            let fits = |(name, room): &&mut (NodeName, Resources)| {
                spec.requests.fits_in(room) && admits(&self.nodes[name], &spec)
            };
            // The node with the most room, as kube-scheduler's default spreads.
            let best = free
                .iter_mut()
                .filter(fits)
                .max_by_key(|(name, room)| (room.cpu_milli, std::cmp::Reverse(name.clone())));
            let place = best.map(|(name, room)| {
                room.subtract(&spec.requests);
                name.clone()
            });
            if let Some(pod) = self.pods.get_mut(&uid) {
                if place.is_some() {
                    pod.unschedulable = None;
                } else if duration::since(pod.created, now) >= JUDGEMENT {
                    pod.unschedulable = pod.unschedulable.or(Some(now));
                }
                pod.node = place;
            }
        }
    }

    fn open_nodes(&self) -> Vec<(NodeName, Resources)> {
        let open = self.nodes.iter().filter(|(_, node)| node.ready && node.cordon == Cordon::None);
        open.map(|(name, node)| (name.clone(), self.free(name, node))).collect()
    }

    fn free(&self, name: &NodeName, node: &SimNode) -> Resources {
        let mut free = node.allocatable.clone();
        for pod in self.pods.values().filter(|pod| pod.node.as_ref() == Some(name)) {
            if let Some(workload) = self.workloads.get(&pod.workload) {
                free.subtract(&workload.spec().requests);
            }
        }
        free
    }
}

impl Workload {
    /// What its pods ask of a node.
    pub(super) fn spec(&self) -> PodSpec {
        let mut requests = self.requests.clone();
        requests.pods = 1;
        PodSpec {
            namespace: self.namespace.clone(),
            requests,
            node_selector: self.node_selector.clone(),
            tolerations: self.tolerations.clone(),
            ..PodSpec::default()
        }
    }
}

fn admits(node: &SimNode, spec: &PodSpec) -> bool {
    let selected =
        spec.node_selector.iter().all(|(key, value)| node.labels.get(key) == Some(value));
    let bears = |taint: &Taint| {
        taint.effect == Effect::PreferNoSchedule
            || spec.tolerations.iter().any(|toleration| toleration.covers(taint))
    };
    selected && node.taints.iter().all(bears)
}

fn joined(machine: &super::state::Machine, number: u64, now: Timestamp) -> SimNode {
    let instance = &machine.instance;
    let mut allocatable = machine.capacity.clone();
    allocatable.subtract(&super::provider::reserved());
    let mut labels = machine.labels.clone();
    labels.insert(ZONE_LABEL.to_owned(), instance.zone.to_string());
    labels.insert("pool".to_owned(), instance.pool.to_string());
    SimNode {
        uid: format!("node-uid-{number}").as_str().into(),
        instance: Some(instance.id.clone()),
        worker: instance.worker.clone(),
        pool: Some(instance.pool.clone()),
        zone: Some(instance.zone.clone()),
        control_plane: false,
        created: now,
        ready: false,
        since: now,
        cordon: Cordon::None,
        capacity: machine.capacity.clone(),
        allocatable,
        labels,
        taints: machine.taints.clone(),
        busy: 0.0,
        up: 0.0,
    }
}
