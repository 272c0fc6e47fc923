//! A step that waits for long between the look and the call.

use super::stage::{SECOND, stage};
use bellwether::model::{ClusterUid, Instance, InstanceId, LaunchRequest, PoolName, Shape};
use bellwether::provider::{Launched, Provider, Result};
use bellwether::sim::Faults;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A provider that may be asked only every now and then, while it is.
#[derive(Debug)]
struct Rated {
    inner: Arc<dyn Provider>,
    is_slow: Arc<AtomicBool>,
}

#[async_trait::async_trait]
impl Provider for Rated {
    async fn turn(&self, _: &PoolName) {
        if self.is_slow.load(Ordering::SeqCst) {
            tokio::time::sleep(SECOND * 61).await;
        }
    }

    async fn launch(&self, request: &LaunchRequest) -> Result<Launched> {
        self.inner.launch(request).await
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

#[tokio::test(start_paused = true)]
async fn what_was_seen_too_long_before_its_turn_ends_no_machine_and_what_is_seen_anew_does() {
    let is_slow = Arc::new(AtomicBool::new(false));
    let switch = is_slow.clone();
    let rated = |inner| -> Arc<dyn Provider> { Arc::new(Rated { inner, is_slow }) };
    let stage = stage("min: 1, join_deadline: 1m", Duration::ZERO).await.behind(rated).await;
    stage.world.set_faults(Faults { never_join: true, ..Faults::default() });
    stage.pass().await;
    let first = stage.world.machines()[0].id.clone();
    let lives = || stage.world.machines().iter().any(|one| one.id == first && one.is_live());
    tokio::time::advance(SECOND * 61).await;
    stage.pass().await;
    switch.store(true, Ordering::SeqCst);
    stage.pass().await;
    assert!(
        stage.told().await.contains(&"Refused terminate".to_owned()),
        "{:?}",
        stage.told().await
    );
    assert!(lives());
    switch.store(false, Ordering::SeqCst);
    stage.pass().await;
    assert!(!lives());
}
