//! What an error of Redis means to us, and in which setting it is mended. Nobody's secret is in it.

use crate::model::duration;
use crate::store::Error;
use redis::{ErrorKind, RedisError};
use std::time::Duration;

/// Whether the server may have done what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It was never asked.
    No,
    /// It was asked, and its answer did not come.
    Perhaps,
}

impl Sent {
    fn told(self) -> &'static str {
        match self {
            Self::No => "nothing was stored",
            Self::Perhaps => "whether it was stored is not known",
        }
    }
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) error: Error,
    /// Whether it was done all the same, or still will be, nobody knows.
    pub(super) is_open: bool,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

/// The server did not answer in time.
pub(super) fn late(server: &str, limit: Duration, sent: Sent) -> Fault {
    let (limit, told) = (duration::format(limit), sent.told());
    let text = format!("redis at {server} did not answer within {limit} (store.timeout); {told}");
    Fault { error: Error::Away(text), is_open: sent == Sent::Perhaps }
}

/// What an error means. One that the server answered has changed nothing: our scripts see to it.
pub(super) fn meaning(server: &str, error: &RedisError, sent: Sent) -> Fault {
    let is_open = sent == Sent::Perhaps && error.code().is_none();
    Fault { error: said(server, error, sent), is_open }
}

fn said(server: &str, error: &RedisError, sent: Sent) -> Error {
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    match code {
        "FOREIGN" => Error::Unreadable(foreign(detail)),
        "NEWER" => Error::Unreadable(newer(detail)),
        _ => Error::Away(match advice(code, detail) {
            Some(advice) => format!("redis at {server}: {advice} ({code})"),
            None if code.is_empty() => lost(server, error, sent),
            None => format!("redis at {server} refused: {code} {detail}"),
        }),
    }
}

/// Whether the connection is of no more use: it is gone, or another server may be the one to ask now.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    let code = error.code().unwrap_or_default();
    code.is_empty()
        || matches!(code, "READONLY" | "MASTERDOWN" | "LOADING" | "NOAUTH" | "CLUSTERDOWN")
}

/// Whether trying other credentials could help.
pub(super) fn is_login(error: &RedisError) -> bool {
    error.kind() == ErrorKind::AuthenticationFailed
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
}

/// Text without an answer's code: the line broke, or never stood.
fn lost(server: &str, error: &RedisError, sent: Sent) -> String {
    if is_login(error) {
        return format!("redis at {server}: {LOGIN}");
    }
    let tls = error.to_string().contains("certificate");
    let hint = if tls { "; see store.ca_file and store.client_cert_file" } else { "" };
    format!("redis at {server} cannot be reached: {error}{hint}; {}", sent.told())
}

const LOGIN: &str =
    "it refuses the user or the password; see store.username and store.password_file";

const NOPERM: &str =
    "its user may not do that; docs/redis.md says what store.username must be allowed";

/// What to do about an answer that we know.
fn advice(code: &str, detail: &str) -> Option<&'static str> {
    Some(match code {
        "WRONGPASS" | "NOAUTH" => LOGIN,
        "NOPERM" => NOPERM,
        "OOM" => "it is full and takes no writes; raise its maxmemory",
        "READONLY" => {
            "it is a read-only replica; store.url must name the primary, or its Sentinels"
        }
        "LOADING" => "it is loading its data after a start",
        "MASTERDOWN" => "it is a replica without its primary; store.url must name the primary",
        "NOREPLICAS" => "it takes no writes, having too few replicas (its min-replicas-to-write)",
        "MISCONF" => "it takes no writes, for it cannot save them; see its log and its disk",
        "BUSY" => "it is busy with somebody's script",
        "WRONGTYPE" => {
            "a key of our names is another program's, and stays as it is; name another database in store.url"
        }
        "MOVED" | "CROSSSLOT" | "CLUSTERDOWN" => {
            "it is a Redis Cluster, which is not supported; store.url must name a single server"
        }
        // What is left of it on servers that cannot be asked before.
        "ERR" if detail.contains("executing the script can't") => NOPERM,
        "ERR" if detail.contains("DB index is out of range") => {
            "it has no database of the number that store.url ends with"
        }
        "ERR" if detail.contains("without any password configured") => {
            "it asks for no password, yet one is set; see store.password_file"
        }
        _ => return None,
    })
}

fn foreign(detail: &str) -> String {
    let (kind, key) = detail.split_once(' ').unwrap_or(("", detail));
    format!(
        "key {key} in redis is a {kind}, which is none of ours, and stays as it is; another program uses \
         this database: name another in store.url"
    )
}

fn newer(detail: &str) -> String {
    let (schema, key) = detail.split_once(' ').unwrap_or(("", detail));
    format!(
        "key {key} in redis says schema {schema}: it was written by a newer version, and stays as it is; \
         run that version again, or name another database in store.url"
    )
}
