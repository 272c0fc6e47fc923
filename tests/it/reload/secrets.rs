//! Secrets and certificates that are renewed in their files, ours and those we show to others.

use super::{Program, workers};
use crate::support::authority::{self, Authority};
use crate::support::inlet::delivery;
use crate::support::scripted::{Answer, Scripted};
use crate::support::wait;
use reqwest::StatusCode;
use serde_json::json;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A mounted secret: its file behind a link to a link, which Kubernetes swaps.
fn mounted(folder: &Path, version: &str, token: &str) {
    std::fs::create_dir_all(folder.join(version)).unwrap();
    std::fs::write(folder.join(version).join("token"), token).unwrap();
    symlink(version, folder.join("..new")).unwrap();
    std::fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
}

/// What the service answers to a reader with this token.
async fn read_with(program: &Program, token: &str) -> StatusCode {
    program.client.get(program.url("/v1/pools")).bearer_auth(token).send().await.unwrap().status()
}

const ROLES: &str = "auth: { tokens: [
  { role: viewer, token: watcher },
  { role: webhook, token: deliverer },
  { role: operator, token_file: FOLDER/token } ] }";

async fn rotating() -> Program {
    let prepare = |folder: &Path| {
        mounted(folder, "..v1", "one-token\n");
        symlink("..data/token", folder.join("token")).unwrap();
    };
    let program =
        Program::start_at(&workers(9, ROLES), "bellwether.yaml", Some("watcher"), prepare).await;
    assert_eq!(read_with(&program, "one-token").await, 200);
    assert_eq!(read_with(&program, "another-token").await, 401);
    program
}

/// Deliveries with a token that stays are answered 200 all the while, on a connection that stays. The first is sent
/// before it is asked whether it is over, which it may be at once.
async fn deliver_until(program: &Program, over: impl AsyncFn() -> bool) {
    for count in 0_u64.. {
        let body = delivery(&json!({ "n": count.to_string() }));
        let post =
            program.client.post(program.url("/v1/alerts")).bearer_auth("deliverer").json(&body);
        assert_eq!(post.send().await.unwrap().status(), 200);
        if over().await {
            return;
        }
    }
}

/// By the time a reload is told, the new token is good and the old one is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_holds_by_the_time_it_is_told() {
    let program = rotating().await;
    let before = program.standing().await["loaded"].clone();
    mounted(program.folder.path(), "..v2", "another-token\n");
    program.hang_up();
    deliver_until(&program, async || program.standing().await["loaded"] != before).await;
    assert_eq!(read_with(&program, "another-token").await, 200);
    assert_eq!(read_with(&program, "one-token").await, 401);
}

/// Without SIGHUP: the file that the configuration names is looked at too. One that is empty or gone for a while
/// changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_token_is_seen_in_its_file_and_half_a_rotation_changes_nothing() {
    let program = rotating().await;
    mounted(program.folder.path(), "..v2", "");
    let wrong = program.stands("the empty token", |standing| !standing["wrong"].is_null()).await;
    assert_eq!(wrong["wrong"]["errors"][0]["path"], "auth.tokens[2].token_file");
    assert_eq!(read_with(&program, "one-token").await, 200, "until there is another");
    std::fs::remove_file(program.folder.path().join("..v2/token")).unwrap();
    let gone = |standing: &serde_json::Value| {
        standing["wrong"]["errors"][0]["mend"]
            .as_str()
            .is_some_and(|mend| mend.contains("not found"))
    };
    program.stands("the missing token", gone).await;
    assert_eq!(read_with(&program, "one-token").await, 200);
    mounted(program.folder.path(), "..v3", "another-token");
    let taken = async || read_with(&program, "another-token").await == 200;
    let late = tokio::time::Instant::now() + wait::LIMIT;
    deliver_until(&program, async || taken().await || tokio::time::Instant::now() > late).await;
    assert!(taken().await);
    assert_eq!(read_with(&program, "one-token").await, 401);
    program.stands("it to be forgotten", |standing| standing["wrong"].is_null()).await;
    let log = program.process.log();
    assert!(
        ["one-token", "another-token", "watcher", "deliverer"]
            .iter()
            .all(|token| !log.contains(token)),
        "{log}"
    );
}

/// What we show to Alertmanager and to Prometheus: whoever was asked with the new is not asked with the old again.
#[tokio::test(flavor = "multi_thread")]
async fn rotated_credentials_are_shown_to_alertmanager_and_prometheus_from_the_next_call_on() {
    let (alertmanager, prometheus) = (
        Scripted::always(Answer::Whole(500, String::new())).await,
        Scripted::always(Answer::Whole(500, String::new())).await,
    );
    let top = format!(
        "alertmanager: {{ urls: [\"{}\"], bearer_token_file: FOLDER/bearer, headers: {{ X-Tenant_file: FOLDER/tenant }} }}
prometheus: {{ urls: [\"{}\"], basic: {{ username: ada, password_file: FOLDER/password }} }}",
        alertmanager.url, prometheus.url
    );
    let names = ["bearer", "tenant", "password"];
    let write = |folder: &Path, text: &str| {
        for name in names {
            std::fs::write(folder.join(name), format!("{name}-{text}\n")).unwrap();
        }
    };
    let program = Program::start_at(&workers(9, &top), "bellwether.yaml", None, |folder| {
        write(folder, "old");
    })
    .await;
    let mut alert = delivery(&json!({ "pool": "workers" }));
    alert["alerts"][0]["annotations"] = json!({ "want_query": "vector(1)" });
    assert_eq!(program.post(&alert).await.0, 200, "Prometheus is asked for it in each pass");
    let shown = |server: &Scripted, header: &str| -> Vec<String> {
        server.asked().iter().map(|request| request.headers[header].clone()).collect()
    };
    let all = || {
        [
            shown(&alertmanager, "authorization"),
            shown(&alertmanager, "x-tenant"),
            shown(&prometheus, "authorization"),
        ]
    };
    let old = ["Bearer bearer-old", "tenant-old", "Basic YWRhOnBhc3N3b3JkLW9sZA=="];
    let new = ["Bearer bearer-new", "tenant-new", "Basic YWRhOnBhc3N3b3JkLW5ldw=="];
    let have = |texts: [&str; 3]| {
        all().iter().zip(texts).all(|(asked, text)| asked.iter().any(|shown| shown == text))
    };
    wait::until("both to be asked", || async { have(old) }).await;
    write(program.folder.path(), "new");
    program.hang_up();
    wait::until("both to be asked with the new", || async { have(new) }).await;
    program.passes(3).await;
    for (asked, (old, new)) in all().iter().zip(old.into_iter().zip(new)) {
        let first = asked.iter().position(|shown| shown == new).unwrap();
        assert!(asked[..first].iter().all(|shown| shown == old), "{asked:?}");
        assert!(asked[first..].iter().all(|shown| shown == new), "{asked:?}");
    }
}

/// On a real Alertmanager that asks for certificates: another one is refused, one of its own is good again, and half a
/// file changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificates_are_used_without_a_restart() {
    let (ours, stranger) = (Authority::new(), Authority::new());
    let routes = "route: { receiver: bellwether }\nreceivers: [{ name: bellwether }]";
    let Some(server) = ours.start_alertmanager("0.31", routes).await else { return };
    let (ca, client) = (ours.ca_file(), ours.client_file());
    let top = format!(
        "alertmanager: {{ urls: [\"{}\"], ca_file: {}, client_cert_file: {}, basic: {{ username: {}, password: {} }} }}",
        server.url,
        ca.display(),
        client.display(),
        authority::USER,
        authority::PASSWORD
    );
    let program = Program::start(&workers(9, &top)).await;
    let answered = async |share: f64, what: &str| {
        wait::until(what, || async {
            program.metric("bellwether_alertmanager_answered{cluster=\"one\"}").await == Some(share)
        })
        .await;
    };
    answered(1.0, "the first answer").await;
    stranger.write_client(&client);
    program.hang_up();
    answered(0.0, "a stranger's certificate to be refused").await;
    ours.write_client(&client);
    answered(1.0, "the renewed one, without SIGHUP").await;
    let whole = std::fs::read(&client).unwrap();
    std::fs::write(&client, &whole[..whole.len() / 2]).unwrap();
    program.stands("half a file", |standing| !standing["wrong"].is_null()).await;
    program.passes(3).await;
    answered(1.0, "the one in use").await;
}
