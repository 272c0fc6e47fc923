//! One small function per part.

use super::App;
use crate::clock::Clock;
use crate::config::{ClusterConfig, Config, KubernetesConfig, ServiceConfig};
use crate::model::ClusterName;
use crate::reconcile::{Parts, Reconciler};
use crate::sim::{self, World};
use crate::store::{self, Store};
use crate::{alertmanager, http, prometheus, provider};
use anyhow::Context as _;
use rand::RngExt as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Calls per second that a simulated provider takes. A cloud's limit would only make its passes long: each
/// asks twice for each pool.
const SIM_RATE: u32 = 10_000;

pub(super) fn store(
    config: &watch::Receiver<Arc<Config>>,
    clock: Clock,
) -> anyhow::Result<Arc<dyn Store>> {
    store::connect(config, clock).context("store.url cannot be opened")
}

pub(super) fn listener(service: &ServiceConfig) -> anyhow::Result<TcpListener> {
    let taken = || format!("listen: cannot bind {}; is another process using it?", service.listen);
    http::bind(service.listen).with_context(taken)
}

/// The address of a cluster's world, where it is to be served.
pub(super) fn sim_listen(config: &Config, name: &ClusterName) -> Option<SocketAddr> {
    match &config.clusters.get(name)?.kubernetes {
        KubernetesConfig::Sim(sim) => sim.listen,
    }
}

/// A name for this process that no other has, also after a restart.
fn holder() -> String {
    format!("{}-{:08x}", std::process::id(), rand::rng().random::<u32>())
}

impl App {
    pub(super) fn add_cluster(
        &mut self,
        limits: &ClusterConfig,
        clock: Clock,
    ) -> anyhow::Result<()> {
        let name = limits.name.clone();
        let KubernetesConfig::Sim(sim) = &limits.kubernetes;
        let world = World::new(sim, clock)?;
        let guarded = provider::guarded::GuardedConfig {
            call: limits.timing.call,
            rate: SIM_RATE,
            burst: SIM_RATE,
            ..Default::default()
        };
        let machines = Arc::new(sim::Provider::new(world.clone()));
        let parts = Parts {
            store: self.store.clone(),
            provider: Arc::new(provider::Guarded::new(machines, guarded, self.metrics.clone())),
            cluster: Arc::new(sim::Cluster::new(world.clone())),
            fence: Arc::new(sim::Witness::new(world.clone())),
            alertmanager: Arc::new(alertmanager::Http::new(
                &limits.alertmanager,
                self.metrics.clone(),
            )),
            prometheus: Arc::new(prometheus::Http::new(&limits.prometheus, self.metrics.clone())),
            metrics: self.metrics.clone(),
            config: self.config.clone(),
            clock,
        };
        self.loops.insert(name.clone(), Reconciler::new(name.clone(), parts, &holder()));
        self.worlds.insert(name, world);
        Ok(())
    }
}
