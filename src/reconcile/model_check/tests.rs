//! What holds, what does not and why that is borne, and that every guard is needed for it.

use super::state::State;
use super::{
    ALIVE, ASTRAY, Action, BELIEF, CHECKED, Check, FENCE, Fault, GROWS, LATE, Mutant, NEED, ONCE,
};
use stateright::Model as _;
use std::collections::BTreeSet;

/// What may happen to a process, its machine and its network.
const PROCESS: &[Fault] = &[
    Fault::Crash,
    Fault::Stop,
    Fault::AnswerLate,
    Fault::AnswerLost,
    Fault::CallUnanswered,
    Fault::Hang,
    Fault::Astray,
];
/// What may happen on the way to the cluster.
const CLUSTER: &[Fault] = &[Fault::LeaseAway, Fault::LeaseLost, Fault::LeaseLate, Fault::CutOff];
const LOSS: &[Fault] = &[Fault::LastWriteLost];
const AHEAD: &[Fault] = &[Fault::ClockAhead];
const FAIL_OVER: &[Fault] = &[Fault::LastWriteLost, Fault::ClockAhead];

fn nothing() -> BTreeSet<&'static str> {
    BTreeSet::new()
}

/// Calls are made at once after the check right before them.
fn prompt(check: Check) -> Check {
    Check { late_calls: false, ..check }
}

#[test]
fn all_holds_in_every_order_while_nothing_goes_wrong() {
    assert_eq!(Check::with(4, 0, &[]).broken(), nothing());
}

#[test]
fn all_holds_whatever_goes_wrong_with_a_process() {
    assert_eq!(Check::with(3, 1, PROCESS).broken(), nothing());
}

#[test]
fn all_holds_while_a_machine_sleeps() {
    assert_eq!(Check::with(3, 1, &[Fault::Sleep]).broken(), nothing());
}

/// A process may believe in a claim that the store does not know any more, up to its end, and act:
/// what it committed before. Nothing is done twice for that, and nothing new is begun.
#[test]
fn a_store_that_loses_its_last_write_leads_to_no_second_act() {
    let check = prompt(Check::with(3, 1, LOSS));
    assert_eq!(check.broken(), BTreeSet::from([BELIEF, CHECKED]));
}

/// The same for a store whose clock goes ahead, as after a fail-over to another machine.
#[test]
fn a_store_whose_clock_goes_ahead_leads_to_no_second_act() {
    assert_eq!(Check::with(3, 1, AHEAD).broken(), BTreeSet::from([BELIEF, CHECKED]));
}

/// The one hole: the store forgets an intent while its call is late by more than the claim's life.
/// Then one need is served twice; no intent is, and nothing is committed that should not be.
#[test]
fn a_lost_intent_whose_call_is_late_is_the_only_way_to_serve_a_need_twice() {
    assert_eq!(Check::with(3, 1, LOSS).broken(), BTreeSet::from([BELIEF, CHECKED, NEED]));
}

#[test]
#[ignore = "minutes; `make model-check` runs it"]
fn all_holds_for_longer_and_whatever_two_things_go_wrong() {
    assert_eq!(Check::with(6, 0, &[]).broken(), nothing());
    assert_eq!(Check::with(4, 1, PROCESS).broken(), nothing());
    assert_eq!(Check::with(3, 2, PROCESS).broken(), nothing());
}

/// The lease is asked beside the claim.
fn leased(check: Check) -> Check {
    Check { lease: true, ..check }
}

/// What does not hold with the lease and prompt calls, but that none of those is late.
fn broken_with_lease(faults: &'static [Fault]) -> BTreeSet<&'static str> {
    let mut broken = leased(prompt(Check::with(3, 1, faults))).broken();
    assert!(broken.remove(LATE), "there is such a call all the same");
    broken
}

/// Who has the lease too is not doubted by anybody, whatever the store forgets; the hole that is left is closed by
/// waiting, see `policy::forgotten`.
#[test]
fn with_the_lease_a_store_that_loses_its_last_write_shakes_no_claim() {
    assert_eq!(broken_with_lease(LOSS), nothing());
}

#[test]
fn with_the_lease_a_store_whose_clock_goes_ahead_shakes_no_claim() {
    assert_eq!(broken_with_lease(AHEAD), nothing());
}

#[test]
fn with_the_lease_all_holds_whatever_goes_wrong_with_a_process() {
    assert_eq!(broken_with_lease(PROCESS), nothing());
}

/// It is away for a moment or for good, or does what it was asked when nobody waits for it any more.
#[test]
fn with_the_lease_all_holds_whatever_goes_wrong_on_the_way_to_the_cluster() {
    assert_eq!(broken_with_lease(CLUSTER), nothing());
}

/// The same with calls that are late, and time between claim and lease. One hole is left, see above.
#[test]
#[ignore = "minutes; `make model-check` runs it"]
fn with_the_lease_all_holds_however_late_anything_is() {
    for (may, broken) in [
        (PROCESS, nothing()),
        (CLUSTER, nothing()),
        (AHEAD, nothing()),
        (LOSS, BTreeSet::from([NEED])),
    ] {
        let check = Check { late_lease: true, ..leased(Check::with(3, 1, may)) };
        assert_eq!(check.broken(), broken, "{may:?}");
    }
}

/// What a keeper that gave up asked for is done after another had the lease and lost it.
#[test]
fn a_lease_that_is_asked_for_too_late_is_not_given_under_an_old_token() {
    let story = [
        Action::Ask(0),
        Action::Fault(Fault::LeaseLate, 0),
        Action::Tick,
        Action::Tick,
        Action::Ask(1),
        Action::Lease(1),
        Action::Tick,
        Action::Tick,
        Action::Arrive,
    ];
    let check = leased(Check::with(4, 1, CLUSTER));
    assert!(holds(&check, GROWS, &after(&check, &story)));
    let mutant = Some(Mutant::LeaseTokenIgnored);
    let ignored = Check { mutant, ..leased(Check::with(4, 1, CLUSTER)) };
    assert!(!holds(&ignored, GROWS, &after(&ignored, &story)));
}

/// Both at once, as after a fail-over to a machine that lagged: no intent takes effect twice even then.
#[test]
#[ignore = "minutes; `make model-check` runs it"]
fn a_store_that_loses_a_write_and_jumps_ahead_breaks_no_more_than_either() {
    let check = Check::with(3, 2, FAIL_OVER);
    assert_eq!(check.broken(), BTreeSet::from([BELIEF, CHECKED, NEED]));
}

/// The state after these actions.
fn after(check: &Check, actions: &[Action]) -> State {
    let mut state = check.init_states().remove(0);
    for action in actions {
        let next = check.next_state(&state, *action);
        state = next.unwrap_or_else(|| panic!("{action:?} cannot happen in {state:#?}"));
    }
    state
}

fn holds(check: &Check, property: &'static str, state: &State) -> bool {
    (check.property(property).condition)(check, state)
}

/// Between the check and the call nothing is asked: a call that hangs there for longer than the claim
/// lives is made under an older token. The intent's own token, at the provider, is what covers it.
#[test]
fn a_call_after_its_claim_went_to_another_launches_nothing_twice() {
    let story = [
        Action::Look(0),
        Action::Commit(0),
        Action::Check(0),
        Action::Tick,
        Action::Tick,
        Action::Ask(1),
        Action::Look(1),
        Action::Commit(1),
        Action::Check(1),
        Action::Call(1),
        Action::Call(0),
    ];
    let check = Check::with(3, 0, &[]);
    let state = after(&check, &story);
    assert!(holds(&check, super::LATE, &state));
    assert!(holds(&check, ONCE, &state) && holds(&check, NEED, &state));
    let forgetful = Check { mutant: Some(Mutant::ProviderForgets), ..check };
    assert!(!holds(&forgetful, ONCE, &after(&forgetful, &story)));
}

/// The renewal is lost, so another takes the claim while the first still believes in it.
#[test]
fn a_lost_renewal_lets_one_act_whose_claim_is_gone() {
    let story = [
        Action::Look(0),
        Action::Commit(0),
        Action::Tick,
        Action::Ask(0),
        Action::Fault(Fault::LastWriteLost, 0),
        Action::Tick,
        Action::Ask(1),
        Action::Check(0),
    ];
    let check = Check::with(3, 1, LOSS);
    let state = after(&check, &story);
    assert!(!holds(&check, BELIEF, &state) && !holds(&check, CHECKED, &state));
    // What it goes on to do is one act with what the other does for the same intent.
    let mut story = story.to_vec();
    story.extend([
        Action::Look(1),
        Action::Commit(1),
        Action::Check(1),
        Action::Call(1),
        Action::Call(0),
    ]);
    let state = after(&check, &story);
    assert!(holds(&check, ONCE, &state) && holds(&check, NEED, &state));
}

/// A lost taking gives the same token out twice. The holder's name is what tells the two apart.
#[test]
fn a_token_given_out_twice_opens_no_commit() {
    let story = [
        Action::Tick,
        Action::Tick,
        Action::Ask(1),
        Action::Look(1),
        Action::Fault(Fault::LastWriteLost, 0),
        Action::Ask(0),
        Action::Commit(1),
    ];
    let check = Check::with(3, 1, LOSS);
    let state = after(&check, &story);
    assert_eq!(
        state.replicas[0].belief.current(check.boot(&state, 0)).map(|it| it.token.0),
        Some(2)
    );
    assert_eq!(
        state.replicas[1].belief.current(check.boot(&state, 1)).map(|it| it.token.0),
        Some(2)
    );
    assert!(holds(&check, FENCE, &state) && state.store.record.intents.is_empty());
}

/// The store forgets the intent, and the call hangs until another has decided anew.
#[test]
fn a_lost_intent_whose_call_is_late_serves_a_need_twice() {
    let story = [
        Action::Look(0),
        Action::Commit(0),
        Action::Check(0),
        Action::Fault(Fault::LastWriteLost, 0),
        Action::Tick,
        Action::Tick,
        Action::Ask(1),
        Action::Look(1),
        Action::Commit(1),
        Action::Check(1),
        Action::Call(1),
        Action::Call(0),
    ];
    let check = Check::with(3, 1, LOSS);
    let state = after(&check, &story);
    assert!(!holds(&check, NEED, &state));
    assert!(holds(&check, ONCE, &state) && holds(&check, FENCE, &state));
}

/// The same for the guards of the lease.
#[test]
fn every_guard_of_the_lease_is_needed() {
    let guards = [
        (Mutant::LeaseFromOther, 3, AHEAD, BELIEF),
        (Mutant::LeaseTokenIgnored, 4, CLUSTER, GROWS),
    ];
    for (mutant, horizon, may, property) in guards {
        let mutant = Some(mutant);
        let check = Check { mutant, late_lease: true, ..leased(Check::with(horizon, 1, may)) };
        let broken = check.broken();
        assert!(broken.contains(property), "{mutant:?} breaks {broken:?}, not {property}");
    }
}

/// Each guard that is taken out breaks what it is there for.
#[test]
fn every_guard_is_needed() {
    let guards = [
        (Mutant::CommitUnfenced, PROCESS, FENCE),
        (Mutant::CommitExpired, PROCESS, FENCE),
        (Mutant::CommitForOther, LOSS, FENCE),
        (Mutant::TakeFromOther, PROCESS, BELIEF),
        (Mutant::ReleaseOfOther, PROCESS, BELIEF),
        (Mutant::TokenStays, PROCESS, NEED),
        (Mutant::EndsFromAnswer, PROCESS, BELIEF),
        (Mutant::MonotonicClock, &[Fault::Sleep], BELIEF),
        (Mutant::OverdueRenews, PROCESS, ALIVE),
        (Mutant::AstrayRenews, PROCESS, ALIVE),
        (Mutant::ActUnchecked, PROCESS, CHECKED),
        (Mutant::SkewIgnored, PROCESS, ASTRAY),
        (Mutant::IntentNotStored, PROCESS, NEED),
        (Mutant::ProviderForgets, PROCESS, ONCE),
    ];
    for (mutant, may, property) in guards {
        let broken = Check { mutant: Some(mutant), ..Check::with(3, 1, may) }.broken();
        assert!(broken.contains(property), "{mutant:?} breaks {broken:?}, not {property}");
    }
}
