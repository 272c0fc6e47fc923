//! What goes wrong: with a process, its machine and its network, and with the store.

use super::lease::Way;
use super::moves::claim_of;
use super::state::{Answer, Done, Pass, Replica, State, Told};
use super::{Check, Fault, Mutant};
use crate::reconcile::claims::belief::Granted;
use jiff::Timestamp;

impl Check {
    pub(super) fn fault(&self, state: &mut State, fault: Fault, who: usize) -> bool {
        let now = state.stores();
        let happens = match fault {
            Fault::Crash => crash(state.replica(who)),
            Fault::Stop => self.stop(state, who, now),
            Fault::AnswerLate => self.ask(state, who),
            Fault::AnswerLost => self.ask(state, who) && state.replica(who).answer.take().is_some(),
            Fault::LeaseAway => self.lease(state, who, Way::Away),
            Fault::LeaseLost => self.lease(state, who, Way::Lost),
            Fault::LeaseLate => self.lease(state, who, Way::Late),
            Fault::CutOff => !std::mem::replace(&mut state.replica(who).cut_off, true),
            Fault::CallUnanswered => self.call(state, who, Done::Unanswered),
            Fault::Hang => !std::mem::replace(&mut state.replica(who).hung, true),
            Fault::Astray => !std::mem::replace(&mut state.replica(who).astray, true),
            Fault::Sleep => !std::mem::replace(&mut state.replica(who).asleep, true),
            Fault::LastWriteLost => lose_write(state),
            Fault::ClockAhead => std::mem::replace(&mut state.ahead, 1) == 0,
        };
        if happens {
            state.faults -= 1;
            if state.faults == 0 {
                state.before = None;
            }
        }
        happens
    }

    /// Ends in order: the pass is over, the claim is given back, and the process comes again.
    fn stop(&self, state: &mut State, who: usize, now: Timestamp) -> bool {
        let replica = state.replica(who);
        if !replica.runs() || replica.pass != Pass::Idle || replica.answer.is_some() {
            return false;
        }
        let Some(Granted { claim, .. }) = replica.belief.give_back() else {
            return false;
        };
        crash(replica);
        let mut holding = state.store.holding.clone();
        let claim = match &state.store.holder {
            Some(other) if self.mutant == Some(Mutant::ReleaseOfOther) => {
                claim_of(other.who, other.token)
            }
            _ => claim,
        };
        self.let_go(state, who, &claim);
        if holding.release(&claim, now).is_ok() {
            self.write(state, |store| (store.holding, store.holder) = (holding, None));
        }
        true
    }
}

/// Whether a fault may change anything here.
pub(super) fn may(state: &State, fault: Fault, who: usize) -> bool {
    let (replica, is_other_well) = (&state.replicas[who], state.replicas[1 - who].is_well());
    match fault {
        Fault::Crash => true,
        Fault::Stop => replica.pass == Pass::Idle && replica.answer.is_none(),
        Fault::AnswerLate | Fault::AnswerLost => replica.answer.is_none(),
        // What is asked of the cluster needs the store's claim.
        Fault::LeaseAway | Fault::LeaseLost | Fault::LeaseLate => {
            matches!(&replica.answer, Some(Answer { told: Told::Store { answer: Ok(_), .. }, .. }))
        }
        Fault::CutOff => is_other_well && !replica.cut_off,
        Fault::CallUnanswered => matches!(replica.pass, Pass::Checked { .. }),
        // One of the two is always well: else nobody could act, and nobody should.
        Fault::Hang => is_other_well && !replica.hung && replica.pass != Pass::Idle,
        Fault::Astray => is_other_well && !replica.astray,
        Fault::Sleep => !replica.asleep,
        // These are the store's, whoever is named.
        Fault::LastWriteLost => who == 0 && state.before.is_some(),
        Fault::ClockAhead => who == 0 && state.ahead == 0,
    }
}

/// The process ends without a word, and comes again, knowing nothing.
fn crash(replica: &mut Replica) -> bool {
    let Replica { astray, cut_off, slept, .. } = *replica;
    let fresh = Replica { astray, cut_off, slept, ..Replica::default() };
    let is_change = fresh != *replica;
    *replica = fresh;
    is_change
}

/// The store falls back to what it was before its last write, as a replica that lagged.
fn lose_write(state: &mut State) -> bool {
    let Some(before) = state.before.take() else {
        return false;
    };
    (state.store, state.lost) = (before, true);
    true
}
