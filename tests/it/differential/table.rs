//! What came of all cases, for people.

use super::judge::{Answer, Explanation};
use super::stage::Verdict;
use bellwether::policy::Predicate;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// How often each predicate must decide in so many cases; fewer cases need fewer.
const DECISIVE: (usize, usize) = (25, 2_000);

/// No more than one of so many cases may be put to the scheduler again: it seldom lags, and what it gets right only at the second
/// time would else be no disagreement for ever.
const AGAIN_IN: usize = 50;

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) cases: usize,
    pub(super) unschedulable: usize,
    /// Pods that ask for two kinds of things at least, beside room.
    asked: usize,
    /// Cases in which two predicates at least forbid some node.
    at_work: usize,
    /// Where nothing else keeps an unschedulable pod off some node.
    decisive: BTreeMap<Predicate, usize>,
    /// Where we would give another answer without it: another node, or one at all.
    noticed: BTreeMap<Predicate, usize>,
    explained: BTreeMap<Explanation, usize>,
    pub(super) unexplained: usize,
    /// Asked again, since the scheduler may not have heard of the last change yet; then it agreed.
    pub(super) again: usize,
    pub(super) took: Duration,
}

impl Table {
    pub(super) fn count(
        &mut self,
        kinds: usize,
        answer: &Answer,
        order: &[String],
        verdict: &Verdict,
    ) {
        self.cases += 1;
        self.unschedulable += usize::from(verdict.node().is_none());
        self.asked += usize::from(kinds >= 2);
        self.at_work += usize::from(answer.at_work() >= 2);
        for predicate in Predicate::ALL {
            if answer.is_decided_by(predicate, verdict) {
                *self.decisive.entry(predicate).or_default() += 1;
            }
            if answer.would_differ_without(predicate, order, verdict) {
                *self.noticed.entry(predicate).or_default() += 1;
            }
        }
    }

    pub(super) fn explain(&mut self, explanation: Explanation) {
        *self.explained.entry(explanation).or_default() += 1;
    }

    fn decisive(&self, predicate: Predicate) -> usize {
        self.decisive.get(&predicate).copied().unwrap_or(0)
    }

    /// What the cases do not try well enough.
    pub(super) fn lacks(&self) -> Vec<String> {
        let (least, of) = DECISIVE;
        let least = (least * self.cases / of).min(least);
        let mut lacks = Vec::new();
        for predicate in Predicate::ALL {
            let decisive = self.decisive(predicate);
            if decisive < least {
                lacks.push(format!("{} decides {decisive} cases, not {least}", predicate.name()));
            }
        }
        if self.unschedulable * 10 < self.cases * 3 {
            lacks.push("less than 30 % of the pods are unschedulable".to_owned());
        }
        if self.asked.min(self.at_work) * 2 < self.cases {
            lacks.push("less than half of the cases are about several things".to_owned());
        }
        if self.again * AGAIN_IN > self.cases.max(AGAIN_IN) {
            lacks.push(format!(
                "{} of {} cases agree only when asked again",
                self.again, self.cases
            ));
        }
        lacks
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share =
            |count: usize| format!("{} %", (count * 100 + self.cases / 2) / self.cases.max(1));
        let bound = self.cases - self.unschedulable;
        let explained: usize = self.explained.values().sum();
        let minutes = self.took.as_secs_f64() / 60.0;
        writeln!(f, "{} cases in {minutes:.1} minutes.\n", self.cases)?;
        writeln!(f, "| | cases | |\n|---|---|---|")?;
        writeln!(f, "| bound | {bound} | {} |", share(bound))?;
        writeln!(f, "| unschedulable | {} | {} |", self.unschedulable, share(self.unschedulable))?;
        writeln!(
            f,
            "| the pod asks for several kinds of things | {} | {} |",
            self.asked,
            share(self.asked)
        )?;
        writeln!(
            f,
            "| several predicates forbid nodes | {} | {} |",
            self.at_work,
            share(self.at_work)
        )?;
        writeln!(
            f,
            "| agreed when asked again | {} | the scheduler had not heard of the last change |",
            self.again
        )?;
        writeln!(
            f,
            "| disagreements | {} | of which explained: {explained} |",
            explained + self.unexplained
        )?;
        for (explanation, count) in &self.explained {
            writeln!(f, "| … explained | {count} | {} |", explanation.words())?;
        }
        writeln!(f, "\n| predicate | decides | noticed if it were not there |\n|---|---|---|")?;
        for predicate in Predicate::ALL {
            let noticed = self.noticed.get(&predicate).copied().unwrap_or(0);
            writeln!(f, "| {} | {} | {noticed} |", predicate.name(), self.decisive(predicate))?;
        }
        Ok(())
    }
}

#[test]
fn cases_that_agree_only_when_asked_again_must_be_few() {
    let lacks = |cases: usize, again: usize| {
        let lacks = Table { cases, again, ..Table::default() }.lacks();
        lacks.iter().any(|one| one.contains("asked again"))
    };
    assert!(!lacks(2_000, 40) && lacks(2_000, 41));
    assert!(!lacks(40, 1), "one of a short run says nothing");
    assert!(lacks(40, 2));
}
