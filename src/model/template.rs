//! What new workers of a pool are launched as, as far as a running one cannot change it.

use super::{Effect, Labels, Taint};
use serde::{Deserialize, Serialize};

/// Labels and taints that its node registers with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    /// The labels.
    pub labels: Labels,
    /// The taints, in the file's order.
    pub taints: Vec<Taint>,
}

impl Template {
    /// What of `now` is not so in this one, for people: the first that differs.
    pub fn differs_from(&self, now: &Self) -> Option<String> {
        let known = |key: &String| now.labels.contains_key(key);
        let changed = now.labels.iter().find(|(key, value)| self.labels.get(*key) != Some(value));
        if let Some((key, value)) = changed {
            return Some(match self.labels.get(key) {
                Some(before) => format!("label {key} was {before:?} and is {value:?}"),
                None => format!("label {key} is new"),
            });
        }
        if let Some(key) = self.labels.keys().find(|key| !known(key)) {
            return Some(format!("label {key} is gone"));
        }
        let of = |taints: &[Taint], other: &[Taint]| {
            taints.iter().find(|taint| !other.contains(taint)).map(|taint| taint.key.clone())
        };
        let new = of(&now.taints, &self.taints).map(|key| format!("taint {key} is new"));
        new.or_else(|| of(&self.taints, &now.taints).map(|key| format!("taint {key} is gone")))
    }

    /// The labels as a boot script takes them apart: `a=b c=d`. None has a blank in it.
    pub fn labels_line(&self) -> String {
        let labels = self.labels.iter().map(|(key, value)| format!("{key}={value}"));
        labels.collect::<Vec<_>>().join(" ")
    }

    /// The taints likewise: `k=v:NoSchedule`.
    pub fn taints_line(&self) -> String {
        let taint = |taint: &Taint| {
            let effect = match taint.effect {
                Effect::NoSchedule => "NoSchedule",
                Effect::PreferNoSchedule => "PreferNoSchedule",
                Effect::NoExecute => "NoExecute",
            };
            format!("{}={}:{effect}", taint.key, taint.value)
        };
        self.taints.iter().map(taint).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Effect;

    fn template(labels: &[(&str, &str)], taints: &[(&str, Effect)]) -> Template {
        let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let taint = |(key, effect): &(&str, Effect)| Taint {
            key: (*key).to_owned(),
            value: String::new(),
            effect: *effect,
        };
        Template {
            labels: labels.iter().map(label).collect(),
            taints: taints.iter().map(taint).collect(),
        }
    }

    #[test]
    fn the_first_that_differs_is_told() {
        let before = template(&[("tier", "web")], &[("gpu", Effect::NoSchedule)]);
        let told = |labels, taints| before.differs_from(&template(labels, taints));
        let gpu = [("gpu", Effect::NoSchedule)];
        assert_eq!(told(&[("tier", "web")], &gpu), None);
        for (labels, taints, words) in [
            (&[("tier", "batch")][..], &gpu[..], "label tier was \"web\" and is \"batch\""),
            (&[("tier", "web"), ("disk", "ssd")], &gpu, "label disk is new"),
            (&[], &gpu, "label tier is gone"),
            (&[("tier", "web")], &[], "taint gpu is gone"),
            (&[("tier", "web")], &[gpu[0], ("spot", Effect::NoExecute)], "taint spot is new"),
            (&[("tier", "web")], &[("gpu", Effect::NoExecute)], "taint gpu is new"),
        ] {
            assert_eq!(told(labels, taints).as_deref(), Some(words));
        }
    }

    #[test]
    fn the_order_of_taints_is_no_difference() {
        let (one, other) = (("a", Effect::NoSchedule), ("b", Effect::NoSchedule));
        let before = template(&[], &[one, other]);
        assert_eq!(before.differs_from(&template(&[], &[other, one])), None);
    }
}
