//! The loop, and the only place that acts.
//!
//! wake (signal or period) → claim → observe → plan → commit intent → execute → commit outcome →
//! report. It takes no input (R3): a wake-up carries no data, each pass looks at the whole world.
//! No step waits (R5): a pass moves each worker by at most one state. The intent is stored before
//! the call, and right before each call the claim, the silences and the guards are asked again.

mod claims;
mod execute;
mod intent;
mod ledger;
#[cfg(test)]
mod model_check;
mod notes;
mod observe;
mod push;
mod report;

pub use claims::{Claims, Terms};
pub use report::{PoolReport, Report, SignalReport};

use crate::alertmanager::Alertmanager;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::cluster::fence::{Fence, Refusal};
use crate::config::{ClusterConfig, Config, Mode};
use crate::killpoint::{self, Point};
use crate::metrics::{Metrics, seconds};
use crate::model::{
    Claim, ClusterName, Explanation, Memory, Observed, PassId, Plan, PoolName, Reason, Signal,
    Subject, Worker, WorkerId, WorkerState, duration,
};
use crate::policy::{self, Sensors};
use crate::prometheus::Prometheus;
use crate::provider::Provider;
use crate::store::{self, Store};
use execute::Executor;
use jiff::Timestamp;
use ledger::{Closed, Ledger};
use notes::Helpless;
use push::{Pusher, Wish};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// More than this between our clock and the store's, and nothing is done: stamps would lie.
const MAX_SKEW: Duration = Duration::from_secs(2);

/// The least rest between two passes that what is seen in the cluster wakes.
const CALM: Duration = Duration::from_millis(200);

/// Everything a loop works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// State.
    pub store: Arc<dyn Store>,
    /// Machines.
    pub provider: Arc<dyn Provider>,
    /// Kubernetes.
    pub cluster: Arc<dyn Cluster>,
    /// Who may act on it, as it has it itself.
    pub fence: Arc<dyn Fence>,
    /// The truth about alerts.
    pub alertmanager: Arc<dyn Alertmanager>,
    /// Guards and wanted sizes.
    pub prometheus: Arc<dyn Prometheus>,
    /// Metrics.
    pub metrics: Arc<Metrics>,
    /// The configuration; one snapshot per pass.
    pub config: watch::Receiver<Arc<Config>>,
    /// Our own clock.
    pub clock: Clock,
}

/// The loop of one cluster.
#[derive(Debug)]
pub struct Reconciler {
    name: ClusterName,
    parts: Parts,
    /// Alertmanager's and Prometheus' clients, of the configuration of the last pass.
    clients: Mutex<(Arc<dyn Alertmanager>, Arc<dyn Prometheus>)>,
    claims: Arc<Claims>,
    pusher: Pusher,
    helpless: Helpless,
    wake: Arc<Notify>,
    report: watch::Sender<Option<Arc<Report>>>,
    seen: watch::Sender<Option<Arc<Seen>>>,
}

/// What the last pass saw and decided, for questions about it.
#[derive(Debug)]
struct Seen {
    observed: Observed,
    memory: Memory,
    limits: ClusterConfig,
    plan: Plan,
}

/// What others may do with a loop: wake it, ask whether it may act, and read what it last reported.
#[derive(Clone, Debug)]
pub struct Handle {
    wake: Arc<Notify>,
    claims: Arc<Claims>,
    report: watch::Receiver<Option<Arc<Report>>>,
    seen: watch::Receiver<Option<Arc<Seen>>>,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Something changed: the next pass comes at once.
    Changed,
    /// Nothing changed, but something is on its way: look again soon.
    Busy,
    /// Nothing changed and nothing is on its way.
    Quiet,
    /// Another process holds the claim.
    Standby,
    /// The store is away, or clocks differ too much: nothing was done.
    Failed,
}

// === impl Handle ===

impl Handle {
    /// Makes the loop look now. Carries no data; waking twice is waking once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Whether it may act now: it has the claim and the cluster's lease. Not as of the last pass, which may be long ago,
    /// or have failed.
    pub fn may_act(&self) -> bool {
        self.claims.leased().is_some()
    }

    /// Why the cluster refuses its lease, if that is why it has no claim to act under.
    pub fn refused(&self) -> Option<Refusal> {
        self.claims.refused()
    }

    /// What the last pass reported, if there was one.
    pub fn report(&self) -> Option<Arc<Report>> {
        self.report.borrow().clone()
    }

    /// Why a pod or node is as it is, as of the last pass; `None` where that did not see it.
    pub fn explain(&self, subject: &Subject) -> Option<Explanation> {
        let seen = self.seen.borrow().clone()?;
        policy::explain(subject, &seen.observed, &seen.memory, &seen.limits, &seen.plan)
    }
}

// === impl Reconciler ===

impl Reconciler {
    /// A loop for one cluster of the configuration.
    pub fn new(name: ClusterName, parts: Parts, holder: &str) -> Self {
        let (store, fence) = (parts.store.clone(), parts.fence.clone());
        let claims = Claims::new(name.clone(), holder, store, fence, parts.clock);
        let (report, _) = watch::channel(None);
        let (seen, _) = watch::channel(None);
        let clients = Mutex::new((parts.alertmanager.clone(), parts.prometheus.clone()));
        let (claims, wake) = (Arc::new(claims), Arc::new(Notify::new()));
        let (pusher, helpless) = (Pusher::default(), Helpless::default());
        Self { name, parts, clients, claims, pusher, helpless, wake, report, seen }
    }

    /// To wake it and to read its reports.
    pub fn handle(&self) -> Handle {
        Handle {
            wake: self.wake.clone(),
            claims: self.claims.clone(),
            report: self.report.subscribe(),
            seen: self.seen.subscribe(),
        }
    }

    /// The claim's keeper; its own task must call [`Claims::keep`].
    pub fn claims(&self) -> Arc<Claims> {
        self.claims.clone()
    }

    /// Runs passes until told to stop; the pass under way is finished first.
    pub async fn run(&self, stop: CancellationToken) {
        let mut config = self.parts.config.clone();
        while !stop.is_cancelled() {
            config.mark_unchanged();
            let began = Instant::now();
            let (outcome, next) = self.pass().await;
            let took = began.elapsed();
            let wait = match outcome {
                Outcome::Changed => continue,
                Outcome::Busy => next.min(self.parts.config.borrow().service.busy_interval),
                Outcome::Quiet | Outcome::Standby | Outcome::Failed => next,
            };
            tokio::select! {
                biased; // or a simulated run could not be played again
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = self.claims.gained() => {}
                () = self.changed(took) => {}
                Ok(()) = config.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Something is seen in the cluster that was not before, and the loop has had its rest: a cluster in which
    /// something happens all the time takes no more than a fifth of a core.
    async fn changed(&self, took: Duration) {
        tokio::time::sleep(CALM.max(took * 4)).await;
        self.parts.cluster.changed().await;
    }

    /// One turn: how it ended, and when the next is due at the latest.
    pub async fn pass(&self) -> (Outcome, Duration) {
        let config = self.parts.config.borrow().clone();
        let interval = config.service.interval;
        let Some(limits) = config.clusters.get(&self.name) else {
            return (Outcome::Quiet, interval);
        };
        let timer = self.parts.metrics.pass.seconds.start_timer();
        let _watched = self.claims.pass_began(config.service.overdue);
        let result = self.turn(limits, interval).await;
        timer.observe_duration();
        let (outcome, next) = result.unwrap_or_else(|error| {
            tracing::warn!(section = "pass", cluster = %self.name, error = %error, "pass failed");
            (Outcome::Failed, interval)
        });
        self.count(outcome);
        (outcome, next)
    }

    async fn turn(
        &self,
        limits: &ClusterConfig,
        interval: Duration,
    ) -> store::Result<(Outcome, Duration)> {
        let pass = self.pass_id();
        let parts = self.parts_of(limits);
        let claim = self.claim(limits);
        let (memory, signals) = self.remember().await?;
        let limits = &*limits.with_removed(&memory.pools);
        parts.provider.follow(limits);
        let observed = observe::observe(&parts, limits, &signals).await;
        let now = self.parts.store.now().await?;
        let plan = policy::plan(&observed, &signals, &memory, limits, now);
        let turn = Turn {
            pass,
            now,
            planned: self.parts.clock.boottime(),
            limits,
            observed: &observed,
            signals: &signals,
            memory: &memory,
            plan: &plan,
        };
        let is_astray = skew(self.parts.clock.now(), now) > MAX_SKEW;
        self.claims.judge_clock(is_astray);
        let (outcome, workers) = match claim {
            _ if is_astray => {
                tracing::error!(section = "pass", cluster = %self.name, "clock differs from the store's by more than 2 s");
                (Outcome::Failed, memory.workers.clone())
            }
            None => (Outcome::Standby, memory.workers.clone()),
            Some(ref claim) => self.act(&parts, claim, &turn).await?,
        };
        let sensors = policy::sensors(&observed, &memory, limits, now);
        let report = self.publish(&turn, &workers, sensors.as_ref());
        let may_tell = claim.is_some() && !is_astray && !limits.is_dry();
        let due = match outcome {
            // What a pool waits for is remembered by who may act alone: here it would begin anew in each pass.
            Outcome::Standby | Outcome::Failed => interval,
            _ => due(&plan, interval, now),
        };
        let seen = Arc::new(Seen { limits: limits.clone(), observed, memory, plan });
        self.seen.send_replace(Some(seen.clone()));
        if let Some(sensors) = sensors.filter(|_| may_tell) {
            self.tell(&parts, &seen, &sensors, &report).await;
        }
        Ok((outcome, due))
    }

    /// Tells others of what was seen: people of pods that cannot be helped, Alertmanager of need that no alert asks for yet.
    async fn tell(&self, parts: &Parts, seen: &Seen, sensors: &Sensors, report: &Report) {
        parts.cluster.tell(self.helpless.news(&sensors.helpless));
        if seen.observed.truth.answered() == 0 {
            return;
        }
        let acts = |pool: &PoolName| {
            seen.limits.configured().any(|it| it.name == *pool && it.mode == Mode::Act)
        };
        let pools = sensors.would_grow().filter(|(pool, _)| acts(pool));
        let wishes: Vec<Wish> = pools.map(|pool| Wish::new(pool, &report.signals)).collect();
        self.pusher.push(parts, (&self.name, seen.plan.at), &wishes).await;
    }

    /// The claim that such a pass needs: with the cluster's lease, unless it is a dry run of all. One that lacks the lease,
    /// since it was a dry run until now, is seen to at once.
    fn claim(&self, limits: &ClusterConfig) -> Option<Claim> {
        if limits.is_dry() {
            return self.claims.current();
        }
        let claim = self.claims.leased();
        if claim.is_none() && self.claims.current().is_some() {
            self.claims.seek();
        }
        claim
    }

    /// Commits the intent, executes, commits the outcome. Answers with the records as they are then.
    async fn act(
        &self,
        parts: &Parts,
        claim: &Claim,
        turn: &Turn<'_>,
    ) -> store::Result<(Outcome, Workers)> {
        let prepared = intent::prepare(turn, claim);
        if !prepared.changes.is_empty() {
            self.parts.store.commit(claim, &prepared.changes).await?;
            if prepared.changes.intents.is_empty() {
                killpoint::reached(Point::RecordsCommitted);
            } else {
                killpoint::reached(Point::IntentCommitted);
            }
        }
        let (workers, pools) = (prepared.workers, prepared.changes.pools);
        let mut ledger = Ledger::new(turn, claim.token, &self.parts.metrics, workers, pools);
        ledger.found_out();
        Executor::new(parts, &self.claims, turn, claim.token)
            .execute(&prepared.skipped, &mut ledger)
            .await;
        let Closed { changes, moved, refused, workers } = ledger.close();
        if !changes.is_empty() {
            self.parts.store.commit(claim, &changes).await?;
            killpoint::reached(Point::OutcomeCommitted);
        }
        parts.cluster.tell(notes::of_acts(turn, &changes.history, &workers));
        let outcome = if refused {
            Outcome::Busy
        } else if prepared.changed || moved {
            Outcome::Changed
        } else if is_busy(&workers) {
            Outcome::Busy
        } else {
            Outcome::Quiet
        };
        Ok((outcome, workers))
    }

    /// The parts of one pass. Its clients are those of its own snapshot to its end, whatever is reloaded
    /// meanwhile: addresses, credentials and what an answer means belong together.
    fn parts_of(&self, limits: &ClusterConfig) -> Parts {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(renewed) = clients.0.renewed(&limits.alertmanager) {
            clients.0 = renewed;
        }
        if let Some(renewed) = clients.1.renewed(&limits.prometheus) {
            clients.1 = renewed;
        }
        let (alertmanager, prometheus) = clients.clone();
        Parts { alertmanager, prometheus, ..self.parts.clone() }
    }

    async fn remember(&self) -> store::Result<(Memory, Vec<Signal>)> {
        let memory = self.parts.store.load(&self.name).await?;
        let signals = self.parts.store.signals(&self.name).await?;
        Ok((memory, signals))
    }

    fn publish(
        &self,
        turn: &Turn<'_>,
        workers: &Workers,
        sensors: Option<&Sensors>,
    ) -> Arc<Report> {
        report::gauges(&self.parts.metrics, turn, workers, sensors);
        let report = Arc::new(report::report(turn, workers));
        self.report.send_replace(Some(report.clone()));
        report
    }

    fn count(&self, outcome: Outcome) {
        let name = match outcome {
            Outcome::Changed => "changed",
            Outcome::Busy => "busy",
            Outcome::Quiet => "quiet",
            Outcome::Standby => "standby",
            Outcome::Failed => "failed",
        };
        let metrics = &self.parts.metrics.pass;
        metrics.total.with_label_values(&[self.name.as_str(), name]).inc();
        metrics
            .claim
            .with_label_values(&[self.name.as_str()])
            .set(i64::from(self.claims.current().is_some()));
        let refused = self.claims.refused().map(|refusal| refusal.kind());
        for kind in Refusal::KINDS {
            let is_it = i64::from(refused == Some(kind));
            metrics.lease.with_label_values(&[self.name.as_str(), kind]).set(is_it);
        }
        if outcome != Outcome::Failed {
            let now = seconds(self.parts.clock.now());
            metrics.last_success.with_label_values(&[self.name.as_str()]).set(now);
        }
    }

    fn pass_id(&self) -> PassId {
        PassId::new(format!("{}-{}", self.name, self.parts.clock.now().as_millisecond()))
    }
}

/// Everything one turn decided from and on.
struct Turn<'a> {
    pass: PassId,
    now: Timestamp,
    /// The same on the boot clock.
    planned: Duration,
    limits: &'a ClusterConfig,
    observed: &'a Observed,
    signals: &'a [Signal],
    memory: &'a Memory,
    plan: &'a Plan,
}

/// Records by id.
type Workers = BTreeMap<WorkerId, Worker>;

/// How far two clocks are apart.
fn skew(ours: Timestamp, stores: Timestamp) -> Duration {
    duration::since(ours, stores).max(duration::since(stores, ours))
}

/// Whether a worker is on its way in or out, so that a look before the next period is worth it.
fn is_busy(workers: &Workers) -> bool {
    workers.values().any(|worker| worker.is_live() && worker.state != WorkerState::Ready)
}

/// When the next pass is due: the period, or earlier when a pool waits for its siblings to settle, or a worker for load
/// balancers.
fn due(plan: &Plan, interval: Duration, now: Timestamp) -> Duration {
    let reasons = plan
        .decisions
        .iter()
        .flat_map(|decision| std::iter::once(&decision.reason).chain(&decision.also));
    reasons
        .filter_map(|reason| match reason {
            Reason::Settling { until } | Reason::LoadBalancers { until, .. } => {
                Some(duration::until(*until, now))
            }
            _ => None,
        })
        .fold(interval, Duration::min)
}
