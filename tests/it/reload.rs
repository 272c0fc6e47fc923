//! The real program while its configuration changes: by SIGHUP, by its file, by the files that it names.

mod fields;
mod files;
mod load;
mod passes;
mod secrets;

use crate::support::process::{Process, Start};
use crate::support::{ports, wait};
use reqwest::{Client, RequestBuilder};
use rustix::process::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A running program with a folder of its own.
struct Program {
    folder: tempfile::TempDir,
    file: PathBuf,
    port: u16,
    process: Process,
    client: Client,
    /// The token it is asked with.
    token: Option<String>,
}

/// A pool of so many workers at most, with more fields.
fn pool(max: u32, more: &str) -> String {
    format!("{{ provider: {{ sim: {{}} }}, max: {max}, {more} }}")
}

/// The cluster `one` with these pools, in a world that boots fast.
fn one(pools: &str) -> String {
    format!(
        "clusters: {{ one: {{ kubernetes: {{ sim: {{ boot: 100ms }} }}, pools: {{ {pools} }} }} }}"
    )
}

/// The cluster `one` with one pool of so many workers at most, and lines of their own at the top.
fn workers(max: u32, top: &str) -> String {
    format!("{top}\n{}", one(&format!("workers: {}", pool(max, ""))))
}

impl Program {
    /// Starts it with a file in its folder.
    async fn start(text: &str) -> Self {
        Self::start_at(text, "bellwether.yaml", None, |_| ()).await
    }

    /// Starts it with a file at a place below its folder, in which more is prepared, and asks with a token.
    async fn start_at(
        text: &str,
        place: &str,
        token: Option<&str>,
        prepare: impl FnOnce(&Path),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (file, port) = (folder.path().join(place), ports::free());
        prepare(folder.path());
        std::fs::write(&file, whole(text, port, folder.path())).unwrap();
        let process =
            Process::start(&file, &format!("http://127.0.0.1:{port}"), Start::default()).await;
        let (client, token) = (Client::new(), token.map(str::to_owned));
        Self { folder, file, port, process, client, token }
    }

    /// The file with these lines, as [`Program::start`] wrote it.
    fn text(&self, text: &str) -> String {
        whole(text, self.port, self.folder.path())
    }

    /// Writes the file over in place.
    fn write(&self, text: &str) {
        std::fs::write(&self.file, self.text(text)).unwrap();
    }

    fn hang_up(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Writes the file over in place, says so, and waits until it is taken.
    async fn reload(&self, text: &str) {
        self.write(text);
        let before = self.standing().await["loaded"].clone();
        self.hang_up();
        self.stands("a good file to be taken", |standing| {
            standing["wrong"].is_null() && standing["loaded"] != before
        })
        .await;
    }

    /// Ends it and starts it anew.
    async fn restart(&mut self) {
        self.process.signal(Signal::TERM);
        self.process.ended().await;
        let url = self.url("");
        self.process = Process::start(&self.file, &url, Start::default()).await;
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn request(&self, path: &str) -> RequestBuilder {
        let request = self.client.get(self.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn get(&self, path: &str) -> Value {
        self.request(path).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, body: &Value) -> (u16, Value) {
        let answer = self.client.post(self.url("/v1/alerts")).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// How the configuration stands to its file.
    async fn standing(&self) -> Value {
        self.get("/v1/status").await["config"].clone()
    }

    /// Waits until it stands so, and how.
    async fn stands(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, || async { holds(&self.standing().await) }).await;
        self.standing().await
    }

    /// The most workers of the pool `workers`, as it is in force.
    async fn max(&self) -> Value {
        self.get("/v1/config").await["clusters"]["one"]["pools"]["workers"]["max"].clone()
    }

    async fn max_becomes(&self, max: u32, how: &str) {
        wait::until(how, || async { self.max().await == max }).await;
    }

    async fn metrics(&self) -> String {
        self.request("/metrics").send().await.unwrap().text().await.unwrap()
    }

    /// The value of a series.
    async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(series))?;
        line.trim().parse().ok()
    }

    /// How many turns of the loop there were.
    async fn passed(&self) -> u32 {
        let text = self.metrics().await;
        let counts = text.lines().filter(|line| line.starts_with("bellwether_passes_total{"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum()
    }

    /// Waits for so many more turns of the loop.
    async fn passes(&self, more: u32) {
        let least = self.passed().await + more;
        wait::until("more passes", || async { self.passed().await >= least }).await;
    }

    /// What `bellwether status` prints.
    fn status(&self, more: &[&str]) -> String {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bellwether"))
            .args(["status", "--url", &self.url("")])
            .args(more)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A file with these lines, and what every one of these tests needs. `FOLDER` stands for the program's own.
fn whole(text: &str, port: u16, folder: &Path) -> String {
    let mut head = String::new();
    for (name, line) in [
        ("listen:", format!("listen: 127.0.0.1:{port}")),
        ("store:", "store: { url: \"memory:\" }".to_owned()),
        ("alertmanager:", "alertmanager: { urls: [http://127.0.0.1:1] }".to_owned()),
        ("prometheus:", "prometheus: { urls: [http://127.0.0.1:1] }".to_owned()),
        ("reconcile:", "reconcile: { interval: 200ms, busy_interval: 100ms }".to_owned()),
    ] {
        if !text.lines().any(|own| own.starts_with(name)) {
            head.push_str(&line);
            head.push('\n');
        }
    }
    (head + text).replace("FOLDER", folder.to_str().unwrap())
}
