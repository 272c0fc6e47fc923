//! What every input must hold, one function per fuzz target. `tests/it/corpus.rs` replays the kept inputs through the
//! same functions, on the compiler that everything else is built with.

use bellwether::alert::{self, Alert, Delivery, Judged, Status};
use bellwether::alertmanager;
use bellwether::config::{AlertmanagerConfig, ClusterConfig, Config};
use bellwether::model::{
    Ask, ClusterName, Guard, Matcher, Signal, Silence, SilenceId, SilenceState, Source, Truth, Want,
};
use bellwether::prometheus;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// A target: it panics where an input breaks a promise.
pub type Target = fn(&[u8]);

/// Every target by the name of its corpus.
pub const TARGETS: [(&str, Target); 5] = [
    ("body", body),
    ("config", config),
    ("prometheus", prometheus),
    ("alertmanager", alertmanager),
    ("matcher", matcher),
];

/// Every word that says what became of an alert.
const CODES: [&str; 12] = [
    "accepted",
    "no_autoscale_label",
    "other_autoscale_label",
    "malformed",
    "grafana",
    "no_cluster",
    "unknown_cluster",
    "no_pool",
    "unknown_pool",
    "bad_step",
    "bad_node",
    "bad_query",
];

/// Stands where a secret stood.
const MASK: &str = "<secret>";

const CONFIG: &str = "
alertmanager: { urls: [http://am:9093] }
prometheus: { urls: [http://prometheus:9090] }
clusters:
  one:
    kubernetes: { sim: {} }
    accept_unlabelled: true
    pools: { workers: { provider: { sim: {} }, max: 9 } }
  two:
    kubernetes: { sim: {} }
    pools: { a: { provider: { sim: {} }, max: 9 }, b: { provider: { sim: {} }, max: 9 } }
";

/// What stands for the lines that an input of `alertmanager` lacks.
const ANSWERS: [&str; 4] = [
    "[]",
    "[]",
    r#"{"uptime":"2026-01-01T00:00:00Z","config":{"original":"route: { receiver: bellwether }"}}"#,
    r#"[{"name":"bellwether"}]"#,
];

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("a time")
}

fn clusters() -> &'static BTreeMap<ClusterName, ClusterConfig> {
    static CLUSTERS: OnceLock<BTreeMap<ClusterName, ClusterConfig>> = OnceLock::new();
    CLUSTERS.get_or_init(|| {
        let none = BTreeMap::<String, String>::new();
        Config::parse(CONFIG, &none).expect("the text is right").config.clusters
    })
}

// === the webhook's body ===

/// A webhook's body: read, each alert judged, signals merged.
pub fn body(data: &[u8]) {
    let Ok(delivery) = Delivery::parse(data) else { return };
    reads_the_same_beside_a_bad_alert(data, &delivery);
    let mut signals = Vec::new();
    for alert in &delivery.alerts {
        let judged = alert::judge(alert.clone(), clusters(), now());
        assert!(CODES.contains(&judged.code()), "{}", judged.code());
        match (alert, judged) {
            (Ok(alert), Judged::Accepted(signal)) => {
                asks_what_its_labels_say(alert, &signal);
                signals.push(*signal);
            }
            (Err(_), judged) => assert_eq!(judged.code(), "malformed"),
            (Ok(_), Judged::Ignored(_) | Judged::Refused(_)) => {}
        }
    }
    let merged = alert::merge(signals.clone());
    assert!(merged.len() <= signals.len());
    let twice: Vec<Signal> = signals.iter().rev().chain(&signals).cloned().collect();
    assert_eq!(alert::merge(twice), merged, "order and repetition change something");
}

/// A body with one bad alert more is read by the patient reader, which must say the same of the others.
fn reads_the_same_beside_a_bad_alert(data: &[u8], delivery: &Delivery) {
    // What nobody reads may hold what this reader refuses, such as numbers out of range.
    let Ok(mut whole) = serde_json::from_slice::<Value>(data) else { return };
    let alerts = whole.get_mut("alerts").and_then(Value::as_array_mut);
    let alerts = alerts.expect("a delivery is an object with a list of alerts");
    alerts.push(json!(7));
    let patient =
        Delivery::parse(whole.to_string().as_bytes()).expect("one bad alert spoils no body");
    assert_eq!(patient.truncated, delivery.truncated);
    let (bad, others) = patient.alerts.split_last().expect("the bad one");
    assert!(bad.is_err());
    assert_eq!(others.len(), delivery.alerts.len());
    for (other, alert) in others.iter().zip(&delivery.alerts) {
        // A field that stands twice is refused, and gone from a value that was read in between.
        assert!(alert.is_err() || other.as_ref().ok() == alert.as_ref().ok(), "{other:?}");
    }
}

fn asks_what_its_labels_say(alert: &Alert, signal: &Signal) {
    let label =
        |name: &str| alert.labels.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let cluster = clusters().get(&signal.cluster).expect("a configured cluster");
    assert!(label("cluster").is_none_or(|name| name == signal.cluster.as_str()));
    match &signal.pool {
        Some(pool) => assert!(cluster.pools.contains_key(pool)),
        None => assert_eq!(signal.ask, Ask::Watchdog),
    }
    match &signal.ask {
        Ask::Up { step, .. } => {
            assert_eq!(label("autoscale"), Some("up"));
            assert_eq!(
                step.map(|step| step.to_string()).as_deref(),
                label("step").map(|it| it.trim_start_matches('0'))
            );
            assert!(step.is_none_or(|step| (1..=100).contains(&step)));
        }
        Ask::Down { .. } => assert_eq!(label("autoscale"), Some("down")),
        Ask::Replace { .. } => assert_eq!(label("autoscale"), Some("replace")),
        Ask::Watchdog => assert_eq!(label("autoscale"), Some("watchdog")),
        Ask::Scale { .. } | Ask::Reconcile | Ask::Foresee => {
            panic!("no alert asks {:?}", signal.ask)
        }
    }
    let Source::Alert { fingerprint, starts_at, labels, resolved } = &signal.source else {
        panic!("an alert's signal is of {:?}", signal.source);
    };
    assert_eq!(*resolved, alert.status == Status::Resolved);
    assert_eq!(
        (fingerprint.as_str(), signal.id.as_str()),
        (&*alert.fingerprint, &*alert.fingerprint)
    );
    assert!(fingerprint.as_str().len() == 16);
    assert!(
        *starts_at >= Timestamp::UNIX_EPOCH && starts_at.as_second() <= now().as_second() + 300
    );
    assert!(
        labels.len() <= 64
            && labels.iter().all(|(name, value)| name.len().max(value.len()) <= 1024)
    );
    assert!(
        signal.name.len().max(signal.summary.len()) <= 1024 && signal.description.len() <= 4096
    );
    no_annotation_is_read_as_a_number(alert, signal);
}

/// Only `want_query` is read of the annotations, and it is a question, never an answer.
fn no_annotation_is_read_as_a_number(alert: &Alert, signal: &Signal) {
    let mut other = alert.clone();
    other.annotations.retain(|name, _| {
        name == "want_query" || name == "__alert_rule_uid__" || name == "grafana_folder"
    });
    for name in
        ["summary", "description", "step", "count", "want", "workers", "node", "pool", "cluster"]
    {
        other.annotations.insert(name.to_owned(), "97".to_owned());
    }
    let Judged::Accepted(judged) = alert::judge(Ok(other), clusters(), now()) else {
        panic!("annotations decide whether an alert is taken");
    };
    assert_eq!(
        (&judged.ask, &judged.pool, &judged.cluster),
        (&signal.ask, &signal.pool, &signal.cluster)
    );
    if let Ask::Up { want_query: Some(query), .. } = &signal.ask {
        assert_eq!(alert.annotations.get("want_query"), Some(query));
    }
}

// === the configuration ===

/// A configuration's text: refused with paths and mends, or taken and then written out so that it reads back.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let none = BTreeMap::<String, String>::new();
    let config = match Config::parse(text, &none) {
        Ok(loaded) => loaded.config,
        Err(errors) => {
            assert!(!errors.0.is_empty());
            assert!(
                errors.0.iter().all(|error| !error.path.is_empty() && !error.mend.is_empty()),
                "{errors}"
            );
            return;
        }
    };
    assert!(!config.clusters.is_empty());
    for pool in config.clusters.values().flat_map(|cluster| cluster.pools.values()) {
        assert!(pool.min <= pool.max, "{pool:?}");
    }
    let written = config.to_value().to_string();
    if !written.contains(MASK) {
        match Config::parse(&written, &none) {
            Ok(again) => assert_eq!(again.config, config),
            Err(errors) => panic!("what is written out is refused: {errors}\n{written}"),
        }
    }
}

// === Prometheus' answers ===

/// An answer to a query: a guard holds, and a size is wanted, only where the numbers say so.
pub fn prometheus(data: &[u8]) {
    let (guard, want) = prometheus::judged(data);
    let Ok(answer) = serde_json::from_slice::<Value>(data) else { return };
    let numbers = trusted(&answer);
    match guard {
        Guard::Holds => {
            let numbers =
                numbers.as_deref().expect("a guard holds by an answer that can be trusted");
            assert!(
                !numbers.is_empty()
                    && numbers.iter().all(|number| number.is_finite() && *number != 0.0)
            );
        }
        Guard::Fails { .. } => {
            assert!(numbers.as_deref().is_some_and(|numbers| numbers.contains(&0.0)));
        }
        Guard::Unknown { why } => assert!(!why.is_empty() && why.chars().count() < 400),
    }
    match want {
        Want::Workers(count) => {
            let [number] = numbers.as_deref().expect("an answer that can be trusted") else {
                panic!("not one series")
            };
            assert!(
                *number >= 0.0 && (number.ceil() - f64::from(count)).abs() < 0.5,
                "{number} is wanted as {count}"
            );
        }
        Want::Unknown { why } => assert!(!why.is_empty() && why.chars().count() < 400),
    }
}

/// The numbers of an answer without any fault, read in another way.
fn trusted(answer: &Value) -> Option<Vec<f64>> {
    if answer["status"] != "success"
        || answer["warnings"].as_array().is_some_and(|all| !all.is_empty())
    {
        return None;
    }
    let number = |sample: &Value| sample[1].as_str()?.parse().ok();
    let result = &answer["data"]["result"];
    match answer["data"]["resultType"].as_str()? {
        "scalar" => Some(vec![number(result)?]),
        "vector" => result.as_array()?.iter().map(|series| number(&series["value"])).collect(),
        _ => None,
    }
}

// === Alertmanager's answers ===

/// The answers of one Alertmanager, a line each: alerts, silences, status, receivers.
pub fn alertmanager(data: &[u8]) {
    let mut bodies = ANSWERS.map(str::as_bytes);
    for (body, line) in bodies.iter_mut().zip(data.split(|byte| *byte == b'\n')) {
        if !line.is_empty() {
            *body = line;
        }
    }
    let config = AlertmanagerConfig::default();
    let truth = alertmanager::judged(&[bodies], &config);
    if truth.answered() == 0 {
        assert!(
            truth.alerts.is_empty() && truth.silences.is_empty(),
            "half of an answer is believed"
        );
        assert_eq!(truth.ttl, config.ttl);
        return;
    }
    says_what_was_answered(&truth, bodies);
    assert!(truth.findings.iter().all(|finding| !finding.is_empty()));
    // A peer that says the same changes nothing; one that is away takes nothing away.
    let again = alertmanager::judged(&[bodies, bodies, [b"".as_slice(); 4]], &config);
    assert_eq!((again.answered(), again.peers.len()), (2, 3));
    assert_eq!(
        (&again.alerts, &again.silences, again.ttl),
        (&truth.alerts, &truth.silences, truth.ttl)
    );
    a_peer_that_says_suppressed_wins(&truth, bodies, &config);
}

fn says_what_was_answered(truth: &Truth, [alerts, silences, ..]: [&[u8]; 4]) {
    let (Ok(Value::Array(alerts)), Ok(Value::Array(silences))) =
        (serde_json::from_slice(alerts), serde_json::from_slice(silences))
    else {
        return;
    };
    assert!(truth.alerts.len() <= alerts.len() && truth.silences.len() <= silences.len());
    for (fingerprint, state) in &truth.alerts {
        let told = |alert: &&Value| alert["fingerprint"] == fingerprint.as_str();
        for alert in alerts.iter().filter(told) {
            assert!(
                alert["status"]["state"] == "active" || !state.is_active(),
                "{alert} counts as active"
            );
        }
    }
    for (id, silence) in &truth.silences {
        let told = |other: &&Value| other["id"] == id.as_str();
        let is_active = |other: &Value| other["status"]["state"] == "active";
        if silences.iter().filter(told).any(is_active) {
            assert_eq!(silence.state, SilenceState::Active);
        }
    }
}

fn a_peer_that_says_suppressed_wins(
    truth: &Truth,
    bodies: [&[u8]; 4],
    config: &AlertmanagerConfig,
) {
    let Some(fingerprint) = truth.alerts.keys().next() else { return };
    let muted =
        json!([{ "fingerprint": fingerprint, "labels": {}, "startsAt": "2026-01-01T00:00:00Z",
        "status": { "state": "suppressed", "silencedBy": ["s"] } }])
        .to_string();
    let other =
        [muted.as_bytes(), ANSWERS[1].as_bytes(), ANSWERS[2].as_bytes(), ANSWERS[3].as_bytes()];
    for peers in [[bodies, other], [other, bodies]] {
        assert!(!alertmanager::judged(&peers, config).alerts[fingerprint].is_active());
    }
}

// === a silence's matchers ===

/// A pattern and a label's value, a line each.
pub fn matcher(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (pattern, value) = text.split_once('\n').unwrap_or((text, ""));
    let labels = BTreeMap::from([("pool".to_owned(), value.to_owned())]);
    let matches = |pattern: &str, is_regex, is_equal| {
        let (name, value) = ("pool".to_owned(), pattern.to_owned());
        Matcher { name, value, is_regex, is_equal }.matches(&labels)
    };
    assert_eq!(matches(pattern, false, true), pattern == value);
    assert_eq!(matches(pattern, false, false), pattern != value);
    // Reading an expression takes long, so each input is asked one thing.
    match data.len() % 4 {
        0 => {
            let readable = regex::Regex::new(&format!("^(?:{pattern})$")).is_ok();
            let (equal, other) = (matches(pattern, true, true), matches(pattern, true, false));
            let right = if readable { equal != other } else { equal && other };
            assert!(right, "{pattern:?} on {value:?}");
        }
        1 => assert!(matches(&regex::escape(value), true, true), "{value:?} is not itself"),
        2 => {
            let same = matches(&regex::escape(pattern), true, true);
            assert_eq!(same, pattern == value, "not anchored: {pattern:?} on {value:?}");
        }
        _ => mutes_only_in_its_time(pattern, matches(pattern, true, true), &labels),
    }
}

fn mutes_only_in_its_time(pattern: &str, matches: bool, labels: &BTreeMap<String, String>) {
    let matcher = Matcher {
        name: "pool".to_owned(),
        value: pattern.to_owned(),
        is_regex: true,
        is_equal: true,
    };
    let hour = jiff::SignedDuration::from_hours(1);
    let silence = |state, matchers: &[Matcher]| Silence {
        id: SilenceId::new("s"),
        matchers: matchers.to_vec(),
        starts: now() - hour,
        ends: now() + hour,
        created_by: String::new(),
        comment: String::new(),
        state,
    };
    let one = std::slice::from_ref(&matcher);
    assert_eq!(silence(SilenceState::Active, one).mutes(labels, now()), matches);
    assert!(!silence(SilenceState::Active, one).mutes(labels, now() + hour));
    assert!(!silence(SilenceState::Expired, one).mutes(labels, now()));
    assert!(
        !silence(SilenceState::Active, &[]).mutes(labels, now()),
        "nothing to match matches nothing"
    );
}
