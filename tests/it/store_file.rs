//! The embedded store's file: kept through kill -9, refused when damaged, shared with nobody.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use crate::contract::store::{all, cluster, entry, everything, signal, start, worker};
use crate::support::wait;
use bellwether::clock::Clock;
use bellwether::model::{Changes, Claim, Entry, Signal, Token, Worker, duration};
use bellwether::store::{Embedded, Error, HistoryQuery, Retention, Store};
use redb::{Database, ReadableDatabase, TableDefinition};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

const RETENTION: Retention = Retention { entries: 1_000_000, age: Duration::from_secs(1 << 30) };
const FILE: &str = "bellwether.redb";
/// Its presence in the working directory tells the child of the kill test that it is one.
const VICTIM: &str = "victim";

fn open(dir: &Path) -> Result<Embedded, Error> {
    Embedded::open(dir, Clock::system(), RETENTION)
}

fn shared(dir: &Path) -> Arc<dyn Store> {
    Arc::new(open(dir).unwrap())
}

/// A store with something of everything in it, closed.
async fn filled(dir: &Path) {
    let store = open(dir).unwrap();
    let claim = store.claim(&cluster(), "a", Duration::from_mins(1), Token(0)).await.unwrap();
    for n in 0..50 {
        store.record_signals(&[signal(&format!("s{n}"), n)]).await.unwrap();
        store.commit(&claim, &everything(&n.to_string())).await.unwrap();
    }
}

/// Changes the closed store's file as another version or a person could.
fn tamper(dir: &Path, table: &str, key: &str, value: &str) {
    let database = Database::open(dir.join(FILE)).unwrap();
    let write = database.begin_write().unwrap();
    write
        .open_table(TableDefinition::<&str, &str>::new(table))
        .unwrap()
        .insert(key, value)
        .unwrap();
    write.commit().unwrap();
}

#[tokio::test]
async fn what_is_loaded_after_a_restart_is_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let before = all(&shared(dir.path())).await;
    assert_eq!((before.1.len(), before.2.len()), (50, 50));
    assert_eq!(all(&shared(dir.path())).await, before);
}

#[tokio::test]
async fn tokens_and_claims_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let ttl = Duration::from_mins(1);
    let first = open(dir.path()).unwrap().claim(&cluster(), "a", ttl, Token(0)).await.unwrap();
    let store = open(dir.path()).unwrap();
    assert!(matches!(store.claim(&cluster(), "b", ttl, Token(0)).await, Err(Error::Held { .. })));
    store.release(&first).await.unwrap();
    drop(store);
    let second = open(dir.path()).unwrap().claim(&cluster(), "b", ttl, Token(0)).await.unwrap();
    assert!(second.token > first.token);
}

#[tokio::test]
async fn history_numbers_outlive_their_entries_and_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let none = Retention { entries: 0, age: Duration::ZERO };
    for expected in 1..3_u64 {
        let store = Embedded::open(dir.path(), Clock::system(), RETENTION).unwrap();
        let claim = store.claim(&cluster(), "a", Duration::from_mins(1), Token(0)).await.unwrap();
        let now = store.now().await.unwrap();
        let entry = Entry { at: now, ..entry("x", 0) };
        let changes = Changes { history: vec![entry], ..Changes::default() };
        store.commit(&claim, &changes).await.unwrap();
        let query = HistoryQuery { limit: 9, before: None };
        assert_eq!(store.history(&cluster(), &query).await.unwrap()[0].id, expected);
        drop(store);
        let store = Embedded::open(dir.path(), Clock::system(), none).unwrap();
        store.commit(&claim, &Changes::default()).await.unwrap();
        assert!(store.history(&cluster(), &query).await.unwrap().is_empty());
    }
}

#[test]
fn only_the_owner_may_read_the_file() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("new");
    drop(open(&dir).unwrap());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join(FILE)), 0o600);
    assert_eq!(mode(&dir.join("bellwether.lock")), 0o600);
}

#[test]
fn a_second_opener_is_told_that_the_store_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path()).unwrap();
    match open(dir.path()) {
        Err(Error::Away(why)) => assert!(why.contains("in use by another process"), "{why}"),
        other => panic!("{other:?}"),
    }
    drop(first);
    open(dir.path()).unwrap();
}

#[test]
fn a_path_that_is_a_file_is_refused_with_a_mend() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::fs::write(&path, "x").unwrap();
    match open(&path) {
        Err(Error::Away(why)) => assert!(why.contains("store.url"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_half_made_new_store_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bellwether.redb.new"), "half").unwrap();
    open(dir.path()).unwrap();
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    tamper(dir.path(), "meta", "schema", "2");
    match open(dir.path()) {
        Err(Error::Unreadable(why)) => assert!(why.contains("newer version"), "{why}"),
        other => panic!("{other:?}"),
    }
    for unknown in ["0", "x"] {
        tamper(dir.path(), "meta", "schema", unknown);
        match open(dir.path()) {
            Err(Error::Unreadable(why)) => assert!(why.contains("no schema that we know"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_record_of_an_unknown_kind_is_an_error_and_not_left_out() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    tamper(dir.path(), "cluster", "cluster", r#"{"uid": 5}"#);
    let store = open(dir.path()).unwrap();
    match store.load(&cluster()).await {
        Err(Error::Unreadable(why)) => assert!(why.contains("table cluster"), "{why}"),
        other => panic!("{other:?}"),
    }
    store.load(&"other".into()).await.expect("another cluster does not suffer");
    assert_eq!(store.signals(&cluster()).await.unwrap().len(), 50);
    drop(store);
    tamper(dir.path(), "claims", "cluster", "{}");
    let store = open(dir.path()).unwrap();
    let claimed = store.claim(&cluster(), "b", Duration::from_secs(1), Token(0)).await;
    assert!(matches!(claimed, Err(Error::Unreadable(_))), "a token is not guessed: {claimed:?}");
}

#[tokio::test]
async fn records_are_text_that_people_can_read() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let database = Database::open(dir.path().join(FILE)).unwrap();
    let read = database.begin_read().unwrap();
    let workers = TableDefinition::<(&str, &str), &str>::new("workers");
    let record = read.open_table(workers).unwrap().get(("cluster", "w1")).unwrap().unwrap();
    assert!(record.value().contains(r#""pool":"49""#), "{}", record.value());
}

/// Each damage is refused, or did not matter: what is read is never less than what was written.
#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path()).await;
    let whole = all(&shared(dir.path())).await;
    let path = dir.path().join(FILE);
    let good = std::fs::read(&path).unwrap();
    let mut refused = Vec::new();
    for (damage, bytes) in damages(&good) {
        std::fs::write(&path, &bytes).unwrap();
        match open(dir.path()) {
            Err(Error::Unreadable(why)) => {
                assert!(why.contains("docs/operations.md"), "{why}");
                assert!(std::fs::read(&path).unwrap() == bytes, "{damage}: the file was changed");
                refused.push(damage);
            }
            Err(error) => panic!("{damage}: {error:?}"),
            Ok(store) => {
                let store: Arc<dyn Store> = Arc::new(store);
                assert_eq!(all(&store).await, whole, "{damage}");
            }
        }
    }
    for must in ["cut to 0", "cut to 1", "cut to 4096", "cut in half", "no redb", "middle zeroed"] {
        assert!(refused.iter().any(|it| it == must), "{must} in {refused:?}");
    }
}

/// The same for a file that was not closed: there the library may go back by the one transaction
/// that a crash may have cut short, and by no more.
#[tokio::test]
async fn a_damaged_file_after_a_crash_is_refused_or_lacks_the_last_write_at_most() {
    let (dir, crashed) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path()).await;
    let store = shared(dir.path());
    store.record_signals(&[signal("last", 1)]).await.unwrap();
    let whole = all(&store).await;
    let unclosed = std::fs::read(dir.path().join(FILE)).unwrap();
    let path = crashed.path().join(FILE);
    std::fs::write(&path, &unclosed).unwrap();
    assert_eq!(all(&shared(crashed.path())).await, whole, "undamaged");
    for (damage, bytes) in damages(&unclosed) {
        std::fs::write(&path, &bytes).unwrap();
        match open(crashed.path()) {
            Err(Error::Unreadable(_)) => {
                assert!(std::fs::read(&path).unwrap() == bytes, "{damage}: the file was changed");
            }
            Err(error) => panic!("{damage}: {error:?}"),
            Ok(store) => {
                let store: Arc<dyn Store> = Arc::new(store);
                let there = all(&store).await;
                let before = |signal: &&Signal| signal.id.as_str() != "last";
                let rest = whole.1.iter().filter(before);
                assert!(there.1.iter().filter(before).eq(rest), "{damage}");
                assert_eq!((&there.0, &there.2), (&whole.0, &whole.2), "{damage}");
            }
        }
    }
}

fn damages(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut damages: Vec<(String, Vec<u8>)> = [0, 1, 100, 4096, 8192, good.len() - 1]
        .map(|length| (format!("cut to {length}"), good[..length].to_vec()))
        .into();
    damages.push(("cut in half".into(), good[..good.len() / 2].to_vec()));
    damages.push(("no redb".into(), b"hello".repeat(5_000)));
    let mut zeroed = good.to_vec();
    zeroed[4096..good.len() / 2].fill(0);
    damages.push(("middle zeroed".into(), zeroed));
    let header = (0..320).step_by(7);
    let pages = (4096..good.len()).step_by(good.len() / 40);
    for at in header.chain(pages) {
        let mut flipped = good.to_vec();
        flipped[at] ^= 0xff;
        damages.push((format!("flipped at {at}"), flipped));
    }
    damages
}

/// Writers that share transactions each get their own answer, after their own write.
#[tokio::test(flavor = "multi_thread")]
async fn many_writers_at_once_are_each_answered_for_their_own_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let ttl = Duration::from_mins(1);
    let claim = store.claim(&cluster(), "a", ttl, Token(0)).await.unwrap();
    let stale = Claim { token: Token(0), ..claim.clone() };
    let writes = (0..2_000_u64).map(|n| {
        let (store, claim, stale) = (&store, &claim, &stale);
        async move {
            let changes = Changes { history: vec![entry(&n.to_string(), 0)], ..Changes::default() };
            match n % 3 {
                0 => store.record_signals(&[signal(&n.to_string(), n)]).await.is_ok(),
                1 => store.commit(claim, &changes).await.is_ok(),
                _ => store.commit(stale, &changes).await.is_err(),
            }
        }
    });
    let answered = futures_util::future::join_all(writes).await;
    assert!(answered.into_iter().all(|right| right));
    let store: Arc<dyn Store> = Arc::new(store);
    let (_, signals, history) = all(&store).await;
    assert_eq!((signals.len(), history.len()), (667, 667));
    assert!(history.iter().all(|entry| entry.what.parse::<u64>().unwrap() % 3 == 1));
}

/// Whoever was to write never comes to it; the next one does.
#[test]
fn a_write_asked_for_as_a_runtime_ends_is_refused_and_holds_up_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = shared(dir.path());
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (first, next) = ([signal("first", 1)], [signal("next", 1)]);
    let ended = runtime();
    let handle = ended.handle().clone();
    ended.shutdown_background();
    let mut write = store.record_signals(&first);
    let answer = handle.block_on(poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))));
    assert!(matches!(answer, Poll::Ready(Err(Error::Away(_)))), "{answer:?}");
    let limit = Duration::from_secs(10);
    let write = async { tokio::time::timeout(limit, store.record_signals(&next)).await };
    runtime().block_on(write).expect("it is written").unwrap();
}

/// I9: what was acknowledged is there after kill -9 at any moment, and nothing is half there.
#[tokio::test(flavor = "multi_thread")]
async fn i9_what_was_acknowledged_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(VICTIM), "").unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 0..8_usize {
        let lines = run_and_kill(dir.path(), 20 + round * 37);
        assert!(!lines.is_empty(), "the child wrote nothing in round {round}");
        acknowledged.extend(lines);
        let store = shared(&dir.path().join("store"));
        let (memory, signals, history) = all(&store).await;
        let there: BTreeSet<&str> = signals.iter().map(|signal| signal.id.as_str()).collect();
        for id in &acknowledged {
            match id.strip_prefix("commit ") {
                Some(mark) => assert!(history.iter().any(|it| it.what == mark), "{id} is lost"),
                None => assert!(there.contains(format!("{id}-l").as_str()), "{id} is lost"),
            }
        }
        let half = |id: &&str| !there.contains(id.replace("-l", "-r").as_str());
        assert_eq!(there.iter().find(|id| id.ends_with("-l") && half(id)), None);
        let marks: BTreeSet<&str> = memory.workers.values().map(|it| it.pool.as_str()).collect();
        assert_eq!(marks.into_iter().collect::<Vec<_>>(), [history[0].what.as_str()]);
        let numbers = history.iter().rev().map(|entry| entry.id);
        assert!(numbers.eq(1..=history.len() as u64), "numbers have a gap");
    }
}

/// Runs the child and kills it once it acknowledged so many writes. Everything that it printed
/// counts, also what was still on its way then.
fn run_and_kill(dir: &Path, after: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store_file::the_child_that_is_killed", "--ignored", "--nocapture"])
        .current_dir(dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut acknowledged = Vec::new();
    while acknowledged.len() < after {
        let Some(line) = lines.next() else { break };
        acknowledged.extend(line.split_once("ack ").map(|(_, id)| id.to_owned()));
    }
    child.kill().unwrap();
    acknowledged.extend(lines.filter_map(|it| it.split_once("ack ").map(|(_, id)| id.to_owned())));
    child.wait().unwrap();
    acknowledged
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "not a test: what the kill test runs"]
async fn the_child_that_is_killed() {
    if !Path::new(VICTIM).exists() {
        return;
    }
    let store = open(Path::new("store")).unwrap();
    let claim = store.claim(&cluster(), "a", Duration::from_hours(1), Token(0)).await.unwrap();
    let seven = (0..7).map(|task| {
        let (store, token) = (&store, claim.token);
        async move {
            for n in 0_u64.. {
                let id = format!("{token}.{task}.{n}");
                let pair = [signal(&format!("{id}-l"), 1), signal(&format!("{id}-r"), 1)];
                store.record_signals(&pair).await.unwrap();
                acknowledge(&id);
            }
        }
    });
    let commits = async {
        for n in 0_u64.. {
            let mark = format!("{}.{n}", claim.token);
            let workers = ["w1", "w2"].map(|id| Worker { id: id.into(), ..worker(&mark) });
            let history = vec![entry(&mark, 0)];
            let changes = Changes { workers: workers.to_vec(), history, ..Changes::default() };
            store.commit(&claim, &changes).await.unwrap();
            acknowledge(&format!("commit {mark}"));
        }
    };
    tokio::join!(futures_util::future::join_all(seven), commits);
}

/// A disk that is full: writes are answered *away*, none of them is half there, and reading goes on.
/// With room again writing goes on, without a restart and after one, and all that was acknowledged is
/// there.
#[tokio::test]
async fn a_full_disk_is_away_until_there_is_room_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(VICTIM), "").unwrap();
    // A limit on the file's size is the full disk that needs no disk.
    let child = "store_file::the_child_whose_disk_is_full";
    let program = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -S -f 8192; exec \"$0\" --exact \"$1\" --ignored --nocapture",
        ])
        .arg(program)
        .arg(child)
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("ack away"), "{text}");
    assert!(text.contains("ack wback"), "{text}");
    let acknowledged: Vec<&str> =
        text.lines().filter_map(|it| it.split_once("ack w").map(|(_, id)| id)).collect();
    let store = shared(&dir.path().join("store"));
    let signals = store.signals(&cluster()).await.unwrap();
    let there: BTreeSet<&str> = signals.iter().map(|it| it.id.as_str()).collect();
    assert!(acknowledged.len() > 10 && acknowledged.iter().all(|id| there.contains(id)));
    store.record_signals(&[signal("after", 1)]).await.unwrap();
}

#[tokio::test]
#[ignore = "not a test: what the full disk test runs"]
async fn the_child_whose_disk_is_full() {
    if !Path::new(VICTIM).exists() {
        return;
    }
    let store = open(Path::new("store")).unwrap();
    for n in 0.. {
        let description = "x".repeat(10_000);
        let big = Signal { description, ..signal(&n.to_string(), 1) };
        match store.record_signals(&[big]).await {
            Ok(()) => acknowledge(&format!("w{n}")),
            Err(Error::Away(_)) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert!(matches!(store.record_signals(&[signal("x", 1)]).await, Err(Error::Away(_))));
    assert!(matches!(store.ready().await, Err(Error::Away(_))));
    assert!(store.signals(&cluster()).await.unwrap().len() > 10, "reading goes on");
    acknowledge("away");
    let limit = Rlimit { current: None, maximum: None };
    setrlimit(Resource::Fsize, limit).unwrap();
    wait::until("writing to go on", || async {
        store.record_signals(&[signal("back", 1)]).await.is_ok()
    })
    .await;
    store.ready().await.unwrap();
    acknowledge("wback");
}

fn acknowledge(id: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("ack {id}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Readers see what was committed while a writer has a transaction open for long.
#[tokio::test(flavor = "multi_thread")]
async fn readers_see_the_last_committed_state_while_writers_write() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let claim = store.claim(&cluster(), "a", Duration::from_mins(10), Token(0)).await.unwrap();
    let write = async {
        for n in 0..200 {
            let mark = n.to_string();
            let workers = ["w1", "w2"].map(|id| Worker { id: id.into(), ..worker(&mark) });
            let changes = Changes { workers: workers.to_vec(), ..Changes::default() };
            store.commit(&claim, &changes).await.unwrap();
        }
    };
    let read = async {
        for _ in 0..200 {
            let memory = store.load(&cluster()).await.unwrap();
            let pools: BTreeSet<_> = memory.workers.values().map(|it| it.pool.clone()).collect();
            assert!(pools.len() <= 1, "half of a commit was read: {pools:?}");
        }
    };
    tokio::join!(write, read);
    assert!(duration::since(start(), store.now().await.unwrap()) > Duration::ZERO);
}
