//! Faults of the server: killed, hung, full, without our scripts.

use super::{TTL, answers, away};
use crate::contract::store::{all, cluster, everything, signal};
use crate::support::redis::{self, RunningRedis};
use crate::support::wait;
use bellwether::model::{Changes, SignalId, Token};
use bellwether::store::{Error, Redis, Store};
use rustix::process::Signal;
use std::future::Future as _;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

const DURABLE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// A call's limit, and what a busy machine may add to it.
const CALL: Duration = Duration::from_millis(400);
const SLACK: Duration = Duration::from_secs(2);

fn quick(server: &RunningRedis) -> Redis {
    server.store("timeout: 400ms")
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_there_after_the_server_was_killed_and_started_again() {
    let Some(mut server) = redis::start(&DURABLE).await else { return };
    let store: Arc<dyn Store> = Arc::new(server.store(""));
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    for n in 0..20 {
        store.record_signals(&[signal(&format!("s{n}"), n)]).await.unwrap();
        store.commit(&claim, &everything(&n.to_string())).await.unwrap();
    }
    let before = all(&store).await;
    assert_eq!((before.1.len(), before.2.len()), (20, 20));
    server.kill();
    away(store.record_signals(&[signal("late", 1)]).await);
    server.restart().await;
    answers(&*store).await;
    assert_eq!(all(&store).await, before);
    let next = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    assert!(next.token > claim.token);
}

/// Whether it forgot anything, nobody can tell: so whoever had the claim looks at everything anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_started_again_lives_anew_and_knows_no_claim_of_before() {
    let Some(mut server) = redis::start(&DURABLE).await else { return };
    let store = server.store("");
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    store.commit(&claim, &everything("1")).await.unwrap();
    let life = || async { store.load(&cluster()).await.unwrap().life.expect("Redis can forget") };
    let before = life().await;
    assert_eq!(life().await, before);
    server.kill();
    server.restart().await;
    answers(&store).await;
    assert_ne!(life().await, before);
    let fenced = Error::Fenced { token: claim.token };
    assert_eq!(store.commit(&claim, &everything("2")).await, Err(fenced.clone()));
    assert_eq!(store.renew(&claim, TTL).await.map(drop), Err(fenced.clone()));
    assert_eq!(store.release(&claim).await, Err(fenced));
    let again = store.claim(&cluster(), "a", TTL, Token(0)).await.expect("it was its own");
    store.commit(&again, &everything("2")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_not_there_is_away_until_it_comes() {
    let Some(mut server) = redis::start(&[]).await else { return };
    server.kill();
    let store = server.store("");
    assert!(away(store.now().await).contains("cannot be reached"));
    assert!(away(store.claim(&cluster(), "a", TTL, Token(0)).await).contains("nothing was stored"));
    server.restart().await;
    answers(&store).await;
    store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_is_away_within_the_limit_and_comes_back() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = quick(&server);
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    server.signal(Signal::STOP);
    let begun = Instant::now();
    let why = away(store.commit(&claim, &everything("1")).await);
    assert!(begun.elapsed() < CALL + SLACK, "{:?}", begun.elapsed());
    assert!(why.contains("within 400ms (store.timeout)"), "{why}");
    assert!(why.contains("whether it was stored is not known"), "{why}");
    // Many at once, on a connection that is yet to be made, each too large for a call with another: none waits for
    // another's limit.
    let begun = Instant::now();
    let signals: Vec<_> = (0..300).map(|n| signal(&format!("s{n}"), 1)).collect();
    let calls = (0..50).map(|_| store.record_signals(&signals));
    for outcome in futures_util::future::join_all(calls).await {
        away(outcome);
    }
    assert!(begun.elapsed() < CALL + SLACK, "{:?}", begun.elapsed());
    server.signal(Signal::CONT);
    answers(&store).await;
    store.record_signals(&signals).await.unwrap();
}

/// The commit whose answer did not come waits in the server's buffer. Once the memory was read anew it must not be
/// done any more: the new plan knows nothing of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_was_given_up_is_refused_once_the_memory_was_read() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = quick(&server);
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    store.commit(&claim, &Changes::default()).await.unwrap();
    let key = format!("{{bw:{}}}:claim", cluster());
    let order = || server.ask::<u64>(&["HGET", &key, "order"]);
    let before = order();
    server.signal(Signal::STOP);
    away(store.commit(&claim, &everything("given-up")).await);
    server.signal(Signal::CONT);
    wait::until("it to be done all the same", || async { order() != before }).await;
    let done = order();
    answers(&store).await;
    store.load(&cluster()).await.unwrap();
    let settled = order();
    assert!(settled > done, "had it been still on its way, it would be refused from here on");
    store.load(&cluster()).await.unwrap();
    assert_eq!(order(), settled, "once is enough");
    store.commit(&claim, &everything("next")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_older_than_what_was_settled_is_refused() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = server.store("");
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    let key = format!("{{bw:{}}}:claim", cluster());
    let _: i64 = server.ask(&["HSET", &key, "order", "9007199254740991"]);
    let refused = store.commit(&claim, &everything("1")).await;
    assert_eq!(refused, Err(Error::Fenced { token: claim.token }));
    assert!(store.load(&cluster()).await.unwrap().workers.is_empty());
    let again = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    store.commit(&again, &everything("1")).await.expect("a new token begins anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_is_away_and_nothing_is_half_written() {
    let Some(server) = redis::start(&["--maxmemory-policy", "noeviction"]).await else { return };
    let store: Arc<dyn Store> = Arc::new(server.store(""));
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    store.record_signals(&[signal("kept", 1)]).await.unwrap();
    store.commit(&claim, &everything("1")).await.unwrap();
    let before = all(&store).await;
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    // Holds what a full server still lets be done too: dropping.
    let changes = Changes {
        forget_workers: vec!["w1".into()],
        forget_signals: vec![(SignalId::from("kept"), before.1[0].last_seen)],
        ..everything("2")
    };
    for outcome in [
        store.commit(&claim, &changes).await,
        store.record_signals(&[signal("kept", 2), signal("new", 2)]).await,
        store.claim(&"other".into(), "a", TTL, Token(0)).await.map(drop),
        store.ready().await,
    ] {
        let why = away(outcome);
        assert!(why.contains("it is full and takes no writes; raise its maxmemory"), "{why}");
    }
    assert_eq!(all(&store).await, before, "it is read as ever");
    let _: String = server.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    store.commit(&claim, &changes).await.unwrap();
    store.ready().await.unwrap();
}

/// It tells the time meanwhile, and takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_still_reads_its_file_is_not_ready() {
    // A setting of the server for tests: so many microseconds for each key. Others have their turn after each 1,024.
    let slow = ["--key-load-delay", "0"];
    let Some(mut server) = redis::start(&[&DURABLE[..], &slow].concat()).await else { return };
    let store = server.store("");
    let many = "for n = 1, 30000 do redis.call('SET', 'other:' .. n, 'x') end";
    let _: Option<String> = server.ask(&["EVAL", many, "0"]);
    server.kill();
    server.change("0", "100");
    server.restart().await;
    wait::until("it to say that it reads its file", || async {
        store.ready().await.is_err_and(|why| why.to_string().contains("it is loading its data"))
    })
    .await;
    store.now().await.expect("it tells the time meanwhile");
    wait::until("it to be ready", || async { store.ready().await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_the_server_forgot_are_loaded_again() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = server.store("");
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    let _: String = server.ask(&["SCRIPT", "FLUSH"]);
    store.record_signals(&[signal("f", 1)]).await.unwrap();
    store.commit(&claim, &everything("1")).await.unwrap();
    assert_eq!(store.load(&cluster()).await.unwrap().workers.len(), 1);
}

/// Each merges with what it read; the one that comes second must merge anew, or the first's is lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_two_replicas_record_at_once_is_merged() {
    let Some(server) = redis::start(&[]).await else { return };
    let (one, two) = (server.store(""), server.store(""));
    for n in 0..100 {
        let id = format!("s{n}");
        let (first, second) = ([signal(&id, 1)], [signal(&id, 2)]);
        let recorded = tokio::join!(one.record_signals(&first), two.record_signals(&second));
        assert_eq!(recorded, (Ok(()), Ok(())));
        let [first, second] = [first, second].map(|[signal]| signal);
        let stored = one.signals(&cluster()).await.unwrap();
        let stored = stored.into_iter().find(|signal| signal.id.as_str() == id);
        assert_eq!(stored, Some(first.merge(second)));
    }
}

/// As many as one body may hold.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_delivery_is_stored_whole_and_again() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = server.store("");
    let signals: Vec<_> = (0..100_000).map(|n| signal(&format!("s{n}"), 1)).collect();
    store.record_signals(&signals).await.unwrap();
    store.record_signals(&signals).await.unwrap();
    let key = format!("{{bw:{}}}:signals", cluster());
    assert_eq!(server.ask::<usize>(&["HLEN", &key]), signals.len());
}

/// A caller that hangs up while its turn writes for others takes nothing from them.
#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_is_cut_off_leaves_the_others_theirs() {
    let Some(server) = redis::start(&[]).await else { return };
    let store = server.store("");
    server.signal(Signal::STOP);
    let signals: Vec<_> = (0..20).map(|n| [signal(&format!("s{n}"), n)]).collect();
    let mut calls: Vec<_> =
        signals.iter().map(|signals| Box::pin(store.record_signals(signals))).collect();
    for call in &mut calls {
        // Gets in line; the first has the lead, and waits for the server.
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    drop(calls.remove(0));
    server.signal(Signal::CONT);
    for outcome in futures_util::future::join_all(calls).await {
        assert_eq!(outcome, Ok(()));
    }
    assert!(store.signals(&cluster()).await.unwrap().len() >= 19);
}
