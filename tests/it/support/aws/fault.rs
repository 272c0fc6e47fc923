//! What may befall a call.

use super::Call;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is refused with this code: moto does not hear of it.
    Refused { status: u16, code: &'static str },
    /// It is cut off before moto hears of it.
    CutBefore,
    /// It has its effect, and is cut off before the answer.
    CutAfter,
    /// It has its effect at once, and is answered after so long.
    Late(Duration),
    /// Of a list in pages the second is left out.
    PageLost,
    /// Of a list in pages the second is told twice.
    PageTwice,
}

/// What is to befall calls, by actions.
#[derive(Default)]
pub(super) struct Faults {
    next: BTreeMap<&'static str, VecDeque<Fault>>,
    /// Of calls that are no dry runs.
    next_act: BTreeMap<&'static str, VecDeque<Fault>>,
    /// Of the first call of a later round of a launch, by the round that its token says.
    in_round: BTreeMap<String, Fault>,
    always: BTreeMap<&'static str, Fault>,
}

impl Faults {
    pub(super) fn next(&mut self, action: &'static str, fault: Fault) {
        self.next.entry(action).or_default().push_back(fault);
    }

    pub(super) fn next_act(&mut self, action: &'static str, fault: Fault) {
        self.next_act.entry(action).or_default().push_back(fault);
    }

    pub(super) fn in_round(&mut self, round: usize, fault: Fault) {
        self.in_round.insert(round.to_string(), fault);
    }

    pub(super) fn always(&mut self, action: &'static str, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.always.insert(action, fault),
            None => self.always.remove(action),
        };
    }

    /// What befalls a call that came in now.
    pub(super) fn befalling(&mut self, call: &Call) -> Option<Fault> {
        let action = call.action.as_str();
        let round = call.words.get("ClientToken").and_then(|token| token.rsplit('.').nth(1));
        if let Some(fault) = round.and_then(|round| self.in_round.remove(round)) {
            return Some(fault);
        }
        if !call.is_dry()
            && let Some(fault) = self.next_act.get_mut(action).and_then(VecDeque::pop_front)
        {
            return Some(fault);
        }
        let next = self.next.get_mut(action).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(action).cloned())
    }
}
