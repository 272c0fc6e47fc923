//! The alert that we post ourselves, for need that we saw before Prometheus could: the rule, its routes, silences and
//! time intervals stay what they are, only the scrape and the evaluation are not waited for. Prometheus' own takes over.

use super::Parts;
use super::report::SignalReport;
use crate::model::{ClusterName, Direction, PoolName, PostedAlert, PushRule};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is asked which rules permit it, while there is need.
const ASKED_EVERY: Duration = Duration::from_mins(1);

/// Posted once more while need lasts: it ends by itself, and Prometheus may not have taken over.
const AGAIN: Duration = Duration::from_secs(30);

/// All of it takes no longer: a pass waits for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// More rules than so many are not looked at.
const MOST_RULES: usize = 16;

/// Posts alerts for one cluster.
#[derive(Debug, Default)]
pub(super) struct Pusher(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rules: Vec<PushRule>,
    asked: Option<Instant>,
    posted: BTreeMap<PoolName, Posted>,
}

/// What was posted for a pool last.
#[derive(Clone, Copy, Debug)]
struct Posted {
    pods: usize,
    /// Since when the alert fires.
    starts: Timestamp,
    at: Instant,
}

/// A pool that would grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) pool: PoolName,
    /// For so many pods.
    pub(super) pods: usize,
    /// Whether an alert asks for it already, and counts.
    pub(super) is_asked: bool,
}

impl Wish {
    /// As the signals are.
    pub(super) fn new((pool, pods): (PoolName, usize), signals: &[SignalReport]) -> Self {
        let is_asked = signals.iter().any(|signal| asks_for(signal, &pool));
        Self { pool, pods, is_asked }
    }
}

impl Pusher {
    /// Posts an alert for each pool that would grow for pods which no alert asks for yet.
    pub(super) async fn push(
        &self,
        parts: &Parts,
        (cluster, now): (&ClusterName, Timestamp),
        wishes: &[Wish],
    ) {
        let due = self.due(wishes, now);
        if due.is_empty() {
            return;
        }
        let posting = async {
            self.learn(parts, cluster).await;
            let alerts = self.alerts(cluster, &due, now);
            if alerts.is_empty() { Vec::new() } else { parts.alertmanager.post(&alerts).await }
        };
        let failed = tokio::time::timeout(PATIENCE, posting).await;
        let failed = failed.unwrap_or_else(|_| vec![format!("no answer within {PATIENCE:?}")]);
        for why in failed {
            tracing::warn!(section = "push", %cluster, why, "an alert was not posted");
        }
    }

    /// Which pools' alerts are to be posted now, and since when they fire: those of new need, and once more those that
    /// were posted a while ago.
    fn due(&self, wishes: &[Wish], now: Timestamp) -> Vec<(PoolName, usize, Timestamp)> {
        let mut state = self.lock();
        state.posted.retain(|pool, _| wishes.iter().any(|wish| wish.pool == *pool));
        let mut due = Vec::new();
        for Wish { pool, pods, is_asked } in wishes {
            let before = state.posted.get(pool).copied();
            let is_due = match before {
                None => !is_asked,
                Some(posted) => posted.at.elapsed() >= AGAIN || (*pods > posted.pods && !is_asked),
            };
            if is_due {
                let starts = before.map_or(now, |posted| posted.starts);
                let posted = Posted { pods: *pods, starts, at: Instant::now() };
                state.posted.insert(pool.clone(), posted);
                due.push((pool.clone(), *pods, starts));
            }
        }
        due
    }

    fn alerts(
        &self,
        cluster: &ClusterName,
        due: &[(PoolName, usize, Timestamp)],
        now: Timestamp,
    ) -> Vec<PostedAlert> {
        let rules = self.lock().rules.clone();
        let mut alerts = Vec::new();
        for (pool, pods, starts) in due {
            for rule in &rules {
                match rule.alert(cluster, pool, *pods, (*starts, now)) {
                    Ok(Some(alert)) => {
                        tracing::info!(section = "push", %cluster, %pool, rule = rule.name, pods, "posts its alert");
                        alerts.push(alert);
                    }
                    Ok(None) => {}
                    Err(why) => tracing::warn!(section = "push", %cluster, why, "not posted"),
                }
            }
        }
        alerts
    }

    /// Asks now and then which rules permit it. While nobody answers, those that did last.
    async fn learn(&self, parts: &Parts, cluster: &ClusterName) {
        if self.lock().asked.is_some_and(|at| at.elapsed() < ASKED_EVERY) {
            return;
        }
        self.lock().asked = Some(Instant::now());
        match parts.prometheus.push_rules().await {
            Ok(mut rules) => {
                if rules.len() > MOST_RULES {
                    let count = rules.len();
                    tracing::warn!(section = "push", %cluster, count, "too many rules permit it: the first {MOST_RULES} count");
                }
                rules.truncate(MOST_RULES);
                self.lock().rules = rules;
            }
            Err(why) => tracing::warn!(section = "push", %cluster, why, "rules are not known"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an alert asks a pool to grow, and counts.
fn asks_for(report: &SignalReport, pool: &PoolName) -> bool {
    let signal = &report.signal;
    let is_ours = signal.pool.as_ref().is_none_or(|name| name == pool);
    report.counts && signal.direction() == Direction::Up && is_ours
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::duration;

    fn wish(pods: usize, is_asked: bool) -> Vec<Wish> {
        vec![Wish { pool: "workers".into(), pods, is_asked }]
    }

    #[tokio::test(start_paused = true)]
    async fn need_that_no_alert_asks_for_is_pushed_once_and_more_need_once_more() {
        let (pusher, now) = (Pusher::default(), Timestamp::UNIX_EPOCH);
        let due = |wishes: &[Wish]| pusher.due(wishes, now).len();
        assert_eq!(due(&wish(3, true)), 0, "an alert asks");
        assert_eq!(due(&wish(3, false)), 1);
        assert_eq!(due(&wish(3, false)), 0);
        assert_eq!(due(&wish(2, false)), 0);
        assert_eq!(due(&wish(4, false)), 1);
        assert_eq!(due(&wish(5, true)), 0, "by now it asks");
        assert_eq!(due(&[]), 0);
        assert_eq!(due(&wish(1, false)), 1, "it is new need");
    }

    /// Else it would end while need lasts, and fire anew: people would be told again and again.
    #[tokio::test(start_paused = true)]
    async fn what_was_pushed_is_kept_alive_while_need_lasts_and_fires_since_its_begin() {
        let (pusher, begun) = (Pusher::default(), Timestamp::UNIX_EPOCH);
        assert_eq!(pusher.due(&wish(3, false), begun).len(), 1);
        for _ in 0..3 {
            tokio::time::advance(AGAIN).await;
            let due = pusher.due(&wish(3, true), duration::after(begun, AGAIN));
            assert_eq!(due, [("workers".into(), 3, begun)]);
        }
    }
}
