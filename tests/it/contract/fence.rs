//! What every witness of a cluster keeps: the rules of the lease, whoever asks and through whichever handle.

use bellwether::clock::Clock;
use bellwether::cluster::fence::{Fence, Refusal};
use bellwether::config::SimConfig;
use bellwether::model::{Claim, Token, duration};
use bellwether::sim::{Witness, World};
use futures_util::FutureExt as _;
use jiff::Timestamp;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;

const TTL: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// A witness, and two handles on it: each is another process'.
struct Stage {
    clock: Clock,
    one: Arc<dyn Fence>,
    other: Arc<dyn Fence>,
    /// The world behind a witness in memory.
    world: World,
    /// The folder of one that is kept in a file.
    folder: Option<TempDir>,
}

fn clock() -> Clock {
    Clock::starting_at(start())
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn in_memory() -> Stage {
    let clock = clock();
    let world = World::new(&SimConfig::default(), clock).unwrap();
    let [one, other] = [(), ()].map(|()| Arc::new(Witness::new(world.clone())) as Arc<dyn Fence>);
    Stage { clock, one, other, world, folder: None }
}

fn in_a_file() -> Stage {
    let (clock, folder) = (clock(), tempfile::tempdir().unwrap());
    let [world, theirs] = [(), ()].map(|()| opened(&folder, clock));
    let other = Arc::new(Witness::new(theirs));
    Stage { clock, one: Arc::new(Witness::new(world.clone())), other, world, folder: Some(folder) }
}

fn opened(folder: &TempDir, clock: Clock) -> World {
    let state = Some(folder.path().join("world.json"));
    World::new(&SimConfig { state, ..SimConfig::default() }, clock).unwrap()
}

impl Stage {
    /// `a` has it under token 5, from the start to 10 s later.
    async fn held(self) -> Self {
        self.one.hold(&claim("a", 5), TTL).await.unwrap();
        self
    }

    /// Another process comes, which knows only what is kept.
    fn another(&self) -> Arc<dyn Fence> {
        let world = self.folder.as_ref().map(|folder| opened(folder, self.clock));
        Arc::new(Witness::new(world.unwrap_or_else(|| self.world.clone())))
    }
}

fn claim(holder: &str, token: u64) -> Claim {
    let (holder, expires) = (holder.to_owned(), Timestamp::UNIX_EPOCH);
    Claim { cluster: "c".into(), holder, token: Token(token), expires }
}

/// `a` has it until so long after the start.
fn held_until(after: Duration) -> Refusal {
    Refusal::Held { holder: "a".to_owned(), until: duration::after(start(), after) }
}

const OUTDATED: Refusal = Refusal::Outdated { last: Token(5) };

async fn another_gets_it_after_its_end_and_no_sooner(stage: Stage) {
    let stage = stage.held().await;
    tokio::time::advance(SECOND * 9).await;
    assert_eq!(stage.other.hold(&claim("b", 6), TTL).await, Err(held_until(TTL)));
    tokio::time::advance(SECOND).await;
    assert_eq!(stage.other.hold(&claim("b", 6), TTL).await, Ok(()));
    assert!(matches!(stage.one.hold(&claim("a", 5), TTL).await, Err(Refusal::Held { .. })));
}

async fn its_holder_prolongs_it_even_late_as_long_as_nobody_took_it(stage: Stage) {
    let stage = stage.held().await;
    tokio::time::advance(SECOND * 30).await;
    stage.one.hold(&claim("a", 5), TTL).await.unwrap();
    tokio::time::advance(SECOND * 9).await;
    assert_eq!(stage.other.hold(&claim("b", 6), TTL).await, Err(held_until(SECOND * 40)));
    tokio::time::advance(SECOND).await;
    stage.other.hold(&claim("b", 6), TTL).await.unwrap();
}

async fn a_token_that_is_not_newer_is_refused_also_when_the_lease_is_free(stage: Stage) {
    let stage = stage.held().await;
    tokio::time::advance(TTL).await;
    for (holder, token) in [("b", 4), ("b", 5), ("a", 4)] {
        let refused = stage.other.hold(&claim(holder, token), TTL).await;
        assert_eq!(refused, Err(OUTDATED), "{holder} {token}");
    }
}

async fn what_is_given_back_is_free_at_once_and_its_token_stays_known(stage: Stage) {
    let stage = stage.held().await;
    stage.one.let_go(&claim("a", 5)).await.unwrap();
    assert_eq!(stage.other.hold(&claim("b", 5), TTL).await, Err(OUTDATED));
    stage.other.hold(&claim("b", 6), TTL).await.unwrap();
}

/// Nor is it a fault to give back what one has not.
async fn one_that_another_has_is_not_given_back(stage: Stage) {
    let stage = stage.held().await;
    for theirs in [claim("b", 5), claim("a", 4), claim("a", 6)] {
        stage.other.let_go(&theirs).await.unwrap();
        assert_eq!(stage.other.hold(&claim("b", 6), TTL).await, Err(held_until(TTL)), "{theirs:?}");
    }
}

async fn who_comes_later_knows_who_has_it_and_which_token_was_the_last(stage: Stage) {
    let stage = stage.held().await;
    assert_eq!(stage.another().hold(&claim("b", 6), TTL).await, Err(held_until(TTL)));
    tokio::time::advance(TTL).await;
    assert_eq!(stage.another().hold(&claim("b", 5), TTL).await, Err(OUTDATED));
    stage.another().hold(&claim("b", 6), TTL).await.unwrap();
}

async fn the_last_token_is_told_to_everybody(stage: Stage) {
    assert_eq!(stage.other.last().await, Ok(Token(0)));
    let stage = stage.held().await;
    assert!(stage.one.hold(&claim("b", 6), TTL).await.is_err());
    stage.one.let_go(&claim("a", 5)).await.unwrap();
    for handle in [&stage.one, &stage.other, &stage.another()] {
        assert_eq!(handle.last().await, Ok(Token(5)));
    }
}

/// All at the very same moment, each under a token that would be taken.
async fn of_many_who_ask_at_once_one_gets_it(stage: Stage) {
    const ROUNDS: u64 = 20;
    const ASKING: u64 = 4;
    for round in 0..ROUNDS {
        let (barrier, runtime) =
            (Barrier::new(usize::try_from(ASKING).unwrap()), Handle::current());
        let ask = |number: u64| {
            let _time = runtime.enter();
            let fence = if number.is_multiple_of(2) { &stage.one } else { &stage.other };
            barrier.wait();
            // A witness of the world answers without waiting for anything.
            let claim = claim(&format!("{number}"), ROUNDS * ASKING * round + number + 1);
            fence.hold(&claim, TTL).now_or_never().unwrap()
        };
        let answers: Vec<_> = std::thread::scope(|threads| {
            let asking: Vec<_> =
                (0..ASKING).map(|number| threads.spawn(move || ask(number))).collect();
            asking.into_iter().map(|asked| asked.join().unwrap()).collect()
        });
        assert_eq!(answers.iter().filter(|it| it.is_ok()).count(), 1, "{answers:?}");
        tokio::time::advance(TTL).await;
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
