//! Why: the closed list of reasons. Every decision, step and held act carries one.
//!
//! `docs/reasons.md` explains each code; a test holds the two together.

use super::{BatchId, ClusterUid, Direction, Pin, SilenceId, WorkerId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why something is done or not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// Nothing asks for a change.
    NothingAsked,
    /// Pods that fit nowhere would fit on new workers.
    PodsPending {
        /// How many.
        pods: u32,
        /// Workers that the packing wants for them.
        workers: u32,
    },
    /// An up-alert asks for its step.
    AlertStep {
        /// The rule.
        alert: String,
        /// Workers to add.
        step: u32,
    },
    /// An alert's `want_query` wants a larger pool.
    WantQuery {
        /// The rule.
        alert: String,
        /// The wanted size.
        want: u32,
    },
    /// An alert asks for room for pods, and no pod waits that a worker of the pool would help.
    NoPodWaits {
        /// The rule.
        alert: String,
    },
    /// Fewer workers than `min`.
    BelowMin {
        /// Workers there are.
        have: u32,
        /// The pool's `min`.
        min: u32,
    },
    /// Our own monitoring or store finds no room.
    EssentialPending {
        /// The pod.
        pod: String,
    },
    /// An operator asked.
    ManualScale {
        /// Who.
        who: String,
        /// Workers to add; negative to remove.
        by: i32,
    },
    /// A replacement goes first.
    Replacement {
        /// The worker to replace.
        worker: WorkerId,
        /// Why it is to go.
        why: String,
    },
    /// The pool is at `max`.
    AtMax {
        /// The pool's `max`.
        max: u32,
    },
    /// A limit of the pool would be passed.
    Limit {
        /// Which limit.
        limit: String,
        /// Its value.
        value: String,
    },
    /// The pool's budget per hour would be passed.
    OverBudget {
        /// The budget per hour.
        budget: String,
        /// What the pool would cost.
        would: String,
    },
    /// A budget is set and a price is unknown.
    PriceUnknown {
        /// The shape without a price.
        shape: String,
    },
    /// Enough was launched within the hour.
    LaunchesPerHour {
        /// `limits.launches_per_hour`.
        limit: u32,
    },
    /// Need is still growing; siblings are waited for.
    Settling {
        /// When the wait ends at the latest.
        until: Timestamp,
    },
    /// Launching did not help lately.
    BreakerOpen {
        /// When one worker is tried.
        until: Timestamp,
        /// How often in a row it opened.
        failures: u32,
    },
    /// An offering came to nothing lately, and every other is preferred.
    BackedOff {
        /// The offering.
        offering: String,
        /// Until when.
        until: Timestamp,
        /// What came of it.
        why: String,
    },
    /// A launch of this pool is not settled yet.
    IntentOpen {
        /// The batch.
        batch: BatchId,
    },
    /// Pods that no shape of any pool could host.
    Unhostable {
        /// How many.
        pods: u32,
        /// One of them.
        pod: String,
        /// What is missing.
        why: String,
    },
    /// Pods for which workers were launched in vain.
    Unhelpable {
        /// How many.
        pods: u32,
        /// When they count again.
        until: Timestamp,
    },
    /// No offering had capacity.
    NoCapacity {
        /// What the provider said.
        detail: String,
    },
    /// The provider did not launch, or did not say whether it did, for another reason than capacity.
    LaunchFailed {
        /// What it said.
        detail: String,
    },
    /// A cooldown runs.
    Cooldown {
        /// Which.
        direction: Direction,
        /// Its end.
        until: Timestamp,
    },
    /// A silence pauses it.
    Paused {
        /// Its id.
        silence: SilenceId,
        /// Who set it.
        by: String,
        /// Its end.
        until: Timestamp,
        /// Why.
        comment: String,
        /// Alertmanager no longer knows it; we do.
        remembered: bool,
    },
    /// Another alert inhibits it.
    Inhibited {
        /// The rule that is inhibited.
        alert: String,
        /// The inhibiting alert, or its fingerprint.
        by: String,
    },
    /// Delivered, but Alertmanager does not say it is active.
    NotConfirmed {
        /// The rule.
        alert: String,
    },
    /// Active, but not delivered to us lately: muted by a time interval, waiting, or lost.
    NotDelivered {
        /// The rule.
        alert: String,
    },
    /// It names a pool or node that is not there.
    WrongTarget {
        /// The rule.
        alert: String,
        /// What is wrong.
        detail: String,
    },
    /// Not every Alertmanager answered.
    AlertmanagerAway {
        /// How many did.
        answered: u32,
        /// Of how many.
        asked: u32,
    },
    /// An Alertmanager restarted: fresh silences may be forgotten.
    AlertmanagerRestarted {
        /// Removals wait until then.
        until: Timestamp,
    },
    /// The store may have forgotten what was written last: it was started anew, or another server took its place.
    StoreForgot {
        /// What it holds waits until then.
        until: Timestamp,
    },
    /// The watchdog alert does not arrive.
    WatchdogMissing {
        /// When it last did.
        last: Option<Timestamp>,
    },
    /// A guard does not hold.
    GuardFails {
        /// The expression.
        guard: String,
        /// What it answered.
        detail: String,
    },
    /// A guard could not be evaluated.
    GuardUnknown {
        /// The expression.
        guard: String,
        /// Why.
        why: String,
    },
    /// A `want_query` gave no number.
    WantUnknown {
        /// The rule.
        alert: String,
        /// Why.
        why: String,
    },
    /// Something needed for the decision is not known.
    Unknown {
        /// What.
        what: String,
        /// Why.
        why: String,
    },
    /// What is known is too old to act on.
    Stale {
        /// What.
        what: String,
        /// Its age in seconds.
        seconds: u64,
    },
    /// The cluster, or the store, has another UID than before.
    OtherCluster {
        /// The UID we know.
        expected: ClusterUid,
        /// The UID we see.
        seen: ClusterUid,
    },
    /// The pool is no longer configured: counted, shown, never changed.
    Unmanaged,
    /// The pool left the file, whose last word was to drain it.
    Removed {
        /// Since when.
        since: Timestamp,
    },
    /// An alert says the pool is idle.
    Idle {
        /// The rule.
        alert: String,
    },
    /// The pool is at `min`.
    AtMin {
        /// The larger of `min` and the permanent workers.
        min: u32,
    },
    /// Something asks for more: it beats removal.
    UpActive {
        /// The rule.
        alert: String,
    },
    /// Pods that could be helped are pending.
    PendingPods {
        /// How many.
        pods: u32,
    },
    /// Workers are on their way.
    WorkersComing {
        /// How many.
        workers: u32,
    },
    /// Another removal is under way.
    Draining {
        /// How many.
        workers: u32,
    },
    /// No worker may be removed.
    NoCandidate {
        /// Each worker and what keeps it.
        blocked: Vec<(WorkerId, Box<Reason>)>,
    },
    /// A permanent worker.
    Permanent,
    /// An annotation on its node keeps it.
    Kept {
        /// The annotation.
        mark: String,
    },
    /// Younger than `min_age`.
    TooYoung {
        /// When it is old enough.
        until: Timestamp,
    },
    /// The provider would refuse to end it.
    Protected,
    /// Somebody else cordoned it.
    ForeignCordon,
    /// Its node is not Ready.
    NotReadyNode,
    /// Its node is not seen.
    NodeUnknown,
    /// A pod must stay.
    PodPinned {
        /// The pod.
        pod: String,
        /// What keeps it.
        pin: Pin,
    },
    /// A pod would find no other place.
    PodFitsNowhere {
        /// The pod.
        pod: String,
    },
    /// The rest would lack the configured headroom.
    NoHeadroom,
    /// A drain failed; not again until then.
    RefusedBefore {
        /// When it is a candidate again.
        until: Timestamp,
        /// What happened.
        why: String,
    },
    /// An alert's query still wants this size.
    StillWanted {
        /// The wanted size.
        want: u32,
    },
    /// An alert asks to replace this node.
    NodeAlert {
        /// The rule.
        alert: String,
    },
    /// The provider takes it back.
    SpotNotice {
        /// When.
        at: Timestamp,
    },
    /// Older than `max_age`.
    MaxAge,
    /// Workers that were launched before the pool's labels or taints changed.
    Drifted {
        /// How many.
        workers: u32,
        /// What differs, of the first.
        what: String,
    },
    /// The provider says that something is wrong with running machines.
    Impaired {
        /// How many.
        machines: u32,
        /// One of them, and the provider's words.
        what: String,
    },
    /// Another replacement is under way.
    ReplaceBusy {
        /// Of which worker.
        worker: WorkerId,
    },
    /// Enough was replaced within the hour.
    ReplacePerHour {
        /// The limit.
        limit: u32,
    },
    /// The replacement matches the same alert: stopped.
    ReplacementToo {
        /// The rule.
        alert: String,
    },
    /// The provider gave a machine.
    Launched,
    /// Its node appeared.
    Joined,
    /// Its machine registered anew, as another node.
    JoinedAnew,
    /// Its node is Ready.
    BecameReady,
    /// Nothing came of the request.
    NeverLaunched,
    /// No node by the join deadline.
    NeverJoined {
        /// The deadline.
        after: String,
    },
    /// Not Ready by the deadline.
    NeverReady {
        /// The deadline.
        after: String,
    },
    /// NotReady for too long.
    NotReady {
        /// The deadline.
        after: String,
    },
    /// The machine is gone or ending though we did not ask.
    Lost {
        /// Why, as far as its provider says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        told: Option<String>,
    },
    /// A machine with our tags and no record.
    Orphan,
    /// A node whose machine is proven gone.
    NodeLeftOver,
    /// Too many workers are sick at once: maybe it is not them.
    RepairBudget {
        /// How many.
        sick: u32,
        /// How many may be.
        allowed: u32,
    },
    /// Evictions go on.
    DrainGoesOn {
        /// Pods left.
        left: u32,
    },
    /// No pod is left that matters.
    DrainDone,
    /// The provider takes the machine in a moment: budgets are waived.
    NoticeEnds {
        /// When.
        at: Timestamp,
        /// Pods that are left.
        left: u32,
    },
    /// Load balancers are given time to forget a node before its pods are evicted.
    LoadBalancers {
        /// The worker.
        worker: WorkerId,
        /// When evictions begin.
        until: Timestamp,
    },
    /// Volumes are given time to come off a node that is empty.
    VolumesAttached {
        /// The worker.
        worker: WorkerId,
        /// How many volumes are left.
        volumes: u32,
        /// When its machine is ended all the same.
        until: Timestamp,
    },
    /// Something keeps a pod on a node that is emptied.
    DrainBlocked {
        /// The worker.
        worker: WorkerId,
        /// Which pod, and what.
        by: String,
    },
    /// The drain took too long: given up.
    DrainDeadline {
        /// The deadline.
        after: String,
        /// What kept a pod there at last, if something refused.
        #[serde(default)]
        by: Option<String>,
    },
    /// More is wanted: the worker is taken back.
    DemandReturned,
    /// Monitoring is away, or the machine is not listed: the drain and its clock stand still.
    DrainSuspended {
        /// What is away.
        why: String,
    },
    /// Machine and node are gone.
    Finished,
    /// The claim was lost before the act.
    ClaimLost,
    /// The store did not take the intent.
    StoreAway,
    /// What the decision rested on changed before the act.
    Changed {
        /// What.
        what: String,
    },
}

impl Reason {
    /// Every code, in the order of the list.
    pub const CODES: [&'static str; 92] = [
        "nothing_asked",
        "pods_pending",
        "alert_step",
        "want_query",
        "no_pod_waits",
        "below_min",
        "essential_pending",
        "manual_scale",
        "replacement",
        "at_max",
        "limit",
        "over_budget",
        "price_unknown",
        "launches_per_hour",
        "settling",
        "breaker_open",
        "backed_off",
        "intent_open",
        "unhostable",
        "unhelpable",
        "no_capacity",
        "launch_failed",
        "cooldown",
        "paused",
        "inhibited",
        "not_confirmed",
        "not_delivered",
        "wrong_target",
        "alertmanager_away",
        "alertmanager_restarted",
        "store_forgot",
        "watchdog_missing",
        "guard_fails",
        "guard_unknown",
        "want_unknown",
        "unknown",
        "stale",
        "other_cluster",
        "unmanaged",
        "removed",
        "idle",
        "at_min",
        "up_active",
        "pending_pods",
        "workers_coming",
        "draining",
        "no_candidate",
        "permanent",
        "kept",
        "too_young",
        "protected",
        "foreign_cordon",
        "not_ready_node",
        "node_unknown",
        "pod_pinned",
        "pod_fits_nowhere",
        "no_headroom",
        "refused_before",
        "still_wanted",
        "node_alert",
        "spot_notice",
        "max_age",
        "drifted",
        "impaired",
        "replace_busy",
        "replace_per_hour",
        "replacement_too",
        "launched",
        "joined",
        "joined_anew",
        "became_ready",
        "never_launched",
        "never_joined",
        "never_ready",
        "not_ready",
        "lost",
        "orphan",
        "node_left_over",
        "repair_budget",
        "drain_goes_on",
        "drain_done",
        "notice_ends",
        "load_balancers",
        "volumes_attached",
        "drain_blocked",
        "drain_deadline",
        "demand_returned",
        "drain_suspended",
        "finished",
        "claim_lost",
        "store_away",
        "changed",
    ];

    /// The stable code: for metrics, JSON, and looking it up in the documentation.
    #[expect(clippy::too_many_lines, reason = "one match over the whole list")]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NothingAsked => "nothing_asked",
            Self::PodsPending { .. } => "pods_pending",
            Self::AlertStep { .. } => "alert_step",
            Self::WantQuery { .. } => "want_query",
            Self::NoPodWaits { .. } => "no_pod_waits",
            Self::BelowMin { .. } => "below_min",
            Self::EssentialPending { .. } => "essential_pending",
            Self::ManualScale { .. } => "manual_scale",
            Self::Replacement { .. } => "replacement",
            Self::AtMax { .. } => "at_max",
            Self::Limit { .. } => "limit",
            Self::OverBudget { .. } => "over_budget",
            Self::PriceUnknown { .. } => "price_unknown",
            Self::LaunchesPerHour { .. } => "launches_per_hour",
            Self::Settling { .. } => "settling",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::BackedOff { .. } => "backed_off",
            Self::IntentOpen { .. } => "intent_open",
            Self::Unhostable { .. } => "unhostable",
            Self::Unhelpable { .. } => "unhelpable",
            Self::NoCapacity { .. } => "no_capacity",
            Self::LaunchFailed { .. } => "launch_failed",
            Self::Cooldown { .. } => "cooldown",
            Self::Paused { .. } => "paused",
            Self::Inhibited { .. } => "inhibited",
            Self::NotConfirmed { .. } => "not_confirmed",
            Self::NotDelivered { .. } => "not_delivered",
            Self::WrongTarget { .. } => "wrong_target",
            Self::AlertmanagerAway { .. } => "alertmanager_away",
            Self::AlertmanagerRestarted { .. } => "alertmanager_restarted",
            Self::StoreForgot { .. } => "store_forgot",
            Self::WatchdogMissing { .. } => "watchdog_missing",
            Self::GuardFails { .. } => "guard_fails",
            Self::GuardUnknown { .. } => "guard_unknown",
            Self::WantUnknown { .. } => "want_unknown",
            Self::Unknown { .. } => "unknown",
            Self::Stale { .. } => "stale",
            Self::OtherCluster { .. } => "other_cluster",
            Self::Unmanaged => "unmanaged",
            Self::Removed { .. } => "removed",
            Self::Idle { .. } => "idle",
            Self::AtMin { .. } => "at_min",
            Self::UpActive { .. } => "up_active",
            Self::PendingPods { .. } => "pending_pods",
            Self::WorkersComing { .. } => "workers_coming",
            Self::Draining { .. } => "draining",
            Self::NoCandidate { .. } => "no_candidate",
            Self::Permanent => "permanent",
            Self::Kept { .. } => "kept",
            Self::TooYoung { .. } => "too_young",
            Self::Protected => "protected",
            Self::ForeignCordon => "foreign_cordon",
            Self::NotReadyNode => "not_ready_node",
            Self::NodeUnknown => "node_unknown",
            Self::PodPinned { .. } => "pod_pinned",
            Self::PodFitsNowhere { .. } => "pod_fits_nowhere",
            Self::NoHeadroom => "no_headroom",
            Self::RefusedBefore { .. } => "refused_before",
            Self::StillWanted { .. } => "still_wanted",
            Self::NodeAlert { .. } => "node_alert",
            Self::SpotNotice { .. } => "spot_notice",
            Self::MaxAge => "max_age",
            Self::Drifted { .. } => "drifted",
            Self::Impaired { .. } => "impaired",
            Self::ReplaceBusy { .. } => "replace_busy",
            Self::ReplacePerHour { .. } => "replace_per_hour",
            Self::ReplacementToo { .. } => "replacement_too",
            Self::Launched => "launched",
            Self::Joined => "joined",
            Self::JoinedAnew => "joined_anew",
            Self::BecameReady => "became_ready",
            Self::NeverLaunched => "never_launched",
            Self::NeverJoined { .. } => "never_joined",
            Self::NeverReady { .. } => "never_ready",
            Self::NotReady { .. } => "not_ready",
            Self::Lost { .. } => "lost",
            Self::Orphan => "orphan",
            Self::NodeLeftOver => "node_left_over",
            Self::RepairBudget { .. } => "repair_budget",
            Self::DrainGoesOn { .. } => "drain_goes_on",
            Self::DrainDone => "drain_done",
            Self::NoticeEnds { .. } => "notice_ends",
            Self::LoadBalancers { .. } => "load_balancers",
            Self::VolumesAttached { .. } => "volumes_attached",
            Self::DrainBlocked { .. } => "drain_blocked",
            Self::DrainDeadline { .. } => "drain_deadline",
            Self::DemandReturned => "demand_returned",
            Self::DrainSuspended { .. } => "drain_suspended",
            Self::Finished => "finished",
            Self::ClaimLost => "claim_lost",
            Self::StoreAway => "store_away",
            Self::Changed { .. } => "changed",
        }
    }
}

impl fmt::Display for Reason {
    #[expect(clippy::too_many_lines, reason = "one match over the whole list")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingAsked => f.write_str("nothing asks for a change"),
            Self::PodsPending { pods, workers } => {
                write!(f, "{pods} unschedulable pod(s) need {workers} more worker(s)")
            }
            Self::AlertStep { alert, step } => write!(f, "alert {alert} asks for {step} more"),
            Self::WantQuery { alert, want } => {
                write!(f, "alert {alert} wants {want} workers by its query")
            }
            Self::NoPodWaits { alert } => {
                write!(
                    f,
                    "{alert} asks for room for pods, and none waits that a new worker would help; one that is to add workers whatever waits has a `step`"
                )
            }
            Self::BelowMin { have, min } => write!(f, "{have} of at least {min} workers"),
            Self::EssentialPending { pod } => {
                write!(f, "{pod}, which the loop depends on, finds no room")
            }
            Self::ManualScale { who, by } => write!(f, "{who} asked for {by:+} worker(s)"),
            Self::Replacement { worker, why } => write!(f, "replacement for {worker}: {why}"),
            Self::AtMax { max } => write!(f, "at max {max}"),
            Self::Limit { limit, value } => write!(f, "limit {limit} ({value}) would be passed"),
            Self::OverBudget { budget, would } => {
                write!(f, "budget {budget}/h would be passed ({would}/h)")
            }
            Self::PriceUnknown { shape } => {
                write!(f, "the price of {shape} is unknown and a budget is set")
            }
            Self::LaunchesPerHour { limit } => write!(f, "{limit} launches within the hour"),
            Self::Settling { until } => write!(f, "waiting for siblings until {until}"),
            Self::BreakerOpen { until, failures } => {
                write!(f, "launching did not help {failures} time(s); next try at {until}")
            }
            Self::BackedOff { offering, until, why } => {
                write!(f, "others are preferred to {offering} until {until}: {why}")
            }
            Self::IntentOpen { batch } => write!(f, "batch {batch} is not settled yet"),
            Self::Unhostable { pods, pod, why } => {
                write!(f, "{pods} pod(s) fit no shape, {pod} for example: {why}")
            }
            Self::Unhelpable { pods, until } => write!(
                f,
                "{pods} pod(s) were not helped by new workers; they count again at {until}"
            ),
            Self::NoCapacity { detail } => write!(f, "no offering had capacity: {detail}"),
            Self::LaunchFailed { detail } => write!(f, "the launch failed: {detail}"),
            Self::Cooldown { direction, until } => write!(f, "{direction}-cooldown until {until}"),
            Self::Paused { by, until, comment, .. } => {
                write!(f, "paused by {by} until {until}: {comment}")
            }
            Self::Inhibited { alert, by } => write!(f, "alert {alert} is inhibited by {by}"),
            Self::NotConfirmed { alert } => {
                write!(f, "alert {alert} was delivered but is not active in Alertmanager")
            }
            Self::NotDelivered { alert } => {
                write!(f, "alert {alert} is active but was not delivered within its time")
            }
            Self::WrongTarget { alert, detail } => write!(f, "alert {alert}: {detail}"),
            Self::AlertmanagerAway { answered, asked } => {
                write!(f, "{answered} of {asked} Alertmanagers answered")
            }
            Self::AlertmanagerRestarted { until } => {
                write!(f, "Alertmanager restarted; no removal until {until}")
            }
            Self::StoreForgot { until } => {
                write!(
                    f,
                    "the store may have forgotten what was written last; nothing of the kind until {until}"
                )
            }
            Self::WatchdogMissing { .. } => f.write_str("no watchdog alert"),
            Self::GuardFails { guard, detail } => {
                write!(f, "guard does not hold ({detail}): {guard}")
            }
            Self::GuardUnknown { guard, why } => write!(f, "guard is unknown ({why}): {guard}"),
            Self::WantUnknown { alert, why } => {
                write!(f, "the want_query of {alert} is unknown: {why}")
            }
            Self::Unknown { what, why } => write!(f, "{what} unknown: {why}"),
            Self::Stale { what, seconds } => write!(f, "{what} is {seconds} s old"),
            Self::OtherCluster { expected, seen } => {
                write!(
                    f,
                    "the cluster's UID is {seen}, the store (store.url) knows it as {expected}"
                )
            }
            Self::Unmanaged => f.write_str("pool is not configured any more"),
            Self::Removed { since } => {
                write!(f, "pool is not configured any more since {since}, and is drained")
            }
            Self::Idle { alert } => write!(f, "alert {alert} says idle"),
            Self::AtMin { min } => write!(f, "at min {min}"),
            Self::UpActive { alert } => write!(f, "alert {alert} asks for more"),
            Self::PendingPods { pods } => write!(f, "{pods} helpable pod(s) pending"),
            Self::WorkersComing { workers } => write!(f, "{workers} worker(s) on their way"),
            Self::Draining { workers } => write!(f, "{workers} worker(s) on their way out"),
            Self::NoCandidate { .. } => f.write_str("no worker may be removed"),
            Self::Permanent => f.write_str("permanent"),
            Self::Kept { mark } => write!(f, "its node is kept: {mark}"),
            Self::TooYoung { until } => write!(f, "too young until {until}"),
            Self::Protected => f.write_str("termination protection is on"),
            Self::ForeignCordon => f.write_str("cordoned by somebody else"),
            Self::NotReadyNode => f.write_str("node is not ready"),
            Self::NodeUnknown => f.write_str("node is not seen"),
            Self::PodPinned { pod, pin } => write!(f, "{pod} stays: {pin}"),
            Self::PodFitsNowhere { pod } => write!(f, "{pod} would fit nowhere else"),
            Self::NoHeadroom => f.write_str("no headroom would be left"),
            Self::RefusedBefore { until, why } => {
                write!(f, "drain failed before ({why}); again after {until}")
            }
            Self::StillWanted { want } => write!(f, "{want} workers are still wanted"),
            Self::NodeAlert { alert } => write!(f, "alert {alert} asks for a replacement"),
            Self::SpotNotice { at } => write!(f, "spot notice: ends at {at}"),
            Self::MaxAge => f.write_str("older than max_age"),
            Self::Impaired { machines, what } => {
                write!(f, "the provider says that {machines} machine(s) are not well: {what}")
            }
            Self::Drifted { workers, what } => {
                write!(f, "{workers} worker(s) were launched before the pool changed: {what}")
            }
            Self::ReplaceBusy { worker } => write!(f, "replacement of {worker} is under way"),
            Self::ReplacePerHour { limit } => write!(f, "{limit} replacements within the hour"),
            Self::ReplacementToo { alert } => {
                write!(f, "the replacement matches {alert} too; stopped")
            }
            Self::Launched => f.write_str("launched"),
            Self::Joined => f.write_str("its node appeared"),
            Self::JoinedAnew => f.write_str("its machine registered as another node"),
            Self::BecameReady => f.write_str("its node is ready"),
            Self::NeverLaunched => f.write_str("nothing came of the launch"),
            Self::NeverJoined { after } => write!(f, "no node within {after}"),
            Self::NeverReady { after } => write!(f, "not ready within {after}"),
            Self::NotReady { after } => write!(f, "not ready for {after}"),
            Self::Lost { told: None } => f.write_str("the machine is gone"),
            Self::Lost { told: Some(told) } => write!(f, "the machine is gone: {told}"),
            Self::Orphan => f.write_str("a machine of ours without a record"),
            Self::NodeLeftOver => f.write_str("its machine is proven gone"),
            Self::RepairBudget { sick, allowed } => {
                write!(f, "{sick} sick at once, {allowed} allowed; holding")
            }
            Self::DrainGoesOn { left } => write!(f, "{left} pod(s) left to evict"),
            Self::DrainDone => f.write_str("drained"),
            Self::NoticeEnds { at, left } => write!(
                f,
                "the machine ends at {at}; {left} pod(s) are deleted whatever their budgets say"
            ),
            Self::LoadBalancers { worker, until } => {
                write!(f, "load balancers forget {worker}; its pods are evicted at {until}")
            }
            Self::VolumesAttached { worker, volumes, until } => write!(
                f,
                "{volumes} volume(s) are still attached to {worker}; it is ended by {until} all the same"
            ),
            Self::DrainBlocked { worker, by } => write!(f, "{worker} is not empty yet: {by}"),
            Self::DrainDeadline { after, by: None } => {
                write!(f, "not drained within {after}; given back")
            }
            Self::DrainDeadline { after, by: Some(by) } => {
                write!(f, "not drained within {after}, given back: {by}")
            }
            Self::DemandReturned => f.write_str("demand returned"),
            Self::DrainSuspended { why } => write!(f, "drain suspended: {why}"),
            Self::Finished => f.write_str("machine and node are gone"),
            Self::ClaimLost => f.write_str("claim lost"),
            Self::StoreAway => f.write_str("store away"),
            Self::Changed { what } => write!(f, "{what} changed before the act"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_explained_in_the_documentation() {
        let page = include_str!("../../docs/reasons.md");
        let explained: Vec<&str> =
            page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
        assert_eq!(explained, Reason::CODES);
    }

    #[test]
    fn a_code_is_what_stands_in_json() {
        for reason in [Reason::AtMax { max: 1 }, Reason::Permanent, Reason::ClaimLost] {
            let json = serde_json::to_value(&reason).unwrap();
            assert_eq!(json["code"], reason.code());
        }
    }
}
