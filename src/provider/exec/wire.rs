//! What a program is told and what it answers, as `docs/exec-provider.md` and its schema say. Pure.

use super::process::Output;
use crate::config::{cpu_of, memory_of};
use crate::model::{
    BatchId, ClusterName, ClusterUid, Instance, InstanceId, InstanceState, LaunchRequest, Market,
    Offering, PoolName, Price, Resources, Shape, ShapeName, Taint, WorkerId, Zone,
};
use crate::provider::{Error, LeftBehind, Result, in_words};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The version of the protocol.
const VERSION: u32 = 1;

/// What a program is told.
#[derive(Debug, Serialize)]
pub(super) struct Call<'a> {
    version: u32,
    cluster: &'a ClusterName,
    pool: &'a PoolName,
    options: &'a BTreeMap<String, String>,
    #[serde(flatten)]
    verb: Verb<'a>,
}

#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub(super) enum Verb<'a> {
    Launch(Launch<'a>),
    Terminate(Terminate<'a>),
    List,
    Shapes,
    Check,
}

#[derive(Debug, Serialize)]
pub(super) struct Launch<'a> {
    cluster_uid: &'a ClusterUid,
    batch: &'a BatchId,
    count: usize,
    workers: &'a [&'a WorkerId],
    offerings: Vec<Place<'a>>,
    labels: &'a BTreeMap<String, String>,
    taints: &'a [Taint],
}

#[derive(Debug, Serialize)]
pub(super) struct Terminate<'a> {
    pub(super) ids: [&'a InstanceId; 1],
}

#[derive(Debug, Serialize)]
struct Place<'a> {
    shape: &'a ShapeName,
    zone: &'a Zone,
    market: Market,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        cluster: &'a ClusterName,
        pool: &'a PoolName,
        options: &'a BTreeMap<String, String>,
        verb: Verb<'a>,
    ) -> Self {
        Self { version: VERSION, cluster, pool, options, verb }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("its keys are texts");
        line.push(b'\n');
        line
    }
}

impl<'a> Launch<'a> {
    pub(super) fn new(
        request: &'a LaunchRequest,
        workers: &'a [&'a WorkerId],
        offerings: &'a [Offering],
    ) -> Self {
        let place = |offering: &'a Offering| Place {
            shape: &offering.shape,
            zone: &offering.zone,
            market: offering.market,
        };
        Self {
            cluster_uid: &request.cluster_uid,
            batch: &request.batch,
            count: workers.len(),
            workers,
            offerings: offerings.iter().map(place).collect(),
            labels: &request.labels,
            taints: &request.taints,
        }
    }
}

/// What it answers; what else stands there is left alone.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Answer {
    instances: Option<Vec<Machine>>,
    shapes: Option<Vec<Size>>,
    error: Option<Failure>,
}

#[derive(Debug, Deserialize)]
struct Machine {
    id: InstanceId,
    worker: Option<WorkerId>,
    batch: Option<BatchId>,
    cluster_uid: Option<ClusterUid>,
    shape: ShapeName,
    zone: Option<Zone>,
    market: Option<Market>,
    state: Option<State>,
    created_at: Option<Timestamp>,
    #[serde(default)]
    protected: bool,
    notice: Option<Timestamp>,
    reason: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Pending,
    Running,
    Stopped,
    Stopping,
    Gone,
}

#[derive(Debug, Deserialize)]
struct Size {
    name: ShapeName,
    cpu: Value,
    memory: Value,
    #[serde(default = "usual_pods")]
    pods: u64,
    #[serde(default)]
    extended: BTreeMap<String, u64>,
    zones: Vec<Zone>,
    markets: Option<Vec<Market>>,
    price_per_hour: Option<f64>,
    spot_price_per_hour: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Failure {
    kind: Kind,
    #[serde(default)]
    message: String,
    left_behind: Option<Left>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    NotFound,
    Capacity,
    Quota,
    Throttled,
    Denied,
    Invalid,
    Unavailable,
    TimedOut,
}

/// `nothing`, `unknown`, or the ids of what there is now.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Left {
    Word(LeftWord),
    Ids(Vec<InstanceId>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LeftWord {
    Nothing,
    Unknown,
}

fn usual_pods() -> u64 {
    110
}

/// What a program did not get right: whether its call had an effect is not known. Its own words may be in it.
fn wrong(what: impl Into<String>) -> Error {
    Error::Unavailable(format!("the program {}", in_words(&what.into())))
}

/// A worker's machine, and where it was had.
type Had = (WorkerId, InstanceId, Offering);

impl Answer {
    /// What a process said. Its exit status counts only where it told of no error.
    pub(super) fn read(output: &Output) -> Result<Self> {
        let read: std::result::Result<Self, _> = serde_json::from_slice(&output.stdout);
        match (read, output.status.success()) {
            (Ok(answer), true) => Ok(answer),
            (Ok(answer), false) if answer.error.is_some() => Ok(answer),
            (_, false) => Err(wrong(format!("ended with {}{}", output.status, output.why()))),
            (Err(_), true) if output.stdout.trim_ascii().is_empty() => {
                Err(wrong(format!("answered nothing{}", output.why())))
            }
            (Err(error), true) => Err(wrong(format!("answered what is no answer: {error}"))),
        }
    }

    /// An answer without anything in it.
    pub(super) fn done(&self) -> Result<()> {
        self.error.as_ref().map_or(Ok(()), |error| Err(error.meant()))
    }

    /// Machines of a pool.
    pub(super) fn listed(self, pool: &PoolName) -> Result<Vec<Instance>> {
        self.done()?;
        let machines =
            self.instances.ok_or_else(|| wrong("answered a list without `instances`"))?;
        let mut seen = BTreeSet::new();
        for machine in &machines {
            if !seen.insert(machine.id.clone()) {
                return Err(wrong(format!("listed `{}` twice", machine.id)));
            }
        }
        machines.into_iter().map(|machine| machine.as_instance(pool)).collect()
    }

    /// What can be bought.
    pub(super) fn offered(self) -> Result<Vec<Shape>> {
        self.done()?;
        let sizes = self.shapes.ok_or_else(|| wrong("answered without `shapes`"))?;
        sizes.iter().map(Size::as_shape).collect()
    }

    /// The machines that workers got, each with where it was really had, and why others got none.
    pub(super) fn launched(
        self,
        batch: &BatchId,
        workers: &[&WorkerId],
        offerings: &[Offering],
    ) -> Result<(Vec<Had>, Option<Error>)> {
        let error = self.error.as_ref().map(Failure::meant);
        if let Some(error) =
            error.as_ref().filter(|error| error.left_behind() == LeftBehind::Unknown)
        {
            // What it did is to be listed first.
            return Err(error.clone());
        }
        let mut had: Vec<Had> = Vec::new();
        for machine in self.instances.unwrap_or_default() {
            let id = &machine.id;
            let Some(worker) = machine.worker.clone() else {
                return Err(wrong(format!("launched `{id}` and does not say for which `worker`")));
            };
            if !workers.contains(&&worker) || machine.batch.as_ref().is_some_and(|its| its != batch)
            {
                return Err(wrong(format!("answered with `{id}`, which is of another launch")));
            }
            if had.iter().any(|(known, other, _)| *known == worker || other == id) {
                return Err(wrong(format!("answered with two machines for `{worker}`")));
            }
            had.push((worker, id.clone(), machine.offering(offerings)?));
        }
        Ok((had, error))
    }
}

impl Machine {
    /// Where it was had: what it leaves out is as the first that was asked for.
    fn offering(&self, asked: &[Offering]) -> Result<Offering> {
        let is_it = |one: &&Offering| {
            one.shape == self.shape
                && self.zone.as_ref().is_none_or(|zone| one.zone == *zone)
                && self.market.is_none_or(|market| one.market == market)
        };
        let had = asked.iter().find(is_it).cloned();
        had.ok_or_else(|| {
            wrong(format!(
                "answered with `{}`, a {} that was not asked for there",
                self.id, self.shape
            ))
        })
    }

    fn as_instance(&self, pool: &PoolName) -> Result<Instance> {
        let missing = |what| wrong(format!("listed `{}` without `{what}`", self.id));
        let state = match self.state.ok_or_else(|| missing("state"))? {
            State::Pending => InstanceState::Pending,
            State::Running => InstanceState::Running,
            State::Stopped => InstanceState::Stopped,
            State::Stopping => InstanceState::Ending,
            State::Gone => InstanceState::Gone,
        };
        Ok(Instance {
            id: self.id.clone(),
            worker: self.worker.clone(),
            batch: self.batch.clone(),
            pool: pool.clone(),
            cluster_uid: self.cluster_uid.clone(),
            shape: self.shape.clone(),
            zone: self.zone.clone().ok_or_else(|| missing("zone"))?,
            market: self.market.unwrap_or(Market::OnDemand),
            launched: self.created_at.ok_or_else(|| missing("created_at"))?,
            state,
            protected: self.protected,
            notice: self.notice,
            told: self.reason.as_deref().map(in_words),
            unchecked: false,
        })
    }
}

impl Size {
    fn as_shape(&self) -> Result<Shape> {
        let unclear = |what, value: &Value| {
            wrong(format!(
                "offers `{}` with the {what} {value}; write 2 or \"1500m\" for cores, \"4Gi\" for memory",
                self.name
            ))
        };
        let cpu = cpu_of(&self.cpu).ok_or_else(|| unclear("cpu", &self.cpu))?;
        let memory = memory_of(&self.memory).ok_or_else(|| unclear("memory", &self.memory))?;
        let mut capacity = Resources::new(cpu, memory).with_pods(self.pods);
        capacity.extended = self.extended.clone();
        if self.zones.is_empty() {
            return Err(wrong(format!("offers `{}` in no zone", self.name)));
        }
        let mut offerings = Vec::new();
        for market in self.markets() {
            let price =
                if market == Market::Spot { self.spot_price_per_hour } else { self.price_per_hour };
            let price = price.map(|price| self.price(price)).transpose()?;
            let offered = |zone: &Zone| Offering {
                shape: self.name.clone(),
                zone: zone.clone(),
                market,
                price,
            };
            offerings.extend(self.zones.iter().map(offered));
        }
        Ok(Shape { name: self.name.clone(), capacity, offerings })
    }

    /// As it says; otherwise on demand, and where it has a price for that as spot, too.
    fn markets(&self) -> Vec<Market> {
        let spot = self.spot_price_per_hour.map(|_| Market::Spot);
        self.markets.clone().unwrap_or_else(|| [Market::OnDemand].into_iter().chain(spot).collect())
    }

    fn price(&self, price: f64) -> Result<Price> {
        if !(price.is_finite() && (0.0..1e9).contains(&price)) {
            return Err(wrong(format!("offers `{}` for {price}, which is no price", self.name)));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in range")]
        let millionths = (price * 1e6).round() as u64;
        Ok(Price(millionths))
    }
}

impl Failure {
    /// What it means to us. Where something may have been left behind, that is what counts.
    fn meant(&self) -> Error {
        let message = in_words(&self.message);
        let may_have_left = match &self.left_behind {
            None | Some(Left::Word(LeftWord::Nothing)) => false,
            Some(Left::Word(LeftWord::Unknown)) => true,
            Some(Left::Ids(ids)) => !ids.is_empty(),
        };
        if may_have_left && !matches!(self.kind, Kind::TimedOut) {
            return Error::Unavailable(message);
        }
        match self.kind {
            Kind::NotFound => Error::NotFound,
            Kind::Capacity => Error::Capacity(message),
            Kind::Quota => Error::Quota(message),
            Kind::Throttled => Error::Throttled,
            Kind::Denied => Error::Denied(message),
            Kind::Invalid => Error::Invalid(message),
            Kind::Unavailable => Error::Unavailable(message),
            Kind::TimedOut => Error::TimedOut,
        }
    }
}
