//! What every provider keeps, tried on one of them: two machines are launched and ended again.
//!
//! The tests run it on each of ours; `bellwether provider test` runs it on anybody's program.

use super::{Launched, Provider};
use crate::clock::Clock;
use crate::model::{
    BatchId, ClusterName, ClusterUid, Instance, InstanceId, LaunchRequest, Offering, Order,
    PoolName, Shape, WorkerId, duration,
};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How often a list is asked that is waited for.
const AGAIN: Duration = Duration::from_millis(500);

/// How far its clock may be from ours.
const SKEW: Duration = Duration::from_mins(5);

/// Where it is tried.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The cluster. Its machines are told apart by the UID.
    pub cluster: ClusterName,
    /// A UID that no cluster has, and no other run.
    pub cluster_uid: ClusterUid,
    /// The pool.
    pub pool: PoolName,
    /// A pool that has no machines.
    pub other: PoolName,
    /// A machine that nobody has, named as the provider names its own.
    pub nobody: InstanceId,
    /// Whether its machines bear their workers' names. Otherwise each is known by its own id, which its record has.
    pub names_workers: bool,
    /// How long a machine may take to be listed, and to be gone.
    pub limit: Duration,
    /// Whose time it is.
    pub clock: Clock,
}

/// What was found about one property.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What every provider does.
    pub property: &'static str,
    /// What this one does instead; `None` where it keeps it.
    pub wrong: Option<String>,
}

/// What one property says: well, or what is wrong.
type Said<T = ()> = Result<T, String>;

/// Tries what changes nothing, and then, if asked to, all else. Each finding is told as it comes. Whatever is found, what was
/// launched is ended at the end; a machine that cannot be is a finding of its own. What follows from a property that is not
/// kept is not tried.
pub async fn try_out(
    provider: &dyn Provider,
    stage: &Stage,
    launches: bool,
    mut tell: impl FnMut(&Finding),
) -> Vec<Finding> {
    let (findings, launched) = (Vec::new(), BTreeSet::new());
    let mut trial = Trial { provider, stage, findings, launched, tell: &mut tell };
    let shapes = trial.read().await;
    if let Some(shapes) = shapes.filter(|_| launches) {
        let request = request(stage, &shapes);
        trial.act(&request).await;
        let cleaned = trial.clean(&request).await;
        trial.found("every machine of the trial is gone in the end", cleaned);
    }
    trial.findings
}

struct Trial<'a> {
    provider: &'a dyn Provider,
    stage: &'a Stage,
    findings: Vec<Finding>,
    /// Machines that launches were answered with: a list may be late.
    launched: BTreeSet<InstanceId>,
    tell: &'a mut dyn FnMut(&Finding),
}

impl Trial<'_> {
    fn found<T>(&mut self, property: &'static str, said: Said<T>) -> Option<T> {
        let (kept, wrong) = match said {
            Ok(kept) => (Some(kept), None),
            Err(wrong) => (None, Some(wrong)),
        };
        let finding = Finding { property, wrong };
        (self.tell)(&finding);
        self.findings.push(finding);
        kept
    }

    /// What changes nothing.
    async fn read(&mut self) -> Option<Vec<Shape>> {
        let shapes =
            self.provider.shapes(&self.stage.pool).await.map_err(|error| error.to_string());
        let shapes = self.found(
            "it offers shapes, each with CPU and memory, and somewhere",
            shapes.and_then(are_offered),
        );
        let list = self.list(&self.stage.pool).await.map(drop);
        self.found("it lists the pool", list)?;
        let other = self.list(&self.stage.other).await.and_then(|list| is_empty(&list));
        self.found("a pool without machines is an empty list, and no error", other)?;
        shapes
    }

    async fn act(&mut self, request: &LaunchRequest) -> Option<()> {
        let first = self.launch(request).await;
        let first = self.found("a launch answers with one machine for each worker", first)?;
        let again = self.launch(request).await;
        let again = again.and_then(|again| are_same(&first, &again, self.stage.names_workers));
        self.found("the same launch again answers with the same machines", again)?;
        let listed = self.lists(request, &first).await;
        self.found("the list tells of each machine what it was launched with", listed)?;
        let other = self.list(&self.stage.other).await.and_then(|list| is_empty(&list));
        self.found("the list of another pool is without them", other)?;
        let mut machines = first.values();
        let (gone, stays) = (machines.next()?, machines.next()?);
        let ended = self.ends(gone, stays).await;
        self.found("a machine is ended, and no other", ended)?;
        let twice = self.ends_nobody(gone).await;
        self.found("ending a machine twice, or one that nobody knows, is well", twice)
    }

    async fn launch(&mut self, request: &LaunchRequest) -> Said<BTreeMap<WorkerId, InstanceId>> {
        let answer = self.provider.launch(request).await.map_err(|error| error.to_string())?;
        self.launched.extend(answer.instances.iter().map(|(_, id, _)| id.clone()));
        each_once(request, &answer)
    }

    async fn list(&self, pool: &PoolName) -> Said<Vec<Instance>> {
        self.provider.list(pool).await.map_err(|error| error.to_string())
    }

    /// Lists until it says well.
    async fn until<T>(&self, judge: impl Fn(&[Instance]) -> Said<T>) -> Said<T> {
        let deadline = Instant::now() + self.stage.limit;
        loop {
            let said = self.list(&self.stage.pool).await.and_then(|list| judge(&list));
            if said.is_ok() || Instant::now() >= deadline {
                let limit = duration::format(self.stage.limit);
                return said.map_err(|wrong| format!("{wrong}, after {limit}"));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn lists(&self, request: &LaunchRequest, had: &BTreeMap<WorkerId, InstanceId>) -> Said {
        let recent = self.stage.limit + SKEW;
        self.until(|list| {
            had.iter().try_for_each(|(worker, id)| {
                let found = list.iter().find(|one| one.id == *id);
                let found = found.ok_or_else(|| format!("`{id}` is not listed"))?;
                let named = self.stage.names_workers.then_some(worker);
                is_told(request, named, found, (self.stage.clock.now(), recent))
            })
        })
        .await
    }

    async fn ends(&self, gone: &InstanceId, stays: &InstanceId) -> Said {
        self.end(gone).await?;
        self.until(|list| {
            let lives = |id: &InstanceId| list.iter().any(|one| one.id == *id && one.is_there());
            match (lives(gone), lives(stays)) {
                (_, false) => Err(format!("`{stays}` is gone, and was not to end")),
                (true, _) => Err(format!("`{gone}` is listed as if it stayed")),
                (false, true) => Ok(()),
            }
        })
        .await
    }

    async fn ends_nobody(&self, gone: &InstanceId) -> Said {
        self.end(gone).await?;
        self.end(&self.stage.nobody).await
    }

    async fn end(&self, id: &InstanceId) -> Said {
        let answer = self.provider.terminate(&self.stage.cluster_uid, &self.stage.pool, id).await;
        answer.map_err(|error| format!("ending `{id}`: {error}"))
    }

    /// Ends all that is of the trial: what launches were answered with, and what is listed by then. What cannot be ended is named,
    /// and keeps nothing else from its end.
    async fn clean(&self, request: &LaunchRequest) -> Said {
        let batch = Some(&request.batch);
        let is_left = |one: &&Instance| one.is_there() && one.batch.as_ref() == batch;
        let listed = self.list(&self.stage.pool).await.unwrap_or_default();
        let listed = listed.iter().filter(is_left).map(|one| one.id.clone());
        let all: BTreeSet<InstanceId> = self.launched.iter().cloned().chain(listed).collect();
        let mut not_ended = Vec::new();
        for id in &all {
            not_ended.extend(self.end(id).await.err());
        }
        let gone = self.until(|list| match list.iter().find(is_left) {
            Some(left) => Err(format!("`{}` is left; end it yourself", left.id)),
            None => Ok(()),
        });
        gone.await
            .map_err(|left| not_ended.into_iter().chain([left]).collect::<Vec<_>>().join("; "))
    }
}

/// Two workers of the first shape, with everything on them that a pool may ask for.
fn request(stage: &Stage, shapes: &[Shape]) -> LaunchRequest {
    let offerings: Vec<Offering> =
        shapes.iter().flat_map(|shape| shape.offerings.clone()).collect();
    let batch = format!("{}-{}", stage.pool, stage.cluster_uid);
    let order = |number: u32| Order {
        worker: format!("{batch}-{number}").as_str().into(),
        offering: offerings[0].clone(),
    };
    LaunchRequest {
        cluster: stage.cluster.clone(),
        cluster_uid: stage.cluster_uid.clone(),
        pool: stage.pool.clone(),
        orders: vec![order(1), order(2)],
        batch: batch.as_str().into(),
        token: None,
        fallback: offerings,
        labels: [("bellwether.dev/trial".to_owned(), "true".to_owned())].into(),
        taints: Vec::new(),
    }
}

fn are_offered(shapes: Vec<Shape>) -> Said<Vec<Shape>> {
    let is_nothing = |shape: &&Shape| shape.capacity.cpu_milli == 0 || shape.capacity.memory == 0;
    if let Some(shape) = shapes.iter().find(is_nothing) {
        return Err(format!("`{}` is without CPU or memory", shape.name));
    }
    if shapes.iter().all(|shape| shape.offerings.is_empty()) {
        return Err("nothing is offered anywhere".to_owned());
    }
    Ok(shapes)
}

fn is_empty(list: &[Instance]) -> Said {
    match list.first() {
        Some(one) => Err(format!("it lists `{}`", one.id)),
        None => Ok(()),
    }
}

fn each_once(request: &LaunchRequest, answer: &Launched) -> Said<BTreeMap<WorkerId, InstanceId>> {
    if let Some((worker, error)) = answer.failed.first() {
        return Err(format!("`{worker}`: {error}"));
    }
    let had: BTreeMap<_, _> =
        answer.instances.iter().map(|(worker, id, _)| (worker.clone(), id.clone())).collect();
    let ids: BTreeSet<_> = had.values().collect();
    let asked = request.orders.len();
    if had.len() == asked && ids.len() == asked && answer.instances.len() == asked {
        Ok(had)
    } else {
        Err(format!("{asked} workers were asked for, and it answers with {} machines", ids.len()))
    }
}

fn are_same(
    first: &BTreeMap<WorkerId, InstanceId>,
    again: &BTreeMap<WorkerId, InstanceId>,
    names_workers: bool,
) -> Said {
    let machines = |had: &BTreeMap<WorkerId, InstanceId>| {
        had.values().cloned().collect::<BTreeSet<InstanceId>>()
    };
    if !names_workers && machines(first) == machines(again) {
        return Ok(());
    }
    let other = first.iter().find(|(worker, id)| again.get(*worker) != Some(id));
    match other {
        Some((worker, id)) => {
            let now = again.get(worker).map_or("none", |id| id.as_str());
            Err(format!(
                "`{worker}` had `{id}`, and now `{now}`: a lost answer would cost a machine"
            ))
        }
        None => Ok(()),
    }
}

/// Whether all that it was launched with stands there: it is the only memory if all others are lost.
fn is_told(
    request: &LaunchRequest,
    worker: Option<&WorkerId>,
    listed: &Instance,
    (now, recent): (Timestamp, Duration),
) -> Said {
    let differs = |what: &str, asked: &str, told: Option<&str>| {
        let told = told.unwrap_or("nothing");
        Err(format!("`{}` is listed with the {what} `{told}` instead of `{asked}`", listed.id))
    };
    let told = [
        ("batch", request.batch.as_str(), listed.batch.as_ref().map(BatchId::as_str)),
        (
            "cluster_uid",
            request.cluster_uid.as_str(),
            listed.cluster_uid.as_ref().map(ClusterUid::as_str),
        ),
        ("pool", request.pool.as_str(), Some(listed.pool.as_str())),
    ];
    let worker =
        worker.map(|id| ("worker", id.as_str(), listed.worker.as_ref().map(WorkerId::as_str)));
    for (what, asked, told) in worker.into_iter().chain(told) {
        if told != Some(asked) {
            return differs(what, asked, told);
        }
    }
    if !listed.is_live() {
        return Err(format!("`{}` is listed as ended", listed.id));
    }
    let (shape, zone, market) = (&listed.shape, &listed.zone, listed.market);
    let is_it = |one: &Offering| (&one.shape, &one.zone, one.market) == (shape, zone, market);
    if !request.fallback.iter().any(is_it) {
        return Err(format!(
            "`{}` is listed as {shape} in {zone}, which is not offered",
            listed.id
        ));
    }
    let off = listed.launched.duration_since(now).unsigned_abs();
    if off > recent {
        return Err(format!("`{}` was launched at {}, it says", listed.id, listed.launched));
    }
    Ok(())
}
