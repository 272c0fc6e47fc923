//! The sections of a pool, read and written.

use super::{
    Amount, Budget, Cooldowns, DrainConfig, EFFECTS, EvictConfig, Limits, MOST, NodeTemplate, Steps,
};
use crate::config::error::Mend;
use crate::config::reader::Section;
use crate::config::tree::Tree;
use crate::config::value;
use crate::model::{Resources, Taint, duration};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Kubernetes' limit for the name part of a label's key, and for its value.
const LABEL: usize = 63;

impl NodeTemplate {
    /// `line_max`: what all labels may have in a line, and all taints, where the pool's provider has a limit for that.
    pub(super) fn read(s: &mut Section<'_>, line_max: Option<usize>) -> Self {
        let node = Self {
            labels: s.section("labels", read_labels),
            taints: s.items("taints", read_taint).unwrap_or_default(),
            startup_taints: s
                .list("startup_taints", taint_key)
                .unwrap_or_default()
                .into_iter()
                .collect(),
            reserved: s.section("reserved", read_resources),
        };
        let (most, all) = (line_max.unwrap_or(usize::MAX), node.template());
        for (name, line) in [("labels", all.labels_line()), ("taints", all.taints_line())] {
            let letters = line.chars().count();
            if letters > most {
                let mend = format!(
                    "all together must have {most} letters at most in the tag of AWS's that a machine reads them from, and have \
                     {letters}; shorten them, or say fewer"
                );
                s.refuse_as(name, line, mend.into());
            }
        }
        node
    }

    pub(super) fn to_value(&self) -> Value {
        let taint = |taint: &Taint| {
            let effect = value::word(&EFFECTS, &taint.effect);
            json!({ "key": taint.key, "value": taint.value, "effect": effect })
        };
        json!({
            "labels": self.labels,
            "taints": self.taints.iter().map(taint).collect::<Vec<_>>(),
            "startup_taints": self.startup_taints,
            "reserved": resources_value(&self.reserved),
        })
    }
}

impl Steps {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let base = Self::default();
        Self {
            up: s.take("up", value::amount(1000)).unwrap_or(base.up),
            down: s.take("down", value::amount(100)).unwrap_or(base.down),
            empty: s.take("empty", value::amount(100)).unwrap_or(base.empty),
        }
    }

    pub(super) fn to_value(self) -> Value {
        let amount = |amount| match amount {
            Amount::Count(count) => json!(count),
            Amount::Percent(percent) => json!(format!("{percent}%")),
        };
        json!({ "up": amount(self.up), "down": amount(self.down), "empty": amount(self.empty) })
    }
}

impl Limits {
    pub(super) fn read(s: &mut Section<'_>, base: Self) -> Self {
        Self {
            launches_per_hour: s
                .take("launches_per_hour", value::whole(1..=MOST))
                .unwrap_or(base.launches_per_hour),
            cpu_milli: s.take("cpu", value::above_zero(value::cpu)),
            memory: s.take("memory", value::above_zero(value::memory)),
        }
    }

    pub(super) fn to_value(self) -> Value {
        json!({
            "launches_per_hour": self.launches_per_hour,
            "cpu": self.cpu_milli.map(value::cpu_text),
            "memory": self.memory.map(value::memory_text),
        })
    }
}

impl Cooldowns {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let base = Self::default();
        Self {
            up: s.take("up", value::duration).unwrap_or(base.up),
            down: s.take("down", value::duration).unwrap_or(base.down),
            pending: s.take("pending", value::duration).unwrap_or(base.pending),
        }
    }

    pub(super) fn to_value(self) -> Value {
        json!({
            "up": duration::format(self.up),
            "down": duration::format(self.down),
            "pending": duration::format(self.pending),
        })
    }
}

impl EvictConfig {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let base = Self::default();
        Self {
            kube_system_after: s
                .take("kube_system_after", value::duration)
                .unwrap_or(base.kube_system_after),
            local_storage: s.take("local_storage", value::truth).unwrap_or(base.local_storage),
        }
    }

    pub(super) fn to_value(self) -> Value {
        json!({
            "kube_system_after": duration::format(self.kube_system_after),
            "local_storage": self.local_storage,
        })
    }
}

impl DrainConfig {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        let base = Self::default();
        Self {
            timeout: s.take("timeout", value::lasting).unwrap_or(base.timeout),
            load_balancers: s
                .take("load_balancers", value::duration)
                .unwrap_or(base.load_balancers),
            detach: s.take("detach", value::duration).unwrap_or(base.detach),
            force_last: s.take("force_last", value::duration).unwrap_or(base.force_last),
            when_removed: s.take("when_removed", value::truth).unwrap_or(base.when_removed),
        }
    }

    pub(super) fn to_value(self) -> Value {
        json!({
            "timeout": duration::format(self.timeout),
            "load_balancers": duration::format(self.load_balancers),
            "detach": duration::format(self.detach),
            "force_last": duration::format(self.force_last),
            "when_removed": self.when_removed,
        })
    }
}

impl Budget {
    pub(super) fn read(s: &mut Section<'_>) -> Self {
        Self { per_hour: s.take("per_hour", value::price) }
    }
}

/// The larger of 60 and twice the pool: enough to build it anew, too few to burn money all night.
pub(super) fn default_launches(max: u32) -> u32 {
    max.saturating_mul(2).max(60)
}

pub(super) fn read_resources(s: &mut Section<'_>) -> Resources {
    let cpu = s.take("cpu", value::cpu).unwrap_or_default();
    Resources::new(cpu, s.take("memory", value::memory).unwrap_or_default())
}

pub(super) fn resources_value(resources: &Resources) -> Value {
    json!({
        "cpu": value::cpu_text(resources.cpu_milli),
        "memory": value::memory_text(resources.memory),
    })
}

fn read_labels(s: &mut Section<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for key in s.own_names() {
        if !is_label_key(&key) {
            s.refuse_name(
                &key,
                "is no key of a label; write it like tier or example.com/tier".into(),
            );
        } else if let Some(text) = s.take(&key, label_value) {
            labels.insert(key, text);
        }
    }
    labels
}

fn read_taint(s: &mut Section<'_>) -> Taint {
    let effect = s.required("effect", value::one_of(&EFFECTS)).unwrap_or(EFFECTS[0].1);
    Taint {
        key: s.required("key", taint_key).unwrap_or_default(),
        value: s.take("value", label_value).unwrap_or_default(),
        effect,
    }
}

fn taint_key(tree: &Tree) -> Result<String, Mend> {
    let key = value::text(tree)?;
    if is_label_key(&key) {
        Ok(key)
    } else {
        Err("must be like dedicated or example.com/gpu".into())
    }
}

fn label_value(tree: &Tree) -> Result<String, Mend> {
    let read = value::any_text(tree)?;
    if read.is_empty() || is_label_name(&read) {
        Ok(read)
    } else {
        Err("must be letters, digits, `-`, `_` and `.` inside, at most 63".into())
    }
}

fn is_label_key(key: &str) -> bool {
    let (prefix, name) =
        key.rsplit_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let domain = |prefix: &str| {
        prefix.len() <= 253 && prefix.split('.').all(|part| value::name(part).is_ok())
    };
    is_label_name(name) && prefix.is_none_or(domain)
}

fn is_label_name(text: &str) -> bool {
    (1..=LABEL).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}
