//! One small function per part.

use super::App;
use crate::clock::Clock;
use crate::cluster::kube::Kube;
use crate::cluster::{Cluster, fence::Fence};
use crate::config::{ClusterConfig, Config, ServiceConfig};
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
    config.clusters.get(name)?.kubernetes.sim.listen
}

/// A name for this process that no other has, also after a restart.
fn holder() -> String {
    format!("{}-{:08x}", std::process::id(), rand::rng().random::<u32>())
}

/// A cluster and its witness: the real ones, or those of the simulated world.
async fn cluster(
    limits: &ClusterConfig,
    world: &World,
    clock: Clock,
) -> anyhow::Result<(Arc<dyn Cluster>, Arc<dyn Fence>)> {
    let Some(real) = &limits.kubernetes.real else {
        let (cluster, witness) =
            (sim::Cluster::new(world.clone()), sim::Witness::new(world.clone()));
        return Ok((Arc::new(cluster), Arc::new(witness)));
    };
    let at = |why| anyhow::anyhow!("clusters.{}.kubernetes.{why}", limits.name);
    let kube = Kube::connect(real, limits, clock).await.map_err(at)?;
    let witness = kube.witness();
    Ok((Arc::new(kube), Arc::new(witness)))
}

impl App {
    pub(super) async fn add_cluster(
        &mut self,
        limits: &ClusterConfig,
        clock: Clock,
    ) -> anyhow::Result<()> {
        let name = limits.name.clone();
        let world = World::new(&limits.kubernetes.sim, clock)?;
        let (cluster, fence) = cluster(limits, &world, clock).await?;
        let sim = Arc::new(sim::Provider::new(world.clone()));
        let pools = provider::Pools::new(name.clone(), sim, self.metrics.clone(), clock);
        let parts = Parts {
            store: self.store.clone(),
            provider: Arc::new(pools),
            cluster,
            fence,
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
