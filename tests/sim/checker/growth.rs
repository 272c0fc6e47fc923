//! What must hold before anything is added.

use super::Checker;
use super::identity::{is_live, is_ours, record_of, record_of_node};
use crate::scenario::CLUSTER;
use bellwether::model::{
    BatchId, ClusterName, Instance, Intent, LaunchRequest, Memory, Node, Permit, Pod, PoolName,
    Purpose, Uid, Worker, WorkerState, duration,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How many pods of any workload fit on a worker.
const PODS_OF_A_WORKER: usize = 2;

/// How many workers an alert asks for that is no need of pods.
const STEP: usize = 1;

/// How many a person asks for, at most.
const WISH: usize = 2;

impl Checker {
    /// A machine is asked for.
    pub(crate) async fn launch(&self, replica: usize, request: &LaunchRequest) {
        let memory = self.memory().await;
        let first = request.orders.first().map(|order| &order.worker);
        self.any_act(replica, "launch", first).await;
        self.state().ordered.insert(request.batch.clone(), request.orders.len());
        let Some(intent) = memory.intents.get(&request.batch) else {
            return self.violated("I8", format!("no intent for {}", request.batch));
        };
        if intent.request != *request {
            self.violated(
                "I2",
                format!("another request than was written down: {}", request.batch),
            );
        }
        self.at_most_max(request, &intent.permit, &memory);
        self.no_more_than_asked(intent, &memory);
        self.once(&intent.pods, request, &memory);
        if matches!(intent.permit, Permit::Up { .. }) && intent.pods.is_empty() {
            self.not_cooling(&request.pool, &request.batch);
        }
        let word = match intent.permit {
            Permit::Restore => "restore",
            Permit::Manual => "manual",
            Permit::Replace { .. } | Permit::Notice => "replace",
            _ => "up",
        };
        self.not_paused(replica, (word, "launch"), &request.pool, &memory);
    }

    /// I1: never above `max`, but for what replaces.
    fn at_most_max(&self, request: &LaunchRequest, permit: &Permit, memory: &Memory) {
        let (_, max) = self.bounds(&request.pool);
        let surge = match permit {
            Permit::Replace { .. } | Permit::Notice => self.surge(&request.pool),
            _ => self.surge(&request.pool).min(replaced(memory, &request.pool)),
        };
        let counts = |machine: &&Instance| {
            is_live(machine)
                && machine.batch.as_ref() != Some(&request.batch)
                && record_of(memory, machine).is_none_or(Worker::is_serving)
                && is_ours(machine, memory)
        };
        let there = self.machines(&request.pool).iter().filter(counts).count();
        let then = there + request.orders.len();
        if then > (max + surge) as usize {
            self.violated("I1", format!("{then} workers of pool {}, max {max}", request.pool));
        }
    }

    /// I2: no more machines than there is a need for: so many that each has its pods, one for a step, two for a person, what `min` or a forecast lacks,
    /// and one for each that is replaced.
    fn no_more_than_asked(&self, intent: &Intent, memory: &Memory) {
        let Intent { request, permit, pods, .. } = intent;
        let min = self.recent_bounds(&request.pool).into_iter().map(|(min, _)| min).max();
        let most = match permit {
            Permit::Up { .. } | Permit::Need => {
                let foretold = self.forecast_lacks(&request.batch, &request.pool, memory);
                pods.len().div_ceil(PODS_OF_A_WORKER).max(STEP).max(foretold)
            }
            Permit::Restore => min.unwrap_or_default() as usize,
            Permit::Manual => WISH,
            _ => self.surge(&request.pool).max(1) as usize,
        };
        let asked = request.orders.len();
        if asked > most {
            let (batch, pods) = (&request.batch, pods.len());
            self.violated("I2", format!("{asked} machines in {batch}, {permit:?} and {pods} pods"));
        }
    }

    fn surge(&self, pool: &PoolName) -> u32 {
        let config = self.config.borrow().clone();
        config.clusters[&ClusterName::from(CLUSTER)].pools.get(pool).map_or(1, |pool| pool.surge)
    }

    /// I2: no pod is launched for again while the batch that is for it is on its way. Where a worker came to
    /// nothing meanwhile, some pods are a need again, and nobody can say which; and so is a pod whose room on it another
    /// pod was given, which could have gone elsewhere: the scheduler decides that.
    fn once(&self, pods: &[Uid], request: &LaunchRequest, memory: &Memory) {
        let now = self.now();
        for pod in pods {
            let before =
                self.state().launched_for.insert(pod.clone(), (request.batch.clone(), now));
            let Some((before, at)) = before.filter(|(batch, _)| *batch != request.batch) else {
                continue;
            };
            let failed = |worker: &Worker| {
                worker.purpose.is_none()
                    && worker.since >= at
                    && !worker.is_coming()
                    && worker.state != WorkerState::Ready
            };
            let mut its =
                memory.workers.values().filter(|worker| worker.batch.as_ref() == Some(&before));
            let is_coming = !memory.workers.values().any(failed) && its.any(Worker::is_coming);
            let is_excused =
                || self.is_taken(&before, memory) || self.is_short(pod, request, memory);
            if is_coming && !is_excused() {
                self.violated("I2", format!("pod {pod} is launched for, and {before} comes"));
            }
        }
    }

    /// Whether more pods wait than all that comes has room for, or more of those that may stand nowhere but where this
    /// one may. Then some of them are a need, and which ones is the packing's to say: a new pod may be given the room
    /// that was bought for an older one, and one that may stand anywhere the room of one that may not.
    fn is_short(&self, pod: &Uid, request: &LaunchRequest, memory: &Memory) -> bool {
        let comes =
            |worker: &&Worker| worker.is_coming() && worker.batch.as_ref() != Some(&request.batch);
        let coming: Vec<&Worker> = memory.workers.values().filter(comes).collect();
        let view = self.view();
        let waiting: Vec<_> = view.pods.iter().filter(|pod| pod.node().is_none()).collect();
        let own = waiting.iter().find(|waits| waits.uid == *pod).and_then(|pod| tier(pod));
        let mut bounds = [None, own].into_iter();
        bounds.any(|bound| {
            let is_bound = |pod: &&&Arc<Pod>| bound.is_none_or(|name| tier(pod) == Some(name));
            let is_home = |worker: &&&Worker| bound.is_none_or(|name| worker.pool.as_str() == name);
            let room = coming.iter().filter(is_home).count() * PODS_OF_A_WORKER;
            waiting.iter().filter(is_bound).count() > room
        })
    }

    /// Whether a pod that a batch was not launched for stands on a worker of it.
    fn is_taken(&self, batch: &BatchId, memory: &Memory) -> bool {
        let view = self.view();
        let is_its = |node: &&Node| {
            record_of_node(memory, node).is_some_and(|worker| worker.batch.as_ref() == Some(batch))
        };
        let nodes: BTreeSet<_> = view.nodes().filter(is_its).map(|node| &node.at.name).collect();
        let state = self.state();
        view.pods
            .iter()
            .filter(|pod| pod.node().is_some_and(|node| nodes.contains(node)))
            .any(|pod| state.launched_for.get(&pod.uid).is_none_or(|(meant, _)| meant != batch))
    }

    /// I2: what alerts ask for without pods is served once in a cooldown, however often it is delivered.
    fn not_cooling(&self, pool: &PoolName, batch: &BatchId) {
        let now = self.now();
        let before = self.state().stepped.insert(pool.clone(), (batch.clone(), now));
        let cooldown = {
            let config = self.config.borrow().clone();
            let pools = &config.clusters[&ClusterName::from(CLUSTER)].pools;
            pools.get(pool).map_or(Duration::ZERO, |pool| pool.cooldown.up)
        };
        // A launch whose answer was lost is asked for again under its own batch: that is no second one.
        if let Some((_, before)) = before.filter(|(before, _)| before != batch)
            && duration::since(before, now) < cooldown
        {
            self.violated("I2", format!("pool {pool} grew by a step at {before} already"));
        }
    }

    /// I2: an order makes one machine, however often it is asked: no two bear one name, and no batch has more than were ordered.
    pub(crate) fn no_twins(&self) {
        let config = self.config.borrow().clone();
        for (pool, limits) in &config.clusters[&ClusterName::from(CLUSTER)].pools {
            let mut names = BTreeSet::new();
            let mut had: BTreeMap<BatchId, usize> = BTreeMap::new();
            for machine in self.machines(pool) {
                if let Some(batch) = &machine.batch {
                    *had.entry(batch.clone()).or_default() += 1;
                    // Otherwise a kind of machine that this is to play would not be there.
                    assert_eq!(machine.worker.is_some(), limits.provider.names_workers());
                }
                if let Some(worker) = &machine.worker
                    && !names.insert(worker.clone())
                {
                    self.violated("I2", format!("two machines for {worker}"));
                }
            }
            let ordered =
                |batch: &BatchId| self.state().ordered.get(batch).copied().unwrap_or_default();
            for (batch, count) in had.into_iter().filter(|(batch, count)| *count > ordered(batch)) {
                self.violated("I2", format!("{count} machines for {batch}"));
            }
        }
    }
}

/// The only pool whose workers a pod may stand on: each one's nodes carry its name as their tier.
fn tier(pod: &Pod) -> Option<&str> {
    pod.spec.node_selector.get("tier").map(String::as_str)
}

/// How many workers of a pool are being replaced.
fn replaced(memory: &Memory, pool: &PoolName) -> u32 {
    let waiting = memory.pools.get(pool).map_or(0, |memory| memory.replacing.len());
    let leaving = memory.workers.values().filter(|worker| {
        worker.pool == *pool
            && worker.is_live()
            && matches!(worker.purpose, Some(Purpose::Replace | Purpose::Notice))
    });
    u32::try_from(waiting + leaving.count()).unwrap_or(u32::MAX)
}
