//! What every provider keeps, run on the simulated one, bare and guarded.

use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::config::{Config, SimConfig};
use bellwether::metrics::Metrics;
use bellwether::model::{
    ClusterUid, InstanceState, LaunchRequest, Market, Offering, Order, PoolName,
};
use bellwether::provider::guarded::GuardedConfig;
use bellwether::provider::{Error, Guarded, LeftBehind, Provider, contract};
use bellwether::sim::{self, Faults, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A provider, and the world behind it to make things go wrong in.
struct Stage {
    provider: Arc<dyn Provider>,
    world: World,
}

fn clock() -> Clock {
    Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap())
}

fn world() -> World {
    World::new(&SimConfig::default(), clock()).unwrap()
}

fn bare() -> Stage {
    let world = world();
    Stage { provider: Arc::new(sim::Provider::new(world.clone())), world }
}

fn guarded() -> Stage {
    let Stage { provider, world } = bare();
    let metrics = Arc::new(Metrics::new());
    Stage { provider: Arc::new(Guarded::new(provider, GuardedConfig::default(), metrics)), world }
}

fn pool() -> PoolName {
    "workers".into()
}

fn uid() -> ClusterUid {
    "sim-1".into()
}

async fn request(stage: &Stage, workers: &[&str]) -> LaunchRequest {
    let shapes = stage.provider.shapes(&pool()).await.unwrap();
    let offering = Offering {
        shape: shapes[0].name.clone(),
        zone: shapes[0].offerings[0].zone.clone(),
        market: Market::OnDemand,
        price: None,
    };
    let order = |worker: &&str| Order { worker: (*worker).into(), offering: offering.clone() };
    LaunchRequest {
        cluster: "c".into(),
        cluster_uid: uid(),
        pool: pool(),
        batch: "b".into(),
        token: None,
        orders: workers.iter().map(order).collect(),
        fallback: shapes[0].offerings.clone(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
    }
}

async fn launching_twice_with_one_token_is_one_machine(stage: Stage) {
    let request = request(&stage, &["w1", "w2"]).await;
    let first = stage.provider.launch(&request).await.unwrap();
    let again = stage.provider.launch(&request).await.unwrap();
    let ids = |launched: &bellwether::provider::Launched| {
        launched
            .instances
            .iter()
            .map(|(worker, id, _)| (worker.clone(), id.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(stage.provider.list(&pool()).await.unwrap().len(), 2);
}

async fn a_lost_answer_leaves_the_effect_unknown_and_the_same_request_settles_it(stage: Stage) {
    let request = request(&stage, &["w1"]).await;
    stage.world.set_faults(Faults { lose_launch_reply: true, ..Faults::default() });
    let error = stage.provider.launch(&request).await.unwrap_err();
    assert_eq!(error.left_behind(), LeftBehind::Unknown);
    stage.world.set_faults(Faults::default());
    assert_eq!(stage.provider.launch(&request).await.unwrap().instances.len(), 1);
    assert_eq!(stage.provider.list(&pool()).await.unwrap().len(), 1);
}

async fn orders_without_capacity_fail_and_leave_nothing_behind(stage: Stage) {
    stage.world.set_faults(Faults { no_capacity: true, ..Faults::default() });
    let launched = stage.provider.launch(&request(&stage, &["w1"]).await).await.unwrap();
    assert!(launched.instances.is_empty());
    assert!(matches!(launched.failed[0].1, Error::Capacity(_)));
    assert!(stage.provider.list(&pool()).await.unwrap().is_empty());
}

async fn an_offering_without_capacity_is_told_though_another_had_a_machine(stage: Stage) {
    let request = request(&stage, &["w1"]).await;
    let first = request.orders[0].offering.clone();
    let dry = Faults { no_capacity_for: [first.zone.to_string()].into(), ..Faults::default() };
    stage.world.set_faults(dry);
    let launched = stage.provider.launch(&request).await.unwrap();
    assert_eq!(launched.instances.len(), 1);
    assert!(launched.instances[0].2.zone != first.zone);
    let told = launched.short.iter().find(|(offering, _)| {
        (&offering.shape, &offering.zone, offering.market)
            == (&first.shape, &first.zone, first.market)
    });
    assert!(matches!(told, Some((_, Error::Capacity(_)))), "{launched:#?}");
}

async fn a_console_is_of_a_machine_that_is_known(stage: Stage) {
    let request = request(&stage, &["w1"]).await;
    let id = stage.provider.launch(&request).await.unwrap().instances[0].1.clone();
    assert!(stage.provider.console(&pool(), &id).await.is_ok());
    let nobody = stage.provider.console(&pool(), &"nobody".into()).await;
    assert_eq!(nobody, Err(Error::NotFound));
}

async fn terminating_twice_and_terminating_nobody_is_well(stage: Stage) {
    let request = request(&stage, &["w1"]).await;
    let id = stage.provider.launch(&request).await.unwrap().instances[0].1.clone();
    stage.provider.terminate(&uid(), &pool(), &id).await.unwrap();
    stage.provider.terminate(&uid(), &pool(), &id).await.unwrap();
    stage.provider.terminate(&uid(), &pool(), &"nobody".into()).await.unwrap();
    let list = stage.provider.list(&pool()).await.unwrap();
    assert!(
        list.iter()
            .all(|instance| matches!(instance.state, InstanceState::Ending | InstanceState::Gone))
    );
}

async fn a_machine_of_a_cluster_with_another_uid_is_left_alone(stage: Stage) {
    let request = request(&stage, &["w1"]).await;
    let id = stage.provider.launch(&request).await.unwrap().instances[0].1.clone();
    stage.provider.terminate(&"sim-2".into(), &pool(), &id).await.unwrap();
    assert!(stage.provider.list(&pool()).await.unwrap()[0].is_live());
}

async fn a_list_holds_this_pool_only_with_everything_it_was_tagged_with(stage: Stage) {
    stage.provider.launch(&request(&stage, &["w1"]).await).await.unwrap();
    assert!(stage.provider.list(&"others".into()).await.unwrap().is_empty());
    let list = stage.provider.list(&pool()).await.unwrap();
    let instance = &list[0];
    assert_eq!(instance.worker.as_ref().unwrap().as_str(), "w1");
    assert_eq!(instance.batch.as_ref().unwrap().as_str(), "b");
    assert_eq!(instance.cluster_uid.as_ref().unwrap().as_str(), "sim-1");
}

async fn a_list_that_fails_is_an_error_and_not_empty(stage: Stage) {
    stage.provider.launch(&request(&stage, &["w1"]).await).await.unwrap();
    stage.world.set_faults(Faults { list_errors: true, ..Faults::default() });
    let error = tokio::time::timeout(Duration::from_mins(1), stage.provider.list(&pool()))
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.is_transient());
}

/// What `bellwether provider test` tries on anybody's program.
async fn all_that_is_tried_on_a_program_is_kept(stage: Stage) {
    all_is_kept(&stage, true).await;
}

/// A guarded one of machines that bear no worker's name, as it follows its file.
fn unnamed() -> Stage {
    let stage = guarded();
    let yaml = "prometheus: { urls: [http://p] }
alertmanager: { urls: [http://a] }
auth: { bearer_token: 0123456789abcdef }
clusters: { c: { kubernetes: { sim: {} }, pools: { workers: { provider: { sim: { unnamed: true } }, max: 3 } } } }";
    let config = Config::parse(yaml, &BTreeMap::<String, String>::new()).unwrap().config;
    stage.provider.follow(&config.clusters[&"c".into()]);
    stage
}

#[tokio::test(start_paused = true)]
async fn a_simulated_provider_whose_machines_bear_no_names_keeps_all_of_it() {
    all_is_kept(&unnamed(), false).await;
}

/// As on EC2: who has no names cannot tell which of a batch is gone, and so makes none anew.
#[tokio::test(start_paused = true)]
async fn a_batch_without_names_that_lost_a_machine_gets_no_other_when_it_is_asked_again() {
    let stage = unnamed();
    let request = request(&stage, &["w1", "w2"]).await;
    let first = stage.provider.launch(&request).await.unwrap();
    let listed = stage.provider.list(&pool()).await.unwrap();
    assert!(listed.iter().all(|machine| machine.worker.is_none()), "{listed:#?}");
    stage.provider.terminate(&uid(), &pool(), &first.instances[0].1).await.unwrap();
    // What ended is told for a while yet.
    let (look, within) = (Duration::from_secs(1), Duration::from_hours(2));
    let is_one = || async { stage.provider.list(&pool()).await.unwrap().len() == 1 };
    assert!(wait::comes_true_at(look, within, is_one).await, "it is told for ever");
    let again = stage.provider.launch(&request).await.unwrap();
    assert_eq!((again.instances.len(), again.failed.len()), (1, 1));
    assert_eq!(again.instances[0].1, first.instances[1].1);
}

async fn all_is_kept(stage: &Stage, names_workers: bool) {
    let trial = contract::Stage {
        cluster: "c".into(),
        cluster_uid: uid(),
        pool: pool(),
        other: "others".into(),
        nobody: "nobody".into(),
        names_workers,
        limit: Duration::from_mins(5),
        clock: clock(),
    };
    let findings = contract::try_out(&*stage.provider, &trial, true, |_| ()).await;
    let wrong: Vec<_> = findings.iter().filter(|finding| finding.wrong.is_some()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(findings.len(), 10);
}

macro_rules! contract {
    ($($property:ident),* $(,)?) => {
        mod sim_provider {
            $(#[tokio::test(start_paused = true)]
            async fn $property() {
                super::$property(super::bare()).await;
            })*
        }
        mod guarded_provider {
            $(#[tokio::test(start_paused = true)]
            async fn $property() {
                super::$property(super::guarded()).await;
            })*
        }
    };
}

contract! {
    all_that_is_tried_on_a_program_is_kept,
    launching_twice_with_one_token_is_one_machine,
    a_lost_answer_leaves_the_effect_unknown_and_the_same_request_settles_it,
    orders_without_capacity_fail_and_leave_nothing_behind,
    an_offering_without_capacity_is_told_though_another_had_a_machine,
    a_console_is_of_a_machine_that_is_known,
    terminating_twice_and_terminating_nobody_is_well,
    a_machine_of_a_cluster_with_another_uid_is_left_alone,
    a_list_holds_this_pool_only_with_everything_it_was_tagged_with,
    a_list_that_fails_is_an_error_and_not_empty,
}
