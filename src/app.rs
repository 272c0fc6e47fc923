//! The composition root: a configuration becomes parts, parts become tasks. Nobody imports it but
//! the command line, the demo and tests.

mod build;
mod files;
mod reload;
mod reports;
mod shared;
mod shutdown;
mod simserver;

pub use shutdown::until_signalled;

use crate::clock::Clock;
use crate::config::{Config, Standing};
use crate::http;
use crate::http::readiness::Readiness;
use crate::metrics::{Metrics, seconds};
use crate::model::ClusterName;
use crate::reconcile::{Claims, Handle, Reconciler, Terms};
use crate::sim::World;
use crate::store::Store;
use anyhow::Context as _;
use reload::Reload;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// All parts of one process, ready to run.
pub struct App {
    /// The configuration; reloading replaces it.
    config: watch::Receiver<Arc<Config>>,
    /// How it stands to its file.
    standing: watch::Receiver<Standing>,
    /// Without a file there is no reloading.
    reload: Option<Reload>,
    listener: TcpListener,
    store: Arc<dyn Store>,
    metrics: Arc<Metrics>,
    readiness: Readiness,
    loops: BTreeMap<ClusterName, Reconciler>,
    worlds: BTreeMap<ClusterName, World>,
}

/// Named tasks; one that ends early ends the process.
type Tasks = JoinSet<(String, anyhow::Result<()>)>;

impl App {
    /// Builds every part. Nothing is served yet, but the port is bound and real clusters begin to be watched.
    pub async fn build(
        config: Config,
        file: Option<PathBuf>,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        files::raise_limit();
        let (metrics, now) = (Arc::new(Metrics::new()), clock.now());
        metrics.seen.started.set(seconds(now));
        metrics.config.taken(now);
        let snapshot = Arc::new(config);
        let (config, watched) = watch::channel(snapshot.clone());
        let (standing, stands) = watch::channel(Standing::started(now));
        let reload = |file| Reload::new(file, config, standing, metrics.clone(), clock);
        let mut app = Self {
            standing: stands,
            // First of all, since opening a large store takes its time. A pipe can be read once only.
            reload: file.filter(|file| file.is_file()).map(reload).transpose()?,
            store: build::store(&watched, clock)?,
            config: watched,
            listener: build::listener(&snapshot.service)?,
            metrics,
            readiness: Readiness::new(),
            loops: BTreeMap::new(),
            worlds: BTreeMap::new(),
        };
        for limits in snapshot.clusters.values() {
            app.add_cluster(limits, clock).await?;
        }
        Ok(app)
    }

    /// The address it listens on, for a configuration that asked for port 0.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        self.listener.local_addr().context("the listener has no address")
    }

    /// The store.
    pub fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// The metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        self.metrics.clone()
    }

    /// The simulated worlds, by cluster.
    pub fn worlds(&self) -> &BTreeMap<ClusterName, World> {
        &self.worlds
    }

    /// Handles of the loops, by cluster.
    pub fn handles(&self) -> BTreeMap<ClusterName, Handle> {
        self.loops.iter().map(|(name, reconciler)| (name.clone(), reconciler.handle())).collect()
    }

    /// Runs until `stop`, then stops in order: not ready, no new requests, the pass under way
    /// finished, the claims given back. A task that ends before that ends the whole with an error.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let grace = self.config.borrow().service.shutdown_grace;
        let (serving, keeping) = (CancellationToken::new(), CancellationToken::new());
        let readiness = self.readiness.clone();
        let (mut tasks, mut keepers) = (Tasks::new(), Tasks::new());
        self.spawn(&mut tasks, &mut keepers, &serving, &keeping);
        let early = tokio::select! {
            () = stop.cancelled() => None,
            ended = tasks.join_next() => Some(ended),
            ended = keepers.join_next() => Some(ended),
        };
        readiness.stop();
        serving.cancel();
        let finished = tokio::time::timeout(grace, shutdown::join(&mut tasks)).await;
        keeping.cancel();
        let kept = tokio::time::timeout(grace, shutdown::join(&mut keepers)).await;
        if let Some(ended) = early {
            return Err(shutdown::ended_early(ended));
        }
        finished.context("work under way did not end within shutdown_grace")??;
        kept.context("the claims were not given back within shutdown_grace")?
    }

    fn spawn(
        self,
        tasks: &mut Tasks,
        keepers: &mut Tasks,
        serving: &CancellationToken,
        keeping: &CancellationToken,
    ) {
        let grace = self.config.borrow().service.shutdown_grace;
        let usual = http::Limits::default();
        let limits = http::Limits {
            drain: grace / 2,
            connections: files::connections(usual.connections),
            ..usual
        };
        let state = http::State {
            store: self.store.clone(),
            metrics: self.metrics.clone(),
            config: self.config.clone(),
            standing: self.standing.clone(),
            handle: reports::handle(self.handles()),
            readiness: self.readiness.clone(),
            limits,
        };
        let server = http::serve(self.listener, state, serving.clone());
        spawn(tasks, "http".to_owned(), async move { Ok(server.await?) });
        let watching = shared::watch(self.store.clone(), self.readiness.clone(), serving.clone());
        spawn(tasks, "store".to_owned(), watching);
        let loops = self.loops.iter();
        let loops = loops.map(|(name, it)| (name.clone(), (it.handle(), it.claims()))).collect();
        let waking = shared::wake(self.store.clone(), loops, serving.clone());
        spawn(tasks, "wakes".to_owned(), waking);
        for (name, world) in self.worlds {
            let listen = build::sim_listen(&self.config.borrow(), &name);
            if let Some(address) = listen {
                spawn(
                    tasks,
                    format!("sim {name}"),
                    simserver::serve(address, world, serving.clone()),
                );
            }
        }
        for (name, reconciler) in self.loops {
            let claims: Arc<Claims> = reconciler.claims();
            let (stop_keeping, stop_loop) = (keeping.clone(), serving.clone());
            let (config, cluster) = (self.config.clone(), name.clone());
            spawn(keepers, format!("claim {name}"), async move {
                claims.keep(|| Terms::of(&config.borrow(), &cluster), stop_keeping).await;
                Ok(())
            });
            spawn(tasks, format!("loop {name}"), async move {
                reconciler.run(stop_loop).await;
                Ok(())
            });
        }
        if let Some(reload) = self.reload {
            spawn(tasks, "reload".to_owned(), reload.watch(serving.clone()));
        }
    }
}

/// Spawns a named task. The span names it in every log line.
fn spawn(
    tasks: &mut Tasks,
    name: String,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) {
    use tracing::Instrument as _;
    let span = tracing::info_span!("task", name = %name);
    tasks.spawn(async move { (name, work.await) }.instrument(span));
}
