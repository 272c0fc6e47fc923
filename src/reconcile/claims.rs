//! Keeping the claim, and with it the cluster's lease: renewed every third of its time as long as passes can act
//! with it.
//!
//! Only the asking is here; what an answer means is in [`belief`].

pub(super) mod belief;

use crate::clock::Clock;
use crate::cluster::fence::{self, Fence, Refusal};
use crate::config::{ClusterConfig, Config};
use crate::killpoint::{self, Point};
use crate::model::{Claim, ClusterName, Token, duration};
use crate::store::{self, Error, Store};
use belief::{Answer, Ask, Belief, Denied, Granted, Idle};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// How long after another's claim should be over it is asked for.
const JUST_AFTER: Duration = Duration::from_millis(100);

/// How long giving the lease back may take; its end comes by itself.
const LET_GO: Duration = Duration::from_secs(2);

/// The claim of one cluster, as far as this process holds it.
#[derive(Debug)]
pub struct Claims {
    cluster: ClusterName,
    holder: String,
    store: Arc<dyn Store>,
    fence: Arc<dyn Fence>,
    clock: Clock,
    belief: Mutex<Belief>,
    gained: Notify,
    /// Told that the claim may be free.
    sought: Notify,
    /// Why the lease was refused, if it was when a claim was last asked for.
    refused: Mutex<Option<Refusal>>,
}

/// How a claim is to be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long it lives unless it is renewed.
    pub ttl: Duration,
    /// Whether the cluster's lease is taken as well: not where nothing is to be done to the cluster.
    pub lease: bool,
}

/// Ends the watch over a pass when dropped.
pub(super) struct PassWatch<'a>(&'a Claims);

impl Terms {
    /// As the configuration has it for a cluster.
    pub fn of(config: &Config, cluster: &ClusterName) -> Self {
        let is_dry = config.clusters.get(cluster).is_some_and(ClusterConfig::is_dry);
        Self { ttl: config.service.claim_ttl, lease: !is_dry }
    }
}

/// To act.
impl From<Duration> for Terms {
    fn from(ttl: Duration) -> Self {
        Self { ttl, lease: true }
    }
}

impl Claims {
    pub(super) fn new(
        cluster: ClusterName,
        holder: &str,
        store: Arc<dyn Store>,
        fence: Arc<dyn Fence>,
        clock: Clock,
    ) -> Self {
        Self {
            cluster,
            holder: holder.to_owned(),
            store,
            fence,
            clock,
            belief: Mutex::default(),
            gained: Notify::new(),
            sought: Notify::new(),
            refused: Mutex::default(),
        }
    }

    /// The claim, while it is surely ours: enough to write what is remembered, and to say what would be done.
    pub fn current(&self) -> Option<Claim> {
        let now = self.clock.boottime();
        self.lock().current(now).cloned()
    }

    /// The claim, while it is surely ours with the cluster's lease: only then anything is done to the cluster.
    pub fn leased(&self) -> Option<Claim> {
        let now = self.clock.boottime();
        self.lock().leased(now).cloned()
    }

    /// Why the cluster does not give its lease, if that is why there is no claim to act under.
    pub fn refused(&self) -> Option<Refusal> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Resolves when a claim was newly gained.
    pub(super) async fn gained(&self) {
        self.gained.notified().await;
    }

    pub(super) fn pass_began(&self, overdue: Duration) -> PassWatch<'_> {
        self.lock().pass_began(self.clock.boottime(), overdue);
        PassWatch(self)
    }

    /// Asks for the claim without waiting for the next time: another may have given it back.
    pub fn seek(&self) {
        self.sought.notify_one();
    }

    /// Notes what a pass found of our clock.
    pub(super) fn judge_clock(&self, is_astray: bool) {
        self.lock().judge_clock(is_astray);
    }

    /// Claims and renews until told to stop, then gives the claim back. A loop that hangs (its pass
    /// is overdue) or must not act (its clock is astray) is not renewed for: another process takes
    /// over. The terms are asked for each time: they may be configured anew.
    pub async fn keep<T: Into<Terms>>(&self, terms: impl Fn() -> T, stop: CancellationToken) {
        loop {
            let terms = terms();
            let next = self.step(terms).await;
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.release().await,
                // Who was refused the lease gave the claim back, and would be told of it by the next who is refused.
                () = self.sought.notified(), if self.refused().is_none() => {}
                () = tokio::time::sleep(next) => {}
            }
        }
    }

    /// Gives claim and lease back, so that another process need not wait for their end.
    pub async fn release(&self) {
        let Some(Granted { claim, leased }) = self.lock().give_back() else { return };
        if leased {
            self.let_go(&claim).await;
        }
        self.give_back(&claim).await;
    }

    async fn give_back(&self, claim: &Claim) {
        let answer = self.store.release(claim).await;
        killpoint::reached(Point::Released);
        if let Err(error) = answer {
            tracing::debug!(section = "claim", cluster = %self.cluster, error = %error, "claim was not released");
        }
    }

    /// One attempt to hold the claim for as long again; how long to wait until the next.
    pub async fn step(&self, terms: impl Into<Terms>) -> Duration {
        let terms @ Terms { ttl, .. } = terms.into();
        let asked_at = self.clock.boottime();
        let ask = self.lock().ask(asked_at);
        let answer = match ask {
            Ask::Nothing(Idle::Astray) => return ttl / 3,
            Ask::Nothing(Idle::Overdue) => {
                tracing::error!(section = "claim", cluster = %self.cluster, "a pass is overdue; the claim is not renewed");
                return ttl / 3;
            }
            Ask::Claim => self.take(terms).await,
            Ask::Renew(claim) => self.prolong(&claim, terms).await,
        };
        self.tell(&answer);
        let next = self.next(&answer, asked_at, ttl);
        if self.lock().hear(answer, asked_at, ttl) {
            self.gained.notify_one();
        }
        next
    }

    /// A claim that ends before the usual time is asked for at its end. One that is held though its end is past has a
    /// store whose clock is behind ours: it is asked for now and then.
    fn next(&self, answer: &Answer, asked_at: Duration, ttl: Duration) -> Duration {
        match answer {
            Err(
                Denied::Store(Error::Held { until, .. })
                | Denied::Lease(Refusal::Held { until, .. }),
            ) => {
                let left = duration::since(self.clock.now(), *until);
                let wait = if left.is_zero() { ttl / 10 } else { left + JUST_AFTER };
                wait.min(ttl / 3)
            }
            // Counted from the question, as its end is: answers that are slow must not use up its life.
            _ => (asked_at + ttl / 3).saturating_sub(self.clock.boottime()),
        }
    }

    /// A claim that has the lease, too. Without the lease it is worth nothing, and is given back to one who may get both.
    async fn take(&self, Terms { ttl, lease }: Terms) -> Answer {
        if !lease {
            let claim = self.claim(ttl, Token(0)).await?;
            return Ok(Granted { claim, leased: false });
        }
        // First, so that a store which knows only older ones writes down that it forgot as it gives out the next: whoever
        // dies after that, the next one knows.
        let past = match self.past(ttl).await {
            Ok(past) => past,
            Err(refusal) => {
                // The store may still have a claim of ours, which another could act under.
                let had = self.lock().give_back();
                if let Some(had) = had {
                    self.give_back(&had.claim).await;
                }
                return Err(refusal.into());
            }
        };
        let claim = self.claim(ttl, past).await?;
        let answer = self.hold(&claim, ttl).await;
        if let Err(refusal) = &answer {
            if matches!(refusal, Refusal::Away(_)) {
                // It may be ours, and the answer lost.
                self.let_go(&claim).await;
            }
            self.give_back(&claim).await;
        }
        Ok(answer.map(|()| Granted { claim, leased: true })?)
    }

    /// A lease that is not asked for any more is not given back, but left to its end: a call that was begun under it
    /// may be under way.
    async fn prolong(&self, claim: &Claim, Terms { ttl, lease }: Terms) -> Answer {
        let renewed = self.store.renew(claim, ttl).await;
        killpoint::reached(Point::Renewed);
        if let Err(Error::Fenced { .. }) = renewed {
            // Whoever has the claim now need not wait for the lease's end.
            self.let_go(claim).await;
        }
        let claim = renewed?;
        if lease {
            let answer = self.hold(&claim, ttl).await;
            if let Err(Refusal::Held { .. } | Refusal::Outdated { .. }) = answer {
                self.give_back(&claim).await;
            }
            answer?;
        }
        Ok(Granted { claim, leased: lease })
    }

    async fn claim(&self, ttl: Duration, past: Token) -> store::Result<Claim> {
        let answer = self.store.claim(&self.cluster, &self.holder, ttl, past).await;
        killpoint::reached(Point::Claimed);
        answer
    }

    /// The token that the claim's is to be past: the last one that the lease was held under. Where a token of our store was
    /// refused for an older one, one more, so that the store writes down that it is behind, though by now its tokens are not.
    async fn past(&self, ttl: Duration) -> fence::Result<Token> {
        let last = self.last(ttl).await?;
        let is_behind = matches!(self.refused(), Some(Refusal::Outdated { .. }));
        Ok(last.next().filter(|_| is_behind).unwrap_or(last))
    }

    async fn last(&self, ttl: Duration) -> fence::Result<Token> {
        let answer = tokio::time::timeout(ttl / 3, self.fence.last()).await;
        answer.unwrap_or_else(|_| Err(late()))
    }

    async fn hold(&self, claim: &Claim, ttl: Duration) -> fence::Result<()> {
        let answer = tokio::time::timeout(ttl / 3, self.fence.hold(claim, ttl)).await;
        let answer = answer.unwrap_or_else(|_| Err(late()));
        killpoint::reached(Point::LeaseHeld);
        answer
    }

    async fn let_go(&self, claim: &Claim) {
        let answer = tokio::time::timeout(LET_GO, self.fence.let_go(claim)).await;
        let answer = answer.unwrap_or_else(|_| Err(late()));
        killpoint::reached(Point::LeaseLetGo);
        if let Err(refusal) = answer {
            tracing::debug!(section = "claim", cluster = %self.cluster, %refusal, "lease was not given back");
        }
    }

    fn tell(&self, answer: &Answer) {
        match answer {
            Ok(_) | Err(Denied::Store(Error::Held { .. })) => self.tell_of_lease(None),
            Err(Denied::Store(error @ Error::Fenced { .. })) => {
                self.tell_of_lease(None);
                tracing::warn!(section = "claim", cluster = %self.cluster, error = %error, "claim lost");
            }
            Err(Denied::Store(error)) => {
                self.tell_of_lease(None);
                tracing::warn!(section = "claim", cluster = %self.cluster, error = %error, "claim not renewed");
            }
            Err(Denied::Lease(refusal)) => self.tell_of_lease(Some(refusal)),
        }
    }

    /// Said once, though it is asked for again and again: a second install may stand by for months.
    fn tell_of_lease(&self, refusal: Option<&Refusal>) {
        let mut told = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *told, refusal.cloned());
        let Some(refusal) = refusal else { return };
        if before.is_none_or(|before| !is_same(&before, refusal)) {
            tracing::warn!(section = "claim", cluster = %self.cluster, %refusal, "the cluster's lease is not given; without it nothing is begun");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Belief> {
        self.belief.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn late() -> Refusal {
    Refusal::Away("no answer in time".to_owned())
}

/// Whether two refusals are for the same reason, though the lease ends later each time.
fn is_same(one: &Refusal, other: &Refusal) -> bool {
    match (one, other) {
        (Refusal::Held { holder, .. }, Refusal::Held { holder: other, .. }) => holder == other,
        _ => one.kind() == other.kind(),
    }
}

impl Drop for PassWatch<'_> {
    fn drop(&mut self) {
        self.0.lock().pass_ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SimConfig;
    use crate::sim::{Witness, World};
    use crate::store::{Memory, Retention};
    use jiff::Timestamp;

    const TTL: Duration = Duration::from_secs(10);

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
        one.step(TTL).await;
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
            one.step(TTL).await;
            other.step(TTL).await;
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
        assert_eq!(one.step(TTL).await, TTL / 3, "it is ours");
        assert_eq!(other.step(TTL).await, TTL / 3, "another has it for longer");
        let watch = one.pass_began(TTL / 10);
        tokio::time::advance(TTL / 5).await;
        assert_eq!(one.step(TTL).await, TTL / 3, "a pass is overdue");
        drop(watch);
        one.judge_clock(true);
        assert_eq!(one.step(TTL).await, TTL / 3, "the clock is astray");
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
        let ((), at) = tokio::join!(other.keep(|| TTL, stop.clone()), gained);
        assert!(at >= ends && at < ends + JUST_AFTER * 2, "{ends:?} {at:?}");
    }

    /// The claim would be over by our clock whenever it is asked for.
    #[tokio::test(start_paused = true)]
    async fn who_is_ahead_of_the_store_asks_ten_times_in_a_claims_life_at_most() {
        let (one, other) = two().await;
        let clock = Clock::starting_at(Timestamp::from_second(60).unwrap());
        let ahead = Claims { clock, ..other };
        assert_eq!(ahead.step(TTL).await, TTL / 10);
        tokio::time::advance(TTL).await;
        assert_eq!(ahead.step(TTL).await, TTL / 3);
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
        let ((), at) = tokio::join!(other.keep(|| TTL, stop.clone()), gained);
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
        other.step(TTL).await;
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
            cut_off.step(TTL).await;
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
            cut_off.step(TTL).await;
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
        other.step(TTL).await;
        one.step(TTL).await;
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
        other.step(TTL).await;
        assert!(matches!(other.refused(), Some(Refusal::Outdated { .. })));
        assert_eq!(forgot(&other).await, None);
        other.step(TTL).await;
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
            self.0.let_go(claim).await
        }
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
        tokio::join!(one.keep(|| TTL, stop.clone()), living);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_the_lease_knows_by_whom_and_until_when_and_no_longer_than_it_is() {
        let (one, other) = strangers().await;
        assert_eq!(one.refused(), None);
        tokio::time::advance(TTL / 2).await;
        one.step(TTL).await;
        other.step(TTL).await;
        let until = duration::after(one.clock.now(), TTL);
        assert_eq!(other.refused(), Some(Refusal::Held { holder: "a".to_owned(), until }));
        one.release().await;
        other.step(TTL).await;
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
        tokio::join!(other.keep(|| TTL, stop.clone()), waking);
        let next = other.store.claim(&"c".into(), "z", TTL, Token(0)).await.unwrap();
        assert_eq!(next.token, Token(3), "it asked once, past the lease's");
    }

    const DRY: Terms = Terms { ttl: TTL, lease: false };

    #[tokio::test(start_paused = true)]
    async fn a_dry_run_has_the_claim_and_leaves_the_lease_to_another() {
        let (one, other) = strangers().await;
        one.release().await;
        one.step(DRY).await;
        other.step(TTL).await;
        assert!(one.current().is_some() && one.leased().is_none());
        assert!(other.leased().is_some());
        one.release().await;
        other.step(TTL).await;
        assert!(other.leased().is_some(), "it gives back what it has");
    }

    /// A call that was begun under the lease may be under way.
    #[tokio::test(start_paused = true)]
    async fn who_goes_to_a_dry_run_may_act_no_more_at_once_and_its_lease_comes_to_its_end() {
        let (one, other) = strangers().await;
        let ends = one.clock.boottime() + TTL;
        one.step(DRY).await;
        assert!(one.current().is_some() && one.leased().is_none());
        other.step(TTL).await;
        assert!(matches!(other.refused(), Some(Refusal::Held { .. })));
        while other.leased().is_none() {
            tokio::time::advance(Duration::from_secs(1)).await;
            one.step(DRY).await;
            other.step(TTL).await;
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
        one.step(TTL).await;
        one.gained().await;
        assert_eq!(one.leased().map(|it| it.token), before.map(|it| it.token));
        other.step(TTL).await;
        assert!(other.current().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_goes_from_a_dry_run_to_acts_and_is_refused_the_lease_has_no_claim() {
        let (one, other) = strangers().await;
        one.release().await;
        one.step(DRY).await;
        other.step(TTL).await;
        one.step(TTL).await;
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
        one.step(TTL).await;
        other.step(TTL).await;
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
        one.step(TTL).await;
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
        one.step(TTL).await;
        assert!(one.current().is_some());
    }
}
