//! The provider of a whole cluster: each pool's machines by who its configuration names.

use super::guarded::GuardedConfig;
use super::{Error, Exec, Guarded, Launched, Provider, Result};
use crate::clock::Clock;
use crate::config::{ClusterConfig, ProviderConfig};
use crate::metrics::Metrics;
use crate::model::{ClusterName, ClusterUid, Instance, InstanceId, LaunchRequest, PoolName, Shape};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Calls per second that a simulated provider takes. A cloud's limit would only make its passes long: each
/// asks twice for each pool.
const SIM_RATE: u32 = 10_000;

/// Calls per second to EC2, and how many at once after a quiet time, of one pool, so that none takes all that AWS lets its account
/// ask; told to ask less, a pool asks less.
const EC2_RATE: (u32, u32) = (5, 40);

/// Each pool's own provider, guarded for itself: where one is away, the others are asked as ever.
pub struct Pools {
    cluster: ClusterName,
    /// The simulated machines of the cluster's world.
    sim: Arc<dyn Provider>,
    metrics: Arc<Metrics>,
    clock: Clock,
    made: Mutex<BTreeMap<PoolName, Made>>,
}

/// A provider, and what it was made from.
struct Made {
    config: ProviderConfig,
    call: Duration,
    provider: Result<Arc<Guarded>>,
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Pools {
    /// Of a cluster; `sim` makes the machines of simulated pools.
    pub fn new(
        cluster: ClusterName,
        sim: Arc<dyn Provider>,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Self {
        Self { cluster, sim, metrics, clock, made: Mutex::default() }
    }

    fn make(&self, config: &ProviderConfig, call: Duration) -> Result<Arc<Guarded>> {
        let inner = of(&self.cluster, config, self.clock)?.unwrap_or_else(|| self.sim.clone());
        let usual = GuardedConfig { call, ..GuardedConfig::default() };
        let (rate, burst) = match config {
            ProviderConfig::Sim { .. } => (SIM_RATE, SIM_RATE),
            ProviderConfig::Ec2(_) => EC2_RATE,
            ProviderConfig::Exec(_) | ProviderConfig::Docker(_) => (usual.rate, usual.burst),
        };
        let guards = GuardedConfig { rate, burst, ..usual };
        Ok(Arc::new(Guarded::new(inner, guards, self.metrics.clone())))
    }

    fn of(&self, pool: &PoolName) -> Result<Arc<Guarded>> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = || Error::Invalid(format!("no pool {pool} is configured"));
        made.get(pool).map_or_else(|| Err(unknown()), |made| made.provider.clone())
    }
}

/// Whom a configuration names, unguarded; nobody where machines are simulated.
pub fn of(
    cluster: &ClusterName,
    config: &ProviderConfig,
    #[cfg_attr(not(feature = "docker"), expect(unused_variables, reason = "Docker's alone"))]
    clock: Clock,
) -> Result<Option<Arc<dyn Provider>>> {
    let made: Arc<dyn Provider> = match config {
        ProviderConfig::Sim { .. } => return Ok(None),
        ProviderConfig::Exec(exec) => Arc::new(Exec::new(cluster.clone(), (**exec).clone())),
        #[cfg(feature = "docker")]
        ProviderConfig::Docker(docker) => {
            Arc::new(super::Docker::new(cluster.clone(), (**docker).clone(), clock))
        }
        #[cfg(feature = "ec2")]
        ProviderConfig::Ec2(ec2) => Arc::new(super::Ec2::new(cluster.clone(), (**ec2).clone())),
        #[cfg(not(all(feature = "docker", feature = "ec2")))]
        other => {
            let kind = other.kind();
            return Err(Error::Invalid(format!(
                "this program was built without `{kind}`; build it with the feature `{kind}`"
            )));
        }
    };
    Ok(Some(made))
}

#[async_trait]
impl Provider for Pools {
    fn follow(&self, limits: &ClusterConfig) {
        self.sim.follow(limits);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|name, _| limits.pools.contains_key(name));
        let call = limits.timing.call;
        for (name, pool) in &limits.pools {
            let is_same = |made: &Made| made.config == pool.provider && made.call == call;
            if !made.get(name).is_some_and(is_same) {
                let (config, provider) = (pool.provider.clone(), self.make(&pool.provider, call));
                made.insert(name.clone(), Made { config, call, provider });
            }
        }
    }

    async fn turn(&self, pool: &PoolName) {
        if let Ok(provider) = self.of(pool) {
            provider.turn(pool).await;
        }
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        self.of(&request.pool)?.launch(request).await
    }

    async fn terminate(
        &self,
        whose: &ClusterUid,
        pool: &PoolName,
        instance: &InstanceId,
    ) -> Result<()> {
        self.of(pool)?.terminate(whose, pool, instance).await
    }

    async fn list(&self, pool: &PoolName) -> Result<Vec<Instance>> {
        self.of(pool)?.list(pool).await
    }

    async fn shapes(&self, pool: &PoolName) -> Result<Vec<Shape>> {
        self.of(pool)?.shapes(pool).await
    }

    async fn console(&self, pool: &PoolName, instance: &InstanceId) -> Result<Option<String>> {
        self.of(pool)?.console(pool, instance).await
    }

    async fn may_end(&self, pool: &PoolName, instance: &InstanceId) -> Result<bool> {
        self.of(pool)?.may_end(pool, instance).await
    }
}
