//! What keeps the service from what is due: its time is not counted as long as this goes on, and for a while after.

use super::{Running, Todo, Universe};
use crate::checker::Hindered;
use crate::happening::{Link, Mail, What};
use bellwether::model::duration;
use std::time::Duration;

/// How far a clock may be off, and a little less: beyond that a process does nothing.
const SKEW: Duration = Duration::from_millis(1_500);

impl Universe<'_> {
    /// What keeps it right now.
    pub(super) fn hindrance(&self) -> Hindered {
        let going_on = self.agenda.values().filter_map(|todo| match todo {
            Todo::End(what) => Some(hindrance(what)),
            _ => None,
        });
        let is_down = |running: &Option<Running>| {
            running.as_ref().is_none_or(|one| one.control.is_dead() || one.control.is_stopped())
        };
        let is_none_right = !self.running.iter().flatten().any(|one| self.is_right(one));
        let acts = self.running.iter().any(is_down) || is_none_right;
        going_on.fold(Hindered { acts, removals: false }, Hindered::and)
    }

    fn is_right(&self, running: &Running) -> bool {
        let (ours, its) = (self.clock.now(), running.clock.now());
        duration::since(ours, its).max(duration::since(its, ours)) < SKEW
    }
}

/// What a happening keeps the service from. Not what only makes a machine or a drain late: that is what deadlines are for.
pub(super) fn hindrance(what: &What) -> Hindered {
    let (acts, removals) = match what {
        What::Fault { faults, .. } => {
            // Which machine is whose only the answer tells where they bear no names.
            let is_untold = faults.lose_launch_reply;
            let is_unseen = faults.list_errors || faults.list_empty || faults.observe_errors;
            (is_unseen || is_untold, false)
        }
        What::Trouble { link, .. } => {
            let is_monitoring = matches!(link, Link::Alertmanager(_) | Link::Prometheus);
            (!is_monitoring, is_monitoring)
        }
        What::FailOver { .. }
        | What::Crash { .. }
        | What::Stop { .. }
        | What::Skew { .. }
        | What::Astray { .. } => (true, false),
        What::Mail { mail, .. } => (false, *mail != Mail::Twice),
        What::Alertmanager { .. }
        | What::Prometheus { .. }
        | What::Blind { .. }
        | What::Rules { .. }
        | What::Reconfigure { .. } => (false, true),
        // What pauses is looked at where it does, as are pools that nothing is done to and machines that are kept.
        What::Silence { .. }
        | What::Edit { .. }
        | What::Protect { .. }
        | What::Guard { .. }
        | What::Forecast { .. }
        | What::Cut { .. }
        | What::Load { .. }
        | What::Kill(_)
        | What::Notice(_)
        | What::Cordon(_)
        | What::Silent { .. }
        | What::Sick { .. }
        | What::Anew { .. }
        | What::Foreign
        | What::Stranger
        | What::Wish { .. } => (false, false),
    };
    Hindered { acts, removals }
}
