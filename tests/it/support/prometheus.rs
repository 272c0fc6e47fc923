//! A real Prometheus.

use super::server::{self, Server};
use super::wait;
use serde_json::Value;

/// A running Prometheus; killed when dropped.
pub(crate) struct RunningPrometheus {
    server: Server,
    pub(crate) url: String,
}

/// Both supported ends of what people run.
pub(crate) const VERSIONS: [&str; 2] = ["2.42", "3.16"];

/// Starts version `2.42` or `3.16` with rules, which its configuration must name as `rules.yaml`; `None` after a
/// printed skip where it is missing.
pub(crate) async fn start(version: &str, config: &str, rules: &str) -> Option<RunningPrometheus> {
    start_at(super::ports::free(), version, config, &[("rules.yaml", rules)], &[]).await
}

/// Starts version `2.42` or `3.16` on a port of the caller's choice, with files beside its configuration; `None` after
/// a printed skip where it is missing.
pub(crate) async fn start_at(
    port: u16,
    version: &str,
    config: &str,
    files: &[(&str, &str)],
    flags: &[String],
) -> Option<RunningPrometheus> {
    let program = server::find(&format!("prometheus-{version}"), "prometheus")?;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let mut arguments =
        vec!["--config.file=prometheus.yml".to_owned(), "--storage.tsdb.path=data".to_owned()];
    arguments.push(format!("--web.listen-address=127.0.0.1:{port}"));
    arguments.extend_from_slice(flags);
    let server = Server::start(program, arguments, folder, port).await;
    Some(RunningPrometheus { url: server.url.clone(), server })
}

impl RunningPrometheus {
    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.server.kill();
    }

    /// Reads its files anew, these among them; it must be started with `--web.enable-lifecycle`.
    pub(crate) async fn reload(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            std::fs::write(self.server.folder.path().join(name), text).unwrap();
        }
        let reload = reqwest::Client::new().post(format!("{}/-/reload", self.url));
        assert!(reload.send().await.unwrap().status().is_success());
    }

    /// Waits until a query answers anything.
    pub(crate) async fn answers(&self, expression: &str) {
        self.until(expression, true).await;
    }

    /// Waits until a query answers nothing.
    pub(crate) async fn forgets(&self, expression: &str) {
        self.until(expression, false).await;
    }

    async fn until(&self, expression: &str, something: bool) {
        let what =
            format!("{} for {expression}", if something { "an answer" } else { "no answer" });
        wait::until(&what, || async {
            let answer = self.query(expression).await;
            answer["data"]["result"].as_array().is_some_and(|list| list.is_empty() != something)
        })
        .await;
    }

    /// An instant query's whole answer.
    pub(crate) async fn query(&self, expression: &str) -> Value {
        let query = [("query", expression)];
        let request =
            reqwest::Client::new().get(format!("{}/api/v1/query", self.url)).query(&query);
        request.send().await.unwrap().json().await.unwrap()
    }
}
