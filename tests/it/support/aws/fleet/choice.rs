//! What a fleet may be launched as.

use crate::support::aws::shop::{Lifecycle, Ware};
use crate::support::aws::words::Words;
use crate::support::aws::xml;

/// An override: one way for the fleet to come about.
pub(super) struct Choice {
    pub(super) template: Words,
    /// What it overrides.
    pub(super) words: Words,
    pub(super) zone: Option<String>,
}

impl Choice {
    pub(super) fn ware(&self, lifecycle: Lifecycle) -> Ware {
        let shape = self.words.get("InstanceType").cloned();
        Ware { shape, zone: self.zone.clone(), lifecycle }
    }

    /// Less is sooner; one without is last.
    pub(super) fn priority(&self) -> f64 {
        self.words.get("Priority").map_or(f64::INFINITY, |text| text.parse().unwrap())
    }

    /// As AWS repeats it: what was said, so the zone only if it was.
    pub(super) fn xml(&self) -> String {
        let all = |words: &Words| {
            let said = words
                .iter()
                .map(|(name, value)| xml::saying(&(name[..1].to_lowercase() + &name[1..]), value));
            said.collect::<Vec<_>>().concat()
        };
        let template = xml::element("launchTemplateSpecification", &all(&self.template));
        let overrides = xml::element("overrides", &all(&self.words));
        xml::element("launchTemplateAndOverrides", &(template + &overrides))
    }
}
