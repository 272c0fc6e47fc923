//! What the story plays on: the real service in this process, a simulated world, and a real Prometheus and
//! Alertmanager beside it.

use super::board::Board;
use super::servers::Server;
use crate::alertmanager;
use crate::clock::Clock;
use crate::model::{ClusterName, Entry, Matcher, SilenceId, Want, WorkerId, WorkerState, duration};
use crate::prometheus::{self, Prometheus as _};
use crate::reconcile::{Handle, Report};
use crate::sim::{Workload, World};
use crate::store::{HistoryQuery, Store};
use anyhow::{Context as _, bail};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// How long the silence would last if it were not lifted.
const SILENCE: Duration = Duration::from_hours(1);

/// The stage.
pub(super) struct Stage {
    pub(super) board: Board,
    pub(super) cluster: ClusterName,
    pub(super) handle: Handle,
    pub(super) store: Arc<dyn Store>,
    pub(super) world: World,
    pub(super) alertmanager: alertmanager::Http,
    pub(super) prometheus: prometheus::Http,
    pub(super) servers: Servers,
    pub(super) clock: Clock,
}

/// The servers beside us.
pub(super) struct Servers {
    pub(super) prometheus: Option<Server>,
    pub(super) alertmanager: Option<Server>,
}

/// What is to be seen at one moment.
pub(super) struct Look {
    pub(super) report: Arc<Report>,
    /// Newest first.
    pub(super) history: Vec<Entry>,
}

impl Servers {
    /// Ends what still runs.
    pub(super) async fn stop(self) -> anyhow::Result<()> {
        for server in [self.prometheus, self.alertmanager].into_iter().flatten() {
            server.stop().await?;
        }
        Ok(())
    }
}

impl Stage {
    /// What is to be seen now.
    pub(super) async fn look(&self) -> anyhow::Result<Look> {
        let report = self.handle.report().context("the loop has not reported yet")?;
        Ok(Look { report, history: self.history(500).await? })
    }

    /// The newest lines of history.
    pub(super) async fn history(&self, limit: usize) -> anyhow::Result<Vec<Entry>> {
        Ok(self.store.history(&self.cluster, &HistoryQuery { limit, before: None }).await?)
    }

    /// The number of the newest line of history.
    pub(super) async fn mark(&self) -> anyhow::Result<u64> {
        Ok(self.history(1).await?.first().map_or(0, |entry| entry.id))
    }

    /// Waits until something is to be seen.
    pub(super) async fn until(
        &self,
        what: &str,
        limit: Duration,
        seen: impl Fn(&Look) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if self.handle.report().is_some() && seen(&self.look().await?) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("waited {limit:?} for {what}, in vain")
    }

    /// Watches for a while that something stays true.
    pub(super) async fn quiet(
        &self,
        what: &str,
        time: Duration,
        holds: impl Fn(&Look) -> bool,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            if !holds(&self.look().await?) {
                bail!("there was {what}");
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Demands a line of history.
    pub(super) async fn expect(
        &self,
        what: &str,
        line: impl Fn(&Entry) -> bool,
    ) -> anyhow::Result<()> {
        self.expect_since(0, what, line).await
    }

    /// Demands a line of history after a mark.
    pub(super) async fn expect_since(
        &self,
        mark: u64,
        what: &str,
        line: impl Fn(&Entry) -> bool,
    ) -> anyhow::Result<()> {
        if self.history(500).await?.iter().any(|entry| entry.id > mark && line(entry)) {
            return Ok(());
        }
        bail!("the history does not show {what}")
    }

    /// Waits until Prometheus says that a rule fires.
    pub(super) async fn until_firing(&self, alert: &str, limit: Duration) -> anyhow::Result<()> {
        self.until_true(&format!("ALERTS{{alertname=\"{alert}\",alertstate=\"firing\"}}"), limit)
            .await
    }

    /// Waits until Prometheus answers an expression with anything.
    pub(super) async fn until_true(&self, expression: &str, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if matches!(
                self.prometheus.want(&format!("count({expression})")).await,
                Want::Workers(1..)
            ) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("waited {limit:?} for {expression}, in vain")
    }

    /// Sets how many pods the demo's workload has.
    pub(super) fn workload(&self, replicas: u32) -> anyhow::Result<()> {
        self.world
            .set_workload(Workload::deployment("web", replicas, 900, 1 << 30))
            .context("the workload is wrong")
    }

    /// Sets a silence, as a person would in any of Alertmanager's faces.
    pub(super) async fn silence(
        &self,
        matchers: Vec<Matcher>,
        who: &str,
        why: &str,
    ) -> anyhow::Result<SilenceId> {
        let now = self.clock.now();
        let ends = duration::after(now, SILENCE);
        Ok(self.alertmanager.create_silence(&matchers, (now, ends), who, why).await?)
    }

    /// Ends a silence.
    pub(super) async fn lift(&self, silence: &SilenceId) -> anyhow::Result<()> {
        Ok(self.alertmanager.expire_silence(silence).await?)
    }

    /// Kills the machine of one Ready worker, as a cloud would.
    pub(super) async fn kill_one(&self) -> anyhow::Result<WorkerId> {
        let look = self.look().await?;
        let ready = look.report.workers.iter().find(|worker| worker.state == WorkerState::Ready);
        let worker = ready.context("no Ready worker to kill")?;
        let instance = worker.instance.as_ref().context("a Ready worker without an instance")?;
        self.world.kill(instance.as_str()).context("the machine is not there")?;
        Ok(worker.id.clone())
    }

    /// Ends Prometheus.
    pub(super) async fn stop_prometheus(&mut self) -> anyhow::Result<()> {
        match self.servers.prometheus.take() {
            Some(server) => server.stop().await,
            None => bail!("Prometheus is not running"),
        }
    }
}
