//! Whatever callers send, and however they send it, the server answers what a retry can use and goes on.

use crate::support::inlet::{Inlet, Reply, delivery, read, request};
use crate::support::stage::{Setting, Stage};
use bellwether::http::Limits;
use bellwether::model::{Ask, Signal, Source};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A deadline short enough to be waited for, and what a caller may take until it is cut off.
const DEADLINE: Duration = Duration::from_millis(300);
const CUT_OFF: Duration = Duration::from_secs(5);

const TYPED: &str = "Content-Type: application/json\r\n";

fn hasty() -> Limits {
    Limits { head: DEADLINE, body: DEADLINE, ..Limits::default() }
}

/// What an alert's signal keeps of its start and labels.
fn kept(signal: &Signal) -> (Timestamp, &std::collections::BTreeMap<String, String>) {
    match &signal.source {
        Source::Alert { starts_at, labels, .. } => (*starts_at, labels),
        Source::Manual { .. } => panic!("no alert's signal: {signal:?}"),
    }
}

/// Sends some bytes at once and the rest one by one, until the other side has enough; what it says.
async fn drip(inlet: &Inlet, at_once: &[u8], slowly: &[u8]) -> Reply {
    let mut stream = TcpStream::connect(inlet.address).await.unwrap();
    stream.write_all(at_once).await.unwrap();
    let mut pace = tokio::time::interval(DEADLINE / 10);
    for byte in slowly {
        pace.tick().await;
        let sent = stream.write_all(&[*byte]).await;
        let mut any = [0; 1];
        let answered = tokio::time::timeout(Duration::from_millis(1), stream.peek(&mut any));
        if sent.is_err() || answered.await.is_ok() {
            break;
        }
    }
    read(&mut stream).await
}

/// Each byte comes in time, and the whole does not.
#[tokio::test]
async fn a_caller_that_drips_is_cut_off_as_one_that_is_silent() {
    let inlet = Inlet::start_with(hasty(), &[]);
    let whole = request("POST", "/v1/alerts", TYPED, &[b' '; 300]);
    let (head, body) = whole.split_at(whole.len() - 300);
    for (at_once, slowly, status) in [(&b""[..], head, 0), (head, body, 408)] {
        let begun = Instant::now();
        let reply = drip(&inlet, at_once, slowly).await;
        assert_eq!(reply.status, status, "{reply:?}");
        assert!(begun.elapsed() < CUT_OFF, "after {:?}", begun.elapsed());
    }
    assert_eq!(inlet.get("/healthz").await.status, 200);
}

/// None of it is answered with success or with a fault of ours, and nothing is stored.
#[tokio::test]
async fn bytes_that_are_no_request_are_refused_and_harm_nobody() {
    let inlet = Inlet::start_with(hasty(), &[]);
    let body = delivery(&json!({})).to_string();
    let post =
        |headers: &str| format!("POST /v1/alerts HTTP/1.1\r\nHost: x\r\n{headers}\r\n{body}");
    let length = body.len();
    let chunked = "Transfer-Encoding: chunked\r\n";
    let long = "x".repeat(100_000);
    let many = "X-Many: y\r\n".repeat(500);
    for bytes in [
        "\r\n\r\n\r\n".to_owned(),
        "GET\r\n\r\n".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(),
        "CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
        "POST /v1/alerts HTTP/9.9\r\n\r\n".to_owned(),
        post(&format!("Content-Length: {length}\r\nContent-Length: 1\r\n")),
        post("Content-Length: -1\r\n"),
        post("Content-Length: 99999999999999999999\r\n"),
        post("Content-Length: 1e3\r\n"),
        post("Transfer-Encoding: gzip\r\n"),
        post("Transfer-Encoding: chunked, identity\r\n"),
        post(chunked),
        format!("POST /v1/alerts HTTP/1.1\r\nHost: x\r\n{chunked}\r\nFFFFFFFFFFFFFFFFF\r\nx"),
        format!("POST /v1/alerts HTTP/1.1\r\nHost: x\r\n{chunked}\r\n-1\r\nx\r\n0\r\n\r\n"),
        post(&format!("X: {long}\r\n")),
        post(&many),
        post("Bad Name: x\r\n"),
        post("X: a\0b\r\n"),
        format!("POST /{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("POST /v1/alerts?{long} HTTP/1.1\r\nHost: x\r\n\r\n"),
        "GET /v1/pools/%00%ff..%2f..%2fetc/scale HTTP/1.1\r\nConnection: close\r\n\r\n".to_owned(),
    ] {
        let mut stream = TcpStream::connect(inlet.address).await.unwrap();
        // It may be refused before all of it is written.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(CUT_OFF, reading).await.expect("an end in time");
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.split(' ').nth(1).unwrap_or("none");
        let shown: String = bytes.chars().take(200).collect();
        assert!(status == "none" || status.starts_with('4'), "{status} to {shown:?}");
    }
    assert!(inlet.signals().await.is_empty());
    assert_eq!(inlet.post("/v1/alerts", &delivery(&json!({}))).await.status, 200);
}

#[tokio::test]
async fn a_pipeline_is_answered_in_order_up_to_the_first_that_is_no_request() {
    let inlet = Inlet::start();
    let good = |number: u32| {
        let body = delivery(&json!({ "n": number.to_string() })).to_string();
        let whole = request("POST", "/v1/alerts", TYPED, body.as_bytes());
        String::from_utf8(whole).unwrap().replace("Connection: close\r\n", "")
    };
    let pipeline: String = (0..100).map(good).chain(["\0\0garbage\r\n\r\n".to_owned()]).collect();
    let whole = inlet.exchange((pipeline + &good(100)).as_bytes()).await;
    let answers = format!("{}\r\n\r\n{}", whole.head, whole.body.to_ascii_lowercase());
    assert_eq!(answers.matches("http/1.1 200").count(), 100);
    assert_eq!(answers.matches("http/1.1 4").count(), 1, "and nothing behind it is read");
    assert_eq!(inlet.signals().await.len(), 100);
}

/// Where nobody reads it depth is of no matter; where somebody does it is refused. Never is it a crash.
#[tokio::test]
async fn deep_nesting_is_refused_or_not_looked_at_wherever_it_stands() {
    let inlet = Inlet::start();
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        for (place, refused) in [
            ("/alerts/0", 1),
            ("/alerts/0/labels", 1),
            ("/alerts/0/labels/x", 1),
            ("/alerts/0/annotations/x", 1),
            ("/alerts/0/startsAt", 0),
            ("/alerts/0/x", 0),
            ("/x", 0),
        ] {
            let mut body = delivery(&json!({ "x": "" }));
            (body["x"], body["alerts"][0]["x"]) = (json!(""), json!(""));
            body["alerts"][0]["annotations"]["x"] = json!("");
            *body.pointer_mut(place).unwrap() = json!("DEEP");
            let text = body.to_string().replace("\"DEEP\"", &deep(200_000));
            let reply = inlet.send("POST", "/v1/alerts", TYPED, text.as_bytes()).await;
            assert_eq!(
                (reply.status, reply.json()["refused"].clone()),
                (200, json!(refused)),
                "{place}"
            );
            let cut = &text.as_bytes()[..text.len() - 100];
            assert_eq!(inlet.send("POST", "/v1/alerts", TYPED, cut).await.status, 400, "{place}");
        }
        for path in ["/v1/reconcile", "/scale", "/v1/pools/gpu/scale"] {
            let status = inlet.send("POST", path, TYPED, deep(9_000).as_bytes()).await.status;
            assert_eq!(status, 400, "{path}");
        }
    }
}

/// What a body holds besides alerts takes no memory, and what is no body at all is refused early.
#[tokio::test]
async fn a_body_of_millions_of_small_things_is_refused_or_not_looked_at() {
    let inlet = Inlet::start();
    let fill = |thing: &str| vec![thing; 9_000_000 / (thing.len() + 1)].join(",");
    for (body, status) in [
        (format!("{{\"alerts\":[{}]}}", fill("1")), 413),
        (format!("{{\"alerts\":[{}]}}", fill("{\"a\":1}")), 413),
        (format!("{{\"alerts\":[{}]}}", fill("{\"status\":\"firing\",\"labels\":{}}")), 413),
        (format!("{{\"alerts\":[],\"x\":[{}]}}", fill("{\"a\":1}")), 200),
        (format!("{{\"alerts\":[{{\"x\":[{}]}}]}}", fill("{\"a\":1}")), 200),
        (format!("[{}]", fill("{\"a\":1}")), 400),
    ] {
        let reply = inlet.send("POST", "/v1/alerts", TYPED, body.as_bytes()).await;
        assert_eq!(reply.status, status, "{reply:?} for {}", &body[..40]);
    }
    for path in ["/scale", "/v1/pools/gpu/scale", "/v1/reconcile"] {
        let body = format!("{{\"reason\":[{}]}}", fill("{\"a\":1}"));
        assert_eq!(inlet.send("POST", path, TYPED, body.as_bytes()).await.status, 413, "{path}");
    }
}

#[tokio::test]
async fn labels_of_64_kb_and_ten_thousand_of_them_are_taken_and_cut() {
    let inlet = Inlet::start();
    let big = "é".repeat(32 * 1024);
    let mut labels = json!({ "x": big, "summary": big });
    labels[&big] = json!("y");
    for number in 0..10_000 {
        labels[format!("l{number}")] = json!("v");
    }
    let mut body = delivery(&labels);
    body["alerts"][0]["annotations"] = json!({ "summary": big, "description": big, "other": big });
    let reply = inlet.post("/v1/alerts", &body).await;
    assert_eq!((reply.status, reply.json()["accepted"].clone()), (200, json!(1)));
    let stored = serde_json::to_string(&inlet.signals().await).unwrap();
    assert!(stored.len() < 200_000, "{} bytes are stored", stored.len());
    // What says for whom an alert speaks is not cut, so that it never becomes another name.
    for name in ["cluster", "pool", "step", "autoscale"] {
        let reply = inlet.post("/v1/alerts", &delivery(&json!({ name: big }))).await;
        assert_eq!((reply.status, reply.json()["accepted"].clone()), (200, json!(0)), "{name}");
        assert!(reply.body.len() < 4096, "an answer repeats what it was sent");
    }
    assert_eq!(inlet.signals().await.len(), 1);
}

/// A label with `$value` in it makes a new alert of every evaluation. None of them is read as a number.
#[tokio::test]
async fn a_value_in_a_label_is_no_step_and_every_value_is_an_alert_of_its_own() {
    let inlet = Inlet::start();
    for step in ["0.93", "93%", "1e1", "{{ $value }}", "NaN", "1 ", "٣"] {
        let reply = inlet.post("/v1/alerts", &delivery(&json!({ "step": step }))).await;
        assert_eq!(reply.json()["reasons"][0]["code"], "bad_step", "{step}");
    }
    for number in 0..50 {
        let value = format!("0.{number}");
        inlet.post("/v1/alerts", &delivery(&json!({ "value": value }))).await;
    }
    let signals = inlet.signals().await;
    assert_eq!(signals.len(), 50);
    assert!(signals.iter().all(|it| it.ask == Ask::Up { step: None, want_query: None }));
}

/// The same in a world: however many alerts the values make, they are one need.
#[tokio::test(flavor = "multi_thread")]
async fn thirty_alerts_that_differ_in_a_value_add_one_worker() {
    let pool = "{ provider: { sim: {} }, min: 1, max: 9, min_age: 0s, cooldown: { up: 10m } }";
    let setting = Setting { pool: pool.to_owned(), ..Setting::default() };
    let Some(stage) = Stage::start(setting).await else { return };
    stage.settled(1).await;
    for number in 0..30 {
        let value = format!("0.{number}");
        let labels = [("autoscale", "up"), ("pool", "workers"), ("step", "1"), ("value", &*value)];
        stage.fire("CPUHigh", &labels).await;
    }
    stage.settled(2).await;
    stage.quiet().await;
    assert_eq!(stage.calls("launch"), 2, "one for min, one for the alerts");
    stage.stop().await;
}

#[tokio::test]
async fn starts_far_in_the_past_or_future_are_taken_within_reason() {
    for start in [
        "0001-01-01T00:00:00Z",
        "-009999-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "",
        "now",
        "1e9",
    ] {
        let inlet = Inlet::start();
        let mut body = delivery(&json!({}));
        body["alerts"][0]["startsAt"] = json!(start);
        assert_eq!(inlet.post("/v1/alerts", &body).await.json()["accepted"], 1, "{start}");
        let signals = inlet.signals().await;
        assert_eq!(kept(&signals[0]).0, Timestamp::UNIX_EPOCH, "{start}");
    }
    let inlet = Inlet::start();
    let mut body = delivery(&json!({}));
    body["alerts"][0]["startsAt"] = json!("9999-12-30T22:00:00Z");
    assert_eq!(inlet.post("/v1/alerts", &body).await.status, 200);
    let signals = inlet.signals().await;
    assert_eq!(kept(&signals[0]).0, signals[0].first_seen, "a clock that differs means now");
}

#[tokio::test]
async fn unknown_pools_and_clusters_are_counted_and_answered_with_what_is_wrong() {
    let inlet = Inlet::start();
    let odd = |value: &Value| json!({ "cluster": value, "pool": value });
    for value in [json!("nowhere"), json!("ONE"), json!("one "), json!("\u{0}"), json!("../one")] {
        let reply = inlet.post("/v1/alerts", &delivery(&odd(&value))).await;
        assert_eq!((reply.status, reply.json()["refused"].clone()), (200, json!(1)), "{value}");
        assert_eq!(reply.json()["reasons"][0]["code"], "unknown_cluster", "{value}");
    }
    let counted = inlet.get("/metrics").await.body;
    assert!(counted.contains("alerts_total{outcome=\"unknown_cluster\"} 5"), "{counted}");
    assert!(!counted.contains("nowhere"), "names that anybody may choose are no labels");
    assert!(inlet.signals().await.is_empty());
}

/// Objects with the fields that somebody reads, holding anything.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z]{0,6}".prop_map(Value::from),
        prop::sample::select(vec!["up", "one", "gpu", "scale_up", "firing", "\u{0}"])
            .prop_map(Value::from),
    ];
    let field = prop::sample::select(vec![
        "alerts",
        "labels",
        "annotations",
        "status",
        "startsAt",
        "fingerprint",
        "autoscale",
        "by",
        "cluster",
        "pool",
        "step",
        "reason",
        "action",
        "count",
        "truncatedAlerts",
        "version",
        "",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(field.clone(), inner, 0..5)
                .prop_map(|fields| json!(fields)),
        ]
    })
}

#[tokio::test]
async fn any_json_on_any_path_is_answered_and_never_with_a_fault_of_ours() {
    let inlet = Inlet::start();
    let mut runner = TestRunner::deterministic();
    let paths = ["/v1/alerts", "/alerts", "/scale", "/v1/pools/gpu/scale", "/v1/reconcile"];
    for _ in 0..300 {
        let mut body = any_json().new_tree(&mut runner).unwrap().current();
        for path in paths {
            let reply = inlet.post(path, &body).await;
            let fine = [200, 202, 400, 404];
            assert!(fine.contains(&reply.status), "{path} {body}: {reply:?}");
        }
        body = json!({ "alerts": [body] });
        let reply = inlet.post("/v1/alerts", &body).await;
        assert_eq!(reply.status, 200, "one odd alert spoils no delivery: {body} {reply:?}");
    }
}
