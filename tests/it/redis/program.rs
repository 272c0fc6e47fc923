//! The real program on Redis: what it does while Redis is away.

use crate::support::inlet::delivery;
use crate::support::process::{Process, Start};
use crate::support::{ports, redis, wait};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

fn write(folder: &Path, port: u16, url: &str, more: &str) -> PathBuf {
    let config = folder.join(format!("{port}.yaml"));
    let text = format!(
        "listen: 127.0.0.1:{port}
store: {{ url: \"{url}\", timeout: 500ms, claim_ttl: 2s, {more} }}
alertmanager: {{ urls: [http://127.0.0.1:1] }}
prometheus: {{ urls: [http://127.0.0.1:1] }}
reconcile: {{ interval: 500ms, busy_interval: 100ms }}
clusters:
  one:
    kubernetes: {{ sim: {{ boot: 100ms }} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, min: 1, max: 3 }} }}
"
    );
    std::fs::write(&config, text).unwrap();
    config
}

async fn get(url: &str, path: &str) -> (u16, Value) {
    let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or_default())
}

async fn post(url: &str, name: &str) -> u16 {
    let body = delivery(&json!({ "name": name }));
    let post = reqwest::Client::new().post(format!("{url}/v1/alerts")).json(&body);
    post.send().await.unwrap().status().as_u16()
}

/// Workers of the pool that are Ready, as the last pass saw them.
async fn ready(url: &str) -> usize {
    let (_, told) = get(url, "/v1/workers").await;
    let workers = told["clusters"]["one"]["workers"].as_array().cloned().unwrap_or_default();
    workers.iter().filter(|worker| worker.to_string().contains("\"ready\"")).count()
}

/// Turns of the loop that ended so.
async fn passes(url: &str, outcome: &str) -> u64 {
    let text = reqwest::get(format!("{url}/metrics")).await.unwrap().text().await.unwrap();
    let counts = text.lines().filter(|line| line.starts_with("bellwether_passes_total{"));
    let counts = counts.filter(|line| line.contains(outcome));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

async fn standbys(url: &str) -> u64 {
    passes(url, "outcome=\"standby\"").await
}

/// W-34, A-64
#[tokio::test(flavor = "multi_thread")]
async fn while_redis_is_away_nothing_is_taken_and_nothing_done_and_it_heals_by_itself() {
    let Some(mut server) = redis::start(&["--appendonly", "yes"]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let port = ports::free();
    let (config, url) =
        (write(folder.path(), port, &server.url(), ""), format!("http://127.0.0.1:{port}"));
    let process = Process::start(&config, &url, Start::default()).await;
    wait::until("the least workers", || async { ready(&url).await == 1 }).await;
    assert_eq!(post(&url, "before").await, 200);
    server.kill();
    wait::until("not ready", || async { get(&url, "/readyz").await.0 == 503 }).await;
    let (_, told) = get(&url, "/readyz").await;
    assert_eq!(told["missing"], json!(["store"]));
    assert_eq!(post(&url, "meanwhile").await, 503);
    wait::until("passes that fail", || async { passes(&url, "outcome=\"failed\"").await > 0 })
        .await;
    server.restart().await;
    wait::until("ready", || async { get(&url, "/readyz").await.0 == 200 }).await;
    assert_eq!(post(&url, "after").await, 200);
    let (_, told) = get(&url, "/v1/history").await;
    let launches = told.to_string().matches("\"kind\":\"intent\"").count();
    assert_eq!(launches, 1, "nothing was launched anew: {told}");
    assert!(process.log().contains("store is away"), "{}", process.log());
    assert!(process.log().contains("store answers again"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_without_redis_and_tells_what_is_wrong_but_no_secret() {
    let Some(server) = redis::start(&["--requirepass", "right"]).await else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), ports::free());
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let more = format!("password_file: \"{}\"", file.display());
    let config = write(folder.path(), port, &server.url(), &more);
    let process = Process::spawn(&config, Start::default());
    wait::until("the fault to be told", || async {
        process.log().contains(
            "refuses the user or the password; see store.username and store.password_file",
        )
    })
    .await;
    let url = format!("http://127.0.0.1:{port}");
    assert_eq!(get(&url, "/readyz").await.0, 503);
    assert_eq!(get(&url, "/healthz").await.0, 200, "killing it would mend nothing");
    assert!(!process.log().contains("hunter2"));
    std::fs::write(&file, "right\n").unwrap();
    process.signal(rustix::process::Signal::HUP);
    wait::until("ready", || async { get(&url, "/readyz").await.0 == 200 }).await;
}

/// The loop that has the claim looks at once when another replica takes an alert.
#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_share_the_work_and_a_delivery_to_either_wakes_the_holder() {
    let Some(server) = redis::start(&[]).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let slow = |port| {
        let config = write(folder.path(), port, &server.url(), "");
        let text = std::fs::read_to_string(&config).unwrap();
        let slow = text.replace(
            "interval: 500ms, busy_interval: 100ms",
            "interval: 1h, busy_interval: 100ms, overdue: 2h",
        );
        std::fs::write(&config, slow).unwrap();
        config
    };
    let ports = [ports::free(), ports::free()];
    let urls = ports.map(|port| format!("http://127.0.0.1:{port}"));
    let _one = Process::start(&slow(ports[0]), &urls[0], Start::default()).await;
    wait::until("the least workers", || async { ready(&urls[0]).await == 1 }).await;
    let _two = Process::start(&slow(ports[1]), &urls[1], Start::default()).await;
    let sees = async |url: &str| {
        let (_, told) = get(url, "/v1/signals").await;
        told["clusters"]["one"]["signals"].as_array().is_some_and(|signals| !signals.is_empty())
    };
    assert!(!sees(&urls[0]).await);
    assert_eq!(post(&urls[1], "anew").await, 200);
    wait::until("the holder's pass", || async { sees(&urls[0]).await }).await;
    let (_, status) = get(&urls[0], "/v1/status").await;
    assert_eq!(status["clusters"]["one"]["status"]["acting"], true, "{status}");
    // The other one has nothing to do with what the holder takes.
    let idle = standbys(&urls[1]).await;
    for n in 0..3 {
        let before = passes(&urls[0], "").await;
        assert_eq!(post(&urls[0], &n.to_string()).await, 200);
        wait::until("the holder's pass", || async { passes(&urls[0], "").await > before }).await;
    }
    assert_eq!(standbys(&urls[1]).await, idle);
}

/// It answers all the while, only takes no writes: whoever sends deliveries is to send them elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn while_redis_takes_no_writes_it_is_not_ready() {
    let policy = ["--maxmemory-policy", "noeviction"];
    let Some(server) = redis::start(&policy).await else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), ports::free());
    let url = format!("http://127.0.0.1:{port}");
    let config = write(folder.path(), port, &server.url(), "");
    let process = Process::start(&config, &url, Start::default()).await;
    let ready = async |code: u16, what: &str| {
        wait::until(what, || async { get(&url, "/readyz").await.0 == code }).await;
    };
    for (fault, mend, told) in [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "it is full"),
        (
            "CONFIG SET min-replicas-to-write 1",
            "CONFIG SET min-replicas-to-write 0",
            "too few replicas",
        ),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "it is a read-only replica"),
    ] {
        let [fault, mend] = [fault, mend].map(|line| line.split(' ').collect::<Vec<_>>());
        let _: String = server.ask(&fault);
        ready(503, told).await;
        assert_eq!(get(&url, "/readyz").await.1["missing"], json!(["store"]), "{told}");
        assert_eq!(post(&url, told).await, 503, "{told}");
        assert!(process.log().contains(told), "{}", process.log());
        let _: String = server.ask(&mend);
        ready(200, told).await;
        assert_eq!(post(&url, told).await, 200, "{told}");
    }
}

/// What it says when it connects to a Redis with these settings, of what that could lose.
async fn warnings(arguments: &[&str], is_any_expected: bool) -> Option<Vec<String>> {
    let server = redis::start(arguments).await?;
    let (folder, port) = (tempfile::tempdir().unwrap(), ports::free());
    let url = format!("http://127.0.0.1:{port}");
    let config = write(folder.path(), port, &server.url(), "");
    let process = Process::start(&config, &url, Start::default()).await;
    let told = || {
        let log = process.log();
        let warnings = log.lines().filter(|line| line.contains("\"level\":\"WARN\""));
        warnings.filter(|line| line.contains("redis")).map(str::to_owned).collect::<Vec<_>>()
    };
    if is_any_expected {
        // What a process writes is read a moment later.
        wait::until("a warning about redis", || async { !told().is_empty() }).await;
    }
    Some(told())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_redis_could_lose_by_its_settings_is_told_when_it_is_connected_to() {
    let log = |fsync| ["--appendonly", "yes", "--appendfsync", fsync];
    let evicts = ["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"];
    for (arguments, told) in [
        (log("always").to_vec(), None),
        (log("everysec").to_vec(), Some("\"appendfsync\":\"everysec\"")),
        (log("no").to_vec(), Some("\"appendfsync\":\"no\"")),
        (vec![], Some("set appendonly yes")),
        ([&log("always")[..], &evicts].concat(), Some("set maxmemory-policy noeviction")),
    ] {
        let Some(warnings) = warnings(&arguments, told.is_some()).await else { return };
        match told {
            None => assert!(warnings.is_empty(), "{warnings:?}"),
            Some(told) => {
                assert!(!warnings.is_empty(), "{arguments:?}");
                assert!(warnings.iter().all(|line| line.contains(told)), "{warnings:?}");
            }
        }
    }
}

/// A cluster that was made anew, or a wrong context: what is remembered belongs to other machines.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_another_cluster_is_refused_and_stays() {
    let Some(server) = redis::start(&[]).await else { return };
    let (folder, port) = (tempfile::tempdir().unwrap(), ports::free());
    let url = format!("http://127.0.0.1:{port}");
    let config = write(folder.path(), port, &server.url(), "");
    let process = Process::start(&config, &url, Start::default()).await;
    wait::until("the least workers", || async { ready(&url).await == 1 }).await;
    drop(process);
    let of_cluster = || server.ask::<String>(&["GET", "{bw:one}:cluster"]);
    let kept = || (["workers", "intents"].map(|kind| server.records(kind)), of_cluster());
    let before = kept();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("boot: 100ms", "boot: 100ms, seed: 2")).unwrap();
    let _process = Process::start(&config, &url, Start::default()).await;
    let told = async || get(&url, "/v1/decisions").await.1.to_string();
    wait::until("it to tell", || async { told().await.contains("other_cluster") }).await;
    let told = told().await;
    assert!(told.contains("sim-1") && told.contains("sim-2"), "{told}");
    let done = passes(&url, "").await;
    wait::until("more passes", || async { passes(&url, "").await > done + 3 }).await;
    assert_eq!(kept(), before);
    let (_, nodes) = get(&url, "/v1/nodes").await;
    assert!(!nodes.to_string().contains("workers-"), "nothing was launched: {nodes}");
}
