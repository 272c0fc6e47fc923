//! The HTTP server, on real sockets.

use crate::support::inlet::{Inlet, Reply, delivery, read, request};
use bellwether::config::{Role, Secret, Standing};
use bellwether::http::{self, Limits};
use bellwether::model::{Ask, ClusterName, Source};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const TOKENS: [(Role, &str); 3] =
    [(Role::Webhook, "hook"), (Role::Viewer, "view"), (Role::Operator, "operate")];

const READS: [&str; 10] = [
    "/v1/status",
    "/v1/pools",
    "/v1/workers",
    "/v1/nodes",
    "/v1/signals",
    "/v1/decisions",
    "/v1/plan",
    "/v1/history",
    "/v1/config",
    "/",
];

/// Deadlines short enough to be waited for.
fn hasty() -> Limits {
    Limits {
        head: Duration::from_millis(200),
        body: Duration::from_millis(200),
        drain: Duration::from_millis(500),
        ..Limits::default()
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}"));
}

/// F-135, W-16: `/alerts` with the query strings that existing Alertmanagers carry.
#[tokio::test]
async fn a_delivery_is_stored_before_it_is_answered_and_wakes_its_cluster() {
    for path in ["/v1/alerts", "/alerts", "/alerts?severity=critical", "/alerts?severity=warning"] {
        let inlet = Inlet::start();
        let reply = inlet.post(path, &delivery(&json!({"step": "2"}))).await;
        assert_eq!(
            (reply.status, reply.json()),
            (200, json!({"accepted": 1, "ignored": 0, "refused": 0}))
        );
        let [signal] = <[_; 1]>::try_from(inlet.signals().await).unwrap();
        assert_eq!(signal.ask, Ask::Up { step: Some(2), want_query: None });
        assert_eq!(
            inlet.woken.lock().unwrap().iter().map(ClusterName::as_str).collect::<Vec<_>>(),
            ["one"]
        );
        assert!(reply.head.contains("x-request-id: "), "{}", reply.head);
    }
}

#[tokio::test]
async fn repeated_deliveries_are_one_signal() {
    let inlet = Inlet::start();
    let mut body = delivery(&json!({}));
    body["alerts"] = json!([body["alerts"][0], body["alerts"][0]]);
    for _ in 0..3 {
        assert_eq!(inlet.post("/v1/alerts", &body).await.json()["accepted"], 2);
    }
    assert_eq!(inlet.signals().await.len(), 1);
}

#[tokio::test]
async fn what_is_refused_is_said_and_spoils_no_other() {
    let inlet = Inlet::start();
    let mut body = delivery(&json!({}));
    for labels in [json!({"cluster": "three"}), json!({"pool": "x"}), json!({"autoscale": "no"})] {
        let alert = delivery(&labels)["alerts"][0].clone();
        body["alerts"].as_array_mut().unwrap().push(alert);
    }
    body["truncatedAlerts"] = json!(7);
    let reply = inlet.post("/v1/alerts", &body).await;
    let counts = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!(
        [&counts["accepted"], &counts["ignored"], &counts["refused"], &counts["truncated"]],
        [1, 1, 2, 7]
    );
    assert_eq!(counts["reasons"][0]["code"], "unknown_cluster");
    let counted = inlet.get("/metrics").await.body;
    for outcome in
        ["accepted\"} 1", "other_autoscale_label\"} 1", "unknown_pool\"} 1", "truncated\"} 7"]
    {
        let line = format!("bellwether_http_alerts_total{{outcome=\"{outcome}");
        assert!(counted.contains(&line), "{line}\n{counted}");
    }
    let none = inlet.post("/v1/alerts", &delivery(&json!({"autoscale": "no"}))).await;
    assert_eq!((none.status, none.json()["ignored"].clone()), (200, json!(1)));
    assert_eq!(inlet.woken.lock().unwrap().len(), 1, "nothing stored, nobody woken");
}

#[tokio::test]
async fn bodies_that_no_retry_can_mend_are_400() {
    let inlet = Inlet::start();
    let json = "Content-Type: application/json; charset=utf-8\r\n";
    for (body, code) in [
        ("", "invalid"),
        ("{", "invalid"),
        ("[]", "invalid"),
        ("{}", "invalid"),
        (r#"{"alerts":[],"orgId":1,"version":"1"}"#, "grafana"),
    ] {
        let reply = inlet.send("POST", "/v1/alerts", json, body.as_bytes()).await;
        assert_eq!(reply.error(), (400, code.to_owned()), "{body}");
    }
    let deep = "[".repeat(1_000_000);
    assert_eq!(inlet.send("POST", "/v1/alerts", json, deep.as_bytes()).await.status, 400);
    assert_eq!(inlet.send("POST", "/v1/alerts", "", b"{\"alerts\":[]}").await.status, 200);
    assert!(inlet.signals().await.is_empty());
}

#[tokio::test]
async fn what_is_no_json_by_its_headers_is_415() {
    let inlet = Inlet::start();
    for headers in [
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
        "Content-Type: application/json\r\nContent-Encoding: gzip\r\n",
    ] {
        let reply = inlet.send("POST", "/v1/alerts", headers, b"{\"alerts\":[]}").await;
        assert_eq!(reply.error(), (415, "not_json".to_owned()), "{headers}");
    }
    // A page in a browser can send a body without a type, but none that asks for machines.
    let reply = inlet.send("POST", "/v1/pools/gpu/scale", "", b"{\"by\":1}").await;
    assert_eq!(reply.status, 415);
    assert!(inlet.signals().await.is_empty());
}

#[tokio::test]
async fn eleven_megabytes_are_413_announced_or_not() {
    let inlet = Inlet::start();
    let body = vec![b' '; 11 * 1024 * 1024];
    let reply = inlet.send("POST", "/v1/alerts", "", &body).await;
    assert_eq!(reply.error(), (413, "too_large".to_owned()));
    let mut chunked = b"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    // Long enough that what is not read would not fit between us.
    for part in [body.as_slice(), body.as_slice()].concat().chunks(1024 * 1024) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(inlet.exchange(&chunked).await.status, 413);
    let fits = [vec![b' '; 9 * 1024 * 1024], b"{\"alerts\":[]}".to_vec()].concat();
    assert_eq!(inlet.send("POST", "/v1/alerts", "", &fits).await.status, 200);
}

#[tokio::test]
async fn a_slow_body_is_408_and_a_slow_head_is_cut_off() {
    let inlet = Inlet::start_with(hasty(), &[]);
    let whole = request("POST", "/v1/alerts", "", b"0123456789");
    let reply = inlet.exchange(&whole[..whole.len() - 5]).await;
    assert_eq!(reply.error(), (408, "too_slow".to_owned()));
    let reply = inlet.exchange(b"POST /v1/alerts HTTP/1.1\r\nHost").await;
    assert_ne!(reply.status, 200, "the connection ended in time, without success");
    let reply = inlet.exchange(b"").await;
    assert_eq!(reply.body, "", "an idle connection ends too");
}

#[tokio::test]
async fn garbage_and_callers_that_hang_up_harm_nobody() {
    let inlet = Inlet::start();
    let good = request("POST", "/v1/alerts", "", delivery(&json!({})).to_string().as_bytes());
    let keep = String::from_utf8(good.clone()).unwrap().replace("Connection: close\r\n", "");
    let reply = inlet.exchange(&[keep.as_bytes(), b"\x00\xff garbage\r\n\r\n"].concat()).await;
    assert_eq!(reply.status, 200, "the first of the two is whole");
    assert_eq!(inlet.exchange(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").await.status, 400);
    for cut in [1, 20, good.len() - 10] {
        let mut stream = TcpStream::connect(inlet.address).await.unwrap();
        stream.write_all(&good[..cut]).await.unwrap();
        drop(stream);
    }
    assert_eq!(inlet.exchange(&good).await.status, 200);
    assert_eq!(inlet.signals().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_at_once_are_all_answered() {
    let inlet = Arc::new(Inlet::start());
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..1000 {
        let inlet = inlet.clone();
        callers.spawn(async move {
            inlet.post("/v1/alerts", &delivery(&json!({"n": number.to_string()}))).await.status
        });
    }
    assert!(callers.join_all().await.iter().all(|status| *status == 200));
    assert_eq!(inlet.signals().await.len(), 1000);
}

#[tokio::test]
async fn more_connections_than_slots_wait_and_are_served() {
    let inlet = Inlet::start_with(Limits { connections: 1, ..hasty() }, &[]);
    let _idle = TcpStream::connect(inlet.address).await.unwrap();
    assert_eq!(inlet.get("/healthz").await.status, 200, "once the idle one is cut off");
}

#[tokio::test]
async fn a_store_that_is_away_is_503_until_it_is_back() {
    let inlet = Inlet::start();
    inlet.line.cut.store(true, Ordering::SeqCst);
    let scale = json!({"by": 1});
    for (path, body) in [
        ("/v1/alerts", &delivery(&json!({}))),
        ("/v1/pools/gpu/scale", &scale),
        ("/v1/reconcile", &json!({})),
        ("/v1/resume", &json!({"what": "predictions"})),
    ] {
        let reply = inlet.post(path, body).await;
        assert_eq!(reply.error(), (503, "store_away".to_owned()), "{path}");
        assert!(reply.head.contains("retry-after: 5"));
    }
    assert_eq!(inlet.get("/v1/history").await.status, 503);
    assert_eq!(inlet.get("/healthz").await.status, 200);
    assert!(inlet.woken.lock().unwrap().is_empty());
    inlet.line.cut.store(false, Ordering::SeqCst);
    assert_eq!(inlet.post("/v1/alerts", &delivery(&json!({}))).await.status, 200);
}

#[tokio::test]
async fn stopping_refuses_new_work_finishes_what_runs_and_ends() {
    let inlet = Inlet::start();
    let whole = request("POST", "/v1/alerts", "", delivery(&json!({})).to_string().as_bytes());
    let (first, rest) = whole.split_at(40);
    // One whose handler already waits for its body, one that has only begun.
    let mut running = TcpStream::connect(inlet.address).await.unwrap();
    running.write_all(b"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 13\r\n\r\n").await.unwrap();
    let mut continued = [0; 25];
    running.read_exact(&mut continued).await.unwrap();
    assert!(continued.starts_with(b"HTTP/1.1 100 Continue"));
    let mut begun = TcpStream::connect(inlet.address).await.unwrap();
    begun.write_all(first).await.unwrap();
    assert_eq!(inlet.get("/readyz").await.status, 200, "so both are accepted by now");
    inlet.stop.cancel();
    until("not ready", async || !inlet.readiness.missing().is_empty()).await;
    begun.write_all(rest).await.unwrap();
    let reply = read(&mut begun).await;
    assert!(reply.status == 503 || reply.status == 0, "refused or closed, never taken: {reply:?}");
    running.write_all(b"{\"alerts\":[]}").await.unwrap();
    assert_eq!(read(&mut running).await.status, 200);
    inlet.task.await.unwrap().unwrap();
    assert!(TcpStream::connect(inlet.address).await.is_err());
}

#[tokio::test]
async fn what_hangs_is_cut_off_when_the_drain_is_over() {
    let limits = Limits { head: Duration::from_mins(1), body: Duration::from_mins(1), ..hasty() };
    let inlet = Inlet::start_with(limits, &[]);
    let mut stream = TcpStream::connect(inlet.address).await.unwrap();
    stream
        .write_all(b"POST /v1/alerts HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
        .await
        .unwrap();
    assert_eq!(inlet.get("/healthz").await.status, 200);
    inlet.stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), inlet.task)
        .await
        .expect("ends")
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn unknown_paths_are_404_and_other_methods_405_with_allow() {
    let inlet = Inlet::start();
    for path in ["/nothing", "/v1/alerts/", "/v1/pools/x/y/scale", "/v2/alerts"] {
        assert_eq!(inlet.get(path).await.error(), (404, "not_found".to_owned()), "{path}");
    }
    for (method, path, allow) in [
        ("GET", "/v1/alerts", "allow: post"),
        ("PUT", "/alerts", "allow: post"),
        ("GET", "/v1/pools/workers/scale", "allow: post"),
        ("POST", "/v1/status", "allow: get, head"),
        ("OPTIONS", "/metrics", "allow: get, head"),
        ("DELETE", "/v1/history", "allow: get, head"),
    ] {
        let reply = inlet.send(method, path, "", b"").await;
        assert_eq!(reply.error(), (405, "method_not_allowed".to_owned()), "{method} {path}");
        assert!(reply.head.contains(allow), "{}", reply.head);
    }
    assert_eq!(inlet.send("HEAD", "/v1/status", "", b"").await.status, 200);
}

#[tokio::test]
async fn each_role_may_do_what_it_is_for() {
    let inlet = Inlet::start_with(Limits::default(), &TOKENS);
    let up = delivery(&json!({})).to_string();
    let mut rows = vec![
        ("POST", "/v1/alerts", up.as_str(), [200, 403, 403]),
        ("POST", "/alerts", &up, [200, 403, 403]),
        ("POST", "/v1/pools/gpu/scale", r#"{"by":1}"#, [403, 403, 202]),
        ("POST", "/scale", r#"{"action":"scale_up","pool":"gpu"}"#, [403, 403, 202]),
        ("POST", "/v1/reconcile", "", [403, 403, 202]),
        ("POST", "/v1/resume", r#"{"what":"predictions"}"#, [403, 403, 202]),
        ("POST", "/cycle", "", [403, 403, 202]),
        ("POST", "/stop", "", [403, 403, 410]),
        ("GET", "/metrics", "", [200, 200, 200]),
    ];
    rows.extend(READS.iter().map(|path| ("GET", *path, "", [403, 200, 200])));
    for (method, path, body, statuses) in rows {
        for ((_, token), status) in TOKENS.iter().zip(statuses) {
            let headers =
                format!("Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n");
            let reply = inlet.send(method, path, &headers, body.as_bytes()).await;
            assert_eq!(reply.status, status, "{token} {method} {path}");
        }
        for headers in ["", "Authorization: Bearer wrong\r\n"] {
            let reply = inlet.send(method, path, headers, body.as_bytes()).await;
            assert_eq!(reply.error(), (401, "unauthorized".to_owned()), "{method} {path}");
            assert!(reply.head.contains("www-authenticate: bearer"));
        }
    }
    for open in ["/healthz", "/readyz", "/health"] {
        assert_eq!(inlet.get(open).await.status, 200, "{open}");
    }
}

#[tokio::test]
async fn without_a_token_only_loopback_is_served() {
    let inlet = Inlet::start();
    let listener = http::bind(([0, 0, 0, 0], 0).into()).unwrap();
    let metrics = Arc::clone(&inlet.metrics);
    let state = http::State {
        store: inlet.line.clone(),
        metrics,
        config: inlet.config.subscribe(),
        standing: tokio::sync::watch::channel(Standing::started(jiff::Timestamp::UNIX_EPOCH)).1,
        handle: http::Handle {
            wake: Box::new(|_| ()),
            report: Box::new(|_| None),
            explain: Box::new(|_, _| None),
        },
        readiness: inlet.readiness.clone(),
        limits: Limits::default(),
    };
    let serving = http::serve(listener, state, inlet.stop.clone());
    let refused = tokio::time::timeout(Duration::from_secs(5), serving).await.expect("at once");
    assert!(matches!(refused, Err(http::Error::Open(_))), "{refused:?}");
}

#[tokio::test]
async fn tokens_hold_from_the_moment_of_a_reload() {
    let inlet = Inlet::start();
    assert_eq!(inlet.get("/v1/status").await.status, 200);
    inlet.config.send_modify(|config| {
        let mut changed = config.as_ref().clone();
        changed.service.auth.tokens.push((Role::Viewer, Secret::new("new")));
        *config = Arc::new(changed);
    });
    assert_eq!(inlet.get("/v1/status").await.status, 401);
    let known = inlet.send("GET", "/v1/status", "Authorization: bearer new\r\n", b"").await;
    assert_eq!(known.status, 200);
}

/// W-16, A-48: nothing is stored, and the answer names the field, the value and the mend.
#[tokio::test]
async fn w_16_a_48_counts_of_zero_negative_or_huge_are_refused() {
    let inlet = Inlet::start();
    let scale = |by: Value| ("/v1/pools/gpu/scale", json!({"by": by}), "by");
    let older = |count: Value| {
        ("/scale", json!({"action": "scale_down", "count": count, "pool": "gpu"}), "count")
    };
    for (path, body, field) in [
        scale(json!(0)),
        scale(json!(101)),
        scale(json!(-101)),
        scale(json!(1.5)),
        scale(json!("2")),
        scale(json!(u64::MAX)),
        scale(json!(i64::MIN)),
        scale(json!(null)),
        ("/v1/pools/gpu/scale", json!({}), "by"),
        older(json!(0)),
        older(json!(-1)),
        older(json!(101)),
        older(json!(1e99)),
        ("/scale", json!({"action": "up", "count": 1}), "action"),
        ("/scale", json!({"count": 1}), "action"),
        ("/v1/pools/gpu/scale", json!({"by": 1, "reason": 7}), "reason"),
        ("/v1/pools/gpu/scale", json!({"by": 1, "dry_run": true}), "body"),
    ] {
        let reply = inlet.post(path, &body).await;
        let error = reply.json()["error"].clone();
        assert_eq!((reply.status, &error["field"]), (400, &json!(field)), "{path} {body}: {error}");
        assert!(error["value"].is_string() && error["mend"].is_string(), "{error}");
    }
    assert!(inlet.signals().await.is_empty());
    assert!(inlet.woken.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_pool_must_be_known_and_meant_by_one_cluster_only() {
    let inlet = Inlet::start();
    for (path, body, status, field) in [
        ("/v1/pools/nothing/scale", json!({"by": 1}), 404, "pool"),
        ("/v1/pools/gpu/scale", json!({"by": 1, "cluster": "one"}), 404, "pool"),
        ("/v1/pools/gpu/scale", json!({"by": 1, "cluster": "three"}), 404, "cluster"),
        ("/v1/pools/workers/scale", json!({"by": 1}), 400, "cluster"),
        ("/scale", json!({"action": "scale_up", "cluster": "two"}), 400, "pool"),
        ("/v1/reconcile", json!({"cluster": "three"}), 404, "cluster"),
        ("/v1/resume", json!({"cluster": "three", "what": "predictions"}), 404, "cluster"),
        ("/v1/resume", json!({"what": "everything"}), 400, "what"),
        ("/v1/resume", json!({}), 400, "what"),
    ] {
        let reply = inlet.post(path, &body).await;
        assert_eq!(
            (reply.status, &reply.json()["error"]["field"]),
            (status, &json!(field)),
            "{path} {body}"
        );
    }
    assert!(inlet.signals().await.is_empty());
}

/// F-131, F-132, F-133, F-134
#[tokio::test]
async fn wishes_become_signals() {
    let by = |inlet: &Inlet, reply: Reply| {
        assert_eq!(reply.status, 202, "{reply:?}");
        let id = reply.json()["signals"][0]["id"].as_str().unwrap().to_owned();
        assert!(!inlet.woken.lock().unwrap().is_empty());
        id
    };
    for (path, body, ask) in [
        ("/v1/pools/gpu/scale", json!({"by": -2, "reason": "night"}), Ask::Scale { by: -2 }),
        ("/v1/pools/workers/scale", json!({"by": 100, "cluster": "one"}), Ask::Scale { by: 100 }),
        (
            "/scale",
            json!({"action": "scale_down", "count": 3, "cluster": "one"}),
            Ask::Scale { by: -3 },
        ),
        ("/scale", json!({"action": "scale_up", "pool": "gpu"}), Ask::Scale { by: 1 }),
        ("/v1/reconcile", json!({"cluster": "two"}), Ask::Reconcile),
        (
            "/v1/resume",
            json!({"cluster": "two", "what": "predictions", "reason": "a bad day"}),
            Ask::Foresee,
        ),
    ] {
        let inlet = Inlet::start();
        let reply = inlet.post(path, &body).await;
        let id = by(&inlet, reply);
        let [signal] = <[_; 1]>::try_from(inlet.signals().await).unwrap();
        assert_eq!((signal.ask, signal.id.as_str()), (ask, id.as_str()));
        assert_eq!(signal.source, Source::Manual { who: "local".to_owned() });
        assert_eq!(signal.summary, body["reason"].as_str().unwrap_or_default());
    }
    for path in
        ["/v1/reconcile", "/cycle", "/reconciliation/trigger", "/cleanup", "/cleanup/orphaned"]
    {
        let inlet = Inlet::start();
        let reply = inlet.send("POST", path, "", b"").await;
        assert_eq!(reply.json()["signals"].as_array().unwrap().len(), 2, "one for each cluster");
        assert!(inlet.signals().await.iter().all(|signal| signal.ask == Ask::Reconcile));
    }
    let inlet = Inlet::start();
    assert_eq!(inlet.send("POST", "/stop", "", b"").await.error(), (410, "gone".to_owned()));
}

/// F-130, F-133, F-134
#[tokio::test]
async fn reads_show_the_last_pass_of_every_cluster_or_of_one() {
    let inlet = Inlet::start();
    for (path, section) in [
        ("/v1/pools", "pools"),
        ("/v1/workers", "workers"),
        ("/v1/nodes", "nodes"),
        ("/v1/signals", "signals"),
        ("/v1/decisions", "decisions"),
        ("/v1/plan", "plan"),
        ("/v1/status", "status"),
        ("/workers", "workers"),
        ("/nodes/metrics", "nodes"),
        ("/status", "status"),
        ("/reconciliation/status", "status"),
    ] {
        let shown = inlet.get(path).await.json();
        assert_eq!(shown["clusters"]["one"]["pass"], "p1", "{path}");
        assert!(!shown["clusters"]["one"][section].is_null(), "{path}");
        assert_eq!(shown["clusters"]["two"], Value::Null, "no pass yet is not an empty list");
    }
    let one = inlet.get("/v1/pools?cluster=one").await.json();
    assert_eq!(one["clusters"].as_object().unwrap().len(), 1);
    assert_eq!(inlet.get("/v1/pools?cluster=x").await.error(), (404, "not_found".to_owned()));
    assert_eq!(inlet.get("/v1/history?limit=1000&before=7").await.status, 200);
    for wrong in ["limit=0", "limit=1001", "limit=x", "before=-1"] {
        assert_eq!(inlet.get(&format!("/v1/history?{wrong}")).await.status, 400, "{wrong}");
    }
    assert_eq!(inlet.get("/history").await.json()["clusters"]["two"]["history"], json!([]));
    assert_eq!(inlet.get("/config").await.json()["clusters"]["one"]["pools"]["workers"]["max"], 10);
    assert!(inlet.get("/rules").await.body.contains("/api/v1/rules"));
    assert!(inlet.get("/").await.body.contains("/v1/alerts"));
}

#[tokio::test]
async fn no_answer_holds_a_token() {
    let inlet = Inlet::start_with(Limits::default(), &[(Role::Operator, "hunter2-operate")]);
    for path in READS.iter().chain(&["/metrics", "/nothing"]) {
        let reply = inlet.send("GET", path, "Authorization: Bearer hunter2-operate\r\n", b"").await;
        assert!(!format!("{reply:?}").contains("hunter2"), "{path}");
    }
}

#[tokio::test]
async fn ready_says_what_is_missing() {
    let inlet = Inlet::start();
    let pending = inlet.readiness.pending("store");
    for path in ["/readyz", "/health"] {
        let reply = inlet.get(path).await;
        assert_eq!((reply.status, reply.json()["missing"].clone()), (503, json!(["store"])));
    }
    assert_eq!(inlet.get("/healthz").await.status, 200);
    drop(pending);
    assert_eq!(inlet.get("/readyz").await.status, 200);
}
