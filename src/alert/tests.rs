//! Bodies in, signals out.

use super::*;
use crate::config::{ClusterConfig, Config};
use crate::model::{Ask, ClusterName, Fingerprint, NodeName, PoolName, Signal, SignalId, Source};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn cluster(name: &str, accept_unlabelled: bool, pools: &[&str]) -> (ClusterName, ClusterConfig) {
    let pools: BTreeMap<_, _> =
        pools.iter().map(|pool| (pool, json!({"provider": {"sim": {}}, "max": 9}))).collect();
    let text = json!({
        "alertmanager": {"urls": ["http://am:9093"]},
        "prometheus": {"urls": ["http://prometheus:9090"]},
        "clusters": {name: {
            "kubernetes": {"sim": {}}, "accept_unlabelled": accept_unlabelled, "pools": pools,
        }},
    });
    let env = BTreeMap::<String, String>::new();
    let mut config = Config::parse(&text.to_string(), &env).unwrap().config;
    config.clusters.pop_first().unwrap()
}

/// `one` has one pool, `two` has two; neither takes alerts without a cluster.
fn clusters() -> BTreeMap<ClusterName, ClusterConfig> {
    BTreeMap::from([cluster("one", false, &["workers"]), cluster("two", false, &["a", "b"])])
}

fn alert(labels: &Value) -> Value {
    json!({
        "status": "firing", "labels": labels, "annotations": {},
        "startsAt": "2026-03-01T11:59:00.123456789+01:00", "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus:9090/graph?g0.expr=1", "fingerprint": "00000000000000aa",
    })
}

fn body(alerts: &[Value]) -> Vec<u8> {
    json!({
        "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 0, "status": "firing",
        "receiver": "bellwether", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager:9093", "notification_reason": "first notification",
        "alerts": alerts,
    })
    .to_string()
    .into_bytes()
}

fn judge_one(alert: Value) -> Judged {
    let delivery = Delivery::parse(&body(&[alert])).unwrap();
    let [alert] = <[_; 1]>::try_from(delivery.alerts).unwrap();
    judge(alert, &clusters(), now())
}

fn accepted(alert: Value) -> Signal {
    match judge_one(alert) {
        Judged::Accepted(signal) => *signal,
        other => panic!("not accepted: {other:?}"),
    }
}

#[test]
fn a_rule_s_labels_say_what_is_asked_and_of_whom() {
    let workers = || Some(PoolName::from("workers"));
    let node = || Some(NodeName::from("n1"));
    let table = [
        (json!({"autoscale": "up"}), workers(), Ask::Up { step: None, want_query: None }),
        (
            json!({"autoscale": "up", "step": "2"}),
            workers(),
            Ask::Up { step: Some(2), want_query: None },
        ),
        (json!({"autoscale": "down"}), workers(), Ask::Down { node: None }),
        (json!({"autoscale": "down", "node": "n1"}), workers(), Ask::Down { node: node() }),
        (
            json!({"autoscale": "replace", "node": "n1", "pool": "workers"}),
            workers(),
            Ask::Replace { node: node() },
        ),
        (json!({"autoscale": "watchdog"}), None, Ask::Watchdog),
    ];
    for (mut labels, pool, ask) in table {
        labels["cluster"] = json!("one");
        labels["alertname"] = json!("Rule");
        let signal = accepted(alert(&labels));
        assert_eq!((signal.pool, signal.ask), (pool, ask));
        assert_eq!((signal.cluster.as_str(), signal.name.as_str()), ("one", "Rule"));
        assert_eq!(signal.id, SignalId::from("00000000000000aa"));
    }
}

#[test]
fn what_is_not_taken_says_why() {
    let cases = [
        (json!({}), "no_autoscale_label"),
        (json!({"autoscale": ""}), "no_autoscale_label"),
        (json!({"autoscale": "sideways"}), "other_autoscale_label"),
        (json!({"autoscale": "restore"}), "other_autoscale_label"),
        (json!({"autoscale": "up", "cluster": ""}), "no_cluster"),
        (json!({"autoscale": "up", "cluster": "three"}), "unknown_cluster"),
        (json!({"autoscale": "up", "cluster": "two"}), "no_pool"),
        (json!({"autoscale": "up", "cluster": "two", "pool": "c"}), "unknown_pool"),
        (json!({"autoscale": "up", "cluster": "one", "pool": "a"}), "unknown_pool"),
        (json!({"autoscale": "up", "cluster": "one", "step": "0"}), "bad_step"),
        (json!({"autoscale": "up", "cluster": "one", "step": "-1"}), "bad_step"),
        (json!({"autoscale": "up", "cluster": "one", "step": "+2"}), "bad_step"),
        (json!({"autoscale": "up", "cluster": "one", "step": "1.5"}), "bad_step"),
        (json!({"autoscale": "up", "cluster": "one", "step": "101"}), "bad_step"),
        (json!({"autoscale": "down", "cluster": "one", "node": "n".repeat(254)}), "bad_node"),
        (json!({"autoscale": "up", "cluster": "one", "grafana_folder": "x"}), "grafana"),
        (json!({"autoscale": "up", "cluster": 7}), "malformed"),
    ];
    for (labels, code) in cases {
        let judged = judge_one(alert(&labels));
        assert_eq!(judged.code(), code, "{labels}");
        assert_eq!(matches!(judged, Judged::Refused(_)), !code.ends_with("_label"), "{labels}");
    }
}

#[test]
fn an_unlabelled_alert_goes_to_the_one_cluster_that_takes_it() {
    let labels = json!({"autoscale": "up"});
    let judge_in = |clusters: &BTreeMap<_, _>| {
        let delivery = Delivery::parse(&body(&[alert(&labels)])).unwrap();
        judge(delivery.alerts.into_iter().next().unwrap(), clusters, now())
    };
    let taker = BTreeMap::from([cluster("one", true, &["p"]), cluster("two", false, &["p"])]);
    assert!(
        matches!(judge_in(&taker), Judged::Accepted(signal) if signal.cluster.as_str() == "one")
    );
    let two = BTreeMap::from([cluster("one", true, &["p"]), cluster("two", true, &["p"])]);
    assert_eq!(judge_in(&two), Judged::Refused(Refused::NoCluster));
    assert_eq!(judge_in(&clusters()), Judged::Refused(Refused::NoCluster));
}

#[test]
fn each_alert_is_judged_by_itself_and_not_by_the_top_level_status() {
    let labels = json!({"autoscale": "up", "cluster": "one"});
    let mut resolved = alert(&labels);
    resolved["status"] = json!("resolved");
    let mut odd = alert(&labels);
    odd["status"] = json!("pending");
    let delivery = Delivery::parse(&body(&[resolved, odd, json!(3), alert(&labels)]))
        .expect("one bad alert spoils no other");
    let judged: Vec<Judged> =
        delivery.alerts.into_iter().map(|alert| judge(alert, &clusters(), now())).collect();
    let resolved = |judged: &Judged| match judged {
        Judged::Accepted(signal) => matches!(signal.source, Source::Alert { resolved: true, .. }),
        _ => false,
    };
    assert_eq!(judged.iter().map(resolved).collect::<Vec<_>>(), [true, false, false, false]);
    let codes: Vec<_> = judged.iter().map(Judged::code).collect();
    assert_eq!(codes, ["accepted", "malformed", "malformed", "accepted"]);
}

#[test]
fn missing_and_unknown_fields_are_fine() {
    let labels = json!({"autoscale": "up", "cluster": "one"});
    for alert in [
        json!({"status": "firing", "labels": labels}),
        json!({"status": "firing", "labels": labels, "annotations": null, "startsAt": null, "new": [1]}),
    ] {
        let body = json!({ "alerts": [alert], "later": {"x": 1} }).to_string();
        let delivery = Delivery::parse(body.as_bytes()).unwrap();
        assert_eq!(delivery.truncated, 0);
        let alert = delivery.alerts[0].clone().unwrap();
        let judged = judge(Ok(alert), &clusters(), now());
        let Judged::Accepted(signal) = judged else { panic!("{judged:?}") };
        assert_eq!(signal.name, "unnamed");
        let Source::Alert { starts_at, .. } = signal.source else { panic!() };
        assert_eq!(starts_at, Timestamp::UNIX_EPOCH, "unknown is long ago: replaces no node");
    }
    let counted = json!({ "alerts": [], "truncatedAlerts": 3 }).to_string();
    assert_eq!(Delivery::parse(counted.as_bytes()).unwrap().truncated, 3);
}

#[test]
fn a_missing_fingerprint_is_computed_as_prometheus_does() {
    let parse = |labels: Value| {
        let body = json!({"alerts": [{"status": "firing", "labels": labels}]}).to_string();
        Delivery::parse(body.as_bytes()).unwrap().alerts[0].clone().unwrap().fingerprint
    };
    // Both from the tests of Prometheus' own library (model/signature_test.go).
    assert_eq!(parse(json!({})), format!("{:016x}", 14_695_981_039_346_656_037_u64));
    let known = json!({"name": "garland, briggs", "fear": "love is not enough"});
    assert_eq!(parse(known), format!("{:016x}", 5_799_056_148_416_392_346_u64));
    assert_ne!(parse(json!({"a": "bc"})), parse(json!({"ab": "c"})));
}

#[test]
fn foreign_bodies_are_refused_whole() {
    let deep = "[".repeat(100_000);
    let grafana = |value: Value| (value.to_string(), "managed by Grafana");
    let cases = [
        (String::new(), "not JSON"),
        ("{".to_owned(), "not JSON"),
        (deep, "not JSON"),
        ("7".to_owned(), "not an object"),
        ("[]".to_owned(), "not its own API"),
        ("{}".to_owned(), "no list named alerts"),
        (r#"{"alerts": {}}"#.to_owned(), "no list named alerts"),
        grafana(json!({"alerts": [], "orgId": 1})),
        grafana(json!({"alerts": [], "title": "t", "state": "alerting", "message": "m"})),
        grafana(json!({"alerts": [], "version": "1"})),
        grafana(json!({"alerts": [1], "version": "1"})),
        grafana(json!({"alerts": [1], "orgId": 1})),
    ];
    for (body, words) in cases {
        let error = Delivery::parse(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

/// What reads a list as the fields of an object in their order is no reader of ours.
#[test]
fn a_list_is_neither_a_body_nor_an_alert() {
    let labels = json!({"autoscale": "up", "cluster": "one"});
    let error =
        Delivery::parse(json!([[], 0, null, null, "4"]).to_string().as_bytes()).unwrap_err();
    assert!(error.to_string().contains("not its own API"), "{error}");
    for alerts in [json!([["firing", labels, {}, "", ""]]), json!([["firing", labels], 7])] {
        let body = json!({ "alerts": alerts }).to_string();
        let delivery = Delivery::parse(body.as_bytes()).unwrap();
        assert!(delivery.alerts.iter().all(Result::is_err), "{delivery:?}");
    }
}

/// Which of the two is meant is not guessed at.
#[test]
fn an_alert_with_a_field_that_stands_twice_is_malformed_and_spoils_no_other() {
    let body = r#"{"alerts":[{"status":"firing","labels":{"a":"b"},"status":"resolved"},
        {"status":"firing","labels":{}}]}"#;
    let delivery = Delivery::parse(body.as_bytes()).unwrap();
    assert_eq!(delivery.alerts.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
    let twice = r#"{"alerts":[],"alerts":[]}"#;
    assert!(Delivery::parse(twice.as_bytes()).is_err());
}

#[test]
fn more_alerts_than_a_body_can_hold_of_real_ones_are_refused_whole() {
    for alert in ["1", "{}", r#"{"status":"firing","labels":{}}"#] {
        let most = |count: usize| format!("{{\"alerts\":[{}]}}", vec![alert; count].join(","));
        assert_eq!(Delivery::parse(most(100_000).as_bytes()).unwrap().alerts.len(), 100_000);
        assert_eq!(Delivery::parse(most(100_001).as_bytes()), Err(BodyError::TooMany));
    }
}

#[test]
fn absurd_starts_are_brought_within_reason() {
    let labels = json!({"autoscale": "up", "cluster": "one"});
    let start = |text: &str| {
        let mut alert = alert(&labels);
        alert["startsAt"] = json!(text);
        let Source::Alert { starts_at, .. } = accepted(alert).source else { panic!() };
        starts_at
    };
    for (text, at) in [
        ("0001-01-01T00:00:00Z", Timestamp::UNIX_EPOCH),
        ("yesterday", Timestamp::UNIX_EPOCH),
        ("9999-12-30T00:00:00Z", now()),
        ("123456-01-01T00:00:00Z", Timestamp::UNIX_EPOCH),
        ("2026-03-01T12:04:00Z", "2026-03-01T12:04:00Z".parse().unwrap()),
        ("2026-03-01T12:05:00Z", "2026-03-01T12:05:00Z".parse().unwrap()),
        ("2026-03-01T12:05:01Z", now()),
    ] {
        assert_eq!(start(text), at, "{text}");
    }
}

#[test]
fn long_texts_are_cut_and_long_queries_refused() {
    let mut long = alert(&json!({"autoscale": "up", "cluster": "one", "x": "é".repeat(4000)}));
    long["annotations"] = json!({"summary": "é".repeat(4000), "description": "y".repeat(40_000)});
    let signal = accepted(long.clone());
    assert_eq!((signal.summary.len(), signal.description.len()), (1024, 4096));
    let Source::Alert { labels, .. } = signal.source else { panic!() };
    assert_eq!(labels["x"].len(), 1024);
    long["annotations"]["want_query"] = json!("x".repeat(9000));
    assert_eq!(judge_one(long.clone()).code(), "bad_query");
    long["annotations"]["want_query"] = json!("sum(up)");
    let want_query = Some("sum(up)".to_owned());
    assert_eq!(accepted(long).ask, Ask::Up { step: None, want_query });
}

#[test]
fn names_and_queries_are_taken_up_to_their_longest() {
    for (length, code) in [(253, "accepted"), (254, "bad_node")] {
        let node = "n".repeat(length);
        let labels = json!({"autoscale": "down", "cluster": "one", "node": node});
        assert_eq!(judge_one(alert(&labels)).code(), code, "a node's name of {length}");
    }
    for (length, code) in [(8192, "accepted"), (8193, "bad_query")] {
        let mut alert = alert(&json!({"autoscale": "up", "cluster": "one"}));
        alert["annotations"] = json!({"want_query": "q".repeat(length)});
        assert_eq!(judge_one(alert).code(), code, "a query of {length}");
    }
}

#[test]
fn labels_beyond_what_is_stored_are_left_out() {
    let mut labels = json!({"autoscale": "up", "cluster": "one"});
    (0..100).for_each(|number| labels[format!("l{number}")] = json!("x"));
    let Source::Alert { labels, .. } = accepted(alert(&labels)).source else { panic!() };
    assert_eq!(labels.len(), 64);
}

#[test]
fn a_body_that_repeats_an_alert_asks_once_and_every_other_asks_too() {
    let one = alert(&json!({"autoscale": "up", "cluster": "one"}));
    let mut other = one.clone();
    other["fingerprint"] = json!("00000000000000bb");
    assert_eq!(signals(&body(&[one.clone(), other, one])).len(), 2);
}

fn signals(body: &[u8]) -> Vec<Signal> {
    let delivery = Delivery::parse(body).unwrap();
    merge(delivery.alerts.into_iter().filter_map(|alert| match judge(alert, &clusters(), now()) {
        Judged::Accepted(signal) => Some(*signal),
        Judged::Ignored(_) | Judged::Refused(_) => None,
    }))
}

fn some_alert() -> impl Strategy<Value = Value> {
    let one_of = |values: &'static [&'static str]| proptest::sample::select(values);
    (
        one_of(&["firing", "resolved", "odd"]),
        one_of(&["up", "down", "replace", "watchdog", "x"]),
        one_of(&["one", "two", "three"]),
        one_of(&["", "a", "workers"]),
        one_of(&["00000000000000aa", "00000000000000bb", ""]),
        one_of(&["2026-03-01T11:00:00Z", "2026-03-01T11:30:00Z", "?"]),
        "[ab]{0,1}",
    )
        .prop_map(|(status, autoscale, cluster, pool, fingerprint, starts, summary)| {
            json!({
                "status": status, "fingerprint": fingerprint, "startsAt": starts,
                "labels": {"autoscale": autoscale, "cluster": cluster, "pool": pool},
                "annotations": {"summary": "s", "description": summary},
            })
        })
}

/// Signals of one alert, in an order that time gave them: a later delivery is of no earlier episode.
fn some_signals() -> impl Strategy<Value = Vec<Signal>> {
    let one = (0_i64..3, 0_i64..3, any::<bool>(), "[ab]", "[ab]", 0_i64..3);
    proptest::collection::vec(one, 1..6).prop_map(|mut all| {
        all.sort_by_key(|(episode, last, ..)| (*episode, *last));
        let at = |second| Timestamp::from_second(second).unwrap();
        let signal = |(episode, last, resolved, summary, description, first)| Signal {
            id: SignalId::from("x"),
            cluster: ClusterName::from("one"),
            pool: None,
            ask: Ask::Down { node: None },
            source: Source::Alert {
                fingerprint: Fingerprint::from("x"),
                starts_at: at(episode),
                labels: BTreeMap::new(),
                resolved,
            },
            name: "n".to_owned(),
            summary,
            description,
            first_seen: at(first),
            last_seen: at(last),
        };
        all.into_iter().map(signal).collect()
    })
}

fn fold(signals: &[Signal]) -> Signal {
    signals.iter().cloned().reduce(Signal::merge).unwrap()
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Delivery::parse(&bytes);
    }

    #[test]
    fn no_broken_body_panics(alerts in proptest::collection::vec(some_alert(), 0..4), at in 0.0..1.0, byte in any::<u8>()) {
        let mut bytes = body(&alerts);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "a place")]
        let place = (bytes.len() as f64 * at) as usize;
        bytes[place] = byte;
        if let Ok(delivery) = Delivery::parse(&bytes) {
            for alert in delivery.alerts {
                let _ = judge(alert, &clusters(), now()).code();
            }
        }
    }

    #[test]
    fn order_and_repetition_within_bodies_change_nothing(
        alerts in proptest::collection::vec(some_alert(), 0..8),
        shuffled in any::<prop::sample::Index>(),
    ) {
        let whole = signals(&body(&alerts));
        let mut other: Vec<Value> = alerts.iter().chain(&alerts).cloned().collect();
        if !other.is_empty() {
            let middle = shuffled.index(other.len());
            other.rotate_left(middle);
            other.reverse();
        }
        prop_assert_eq!(whole, signals(&body(&other)));
    }

    #[test]
    fn merge_is_commutative_idempotent_and_associative(all in some_signals(), cut in any::<prop::sample::Index>()) {
        let whole = fold(&all);
        let (left, right) = all.split_at(cut.index(all.len()));
        if !left.is_empty() && !right.is_empty() {
            let (left, right) = (fold(left), fold(right));
            prop_assert_eq!(&whole, &left.clone().merge(right.clone()));
            prop_assert_eq!(&whole, &right.merge(left));
        }
        let mut reversed = all.clone();
        reversed.reverse();
        prop_assert_eq!(&whole, &fold(&reversed));
        prop_assert_eq!(&whole, &whole.clone().merge(all[0].clone()));
        prop_assert_eq!(&whole, &whole.clone().merge(whole.clone()));
    }
}
