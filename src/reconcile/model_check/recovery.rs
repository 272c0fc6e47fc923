//! Liveness: whatever happened, once nothing more goes wrong and one more machine is needed, one of
//! the two gets it. Asked of every state, by letting both do what they can, in turn.

use super::state::State;
use super::{Action, Check};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Rounds of one tick in which it must happen: the longest chain is a hung pass (overdue, then the
/// claim's end), an open intent (its replay), and then the new one.
const ROUNDS: usize = 12;

impl Check {
    /// Whether somebody acts again after this.
    pub(super) fn acts_again(&self, state: &State) -> bool {
        let mut state = State { need: 2, faults: 0, before: None, ..state.clone() };
        let mut passed = Vec::new();
        for _ in 0..ROUNDS {
            let mut hasher = DefaultHasher::new();
            state.hash(&mut hasher);
            let key = hasher.finish();
            passed.push(key);
            let is_known = self.recovers.lock().unwrap().contains(&key);
            if is_known || (state.live() >= 2 && state.store.record.intents.is_empty()) {
                self.recovers.lock().unwrap().extend(passed);
                return true;
            }
            self.apply(&mut state, Action::Arrive);
            for who in [0, 1] {
                self.does_what_it_can(&mut state, who);
            }
            self.pass_time(&mut state);
        }
        false
    }

    fn does_what_it_can(&self, state: &mut State, who: usize) {
        let turns = [
            Action::Wake(who),
            Action::Hear(who),
            Action::Lease(who),
            Action::Ask(who),
            Action::Lease(who),
            Action::Look(who),
            Action::Commit(who),
            Action::Check(who),
            Action::Call(who),
            Action::Check(who),
            Action::Call(who),
            Action::Conclude(who),
        ];
        for action in turns {
            self.apply(state, action);
        }
    }
}
