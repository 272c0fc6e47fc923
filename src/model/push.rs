//! Alerts that we post ourselves, of rules that permit it.

use super::{ClusterName, PoolName, duration};
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// By this label, set to `"true"`, a rule permits that its alert is posted before Prometheus has evaluated it.
pub const PUSH_LABEL: &str = "bellwether_push";

/// A posted alert lasts at least so long: Alertmanager is to see the rule's own before it ends.
const LASTS: Duration = Duration::from_mins(1);

/// An alerting rule that permits that its alert is posted by us, as Prometheus has loaded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushRule {
    /// The alert's name.
    pub name: String,
    /// The rule's labels; templates are not filled in.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, likewise.
    pub annotations: BTreeMap<String, String>,
    /// How often it is evaluated.
    pub interval: Duration,
}

/// An alert as Alertmanager takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedAlert {
    /// Its labels: the very ones that Prometheus will send, so that both are one alert.
    pub labels: BTreeMap<String, String>,
    /// For people.
    pub annotations: BTreeMap<String, String>,
    /// Since when.
    pub starts_at: Timestamp,
    /// Until when, unless Prometheus says otherwise.
    pub ends_at: Timestamp,
}

impl PushRule {
    /// Its alert about so many pods that a pool would grow for, firing since a moment; `None` where the rule is about another cluster or pool.
    ///
    /// # Errors
    /// In words: it has a label that only Prometheus could fill in.
    pub fn alert(
        &self,
        cluster: &ClusterName,
        pool: &PoolName,
        pods: usize,
        (starts_at, now): (Timestamp, Timestamp),
    ) -> Result<Option<PostedAlert>, String> {
        let ours = [("cluster", cluster.as_str()), ("pool", pool.as_str())];
        let is_another = |(name, own): (&str, &str)| {
            self.labels.get(name).and_then(|it| filled(it, &ours)).is_some_and(|it| it != own)
        };
        if ours.into_iter().any(is_another) {
            return Ok(None);
        }
        let mut labels: BTreeMap<String, String> =
            ours.into_iter().map(|(name, own)| (name.to_owned(), own.to_owned())).collect();
        for (name, value) in &self.labels {
            let filled = filled(value, &ours).ok_or_else(|| self.unfilled(name, value))?;
            labels.insert(name.clone(), filled);
        }
        labels.insert("alertname".to_owned(), self.name.clone());
        let plain =
            self.annotations.iter().filter_map(|(k, v)| Some((k.clone(), filled(v, &ours)?)));
        let mut annotations: BTreeMap<String, String> = plain.collect();
        annotations.entry("description".to_owned()).or_insert_with(|| {
            format!("Pods that a worker of the pool helps, as Bellwether saw them: {pods}.")
        });
        let lasts = LASTS.max(self.interval.saturating_mul(4));
        Ok(Some(PostedAlert {
            labels,
            annotations,
            starts_at,
            ends_at: duration::after(now, lasts),
        }))
    }

    fn unfilled(&self, name: &str, value: &str) -> String {
        format!(
            "rule {}: its label {name} ({value}) is filled in by Prometheus only; write it out, or take the label \
             {PUSH_LABEL} away",
            self.name
        )
    }
}

/// A text with the labels filled in that are known to us; none where it needs others.
fn filled(text: &str, known: &[(&str, &str)]) -> Option<String> {
    let mut rest = text;
    let mut filled = String::new();
    while let Some((before, template)) = rest.split_once("{{") {
        let (inside, after) = template.split_once("}}")?;
        let (_, value) =
            known.iter().find(|(name, _)| inside.trim() == format!("$labels.{name}"))?;
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    filled.push_str(rest);
    Some(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: Timestamp = Timestamp::UNIX_EPOCH;

    fn rule(labels: &[(&str, &str)]) -> PushRule {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
        };
        PushRule {
            name: "PodsUnschedulable".to_owned(),
            labels: owned(labels),
            annotations: owned(&[
                ("summary", "In {{ $labels.pool }}"),
                ("description", "{{ $value }}"),
            ]),
            interval: Duration::from_secs(5),
        }
    }

    fn alert(labels: &[(&str, &str)]) -> Result<Option<PostedAlert>, String> {
        rule(labels).alert(&"c".into(), &"workers".into(), 3, (T0, T0))
    }

    #[test]
    fn a_rules_alert_has_the_labels_that_prometheus_would_send() {
        let posted = alert(&[("autoscale", "up"), ("cluster", "c")]).unwrap().unwrap();
        let told = [
            ("alertname", "PodsUnschedulable"),
            ("autoscale", "up"),
            ("cluster", "c"),
            ("pool", "workers"),
        ];
        let told = told.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(posted.labels, told.into());
        let templates = alert(&[
            ("autoscale", "up"),
            ("cluster", "{{$labels.cluster}}"),
            ("pool", "{{ $labels.pool }}"),
        ]);
        assert_eq!(templates.unwrap().unwrap().labels, posted.labels);
        assert_eq!(alert(&[("autoscale", "up")]).unwrap().unwrap().labels, posted.labels);
    }

    #[test]
    fn an_annotation_that_only_prometheus_could_fill_in_is_left_out() {
        let posted = alert(&[]).unwrap().unwrap();
        assert_eq!(posted.annotations["summary"], "In workers");
        assert_eq!(
            posted.annotations["description"],
            "Pods that a worker of the pool helps, as Bellwether saw them: 3."
        );
    }

    #[test]
    fn it_lasts_for_some_evaluations_and_no_less_than_a_minute() {
        let lasts = |interval| {
            let rule = PushRule { interval: Duration::from_secs(interval), ..rule(&[]) };
            let posted = rule.alert(&"c".into(), &"workers".into(), 1, (T0, T0));
            posted.unwrap().unwrap().ends_at.as_second()
        };
        assert_eq!([lasts(5), lasts(60)], [60, 240]);
    }

    #[test]
    fn a_rule_about_another_cluster_or_pool_is_none_of_this_need() {
        assert_eq!(alert(&[("cluster", "other")]), Ok(None));
        assert_eq!(alert(&[("pool", "gpu")]), Ok(None));
        assert_eq!(alert(&[("pool", "gpu"), ("team", "{{ $value }}")]), Ok(None));
    }

    #[test]
    fn a_label_that_only_prometheus_could_fill_in_is_refused_with_a_mend() {
        for value in ["{{ $labels.instance }}", "{{ $value }}", "{{ broken"] {
            let refused = alert(&[("team", value)]).unwrap_err();
            assert!(refused.contains("rule PodsUnschedulable: its label team"), "{refused}");
            assert!(refused.contains("write it out"), "{refused}");
        }
    }
}
