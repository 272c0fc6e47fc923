//! What can happen in a world, each at its time.

use bellwether::sim::Faults;
use std::fmt;
use std::time::Duration;

/// Something that happens once, or begins and ends.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Happening {
    /// After the start.
    pub(crate) at: Duration,
    pub(crate) what: What,
}

/// Who is asked over a faulty link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Provider,
    Cluster,
    /// One of the Alertmanagers.
    Alertmanager(usize),
    Prometheus,
    Store,
    /// Renewing the claim alone.
    Claim,
}

/// What a faulty link does to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It fails and has no effect.
    Before,
    /// It has its effect, and the answer is lost.
    After,
    /// It takes so long, and has its effect at the end.
    Slow(Duration),
    /// It has its effect at once, and the answer takes so long.
    Late(Duration),
    /// What is seen of machines and nodes is what was seen when the trouble began.
    Stale,
    /// So many calls of a hundred fail: half of them before their effect, half after it.
    Flaky(u64),
}

/// What happens to deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mail {
    /// They are lost.
    Lost,
    /// They come twice.
    Twice,
    /// They come later, by up to so much each, and so in another order.
    Late(Duration),
    /// They are taken, and the answer is lost.
    Unanswered,
}

/// When something becomes of a process: after so many of its steps, a call being two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// From now on.
    Steps(u64),
    /// From the commit of its next intent on: in the midst of its acts.
    Intent(u64),
}

/// What a Prometheus says of the guard, other than that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    Fails,
    Unknown,
}

/// A change of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Min(u32),
    Max(u32),
    DryRun,
    Gone,
}

/// A change of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RuleEdit {
    /// It is deleted.
    Gone,
    /// It waits three times as long.
    Slow,
    /// It names a pool that there is not.
    Misspelt,
}

/// A change of Alertmanager's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reconfigured {
    /// None: it is only read anew.
    Same,
    /// It repeats much less often than it should.
    Rare,
    /// A time interval mutes what asks to remove workers.
    Muted,
    /// Our receiver has another name.
    Renamed,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum What {
    /// A workload has so many pods from now on, and uses this share of what it asks for.
    Load { workload: &'static str, replicas: u32, usage: f64 },
    /// Somebody pauses this direction for a while.
    Silence { autoscale: &'static str, lasts: Duration },
    /// One machine dies; the number chooses which.
    Kill(usize),
    /// The provider takes a machine back in two minutes.
    Notice(usize),
    /// A person cordons a node.
    Cordon(usize),
    /// A node is not Ready for a while.
    Silent { machine: usize, lasts: Duration },
    /// A rule says for a while of one node, or of every one, that it is to be replaced.
    Sick { machine: usize, is_every: bool, lasts: Duration },
    /// A machine registers as another node: under another name, or since somebody deleted its node.
    Anew { machine: usize, is_deleted: bool },
    /// A machine turns up that carries our pool's tag and another cluster's.
    Foreign,
    /// A node that nobody here launched joins.
    Stranger,
    /// The provider will not end a machine, for a while.
    Protect { machine: usize, lasts: Duration },
    /// The provider or the cluster has this fault for a while.
    Fault { faults: Box<Faults>, lasts: Duration },
    /// A link of one replica is in trouble for a while.
    Trouble { replica: usize, link: Link, trouble: Trouble, lasts: Duration },
    /// The server that takes over from the store's lags for a while, and then takes over.
    FailOver { lasts: Duration },
    /// Deliveries meet this for a while.
    Mail { mail: Mail, lasts: Duration },
    /// A process dies, and is started again soon.
    Crash { replica: usize, when: When },
    /// A process is stopped, and goes on where it was after this time.
    Stop { replica: usize, when: When, lasts: Duration },
    /// A process comes back with a clock that is off by so much, in milliseconds.
    Skew { replica: usize, millis: i64 },
    /// The clock of a process that runs jumps by so much, and back later.
    Astray { replica: usize, millis: i64, lasts: Duration },
    /// Somebody changes a rule, and back later.
    Rules { rule: &'static str, edit: RuleEdit, lasts: Duration },
    /// Somebody changes Alertmanager's file, and back later.
    Reconfigure { to: Reconfigured, lasts: Duration },
    /// An Alertmanager dies, and comes back later.
    Alertmanager { peer: usize, kill: bool, back: Duration },
    /// A Prometheus is away for a while.
    Prometheus { number: usize, back: Duration },
    /// A Prometheus sees none of its targets for a while.
    Blind { number: usize, lasts: Duration },
    /// A Prometheus says so of the guard for a while.
    Guard { number: usize, says: Says, lasts: Duration },
    /// A forecast wants so many workers for a while, and a rule asks for as many.
    Forecast { want: u32, lasts: Duration },
    /// The Alertmanagers do not hear each other for a while.
    Cut { lasts: Duration },
    /// Somebody changes the file, and back later.
    Edit { edit: Edit, lasts: Duration },
    /// An operator asks for more or fewer workers.
    Wish { by: i32 },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load { workload, replicas, usage } => {
                write!(f, "{workload} has {replicas} pods, each using {:.0} %", usage * 100.0)
            }
            Self::Silence { autoscale, lasts } => {
                write!(f, "{autoscale} is silenced for {lasts:?}")
            }
            Self::Kill(number) => write!(f, "machine {number} dies"),
            Self::Notice(number) => write!(f, "machine {number} will be taken back"),
            Self::Cordon(number) => write!(f, "somebody cordons node {number}"),
            Self::Foreign => f.write_str("a machine of another cluster turns up"),
            Self::Stranger => f.write_str("a node of somebody else's joins"),
            Self::Protect { machine, lasts } => {
                write!(f, "for {lasts:?} machine {machine} is protected")
            }
            Self::Fault { faults, lasts } => write!(f, "for {lasts:?}: {}", on(faults)),
            Self::Trouble { replica, link, trouble, lasts } => {
                write!(f, "for {lasts:?} replica {replica} and its {link:?}: {trouble:?}")
            }
            Self::FailOver { lasts } => {
                write!(f, "the store's next primary lags for {lasts:?}, and takes over")
            }
            Self::Mail { mail, lasts } => write!(f, "for {lasts:?} deliveries are {mail:?}"),
            Self::Crash { replica, when } => write!(f, "replica {replica} dies in {when:?}"),
            Self::Stop { replica, when, lasts } => {
                write!(f, "replica {replica} is stopped in {when:?}, for {lasts:?}")
            }
            Self::Skew { replica, millis } => {
                write!(f, "replica {replica} restarts with a clock off by {millis} ms")
            }
            Self::Silent { machine, lasts } => {
                write!(f, "the kubelet of machine {machine} is silent for {lasts:?}")
            }
            Self::Sick { machine, is_every, lasts } => {
                let which = if *is_every { "every node" } else { "the node of machine" };
                write!(f, "for {lasts:?} {which} {machine} is sick")
            }
            Self::Anew { machine, is_deleted } => {
                let why = if *is_deleted { "its node is deleted" } else { "it is renamed" };
                write!(f, "machine {machine} registers anew: {why}")
            }
            Self::Astray { replica, millis, lasts } => {
                write!(f, "for {lasts:?} the clock of replica {replica} is off by {millis} ms")
            }
            Self::Edit { edit, lasts } => write!(f, "for {lasts:?} the file says {edit:?}"),
            Self::Wish { by } => write!(f, "an operator asks for {by:+} workers"),
            Self::Alertmanager { .. }
            | Self::Prometheus { .. }
            | Self::Blind { .. }
            | Self::Rules { .. }
            | Self::Reconfigure { .. }
            | Self::Guard { .. }
            | Self::Forecast { .. }
            | Self::Cut { .. } => self.tell_of_monitoring(f),
        }
    }
}

impl What {
    /// What happens to Prometheus and Alertmanager.
    fn tell_of_monitoring(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alertmanager { peer, kill, back } => {
                let how = if *kill { "is killed" } else { "is stopped" };
                write!(f, "Alertmanager {peer} {how}, back in {back:?}")
            }
            Self::Prometheus { number, back } => {
                write!(f, "Prometheus {number} dies, back in {back:?}")
            }
            Self::Blind { number, lasts } => {
                write!(f, "Prometheus {number} sees no target for {lasts:?}")
            }
            Self::Rules { rule, edit, lasts } => {
                write!(f, "for {lasts:?} the rule {rule} is {edit:?}")
            }
            Self::Reconfigure { to, lasts } => {
                write!(f, "for {lasts:?} Alertmanager's file is {to:?}")
            }
            Self::Guard { number, says, lasts } => {
                write!(f, "for {lasts:?} the guard is {says:?} by Prometheus {number}")
            }
            Self::Forecast { want, lasts } => {
                write!(f, "for {lasts:?} a forecast wants {want} workers")
            }
            Self::Cut { lasts } => {
                write!(f, "for {lasts:?} the Alertmanagers do not hear each other")
            }
            _ => Ok(()),
        }
    }
}

/// The faults that are on, by name.
fn on(faults: &Faults) -> String {
    let value = serde_json::to_value(faults).unwrap();
    let on = value.as_object().unwrap().iter().filter(|(_, value)| {
        *value != &serde_json::json!(false)
            && !value.is_null()
            && *value != &serde_json::json!([])
            && *value != &serde_json::json!(0)
    });
    on.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
}
