//! The rules that a Prometheus has loaded, as far as they permit that we post their alerts. Pure.

use crate::model::{PUSH_LABEL, PushRule};
use crate::wire::short;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// An answer of `/api/v1/rules`.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: String,
}

#[derive(Debug, Deserialize)]
struct Data {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    /// In seconds.
    #[serde(default)]
    interval: f64,
    rules: Vec<Rule>,
}

/// Recording rules have neither labels that matter nor annotations.
#[derive(Debug, Deserialize)]
struct Rule {
    name: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// The rules that ask for workers and permit that we post their alerts.
pub(super) fn pushed(answer: Answer) -> Result<Vec<PushRule>, String> {
    let Some(data) = answer.data.filter(|_| answer.status == "success") else {
        return Err(format!("rules are not told: {}", short(&answer.error)));
    };
    let mut pushed = Vec::new();
    for group in data.groups {
        let interval = Duration::try_from_secs_f64(group.interval).unwrap_or_default();
        let says = |rule: &Rule, label: &str, value: &str| {
            rule.labels.get(label).is_some_and(|told| told == value)
        };
        // One that says how many is about something else than the pods that we see.
        let has_size = |rule: &Rule| {
            rule.labels.contains_key("step") || rule.annotations.contains_key("want_query")
        };
        let permits = |rule: &Rule| {
            says(rule, PUSH_LABEL, "true") && says(rule, "autoscale", "up") && !has_size(rule)
        };
        let rules = group.rules.into_iter().filter(permits);
        pushed.extend(rules.map(|Rule { name, labels, annotations }| PushRule {
            name,
            labels,
            annotations,
            interval,
        }));
    }
    Ok(pushed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn names(rules: &serde_json::Value) -> Vec<String> {
        let body = json!({ "status": "success", "data": { "groups": [{ "name": "g", "interval": 5, "rules": rules }] } });
        let told = pushed(serde_json::from_value(body).unwrap()).unwrap();
        assert!(told.iter().all(|rule| rule.interval == Duration::from_secs(5)));
        told.into_iter().map(|rule| rule.name).collect()
    }

    #[test]
    fn rules_that_ask_for_what_pods_need_and_permit_it_are_pushed() {
        let rule = |name: &str, labels: serde_json::Value, annotations: serde_json::Value| json!({ "name": name, "labels": labels, "annotations": annotations });
        let told = names(&json!([
            rule("one", json!({ "autoscale": "up", "bellwether_push": "true" }), json!({})),
            rule("not permitted", json!({ "autoscale": "up" }), json!({})),
            rule("forbidden", json!({ "autoscale": "up", "bellwether_push": "false" }), json!({})),
            rule("down", json!({ "autoscale": "down", "bellwether_push": "true" }), json!({})),
            rule("steps", json!({ "autoscale": "up", "bellwether_push": "true", "step": "1" }), json!({})),
            rule("asks", json!({ "autoscale": "up", "bellwether_push": "true" }), json!({ "want_query": "3" })),
            { "name": "a:recorded:series", "type": "recording" },
        ]));
        assert_eq!(told, ["one"]);
    }

    #[test]
    fn an_answer_that_is_none_is_told_as_such() {
        let body = json!({ "status": "error", "error": "not yet" });
        let why = pushed(serde_json::from_value(body).unwrap()).unwrap_err();
        assert_eq!(why, "rules are not told: not yet");
    }
}
