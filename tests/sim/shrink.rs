//! The fewest happenings that still break the same invariant.

use crate::scenario::Scenario;
use crate::universe::play;

/// Takes out halves, quarters, … and single happenings as long as the invariant stays broken.
pub(crate) fn shrink(scenario: &Scenario) -> Scenario {
    let broken = |scenario: &Scenario| play(scenario).violations.first().map(|one| one.invariant);
    let mut best = scenario.clone();
    let Some(invariant) = broken(&best) else { return best };
    let mut size = best.happenings.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < best.happenings.len() {
            let mut fewer = best.clone();
            let to = (from + size).min(fewer.happenings.len());
            fewer.happenings.drain(from..to);
            if broken(&fewer) == Some(invariant) {
                best = fewer;
            } else {
                from += size;
            }
        }
        size /= 2;
    }
    best
}
