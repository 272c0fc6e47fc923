//! A real Prometheus.

use super::server::{self, Server};
use serde_json::Value;

/// A running Prometheus; killed when dropped.
pub(crate) struct RunningPrometheus {
    server: Server,
    pub(crate) url: String,
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

    /// An instant query's whole answer.
    pub(crate) async fn query(&self, expression: &str) -> Value {
        let query = [("query", expression)];
        let request =
            reqwest::Client::new().get(format!("{}/api/v1/query", self.url)).query(&query);
        request.send().await.unwrap().json().await.unwrap()
    }
}
