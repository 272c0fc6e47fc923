//! The alert that we post ourselves, for need that we saw before Prometheus could: the rule, its routes, silences and
//! time intervals stay what they are, only the scrape and the evaluation are not waited for. Prometheus' own takes over.

use super::Parts;
use super::report::SignalReport;
use crate::model::{ClusterName, Direction, PoolName, PushRule};
use crate::policy::Sensors;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often it is asked which rules permit it.
const ASKED_EVERY: Duration = Duration::from_mins(1);

/// Posted once more where it has not led to an alert that counts: an Alertmanager may have lost it.
const AGAIN: Duration = Duration::from_secs(30);

/// Posts alerts for one cluster.
#[derive(Debug, Default)]
pub(super) struct Pusher(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    rules: Vec<PushRule>,
    asked: Option<Instant>,
    /// For how many pods of a pool, and when.
    posted: BTreeMap<PoolName, (usize, Instant)>,
}

impl Pusher {
    /// Posts an alert for each pool that would grow for pods which no alert asks for yet.
    pub(super) async fn push(
        &self,
        parts: &Parts,
        (cluster, now): (&ClusterName, Timestamp),
        sensors: &Sensors,
        signals: &[SignalReport],
    ) {
        self.learn(parts, cluster).await;
        let asked = |pool: &PoolName| signals.iter().any(|signal| asks_for(signal, pool));
        let need = sensors.would_grow().filter(|(pool, _)| !asked(pool));
        for (pool, pods) in self.news(&need.collect()) {
            let rules = self.lock().rules.clone();
            for rule in rules {
                match rule.alert(cluster, &pool, pods, now) {
                    Ok(Some(alert)) => {
                        let failed = parts.alertmanager.post(&alert).await;
                        tracing::info!(section = "push", %cluster, %pool, rule = rule.name, pods, ?failed, "posted");
                    }
                    Ok(None) => {}
                    Err(why) => tracing::warn!(section = "push", %cluster, why, "not posted"),
                }
            }
        }
    }

    /// Asks now and then which rules permit it. While nobody answers, those that did last.
    async fn learn(&self, parts: &Parts, cluster: &ClusterName) {
        let is_due = |asked: Option<Instant>| asked.is_none_or(|at| at.elapsed() > ASKED_EVERY);
        if !is_due(self.lock().asked) {
            return;
        }
        let told = parts.prometheus.push_rules().await;
        let mut state = self.lock();
        state.asked = Some(Instant::now());
        match told {
            Ok(rules) => state.rules = rules,
            Err(why) => tracing::debug!(section = "push", %cluster, why, "rules are not known"),
        }
    }

    /// What is to be posted: new need, and what was posted a while ago and led to nothing.
    fn news(&self, need: &BTreeMap<PoolName, usize>) -> Vec<(PoolName, usize)> {
        let mut state = self.lock();
        if state.rules.is_empty() {
            return Vec::new();
        }
        state.posted.retain(|pool, _| need.contains_key(pool));
        let is_news = |(pool, pods): &(&PoolName, &usize)| {
            let before = state.posted.get(*pool);
            before.is_none_or(|(known, at)| *pods > known || at.elapsed() > AGAIN)
        };
        let news: Vec<_> =
            need.iter().filter(is_news).map(|(pool, pods)| (pool.clone(), *pods)).collect();
        let now = Instant::now();
        state.posted.extend(news.iter().map(|(pool, pods)| (pool.clone(), (*pods, now))));
        news
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
