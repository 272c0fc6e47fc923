//! Where plans are made and outcomes are written: by the code's own functions, each result kept,
//! since the same is asked many thousand times.

use super::state::{Done, Machine};
use crate::config::{
    AlertmanagerConfig, ClusterConfig, Expander, Guards, KubernetesConfig, Mode, PoolConfig,
    PrometheusConfig, Timing,
};
use crate::metrics::Metrics;
use crate::model::{
    Act, Changes, Claim, ClusterMemory, ClusterView, Failure, Instance, InstanceId, InstanceState,
    LaunchRequest, Market, Memory, Observed, Offering, Plan, PoolName, Reason, Resources, Shape,
    Truth, Verdict, View, Worker, WorkerId,
};
use crate::policy;
use crate::provider::{self, Launched};
use crate::reconcile::ledger::Ledger;
use crate::reconcile::{Turn, execute, intent};
use jiff::Timestamp;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const UID: &str = "uid";
const POOL: &str = "p";

/// A value with its own hash, cheap to copy and to compare.
#[derive(Debug)]
pub(super) struct Hashed<T> {
    key: u64,
    value: Arc<T>,
}

/// The memory of the cluster, as stored.
pub(super) type Record = Hashed<Memory>;
/// One pass' plan.
pub(super) type Planned = Hashed<Turned>;

/// What one pass decided, and what follows from it.
#[derive(Debug)]
pub(super) struct Turned {
    now: Timestamp,
    need: u32,
    observed: Observed,
    memory: Memory,
    plan: Plan,
    workers: BTreeMap<WorkerId, Worker>,
    /// What to store before anything is called.
    pub(super) changes: Changes,
    /// What to call then.
    pub(super) calls: Vec<Call>,
}

/// One call of the provider.
#[derive(Clone, Debug)]
pub(super) enum Call {
    Launch(LaunchRequest),
    Replay(LaunchRequest),
    Terminate(InstanceId),
}

/// What a look saw.
#[derive(Clone, Copy, Hash)]
pub(super) struct Look<'a> {
    pub(super) record: &'a Record,
    pub(super) listed: &'a [Machine],
    pub(super) at: Timestamp,
    pub(super) need: u32,
}

/// What was asked before, and its answer.
type Known<K, V> = Mutex<HashMap<K, V>>;

/// Makes plans and writes outcomes.
pub(super) struct Desk {
    limits: Vec<ClusterConfig>,
    metrics: Metrics,
    planned: Known<(u64, Timestamp), Planned>,
    records: Known<(u64, u64), Record>,
    outcomes: Known<(u64, Vec<Done>), Hashed<Changes>>,
}

// === impl Hashed ===

impl<T> Hashed<T> {
    fn new(key: u64, value: T) -> Self {
        Self { key, value: Arc::new(value) }
    }
}

/// Nothing is there yet, in a cluster that was seen before.
impl Default for Record {
    fn default() -> Self {
        let cluster = ClusterMemory { uid: Some(UID.into()), ..ClusterMemory::default() };
        Self::of(Memory { cluster, ..Memory::default() })
    }
}

impl Record {
    fn of(memory: Memory) -> Self {
        Self::new(digest(&format!("{memory:?}")), memory)
    }
}

impl<T> Clone for Hashed<T> {
    fn clone(&self) -> Self {
        Self { key: self.key, value: self.value.clone() }
    }
}

impl<T> std::ops::Deref for Hashed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> PartialEq for Hashed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Hashed<T> {}

impl<T> Hash for Hashed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

// === impl Desk ===

impl Desk {
    /// `call` is how long a call may be under way before it is asked again.
    pub(super) fn new(call: Duration) -> Self {
        Self {
            limits: (0..=2).map(|min| limits(min, call)).collect(),
            metrics: Metrics::new(),
            planned: Mutex::default(),
            records: Mutex::default(),
            outcomes: Mutex::default(),
        }
    }

    /// The plan for what was seen, and the intent that goes before it.
    pub(super) fn plan(&self, look: Look<'_>, claim: &Claim, now: Timestamp) -> Planned {
        let key = (digest(&look), now);
        let known = self.planned.lock().unwrap().get(&key).cloned();
        known.unwrap_or_else(|| {
            let planned = Hashed::new(digest(&key), self.turned(look, claim, now));
            self.planned.lock().unwrap().insert(key, planned.clone());
            planned
        })
    }

    fn turned(&self, look: Look<'_>, claim: &Claim, now: Timestamp) -> Turned {
        let observed = observed(look);
        let memory = Memory::clone(look.record);
        let plan = policy::plan(&observed, &[], &memory, &self.limits[look.need as usize], now);
        let mut turned = Turned {
            now,
            need: look.need,
            observed,
            memory,
            plan,
            workers: BTreeMap::new(),
            changes: Changes::default(),
            calls: Vec::new(),
        };
        let prepared = intent::prepare(&self.turn(&turned), claim);
        assert!(prepared.skipped.is_empty(), "the plan fits its records");
        turned.calls = turned.calls();
        (turned.changes, turned.workers) = (prepared.changes, prepared.workers);
        turned
    }

    /// What is to be stored of these outcomes.
    pub(super) fn outcome(
        &self,
        planned: &Planned,
        done: &[Done],
        claim: &Claim,
    ) -> Hashed<Changes> {
        let key = (planned.key, done.to_vec());
        let known = self.outcomes.lock().unwrap().get(&key).cloned();
        known.unwrap_or_else(|| {
            let turn = self.turn(planned);
            let (workers, pools) = (planned.workers.clone(), planned.changes.pools.clone());
            let mut ledger = Ledger::new(&turn, claim.token, &self.metrics, workers, pools);
            for (call, done) in planned.calls.iter().zip(done) {
                settle(call, done, &mut ledger);
            }
            let changes = Hashed::new(digest(&key), ledger.close().changes);
            self.outcomes.lock().unwrap().insert(key, changes.clone());
            changes
        })
    }

    /// The memory after the intent of a plan.
    pub(super) fn intended(&self, record: &Record, planned: &Planned) -> Record {
        self.applied(record, planned.key, &planned.changes)
    }

    /// The memory after these outcomes.
    pub(super) fn concluded(&self, record: &Record, changes: &Hashed<Changes>) -> Record {
        self.applied(record, changes.key, changes)
    }

    fn applied(&self, record: &Record, key: u64, changes: &Changes) -> Record {
        let key = (record.key, key);
        let known = self.records.lock().unwrap().get(&key).cloned();
        known.unwrap_or_else(|| {
            let mut memory = Memory::clone(record);
            memory.apply(changes);
            let record = Record::of(memory);
            self.records.lock().unwrap().insert(key, record.clone());
            record
        })
    }

    fn turn<'a>(&'a self, turned: &'a Turned) -> Turn<'a> {
        Turn {
            pass: crate::model::PassId::new("pass"),
            now: turned.now,
            planned: std::time::Duration::ZERO,
            limits: &self.limits[turned.need as usize],
            observed: &turned.observed,
            signals: &[],
            memory: &turned.memory,
            plan: &turned.plan,
        }
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

// === impl Turned ===

impl Turned {
    /// The calls in the executor's order: launches, then one step for each worker that has one.
    fn calls(&self) -> Vec<Call> {
        let launches = self.plan.decisions.iter().filter_map(|decision| match &decision.verdict {
            Verdict::Launch { intent, .. } => Some(Call::Launch(intent.request.clone())),
            Verdict::Drain { .. } | Verdict::Hold => None,
        });
        let steps = self.plan.steps.iter().map(|step| match &step.act {
            Act::Replay { batch } => Call::Replay(self.memory.intents[batch].request.clone()),
            Act::Terminate { instance } => Call::Terminate(instance.clone()),
            act => panic!("there are no nodes here, and yet: {act:?}"),
        });
        launches.chain(steps).collect()
    }
}

fn settle(call: &Call, done: &Done, ledger: &mut Ledger<'_>) {
    match (call, done) {
        (Call::Launch(request), Done::Refused) => {
            let lost = Reason::ClaimLost;
            execute::give_up(request, Failure::Refused, &lost, ledger);
        }
        (Call::Launch(request) | Call::Replay(request), Done::Answered) => {
            execute::launched(request, Ok(fulfilled(request)), ledger);
        }
        (Call::Launch(request) | Call::Replay(request), Done::Unanswered) => {
            execute::launched(request, Err(provider::Error::TimedOut), ledger);
        }
        // Its record moves once the machine is seen gone.
        (Call::Replay(_), Done::Refused) | (Call::Terminate(_), _) => {}
    }
}

fn fulfilled(request: &LaunchRequest) -> Launched {
    let had = |order: &crate::model::Order| {
        (order.worker.clone(), instance_id(&order.worker), order.offering.clone())
    };
    Launched { instances: request.orders.iter().map(had).collect(), ..Launched::default() }
}

pub(super) fn instance_id(worker: &WorkerId) -> InstanceId {
    InstanceId::new(format!("i-{worker}"))
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// One pool that needs `min` machines. Need below `min` waits for nothing but the claim.
fn limits(min: u32, call: Duration) -> ClusterConfig {
    let pool = PoolConfig { min, settle: Duration::ZERO, ..PoolConfig::new(POOL.into(), 9) };
    ClusterConfig {
        name: "c".into(),
        kubernetes: KubernetesConfig::default(),
        mode: Mode::Act,
        accept_unlabelled: false,
        expanders: Expander::usual(),
        expendable_below: 0,
        pending: crate::config::Pending::default(),
        guards: Guards::default(),
        alertmanager: AlertmanagerConfig::default(),
        prometheus: PrometheusConfig::default(),
        timing: Timing { call, ..Timing::default() },
        pools: BTreeMap::from([(POOL.into(), pool)]),
    }
}

fn offering() -> Offering {
    Offering { shape: "s".into(), zone: "z".into(), market: Market::OnDemand, price: None }
}

fn observed(look: Look<'_>) -> Observed {
    let shape = Shape {
        name: "s".into(),
        capacity: Resources::new(1_000, 1 << 30),
        offerings: vec![offering()],
    };
    let view = ClusterView::empty(UID.into());
    let list = look.listed.iter().filter(|machine| !machine.ended).map(instance).collect();
    let pool = PoolName::new(POOL);
    Observed {
        cluster: View::Known { at: look.at, value: view },
        instances: BTreeMap::from([(pool.clone(), View::Known { at: look.at, value: list })]),
        shapes: BTreeMap::from([(pool, View::Known { at: look.at, value: vec![shape] })]),
        truth: Truth::default(),
        guards: BTreeMap::new(),
        wants: BTreeMap::new(),
    }
}

fn instance(machine: &Machine) -> Instance {
    Instance {
        id: instance_id(&machine.worker),
        worker: Some(machine.worker.clone()),
        batch: Some(machine.batch.clone()),
        pool: POOL.into(),
        cluster_uid: Some(UID.into()),
        shape: "s".into(),
        zone: "z".into(),
        market: Market::OnDemand,
        launched: machine.launched,
        state: InstanceState::Running,
        protected: false,
        notice: None,
        told: None,
        unchecked: false,
    }
}
