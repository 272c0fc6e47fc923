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

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &str, detail: &str) -> RedisError {
        redis::make_extension_error(code.to_owned(), Some(detail.to_owned()))
    }

    fn broken() -> RedisError {
        std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
    }

    fn told(error: &RedisError, sent: Sent) -> String {
        meaning("here:1", error, sent).error.to_string()
    }

    #[test]
    fn what_was_sent_and_not_answered_may_still_be_done() {
        for (sent, is_open, words) in [
            (Sent::No, false, "; nothing was stored"),
            (Sent::Perhaps, true, "; whether it was stored is not known"),
        ] {
            for fault in
                [late("here:1", Duration::from_secs(2), sent), meaning("here:1", &broken(), sent)]
            {
                assert_eq!(fault.is_open, is_open, "{fault:?}");
                assert!(fault.error.to_string().ends_with(words), "{fault:?}");
            }
            assert!(!meaning("here:1", &answered("OOM", "full"), sent).is_open, "it was refused");
        }
    }

    #[test]
    fn each_refusal_that_we_know_says_what_to_do() {
        for (code, detail, mend) in [
            ("WRONGPASS", "", "store.password_file"),
            ("NOAUTH", "", "store.password_file"),
            ("NOPERM", "", "docs/redis.md"),
            ("OOM", "", "maxmemory"),
            ("READONLY", "", "store.url must name the primary, or"),
            ("LOADING", "", "loading its data"),
            ("MASTERDOWN", "", "a replica without its primary"),
            ("NOREPLICAS", "", "min-replicas-to-write"),
            ("MISCONF", "", "its log and its disk"),
            ("BUSY", "", "somebody's script"),
            ("WRONGTYPE", "", "another database"),
            ("MOVED", "", "a single server"),
            ("CROSSSLOT", "", "a single server"),
            ("CLUSTERDOWN", "", "a single server"),
            ("ERR", "The user executing the script can't run this", "docs/redis.md"),
            ("ERR", "DB index is out of range", "the number that store.url ends with"),
            ("ERR", "AUTH called without any password configured", "it asks for no password"),
            ("ERR", "wrong", "refused: ERR wrong"),
            ("FOREIGN", "list {bw:c}:claim", "key {bw:c}:claim in redis is a list"),
            ("NEWER", "2 {bw:c}:schema", "key {bw:c}:schema in redis says schema 2"),
        ] {
            let told = told(&answered(code, detail), Sent::Perhaps);
            assert!(told.contains(mend), "{code} {detail}: {told}");
        }
    }

    #[test]
    fn a_line_that_broke_says_so_and_where_certificates_are_set_if_it_is_theirs() {
        let lost = told(&broken(), Sent::No);
        assert!(lost.contains("here:1 cannot be reached") && !lost.contains("ca_file"), "{lost}");
        let refused = std::io::Error::other("invalid peer certificate").into();
        assert!(told(&refused, Sent::No).contains("store.ca_file"));
        let login = (ErrorKind::AuthenticationFailed, "no").into();
        assert!(told(&login, Sent::No).contains("store.password_file"));
    }

    #[test]
    fn a_connection_is_kept_unless_it_broke_or_leads_to_another_server() {
        for code in ["READONLY", "MASTERDOWN", "LOADING", "NOAUTH", "CLUSTERDOWN"] {
            assert!(ends_connection(&answered(code, "")), "{code}");
        }
        assert!(ends_connection(&broken()));
        assert!(!ends_connection(&answered("OOM", "")));
    }

    #[test]
    fn a_refused_login_is_told_from_other_refusals() {
        assert!(is_login(&answered("WRONGPASS", "")));
        assert!(is_login(&answered("NOAUTH", "")));
        assert!(!is_login(&answered("NOPERM", "")));
        assert!(is_login(&(ErrorKind::AuthenticationFailed, "no").into()));
        assert!(!is_login(&broken()));
    }
}
