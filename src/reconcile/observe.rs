//! Looking at the whole world, all at once. Partial is allowed, and marked as unknown.

use super::Parts;
use crate::config::{ClusterConfig, PoolConfig};
use crate::model::{Ask, Guard, Instance, Observed, PoolName, Shape, Signal, SignalId, View, Want};
use crate::provider;
use futures_util::future::join_all;
use std::collections::{BTreeMap, BTreeSet};

/// Everything a pass looks at. Never fails: what was not seen whole is unknown.
pub(super) async fn observe(parts: &Parts, limits: &ClusterConfig, signals: &[Signal]) -> Observed {
    let (cluster, truth, guards, wants, instances, shapes) = tokio::join!(
        parts.cluster.observe(),
        parts.alertmanager.truth(),
        guards(parts, limits, signals),
        wants(parts, signals),
        instances(parts, limits),
        shapes(parts, limits),
    );
    Observed { cluster, instances, shapes, truth, guards, wants }
}

/// Guards are asked only when something could be removed: while a down signal is there.
async fn guards(
    parts: &Parts,
    limits: &ClusterConfig,
    signals: &[Signal],
) -> BTreeMap<String, Guard> {
    if !signals.iter().any(|signal| matches!(signal.ask, Ask::Down { .. })) {
        return BTreeMap::new();
    }
    evaluate(parts, &limits.guards.down).await
}

/// Evaluates guard expressions now.
pub(super) async fn evaluate(parts: &Parts, expressions: &[String]) -> BTreeMap<String, Guard> {
    let distinct: BTreeSet<&String> = expressions.iter().collect();
    let ask = |expression| async move {
        (String::clone(expression), parts.prometheus.guard(expression).await)
    };
    join_all(distinct.into_iter().map(ask)).await.into_iter().collect()
}

async fn wants(parts: &Parts, signals: &[Signal]) -> BTreeMap<SignalId, Want> {
    let asked = signals.iter().filter_map(|signal| match &signal.ask {
        Ask::Up { want_query: Some(query), .. } => Some((&signal.id, query)),
        _ => None,
    });
    let ask = |(id, query): (&SignalId, &String)| {
        let (id, query) = (id.clone(), query.clone());
        async move { (id, parts.prometheus.want(&query).await) }
    };
    join_all(asked.map(ask)).await.into_iter().collect()
}

async fn instances(
    parts: &Parts,
    limits: &ClusterConfig,
) -> BTreeMap<PoolName, View<Vec<Instance>>> {
    let list = |pool: &PoolConfig| {
        let name = pool.name.clone();
        async move {
            let list = parts.provider.list(&name).await;
            (name, view(parts, list))
        }
    };
    join_all(limits.pools.values().map(list)).await.into_iter().collect()
}

async fn shapes(parts: &Parts, limits: &ClusterConfig) -> BTreeMap<PoolName, View<Vec<Shape>>> {
    let ask = |pool: &PoolConfig| {
        let name = pool.name.clone();
        async move {
            let shapes = parts.provider.shapes(&name).await;
            (name, view(parts, shapes))
        }
    };
    join_all(limits.pools.values().map(ask)).await.into_iter().collect()
}

fn view<T>(parts: &Parts, answer: provider::Result<T>) -> View<T> {
    match answer {
        Ok(value) => View::Known { at: parts.clock.now(), value },
        Err(error) => View::Unknown { why: error.to_string() },
    }
}
