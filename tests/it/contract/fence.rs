//! What every witness of a cluster keeps: the rules of the lease, whoever asks and through whichever handle.

use crate::support::control_plane::{self, ControlPlane, Setting};
use bellwether::clock::Clock;
use bellwether::cluster::fence::{Fence, Refusal};
use bellwether::config::SimConfig;
use bellwether::model::{Claim, Token, duration};
use bellwether::sim::{Witness, World};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use jiff::Timestamp;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tokio::runtime::Handle;

/// A witness, and two handles on it: each is another process'.
struct Stage {
    one: Arc<dyn Fence>,
    other: Arc<dyn Fence>,
    /// Another process comes, which knows only what is kept.
    another: Box<dyn Fn() -> Arc<dyn Fence> + Send + Sync>,
    /// A tenth of a lease's life: seconds where time stands still between the steps, minutes where it does not.
    unit: Duration,
    /// A server behind it, which takes its real time.
    plane: Option<ControlPlane>,
}

fn clock() -> Clock {
    Clock::starting_at(start())
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn on_worlds(world: impl Fn() -> World + Send + Sync + 'static) -> Stage {
    let another = move || Arc::new(Witness::new(world())) as Arc<dyn Fence>;
    let [one, other] = [another(), another()];
    let unit = Duration::from_secs(1);
    Stage { one, other, another: Box::new(another), unit, plane: None }
}

fn in_memory() -> Stage {
    let world = World::new(&SimConfig::default(), clock()).unwrap();
    on_worlds(move || world.clone())
}

fn in_a_file() -> Stage {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    on_worlds(move || {
        let state = Some(folder.path().join("world.json"));
        World::new(&SimConfig { state, ..SimConfig::default() }, clock).unwrap()
    })
}

async fn in_a_cluster() -> Option<Stage> {
    let (plane, clock) = (control_plane::start_with(&Setting::bare()).await?, clock());
    let connected = async || crate::kube::connect_at(&plane, clock).await.witness();
    let witnesses = [connected().await, connected().await, connected().await];
    let [one, other, another] = witnesses.map(|witness| Arc::new(witness) as Arc<dyn Fence>);
    let another = Box::new(move || another.clone());
    Some(Stage { one, other, another, unit: Duration::from_mins(10), plane: Some(plane) })
}

impl Stage {
    fn ttl(&self) -> Duration {
        self.unit * 10
    }

    /// `a` has it under token 5, from the start for its life.
    async fn held(self) -> Self {
        self.one.hold(&claim("a", 5), self.ttl()).await.unwrap();
        self
    }

    /// So many tenths of a lease's life go by.
    async fn pass(&self, units: u32) {
        let is_real = self.plane.is_some();
        is_real.then(tokio::time::pause);
        tokio::time::advance(self.unit * units).await;
        is_real.then(tokio::time::resume);
    }

    /// `a` has it until so many tenths of its life after the start.
    fn is_held(&self, answer: Result<(), Refusal>, units: u32) {
        let Err(Refusal::Held { holder, until }) = answer else { panic!("{answer:?}") };
        assert_eq!(holder, "a");
        let late = duration::since(duration::after(start(), self.unit * units), until);
        let early = duration::since(until, duration::after(start(), self.unit * units));
        let most = if self.plane.is_some() { self.unit / 2 } else { Duration::ZERO };
        assert!(late <= most && early.is_zero(), "{until}");
    }
}

fn claim(holder: &str, token: u64) -> Claim {
    let (holder, expires) = (holder.to_owned(), Timestamp::UNIX_EPOCH);
    Claim { cluster: "c".into(), holder, token: Token(token), expires }
}

const OUTDATED: Refusal = Refusal::Outdated { last: Token(5) };

async fn another_gets_it_after_its_end_and_no_sooner(stage: Stage) {
    let stage = stage.held().await;
    stage.pass(9).await;
    stage.is_held(stage.other.hold(&claim("b", 6), stage.ttl()).await, 10);
    stage.pass(1).await;
    assert_eq!(stage.other.hold(&claim("b", 6), stage.ttl()).await, Ok(()));
    assert!(matches!(stage.one.hold(&claim("a", 5), stage.ttl()).await, Err(Refusal::Held { .. })));
}

async fn its_holder_prolongs_it_even_late_as_long_as_nobody_took_it(stage: Stage) {
    let stage = stage.held().await;
    stage.pass(30).await;
    stage.one.hold(&claim("a", 5), stage.ttl()).await.unwrap();
    stage.pass(9).await;
    stage.is_held(stage.other.hold(&claim("b", 6), stage.ttl()).await, 40);
    stage.pass(1).await;
    stage.other.hold(&claim("b", 6), stage.ttl()).await.unwrap();
}

async fn a_token_that_is_not_newer_is_refused_also_when_the_lease_is_free(stage: Stage) {
    let stage = stage.held().await;
    stage.pass(10).await;
    for (holder, token) in [("b", 4), ("b", 5), ("a", 4)] {
        let refused = stage.other.hold(&claim(holder, token), stage.ttl()).await;
        assert_eq!(refused, Err(OUTDATED), "{holder} {token}");
    }
}

async fn what_is_given_back_is_free_at_once_and_its_token_stays_known(stage: Stage) {
    let stage = stage.held().await;
    stage.one.let_go(&claim("a", 5)).await.unwrap();
    assert_eq!(stage.other.hold(&claim("b", 5), stage.ttl()).await, Err(OUTDATED));
    stage.other.hold(&claim("b", 6), stage.ttl()).await.unwrap();
}

/// Nor is it a fault to give back what one has not.
async fn one_that_another_has_is_not_given_back(stage: Stage) {
    let stage = stage.held().await;
    for theirs in [claim("b", 5), claim("a", 4), claim("a", 6)] {
        stage.other.let_go(&theirs).await.unwrap();
        stage.is_held(stage.other.hold(&claim("b", 6), stage.ttl()).await, 10);
    }
}

async fn who_comes_later_knows_who_has_it_and_which_token_was_the_last(stage: Stage) {
    let stage = stage.held().await;
    stage.is_held((stage.another)().hold(&claim("b", 6), stage.ttl()).await, 10);
    stage.pass(10).await;
    assert_eq!((stage.another)().hold(&claim("b", 5), stage.ttl()).await, Err(OUTDATED));
    (stage.another)().hold(&claim("b", 6), stage.ttl()).await.unwrap();
}

async fn the_last_token_is_told_to_everybody(stage: Stage) {
    assert_eq!(stage.other.last().await, Ok(Token(0)));
    let stage = stage.held().await;
    assert!(stage.one.hold(&claim("b", 6), stage.ttl()).await.is_err());
    stage.one.let_go(&claim("a", 5)).await.unwrap();
    for handle in [&stage.one, &stage.other, &(stage.another)()] {
        assert_eq!(handle.last().await, Ok(Token(5)));
    }
}

/// All at the very same moment, each under a token that would be taken.
async fn of_many_who_ask_at_once_one_gets_it(stage: Stage) {
    const ROUNDS: u64 = 20;
    const ASKING: u64 = 4;
    for round in 0..ROUNDS {
        let claims: Vec<Claim> = (0..ASKING)
            .map(|number| claim(&format!("{number}"), ROUNDS * ASKING * round + number + 1))
            .collect();
        let answers = stage.ask_at_once(&claims).await;
        assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 1, "{answers:?}");
        stage.pass(10).await;
    }
}

impl Stage {
    async fn ask_at_once(&self, claims: &[Claim]) -> Vec<Result<(), Refusal>> {
        let fence = |number: usize| if number.is_multiple_of(2) { &self.one } else { &self.other };
        if self.plane.is_some() {
            let asking = claims.iter().enumerate();
            return join_all(asking.map(|(n, claim)| fence(n).hold(claim, self.ttl()))).await;
        }
        let (barrier, runtime) = (Barrier::new(claims.len()), Handle::current());
        let ask = |number: usize| {
            let _time = runtime.enter();
            barrier.wait();
            // A witness of the world answers without waiting for anything.
            fence(number).hold(&claims[number], self.ttl()).now_or_never().unwrap()
        };
        std::thread::scope(|threads| {
            let asking: Vec<_> = (0..claims.len())
                .map(|number| {
                    threads.spawn({
                        let ask = &ask;
                        move || ask(number)
                    })
                })
                .collect();
            asking.into_iter().map(|asked| asked.join().unwrap()).collect()
        })
    }
}

macro_rules! on_every_witness {
    ($($property:ident,)*) => {
        mod on_memory {$(
            #[tokio::test(start_paused = true)]
            async fn $property() { super::$property(super::in_memory()).await; }
        )*}
        mod on_a_file {$(
            #[tokio::test(start_paused = true)]
            async fn $property() { super::$property(super::in_a_file()).await; }
        )*}
        mod on_a_cluster {$(
            #[tokio::test]
            async fn $property() {
                let Some(stage) = super::in_a_cluster().await else { return };
                super::$property(stage).await;
            }
        )*}
    };
}

on_every_witness! {
    another_gets_it_after_its_end_and_no_sooner,
    its_holder_prolongs_it_even_late_as_long_as_nobody_took_it,
    a_token_that_is_not_newer_is_refused_also_when_the_lease_is_free,
    what_is_given_back_is_free_at_once_and_its_token_stays_known,
    one_that_another_has_is_not_given_back,
    who_comes_later_knows_who_has_it_and_which_token_was_the_last,
    the_last_token_is_told_to_everybody,
    of_many_who_ask_at_once_one_gets_it,
}
