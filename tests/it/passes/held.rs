//! A launch that was never asked of its provider, which is asked as often as it bears.

use super::stage::{SECOND, Stage, stage};
use bellwether::model::{
    BreakerState, ClusterUid, EntryKind, Failure, Instance, InstanceId, LaunchRequest, PoolName,
    Shape, WorkerState,
};
use bellwether::provider::{Error, Launched, Provider, Result};
use bellwether::reconcile::Outcome;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// A provider whose first launches do not come through: whole, or one order of each.
#[derive(Debug)]
struct Busy {
    inner: Arc<dyn Provider>,
    left: AtomicUsize,
    is_whole: bool,
}

#[async_trait::async_trait]
impl Provider for Busy {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        let is_held = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, is_held).is_err() {
            return self.inner.launch(request).await;
        }
        if self.is_whole {
            return Err(Error::NotAsked);
        }
        let mut rest = request.clone();
        let held = rest.orders.remove(0).worker;
        let mut launched = self.inner.launch(&rest).await?;
        launched.failed.push((held, Error::NotAsked));
        Ok(launched)
    }

    async fn terminate(
        &self,
        whose: &ClusterUid,
        pool: &PoolName,
        instance: &InstanceId,
    ) -> Result<()> {
        self.inner.terminate(whose, pool, instance).await
    }

    async fn list(&self, pool: &PoolName) -> Result<Vec<Instance>> {
        self.inner.list(pool).await
    }

    async fn shapes(&self, pool: &PoolName) -> Result<Vec<Shape>> {
        self.inner.shapes(pool).await
    }

    async fn console(&self, pool: &PoolName, instance: &InstanceId) -> Result<Option<String>> {
        self.inner.console(pool, instance).await
    }
}

async fn behind(left: usize, is_whole: bool) -> Stage {
    let busy = |inner| -> Arc<dyn Provider> {
        Arc::new(Busy { inner, left: AtomicUsize::new(left), is_whole })
    };
    stage("min: 2", Duration::ZERO).await.behind(busy).await
}

async fn breaker(stage: &Stage) -> (BreakerState, u32) {
    let breaker = stage.memory().await.pools[&"workers".into()].breaker;
    (breaker.state, breaker.failures)
}

fn live(stage: &Stage) -> usize {
    stage.world.machines().iter().filter(|machine| machine.is_live()).count()
}

/// It is told as that and no failure of the pool's, and nothing is waited for before it is launched anew.
#[tokio::test(start_paused = true)]
async fn a_launch_that_was_held_back_is_made_anew_and_opens_no_breaker() {
    let stage = behind(3, true).await;
    assert_eq!(stage.pass().await, Outcome::Busy, "it is not tried again at once");
    assert_eq!(stage.told().await, ["Intent launch", "Refused launch", "Refused launch"]);
    let history = stage.history().await;
    let why = history.iter().rfind(|entry| entry.kind == EntryKind::Refused).unwrap();
    assert!(why.reason.as_ref().unwrap().to_string().contains("not asked"), "{why:?}");
    let memory = stage.memory().await;
    let refused = WorkerState::Failed { failure: Failure::Refused };
    assert!(memory.intents.is_empty(), "nothing is left to ask again");
    assert!(memory.pools[&"workers".into()].launches.is_empty(), "and no limit counts it");
    assert!(memory.workers.len() == 2 && memory.workers.values().all(|one| one.state == refused));
    assert_eq!(stage.acts("launch", "not_asked"), 1);
    for _ in 0..6 {
        tokio::time::advance(SECOND * 5).await;
        stage.pass().await;
        assert_eq!(breaker(&stage).await, (BreakerState::Closed, 0));
    }
    assert_eq!(live(&stage), 2);
    let codes: BTreeSet<_> = stage
        .history()
        .await
        .iter()
        .filter_map(|entry| Some(entry.reason.as_ref()?.code()))
        .collect();
    assert!(codes.contains("never_launched") && !codes.contains("changed"), "{codes:?}");
}

#[tokio::test(start_paused = true)]
async fn what_of_a_launch_was_held_back_opens_no_breaker_either() {
    let stage = behind(1, false).await;
    stage.pass().await;
    assert_eq!(stage.told().await, ["Intent launch", "Done launch", "Refused launch"]);
    assert_eq!(live(&stage), 1);
    tokio::time::advance(SECOND * 5).await;
    stage.pass().await;
    assert_eq!(breaker(&stage).await, (BreakerState::Closed, 0));
    assert_eq!(stage.acts("launch", "not_asked"), 1);
}
