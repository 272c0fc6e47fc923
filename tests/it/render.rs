//! The demo's files are the shipped ones with every duration divided, and nothing else: both sides are parsed.

use bellwether::demo::render::faster;
use bellwether::model::duration;
use serde_json::Value;
use std::time::Duration;

const FACTOR: u32 = 30;

const FILES: [(&str, &str); 7] = [
    ("rules/health.yaml", include_str!("../../rules/health.yaml")),
    ("rules/scale-up.yaml", include_str!("../../rules/scale-up.yaml")),
    ("rules/scale-down.yaml", include_str!("../../rules/scale-down.yaml")),
    ("rules/trouble.yaml", include_str!("../../rules/trouble.yaml")),
    ("rules/prometheus.yml", include_str!("../../rules/prometheus.yml")),
    ("alertmanager/alertmanager.yml", include_str!("../../alertmanager/alertmanager.yml")),
    ("docs/examples/sim.yaml", include_str!("../../docs/examples/sim.yaml")),
];

fn parse(yaml: &str) -> Value {
    serde_saphyr::from_str(yaml).unwrap()
}

/// Compares leaf by leaf; returns how many durations were divided.
fn compare(path: &str, shipped: &Value, fast: &Value) -> usize {
    match (shipped, fast) {
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{path}");
            a.iter().map(|(key, value)| compare(&format!("{path}.{key}"), value, &b[key])).sum()
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            a.iter()
                .zip(b)
                .enumerate()
                .map(|(n, (x, y))| compare(&format!("{path}[{n}]"), x, y))
                .sum()
        }
        (Value::String(a), Value::String(b)) => compare_text(path, a, b),
        (a, b) => {
            assert_eq!(a, b, "{path}");
            0
        }
    }
}

/// A whole value that is a duration, or PromQL whose tokens differ only in durations.
fn compare_text(path: &str, shipped: &str, fast: &str) -> usize {
    let is_quantity = ["cpu", "memory"].contains(&path.rsplit('.').next().unwrap_or_default());
    if !is_quantity && let (Ok(long), Ok(short)) = (duration::parse(shipped), duration::parse(fast))
    {
        assert_eq!(short, scaled(long), "{path}: {shipped} became {fast}");
        return usize::from(!long.is_zero());
    }
    let split = |text: &str| -> Vec<String> {
        text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()).map(str::to_owned).collect()
    };
    let (a, b) = (split(shipped), split(fast));
    assert_eq!(a.len(), b.len(), "{path}: {shipped} became {fast}");
    let mut divided = 0;
    for (before, after) in a.iter().zip(&b).filter(|(before, after)| before != after) {
        let word =
            |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned();
        let (long, short) = (duration::parse(&word(before)), duration::parse(&word(after)));
        assert_eq!(short, long.map(scaled), "{path}: {before} became {after}");
        divided += 1;
    }
    divided
}

/// Prometheus knows nothing below a millisecond.
fn scaled(long: Duration) -> Duration {
    Duration::from_millis(u64::try_from((long / FACTOR).as_millis()).unwrap())
}

/// Every duration of the shipped text, found by another way: words that are one, comments left out.
fn durations_in_promql(value: &Value) -> usize {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| match value {
                Value::String(text) if key == "expr" => ranges(text),
                other => durations_in_promql(other),
            })
            .sum(),
        Value::Array(items) => items.iter().map(durations_in_promql).sum(),
        _ => 0,
    }
}

fn ranges(expr: &str) -> usize {
    let code: String = expr.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    code.split('[')
        .skip(1)
        .map(|part| part.split(']').next().unwrap_or_default())
        .map(|range| range.split(':').count())
        .sum()
}

#[test]
fn fast_files_differ_from_the_shipped_ones_in_durations_only() {
    for (name, text) in FILES {
        let (shipped, fast) = (parse(text), parse(&faster(text, FACTOR)));
        let divided = compare(name, &shipped, &fast);
        assert!(divided > 0, "{name}: nothing became faster");
    }
}

#[test]
fn every_range_in_the_shipped_rules_is_divided() {
    for (name, text) in &FILES[..3] {
        let shipped = parse(text);
        let fast = parse(&faster(text, FACTOR));
        let expressions = |value: &Value| serde_json::to_string(value).unwrap();
        assert_eq!(durations_in_promql(&shipped), durations_in_promql(&fast), "{name}");
        for range in ["[10m]", "[5m]", "[2m]", "[1m]"] {
            assert!(!expressions(&fast).contains(range), "{name}: {range} is still there");
        }
    }
}

#[test]
fn no_rule_compares_with_a_bare_number_of_seconds() {
    for (name, text) in &FILES[..3] {
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            assert!(!line.contains("time()") && !line.contains("timestamp("), "{name}: {line}");
        }
    }
}

/// Only how the use of workers is measured differs where they are containers.
#[test]
fn the_rules_of_containers_are_the_others_but_for_what_is_used() {
    let rest = |text: &'static str| {
        let begin = text.find("      # What the pods on Ready, uncordoned").unwrap();
        &text[begin..]
    };
    let (usual, docker) =
        (include_str!("../../rules/health.yaml"), include_str!("../../rules/docker/health.yaml"));
    assert_eq!(rest(usual), rest(docker));
}
