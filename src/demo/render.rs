//! The one step between the shipped files and the demo's: every duration divided by a factor.
//!
//! What is a duration: in YAML, a value that is one as a whole (`for: 10m`, `{up: 5m}`), except
//! under `cpu` and `memory`, where `100m` means something else; in PromQL, what stands in `[…]` and
//! after `offset`. Nothing else changes; `tests/it/render.rs` parses both sides and holds that.

use crate::model::duration;
use regex::{Captures, Regex};

/// A duration as Prometheus writes it.
const DURATION: &str = r"(?:\d+(?:ms|[smhdw]))+";

/// Divides every duration in one of the shipped YAML files by `factor`.
pub fn faster(yaml: &str, factor: u32) -> String {
    let value = regex(&format!(
        r#"(?m)(?P<key>[\w./-]+)(?P<mid>["']?:\s+["']?)(?P<d>{DURATION})(?P<end>["']?\s*(?:[,}}#].*)?$|["']?[,}}])"#
    ));
    let mut text = yaml.to_owned();
    // Twice: neighbours in one flow map share the comma between them.
    for _ in 0..2 {
        text = value
            .replace_all(&text, |found: &Captures<'_>| scaled_value(found, factor))
            .into_owned();
    }
    unmark(&faster_promql(&text, factor))
}

fn scaled_value(found: &Captures<'_>, factor: u32) -> String {
    let (key, mid, text, end) = (&found["key"], &found["mid"], &found["d"], &found["end"]);
    if key == "cpu" || key == "memory" {
        return found[0].to_owned();
    }
    format!("{key}{mid}{MARK}{}{end}", divided(text, factor))
}

/// Divides the durations inside PromQL: ranges, subqueries, offsets.
fn faster_promql(text: &str, factor: u32) -> String {
    let range = regex(&format!(r"\[(?P<range>{DURATION})(?P<colon>:?)(?P<step>{DURATION})?\]"));
    let offset = regex(&format!(r"\boffset (?P<d>{DURATION})"));
    let text = range.replace_all(text, |found: &Captures<'_>| {
        let step =
            found.name("step").map(|step| divided(step.as_str(), factor)).unwrap_or_default();
        format!("[{}{}{step}]", divided(&found["range"], factor), &found["colon"])
    });
    offset
        .replace_all(&text, |found: &Captures<'_>| {
            format!("offset {}", divided(&found["d"], factor))
        })
        .into_owned()
}

/// Marks a value that is divided already, so that the second round leaves it.
const MARK: char = '\u{1}';

fn unmark(text: &str) -> String {
    text.replace(MARK, "")
}

fn divided(text: &str, factor: u32) -> String {
    duration::parse(text)
        .map_or_else(|_| text.to_owned(), |long| duration::format(long / factor.max(1)))
}

fn regex(text: &str) -> Regex {
    Regex::new(text).expect("a constant expression")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_of_a_yaml_file_is_divided_and_nothing_else() {
        let yaml = "for: 10m # 10m stays here\ncooldown: { up: 5m, down: 10m, pending: 0s }\nlimits: { cpu: 100m }\n- interval: 30s\nname: m5\n";
        let fast = "for: 20s # 10m stays here\ncooldown: { up: 10s, down: 20s, pending: 0s }\nlimits: { cpu: 100m }\n- interval: 1s\nname: m5\n";
        assert_eq!(faster(yaml, 30), fast);
    }

    #[test]
    fn ranges_subqueries_and_offsets_of_promql_are_divided() {
        let expr = "expr: rate(x[5m]) > 70 and max_over_time(y[10m:30s] offset 1h)";
        assert_eq!(
            faster(expr, 30),
            "expr: rate(x[10s]) > 70 and max_over_time(y[20s:1s] offset 2m)"
        );
    }
}
