//! How services are reached, against a server that says what it is told to, and one that speaks real TLS.

use crate::support::alertmanager::VERSIONS;
use crate::support::authority::{self, Authority};
use crate::support::scripted::{Answer, Request, Scripted};
use bellwether::config::{Credentials, Endpoint, PemFile, Secret};
use bellwether::wire::{Error, Peer, Peers};
use reqwest::Method;
use serde_json::Value;
use std::time::{Duration, Instant};

const ROUTES: &str = "route: { receiver: humans }\nreceivers: [{ name: humans }]";

fn endpoint(url: &str) -> Endpoint {
    Endpoint { urls: vec![url.to_owned()], ..Endpoint::default() }
}

async fn peer(endpoint: &Endpoint) -> Peer {
    Peers::new(endpoint.clone()).get().await.remove(0).unwrap()
}

async fn get(endpoint: &Endpoint) -> Result<Value, Error> {
    peer(endpoint).await.get("api/v2/status", &[("a", "b c")]).await
}

async fn answer_of(answer: Answer) -> Result<Value, Error> {
    get(&endpoint(&Scripted::always(answer).await.url)).await
}

fn pem(path: std::path::PathBuf) -> PemFile {
    let text = Secret::new(std::fs::read_to_string(&path).unwrap());
    PemFile { path, text }
}

fn ok() -> Answer {
    Answer::Whole(200, "{}".to_owned())
}

/// What a server was asked by a client like this.
async fn asked(make: impl FnOnce(Endpoint) -> Endpoint) -> Request {
    let server = Scripted::always(ok()).await;
    get(&make(endpoint(&server.url))).await.unwrap();
    server.asked().remove(0)
}

#[tokio::test]
async fn a_path_prefix_stays_before_every_path() {
    for prefix in ["", "/", "/am", "/a/b/"] {
        let request = asked(|e| endpoint(&format!("{}{prefix}", e.urls[0]))).await;
        let expected = format!("{}/api/v2/status?a=b+c", prefix.trim_end_matches('/'));
        assert_eq!((request.method.as_str(), request.target), ("GET", expected));
    }
}

#[tokio::test]
async fn credentials_and_headers_are_sent() {
    let bearer = asked(|e| Endpoint {
        credentials: Some(Credentials::Bearer(Secret::new("t0ken"))),
        headers: [("X-Scope-OrgID".to_owned(), Secret::new("tenant"))].into(),
        ..e
    })
    .await;
    assert_eq!(bearer.headers["authorization"], "Bearer t0ken");
    assert_eq!(bearer.headers["x-scope-orgid"], "tenant");
    let basic = asked(|e| Endpoint {
        credentials: Some(Credentials::Basic {
            username: "ada".to_owned(),
            password: Secret::new("hunter2"),
        }),
        ..e
    })
    .await;
    assert_eq!(basic.headers["authorization"], "Basic YWRhOmh1bnRlcjI=");
    let none = asked(|e| e).await;
    assert!(!none.headers.contains_key("authorization"));
}

#[tokio::test]
async fn every_address_of_a_name_is_a_peer_and_asked_under_its_name() {
    let server = Scripted::always(ok()).await;
    let port = server.url.rsplit_once(':').unwrap().1;
    let url = format!("http://localhost:{port}");
    let addresses = tokio::net::lookup_host(format!("localhost:{port}")).await.unwrap();
    let addresses: std::collections::BTreeSet<_> = addresses.collect();
    let peers = Peers::new(endpoint(&url)).get().await;
    assert_eq!(peers.len(), addresses.len());
    for peer in peers {
        // The server listens on one family only; the other one may refuse.
        let _ = peer.unwrap().get::<Value>("x", &[]).await;
    }
    assert_eq!(server.asked()[0].headers["host"], format!("localhost:{port}"));
}

#[tokio::test]
async fn an_address_that_cannot_be_a_peer_is_named_and_the_others_are_asked() {
    let server = Scripted::always(ok()).await;
    let urls = ["http://nobody.invalid:1", &server.url, "nonsense"].map(str::to_owned);
    let peers = Peers::new(Endpoint { urls: urls.to_vec(), ..Endpoint::default() }).get().await;
    assert_eq!(peers.len(), 3);
    let (url, error) = peers[0].as_ref().unwrap_err();
    assert_eq!(url, "http://nobody.invalid:1");
    assert!(matches!(error, Error::Away(_)), "{error}");
    assert!(matches!(peers[2].as_ref().unwrap_err().1, Error::Config(_)));
    assert_eq!(peers[1].as_ref().unwrap().name, server.url);
}

#[tokio::test]
async fn a_server_that_is_silent_is_given_up_at_the_limit() {
    let server = Scripted::always(Answer::Silence).await;
    let begin = Instant::now();
    let limit = Duration::from_millis(200);
    let answer = get(&Endpoint { timeout: limit, ..endpoint(&server.url) }).await;
    assert_eq!(answer, Err(Error::Away("timed out".to_owned())));
    assert!(begin.elapsed() >= limit && begin.elapsed() < limit * 20);
}

#[tokio::test]
async fn half_an_answer_is_none() {
    assert!(matches!(answer_of(Answer::Half).await, Err(Error::Away(_))));
}

#[tokio::test]
async fn nobody_there_is_told_as_such() {
    let gone = Scripted::always(ok()).await.url.clone();
    assert!(matches!(get(&endpoint(&gone)).await, Err(Error::Away(_))));
}

#[tokio::test]
async fn a_redirect_is_refused_and_its_target_never_asked() {
    let target = Scripted::always(ok()).await;
    let answer = answer_of(Answer::Redirect(target.url.clone())).await;
    assert_eq!(answer, Err(Error::Status { code: 302, said: String::new() }));
    assert_eq!(target.asked().len(), 0);
}

#[tokio::test]
async fn a_refusal_tells_why_where_it_is_json_and_never_a_page() {
    for (body, said) in [
        (r#"{"status":"error","errorType":"bad_data","error":"parse error"}"#, "parse error"),
        (r#"{"code":612,"message":"no matchers"}"#, "no matchers"),
        (r#""bad regexp""#, "bad regexp"),
        ("<html>secret page</html>", ""),
        ("", ""),
    ] {
        let answer = answer_of(Answer::Whole(422, body.to_owned())).await;
        assert_eq!(answer, Err(Error::Status { code: 422, said: said.to_owned() }), "{body}");
    }
    let long = format!("{{\"error\":\"{}\"}}", "x".repeat(10_000));
    let Err(Error::Status { said, .. }) = answer_of(Answer::Whole(500, long)).await else {
        panic!("no refusal")
    };
    assert_eq!(said.len(), 300);
}

#[tokio::test]
async fn a_page_instead_of_json_is_unreadable() {
    let answer = answer_of(Answer::Whole(200, "<html>please log in</html>".to_owned())).await;
    let Err(Error::Unreadable(why)) = answer else { panic!("{answer:?}") };
    assert!(!why.contains("log in"), "{why}");
}

#[tokio::test]
async fn a_body_without_end_is_cut_off_at_32_mib() {
    let answer = answer_of(Answer::Endless(40 << 20)).await;
    assert!(matches!(answer, Err(Error::Unreadable(why)) if why.contains("33554432")));
    let fits = answer_of(Answer::Endless(31 << 20)).await;
    assert!(matches!(fits, Err(Error::Unreadable(why)) if why.contains("EOF")));
}

/// I10: no secret in any error or `Debug`.
#[tokio::test]
async fn no_secret_shows_in_an_error_or_in_debug() {
    let server = Scripted::always(Answer::Whole(401, "denied".to_owned())).await;
    for credentials in [
        Credentials::Bearer(Secret::new("hunter2")),
        Credentials::Basic { username: "ada".to_owned(), password: Secret::new("hunter2") },
    ] {
        let config = Endpoint {
            credentials: Some(credentials),
            headers: [("X-Key".to_owned(), Secret::new("hunter2"))].into(),
            ..endpoint(&server.url)
        };
        let peers = Peers::new(config);
        let peer = peers.get().await.remove(0).unwrap();
        let error = peer.get::<Value>("x", &[]).await.unwrap_err();
        let request = peer.request(Method::GET, "x").unwrap();
        let shown = format!("{peers:?} {peer:?} {error:?} {error} {request:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVyMg"), "{shown}");
        assert!(!shown.contains("YWRhOmh1bnRlcjI"), "{shown}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_used_is_not_quoted() {
    let text = Secret::new("-----BEGIN PRIVATE KEY-----\nhunter2\n");
    let file = PemFile { path: "/client.pem".into(), text };
    let config = Endpoint { client_cert_file: Some(file), ..endpoint("http://127.0.0.1:1") };
    let (_, error) = Peers::new(config).get().await.remove(0).unwrap_err();
    let Error::Config(why) = error else { panic!("{error}") };
    assert!(why.contains("/client.pem") && !why.contains("hunter2"), "{why}");
}

/// On the real server: TLS is verified against the given authority, a client certificate and a password are shown.
#[tokio::test(flavor = "multi_thread")]
async fn tls_is_verified_and_certificates_are_shown() {
    bellwether::wire::install_crypto();
    let (ours, stranger) = (Authority::new(), Authority::new());
    for version in VERSIONS {
        let Some(server) = ours.start_alertmanager(version, ROUTES).await else { return };
        let whole = Endpoint {
            credentials: Some(Credentials::Basic {
                username: authority::USER.to_owned(),
                password: Secret::new(authority::PASSWORD),
            }),
            ca_file: Some(pem(ours.ca_file())),
            client_cert_file: Some(pem(ours.client_file())),
            ..endpoint(&server.url)
        };
        assert_eq!(get(&whole).await.map(|_| ()), Ok(()));
        let lacking = [
            Endpoint { ca_file: None, ..whole.clone() },
            Endpoint { ca_file: Some(pem(stranger.ca_file())), ..whole.clone() },
            Endpoint { client_cert_file: None, ..whole.clone() },
            Endpoint { client_cert_file: Some(pem(stranger.client_file())), ..whole.clone() },
        ];
        for lacking in lacking {
            let config = format!("{lacking:?}");
            // Without any authority of the system's, not even a client can be made.
            let [peer] = &Peers::new(lacking).get().await[..] else { panic!("one address") };
            let answer = match peer {
                Ok(peer) => peer.get::<Value>("api/v2/status", &[]).await,
                Err((_, error)) => Err(error.clone()),
            };
            assert!(
                matches!(answer, Err(Error::Away(_) | Error::Config(_))),
                "{config}: {answer:?}"
            );
        }
        let wrong = Endpoint { credentials: None, ..whole.clone() };
        assert!(matches!(get(&wrong).await, Err(Error::Status { code: 401, .. })));
    }
}
