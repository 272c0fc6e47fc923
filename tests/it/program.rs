//! The real program among bad files, bad disks and crowds of callers.

use crate::contract::store::{cluster, signal};
use crate::support::inlet::{delivery, read, request};
use crate::support::process::{Process, Start};
use crate::support::{ports, wait};
use bellwether::clock::Clock;
use bellwether::store::{Embedded, Retention, Store};
use redb::{Database, TableDefinition};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// Before the service cuts off connections that say nothing.
const PROMPT: Duration = Duration::from_secs(10);

/// A folder with a configuration, and where the program will listen.
struct Scene {
    folder: tempfile::TempDir,
    config: PathBuf,
    address: String,
}

impl Scene {
    fn new() -> Self {
        Self::with_store(|folder| folder.join("store"))
    }

    /// Keeps the store where it is said, below the scene's own folder.
    fn with_store(place: impl FnOnce(&Path) -> PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("bellwether.yaml");
        let address = format!("127.0.0.1:{}", ports::free());
        let store = place(folder.path());
        let scene = Self { folder, config, address };
        scene.write(9, &store);
        scene
    }

    fn write(&self, max: u32, store: &Path) {
        let yaml = format!(
            "listen: {}
store: {{ url: \"file:{}\", claim_ttl: 5s }}
alertmanager: {{ urls: [http://127.0.0.1:1] }}
prometheus: {{ urls: [http://127.0.0.1:1] }}
reconcile: {{ interval: 500ms, busy_interval: 100ms }}
clusters:
  one:
    kubernetes: {{ sim: {{ boot: 100ms }} }}
    pools: {{ workers: {{ provider: {{ sim: {{}} }}, max: {max} }} }}
",
            self.address,
            store.display(),
        );
        std::fs::write(&self.config, yaml).unwrap();
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn start(&self, start: Start<'_>) -> Process {
        Process::start(&self.config, &self.url(""), start).await
    }

    /// Starts it where it cannot run: it ends with 1, and says why.
    async fn refused(&self, start: Start<'_>) -> String {
        let mut process = Process::spawn(&self.config, start);
        let status = process.ended().await;
        assert_eq!(status.code(), Some(1), "{}", process.log());
        process.log()
    }

    async fn post(&self, body: &Value) -> u16 {
        let sent = reqwest::Client::new().post(self.url("/v1/alerts")).json(body).send().await;
        sent.unwrap().status().as_u16()
    }

    /// Changes a word of the configuration.
    fn edit(&self, word: &str, by: &str) {
        let yaml = std::fs::read_to_string(&self.config).unwrap();
        assert!(yaml.contains(word), "{yaml}");
        std::fs::write(&self.config, yaml.replace(word, by)).unwrap();
    }

    async fn status(&self) -> Value {
        self.get("/v1/status").await["clusters"]["one"]["status"].clone()
    }

    async fn get(&self, path: &str) -> Value {
        reqwest::get(self.url(path)).await.unwrap().json().await.unwrap()
    }
}

/// Many alerts in one body, each with a description so long.
fn many(count: usize, description: usize) -> Value {
    let mut body = delivery(&json!({}));
    let alert = body["alerts"][0].clone();
    let alerts = (0..count).map(|number| {
        let mut alert = alert.clone();
        alert["labels"]["n"] = json!(number.to_string());
        alert["annotations"] = json!({ "description": "x".repeat(description) });
        alert
    });
    body["alerts"] = alerts.collect();
    body
}

/// This process holds the other ends of crowds.
fn raise_own_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

async fn crowd(scene: &Scene, size: usize) -> Vec<TcpStream> {
    let mut crowd = Vec::with_capacity(size);
    for _ in 0..size {
        crowd.push(TcpStream::connect(&scene.address).await.unwrap());
    }
    crowd
}

/// A shell's usual limit of 1024 open files, or less, is raised at the start.
#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_idle_connections_leave_room_for_a_delivery() {
    let size = if raise_own_limit() < 4096 { 500 } else { 3000 };
    let scene = Scene::new();
    let start = Start { before: "ulimit -Sn 256", ..Start::default() };
    let process = scene.start(start).await;
    let _idle = crowd(&scene, size).await;
    let body = delivery(&json!({}));
    let posted = tokio::time::timeout(PROMPT, scene.post(&body)).await;
    assert_eq!(posted, Ok(200), "before the idle ones are cut off");
    assert_eq!(scene.get("/v1/signals").await["clusters"].as_object().unwrap().len(), 1);
    assert!(!process.log().contains("accept failed"), "{}", process.log());
}

/// Where the limit cannot be raised, connections wait, and the store and the loop go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_beyond_the_hard_limit_of_files_takes_none_from_the_store_and_the_loop() {
    raise_own_limit();
    let scene = Scene::new();
    let process = scene.start(Start { before: "ulimit -n 400", ..Start::default() }).await;
    let mut first = TcpStream::connect(&scene.address).await.unwrap();
    let _idle = crowd(&scene, 600).await;
    let body = delivery(&json!({})).to_string();
    let typed = "Content-Type: application/json\r\n";
    first.write_all(&request("POST", "/v1/alerts", typed, body.as_bytes())).await.unwrap();
    assert_eq!(read(&mut first).await.status, 200);
    let log = process.log();
    assert!(log.contains("few files may be open") && !log.contains("accept failed"), "{log}");
    assert!(!log.contains("Too many open files") && !log.contains("os error 24"), "{log}");
}

/// Every one of them is stored by one write, without comparing all with all.
#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_alerts_in_one_body_are_stored_before_they_are_answered() {
    let scene = Scene::new();
    let process = scene.start(Start::default()).await;
    let body = many(50_000, 0);
    assert!(body.to_string().len() < 10 * 1024 * 1024, "it fits into a body");
    let before = process.worked();
    assert_eq!(scene.post(&body).await, 200, "{}", process.log());
    let worked = process.worked().saturating_sub(before);
    assert!(worked < Duration::from_secs(15), "it worked for {worked:?}");
    assert_eq!(scene.post(&delivery(&json!({}))).await, 200, "and the next is taken");
    drop(process);
    let retention = Retention { entries: 9, age: Duration::from_secs(9) };
    let store = Embedded::open(&scene.store(), Clock::system(), retention).unwrap();
    assert_eq!(store.signals(&"one".into()).await.unwrap().len(), 50_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthcheck_says_by_its_exit_whether_the_service_lives() {
    let scene = Scene::new();
    let checked = async || {
        let mut check = tokio::process::Command::new(env!("CARGO_BIN_EXE_bellwether"));
        check.args(["healthcheck", "--url"]).arg(scene.url("")).output().await.unwrap()
    };
    let mut process = scene.start(Start::default()).await;
    let well = checked().await;
    assert!(well.status.success() && well.stdout.is_empty() && well.stderr.is_empty(), "{well:?}");
    process.signal(rustix::process::Signal::STOP);
    assert_eq!(checked().await.status.code(), Some(1), "it hangs");
    process.signal(rustix::process::Signal::KILL);
    process.ended().await;
    let gone = checked().await;
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8(gone.stderr).unwrap().contains("does not answer"));
}

#[tokio::test]
async fn a_configuration_full_of_faults_is_refused_with_all_of_them() {
    let scene = Scene::new();
    let good = std::fs::read_to_string(&scene.config).unwrap();
    let bad = good
        .replace("max: 9", "max: many, mox: 1")
        .replace("claim_ttl: 5s", "claim_ttl: soon")
        .replace("interval: 500ms", "interval: 500");
    std::fs::write(&scene.config, bad).unwrap();
    let said = scene.refused(Start::default()).await;
    for path in ["pools.workers.max", "pools.workers.mox", "store.claim_ttl", "reconcile.interval"]
    {
        assert!(said.contains(path), "{path} is not told:\n{said}");
    }
    for text in ["", "{", "\u{0}", "clusters: &a [*a]", "- 1", "clusters: {a: {pools: {p: null}}}"]
    {
        std::fs::write(&scene.config, text).unwrap();
        assert!(scene.refused(Start::default()).await.contains("bellwether.yaml"), "{text:?}");
    }
    std::fs::write(&scene.config, [0xff, 0xfe, 0x00]).unwrap();
    assert!(scene.refused(Start::default()).await.contains("cannot be read"));
    assert!(!scene.store().exists(), "nothing was made before the configuration was right");
}

/// What is told is enough to get out, and nothing is made or changed in the meantime.
#[tokio::test]
async fn a_store_that_cannot_be_trusted_ends_the_program_with_the_way_out() {
    let scene = Scene::new();
    drop(scene.start(Start::default()).await);
    let file = scene.store().join("bellwether.redb");
    let good = std::fs::read(&file).unwrap();
    let newer = {
        let database = Database::open(&file).unwrap();
        let write = database.begin_write().unwrap();
        let meta = TableDefinition::<&str, &str>::new("meta");
        write.open_table(meta).unwrap().insert("schema", "2").unwrap();
        write.commit().unwrap();
        drop(database);
        std::fs::read(&file).unwrap()
    };
    let noise = good.iter().map(|byte| byte ^ 0x5a).collect();
    for (bytes, why) in [
        (newer, "newer version"),
        (Vec::new(), "is empty"),
        (good[..good.len() / 2].to_vec(), "damaged"),
        (noise, "damaged"),
    ] {
        std::fs::write(&file, &bytes).unwrap();
        let before = scene.folder.path().join("bellwether.log");
        let _ = std::fs::remove_file(before);
        let said = scene.refused(Start::default()).await;
        assert!(said.contains(why), "{why} is not told:\n{said}");
        assert!(said.contains("move it away") && said.contains("docs/operations.md"), "{said}");
        assert!(std::fs::read(&file).unwrap() == bytes, "{why}: the file was changed");
    }
    // The way out, as it is documented.
    std::fs::rename(&file, file.with_extension("damaged")).unwrap();
    scene.start(Start::default()).await;
}

/// The disk is a file system of a few megabytes that only this process sees.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_503_until_there_is_room_again() {
    if !Process::may_have_own_mounts() {
        return;
    }
    let scene = Scene::with_store(|folder| folder.join("disk/store"));
    let disk = scene.folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let before = format!("mount -t tmpfs -o size=12m tmpfs {}", disk.display());
    let process =
        scene.start(Start { before: &before, own_mounts: true, ..Start::default() }).await;
    assert_eq!(scene.post(&many(10, 0)).await, 200);
    let ballast = process.sees(disk.join("ballast").to_str().unwrap());
    let mut size = 12 << 20;
    let written = |size: usize| std::fs::write(&ballast, vec![0; size]).is_ok();
    while !written(size) {
        size -= 64 << 10;
    }
    assert_eq!(scene.post(&many(2_000, 4_000)).await, 503, "{}", process.log());
    for path in ["/healthz", "/v1/signals", "/v1/status"] {
        assert_eq!(reqwest::get(scene.url(path)).await.unwrap().status(), 200, "{path}");
    }
    std::fs::remove_file(&ballast).unwrap();
    wait::until("deliveries to be taken again", || async {
        scene.post(&many(100, 100)).await == 200
    })
    .await;
    let log = process.log();
    assert!(
        log.contains("store cannot be written") && log.contains("can be written again"),
        "{log}"
    );
}

#[tokio::test]
async fn a_read_only_file_system_ends_the_program_with_what_to_mend() {
    if !Process::may_have_own_mounts() {
        return;
    }
    let scene = Scene::new();
    let folder = scene.store();
    std::fs::create_dir(&folder).unwrap();
    let place = folder.display();
    let before = format!("mount --bind {place} {place}\nmount -o remount,ro,bind {place}");
    let read_only = Start { before: &before, own_mounts: true, ..Start::default() };
    for existing in [false, true] {
        let said = scene.refused(read_only).await;
        assert!(
            said.contains("store.url must name a directory that this process may write"),
            "{said}"
        );
        assert_eq!(folder.join("bellwether.redb").exists(), existing);
        drop(scene.start(Start::default()).await);
    }
    let retention = Retention { entries: 9, age: Duration::from_secs(9) };
    let store = Embedded::open(&folder, Clock::system(), retention).unwrap();
    store.record_signals(&[signal("s", 1)]).await.unwrap();
    assert_eq!(store.signals(&cluster()).await.unwrap().len(), 1, "it is as whole as before");
}

/// A file system cannot be made read-only below a file that is open for writing, but by the kernel itself when its disk
/// fails. What the program meets is played by a limit: every write is refused, also of what is there already.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_takes_no_write_while_it_runs_is_503_until_it_does_again() {
    let scene = Scene::new();
    let process = scene.start(Start { before: "trap '' XFSZ", ..Start::default() }).await;
    assert_eq!(scene.post(&many(10, 0)).await, 200);
    process.may_write(false);
    assert_eq!(scene.post(&many(20, 0)).await, 503, "what is not stored is not taken");
    for path in ["/healthz", "/v1/signals", "/v1/status"] {
        assert_eq!(reqwest::get(scene.url(path)).await.unwrap().status(), 200, "{path}");
    }
    let acting =
        async || scene.get("/v1/status").await["clusters"]["one"]["status"]["acting"] == true;
    wait::until("it to act no more, as its claim runs out", || async { !acting().await }).await;
    process.may_write(true);
    wait::until("deliveries to be taken again", || async { scene.post(&many(20, 0)).await == 200 })
        .await;
    wait::until("it to act again", || async { acting().await }).await;
    drop(process);
    let retention = Retention { entries: 9, age: Duration::from_secs(9) };
    let store = Embedded::open(&scene.store(), Clock::system(), retention).unwrap();
    assert_eq!(store.signals(&"one".into()).await.unwrap().len(), 20, "and the file is whole");
}

/// Two on one cluster, each with a store of its own.
fn two_installs() -> [Scene; 2] {
    let installs = [Scene::new(), Scene::new()];
    let world = installs[0].folder.path().join("world.json");
    for scene in &installs {
        scene.edit("boot: 100ms", &format!("boot: 100ms, state: \"{}\"", world.display()));
    }
    installs
}

/// Its store knows nothing of the other install: only the cluster can tell.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_install_says_who_has_the_lease_and_acts_once_it_is_given_back() {
    let [one, two] = two_installs();
    let refused = async || {
        let text = reqwest::get(two.url("/metrics")).await.unwrap().text().await.unwrap();
        let name = "bellwether_lease_refused{cluster=\"one\",why=\"held\"} ";
        text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned)
    };
    let mut first = one.start(Start::default()).await;
    wait::until("the first to act", || async { one.status().await["acting"] == true }).await;
    let second = two.start(Start::default()).await;
    wait::until("the second to be refused", || async {
        refused().await.as_deref() == Some("1") && !two.status().await["lease_refused"].is_null()
    })
    .await;
    let told = two.status().await;
    assert_eq!((&told["acting"], &told["lease_refused"]["why"]), (&json!(false), &json!("held")));
    let (by, until) = (&told["lease_refused"]["by"], &told["lease_refused"]["until"]);
    assert!(until.as_str().unwrap().parse::<jiff::Timestamp>().is_ok());
    assert!(!by.as_str().unwrap().is_empty(), "{told}");
    wait::until("it to ask again", || async {
        two.status().await["lease_refused"]["until"] != *until
    })
    .await;
    let said = format!("the cluster's lease is held by {} until", by.as_str().unwrap());
    assert_eq!(second.log().matches(&said).count(), 1, "{}", second.log());
    assert!(one.status().await["lease_refused"].is_null());
    first.signal(rustix::process::Signal::TERM);
    first.ended().await;
    wait::until("the second to act", || async { two.status().await["acting"] == true }).await;
    assert!(two.status().await["lease_refused"].is_null());
    wait::until("its metric", || async { refused().await.as_deref() == Some("0") }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_leaves_the_lease_to_another_install_and_takes_it_when_it_is_to_act() {
    let [dry, other] = two_installs();
    dry.edit("    pools:", "    mode: dry_run\n    pools:");
    let first = dry.start(Start::default()).await;
    wait::until("a pass of the dry run", || async { !dry.status().await.is_null() }).await;
    let mut second = other.start(Start::default()).await;
    wait::until("the other to act", || async { other.status().await["acting"] == true }).await;
    assert!(dry.status().await["lease_refused"].is_null(), "it does not ask");
    dry.edit("mode: dry_run", "mode: act");
    first.signal(rustix::process::Signal::HUP);
    wait::until("it to ask, and be refused", || async {
        dry.status().await["lease_refused"]["why"] == "held"
    })
    .await;
    assert_eq!(dry.status().await["acting"], false);
    second.signal(rustix::process::Signal::TERM);
    second.ended().await;
    wait::until("it to act", || async { dry.status().await["acting"] == true }).await;
}
