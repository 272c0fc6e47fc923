use super::judge::{self, Answer};
use super::selectors::selectors;
use crate::model::{Guard, Want};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

fn numbers(answer: Value) -> Result<Vec<f64>, String> {
    judge::numbers(serde_json::from_value::<Answer>(answer).unwrap())
}

fn vector(values: &[&str]) -> Value {
    let series: Vec<Value> = values
        .iter()
        .map(|value| json!({ "metric": {}, "value": [1_700_000_000.1, value] }))
        .collect();
    json!({ "status": "success", "data": { "resultType": "vector", "result": series } })
}

fn scalar(value: &str) -> Value {
    json!({ "status": "success", "data": { "resultType": "scalar", "result": [1, value] } })
}

fn guard(answer: Value) -> Guard {
    numbers(answer).map_or_else(|why| Guard::Unknown { why }, |numbers| judge::guard(&numbers))
}

fn want(answer: Value) -> Want {
    numbers(answer).map_or_else(|why| Want::Unknown { why }, |numbers| judge::want(&numbers))
}

fn is_unknown(guard: &Guard) -> bool {
    matches!(guard, Guard::Unknown { .. })
}

#[test]
fn a_guard_holds_where_every_value_is_finite_and_not_zero() {
    for answer in [vector(&["1"]), vector(&["1", "0.2", "-3"]), scalar("1"), scalar("1e3")] {
        assert_eq!(guard(answer.clone()), Guard::Holds, "{answer}");
    }
}

#[test]
fn a_guard_with_a_zero_fails() {
    for answer in [vector(&["0"]), vector(&["1", "0"]), scalar("0"), vector(&["-0"])] {
        assert!(matches!(guard(answer.clone()), Guard::Fails { .. }), "{answer}");
    }
}

/// W-02, W-04: an error, no data or a number that is none is never taken for a value.
#[test]
fn w_02_w_04_a_guard_without_numbers_is_unknown() {
    let with = |name: &str, value: Value| {
        let mut answer = vector(&["1"]);
        answer[name] = value;
        answer
    };
    for answer in [
        vector(&[]),
        vector(&["NaN"]),
        vector(&["1", "+Inf"]),
        vector(&["0", "-Inf"]),
        vector(&["many"]),
        scalar("NaN"),
        with("warnings", json!(["PromQL warning: partial answer"])),
        with("status", json!("error")),
        with("data", json!({ "resultType": "matrix", "result": [] })),
        with("data", json!({ "resultType": "string", "result": [1, "1"] })),
        with("data", json!(null)),
        with(
            "data",
            json!({ "resultType": "vector", "result": [{ "metric": {}, "histogram": [1, {}] }] }),
        ),
        json!({ "status": "error", "errorType": "timeout", "error": "query timed out" }),
    ] {
        assert!(is_unknown(&guard(answer.clone())), "{answer}");
    }
}

#[test]
fn infos_are_no_warnings() {
    let mut answer = vector(&["1"]);
    answer["infos"] = json!(["PromQL info: metric might not be a counter"]);
    assert_eq!(guard(answer), Guard::Holds);
}

#[test]
fn a_wanted_size_is_one_finite_number_of_zero_or_more_rounded_up() {
    for (answer, expected) in [
        (vector(&["3"]), 3),
        (scalar("3"), 3),
        (vector(&["3.01"]), 4),
        (vector(&["0"]), 0),
        (vector(&["-0"]), 0),
        (scalar("4294967295"), u32::MAX),
    ] {
        assert_eq!(want(answer.clone()), Want::Workers(expected), "{answer}");
    }
    for answer in [
        vector(&[]),
        vector(&["3", "3"]),
        vector(&["-0.1"]),
        scalar("NaN"),
        scalar("+Inf"),
        scalar("4294967296"),
    ] {
        assert!(matches!(want(answer.clone()), Want::Unknown { .. }), "{answer}");
    }
}

#[test]
fn samples_are_fresh_up_to_the_limit_and_no_data_is_never_fresh() {
    let limit = Duration::from_secs(45);
    for (ages, is_fresh) in [
        (&[0.0][..], true),
        (&[45.0], true),
        (&[45.1], false),
        (&[f64::NAN], false),
        (&[f64::INFINITY], false),
        (&[], false),
        (&[1.0, 1.0], false),
    ] {
        assert_eq!(judge::fresh(ages, "up", limit).is_ok(), is_fresh, "{ages:?}");
    }
}

#[test]
fn unknown_beats_fails_and_fails_beats_holds() {
    let (holds, fails, unknown) = (
        Guard::Holds,
        Guard::Fails { detail: "f".to_owned() },
        Guard::Unknown { why: "u".to_owned() },
    );
    for (a, b, expected) in [
        (&holds, &holds, &holds),
        (&holds, &fails, &fails),
        (&fails, &unknown, &unknown),
        (&holds, &unknown, &unknown),
    ] {
        assert_eq!(&judge::worse(a.clone(), b.clone()), expected);
        assert_eq!(&judge::worse(b.clone(), a.clone()), expected);
    }
}

#[test]
fn the_larger_wanted_size_wins_and_one_unknown_makes_all_unknown() {
    let unknown = Want::Unknown { why: "u".to_owned() };
    assert_eq!(judge::larger(Want::Workers(2), Want::Workers(5)), Want::Workers(5));
    assert_eq!(judge::larger(Want::Workers(5), Want::Workers(2)), Want::Workers(5));
    assert_eq!(judge::larger(Want::Workers(5), unknown.clone()), unknown);
    assert_eq!(judge::larger(unknown.clone(), Want::Workers(5)), unknown);
}

#[test]
fn every_selector_of_an_expression_is_found_once_as_an_instant_one() {
    for (expression, expected) in [
        ("up == 1", &["up"][..]),
        ("up == bool on (job) up", &["up"]),
        (
            "rate(node_cpu_seconds_total{mode=\"idle\"}[5m]) > 0",
            &["node_cpu_seconds_total{mode=\"idle\"}"],
        ),
        (
            "count(up{job=\"nodes\"} == 1) >= 0.95 * sum(max without(instance, pod) (bellwether_nodes{state=\"ready\"}))",
            &["bellwether_nodes{state=\"ready\"}", "up{job=\"nodes\"}"],
        ),
        ("min_over_time((a + b)[10m:1m]) > 1", &["a", "b"]),
        ("quantile(scalar(q), -c)", &["c", "q"]),
        ("a unless (b or vector(0))", &["a", "b"]),
        ("hour() > 8", &[]),
        ("1 > bool 0", &[]),
    ] {
        assert_eq!(selectors(expression).unwrap(), expected, "{expression}");
    }
}

#[test]
fn values_are_asked_as_they_were_written() {
    for selector in [
        r#"up{job="a\\b"}"#,
        r#"up{job="say \"hi\""}"#,
        r#"up{job=~"a\\.b|c{2}"}"#,
        r#"{__name__=~"node_.+",job!="x",zone!~"a|b"}"#,
        r#"up{job="ä"}"#,
    ] {
        let found = selectors(&format!("sum({selector})")).unwrap();
        let again = selectors(&found[0]).unwrap();
        assert_eq!(found, again, "{selector}");
    }
}

#[test]
fn an_expression_that_cannot_be_judged_says_why() {
    for expression in [
        "up offset 5m",
        "up @ 1700000000",
        "rate(up[5m] offset 1h)",
        "max_over_time(up[5m:1m] offset 1h)",
        "max_over_time(up[5m:1m] @ start())",
        "sum(",
        "",
        "no_such_function(up)",
    ] {
        let why = selectors(expression).unwrap_err();
        assert!(why.starts_with("not judged: "), "{expression}: {why}");
    }
}

proptest! {
    #[test]
    fn a_guard_never_holds_on_zero_or_nothing_or_what_is_no_number(values in prop::collection::vec(any::<f64>(), 0..5)) {
        let good = !values.is_empty() && values.iter().all(|value| value.is_finite() && *value != 0.0);
        prop_assert_eq!(judge::guard(&values) == Guard::Holds, good);
    }

    #[test]
    fn a_wanted_size_is_never_below_what_was_asked(value in 0.0..4e9_f64) {
        let Want::Workers(count) = judge::want(&[value]) else { panic!("unknown") };
        prop_assert!(f64::from(count) >= value && f64::from(count) < value + 1.0);
    }

    #[test]
    fn any_text_is_judged_or_refused_without_a_panic(text in "[a-z{}()\\[\\]\"=~0-9.@ :,+-]{0,40}") {
        let _ = selectors(&text);
    }
}
