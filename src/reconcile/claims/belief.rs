//! What a process believes about its claim. Pure values on its own boot clock: the keeper and the
//! model check (`reconcile/model_check.rs`) make the very same transitions.

use crate::cluster::fence::Refusal;
use crate::model::Claim;
use crate::store::Error;
use std::time::Duration;

/// What one process believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::reconcile) struct Belief {
    held: Option<Held>,
    /// When the pass under way must be over, on the boot clock.
    overdue_at: Option<Duration>,
    /// Whether the last pass found our wall clock too far from the store's to act.
    is_astray: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Held {
    claim: Claim,
    /// Whether the cluster's lease is ours, too.
    leased: bool,
    /// When it ends for us, on the boot clock: counted from before it was asked for, so that we
    /// stop believing in it before the store does, also after this process was stopped for a while.
    ends: Duration,
}

/// What to ask of the store next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::reconcile) enum Ask {
    /// Nothing, since we do not act: another process shall have the claim.
    Nothing(Idle),
    /// The claim anew.
    Claim,
    /// More time for the one we have.
    Renew(Claim),
}

/// Why a process does not act, and so keeps no claim from one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::reconcile) enum Idle {
    /// A pass is overdue.
    Overdue,
    /// Our clock is astray; each pass says so.
    Astray,
}

/// Why there is no claim to act under.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::reconcile) enum Denied {
    /// The store says so.
    Store(Error),
    /// The cluster does: its lease is refused, or out of reach.
    Lease(Refusal),
}

/// A claim that was given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::reconcile) struct Granted {
    pub(in crate::reconcile) claim: Claim,
    /// With the cluster's lease. Without it nothing but the store may be changed under the claim.
    pub(in crate::reconcile) leased: bool,
}

/// What came of asking.
pub(in crate::reconcile) type Answer = Result<Granted, Denied>;

impl From<Error> for Denied {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Lease(refusal)
    }
}

impl Belief {
    /// The claim, while it is surely ours.
    pub(in crate::reconcile) fn current(&self, now: Duration) -> Option<&Claim> {
        self.held.as_ref().filter(|held| now < held.ends).map(|held| &held.claim)
    }

    /// The claim, while it is surely ours with the cluster's lease.
    pub(in crate::reconcile) fn leased(&self, now: Duration) -> Option<&Claim> {
        self.current(now).filter(|_| self.held.as_ref().is_some_and(|held| held.leased))
    }

    /// A pass begins, which must be over in time.
    pub(in crate::reconcile) fn pass_began(&mut self, now: Duration, overdue: Duration) {
        self.overdue_at = Some(now + overdue);
    }

    /// The pass is over.
    pub(in crate::reconcile) fn pass_ended(&mut self) {
        self.overdue_at = None;
    }

    /// What the pass found of our wall clock.
    pub(in crate::reconcile) fn judge_clock(&mut self, is_astray: bool) {
        self.is_astray = is_astray;
    }

    /// What to ask now.
    pub(in crate::reconcile) fn ask(&self, now: Duration) -> Ask {
        if self.overdue_at.is_some_and(|at| now > at) {
            return Ask::Nothing(Idle::Overdue);
        }
        if self.is_astray {
            return Ask::Nothing(Idle::Astray);
        }
        self.current(now).cloned().map_or(Ask::Claim, Ask::Renew)
    }

    /// Takes in the answer to what was asked at `asked_at`. True when a claim was newly gained, or its lease.
    pub(in crate::reconcile) fn hear(
        &mut self,
        answer: Answer,
        asked_at: Duration,
        ttl: Duration,
    ) -> bool {
        match answer {
            Ok(Granted { claim, leased }) => {
                let before = self.held.as_ref().filter(|held| held.claim.token == claim.token);
                let is_new = before.is_none_or(|held| leased && !held.leased);
                self.held = Some(Held { claim, leased, ends: asked_at + ttl });
                is_new
            }
            Err(
                Denied::Store(Error::Held { .. } | Error::Fenced { .. })
                | Denied::Lease(Refusal::Held { .. } | Refusal::Outdated { .. }),
            ) => {
                self.held = None;
                false
            }
            // Kept until its own end: the store, or the cluster, may be back before.
            Err(
                Denied::Store(Error::Away(_) | Error::Unreadable(_) | Error::Occupied { .. })
                | Denied::Lease(Refusal::Away(_)),
            ) => false,
        }
    }

    /// Stops believing; answers with what is to be given back.
    pub(in crate::reconcile) fn give_back(&mut self) -> Option<Granted> {
        self.held.take().map(|held| Granted { claim: held.claim, leased: held.leased })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Token;
    use jiff::Timestamp;

    const TTL: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn claim(token: u64) -> Claim {
        Claim {
            cluster: "c".into(),
            holder: "a".to_owned(),
            token: Token(token),
            expires: Timestamp::UNIX_EPOCH,
        }
    }

    fn granted(token: u64, leased: bool) -> Granted {
        Granted { claim: claim(token), leased }
    }

    /// Took token 1, asked at 100 s.
    fn holding() -> Belief {
        let mut belief = Belief::default();
        assert!(belief.hear(Ok(granted(1, true)), at(100), TTL));
        belief
    }

    #[test]
    fn a_claim_ends_a_ttl_after_it_was_asked_for_whenever_the_answer_came() {
        let belief = holding();
        assert_eq!(belief.current(at(109)), Some(&claim(1)));
        assert_eq!(belief.current(at(110)), None);
    }

    #[test]
    fn what_is_held_is_renewed_and_what_is_over_is_taken_anew() {
        assert_eq!(Belief::default().ask(at(0)), Ask::Claim);
        assert_eq!(holding().ask(at(109)), Ask::Renew(claim(1)));
        assert_eq!(holding().ask(at(110)), Ask::Claim);
    }

    #[test]
    fn only_another_token_is_a_gain() {
        let mut belief = holding();
        assert!(!belief.hear(Ok(granted(1, true)), at(103), TTL));
        assert_eq!(belief.current(at(112)), Some(&claim(1)));
        assert!(belief.hear(Ok(granted(2, true)), at(120), TTL));
    }

    #[test]
    fn a_claim_is_without_the_lease_from_the_renewal_that_does_not_ask_for_it_and_gains_it_anew() {
        let mut belief = holding();
        assert_eq!(belief.leased(at(103)), Some(&claim(1)));
        assert!(!belief.hear(Ok(granted(1, false)), at(103), TTL));
        assert_eq!((belief.current(at(103)), belief.leased(at(103))), (Some(&claim(1)), None));
        assert!(belief.hear(Ok(granted(1, true)), at(106), TTL), "the lease is a gain");
        assert_eq!(belief.leased(at(115)), Some(&claim(1)));
        assert_eq!(belief.leased(at(116)), None, "it ends with the claim");
    }

    #[test]
    fn a_refusal_ends_the_belief_at_once() {
        let (holder, until) = ("b".to_owned(), Timestamp::UNIX_EPOCH);
        let leased = Refusal::Held { holder: holder.clone(), until };
        for refusal in [
            Denied::Store(Error::Held { holder, until }),
            Denied::Store(Error::Fenced { token: Token(1) }),
            Denied::Lease(leased),
            Denied::Lease(Refusal::Outdated { last: Token(2) }),
        ] {
            let mut belief = holding();
            assert!(!belief.hear(Err(refusal), at(103), TTL));
            assert_eq!(belief.current(at(103)), None);
        }
    }

    #[test]
    fn a_store_or_a_cluster_that_is_away_neither_ends_nor_prolongs_it() {
        for failure in [
            Denied::Store(Error::Away("gone".to_owned())),
            Denied::Store(Error::Unreadable("torn".to_owned())),
            Denied::Lease(Refusal::Away("gone".to_owned())),
        ] {
            let mut belief = holding();
            assert!(!belief.hear(Err(failure), at(108), TTL));
            assert_eq!(belief.current(at(109)), Some(&claim(1)));
            assert_eq!(belief.current(at(110)), None);
        }
    }

    #[test]
    fn nothing_is_asked_while_a_pass_is_overdue() {
        let mut belief = holding();
        belief.pass_began(at(100), at(5));
        assert_eq!(belief.ask(at(105)), Ask::Renew(claim(1)));
        assert_eq!(belief.ask(at(106)), Ask::Nothing(Idle::Overdue));
        // What is held is still ours to its end: the pass is late, not wrong.
        assert_eq!(belief.current(at(106)), Some(&claim(1)));
        belief.pass_ended();
        assert_eq!(belief.ask(at(106)), Ask::Renew(claim(1)));
    }

    #[test]
    fn nothing_is_asked_while_the_clock_is_astray() {
        let mut belief = holding();
        belief.judge_clock(true);
        assert_eq!(belief.ask(at(103)), Ask::Nothing(Idle::Astray));
        belief.judge_clock(false);
        assert_eq!(belief.ask(at(103)), Ask::Renew(claim(1)));
    }

    #[test]
    fn what_is_given_back_is_believed_no_more() {
        let mut belief = holding();
        assert_eq!(belief.give_back(), Some(Granted { claim: claim(1), leased: true }));
        assert_eq!(belief.current(at(100)), None);
        assert_eq!(belief.give_back(), None);
    }
}
