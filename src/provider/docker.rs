//! Workers as containers: each is a k3s agent, on one of several Dockers, which are the zones.
//!
//! A container's name is its worker's, which is never used twice; all else that we know of it stands in its labels, so that
//! what we did not make, a compose project's among them, is never listed and never touched.

mod container;
mod host;
mod image;
mod lately;
mod volumes;

use self::container::{Agent, Whose};
use self::host::Host;
use super::{Error, Launched, LeftBehind, Provider, Result};
use crate::clock::Clock;
use crate::config::{DockerConfig, ShapeConfig};
use crate::model::{
    ClusterName, ClusterUid, Instance, InstanceId, InstanceState, LaunchRequest, Market, Offering,
    Order, PoolName, Resources, Shape, WorkerId, Zone, duration,
};
use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::{self, StreamExt as _};
use std::fmt;
use std::time::Duration;

/// Containers of one pool.
pub struct Docker {
    cluster: ClusterName,
    config: DockerConfig,
    clock: Clock,
    hosts: Vec<Host>,
}

impl fmt::Debug for Docker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Docker").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// How long the clearing away of volumes may hold what it follows.
const SWEEP: Duration = Duration::from_secs(2);

/// How long a launch has to start what it made, asked again included.
const UNSTARTED: Duration = Duration::from_mins(2);

/// What came of one order.
type Made = std::result::Result<(InstanceId, Offering), Error>;

impl Docker {
    /// Of a cluster. Reaches nobody yet.
    pub fn new(cluster: ClusterName, config: DockerConfig, clock: Clock) -> Self {
        let hosts = config.hosts.iter().map(|(zone, host)| Host::new(zone, host, clock)).collect();
        Self { cluster, config, clock, hosts }
    }

    fn whose<'a>(&'a self, pool: &'a PoolName) -> Whose<'a> {
        Whose { cluster: &self.cluster, pool }
    }

    /// The Docker of a machine, and its container there.
    fn place<'i>(&self, instance: &'i InstanceId) -> Option<(&Host, &'i str)> {
        let (zone, id) = instance.as_str().split_once('/')?;
        Some((self.hosts.iter().find(|host| host.zone.as_str() == zone)?, id))
    }

    /// All of a pool, from every Docker.
    async fn all(&self, pool: &PoolName) -> Result<Vec<Instance>> {
        let whose = self.whose(pool);
        let lists = try_join_all(self.hosts.iter().map(|host| host.list(whose))).await?;
        Ok(lists.into_iter().flatten().collect())
    }

    /// Makes one where it is ordered, or where the first of the others has room.
    async fn fulfil(
        &self,
        request: &LaunchRequest,
        order: &Order,
    ) -> (Made, Vec<(Offering, Error)>) {
        let mut short = Vec::new();
        let mut others = request.fallback.iter().filter(|one| !one.is_same(&order.offering));
        let mut offering = &order.offering;
        loop {
            match self.make(request, &order.worker, offering).await {
                Ok(id) => return (Ok((id, offering.clone())), short),
                Err(error @ Error::Capacity(_)) => {
                    short.push((offering.clone(), error.clone()));
                    let Some(next) = others.next() else { return (Err(error), short) };
                    offering = next;
                }
                Err(error) => return (Err(error), short),
            }
        }
    }

    async fn make(
        &self,
        request: &LaunchRequest,
        worker: &WorkerId,
        offering: &Offering,
    ) -> Result<InstanceId> {
        let invalid = |what: String| Error::Invalid(what);
        let shape = self.config.shapes.iter().find(|one| one.name == offering.shape.as_str());
        let shape = shape.ok_or_else(|| invalid(format!("no shape {}", offering.shape)))?;
        let host = self.hosts.iter().find(|host| host.zone == offering.zone);
        let host =
            host.ok_or_else(|| invalid(format!("no Docker in the zone {}", offering.zone)))?;
        host.has_image(&self.config).await?;
        let (config, zone, machine) = (&self.config, &host.zone, &host.known().await?.size);
        let agent = Agent { config, request, worker, shape, zone, machine };
        host.create(worker, agent.body()).await
    }

    /// One that was made before. It may not have been started since: then it is, now.
    async fn again(&self, instance: &Instance, request: &LaunchRequest, order: &Order) -> Made {
        if let (InstanceState::Pending, Some((host, id))) =
            (instance.state, self.place(&instance.id))
        {
            host.start(id, &container::labels(request, &order.worker, &instance.shape)).await?;
        }
        let had = Offering {
            shape: instance.shape.clone(),
            zone: instance.zone.clone(),
            market: instance.market,
            price: order.offering.price,
        };
        Ok((instance.id.clone(), had))
    }

    /// Clears away what outlived its container, on every Docker that answers soon. Nothing depends on it.
    async fn sweep(&self, pool: &PoolName, uid: &ClusterUid) {
        let whose = self.whose(pool);
        let sweep = async |host: &Host| {
            let swept = tokio::time::timeout(SWEEP, host.sweep(whose, uid)).await;
            if let Err(error) = swept.unwrap_or(Err(Error::TimedOut)) {
                tracing::warn!(section = "provider", zone = %host.zone, %error, "volumes without a container are left");
            }
        };
        join_all(self.hosts.iter().map(sweep)).await;
    }
}

#[async_trait]
impl Provider for Docker {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        let known = self.all(&request.pool).await?;
        let fulfil = |order: &Order| {
            let order = order.clone();
            let known =
                known.iter().find(|one| one.worker.as_ref() == Some(&order.worker)).cloned();
            async move {
                let (made, short) = match known {
                    Some(instance) => (self.again(&instance, request, &order).await, Vec::new()),
                    None => self.fulfil(request, &order).await,
                };
                (order.worker, made, short)
            }
        };
        let orders: Vec<_> = request.orders.iter().map(fulfil).collect();
        let mut under_way = stream::iter(orders).buffer_unordered(self.config.parallel);
        let (mut launched, mut unknown) = (Launched::default(), None);
        while let Some((worker, made, short)) = under_way.next().await {
            launched.short.extend(short);
            match made {
                Ok((id, offering)) => launched.instances.push((worker, id, offering)),
                Err(error) if error.left_behind() == LeftBehind::Unknown => unknown = Some(error),
                Err(error) => launched.failed.push((worker, error)),
            }
        }
        drop(under_way);
        self.sweep(&request.pool, &request.cluster_uid).await;
        // What is not known of one is to be listed before anything else is made of it; asked again, the others are known.
        unknown.map_or(Ok(launched), Err)
    }

    async fn terminate(
        &self,
        whose: &ClusterUid,
        pool: &PoolName,
        instance: &InstanceId,
    ) -> Result<()> {
        let Some((host, id)) = self.place(instance) else {
            // Nobody of ours ever had such a name; or its Docker left the configuration.
            let is_ours = instance.as_str().contains('/');
            let away =
                Error::Invalid(format!("{instance} is on a Docker that `hosts` does not name"));
            return if is_ours { Err(away) } else { Ok(()) };
        };
        host.remove(self.whose(pool), whose, id).await
    }

    /// One that was made just now and not started yet is not told: its launch is still open, and asked again it starts it.
    async fn list(&self, pool: &PoolName) -> Result<Vec<Instance>> {
        let now = self.clock.now();
        let mut listed = self.all(pool).await?;
        listed.retain(|one| {
            one.state != InstanceState::Pending || duration::since(one.launched, now) > UNSTARTED
        });
        for one in listed.iter_mut().filter(|one| one.state == InstanceState::Pending) {
            one.state = InstanceState::Stopped;
            one.told = Some("the container was made and never started".to_owned());
        }
        Ok(listed)
    }

    async fn shapes(&self, _: &PoolName) -> Result<Vec<Shape>> {
        let mut sizes = Vec::new();
        let known = join_all(self.hosts.iter().map(Host::known)).await;
        for (host, known) in self.hosts.iter().zip(known) {
            // One that was not heard of lately sells nothing; the others do.
            sizes.extend(known.ok().map(|known| (&host.zone, known.size)));
        }
        if sizes.is_empty() {
            return Err(Error::Unavailable("no Docker answers".to_owned()));
        }
        let offered = |shape: &ShapeConfig| {
            let capacity =
                Resources::new(shape.cpu_milli, shape.memory).with_pods(u64::from(shape.pods));
            let holds =
                |size: &Resources| shape.cpu_milli <= size.cpu_milli && shape.memory <= size.memory;
            let offering = |zone: &Zone| Offering {
                shape: shape.name.as_str().into(),
                zone: zone.clone(),
                market: Market::OnDemand,
                price: shape.price,
            };
            let zones = sizes.iter().filter(|(_, size)| holds(size));
            let offerings = zones.map(|(zone, _)| offering(zone)).collect();
            Shape { name: shape.name.as_str().into(), capacity, offerings }
        };
        Ok(self.config.shapes.iter().map(offered).collect())
    }

    async fn console(&self, _: &PoolName, instance: &InstanceId) -> Result<Option<String>> {
        let (host, id) = self.place(instance).ok_or(Error::NotFound)?;
        host.log(id).await.map(Some)
    }
}
