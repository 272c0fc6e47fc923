//! An act that has to wait for its turn: whether it still may happen is asked after that.

use super::stage::{SECOND, Stage, TTL, cluster, stage};
use bellwether::model::{
    Claim, ClusterUid, EntryKind, Instance, InstanceId, LaunchRequest, PoolName, Reason, Shape,
};
use bellwether::provider::{Launched, Provider, Result};
use bellwether::reconcile::{Claims, Outcome, Terms};
use bellwether::store::Store;
use jiff::Timestamp;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A provider in whose turns something happens.
#[derive(Debug)]
struct Crowded {
    inner: Arc<dyn Provider>,
    store: Arc<dyn Store>,
    meanwhile: Arc<Mutex<Meanwhile>>,
}

/// What happens before the turn comes.
#[derive(Clone, Debug, Default)]
enum Meanwhile {
    #[default]
    Nothing,
    ClaimEnds,
    /// All is set to dry run, and the keeper leaves the lease.
    LeaseIsLeft(Arc<Claims>),
}

#[async_trait::async_trait]
impl Provider for Crowded {
    async fn turn(&self, _: &PoolName) {
        let meanwhile = self.meanwhile.lock().unwrap().clone();
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::ClaimEnds => {
                tokio::time::sleep(TTL / 2).await;
                // A renewal whose answer is lost: we believe in the claim no longer, and the store still takes our history.
                self.store.renew(&current(&self.store).await, TTL).await.unwrap();
                tokio::time::sleep(TTL / 2 + SECOND).await;
            }
            Meanwhile::LeaseIsLeft(claims) => {
                claims.step(Terms { ttl: TTL, lease: false }).await;
            }
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

/// The claim as the store has it.
async fn current(store: &Arc<dyn Store>) -> Claim {
    let token = store.dump(&cluster()).await.unwrap().token;
    let (holder, expires) = ("a".to_owned(), Timestamp::UNIX_EPOCH);
    Claim { cluster: cluster(), holder, token, expires }
}

/// A loop whose provider can be crowded.
async fn crowded(pool: &str) -> (Stage, Arc<Mutex<Meanwhile>>) {
    let (stage, told) = (stage(pool, Duration::ZERO).await, Arc::<Mutex<Meanwhile>>::default());
    let (store, meanwhile) = (stage.store.clone(), told.clone());
    let stage = stage.behind(|inner| Arc::new(Crowded { inner, store, meanwhile })).await;
    (stage, told)
}

/// What the history says last, and that it is for want of the claim.
async fn assert_refused(stage: &Stage, what: &str) {
    let history = stage.history().await;
    let last = history.last().unwrap();
    assert_eq!((last.kind, last.what.as_str()), (EntryKind::Refused, what), "{history:#?}");
    assert_eq!(last.reason, Some(Reason::ClaimLost));
}

#[tokio::test(start_paused = true)]
async fn a_launch_whose_turn_comes_after_the_claim_is_over_is_not_made() {
    let (stage, meanwhile) = crowded("min: 1").await;
    *meanwhile.lock().unwrap() = Meanwhile::ClaimEnds;
    stage.pass().await;
    assert_refused(&stage, "launch").await;
    assert!(stage.world.machines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_launch_whose_turn_comes_after_all_was_set_to_dry_run_is_not_made() {
    let (stage, meanwhile) = crowded("min: 1").await;
    *meanwhile.lock().unwrap() = Meanwhile::LeaseIsLeft(stage.reconciler.claims());
    stage.pass().await;
    assert_refused(&stage, "launch").await;
    assert!(stage.world.machines().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_end_whose_turn_comes_after_the_claim_is_over_is_not_made() {
    let (stage, meanwhile) = crowded("min: 0, min_age: 0s").await;
    stage.wish(1).await;
    stage.settle(SECOND * 10).await;
    stage.wish(-1).await;
    *meanwhile.lock().unwrap() = Meanwhile::ClaimEnds;
    while stage.pass().await != Outcome::Standby {
        tokio::time::advance(SECOND).await;
    }
    assert_refused(&stage, "terminate").await;
    assert!(stage.world.machines()[0].is_live());
}
