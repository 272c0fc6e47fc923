//! Machines by a program of the user's own: any cloud, one process for each call.
//!
//! What it is told and what it answers is told for its writers in `docs/exec-provider.md`.

mod process;
mod wire;

use self::process::run;
use self::wire::{Answer, Call, Launch, Terminate, Verb};
use super::{Error, Launched, LeftBehind, Provider, Result};
use crate::config::ExecConfig;
use crate::model::{
    ClusterName, ClusterUid, Instance, InstanceId, LaunchRequest, Offering, Order, PoolName, Shape,
    WorkerId,
};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer about shapes is good for: what can be bought seldom changes, and each pass asks.
const SHAPES_FOR: Duration = Duration::from_mins(5);

/// Machines of one pool, or of several with the same program.
#[derive(Debug)]
pub struct Exec {
    cluster: ClusterName,
    config: ExecConfig,
    shapes: Mutex<BTreeMap<PoolName, (Instant, Vec<Shape>)>>,
}

impl Exec {
    /// Of a cluster, by this program.
    pub fn new(cluster: ClusterName, config: ExecConfig) -> Self {
        Self { cluster, config, shapes: Mutex::default() }
    }

    /// Asks the program whether it could do its work: credentials, addresses, whatever it looks at. Changes nothing.
    pub async fn check(&self, pool: &PoolName) -> Result<()> {
        self.call(pool, Verb::Check).await?.done()
    }

    async fn call(&self, pool: &PoolName, verb: Verb<'_>) -> Result<Answer> {
        let call = Call::new(&self.cluster, pool, &self.config.options, verb);
        let output = run(&self.config, call.to_bytes()).await?;
        Answer::read(&output)
    }

    /// Orders of one offering, in one call.
    async fn launch_alike(
        &self,
        request: &LaunchRequest,
        orders: &[&Order],
        launched: &mut Launched,
    ) -> Result<()> {
        let offerings = in_order(&orders[0].offering, &request.fallback);
        let workers: Vec<&WorkerId> = orders.iter().map(|order| &order.worker).collect();
        let launch = Launch::new(request, &workers, &offerings);
        let answer = match self.call(&request.pool, Verb::Launch(launch)).await {
            Err(error) if error.left_behind() == LeftBehind::Nothing => {
                fail(&workers, &offerings, &error, launched);
                return Ok(());
            }
            answer => answer?,
        };
        let (had, error) = answer.launched(&request.batch, &workers, &offerings)?;
        let missing: Vec<&WorkerId> =
            workers.into_iter().filter(|id| had.iter().all(|(worker, ..)| worker != *id)).collect();
        for (_, _, offering) in &had {
            passed_over(&offerings, offering, launched);
        }
        launched.instances.extend(had);
        match error {
            _ if missing.is_empty() => {}
            Some(error) => fail(&missing, &offerings, &error, launched),
            None => {
                let why =
                    format!("answered without a machine, and without an error, for {}", missing[0]);
                return Err(Error::Unavailable(why));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for Exec {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        let mut alike: Vec<Vec<&Order>> = Vec::new();
        for order in &request.orders {
            match alike.iter_mut().find(|orders| orders[0].offering == order.offering) {
                Some(orders) => orders.push(order),
                None => alike.push(vec![order]),
            }
        }
        let mut launched = Launched::default();
        for orders in alike {
            self.launch_alike(request, &orders, &mut launched).await?;
        }
        Ok(launched)
    }

    async fn terminate(
        &self,
        _: &ClusterUid,
        pool: &PoolName,
        instance: &InstanceId,
    ) -> Result<()> {
        let verb = Verb::Terminate(Terminate { ids: [instance] });
        match self.call(pool, verb).await.and_then(|answer| answer.done()) {
            Err(Error::NotFound) => Ok(()),
            answer => answer,
        }
    }

    async fn list(&self, pool: &PoolName) -> Result<Vec<Instance>> {
        self.call(pool, Verb::List).await?.listed(pool)
    }

    async fn shapes(&self, pool: &PoolName) -> Result<Vec<Shape>> {
        let known = self.shapes.lock().unwrap_or_else(PoisonError::into_inner).get(pool).cloned();
        if let Some((at, shapes)) = known
            && at.elapsed() < SHAPES_FOR
        {
            return Ok(shapes);
        }
        let shapes = self.call(pool, Verb::Shapes).await?.offered()?;
        let mut kept = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(pool.clone(), (Instant::now(), shapes.clone()));
        Ok(shapes)
    }

    /// The protocol has no console.
    async fn console(&self, _: &PoolName, _: &InstanceId) -> Result<Option<String>> {
        Ok(None)
    }
}

/// The first, and the others behind it, each once.
fn in_order(first: &Offering, fallback: &[Offering]) -> Vec<Offering> {
    let mut all = vec![first.clone()];
    for offering in fallback {
        if !all.iter().any(|known| known.is_same(offering)) {
            all.push(offering.clone());
        }
    }
    all
}

fn fail(workers: &[&WorkerId], offerings: &[Offering], error: &Error, launched: &mut Launched) {
    launched.failed.extend(workers.iter().map(|id| ((*id).clone(), error.clone())));
    if matches!(error, Error::Capacity(_)) {
        // It had all of them to choose from.
        for offering in offerings {
            tell_short(offering, error, launched);
        }
    }
}

/// An offering that stood before the one that was had cannot have had any.
fn passed_over(offerings: &[Offering], had: &Offering, launched: &mut Launched) {
    for offering in offerings.iter().take_while(|one| !one.is_same(had)) {
        let why = Error::Capacity(format!("{had} was had instead"));
        tell_short(offering, &why, launched);
    }
}

fn tell_short(offering: &Offering, error: &Error, launched: &mut Launched) {
    if !launched.short.iter().any(|(known, _)| known.is_same(offering)) {
        launched.short.push((offering.clone(), error.clone()));
    }
}

#[cfg(test)]
mod tests;
