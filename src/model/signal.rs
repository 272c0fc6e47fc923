//! What one alert, or one operator, asks for.

use super::{ClusterName, Fingerprint, NodeName, PoolName, SignalId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// What one alert or one manual request asks for. A hint: it counts only as `policy` judges it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signal {
    /// Its id: an alert's fingerprint (one signal per alert, whatever number of deliveries), or one
    /// made up for a manual request.
    pub id: SignalId,
    /// The cluster it speaks for.
    pub cluster: ClusterName,
    /// The pool it speaks for; `None` where the cluster has only one.
    pub pool: Option<PoolName>,
    /// What it asks.
    pub ask: Ask,
    /// Where it came from.
    pub source: Source,
    /// The rule's name, or `manual`.
    pub name: String,
    /// For people: the alert's summary, or the operator's comment.
    pub summary: String,
    /// For people: the alert's description.
    pub description: String,
    /// When it first arrived, since its record was last forgotten.
    pub first_seen: Timestamp,
    /// When it last arrived.
    pub last_seen: Timestamp,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// More workers.
    Up {
        /// Workers to add, a constant of the rule.
        step: Option<u32>,
        /// PromQL for the pool's wanted size, evaluated at the moment of deciding.
        want_query: Option<String>,
    },
    /// Fewer workers.
    Down {
        /// The node it nominates.
        node: Option<NodeName>,
    },
    /// Another worker in place of one.
    Replace {
        /// The node to replace.
        node: Option<NodeName>,
    },
    /// A sign of life of Prometheus and Alertmanager.
    Watchdog,
    /// An operator's wish: this many more (or, negative, fewer) workers.
    Scale {
        /// Workers to add; negative to remove. Never zero.
        by: i32,
    },
    /// An operator's wish: a pass now.
    Reconcile,
    /// An operator's wish: need is foreseen again, though that was wrong too often.
    Foresee,
}

/// Where a signal came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "snake_case")]
pub enum Source {
    /// An alert delivered by Alertmanager.
    Alert {
        /// Alertmanager's fingerprint.
        fingerprint: Fingerprint,
        /// Start of the episode.
        starts_at: Timestamp,
        /// The alert's labels.
        labels: BTreeMap<String, String>,
        /// The last delivery said resolved. Never a cause to act.
        resolved: bool,
    },
    /// A request by a person or program with the operator role.
    Manual {
        /// Who, as far as the token's name says.
        who: String,
    },
}

/// The way a signal points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More workers.
    Up,
    /// Fewer workers.
    Down,
    /// One worker for another.
    Replace,
    /// Sign of life.
    Watchdog,
    /// An operator's wish.
    Manual,
}

// === impl Signal ===

impl Signal {
    /// The way it points.
    pub fn direction(&self) -> Direction {
        match self.ask {
            Ask::Up { .. } => Direction::Up,
            Ask::Down { .. } => Direction::Down,
            Ask::Replace { .. } => Direction::Replace,
            Ask::Watchdog => Direction::Watchdog,
            Ask::Scale { .. } | Ask::Reconcile | Ask::Foresee => Direction::Manual,
        }
    }

    /// The alert's fingerprint, where it is one.
    pub fn fingerprint(&self) -> Option<&Fingerprint> {
        match &self.source {
            Source::Alert { fingerprint, .. } => Some(fingerprint),
            Source::Manual { .. } => None,
        }
    }

    /// Merges two records of one signal. Commutative, associative and idempotent, so that repeats,
    /// lost and reordered deliveries lead to one record: the later delivery's words stand (a tie goes
    /// to the later episode, then to firing), and the seen-times widen. Episodes of one alert are not
    /// told apart: two replicas of Prometheus give one episode two starts.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let first_seen = self.first_seen.min(other.first_seen);
        let newer = if self.order(&other).is_ge() { self } else { other };
        Self { first_seen, ..newer }
    }

    fn episode(&self) -> Option<Timestamp> {
        match &self.source {
            Source::Alert { starts_at, .. } => Some(*starts_at),
            Source::Manual { .. } => None,
        }
    }

    /// Which of two records stands. Total: where the rank ties, the rest of the record decides, so
    /// that the order of arrival never does.
    fn order(&self, other: &Self) -> Ordering {
        let rest = || format!("{self:?}").cmp(&format!("{other:?}"));
        self.rank().cmp(&other.rank()).then_with(rest)
    }

    fn rank(&self) -> (Timestamp, Option<Timestamp>, bool, &str) {
        let firing = !matches!(self.source, Source::Alert { resolved: true, .. });
        (self.last_seen, self.episode(), firing, &self.summary)
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Replace => "replace",
            Self::Watchdog => "watchdog",
            Self::Manual => "manual",
        })
    }
}
