//! Keeping the claim and the lease, on virtual time.

use super::*;
use crate::config::SimConfig;
use crate::sim::{Witness, World};
use crate::store::{Memory, Retention};
use jiff::Timestamp;

const TTL: Duration = Duration::from_secs(10);
const ACT: Terms = Terms { ttl: TTL, lease: true };
const DRY: Terms = Terms { ttl: TTL, lease: false };

fn store(clock: Clock) -> Arc<Memory> {
    Arc::new(Memory::new(clock, Retention { entries: 1, age: TTL }))
}

/// Two processes at one cluster, each with its store; the first has the claim.
async fn two_at(clock: Clock, stores: [Arc<Memory>; 2]) -> (Claims, Claims) {
    let world = World::new(&SimConfig::default(), clock).unwrap();
    let [store, theirs] = stores;
    let claims = |holder, store: Arc<Memory>| {
        Claims::new("c".into(), holder, store, Arc::new(Witness::new(world.clone())), clock)
    };
    let (one, other) = (claims("a", store), claims("b", theirs));
    one.step(ACT).await;
    assert!(one.current().is_some());
    (one, other)
}

/// Two processes at one store; the first has the claim.
async fn two() -> (Claims, Claims) {
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let store = store(clock);
    two_at(clock, [store.clone(), store]).await
}

/// Two at stores that know nothing of each other: two installs, or one store after it forgot.
async fn strangers() -> (Claims, Claims) {
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    two_at(clock, [store(clock), store(clock)]).await
}

/// Both keep on, for longer than a claim lives.
async fn keep_on(one: &Claims, other: &Claims) {
    for _ in 0..4 {
        tokio::time::advance(TTL / 3).await;
        one.step(ACT).await;
        other.step(ACT).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_well_keeps_its_claim() {
    let (one, other) = two().await;
    keep_on(&one, &other).await;
    assert!(one.current().is_some() && other.current().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_third_of_a_claims_life_is_waited_at_most_whatever_was_answered() {
    let (one, other) = two().await;
    assert_eq!(one.step(ACT).await, TTL / 3, "it is ours");
    assert_eq!(other.step(ACT).await, TTL / 3, "another has it for longer");
    let watch = one.pass_began(TTL / 10);
    tokio::time::advance(TTL / 5).await;
    assert_eq!(one.step(ACT).await, TTL / 3, "a pass is overdue");
    drop(watch);
    one.judge_clock(true);
    assert_eq!(one.step(ACT).await, TTL / 3, "the clock is astray");
}

/// Both keep asking by themselves; the first one's process has died at some point between two renewals.
#[tokio::test(start_paused = true)]
async fn a_claim_whose_holder_died_is_taken_right_after_its_end() {
    let (one, other) = two().await;
    tokio::time::advance(TTL / 5).await;
    let ends = one.clock.boottime() + TTL * 4 / 5;
    let stop = CancellationToken::new();
    let gained = async {
        other.gained().await;
        stop.cancel();
        one.clock.boottime()
    };
    let ((), at) = tokio::join!(other.keep(|| ACT, stop.clone()), gained);
    assert!(at >= ends && at < ends + JUST_AFTER * 2, "{ends:?} {at:?}");
}

/// The claim would be over by our clock whenever it is asked for.
#[tokio::test(start_paused = true)]
async fn who_is_ahead_of_the_store_asks_ten_times_in_a_claims_life_at_most() {
    let (one, other) = two().await;
    let clock = Clock::starting_at(Timestamp::from_second(60).unwrap());
    let ahead = Claims { clock, ..other };
    assert_eq!(ahead.step(ACT).await, TTL / 10);
    tokio::time::advance(TTL).await;
    assert_eq!(ahead.step(ACT).await, TTL / 3);
    assert!(ahead.current().is_some() && one.current().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_sought_is_asked_for_at_once() {
    let (one, other) = two().await;
    let begun = one.clock.boottime();
    let stop = CancellationToken::new();
    let gained = async {
        tokio::task::yield_now().await;
        one.release().await;
        other.seek();
        other.gained().await;
        stop.cancel();
        one.clock.boottime()
    };
    let ((), at) = tokio::join!(other.keep(|| ACT, stop.clone()), gained);
    assert_eq!(at, begun);
}

#[tokio::test(start_paused = true)]
async fn two_stores_of_one_cluster_give_one_of_them_the_right_to_act() {
    let (one, other) = strangers().await;
    keep_on(&one, &other).await;
    assert!(one.current().is_some() && other.current().is_none());
}

/// The second one's store gave out the very token that the first one has.
#[tokio::test(start_paused = true)]
async fn a_token_grows_past_one_that_the_store_has_forgotten() {
    let (one, other) = strangers().await;
    let first = one.current().unwrap().token;
    one.release().await;
    other.step(ACT).await;
    assert!(other.current().unwrap().token > first);
}

/// A cluster out of reach for one process, from the start or from right after it told the last token.
#[derive(Debug)]
struct OutOfReach(Option<Token>);

#[async_trait::async_trait]
impl Fence for OutOfReach {
    async fn last(&self) -> fence::Result<Token> {
        match self.0 {
            Some(last) => Ok(last),
            None => std::future::pending().await,
        }
    }

    async fn hold(&self, _: &Claim, _: Duration) -> fence::Result<()> {
        std::future::pending().await
    }

    async fn let_go(&self, _: &Claim) -> fence::Result<()> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn who_cannot_reach_the_cluster_leaves_the_claim_to_one_who_can() {
    for last in [None, Some(Token(1))] {
        let (one, other) = two().await;
        let fence = Arc::new(OutOfReach(last));
        let cut_off = Claims::new("c".into(), "a", one.store.clone(), fence, one.clock);
        let ends = cut_off.clock.boottime() + TTL;
        cut_off.step(ACT).await;
        assert!(cut_off.clock.boottime() < ends, "it waits no longer than a claim lives");
        assert_eq!(cut_off.refused().unwrap().kind(), "away", "it is not the store");
        // Its process was started anew, and asks as often as it may.
        keep_on(&cut_off, &other).await;
        assert!(cut_off.current().is_none() && other.current().is_some());
    }
}

/// Its renewals of the store's claim went on for as long as it believed in it.
#[tokio::test(start_paused = true)]
async fn a_holder_that_is_cut_off_from_the_cluster_gives_the_claim_back_when_it_is_over() {
    let (one, other) = two().await;
    let cut_off = Claims { fence: Arc::new(OutOfReach(None)), ..one };
    let ends = cut_off.clock.boottime() + TTL;
    while cut_off.current().is_some() {
        tokio::time::advance(TTL / 3).await;
        cut_off.step(ACT).await;
    }
    assert!(cut_off.clock.boottime() < ends + TTL);
    let free = other.store.claim(&"c".into(), "b", TTL, Token(0)).await;
    assert!(free.is_ok(), "{free:?}");
}

/// Another's lease began when ours was over; the store's claim is of no use to us, and of use to others.
#[tokio::test(start_paused = true)]
async fn who_is_refused_to_keep_the_lease_gives_the_claim_back() {
    let (one, other) = strangers().await;
    let claim = one.current().unwrap();
    one.let_go(&claim).await;
    other.step(ACT).await;
    one.step(ACT).await;
    assert!(one.current().is_none() && other.leased().is_some());
    let free = one.store.claim(&"c".into(), "c", TTL, Token(0)).await;
    assert!(free.is_ok(), "{free:?}");
}

/// Whatever the tokens of both are by now.
#[tokio::test(start_paused = true)]
async fn a_store_whose_token_was_refused_as_old_writes_down_that_it_forgot() {
    let (one, other) = strangers().await;
    let forgot = async |claims: &Claims| claims.store.load(&"c".into()).await.unwrap().forgot;
    // The same token as the other's lease had.
    one.release().await;
    other.step(DRY).await;
    assert_eq!(other.current().unwrap().token, Token(1));
    other.step(ACT).await;
    assert!(matches!(other.refused(), Some(Refusal::Outdated { .. })));
    assert_eq!(forgot(&other).await, None);
    other.step(ACT).await;
    assert!(other.leased().is_some() && forgot(&other).await.is_some());
}

/// A cluster that answers just in time.
#[derive(Debug)]
struct Slow(Witness);

#[async_trait::async_trait]
impl Fence for Slow {
    async fn last(&self) -> fence::Result<Token> {
        tokio::time::sleep(TTL * 3 / 10).await;
        self.0.last().await
    }

    async fn hold(&self, claim: &Claim, ttl: Duration) -> fence::Result<()> {
        tokio::time::sleep(TTL * 3 / 10).await;
        self.0.hold(claim, ttl).await
    }

    async fn let_go(&self, claim: &Claim) -> fence::Result<()> {
        tokio::time::sleep(TTL / 10).await;
        self.0.let_go(claim).await
    }
}

/// Another may have the claim by then, and the lease in a moment.
#[tokio::test(start_paused = true)]
async fn who_is_fenced_acts_no_more_while_it_gives_the_lease_back() {
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let world = World::new(&SimConfig::default(), clock).unwrap();
    let (store, slow) = (store(clock), Arc::new(Slow(Witness::new(world))));
    let one = Claims::new("c".into(), "a", store.clone(), slow, clock);
    one.step(ACT).await;
    store.release(&one.leased().unwrap()).await.unwrap();
    let meanwhile = async {
        tokio::time::sleep(TTL / 20).await;
        one.leased()
    };
    let (_, leased) = tokio::join!(one.step(ACT), meanwhile);
    assert_eq!(leased, None);
}

/// A claim that is renewed keeps its token.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_answers_slowly_does_not_use_up_the_claim() {
    let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
    let world = World::new(&SimConfig::default(), clock).unwrap();
    let slow = Arc::new(Slow(Witness::new(world)));
    let one = Claims::new("c".into(), "a", store(clock), slow, clock);
    let stop = CancellationToken::new();
    let living = async {
        one.gained().await;
        let first = one.current().map(|it| it.token);
        for _ in 0..20 {
            tokio::time::sleep(TTL / 4).await;
            assert_eq!(one.current().map(|it| it.token), first);
        }
        stop.cancel();
    };
    tokio::join!(one.keep(|| ACT, stop.clone()), living);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_the_lease_knows_by_whom_and_until_when_and_no_longer_than_it_is() {
    let (one, other) = strangers().await;
    assert_eq!(one.refused(), None);
    tokio::time::advance(TTL / 2).await;
    one.step(ACT).await;
    other.step(ACT).await;
    let until = duration::after(one.clock.now(), TTL);
    assert_eq!(other.refused(), Some(Refusal::Held { holder: "a".to_owned(), until }));
    other.judge_clock(true);
    other.step(ACT).await;
    assert_eq!(other.refused(), None, "it did not ask");
    other.judge_clock(false);
    other.step(ACT).await;
    assert!(other.refused().is_some());
    one.release().await;
    other.step(ACT).await;
    assert_eq!(other.refused(), None);
}

/// A second install may stand by for months: the end of the lease is no news.
#[test]
fn a_refusal_is_news_when_it_is_for_another_reason_or_by_another() {
    let held = |holder: &str, until| Refusal::Held {
        holder: holder.to_owned(),
        until: Timestamp::from_second(until).unwrap(),
    };
    assert!(is_same(&held("a", 1), &held("a", 2)));
    assert!(!is_same(&held("a", 1), &held("b", 1)));
    assert!(!is_same(&held("a", 1), &late()));
    assert!(is_same(&late(), &Refusal::Away("another error".to_owned())));
}

/// Else two that are refused would wake each other without end, each by giving its claim back.
#[tokio::test(start_paused = true)]
async fn who_is_refused_the_lease_is_not_woken_to_ask_again() {
    let (_one, other) = strangers().await;
    let stop = CancellationToken::new();
    let waking = async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
            other.seek();
        }
        tokio::task::yield_now().await;
        stop.cancel();
    };
    tokio::join!(other.keep(|| ACT, stop.clone()), waking);
    let next = other.store.claim(&"c".into(), "z", TTL, Token(0)).await.unwrap();
    assert_eq!(next.token, Token(3), "it asked once, past the lease's");
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_has_the_claim_and_leaves_the_lease_to_another() {
    let (one, other) = strangers().await;
    one.release().await;
    one.step(DRY).await;
    other.step(ACT).await;
    assert!(one.current().is_some() && one.leased().is_none());
    assert!(other.leased().is_some());
    one.release().await;
    other.step(ACT).await;
    assert!(other.leased().is_some(), "it gives back what it has");
}

/// A call that was begun under the lease may be under way.
#[tokio::test(start_paused = true)]
async fn who_goes_to_a_dry_run_may_act_no_more_at_once_and_its_lease_comes_to_its_end() {
    let (one, other) = strangers().await;
    let ends = one.clock.boottime() + TTL;
    one.step(DRY).await;
    assert!(one.current().is_some() && one.leased().is_none());
    other.step(ACT).await;
    assert!(matches!(other.refused(), Some(Refusal::Held { .. })));
    while other.leased().is_none() {
        tokio::time::advance(Duration::from_secs(1)).await;
        one.step(DRY).await;
        other.step(ACT).await;
    }
    assert_eq!(other.clock.boottime(), ends);
}

#[tokio::test(start_paused = true)]
async fn who_goes_from_a_dry_run_to_acts_gains_the_lease_for_the_claim_it_has() {
    let (one, other) = strangers().await;
    one.release().await;
    one.step(DRY).await;
    one.gained().await;
    let before = one.current();
    one.step(ACT).await;
    one.gained().await;
    assert_eq!(one.leased().map(|it| it.token), before.map(|it| it.token));
    other.step(ACT).await;
    assert!(other.current().is_none());
}

#[tokio::test(start_paused = true)]
async fn who_goes_from_a_dry_run_to_acts_and_is_refused_the_lease_has_no_claim() {
    let (one, other) = strangers().await;
    one.release().await;
    one.step(DRY).await;
    other.step(ACT).await;
    one.step(ACT).await;
    assert!(one.current().is_none() && one.refused().is_some());
    assert!(other.leased().is_some());
}

#[test]
fn the_lease_is_taken_as_soon_as_one_pool_acts() {
    let yaml = |mode: &str, pool: &str| {
        format!(
            "store: {{ url: \"memory:\", claim_ttl: 7s }}
alertmanager: {{ urls: [\"http://127.0.0.1:1\"] }}
prometheus: {{ urls: [\"http://127.0.0.1:1\"] }}
clusters:
  c:
    kubernetes: {{ sim: {{}} }}
    mode: {mode}
    pools:
      one: {{ provider: {{ sim: {{}} }}, max: 1{pool} }}
      two: {{ provider: {{ sim: {{}} }}, max: 1{pool} }}
      last: {{ provider: {{ sim: {{}} }}, max: 1 }}"
        )
    };
    let none = std::collections::BTreeMap::<String, String>::new();
    let dry = ", mode: dry_run";
    for (mode, pool, lease) in [
        ("act", "", true),
        ("act", dry, true),
        ("dry_run", "", false),
        ("dry_run", ", mode: act", true),
    ] {
        let config = Config::parse(&yaml(mode, pool), &none).unwrap().config;
        let terms = Terms { ttl: Duration::from_secs(7), lease };
        assert_eq!(Terms::of(&config, &"c".into()), terms, "{mode}{pool}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_fenced_lets_go_of_the_lease_at_once() {
    let (one, other) = strangers().await;
    one.store.release(&one.current().unwrap()).await.unwrap();
    one.step(ACT).await;
    other.step(ACT).await;
    assert!(one.current().is_none() && other.current().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_pass_is_overdue_leaves_its_claim_to_another() {
    let (one, other) = two().await;
    let watch = one.pass_began(Duration::from_secs(1));
    keep_on(&one, &other).await;
    assert!(one.current().is_none() && other.current().is_some());
    drop(watch);
    other.release().await;
    one.step(ACT).await;
    assert!(one.current().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_clock_is_astray_leaves_its_claim_to_another() {
    let (one, other) = two().await;
    one.judge_clock(true);
    keep_on(&one, &other).await;
    assert!(one.current().is_none() && other.current().is_some());
    one.judge_clock(false);
    other.release().await;
    one.step(ACT).await;
    assert!(one.current().is_some());
}
