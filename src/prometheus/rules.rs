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
        let permits = |rule: &Rule| says(rule, PUSH_LABEL, "true") && says(rule, "autoscale", "up");
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
