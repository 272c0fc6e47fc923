//! Being let in: users, passwords that change, certificates. No secret is ever told.

use super::{TTL, answers, away};
use crate::contract::store::{all, cluster, everything, signal};
use crate::support::authority::Authority;
use crate::support::{redis, wait};
use bellwether::model::Token;
use bellwether::store::{HistoryQuery, Store, Wake};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

const SECRET: &str = "hunter2-and-more";

/// What `docs/redis.md` says that a user needs.
fn rights() -> Vec<String> {
    let page = include_str!("../../../docs/redis.md");
    let line = page.lines().find(|line| line.starts_with("ACL SETUSER bellwether on >PASSWORD "));
    line.unwrap().split(' ').skip(5).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_redis_needs_no_more_than_the_page_says() {
    let Some(server) = redis::start(&[]).await else { return };
    let password = format!(">{SECRET}");
    let rights = rights();
    let mut words = vec!["ACL", "SETUSER", "bellwether", "on", password.as_str()];
    words.extend(rights.iter().map(String::as_str));
    let _: String = server.ask(&words);
    let _: String = server.ask(&["ACL", "SETUSER", "default", "off"]);
    let own = format!("username: bellwether, password: {SECRET}");
    let (one, two) = (server.store(&own), server.store(&own));
    assert_eq!(two.wake().await, Wake::Unknown);
    let claim = one.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    one.record_signals(&[signal("f", 1)]).await.unwrap();
    one.commit(&claim, &everything("1")).await.unwrap();
    one.renew(&claim, TTL).await.unwrap();
    one.ready().await.unwrap();
    one.load(&cluster()).await.unwrap();
    let query = HistoryQuery { limit: 9, before: None };
    assert_eq!(one.history(&cluster(), &query).await.unwrap().len(), 1);
    assert_eq!(one.signals(&cluster()).await.unwrap().len(), 1);
    let dump = one.dump(&cluster()).await.unwrap();
    one.restore(&"other".into(), &dump).await.unwrap();
    one.release(&claim).await.unwrap();
    let woken = tokio::time::timeout(wait::LIMIT, two.wake()).await;
    assert_eq!(woken.unwrap(), Wake::Recorded(cluster()));
    for wrong in [
        "username: bellwether, password: hunter2-wrong",
        "username: nobody, password: hunter2-wrong",
        "",
    ] {
        let why = away(server.store(wrong).now().await);
        assert!(why.contains("store.username and store.password_file"), "{why}");
        assert!(!why.contains("hunter2"), "{why}");
    }
}

/// A script is not undone when it is stopped half way, so all rights are asked first.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_user_may_not_do_is_told_and_nothing_is_half_written() {
    let Some(server) = redis::start(&[]).await else { return };
    let words = ["ACL", "SETUSER", "weak", "on", ">weak", "~{bw:*", "+@all", "-xadd"];
    let _: String = server.ask(&words);
    let store: Arc<dyn Store> = Arc::new(server.store("username: weak, password: weak"));
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    let before = all(&store).await;
    let why = away(store.commit(&claim, &everything("1")).await);
    assert!(why.contains("docs/redis.md says what store.username must be allowed"), "{why}");
    assert_eq!(all(&store).await, before);
    let _: String = server.ask(&["ACL", "SETUSER", "weak", "+xadd", "-set"]);
    away(store.record_signals(&[signal("f", 1)]).await);
    away(store.claim(&cluster(), "a", TTL, Token(0)).await);
    assert_eq!(all(&store).await, before);
    store.renew(&claim, TTL).await.expect("the claim that stood stands");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_renewed_without_a_restart() {
    let Some(mut server) = redis::start(&["--requirepass", "first"]).await else { return };
    let file = server.folder.path().join("password");
    let read = |password: &str| {
        std::fs::write(&file, format!("{password}\n")).unwrap();
        redis::config(&format!("url: \"{}\", password_file: \"{}\"", server.url(), file.display()))
    };
    let (config, watched) = watch::channel(read("first"));
    let renewed = read("second");
    let store = redis::open(&watched, redis::RETENTION);
    store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    server.kill();
    server.change("first", "second");
    server.restart().await;
    wait::until("the old password to be refused", || async {
        away(store.now().await).contains("refuses the user or the password")
    })
    .await;
    config.send_replace(renewed);
    answers(&store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_is_spoken_to_over_tls_with_certificates_of_both_sides() {
    let (ours, others) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    ours.write_pair(folder.path());
    let ca = ours.ca_file().display().to_string();
    let arguments = [
        ["--port", "0"],
        ["--tls-port", "PORT"],
        ["--tls-cert-file", "server.pem"],
        ["--tls-key-file", "server.key"],
        ["--tls-ca-cert-file", &ca],
        ["--tls-auth-clients", "yes"],
    ];
    let Some(server) = redis::start_in(folder, arguments.as_flattened(), None).await else {
        return;
    };
    let url = format!("rediss://localhost:{}", server.port);
    let at = |ca: &Path, own: &Path| {
        let (ca, own) = (ca.display(), own.display());
        redis::store(&format!("url: \"{url}\", ca_file: \"{ca}\", client_cert_file: \"{own}\""))
    };
    let store: Arc<dyn Store> = Arc::new(at(&ours.ca_file(), &ours.client_file()));
    let claim = store.claim(&cluster(), "a", TTL, Token(0)).await.unwrap();
    store.commit(&claim, &everything("1")).await.unwrap();
    assert_eq!(store.wake().await, Wake::Unknown, "wakes come over it too");
    // A client of TLS for others in the same process: both of rustls's back ends are there, one is chosen.
    drop(reqwest::Client::builder().build().unwrap());
    let why = away(at(&others.ca_file(), &ours.client_file()).now().await);
    assert!(why.contains("store.ca_file"), "{why}");
    away(at(&ours.ca_file(), &others.client_file()).now().await);
    let plain = redis::store(&format!("url: \"redis://localhost:{}\", timeout: 1s", server.port));
    away(plain.now().await);
}
