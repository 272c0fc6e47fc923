//! A simulated world: machines, nodes and pods that exist only here.
//!
//! One seeded world plays provider ([`Provider`]) and cluster ([`Cluster`]) at once, and serves the
//! metrics that the shipped rules read. It moves when it is looked at: every call first brings it to
//! the clock's time, so it lives in real time in the demo and in virtual time in tests. The same
//! seed and the same calls at the same times make the same world. One that is kept in a file is shared
//! by all processes that name the file.

mod advance;
pub mod alertmanager;
mod cluster;
pub mod control;
mod fence;
mod file;
mod metrics;
mod provider;
mod state;
mod workload;

pub use cluster::Cluster;
pub use fence::Witness;
pub use provider::Provider;
pub use state::{Call, Faults};
pub use workload::{Workload, WorkloadKind};

use crate::clock::Clock;
use crate::cluster::fence::Lease;
use crate::config::SimConfig;
use crate::model::{ClusterView, Cordon, Instance, InstanceId, NodeName, duration};
use file::Kept;
use serde_json::{Value, json};
use state::State;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A world, cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    config: Arc<SimConfig>,
    clock: Clock,
    known: Arc<Mutex<Known>>,
}

/// What this process knows of a world.
#[derive(Debug)]
struct Known {
    state: State,
    /// Where it is kept, if it is.
    kept: Option<Kept>,
}

/// What a world refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file it is kept in cannot be read or written.
    #[error("sim.state {path} cannot be used")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no such machine or node.
    #[error("the world has no machine or node {0}")]
    NotFound(String),
    /// A workload that cannot be.
    #[error("workload {name}: {mend}")]
    Workload {
        /// Its name.
        name: String,
        /// What to change.
        mend: &'static str,
    },
}

impl World {
    /// A new world, or the one kept in the configured file.
    pub fn new(config: &SimConfig, clock: Clock) -> Result<Self, Error> {
        let state = State::new(config.seed, clock.now());
        let kept = config.state.as_deref().map(Kept::new).transpose();
        let opened = kept.and_then(|kept| {
            let mut known = Known { state, kept };
            known.alone(clock, |_| Ok(()))?;
            Ok(known)
        });
        let known = opened.map_err(|source| Error::File {
            path: config.state.as_deref().unwrap_or(Path::new("")).display().to_string(),
            source,
        })?;
        Ok(Self { config: Arc::new(config.clone()), clock, known: Arc::new(Mutex::new(known)) })
    }

    /// Sets how many pods a workload has, and of what kind; a new name is a new workload.
    pub fn set_workload(&self, mut workload: Workload) -> Result<(), Error> {
        let refuse = |mend| Err(Error::Workload { name: workload.name.clone(), mend });
        if workload.name.is_empty() {
            return refuse("give it a name");
        }
        if !(0.0..=10.0).contains(&workload.usage) || !(0.0..=10.0).contains(&workload.memory_usage)
        {
            return refuse("usage and memory_usage are shares from 0 to 10");
        }
        workload.requests.pods = 1;
        self.change(|state| state.workloads.insert(workload.name.clone(), workload));
        Ok(())
    }

    /// Ends a workload and its pods.
    pub fn remove_workload(&self, name: &str) {
        self.change(|state| state.workloads.remove(name));
    }

    /// A machine is gone at once, named by its instance or its node.
    pub fn kill(&self, name: &str) -> Result<(), Error> {
        self.change(|state| {
            let by_node =
                state.nodes.get(&NodeName::new(name)).and_then(|node| node.instance.clone());
            let id = by_node.unwrap_or_else(|| InstanceId::new(name));
            if !state.instances.contains_key(&id) {
                return Err(Error::NotFound(name.to_owned()));
            }
            state.end(&id);
            Ok(())
        })
    }

    /// The provider will take a machine back, and says so before.
    pub fn notice(&self, instance: &str, ahead: Duration) -> Result<(), Error> {
        self.change(|state| {
            let at = duration::after(state.now, ahead);
            let machine = state.instances.get_mut(&InstanceId::new(instance));
            machine.ok_or_else(|| Error::NotFound(instance.to_owned()))?.instance.notice = Some(at);
            Ok(())
        })
    }

    /// The kubelet of a machine falls silent: its node is not Ready from now on.
    pub fn silence_kubelet(&self, instance: &str) -> Result<(), Error> {
        self.change(|state| {
            let machine = state.instances.get_mut(&InstanceId::new(instance));
            machine.ok_or_else(|| Error::NotFound(instance.to_owned()))?.silent = true;
            Ok(())
        })
    }

    /// Every kubelet that fell silent speaks again.
    pub fn every_kubelet_speaks(&self) {
        self.change(|state| {
            state.instances.values_mut().for_each(|machine| machine.silent = false);
        });
    }

    /// A machine registers anew: under another name, and its old node stays behind and is not Ready; or,
    /// where its node is deleted (`is_deleted`), under its old name as another node. Pods of the old one are lost.
    pub fn register_anew(&self, instance: &str, is_deleted: bool) -> Result<(), Error> {
        self.change(|state| {
            let machine = state.instances.get_mut(&InstanceId::new(instance));
            let machine = machine.ok_or_else(|| Error::NotFound(instance.to_owned()))?;
            let old = machine.node_name();
            if is_deleted {
                state.nodes.remove(&old);
            } else {
                machine.renames += 1;
                let now = state.now;
                if let Some(node) = state.nodes.get_mut(&old) {
                    (node.ready, node.since) = (false, now);
                }
            }
            state.pods.retain(|_, pod| pod.node.as_ref() != Some(&old));
            Ok(())
        })
    }

    /// A person cordons a node.
    pub fn cordon_by_hand(&self, node: &str) -> Result<(), Error> {
        self.change(|state| {
            let node = state
                .nodes
                .get_mut(&NodeName::new(node))
                .ok_or_else(|| Error::NotFound(node.to_owned()))?;
            node.cordon = Cordon::Foreign;
            Ok(())
        })
    }

    /// Every cordon of a person is taken back.
    pub fn uncordon_by_hand(&self) {
        self.change(|state| {
            for node in state.nodes.values_mut().filter(|node| node.cordon == Cordon::Foreign) {
                node.cordon = Cordon::None;
            }
        });
    }

    /// Adds a running machine that carries a tag of our pool and another cluster's UID; it never
    /// joins. The pool is the last one launched for, or `workers`.
    pub fn add_foreign_instance(&self) -> InstanceId {
        self.change(provider::add_foreign)
    }

    /// A node of somebody else's joins: no machine of ours, no worker, and room for pods.
    pub fn add_stranger(&self) -> NodeName {
        self.change(|state| {
            let number = state.number();
            let name = NodeName::new(format!("stranger-{number}"));
            state.nodes.insert(name.clone(), state::stranger(state.now, number));
            name
        })
    }

    /// The provider will refuse to end a machine.
    ///
    /// # Errors
    /// There is no such machine.
    pub fn protect(&self, instance: &str) -> Result<(), Error> {
        self.change(|state| {
            let machine = state.instances.get_mut(&InstanceId::new(instance));
            machine.ok_or_else(|| Error::NotFound(instance.to_owned()))?.instance.protected = true;
            Ok(())
        })
    }

    /// It will refuse for none.
    pub fn unprotect_all(&self) {
        self.change(|state| {
            state.instances.values_mut().for_each(|machine| machine.instance.protected = false);
        });
    }

    /// What goes wrong now.
    pub fn faults(&self) -> Faults {
        self.look(|state| state.faults.clone())
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.change(|state| state.faults = faults);
    }

    /// Every call that changed the world, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.look(|state| state.calls.clone())
    }

    /// Every machine there is or was, as it really is, whatever goes wrong with telling it.
    pub fn machines(&self) -> Vec<Instance> {
        self.look(|state| state.instances.values().map(|one| one.instance.clone()).collect())
    }

    /// Nodes and pods, as they really are.
    pub fn view(&self) -> ClusterView {
        self.look(cluster::view)
    }

    /// Who may act, as the cluster has it.
    pub fn lease(&self) -> Lease {
        self.look(|state| state.lease.clone())
    }

    /// Nodes, machines, pods and calls, for people and tests.
    pub fn summary(&self) -> Value {
        self.look(|state| {
            let placed = state.pods.values().filter(|pod| pod.node.is_some()).count();
            let unschedulable = state.pods.values().filter(|pod| pod.unschedulable.is_some()).count();
            json!({
                "now": state.now,
                "nodes": state.nodes.iter().map(|(name, node)| json!({
                    "name": name, "ready": node.ready, "cordon": node.cordon, "worker": node.worker,
                })).collect::<Vec<_>>(),
                "instances": state.instances.values().map(|machine| &machine.instance).collect::<Vec<_>>(),
                "pods": {
                    "placed": placed,
                    "waiting": state.pods.len() - placed,
                    "unschedulable": unschedulable,
                },
                "workloads": state.workloads,
                "faults": state.faults,
                "calls": state.calls,
            })
        })
    }

    pub(crate) fn config(&self) -> Arc<SimConfig> {
        self.config.clone()
    }

    /// Looks at the world as it is now.
    fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.alone(|known| Ok(look(&known.state)))
    }

    /// Changes the world as it is now; written down before the answer.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.alone(|known| {
            let answer = change(&mut known.state);
            // What follows at once from the change is part of it, whoever looks next and when.
            let now = known.state.now;
            known.state.advance(now);
            if let Some(kept) = &mut known.kept {
                kept.write(&known.state)?;
            }
            Ok(answer)
        })
    }

    /// Alone with the world as it is now, whoever changed it last.
    fn alone<T>(&self, act: impl FnOnce(&mut Known) -> io::Result<T>) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.alone(self.clock, act).unwrap_or_else(|error| {
            // The world is a test's: going on with one that is not written down would lie to it.
            let path = self.config.state.as_deref().unwrap_or(Path::new("")).display();
            panic!("sim.state {path}: {error}")
        })
    }
}

impl Known {
    fn alone<T>(
        &mut self,
        clock: Clock,
        act: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        let _alone = self.kept.as_ref().map(Kept::alone).transpose()?;
        if let Some(kept) = &mut self.kept
            && let Some(news) = kept.news()?
        {
            self.state = news;
        }
        let now = clock.now();
        // Each change brings the world to its own moment: at that moment nothing more happens.
        if self.state.now < now {
            self.state.advance(now);
        }
        act(self)
    }
}

#[cfg(test)]
mod tests;
