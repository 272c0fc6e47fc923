//! The kubelets of simulated machines on a real control plane: they join, and are heard of no more when their machine ends.
//! They are played, as far as kwok does not do it, or real ones in containers.

use super::control_plane::{self, ControlPlane, FakeNode, create};
use super::dockerd::Dockerd;
use bellwether::model::{Instance, InstanceState, POOL_LABEL, WORKER_LABEL, ZONE_LABEL};
use bellwether::sim::World;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;

pub(crate) struct Kubelets {
    world: World,
    nodes: Api<Node>,
    /// Workers that are nodes.
    joined: Mutex<BTreeSet<String>>,
    real: Option<Real>,
}

/// Where real ones run, and what leads them to the control plane.
struct Real {
    dockerd: Dockerd,
    server: String,
    ca: PathBuf,
}

/// The node of a worker.
pub(crate) fn node_of(worker: &str) -> String {
    format!("node-{worker}")
}

impl Kubelets {
    pub(crate) fn new(world: World, client: kube::Client) -> Self {
        Self { world, nodes: Api::all(client), joined: Mutex::default(), real: None }
    }

    /// Real ones.
    pub(crate) async fn real(world: World, plane: &ControlPlane, dockerd: Dockerd) -> Self {
        let real = Real { dockerd, server: plane.url(), ca: plane.ca_file() };
        Self { real: Some(real), ..Self::new(world, plane.client().await) }
    }

    /// What the real ones run in.
    pub(crate) fn dockerd(&self) -> &Dockerd {
        &self.real.as_ref().unwrap().dockerd
    }

    /// Machines that run and did not join yet become nodes.
    pub(crate) async fn join(&self) {
        for machine in self.running() {
            let Some(worker) = &machine.worker else { continue };
            if !self.joined.lock().unwrap().insert(worker.to_string()) {
                continue;
            }
            let labels = [
                (WORKER_LABEL, worker.as_str()),
                (POOL_LABEL, machine.pool.as_str()),
                (ZONE_LABEL, machine.zone.as_str()),
                ("node.kubernetes.io/instance-type", machine.shape.as_str()),
            ];
            let name = node_of(worker.as_str());
            if let Some(Real { dockerd, server, ca }) = &self.real {
                dockerd.run(&name, &labels, server, ca).await;
                continue;
            }
            let node =
                FakeNode { name: &name, labels: &labels, memory: "16Gi", ..FakeNode::default() };
            create(&self.nodes, node.json()).await;
        }
    }

    /// The kubelet of a worker registers once more, at the next look.
    pub(crate) fn register_again(&self, worker: &str) {
        assert!(self.joined.lock().unwrap().remove(worker));
    }

    /// Nodes whose machines ended are not Ready. Where they are real, that takes the control plane some seconds.
    pub(crate) async fn end(&self) {
        let running = self.running();
        let runs = |worker: &String| {
            running.iter().any(|one| one.worker.as_ref().is_some_and(|id| id.as_str() == worker))
        };
        let ended: Vec<String> =
            self.joined.lock().unwrap().extract_if(.., |worker| !runs(worker)).collect();
        for worker in ended {
            match &self.real {
                Some(real) => real.dockerd.remove(&node_of(&worker)).await,
                None => self.silence(&worker).await,
            }
        }
    }

    /// The kubelet of a worker is heard of no more.
    pub(crate) async fn silence(&self, worker: &str) {
        control_plane::silence(&self.nodes, &node_of(worker)).await;
    }

    /// Machines that run and belong to this cluster: foreign ones join another.
    fn running(&self) -> Vec<Instance> {
        let machines = self.world.machines().into_iter();
        let runs =
            |machine: &Instance| machine.state == InstanceState::Running && machine.batch.is_some();
        machines.filter(runs).collect()
    }
}
