//! The world as a provider of machines.

use super::World;
use super::state::{Call, Machine, State};
use crate::config::{ClusterConfig, SimConfig};
use crate::model::{
    ClusterUid, Instance, InstanceId, InstanceState, LaunchRequest, Market, Offering, Order,
    PoolName, Price, Resources, Shape, WorkerId, duration,
};
use crate::provider::{self, Error, Launched, Result};
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Machines of one world.
#[derive(Clone, Debug)]
pub struct Provider {
    world: World,
    /// Pools whose machines bear no worker's name.
    unnamed: Arc<Mutex<BTreeSet<PoolName>>>,
}

/// What a node keeps for itself.
pub(super) fn reserved() -> Resources {
    Resources::new(100, 300 << 20)
}

impl Provider {
    /// The provider of a world.
    pub fn new(world: World) -> Self {
        Self { world, unnamed: Arc::default() }
    }
}

#[async_trait]
impl provider::Provider for Provider {
    fn follow(&self, limits: &ClusterConfig) {
        let unnamed = limits.pools.values().filter(|pool| !pool.provider.names_workers());
        let unnamed = unnamed.map(|pool| pool.name.clone()).collect();
        *self.unnamed.lock().unwrap_or_else(PoisonError::into_inner) = unnamed;
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        let config = self.world.config();
        let unnamed = self.unnamed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = !unnamed.contains(&request.pool);
        drop(unnamed);
        self.world.change(|state| {
            if state.faults.launch_errors {
                return Err(Error::Denied("simulated".to_owned()));
            }
            let launched = launch(state, &config, request, is_named);
            if state.faults.lose_launch_reply { Err(Error::TimedOut) } else { Ok(launched) }
        })
    }

    async fn terminate(
        &self,
        whose: &ClusterUid,
        _: &PoolName,
        instance: &InstanceId,
    ) -> Result<()> {
        self.world.change(|state| {
            let machine = state.instances.get(instance);
            if machine.is_some_and(|machine| machine.instance.cluster_uid.as_ref() != Some(whose)) {
                return Ok(());
            }
            let call =
                Call { instance: Some(instance.clone()), ..Call::new(state.now, "terminate") };
            state.calls.push(call);
            state.end(instance);
            if state.faults.lose_terminate_reply { Err(Error::TimedOut) } else { Ok(()) }
        })
    }

    async fn list(&self, pool: &PoolName) -> Result<Vec<Instance>> {
        self.world.look(|state| {
            if state.faults.list_errors {
                return Err(Error::Unavailable("simulated".to_owned()));
            }
            if state.faults.list_empty {
                return Ok(Vec::new());
            }
            let all = state.instances.values().map(|machine| &machine.instance);
            Ok(all.filter(|instance| instance.pool == *pool).cloned().collect())
        })
    }

    async fn shapes(&self, _: &PoolName) -> Result<Vec<Shape>> {
        let config = self.world.config();
        self.world.look(|state| {
            Ok(config.shapes.iter().map(|shape| offered(state, &config, shape)).collect())
        })
    }

    async fn console(&self, _: &PoolName, instance: &InstanceId) -> Result<Option<String>> {
        self.world.look(|state| {
            let machine = state.instances.get(instance).ok_or(Error::NotFound)?;
            Ok(Some(console(machine)))
        })
    }
}

/// What a k3s agent writes there, as far as it came; the token it joins with among it, as boot scripts have it.
fn console(machine: &Machine) -> String {
    let mut lines =
        format!("K3S_TOKEN=simulated-token\nstarting k3s agent on {}\n", machine.instance.id);
    if machine.joins.is_none() {
        lines += "fatal: token CA hash does not match the Cluster CA certificate hash\n";
    } else if machine.ready.is_none() {
        lines += "container runtime network not ready: cni plugin not initialized\n";
    }
    lines
}

fn offered(state: &State, config: &SimConfig, shape: &crate::config::SimShape) -> Shape {
    let mut offerings = Vec::new();
    for market in [Market::OnDemand, Market::Spot] {
        for zone in &config.zones {
            let mut offering = Offering {
                shape: shape.name.as_str().into(),
                zone: zone.as_str().into(),
                market,
                price: None,
            };
            let factor = if market == Market::Spot { state.spot_factor(&offering) } else { 1.0 };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a price, never negative"
            )]
            let price = (shape.price_per_hour * factor * 1e6).round() as u64;
            offering.price = Some(Price(price));
            offerings.push(offering);
        }
    }
    let capacity = Resources::new(shape.cpu_milli, shape.memory).with_pods(110);
    Shape { name: shape.name.as_str().into(), capacity, offerings }
}

/// Fulfils each order once, however often it is asked.
fn launch(
    state: &mut State,
    config: &SimConfig,
    request: &LaunchRequest,
    is_named: bool,
) -> Launched {
    let mut launched = Launched::default();
    let mut new = 0;
    let mut unnamed = unnamed(state, request);
    let is_known = !unnamed.is_empty();
    for order in &request.orders {
        let named = state
            .instances
            .values()
            .find(|machine| machine.instance.worker.as_ref() == Some(&order.worker));
        if let Some(machine) = named.cloned().or_else(|| unnamed.pop()) {
            let instance = machine.instance;
            let had = Offering {
                shape: instance.shape.clone(),
                zone: instance.zone.clone(),
                market: instance.market,
                price: machine.price,
            };
            launched.instances.push((order.worker.clone(), instance.id, had));
            continue;
        }
        if is_known {
            let why = "the launch had fewer machines than it asked for".to_owned();
            launched.failed.push((order.worker.clone(), Error::Capacity(why)));
            continue;
        }
        match choose(state, config, request, order, &mut launched.short) {
            Ok(offering) => {
                let order = Order { offering: offering.clone(), ..order.clone() };
                let id = create(state, config, request, &order);
                if !is_named && let Some(machine) = state.instances.get_mut(&id) {
                    machine.instance.worker = None;
                }
                launched.instances.push((order.worker.clone(), id, offering));
                new += 1;
            }
            Err(error) => launched.failed.push((order.worker.clone(), error)),
        }
    }
    let workers: Vec<WorkerId> = request.orders.iter().map(|order| order.worker.clone()).collect();
    state.calls.push(Call { new, workers, ..Call::new(state.now, "launch") });
    launched
}

/// The machines that a batch has already and that bear no worker's name, the one for the first order last: those that live before those that are gone.
/// Which one is for which order is anybody's guess, so it is another one each time. As on EC2 a batch that has any gets no more.
fn unnamed(state: &mut State, request: &LaunchRequest) -> Vec<Machine> {
    let is_its = |instance: &Instance| {
        instance.worker.is_none() && instance.batch.as_ref() == Some(&request.batch)
    };
    let all = state.instances.values().filter(|machine| is_its(&machine.instance));
    let mut all: Vec<Machine> = all.cloned().collect();
    // A world without such machines draws nothing for them.
    if all.len() > 1 && state.draw() < 0.5 {
        all.reverse();
    }
    all.sort_by_key(|machine| machine.ended.is_none());
    all
}

/// The order's own offering, or the first fallback that can be had if that one has no capacity. Those that have none
/// are told in `short`.
fn choose(
    state: &State,
    config: &SimConfig,
    request: &LaunchRequest,
    order: &Order,
    short: &mut Vec<(Offering, Error)>,
) -> Result<Offering> {
    for offering in std::iter::once(&order.offering).chain(&request.fallback) {
        match can_be_had(state, config, offering) {
            Ok(()) => return Ok(offering.clone()),
            Err(error @ Error::Capacity(_)) => {
                if !short.iter().any(|(known, _)| known == offering) {
                    short.push((offering.clone(), error));
                }
            }
            Err(error) if *offering == order.offering => return Err(error),
            Err(_) => {}
        }
    }
    Err(Error::Capacity(order.offering.to_string()))
}

fn can_be_had(state: &State, config: &SimConfig, offering: &Offering) -> Result<()> {
    let is_sold = config.shapes.iter().any(|shape| shape.name == offering.shape.as_str())
        && config.zones.iter().any(|zone| zone == offering.zone.as_str());
    if !is_sold {
        return Err(Error::Invalid(format!("{offering} is not sold")));
    }
    let dry = &state.faults.no_capacity_for;
    let parts = [offering.shape.as_str(), offering.zone.as_str(), &offering.market.to_string()];
    let live = state.instances.values().filter(|machine| machine.ended.is_none()).count();
    if state.faults.at_most.is_some_and(|most| live >= most) || state.faults.no_capacity {
        return Err(Error::Capacity(offering.to_string()));
    }
    if parts.iter().any(|part| dry.contains(*part)) {
        return Err(Error::Capacity(offering.to_string()));
    }
    Ok(())
}

fn create(
    state: &mut State,
    config: &SimConfig,
    request: &LaunchRequest,
    order: &Order,
) -> InstanceId {
    let number = state.number();
    let id = InstanceId::new(format!("i-{number:06}"));
    let boot = state.faults.boot.unwrap_or(config.boot).mul_f64(0.75 + 0.5 * state.draw());
    let joins = duration::after(state.now, boot);
    let shape = config.shapes.iter().find(|shape| shape.name == order.offering.shape.as_str());
    let capacity = shape
        .map_or_else(Resources::default, |shape| Resources::new(shape.cpu_milli, shape.memory));
    let instance = Instance {
        id: id.clone(),
        worker: Some(order.worker.clone()),
        batch: Some(request.batch.clone()),
        pool: request.pool.clone(),
        cluster_uid: Some(request.cluster_uid.clone()),
        shape: order.offering.shape.clone(),
        zone: order.offering.zone.clone(),
        market: order.offering.market,
        launched: state.now,
        state: InstanceState::Pending,
        protected: false,
        notice: None,
        told: None,
        unchecked: false,
    };
    let ready = duration::after(joins, boot.mul_f64(0.1).max(Duration::from_millis(1)));
    let machine = Machine {
        instance,
        capacity: capacity.with_pods(110),
        labels: request.labels.clone(),
        taints: request.taints.clone(),
        price: order.offering.price,
        runs: duration::after(state.now, boot.mul_f64(0.1)),
        joins: (!state.faults.never_join).then_some(joins),
        ready: (!state.faults.never_ready && !state.faults.never_join).then_some(ready),
        ended: None,
        silent: false,
        renames: 0,
    };
    state.instances.insert(id.clone(), machine);
    id
}

/// A machine that is not ours although it says to be of our pool.
pub(super) fn add_foreign(state: &mut State) -> InstanceId {
    let number = state.number();
    let id = InstanceId::new(format!("i-{number:06}"));
    let launched = state.instances.values().max_by_key(|machine| machine.instance.launched);
    let pool = launched.map_or_else(|| "workers".into(), |machine| machine.instance.pool.clone());
    let instance = Instance {
        id: id.clone(),
        worker: Some(format!("foreign-{number}").as_str().into()),
        batch: None,
        pool,
        cluster_uid: Some("another-cluster".into()),
        shape: "foreign".into(),
        zone: "foreign".into(),
        market: Market::OnDemand,
        launched: state.now,
        state: InstanceState::Running,
        protected: false,
        notice: None,
        told: None,
        unchecked: false,
    };
    let machine = Machine {
        instance,
        capacity: Resources::default(),
        labels: std::collections::BTreeMap::new(),
        taints: Vec::new(),
        price: None,
        runs: state.now,
        joins: None,
        ready: None,
        ended: None,
        silent: false,
        renames: 0,
    };
    state.instances.insert(id.clone(), machine);
    id
}
