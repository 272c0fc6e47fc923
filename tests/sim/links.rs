//! What one process sees and does, over links that fail in every way; each act is shown to the checker first.

use crate::checker::Checker;
use crate::happening::{Link, Trouble};
use crate::monitoring::Monitoring;
use crate::primaries::Primaries;
use crate::replica::Control;
use async_trait::async_trait;
use bellwether::alertmanager::Alertmanager;
use bellwether::cluster::fence::{self, Fence, Refusal};
use bellwether::cluster::{self, Cluster, Eviction, Manner, Mark};
use bellwether::config::ClusterConfig;
use bellwether::model::{
    Changes, Claim, ClusterName, ClusterUid, ClusterView, Entry, EntryKind, Guard, Instance,
    InstanceId, LaunchRequest, Memory, NodeRef, PoolName, Shape, Signal, Token, Truth, View, Want,
};
use bellwether::prometheus::Prometheus;
use bellwether::provider::{self, Launched, Provider};
use bellwether::sim;
use bellwether::store::{self, HistoryQuery, Store};
use futures_util::future::join_all;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// All links of one process. Troubles outlive the process: they are the network's.
#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) replica: usize,
    pub(crate) checker: Arc<Checker>,
    pub(crate) machines: sim::Provider,
    pub(crate) cluster: sim::Cluster,
    pub(crate) witness: sim::Witness,
    pub(crate) store: Arc<Primaries>,
    pub(crate) monitoring: Arc<Mutex<Monitoring>>,
    troubles: Mutex<Vec<(Link, Trouble)>>,
    /// The process that runs now.
    process: Mutex<Arc<Control>>,
    /// Calls over a flaky link so far.
    flaked: AtomicU64,
    kept: Mutex<Kept>,
}

/// What was seen when a link went stale.
#[derive(Debug, Default)]
struct Kept {
    view: Option<View<ClusterView>>,
    lists: BTreeMap<PoolName, Vec<Instance>>,
}

impl Links {
    pub(crate) fn new(
        replica: usize,
        checker: Arc<Checker>,
        world: &sim::World,
        store: Arc<Primaries>,
        monitoring: Arc<Mutex<Monitoring>>,
    ) -> Self {
        let (troubles, kept, process) = Default::default();
        let flaked = AtomicU64::new(0);
        Self {
            replica,
            checker,
            machines: sim::Provider::new(world.clone()),
            cluster: sim::Cluster::new(world.clone()),
            witness: sim::Witness::new(world.clone()),
            store,
            monitoring,
            troubles,
            process,
            flaked,
            kept,
        }
    }

    /// A process has started.
    pub(crate) fn runs(&self, process: Arc<Control>) {
        *self.process.lock().unwrap() = process;
    }

    pub(crate) fn begin(&self, link: Link, trouble: Trouble) {
        self.troubles.lock().unwrap().push((link, trouble));
    }

    pub(crate) fn end(&self, link: Link, trouble: Trouble) {
        self.troubles.lock().unwrap().retain(|one| *one != (link, trouble));
        *self.kept.lock().unwrap() = Kept::default();
    }

    fn trouble(&self, link: Link) -> Option<Trouble> {
        let troubles = self.troubles.lock().unwrap();
        let trouble = troubles.iter().find(|(on, _)| *on == link).map(|(_, trouble)| *trouble)?;
        let Trouble::Flaky(percent) = trouble else { return Some(trouble) };
        // Multiplied by a large prime, the count is as good as chance, and the same each time.
        let chance = self.flaked.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_761) % 200;
        match chance {
            chance if chance < percent => Some(Trouble::Before),
            chance if chance < percent * 2 => Some(Trouble::After),
            _ => None,
        }
    }

    /// Makes a call that goes on by itself once it is sent, whoever stops waiting for it.
    async fn send<T: Send + 'static>(
        &self,
        link: Link,
        call: impl Future<Output = T> + Send + 'static,
        lost: impl FnOnce() -> T,
    ) -> T {
        step().await;
        let answer = self.sent(link, call, lost).await;
        step().await;
        answer
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "what is on its way arrives though its sender dies"
    )]
    async fn sent<T: Send + 'static>(
        &self,
        link: Link,
        call: impl Future<Output = T> + Send + 'static,
        lost: impl FnOnce() -> T,
    ) -> T {
        match self.trouble(link) {
            None | Some(Trouble::Stale | Trouble::Flaky(_)) => call.await,
            Some(Trouble::Before) => lost(),
            Some(Trouble::After) => {
                call.await;
                lost()
            }
            Some(Trouble::Slow(time)) => {
                let sent = tokio::spawn(async move {
                    tokio::time::sleep(time).await;
                    call.await
                });
                sent.await.expect("a call does not panic")
            }
            Some(Trouble::Late(time)) => {
                let answer = call.await;
                tokio::time::sleep(time).await;
                answer
            }
        }
    }

    /// Makes a call that only reads.
    async fn ask<T>(
        &self,
        link: Link,
        call: impl Future<Output = T>,
        lost: impl FnOnce() -> T,
    ) -> T {
        step().await;
        match self.trouble(link) {
            None | Some(Trouble::Stale | Trouble::Flaky(_)) => call.await,
            Some(Trouble::Before | Trouble::After) => lost(),
            Some(Trouble::Slow(time)) => {
                tokio::time::sleep(time).await;
                call.await
            }
            Some(Trouble::Late(time)) => {
                let answer = call.await;
                tokio::time::sleep(time).await;
                answer
            }
        }
    }
}

/// A step of the process that waits, so that it can die or be stopped right here.
async fn step() {
    tokio::task::yield_now().await;
}

/// A link as each of the traits.
#[derive(Clone, Debug)]
pub(crate) struct Linked(pub(crate) Arc<Links>);

fn unavailable() -> provider::Error {
    provider::Error::Unavailable("no answer".to_owned())
}

fn away() -> cluster::Error {
    cluster::Error::Unavailable("no answer".to_owned())
}

fn store_away<T>() -> store::Result<T> {
    Err(store::Error::Away("no answer".to_owned()))
}

#[async_trait]
impl Provider for Linked {
    fn follow(&self, limits: &ClusterConfig) {
        self.0.machines.follow(limits);
    }

    async fn launch(&self, request: &LaunchRequest) -> provider::Result<Launched> {
        let links = &self.0;
        links.checker.launch(links.replica, request).await;
        links.checker.shows("a launch", &format!("{request:?}"));
        let (machines, request) = (links.machines.clone(), request.clone());
        let call = async move { machines.launch(&request).await };
        let answer = links.send(Link::Provider, call, || Err(unavailable())).await;
        links.checker.no_twins();
        answer
    }

    async fn terminate(
        &self,
        whose: &ClusterUid,
        pool: &PoolName,
        id: &InstanceId,
    ) -> provider::Result<()> {
        let links = &self.0;
        links.checker.terminate(links.replica, pool, id).await;
        let (machines, whose) = (links.machines.clone(), whose.clone());
        let (pool, id) = (pool.clone(), id.clone());
        let call = async move { machines.terminate(&whose, &pool, &id).await };
        links.send(Link::Provider, call, || Err(unavailable())).await
    }

    async fn list(&self, pool: &PoolName) -> provider::Result<Vec<Instance>> {
        let links = &self.0;
        let mut list =
            links.ask(Link::Provider, links.machines.list(pool), || Err(unavailable())).await;
        if links.trouble(Link::Provider) == Some(Trouble::Stale)
            && let Ok(now) = &list
        {
            let mut kept = links.kept.lock().unwrap();
            list = Ok(kept.lists.entry(pool.clone()).or_insert_with(|| now.clone()).clone());
        }
        links.checker.saw_list(links.replica, pool, list.as_deref().ok());
        list
    }

    async fn shapes(&self, pool: &PoolName) -> provider::Result<Vec<Shape>> {
        let links = &self.0;
        links.ask(Link::Provider, links.machines.shapes(pool), || Err(unavailable())).await
    }

    async fn console(&self, pool: &PoolName, id: &InstanceId) -> provider::Result<Option<String>> {
        let links = &self.0;
        links.ask(Link::Provider, links.machines.console(pool, id), || Err(unavailable())).await
    }
}

#[async_trait]
impl Cluster for Linked {
    async fn observe(&self) -> View<ClusterView> {
        let links = &self.0;
        let lost = || View::Unknown { why: "no answer".to_owned() };
        let mut view = links.ask(Link::Cluster, links.cluster.observe(), lost).await;
        if links.trouble(Link::Cluster) == Some(Trouble::Stale) {
            view = links.kept.lock().unwrap().view.get_or_insert(view).clone();
        }
        if !links.checker.saw_view(links.replica, &view) {
            std::future::pending::<()>().await;
        }
        view
    }

    async fn cordon(&self, node: &NodeRef, mark: &Mark) -> cluster::Result<()> {
        let links = &self.0;
        links.checker.cordon(links.replica, node, &mark.worker).await;
        links.checker.shows("a cordon", &format!("{mark:?}"));
        let (cluster, node, mark) = (links.cluster.clone(), node.clone(), mark.clone());
        let call = async move { cluster.cordon(&node, &mark).await };
        links.send(Link::Cluster, call, || Err(away())).await
    }

    async fn uncordon(&self, node: &NodeRef) -> cluster::Result<()> {
        let links = &self.0;
        links.checker.uncordon(links.replica, node).await;
        let (cluster, node) = (links.cluster.clone(), node.clone());
        let call = async move { cluster.uncordon(&node).await };
        links.send(Link::Cluster, call, || Err(away())).await
    }

    async fn evict_step(&self, node: &NodeRef, manner: Manner) -> cluster::Result<Eviction> {
        let links = &self.0;
        match manner {
            Manner::Evict => links.checker.evict(links.replica, node).await,
            Manner::Force => links.checker.force(links.replica, node).await,
        }
        let (cluster, node) = (links.cluster.clone(), node.clone());
        let call = async move { cluster.evict_step(&node, manner).await };
        links.send(Link::Cluster, call, || Err(away())).await
    }

    async fn remove_node(&self, node: &NodeRef) -> cluster::Result<()> {
        let links = &self.0;
        links.checker.remove_node(links.replica, node).await;
        let (cluster, node) = (links.cluster.clone(), node.clone());
        let call = async move { cluster.remove_node(&node).await };
        links.send(Link::Cluster, call, || Err(away())).await
    }
}

fn out_of_reach<T>() -> fence::Result<T> {
    Err(Refusal::Away("no answer".to_owned()))
}

#[async_trait]
impl Fence for Linked {
    async fn last(&self) -> fence::Result<Token> {
        let witness = self.0.witness.clone();
        self.0.send(Link::Cluster, async move { witness.last().await }, out_of_reach).await
    }

    async fn hold(&self, claim: &Claim, ttl: Duration) -> fence::Result<()> {
        let links = &self.0;
        let (witness, checker, claim) =
            (links.witness.clone(), links.checker.clone(), claim.clone());
        let call = async move {
            let answer = witness.hold(&claim, ttl).await;
            answer.inspect(|()| checker.granted(&claim))
        };
        links.send(Link::Cluster, call, out_of_reach).await
    }

    async fn let_go(&self, claim: &Claim) -> fence::Result<()> {
        let (witness, claim) = (self.0.witness.clone(), claim.clone());
        let call = async move { witness.let_go(&claim).await };
        self.0.send(Link::Cluster, call, out_of_reach).await
    }
}

/// How long a client waits for Alertmanager and Prometheus.
const PATIENCE: Duration = Duration::from_secs(5);

#[async_trait]
impl Alertmanager for Linked {
    async fn truth(&self) -> Truth {
        let links = &self.0;
        let ask = |peer| async move {
            let told = async { links.monitoring.lock().unwrap().told(peer, links.checker.now()) };
            let asked = links.ask(Link::Alertmanager(peer), told, || None);
            tokio::time::timeout(PATIENCE, asked).await.unwrap_or(None)
        };
        let peers = links.monitoring.lock().unwrap().alertmanagers();
        let told = join_all((0..peers).map(ask)).await;
        let truth = links.monitoring.lock().unwrap().truth(told);
        links.checker.told(links.replica, &truth);
        truth
    }
}

#[async_trait]
impl Prometheus for Linked {
    async fn guard(&self, _: &str) -> Guard {
        let links = &self.0;
        let lost = || Guard::Unknown { why: "no answer".to_owned() };
        let guard = async { links.monitoring.lock().unwrap().guard() };
        let asked = links.ask(Link::Prometheus, guard, lost);
        let guard = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| lost());
        links.checker.guarded(links.replica, &guard);
        guard
    }

    async fn want(&self, _: &str) -> Want {
        let links = &self.0;
        let lost = || Want::Unknown { why: "no answer".to_owned() };
        let want = async { links.monitoring.lock().unwrap().want() };
        let asked = links.ask(Link::Prometheus, want, lost);
        let want = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| lost());
        links.checker.wanted(links.replica, &want);
        want
    }
}

#[async_trait]
impl Store for Linked {
    async fn now(&self) -> store::Result<Timestamp> {
        let links = &self.0;
        links.ask(Link::Store, links.store.present().now(), store_away).await
    }

    async fn claim(
        &self,
        cluster: &ClusterName,
        holder: &str,
        ttl: Duration,
        past: Token,
    ) -> store::Result<Claim> {
        let links = &self.0;
        let inner = links.store.present();
        let (cluster, holder) = (cluster.clone(), holder.to_owned());
        let call = async move { inner.claim(&cluster, &holder, ttl, past).await };
        let link = if links.trouble(Link::Store).is_some() { Link::Store } else { Link::Claim };
        links.send(link, call, store_away).await
    }

    async fn renew(&self, claim: &Claim, ttl: Duration) -> store::Result<Claim> {
        let links = &self.0;
        let (inner, claim) = (links.store.present(), claim.clone());
        let call = async move { inner.renew(&claim, ttl).await };
        let link = if links.trouble(Link::Store).is_some() { Link::Store } else { Link::Claim };
        links.send(link, call, store_away).await
    }

    async fn release(&self, claim: &Claim) -> store::Result<()> {
        let (inner, claim) = (self.0.store.present(), claim.clone());
        self.0.send(Link::Store, async move { inner.release(&claim).await }, store_away).await
    }

    async fn load(&self, cluster: &ClusterName) -> store::Result<Memory> {
        let links = &self.0;
        links.checker.pass_begins(links.replica);
        links.ask(Link::Store, links.store.present().load(cluster), store_away).await
    }

    async fn commit(&self, claim: &Claim, changes: &Changes) -> store::Result<()> {
        let written = serde_json::to_string(changes).unwrap();
        self.0.checker.shows("what is stored", &written);
        self.0.checker.commits(self.0.replica, changes);
        if changes.history.iter().any(|entry| entry.kind == EntryKind::Intent) {
            self.0.process.lock().unwrap().begins_acts();
        }
        let (inner, claim, changes) = (self.0.store.present(), claim.clone(), changes.clone());
        let call = async move { inner.commit(&claim, &changes).await };
        self.0.send(Link::Store, call, store_away).await
    }

    async fn record_signals(&self, signals: &[Signal]) -> store::Result<()> {
        let (inner, signals) = (self.0.store.present(), signals.to_vec());
        let call = async move { inner.record_signals(&signals).await };
        self.0.send(Link::Store, call, store_away).await
    }

    async fn signals(&self, cluster: &ClusterName) -> store::Result<Vec<Signal>> {
        let links = &self.0;
        links.ask(Link::Store, links.store.present().signals(cluster), store_away).await
    }

    async fn history(
        &self,
        cluster: &ClusterName,
        query: &HistoryQuery,
    ) -> store::Result<Vec<Entry>> {
        let links = &self.0;
        links.ask(Link::Store, links.store.present().history(cluster, query), store_away).await
    }

    async fn dump(&self, cluster: &ClusterName) -> store::Result<store::Dump> {
        let links = &self.0;
        links.ask(Link::Store, links.store.present().dump(cluster), store_away).await
    }

    async fn restore(&self, cluster: &ClusterName, dump: &store::Dump) -> store::Result<()> {
        let links = &self.0;
        links.ask(Link::Store, links.store.present().restore(cluster, dump), store_away).await
    }
}
