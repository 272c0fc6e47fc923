//! Reading and asking a running service over its API.

use super::{Output, table};
use crate::config::Standing;
use crate::model::Explanation;
use anyhow::{Context as _, bail};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Where the service is.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Connection {
    /// The service's address.
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "BELLWETHER_URL")]
    url: String,
    /// A file with the bearer token.
    #[arg(long, env = "BELLWETHER_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Only this cluster.
    #[arg(long)]
    cluster: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Output,
}

/// Which history.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct HistoryOptions {
    #[command(flatten)]
    connection: Connection,
    /// At most this many entries.
    #[arg(long, default_value_t = 50)]
    limit: usize,
}

/// What to explain.
#[derive(Clone, Debug, clap::Subcommand)]
pub(super) enum Explain {
    /// A pod.
    Pod {
        /// NAMESPACE/NAME, or NAME in the namespace `default`.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
    /// A node.
    Node {
        /// Its name.
        name: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// What to ask for.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ScaleOptions {
    #[command(flatten)]
    connection: Connection,
    /// The pool.
    pool: String,
    /// Workers to add; negative to remove.
    #[arg(allow_negative_numbers = true)]
    by: i32,
    /// Why; kept in the history.
    #[arg(long, default_value = "")]
    reason: String,
}

/// What to switch on again.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct ResumeOptions {
    #[command(flatten)]
    connection: Connection,
    /// What.
    #[arg(value_enum)]
    what: Resumable,
    /// Why; kept with the wish.
    #[arg(long, default_value = "")]
    reason: String,
}

/// What switches itself off when it does harm.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Resumable {
    /// Need that is foreseen: off where it was wrong too often.
    Predictions,
}

impl Connection {
    /// A wish, about the cluster that is named, if one is.
    fn about(&self, mut wish: Value) -> Value {
        if let Some(cluster) = &self.cluster {
            wish["cluster"] = json!(cluster);
        }
        wish
    }

    /// One call; anything but success is an error in the service's own words.
    async fn call(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let client = Client::builder().timeout(Duration::from_secs(30)).build()?;
        let mut request =
            client.request(method, format!("{}{path}", self.url.trim_end_matches('/')));
        if let Some(file) = &self.token_file {
            let token = std::fs::read_to_string(file)
                .with_context(|| format!("{} cannot be read", file.display()))?;
            request = request.bearer_auth(token.trim());
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer =
            request.send().await.with_context(|| format!("{} does not answer", self.url))?;
        let status = answer.status();
        let value: Value = answer
            .json()
            .await
            .with_context(|| format!("{} answered {status} without JSON", self.url))?;
        if !status.is_success() {
            bail!("{status}: {}", value["error"]["message"].as_str().unwrap_or("no message"));
        }
        Ok(value)
    }

    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let path = match &self.cluster {
            Some(cluster) => {
                format!("{path}{}cluster={cluster}", if path.contains('?') { '&' } else { '?' })
            }
            None => path.to_owned(),
        };
        self.call(Method::GET, &path, None).await
    }

    /// Prints as asked: the JSON as it came, or rows made of each cluster's list at that place.
    fn show(
        &self,
        answer: &Value,
        list: &str,
        header: &[&str],
        row: impl Fn(&str, &Value) -> Vec<String>,
    ) -> ExitCode {
        if self.output == Output::Json {
            print_json(answer);
            return ExitCode::SUCCESS;
        }
        let clusters = answer["clusters"].as_object().cloned().unwrap_or_default();
        let rows = clusters.iter().flat_map(|(cluster, shown)| {
            shown
                .pointer(list)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .map(|item| row(cluster, item))
                .collect::<Vec<_>>()
        });
        table::print(header, rows.collect());
        ExitCode::SUCCESS
    }
}

/// How the configuration stands to its file; pools, what was decided, and why.
pub(super) async fn status(connection: &Connection) -> anyhow::Result<ExitCode> {
    let answer = connection.get("/v1/status").await?;
    if connection.output == Output::Text {
        let standing: Standing = serde_json::from_value(answer["config"].clone())
            .context("the service does not tell how its configuration stands")?;
        print_lines(&standing.lines());
    }
    Ok(connection.show(
        &answer,
        "/status/pools",
        &["CLUSTER", "POOL", "HAVE", "WANT", "MIN", "MAX", "PER HOUR", "WHY"],
        |cluster, pool| {
            let decision = &pool["decision"];
            vec![
                cluster.to_owned(),
                text(&pool["pool"]),
                text(&decision["have"]),
                text(&decision["want"]),
                text(&pool["min"]),
                text(&pool["max"]),
                text(&pool["price_per_hour"]),
                text(&pool["why"]),
            ]
        },
    ))
}

/// Workers.
pub(super) async fn workers(connection: &Connection) -> anyhow::Result<ExitCode> {
    let answer = connection.get("/v1/workers").await?;
    Ok(connection.show(
        &answer,
        "/workers",
        &["CLUSTER", "WORKER", "STATE", "SINCE", "SHAPE", "ZONE", "MARKET", "NODE"],
        |cluster, worker| {
            vec![
                cluster.to_owned(),
                text(&worker["id"]),
                text(&worker["state"]["state"]),
                text(&worker["since"]),
                text(&worker["shape"]),
                text(&worker["zone"]),
                text(&worker["market"]),
                text(&worker["node"]["name"]),
            ]
        },
    ))
}

/// Signals, and whether each counts.
pub(super) async fn signals(connection: &Connection) -> anyhow::Result<ExitCode> {
    let answer = connection.get("/v1/signals").await?;
    Ok(connection.show(
        &answer,
        "/signals",
        &["CLUSTER", "NAME", "POOL", "LAST SEEN", "STANDING"],
        |cluster, view| {
            let signal = &view["signal"];
            vec![
                cluster.to_owned(),
                text(&signal["name"]),
                text(&signal["pool"]),
                text(&signal["last_seen"]),
                text(&view["words"]),
            ]
        },
    ))
}

/// Why a pod is where it is or nowhere, or why a node stays.
pub(super) async fn explain(what: &Explain) -> anyhow::Result<ExitCode> {
    let (path, connection) = match what {
        Explain::Pod { name, connection } => {
            let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
            (format!("/v1/explain/pod/{namespace}/{name}"), connection)
        }
        Explain::Node { name, connection } => (format!("/v1/explain/node/{name}"), connection),
    };
    let answer = connection.get(&path).await?;
    if connection.output == Output::Json {
        print_json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    for (cluster, told) in answer["clusters"].as_object().into_iter().flatten() {
        if !told.is_null() {
            let told: Explanation = serde_json::from_value(told.clone())
                .context("the service does not explain in a form that is known here")?;
            print_lines(&explained(cluster, &told));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn explained(cluster: &str, told: &Explanation) -> Vec<String> {
    let mut lines = vec![format!("{} (cluster {cluster}) {}", told.subject, told.state)];
    for (title, items) in
        [("why", &told.why), ("would help", &told.helps), ("decided last", &told.decided)]
    {
        if !items.is_empty() {
            lines.push(format!("  {title}:"));
            lines.extend(items.iter().map(|item| format!("    - {item}")));
        }
    }
    lines
}

/// What was done, and why.
pub(super) async fn history(options: &HistoryOptions) -> anyhow::Result<ExitCode> {
    let answer = options.connection.get(&format!("/v1/history?limit={}", options.limit)).await?;
    Ok(options.connection.show(
        &answer,
        "/history",
        &["AT", "CLUSTER", "POOL", "WORKER", "KIND", "WHAT", "WHY", "DETAIL"],
        |cluster, entry| {
            vec![
                text(&entry["at"]),
                cluster.to_owned(),
                text(&entry["pool"]),
                text(&entry["worker"]),
                text(&entry["kind"]),
                text(&entry["what"]),
                text(&entry["reason"]["code"]),
                text(&entry["detail"]),
            ]
        },
    ))
}

/// Asks for more workers, or fewer.
pub(super) async fn scale(options: &ScaleOptions) -> anyhow::Result<ExitCode> {
    let body = options.connection.about(json!({ "by": options.by, "reason": options.reason }));
    let path = format!("/v1/pools/{}/scale", options.pool);
    print_json(&options.connection.call(Method::POST, &path, Some(body)).await?);
    Ok(ExitCode::SUCCESS)
}

/// Asks for a pass now.
pub(super) async fn reconcile(connection: &Connection) -> anyhow::Result<ExitCode> {
    let body = connection.about(json!({}));
    print_json(&connection.call(Method::POST, "/v1/reconcile", Some(body)).await?);
    Ok(ExitCode::SUCCESS)
}

/// Switches on again what switched itself off.
pub(super) async fn resume(options: &ResumeOptions) -> anyhow::Result<ExitCode> {
    let ResumeOptions { what: Resumable::Predictions, reason, connection } = options;
    let body = connection.about(json!({ "what": "predictions", "reason": reason }));
    print_json(&connection.call(Method::POST, "/v1/resume", Some(body)).await?);
    Ok(ExitCode::SUCCESS)
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[expect(clippy::print_stdout, reason = "the command line speaks to a person")]
fn print_lines(lines: &[String]) {
    for line in lines {
        println!("{line}");
    }
}

#[expect(clippy::print_stdout, reason = "the command line speaks to a person")]
pub(super) fn print_json(value: &Value) {
    println!("{value:#}");
}
