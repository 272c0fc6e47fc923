//! Doing what the plan says, each call checked right before it is made; every outcome is an event.

use super::intent::act_name;
use super::ledger::Ledger;
use super::{Claims, Parts, Turn, observe};
use crate::cluster::{self, Eviction, Manner, Mark};
use crate::killpoint::{self, Point};
use crate::model::{
    Act, BatchId, EntryKind, Failure, Intent, LaunchRequest, PassId, Permit, PoolName, Purpose,
    Reason, Step, Token, Verdict, WorkerEvent, WorkerId, WorkerState, duration,
};
use crate::policy::list_delay;
use crate::policy::permit::{self, Moment};
use crate::provider::{self, LeftBehind};
use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{self, StreamExt as _};
use std::collections::HashSet;

/// Steps under way at once. Each is short; more would only burden the apiserver.
const PARALLEL: usize = 8;

/// Executes one turn's plan under one claim.
pub(super) struct Executor<'a> {
    parts: &'a Parts,
    claims: &'a Claims,
    turn: &'a Turn<'a>,
    token: Token,
}

/// What one call led to.
enum Done {
    /// It went well. `event` moves the record; `note` is worth a line of history.
    Ok { event: Option<WorkerEvent>, note: bool },
    /// There is nothing to ask any more.
    Waiting,
    /// Pods are on their way out; what keeps one there, if something does.
    Evicted(Option<String>),
    /// It failed: its word in metrics, and for people.
    Failed(&'static str, String),
    /// The check right before it said no.
    Refused(Reason),
    /// A launch was asked again.
    Replayed(provider::Result<provider::Launched>, BatchId),
}

impl<'a> Executor<'a> {
    pub(super) fn new(
        parts: &'a Parts,
        claims: &'a Claims,
        turn: &'a Turn<'a>,
        token: Token,
    ) -> Self {
        Self { parts, claims, turn, token }
    }

    /// Launches first, then one step for each worker that has one.
    pub(super) async fn execute(&self, skipped: &HashSet<WorkerId>, ledger: &mut Ledger<'_>) {
        for decision in self.turn.plan.decisions.iter().filter(|decision| !decision.dry_run) {
            if let Verdict::Launch { intent } = &decision.verdict {
                self.launch(intent, ledger).await;
            }
        }
        let made = |step: &&Step| !step.dry_run && !skipped.contains(&step.worker);
        let steps = self.turn.plan.steps.iter().filter(made);
        // Boxed: the compiler cannot see by itself that these futures may move between threads.
        let calls: Vec<BoxFuture<'_, (&Step, Option<String>, Done)>> =
            steps.map(|step| self.step(step).boxed()).collect();
        let mut under_way = stream::iter(calls).buffer_unordered(PARALLEL);
        while let Some((step, words, done)) = under_way.next().await {
            if let Some(words) = &words {
                // Whatever came of the call: nobody asks again.
                ledger.last_words(&step.worker, words);
            }
            self.settle(step, words.as_deref(), done, ledger);
        }
    }

    async fn launch(&self, intent: &Intent, ledger: &mut Ledger<'_>) {
        let request = &intent.request;
        self.parts.provider.turn(&request.pool).await;
        if let Err(reason) = self.permitted(&intent.permit, &request.pool).await {
            ledger.count(&request.pool, "launch", "refused");
            // Nothing was asked of the provider, so nothing can have been left behind.
            give_up(request, Failure::Refused, &reason, ledger);
            ledger.not_launched(intent);
            return;
        }
        let answer = self.parts.provider.launch(request).await;
        killpoint::reached(Point::LaunchAnswered);
        let is_unasked = answer == Err(provider::Error::NotAsked);
        launched(request, answer, ledger);
        if is_unasked {
            ledger.not_launched(intent);
        }
    }

    /// What a machine that is given up wrote last, where that was asked, and what came of the call.
    async fn step<'s>(&self, step: &'s Step) -> (&'s Step, Option<String>, Done) {
        if matches!(step.act, Act::Terminate { .. } | Act::Replay { .. }) {
            self.parts.provider.turn(&step.pool).await;
        }
        // Asked before the check, so that nothing waits between that and the call.
        let words = self.last_words(step).await;
        if let Err(reason) = self.may_end(step).await {
            return (step, words, Done::Refused(reason));
        }
        let may = self.permitted(&step.permit, &step.pool).await;
        match may.and_then(|()| self.fresh(step)) {
            Ok(()) => (step, words, self.call(step).await),
            Err(reason) => (step, words, Done::Refused(reason)),
        }
    }

    /// Whether what was seen may still remove something: a rate limit, a store or an Alertmanager that is slow may have
    /// held this step for long.
    fn fresh(&self, step: &Step) -> Result<(), Reason> {
        if !matches!(step.act, Act::Cordon { .. } | Act::Terminate { .. } | Act::RemoveNode { .. })
        {
            return Ok(());
        }
        let passed = self.parts.clock.boottime().saturating_sub(self.turn.planned);
        let now = duration::after(self.turn.now, passed);
        permit::fresh(self.turn.observed, &step.pool, self.turn.limits, now)
    }

    /// The last that a machine wrote which did not become Ready by its deadline, asked when its end is asked for first:
    /// once it is gone nobody can.
    async fn last_words(&self, step: &Step) -> Option<String> {
        let (Act::Terminate { instance }, Some(_)) = (&step.act, &step.before) else { return None };
        let worker = self.turn.memory.workers.get(&step.worker)?;
        let WorkerState::Failed { failure } = worker.state else { return None };
        if !matches!(failure, Failure::NeverJoined | Failure::NeverReady) {
            return None;
        }
        let told = self.parts.provider.console(&step.pool, instance).await;
        match told {
            Ok(console) => console.as_deref().and_then(provider::last_words),
            Err(error) => Some(format!("its console is not known: {error}")),
        }
    }

    /// Whether the machine could be ended once it is empty: where somebody protects it, its node is not even cordoned.
    async fn may_end(&self, step: &Step) -> Result<(), Reason> {
        if !matches!(step.act, Act::Cordon { .. }) {
            return Ok(());
        }
        let worker = self.turn.memory.workers.get(&step.worker);
        // The provider takes that one itself.
        let is_noticed = worker.is_some_and(|worker| worker.purpose == Some(Purpose::Notice));
        if is_noticed || matches!(step.reason, Reason::SpotNotice { .. }) {
            return Ok(());
        }
        let Some(instance) = worker.and_then(|worker| worker.instance.as_ref()) else {
            return Ok(());
        };
        match self.parts.provider.may_end(&step.pool, instance).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::Protected),
            Err(error) => Err(Reason::Unknown {
                what: "whether its machine may be ended".to_owned(),
                why: error.to_string(),
            }),
        }
    }

    /// The act-time check: what the decision rests on still holds, and the claim is still ours.
    async fn permitted(&self, permit: &Permit, pool: &PoolName) -> Result<(), Reason> {
        if *permit != Permit::Begun {
            let expressions =
                if let Permit::Down { guards, .. } = permit { guards.as_slice() } else { &[] };
            let (truth, guards) = tokio::join!(
                self.parts.alertmanager.truth(),
                observe::evaluate(self.parts, expressions)
            );
            let moment = Moment {
                cluster: &self.turn.limits.name,
                pool,
                signals: self.turn.signals,
                truth: &truth,
                guards: &guards,
                memory: &self.turn.plan.memory,
                limits: self.turn.limits,
                now: self.parts.store.now().await.map_err(|_| Reason::StoreAway)?,
            };
            permit::check(permit, &moment)?;
        }
        // Last, so that nothing waits between this check and the call.
        match self.claims.leased() {
            Some(claim) if claim.token == self.token => Ok(()),
            _ => Err(Reason::ClaimLost),
        }
    }

    async fn call(&self, step: &Step) -> Done {
        let cluster = &self.parts.cluster;
        match &step.act {
            Act::Cordon { node } => {
                let answer = cluster.cordon(node, &mark(step, &self.turn.pass)).await;
                killpoint::reached(Point::Cordoned);
                from_cluster(answer, None)
            }
            Act::Uncordon { node } => {
                let answer = cluster.uncordon(node).await;
                killpoint::reached(Point::Uncordoned);
                from_cluster(answer, Some(WorkerEvent::Release))
            }
            Act::RemoveNode { node } => {
                let answer = cluster.remove_node(node).await;
                killpoint::reached(Point::NodeRemoved);
                from_cluster(answer, None)
            }
            Act::Evict { node } | Act::Force { node } => {
                let is_forced = matches!(step.act, Act::Force { .. });
                let manner = if is_forced { Manner::Force } else { Manner::Evict };
                let answer = cluster.evict_step(node, manner).await;
                match answer {
                    Ok(Eviction::Empty) => killpoint::reached(Point::LastEviction),
                    _ => killpoint::reached(Point::Evicted),
                }
                from_eviction(answer)
            }
            Act::Terminate { instance } => {
                let Some(view) = self.turn.observed.cluster.known() else {
                    // Nothing is planned without it; and whose the machine is, could not be said.
                    let what = "the cluster".to_owned();
                    return Done::Refused(Reason::Unknown { what, why: "not seen".to_owned() });
                };
                let provider = &self.parts.provider;
                let answer = provider.terminate(&view.uid, &step.pool, instance).await;
                killpoint::reached(Point::TerminateAnswered);
                match answer {
                    Ok(()) => Done::Ok { event: None, note: step.before.is_some() },
                    Err(error) => Done::Failed(error.kind(), error.to_string()),
                }
            }
            Act::Replay { batch } => match self.turn.memory.intents.get(batch) {
                Some(intent) => {
                    let answer = self.parts.provider.launch(&intent.request).await;
                    killpoint::reached(Point::ReplayAnswered);
                    Done::Replayed(answer, batch.clone())
                }
                None => Done::Waiting,
            },
        }
    }

    fn settle(&self, step: &Step, words: Option<&str>, done: Done, ledger: &mut Ledger<'_>) {
        let name = act_name(&step.act);
        match done {
            Done::Ok { event, note } => {
                ledger.count(&step.pool, name, "ok");
                if matches!(step.act, Act::Cordon { .. }) {
                    ledger.cordoned(&step.worker);
                }
                let is_late = matches!(step.reason, Reason::DrainDeadline { .. });
                if is_late && matches!(step.act, Act::Uncordon { .. }) {
                    ledger.gave_up(&step.pool);
                }
                if let Some(event) = event {
                    ledger.moved(&step.worker, &event);
                }
                if note {
                    let detail = words.map(in_a_line).unwrap_or_default();
                    ledger.step(EntryKind::Done, step, step.reason.clone(), detail);
                }
            }
            Done::Waiting => ledger.count(&step.pool, name, "waiting"),
            Done::Evicted(blocked) => {
                let outcome = if blocked.is_some() { "waiting" } else { "ok" };
                ledger.count(&step.pool, name, outcome);
                ledger.blocked(&step.worker, blocked);
            }
            Done::Failed(kind, text) => {
                ledger.count(&step.pool, name, kind);
                if matches!(step.act, Act::Evict { .. } | Act::Force { .. }) {
                    ledger.blocked(&step.worker, Some(text.clone()));
                }
                ledger.step(EntryKind::Failed, step, step.reason.clone(), text);
            }
            Done::Refused(reason) => {
                ledger.count(&step.pool, name, "refused");
                if matches!(step.act, Act::Cordon { .. }) && step.before.is_some() {
                    // Nothing was called: the node is as it was, and so is the record.
                    ledger.moved(&step.worker, &WorkerEvent::Release);
                }
                ledger.step(EntryKind::Refused, step, reason, String::new());
            }
            Done::Replayed(answer, batch) => {
                if let Some(intent) = self.turn.memory.intents.get(&batch) {
                    let told_by = list_delay(self.turn.limits);
                    let is_late = duration::since(intent.at, self.turn.now) >= told_by;
                    replayed(&intent.request, answer, is_late, ledger);
                }
            }
        }
    }
}

/// The end of what a machine wrote, for a line of history; its record has more.
fn in_a_line(words: &str) -> String {
    let lines: Vec<&str> = words.lines().collect();
    lines[lines.len().saturating_sub(3)..].join(" | ")
}

/// A provider's answer to a launch, first or replayed.
pub(super) fn launched(
    request: &LaunchRequest,
    answer: provider::Result<provider::Launched>,
    ledger: &mut Ledger<'_>,
) {
    let launched = match answer {
        Ok(launched) => launched,
        Err(error) => return not_launched(request, &error, ledger),
    };
    let failed = launched.failed.clone();
    had(request, launched, ledger);
    for (worker, error) in failed {
        if !ledger.is_requested(&worker) {
            continue;
        }
        ledger.count(&request.pool, "launch", error.kind());
        fail(request, &worker, failure_of(&error), why_not(&error), ledger);
    }
    ledger.settled(&request.batch);
}

/// A refusal says that this call did nothing. What the first one did the list tells, and only once it is late enough for that.
fn replayed(
    request: &LaunchRequest,
    answer: provider::Result<provider::Launched>,
    is_late: bool,
    ledger: &mut Ledger<'_>,
) {
    match answer {
        Err(error @ (provider::Error::NotAsked | provider::Error::Throttled)) => {
            ledger.count(&request.pool, "launch", error.kind());
        }
        Err(error) if !is_late => {
            ledger.count(&request.pool, "launch", error.kind());
            ledger.launch(EntryKind::Failed, request, None, why_not(&error));
        }
        Ok(launched) if !is_late && !launched.failed.is_empty() => had(request, launched, ledger),
        answer => self::launched(request, answer, ledger),
    }
}

/// Machines that came, and offerings that had none.
fn had(request: &LaunchRequest, launched: provider::Launched, ledger: &mut Ledger<'_>) {
    for (worker, instance, offering) in ledger.paired(request, launched.instances) {
        let (shape, zone, market) = (offering.shape, offering.zone, offering.market);
        ledger.count(&request.pool, "launch", "ok");
        ledger.moved(&worker, &WorkerEvent::Launched { instance, shape, zone, market });
        ledger.launch(EntryKind::Done, request, Some(&worker), Reason::Launched);
    }
    ledger.short(&request.pool, &launched.short);
}

fn not_launched(request: &LaunchRequest, error: &provider::Error, ledger: &mut Ledger<'_>) {
    ledger.count(&request.pool, "launch", error.kind());
    match error.left_behind() {
        LeftBehind::Nothing => give_up(request, failure_of(error), &why_not(error), ledger),
        // The intent stays open: the next pass finds out, by list and by replay.
        LeftBehind::Unknown => ledger.launch(EntryKind::Failed, request, None, why_not(error)),
    }
}

/// Every order of a request surely came to nothing.
pub(super) fn give_up(
    request: &LaunchRequest,
    failure: Failure,
    reason: &Reason,
    ledger: &mut Ledger<'_>,
) {
    let open: Vec<_> =
        request.orders.iter().filter(|order| ledger.is_requested(&order.worker)).collect();
    for order in open {
        fail(request, &order.worker, failure, reason.clone(), ledger);
    }
    ledger.settled(&request.batch);
}

fn fail(
    request: &LaunchRequest,
    worker: &WorkerId,
    failure: Failure,
    reason: Reason,
    ledger: &mut Ledger<'_>,
) {
    let kind = if failure == Failure::Refused { EntryKind::Refused } else { EntryKind::Failed };
    ledger.moved(worker, &WorkerEvent::Fail { failure });
    ledger.launch(kind, request, Some(worker), reason);
}

/// Whoever was not asked did not fail: that says nothing of whether launching helps.
fn failure_of(error: &provider::Error) -> Failure {
    if *error == provider::Error::NotAsked { Failure::Refused } else { Failure::NotLaunched }
}

fn why_not(error: &provider::Error) -> Reason {
    let detail = error.to_string();
    match error {
        provider::Error::Capacity(_) | provider::Error::Quota(_) => Reason::NoCapacity { detail },
        _ => Reason::LaunchFailed { detail },
    }
}

fn mark(step: &Step, pass: &PassId) -> Mark {
    let (pool, worker, why) = (step.pool.clone(), step.worker.clone(), step.reason.to_string());
    Mark { pool, worker, why, pass: pass.clone() }
}

fn from_cluster(answer: cluster::Result<()>, event: Option<WorkerEvent>) -> Done {
    match answer {
        Ok(()) => Done::Ok { event, note: true },
        Err(error) => Done::Failed(error.kind(), error.to_string()),
    }
}

fn from_eviction(answer: cluster::Result<Eviction>) -> Done {
    match answer {
        Ok(Eviction::Empty) => Done::Ok { event: Some(WorkerEvent::Drained), note: true },
        Ok(Eviction::Evicting { .. }) => Done::Evicted(None),
        Ok(Eviction::Blocked { by, .. }) => Done::Evicted(Some(by)),
        Err(error) => Done::Failed(error.kind(), error.to_string()),
    }
}
