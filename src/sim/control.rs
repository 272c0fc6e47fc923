//! The world over HTTP: the metrics that rules read, and the means to change it. Pure dispatch; `app`
//! serves it.

use super::{Faults, Workload, World};
use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Body.
    pub body: String,
}

const TEXT: &str = "text/plain; version=0.0.4";
const JSON: &str = "application/json";

/// How long ahead a notice comes, as on EC2.
const NOTICE: Duration = Duration::from_mins(2);

/// Answers one request. `host` is the address the caller used: targets are told to be there.
pub fn handle(world: &World, method: &str, path: &str, body: &[u8], host: &str) -> Response {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method, parts.as_slice()) {
        ("GET", ["metrics"]) => answer(200, TEXT, world.kube_metrics()),
        ("GET", ["targets"]) => answer(200, JSON, world.targets(host).to_string()),
        ("GET", ["world"]) => answer(200, JSON, world.summary().to_string()),
        ("GET", ["nodes", name, "metrics"]) => match world.node_metrics(name) {
            Some(text) => answer(200, TEXT, text),
            None => answer(404, TEXT, format!("node {name} does not answer\n")),
        },
        ("PUT", ["workloads", name]) => parsed(body, |workload: Workload| {
            world
                .set_workload(Workload { name: (*name).to_owned(), ..workload })
                .map_err(|error| error.to_string())
        }),
        ("DELETE", ["workloads", name]) => {
            world.remove_workload(name);
            done(Ok(()))
        }
        ("POST", ["kill", name]) => done(world.kill(name).map_err(|error| error.to_string())),
        ("POST", ["notice", name]) => {
            done(world.notice(name, NOTICE).map_err(|error| error.to_string()))
        }
        ("PUT", ["faults"]) => parsed(body, |faults: Faults| {
            world.set_faults(faults);
            Ok(())
        }),
        _ => answer(
            404,
            JSON,
            json!({ "error": format!("there is no {method} {path}") }).to_string(),
        ),
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(
    body: &[u8],
    then: impl FnOnce(T) -> Result<(), String>,
) -> Response {
    done(serde_json::from_slice(body).map_err(|error| error.to_string()).and_then(then))
}

fn done(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => answer(200, JSON, "{}".to_owned()),
        Err(error) => answer(400, JSON, json!({ "error": error }).to_string()),
    }
}

fn answer(status: u16, content_type: &'static str, body: String) -> Response {
    Response { status, content_type, body }
}
