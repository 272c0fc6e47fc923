//! What every store must do. One function per property; the list below runs each on every store.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use crate::support::configuration::configuration;
use crate::support::stores::{self, Stage};
use bellwether::clock::Clock;
use bellwether::config::StoreUrl;
use bellwether::model::{
    self, Ask, Changes, Claim, ClusterMemory, ClusterName, Entry, EntryKind, Fingerprint, Intent,
    LaunchRequest, Market, PassId, Permit, PoolMemory, Signal, SignalId, Source, Token, Worker,
    WorkerId, WorkerState, duration,
};
use bellwether::store::{self, Error, HistoryQuery, Retention, Store};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

const TTL: Duration = Duration::from_secs(10);
const RETENTION: Retention = Retention { entries: 20, age: Duration::from_hours(1) };

fn memory() -> Stage {
    stores::memory(start(), RETENTION)
}

fn embedded() -> Stage {
    stores::embedded(start(), RETENTION)
}

async fn redis() -> Option<Stage> {
    stores::redis(start(), RETENTION).await
}

macro_rules! on_every_store {
    ($($property:ident,)*) => {
        mod on_memory {$(
            #[tokio::test(start_paused = true)]
            async fn $property() { super::$property(super::memory()).await; }
        )*}
        mod on_embedded {$(
            #[tokio::test(start_paused = true)]
            async fn $property() { super::$property(super::embedded()).await; }
        )*}
        // Time goes on here, as a real server answers; its own clock stands until it is moved.
        mod on_redis {$(
            #[tokio::test]
            async fn $property() {
                if let Some(stage) = super::redis().await { super::$property(stage).await; }
            }
        )*}
    };
}

on_every_store! {
    a_claim_that_is_held_is_refused_with_its_holder,
    the_same_holder_takes_its_claim_again_with_a_larger_token,
    an_expired_claim_goes_to_another_with_a_larger_token,
    tokens_grow_after_release,
    tokens_grow_past_one_that_is_told,
    a_store_that_knows_only_older_tokens_says_from_then_on_that_it_forgot,
    past_the_last_token_no_claim_is_given,
    renewing_prolongs_the_claim,
    renewing_after_expiry_is_refused,
    a_24_release_by_a_non_owner_is_refused,
    a_stale_token_is_refused_at_commit,
    an_expired_claim_is_refused_at_commit_though_nobody_took_it,
    a_claim_prolonged_by_hand_is_refused,
    a_refused_commit_changes_nothing_at_all,
    a_commit_is_loaded_as_it_was_written,
    signals_are_one_whatever_the_order_and_number_of_deliveries,
    a_signal_delivered_again_is_not_forgotten,
    history_numbers_grow_by_one_for_ever,
    history_is_bounded_by_size,
    history_is_bounded_by_age,
    history_is_paged_newest_first,
    clusters_are_isolated,
    odd_names_and_ids_are_keys_like_others,
    the_claim_is_given_to_one_of_many_at_once,
    time_stands_still_while_the_store_works,
}

async fn a_claim_that_is_held_is_refused_with_its_holder(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    let until = claim.expires;
    assert_eq!(until, duration::after(start(), TTL));
    let refused = stage.two.claim(&cluster(), "b", TTL, Token(0)).await;
    assert_eq!(refused, Err(Error::Held { holder: "a".into(), until }));
}

async fn the_same_holder_takes_its_claim_again_with_a_larger_token(stage: Stage) {
    let before = take(&stage.one, "a").await;
    let after = take(&stage.one, "a").await;
    assert!(after.token > before.token);
    assert_eq!(stage.one.commit(&before, &Changes::default()).await, fenced(&before));
}

async fn an_expired_claim_goes_to_another_with_a_larger_token(stage: Stage) {
    let old = take(&stage.one, "a").await;
    stage.pass(TTL).await;
    let new = take(&stage.two, "b").await;
    assert!(new.token > old.token);
    assert_eq!(stage.one.renew(&old, TTL).await.map(drop), fenced(&old));
}

async fn tokens_grow_after_release(stage: Stage) {
    let old = take(&stage.one, "a").await;
    stage.one.release(&old).await.unwrap();
    let new = take(&stage.two, "b").await;
    assert!(new.token > old.token);
}

async fn tokens_grow_past_one_that_is_told(stage: Stage) {
    let claim = stage.one.claim(&cluster(), "a", TTL, Token(41)).await.unwrap();
    assert_eq!(claim.token, Token(42));
    stage.one.commit(&claim, &Changes::default()).await.unwrap();
    let smaller = stage.one.claim(&cluster(), "a", TTL, Token(7)).await.unwrap();
    assert_eq!(smaller.token, Token(43));
}

async fn a_store_that_knows_only_older_tokens_says_from_then_on_that_it_forgot(stage: Stage) {
    let forgot = async || stage.two.load(&cluster()).await.unwrap().forgot;
    for past in [0, 1] {
        stage.one.claim(&cluster(), "a", TTL, Token(past)).await.unwrap();
        assert_eq!(forgot().await, None, "{past}");
    }
    let refused = stage.two.claim(&cluster(), "b", TTL, Token(9)).await;
    assert!(matches!(refused, Err(Error::Held { .. })) && forgot().await.is_none());
    let claim = stage.one.claim(&cluster(), "a", TTL, Token(9)).await.unwrap();
    let found = Some(stage.one.now().await.unwrap());
    assert_eq!(forgot().await, found);
    stage.pass(TTL / 2).await;
    stage.one.renew(&claim, TTL).await.unwrap();
    stage.one.commit(&claim, &Changes::default()).await.unwrap();
    stage.one.release(&claim).await.unwrap();
    stage.two.claim(&cluster(), "b", TTL, claim.token).await.unwrap();
    assert_eq!(forgot().await, found);
}

async fn past_the_last_token_no_claim_is_given(stage: Stage) {
    let Token(last) = Token::LAST;
    let claim = async |past| stage.one.claim(&cluster(), "a", TTL, Token(past)).await;
    assert!(matches!(claim(last).await, Err(Error::Unreadable(_))));
    assert_eq!(claim(last - 1).await.unwrap().token, Token::LAST);
    for _ in 0..2 {
        assert!(matches!(claim(0).await, Err(Error::Unreadable(_))));
    }
}

async fn renewing_prolongs_the_claim(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    stage.pass(TTL / 2).await;
    let renewed = stage.one.renew(&claim, TTL).await.unwrap();
    assert_eq!(renewed.token, claim.token);
    assert_eq!(renewed.expires, duration::after(claim.expires, TTL / 2));
    stage.pass(TTL * 3 / 4).await;
    assert!(matches!(
        stage.two.claim(&cluster(), "b", TTL, Token(0)).await,
        Err(Error::Held { .. })
    ));
    stage.one.commit(&claim, &one_entry()).await.expect("the stored expiry counts, not the copy's");
}

async fn renewing_after_expiry_is_refused(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    stage.pass(TTL).await;
    assert_eq!(stage.one.renew(&claim, TTL).await.map(drop), fenced(&claim));
}

///
async fn a_24_release_by_a_non_owner_is_refused(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    let stranger = Claim { holder: "b".into(), ..claim.clone() };
    assert_eq!(stage.two.release(&stranger).await, fenced(&claim));
    let wrong = Claim { token: Token(claim.token.0 + 1), ..claim.clone() };
    assert_eq!(stage.two.release(&wrong).await, fenced(&wrong));
    assert!(matches!(
        stage.two.claim(&cluster(), "b", TTL, Token(0)).await,
        Err(Error::Held { .. })
    ));
}

async fn a_stale_token_is_refused_at_commit(stage: Stage) {
    let old = take(&stage.one, "a").await;
    stage.pass(TTL).await;
    take(&stage.two, "b").await;
    assert_eq!(stage.one.commit(&old, &one_entry()).await, fenced(&old));
}

async fn an_expired_claim_is_refused_at_commit_though_nobody_took_it(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    stage.pass(TTL).await;
    assert_eq!(stage.one.commit(&claim, &one_entry()).await, fenced(&claim));
}

async fn a_claim_prolonged_by_hand_is_refused(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    stage.pass(TTL).await;
    let forged = Claim { expires: duration::after(claim.expires, TTL), ..claim };
    assert_eq!(stage.one.commit(&forged, &one_entry()).await, fenced(&forged));
}

async fn a_refused_commit_changes_nothing_at_all(stage: Stage) {
    stage.one.record_signals(&[signal("kept", 1)]).await.unwrap();
    let good = take(&stage.one, "a").await;
    stage.one.commit(&good, &everything("1")).await.unwrap();
    let before = all(&stage.one).await;
    stage.pass(TTL).await;
    let forget = vec![(SignalId::from("kept"), seen(1))];
    let changes = Changes {
        forget_workers: vec!["w1".into()],
        settled: vec!["b1".into()],
        forget_signals: forget,
        ..everything("2")
    };
    // Together with writes that are taken, so that a shared transaction keeps only those.
    let arrived = [signal("b", 1)];
    let (refused, recorded) =
        tokio::join!(stage.one.commit(&good, &changes), stage.two.record_signals(&arrived));
    assert_eq!((refused, recorded), (fenced(&good), Ok(())));
    let mut after = all(&stage.two).await;
    assert_eq!(after.1.len(), before.1.len() + 1);
    after.1.retain(|signal| signal.id.as_str() != "b");
    assert_eq!(after, before);
}

async fn a_commit_is_loaded_as_it_was_written(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    assert_eq!(loaded(&stage.two, &cluster()).await, model::Memory::default());
    let changes = everything("1");
    stage.one.commit(&claim, &changes).await.unwrap();
    let memory = stage.two.load(&cluster()).await.unwrap();
    assert_eq!(memory.workers.into_values().collect::<Vec<_>>(), changes.workers);
    assert_eq!(memory.intents.into_values().collect::<Vec<_>>(), changes.intents);
    assert_eq!(memory.pools, changes.pools);
    assert_eq!(Some(memory.cluster), changes.cluster);
    let drop_all = Changes {
        forget_workers: vec!["w1".into()],
        settled: vec!["b1".into()],
        ..Changes::default()
    };
    stage.one.commit(&claim, &drop_all).await.unwrap();
    let memory = stage.two.load(&cluster()).await.unwrap();
    assert!(memory.workers.is_empty() && memory.intents.is_empty() && !memory.pools.is_empty());
}

async fn signals_are_one_whatever_the_order_and_number_of_deliveries(stage: Stage) {
    let (first, second) = (signal("f", 1), signal("f", 2));
    for order in [[&first, &second, &first], [&second, &first, &second], [&first, &first, &second]]
    {
        for one in order {
            stage.one.record_signals(std::slice::from_ref(one)).await.unwrap();
        }
        stage.two.record_signals(&order.map(Clone::clone)).await.unwrap();
        let merged = first.clone().merge(second.clone());
        assert_eq!(stage.two.signals(&cluster()).await.unwrap(), std::slice::from_ref(&merged));
        let claim = take(&stage.one, "a").await;
        let forget_signals = vec![(merged.id, merged.last_seen)];
        stage.one.commit(&claim, &Changes { forget_signals, ..Changes::default() }).await.unwrap();
        assert_eq!(stage.two.signals(&cluster()).await.unwrap(), []);
    }
}

async fn a_signal_delivered_again_is_not_forgotten(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    stage.one.record_signals(&[signal("f", 1)]).await.unwrap();
    let loaded = stage.one.signals(&cluster()).await.unwrap();
    stage.two.record_signals(&[signal("f", 2)]).await.unwrap();
    let forget_signals = loaded.into_iter().map(|it| (it.id, it.last_seen)).collect();
    stage.one.commit(&claim, &Changes { forget_signals, ..Changes::default() }).await.unwrap();
    let left = stage.one.signals(&cluster()).await.unwrap();
    assert_eq!(left.iter().map(|it| it.last_seen).collect::<Vec<_>>(), [seen(2)]);
}

async fn history_numbers_grow_by_one_for_ever(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    for _ in 0..2 {
        let history = vec![entry("x", 0), entry("y", 0)];
        stage.one.commit(&claim, &Changes { history, ..Changes::default() }).await.unwrap();
    }
    assert_eq!(numbers(&stage.one, None, 10).await, [4, 3, 2, 1]);
    stage.pass(RETENTION.age * 2).await;
    let claim = take(&stage.one, "a").await;
    stage.one.commit(&claim, &Changes::default()).await.unwrap();
    assert_eq!(numbers(&stage.one, None, 10).await, Vec::<u64>::new(), "all too old");
    let history = vec![entry("z", 7_200)];
    stage.one.commit(&claim, &Changes { history, ..Changes::default() }).await.unwrap();
    assert_eq!(numbers(&stage.one, None, 10).await, [5], "no number comes again");
}

async fn history_is_bounded_by_size(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    for _ in 0..5 {
        let history = vec![entry("x", 0); 7];
        stage.one.commit(&claim, &Changes { history, ..Changes::default() }).await.unwrap();
    }
    let left = numbers(&stage.one, None, 100).await;
    assert_eq!(left, (16..=35).rev().collect::<Vec<_>>());
}

async fn history_is_bounded_by_age(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    let history = vec![entry("old", 0), entry("young", 5)];
    stage.one.commit(&claim, &Changes { history, ..Changes::default() }).await.unwrap();
    for (wait, left) in [(RETENTION.age, &[2, 1][..]), (Duration::from_secs(3), &[2])] {
        stage.pass(wait).await;
        let claim = take(&stage.one, "a").await;
        stage.one.commit(&claim, &Changes::default()).await.unwrap();
        assert_eq!(numbers(&stage.one, None, 100).await, left);
    }
}

async fn history_is_paged_newest_first(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    let history = (0..9).map(|_| entry("x", 0)).collect();
    stage.one.commit(&claim, &Changes { history, ..Changes::default() }).await.unwrap();
    assert_eq!(numbers(&stage.two, None, 4).await, [9, 8, 7, 6]);
    assert_eq!(numbers(&stage.two, Some(6), 4).await, [5, 4, 3, 2]);
    assert_eq!(numbers(&stage.two, Some(2), 4).await, [1]);
    assert_eq!(numbers(&stage.two, Some(1), 4).await, Vec::<u64>::new());
    assert_eq!(numbers(&stage.two, Some(0), 4).await, Vec::<u64>::new());
    assert_eq!(numbers(&stage.two, None, 0).await, Vec::<u64>::new());
}

async fn clusters_are_isolated(stage: Stage) {
    let other = ClusterName::from("clu");
    let claim = take(&stage.one, "a").await;
    stage.one.commit(&claim, &everything("1")).await.unwrap();
    stage.one.record_signals(&[signal("f", 1)]).await.unwrap();
    let theirs = stage.two.claim(&other, "b", TTL, Token(0)).await.unwrap();
    assert_eq!(loaded(&stage.two, &other).await, model::Memory::default());
    assert_eq!(stage.two.signals(&other).await.unwrap(), []);
    let before = all(&stage.one).await;
    let changes = Changes { forget_workers: vec!["w1".into()], ..one_entry() };
    stage.two.commit(&theirs, &changes).await.unwrap();
    assert_eq!(all(&stage.one).await, before);
    let query = HistoryQuery { limit: 9, before: None };
    assert_eq!(stage.one.history(&other, &query).await.unwrap()[0].id, 1);
}

async fn odd_names_and_ids_are_keys_like_others(stage: Stage) {
    let names = ["", "a", "a/b", "a\0", "a\0b", "grün🌱", "\"'{}", "\u{10ffff}", "A"];
    let each = |name: &str| names.map(|id| Signal { cluster: name.into(), ..signal(id, 1) });
    stage.one.record_signals(&names.map(each).concat()).await.unwrap();
    for name in names {
        let claim = stage.one.claim(&name.into(), name, TTL, Token(0)).await.unwrap();
        let workers = names.map(|id| Worker { id: id.into(), ..worker(name) }).to_vec();
        stage.one.commit(&claim, &Changes { workers, ..one_entry() }).await.unwrap();
    }
    let mut sorted = names;
    sorted.sort_unstable();
    for name in names {
        let signals = stage.two.signals(&name.into()).await.unwrap();
        assert_eq!(signals.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(), sorted);
        let memory = stage.two.load(&name.into()).await.unwrap();
        assert_eq!(memory.workers.keys().map(WorkerId::as_str).collect::<Vec<_>>(), sorted);
        assert!(memory.workers.values().all(|worker| worker.pool.as_str() == name));
        let query = HistoryQuery { limit: 9, before: None };
        assert_eq!(stage.two.history(&name.into(), &query).await.unwrap().len(), 1, "{name:?}");
    }
}

async fn the_claim_is_given_to_one_of_many_at_once(stage: Stage) {
    let (name, holders) = (cluster(), ["a", "b", "c", "d"]);
    let claims = holders.map(|holder| stage.one.claim(&name, holder, TTL, Token(0)));
    let given = futures_util::future::join_all(claims).await;
    assert_eq!(given.iter().filter(|claim| claim.is_ok()).count(), 1);
}

/// A paused runtime jumps to the next timer when it has nothing to do: it must not take waiting
/// for the disk for that.
async fn time_stands_still_while_the_store_works(stage: Stage) {
    let claim = take(&stage.one, "a").await;
    let work = async {
        for _ in 0..20 {
            stage.one.commit(&claim, &everything("1")).await.unwrap();
            stage.two.load(&cluster()).await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_hours(1), work).await.unwrap();
    assert_eq!(stage.one.now().await.unwrap(), start());
}

#[tokio::test(start_paused = true)]
async fn the_configuration_names_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("deep/er");
    for url in [StoreUrl::Memory, StoreUrl::File(inner.clone())] {
        let mut config = configuration();
        config.service.store = url;
        let config = watch::channel(Arc::new(config)).1;
        let store = store::connect(&config, Clock::starting_at(start())).unwrap();
        take(&store, "a").await;
    }
    assert!(inner.join("bellwether.redb").is_file());
}

/// As a server that was started again does.
#[tokio::test(start_paused = true)]
async fn each_store_in_memory_lives_its_own_life() {
    let (stage, other) = (memory(), memory());
    for _ in 0..2 {
        let life = async |store: &Arc<dyn Store>| store.load(&cluster()).await.unwrap().life;
        let ours = life(&stage.one).await;
        assert!(ours.is_some());
        assert_eq!(life(&stage.two).await, ours);
        assert_ne!(life(&other.one).await, ours);
        // Where something is kept of the cluster, too.
        take(&stage.one, "a").await;
        take(&other.one, "a").await;
    }
}

async fn take(store: &Arc<dyn Store>, holder: &str) -> Claim {
    store.claim(&cluster(), holder, TTL, Token(0)).await.unwrap()
}

async fn numbers(store: &Arc<dyn Store>, before: Option<u64>, limit: usize) -> Vec<u64> {
    let query = HistoryQuery { limit, before };
    let entries = store.history(&cluster(), &query).await.unwrap();
    entries.into_iter().map(|entry| entry.id).collect()
}

/// What is kept, whatever life of the store it is read in.
async fn loaded(store: &Arc<dyn Store>, cluster: &ClusterName) -> model::Memory {
    model::Memory { life: None, ..store.load(cluster).await.unwrap() }
}

/// Everything that a store tells of the cluster.
pub(crate) async fn all(store: &Arc<dyn Store>) -> (model::Memory, Vec<Signal>, Vec<Entry>) {
    let query = HistoryQuery { limit: usize::MAX, before: None };
    (
        loaded(store, &cluster()).await,
        store.signals(&cluster()).await.unwrap(),
        store.history(&cluster(), &query).await.unwrap(),
    )
}

fn fenced(claim: &Claim) -> store::Result<()> {
    Err(Error::Fenced { token: claim.token })
}

pub(crate) fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn cluster() -> ClusterName {
    ClusterName::from("cluster")
}

fn seen(seconds: u64) -> Timestamp {
    duration::after(start(), Duration::from_secs(seconds))
}

/// An alert delivered at this second.
pub(crate) fn signal(id: &str, at: u64) -> Signal {
    Signal {
        id: id.into(),
        cluster: cluster(),
        pool: None,
        ask: Ask::Up { step: Some(2), want_query: None },
        source: Source::Alert {
            fingerprint: Fingerprint::from(id),
            starts_at: start(),
            labels: BTreeMap::from([("zone".into(), "\u{e4}\"\\".into())]),
            resolved: false,
        },
        name: "Busy".into(),
        summary: format!("at {at}"),
        description: String::new(),
        first_seen: seen(at),
        last_seen: seen(at),
    }
}

pub(crate) fn worker(pool: &str) -> Worker {
    Worker {
        id: "w1".into(),
        pool: pool.into(),
        batch: None,
        shape: "small".into(),
        zone: "z".into(),
        market: Market::Spot,
        instance: None,
        node: None,
        state: WorkerState::Requested,
        since: start(),
        deadline_from: start(),
        created: start(),
        ready: None,
        purpose: None,
        held: Duration::ZERO,
        held_since: None,
        blocked: None,
        template: None,
        last_words: None,
    }
}

/// A history entry of this second.
pub(crate) fn entry(what: &str, at: u64) -> Entry {
    Entry {
        id: 0,
        at: seen(at),
        cluster: cluster(),
        pool: None,
        worker: None,
        kind: EntryKind::Seen,
        what: what.into(),
        reason: None,
        detail: String::new(),
        signals: Vec::new(),
        pass: PassId::from("p"),
        token: Token(1),
    }
}

fn one_entry() -> Changes {
    Changes { history: vec![entry("x", 0)], ..Changes::default() }
}

/// Something of every kind, marked.
pub(crate) fn everything(mark: &str) -> Changes {
    let request = LaunchRequest {
        cluster: cluster(),
        cluster_uid: "uid".into(),
        pool: mark.into(),
        batch: "b1".into(),
        token: None,
        orders: Vec::new(),
        fallback: Vec::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
    };
    let launches = vec![(start(), 3)];
    let pool = PoolMemory { launches, held: Some(mark.into()), ..PoolMemory::default() };
    Changes {
        workers: vec![worker(mark)],
        intents: vec![Intent {
            at: start(),
            request,
            permit: Permit::Need,
            pods: vec!["pod".into()],
        }],
        pools: BTreeMap::from([("pool".into(), pool)]),
        cluster: Some(ClusterMemory { uid: Some(mark.into()), ..ClusterMemory::default() }),
        history: vec![entry(mark, 0)],
        ..Changes::default()
    }
}
