//! Every order of things that two processes, their store and their provider can go through, within
//! bounds, and what holds in all of them. `docs/testing/claim.md` tells what is modelled and assumed.
//!
//! The transitions are the code's own functions: the stored claim (`store::Holding`), what a process
//! believes (`claims::belief`), the plan, the intent, the outcome (`desk`). The model adds only the
//! order in which they are called, the clocks, and what goes wrong (`moves`).

mod desk;
mod faults;
mod lease;
mod moves;
mod recovery;
mod state;
mod tests;

use crate::cluster::fence::Lease;
use desk::Desk;
use state::{Kept, Replica, Seen, State};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

/// The grain of time; as long as clocks may differ.
const TICK: Duration = Duration::from_secs(2);
/// How long a claim lives: two ticks, and it is renewed in each.
const TTL: Duration = Duration::from_secs(4);
/// A pass longer than this is not renewed for.
const OVERDUE: Duration = Duration::from_secs(2);
/// A call longer than this may be asked again: less than a claim lives, which is harder than real.
const CALL: Duration = Duration::from_secs(1);
/// Intents in all: one, and one that is too many.
const INTENTS: usize = 2;

/// Tokens in all: more than claims can end in the time there is.
const TOKENS: u64 = 12;

/// One for all checks: they ask the same.
static DESK: LazyLock<Desk> = LazyLock::new(|| Desk::new(CALL));

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Time goes on.
    Tick,
    /// The keeper asks the store, and where no lease is asked has its answer within the tick.
    Ask(usize),
    /// It has the store's answer, and asks the cluster for the lease.
    Lease(usize),
    /// The cluster does what it was asked long ago.
    Arrive,
    /// It hears an answer that was late.
    Hear(usize),
    /// A pass begins: claim, memory, machines.
    Look(usize),
    /// It plans, and stores the intent.
    Commit(usize),
    /// It asks for the claim right before the next call.
    Check(usize),
    /// It calls, at any time after that.
    Call(usize),
    /// It stores the outcome.
    Conclude(usize),
    /// Its machine wakes.
    Wake(usize),
    /// Something goes wrong.
    Fault(Fault, usize),
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A process ends without a word, and is started again.
    Crash,
    /// A process is stopped in order, and started again.
    Stop,
    /// The store does what the keeper asks, and the answer takes longer than a tick.
    AnswerLate,
    /// The store does what the keeper asks, and the answer is lost.
    AnswerLost,
    /// The provider did what it was asked, and the answer is lost.
    CallUnanswered,
    /// A pass hangs for good.
    Hang,
    /// A wall clock is wrong by more than is allowed, for good.
    Astray,
    /// A machine sleeps until it is woken.
    Sleep,
    /// The cluster does not get what the keeper asks.
    LeaseAway,
    /// The cluster does what the keeper asks, and the answer is lost.
    LeaseLost,
    /// The cluster does what the keeper asks at some time after the keeper gave it up.
    LeaseLate,
    /// A process cannot reach the cluster, for good.
    CutOff,
    /// The store loses its last write.
    LastWriteLost,
    /// The store's clock goes ahead of all others, by as much as is allowed.
    ClockAhead,
}

/// A guard that is taken out, to see that the check finds it missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutant {
    /// A commit does not ask for the claim.
    CommitUnfenced,
    /// A commit under a claim that expired goes through.
    CommitExpired,
    /// A commit under the same token of another holder goes through.
    CommitForOther,
    /// The claim is taken though another holds it.
    TakeFromOther,
    /// A claim is given back though another holds it.
    ReleaseOfOther,
    /// The token does not grow.
    TokenStays,
    /// The end of a claim is counted from its answer, not from before the question.
    EndsFromAnswer,
    /// Time asleep is not counted.
    MonotonicClock,
    /// The claim is renewed though a pass is overdue.
    OverdueRenews,
    /// The claim is renewed though our clock is astray.
    AstrayRenews,
    /// The claim is not asked right before a call.
    ActUnchecked,
    /// A pass goes on though the clocks are too far apart.
    SkewIgnored,
    /// The intent is not stored before the call.
    IntentNotStored,
    /// The provider does not know its idempotency tokens.
    ProviderForgets,
    /// The lease is given though another holds it.
    LeaseFromOther,
    /// The lease is given for a token older than one it was held under.
    LeaseTokenIgnored,
}

/// What is checked.
#[derive(Debug)]
struct Check {
    desk: &'static Desk,
    /// Ticks in all.
    horizon: u8,
    /// How many things go wrong at most.
    faults: u8,
    /// Which.
    may: &'static [Fault],
    /// Whether time may go on between the check right before a call and the call.
    late_calls: bool,
    /// Whether the cluster's lease is asked, too; else the store alone is.
    lease: bool,
    /// Whether time may go on between the store's claim and the lease. Others may come in between in any case.
    late_lease: bool,
    mutant: Option<Mutant>,
    /// States from which it is known that somebody acts again.
    recovers: Mutex<HashSet<u64>>,
}

const BELIEF: &str = "who believes in its claim has it";
const FENCE: &str = "nothing is committed without the claim";
const CHECKED: &str = "nothing passes the check right before it without the claim";
const ASTRAY: &str = "nothing is committed by a clock astray";
const ONCE: &str = "no intent takes effect twice";
const NEED: &str = "no need is served twice";
const GROWS: &str = "who takes the lease has a token newer than all before";
const ALIVE: &str = "somebody acts again";
const LATE: &str = "a call is late";
const TAKEN_OVER: &str = "another's intent is carried out";

impl Model for Check {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        // The two are alike, so the first to have the claim is always the same.
        let mut state = State {
            tick: 0,
            ahead: 0,
            store: Arc::new(Kept::default()),
            before: None,
            lost: false,
            lease: Lease::default(),
            witnessed: None,
            in_flight: None,
            machines: Arc::default(),
            authors: Arc::default(),
            need: 1,
            replicas: <[Arc<Replica>; 2]>::default(),
            faults: 0,
            seen: BTreeSet::new(),
        };
        assert!(self.apply(&mut state, Action::Ask(0)), "the claim is free");
        assert!(!self.lease || self.apply(&mut state, Action::Lease(0)), "so is the lease");
        state.replica(0).asked = false;
        vec![State { faults: self.faults, ..state }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        if state.in_flight.is_some() {
            actions.push(Action::Arrive);
        }
        for who in [0, 1] {
            self.choices(state, who, actions);
            if state.faults > 0 {
                let may = self.may.iter().filter(|fault| faults::may(state, **fault, who));
                actions.extend(may.map(|fault| Action::Fault(*fault, who)));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        self.apply(&mut next, action).then_some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.authors.len() <= INTENTS && moves::token(&state.store.holding).0 <= TOKENS
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(BELIEF, |check: &Self, state: &State| {
                [0, 1].iter().all(|who| check.knows(state, *who))
            }),
            Property::always(FENCE, |_, state: &State| {
                !state.seen.contains(&Seen::CommitWithoutClaim)
            }),
            Property::always(CHECKED, |_, state: &State| {
                !state.seen.contains(&Seen::CheckWithoutClaim)
            }),
            Property::always(ASTRAY, |_, state: &State| !state.seen.contains(&Seen::CommitAstray)),
            Property::always(ONCE, |_, state: &State| {
                let tokens: BTreeSet<_> = state.machines.iter().map(|it| &it.worker).collect();
                tokens.len() == state.machines.len()
            }),
            Property::always(NEED, |_, state: &State| state.live() <= 1),
            Property::always(GROWS, |_, state: &State| !state.seen.contains(&Seen::LeaseWentBack)),
            Property::always(ALIVE, Self::acts_again),
            Property::sometimes(LATE, |_, state: &State| state.seen.contains(&Seen::LateCall)),
            Property::sometimes(TAKEN_OVER, |_, state: &State| {
                state.seen.contains(&Seen::TakenOver)
            }),
        ]
    }
}

impl Check {
    /// Whether a process that believes in its claim has it.
    fn knows(&self, state: &State, who: usize) -> bool {
        let believed = state.replicas[who].belief.current(self.boot(state, who));
        believed.is_none_or(|claim| state.has_claim(who, claim.token))
    }

    fn with(horizon: u8, faults: u8, may: &'static [Fault]) -> Self {
        Self {
            desk: &DESK,
            horizon,
            faults,
            may,
            late_calls: true,
            lease: false,
            late_lease: false,
            mutant: None,
            recovers: Mutex::default(),
        }
    }

    /// Goes through all states, or until one that is wrong where a guard was taken out. Answers with the
    /// properties that do not hold, and tells how, and how many states there were.
    #[expect(clippy::print_stderr, reason = "the number of states is part of the result")]
    fn broken(self) -> BTreeSet<&'static str> {
        let what = format!("{:?}, {} faults of {:?}", self.mutant, self.faults, self.may);
        let started = std::time::Instant::now();
        let builder = match self.mutant {
            Some(_) => self.checker().finish_when(HasDiscoveries::AnyFailures),
            None => self.checker().threads(2),
        };
        let checker = builder.spawn_bfs().join();
        let states = checker.unique_state_count();
        let mut broken = BTreeSet::new();
        for property in checker.model().properties() {
            let found = checker.discovery(property.name);
            let is_failure = property.expectation.discovery_is_failure();
            if found.is_some() == is_failure {
                broken.insert(property.name);
            }
            if let Some(path) = found.filter(|_| is_failure) {
                eprintln!("  {}: {:?}", property.name, path.into_actions());
            }
        }
        eprintln!("{states} states in {:?}: {what}", started.elapsed());
        broken
    }
}
