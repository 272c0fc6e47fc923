//! What may befall a call.

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
    always: BTreeMap<&'static str, Fault>,
}

impl Faults {
    pub(super) fn next(&mut self, action: &'static str, fault: Fault) {
        self.next.entry(action).or_default().push_back(fault);
    }

    pub(super) fn always(&mut self, action: &'static str, fault: Option<Fault>) {
        match fault {
            Some(fault) => self.always.insert(action, fault),
            None => self.always.remove(action),
        };
    }

    /// What befalls the call of an action that came in now.
    pub(super) fn befalling(&mut self, action: &str) -> Option<Fault> {
        let next = self.next.get_mut(action).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(action).cloned())
    }
}
