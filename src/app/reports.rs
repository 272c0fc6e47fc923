//! The loops' reports as the HTTP server shows them.

use crate::cluster::fence::Refusal;
use crate::http;
use crate::http::reads::ClusterReport;
use crate::model::ClusterName;
use crate::reconcile::{Handle, Report};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the server may do with the loops: wake one, and show its last report.
pub(super) fn handle(loops: BTreeMap<ClusterName, Handle>) -> http::Handle {
    let loops = Arc::new(loops);
    let (waking, asked) = (loops.clone(), loops.clone());
    http::Handle {
        wake: Box::new(move |cluster| {
            if let Some(handle) = waking.get(cluster) {
                handle.wake();
            }
        }),
        report: Box::new(move |cluster| {
            let handle = loops.get(cluster)?;
            let refused = handle.refused();
            handle.report().map(|report| Arc::new(shown(&report, handle.may_act(), refused)))
        }),
        explain: Box::new(move |cluster, subject| asked.get(cluster)?.explain(subject)),
    }
}

fn shown(report: &Report, may_act: bool, refused: Option<Refusal>) -> ClusterReport {
    ClusterReport {
        at: report.at,
        pass: report.pass.clone(),
        status: json!({
            "acting": may_act,
            "lease_refused": refused.map(|refusal| told(&refusal)),
            "pending_pods": report.pending_pods,
            "pauses": report.pauses,
            "alertmanagers": report.alertmanagers,
            "findings": report.findings,
            "pools": value(&report.pools),
        }),
        pools: value(&report.pools),
        workers: value(&report.workers),
        nodes: value(&report.nodes),
        signals: value(&report.signals),
        decisions: value(&report.plan.decisions),
        plan: value(&report.plan),
    }
}

/// Why the cluster refuses its lease: the word that the metric has, and what belongs to it.
fn told(refusal: &Refusal) -> Value {
    let why = refusal.kind();
    match refusal {
        Refusal::Held { holder, until } => json!({ "why": why, "by": holder, "until": until }),
        Refusal::Outdated { last } => json!({ "why": why, "last_token": last }),
        Refusal::Away(error) => json!({ "why": why, "error": error }),
    }
}

fn value(part: &impl Serialize) -> Value {
    serde_json::to_value(part).expect("reports hold only text keys")
}
