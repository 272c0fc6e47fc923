//! A launch whose answer was lost, asked again and refused: that says nothing of what the first call did.

use super::stage::{SECOND, Stage, stage};
use bellwether::model::{ClusterUid, Instance, InstanceId, LaunchRequest, PoolName, Shape};
use bellwether::provider::{Error, Launched, Provider, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A provider that launches once, does not say so, and refuses from then on. Its list is late.
#[derive(Debug)]
struct Late {
    inner: Arc<dyn Provider>,
    refusal: Refusal,
    asked: Arc<AtomicUsize>,
    shows: Arc<AtomicBool>,
}

#[derive(Clone, Debug)]
enum Refusal {
    Whole(Error),
    OfEach(Error),
}

#[async_trait::async_trait]
impl Provider for Late {
    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        if self.asked.fetch_add(1, Ordering::SeqCst) == 0 {
            self.inner.launch(request).await?;
            return Err(Error::TimedOut);
        }
        match &self.refusal {
            Refusal::Whole(error) => Err(error.clone()),
            Refusal::OfEach(error) => {
                let failed = request.orders.iter().map(|one| (one.worker.clone(), error.clone()));
                Ok(Launched { failed: failed.collect(), ..Launched::default() })
            }
        }
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
        let list = self.inner.list(pool).await?;
        Ok(if self.shows.load(Ordering::SeqCst) { list } else { Vec::new() })
    }

    async fn shapes(&self, pool: &PoolName) -> Result<Vec<Shape>> {
        self.inner.shapes(pool).await
    }

    async fn console(&self, pool: &PoolName, instance: &InstanceId) -> Result<Option<String>> {
        self.inner.console(pool, instance).await
    }
}

/// Passes for so long, five seconds from one to the next.
async fn passes(stage: &Stage, time: Duration) {
    for _ in 0..time.as_secs() / 5 {
        tokio::time::advance(SECOND * 5).await;
        stage.pass().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_refused_settles_nothing_before_lists_can_be_trusted() {
    let denied = || Error::Denied("the credentials expired meanwhile".to_owned());
    let refusals = [
        Refusal::Whole(Error::NotAsked),
        Refusal::Whole(Error::Throttled),
        Refusal::Whole(denied()),
        Refusal::OfEach(denied()),
    ];
    for refusal in refusals {
        let (asked, shows) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let parts = (refusal.clone(), asked.clone(), shows.clone());
        let late = |inner| -> Arc<dyn Provider> {
            let (refusal, asked, shows) = parts;
            Arc::new(Late { inner, refusal, asked, shows })
        };
        let stage = stage("min: 1", Duration::ZERO).await.behind(late).await;
        stage.pass().await;
        passes(&stage, Duration::from_secs(90)).await;
        assert!(asked.load(Ordering::SeqCst) > 1, "{refusal:?}: it was not asked again");
        assert_eq!(stage.memory().await.intents.len(), 1, "{refusal:?}: it was settled");
        shows.store(true, Ordering::SeqCst);
        passes(&stage, Duration::from_secs(30)).await;
        assert!(stage.memory().await.intents.is_empty(), "{refusal:?}: it is open still");
        assert_eq!(stage.world.machines().len(), 1, "{refusal:?}: one need, two machines");
    }
}
