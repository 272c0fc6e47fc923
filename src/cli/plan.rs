//! `bellwether plan`: what the loop would do now, and why, as tables.

use super::client::{Connection, print_json};
use super::{Output, table};
use crate::model::{Act, Decision, Order, Plan, Step, Verdict, WorkerId};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// A line of each table.
type Row = Vec<String>;

/// What the loop would do now.
pub(super) async fn plan(connection: &Connection) -> anyhow::Result<ExitCode> {
    let answer = connection.get("/v1/plan").await?;
    if connection.output == Output::Json {
        print_json(&answer);
        return Ok(ExitCode::SUCCESS);
    }
    let (mut pools, mut steps): (Vec<Row>, Vec<Row>) = (Vec::new(), Vec::new());
    for (cluster, shown) in answer["clusters"].as_object().into_iter().flatten() {
        if shown.is_null() {
            let why = "no pass yet; look again in a moment".to_owned();
            pools.push(vec![cluster.clone(), "-".into(), "-".into(), "-".into(), "-".into(), why]);
            continue;
        }
        let plan: Plan = serde_json::from_value(shown["plan"].clone())
            .context("the service plans in a form that is not known here")?;
        pools.extend(plan.decisions.iter().map(|decision| of_pool(cluster, decision)));
        steps.extend(plan.steps.iter().map(|step| of_step(cluster, step)));
    }
    table::print(&["CLUSTER", "POOL", "HAVE", "WANT", "PLAN", "WHY"], pools);
    if !steps.is_empty() {
        print_gap();
        table::print(&["CLUSTER", "WORKER", "STEP", "WHY"], steps);
    }
    Ok(ExitCode::SUCCESS)
}

/// The decision, then what else speaks, a line each.
fn of_pool(cluster: &str, decision: &Decision) -> Row {
    let reasons = std::iter::once(&decision.reason).chain(&decision.also);
    let why: Vec<String> = reasons.map(ToString::to_string).collect();
    let plan = match &decision.verdict {
        Verdict::Hold => "nothing".to_owned(),
        Verdict::Launch { intent } => format!("launch {}", bought(&intent.request.orders)),
        Verdict::Drain { workers } => {
            let names: Vec<&str> = workers.iter().map(WorkerId::as_str).collect();
            format!("drain {}", names.join(", "))
        }
    };
    vec![
        cluster.to_owned(),
        decision.pool.to_string(),
        decision.have.to_string(),
        decision.want.to_string(),
        unless_dry(plan, decision.dry_run && decision.verdict != Verdict::Hold),
        why.join("\n"),
    ]
}

/// So many of each offering.
fn bought(orders: &[Order]) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for order in orders {
        *counts.entry(order.offering.to_string()).or_default() += 1;
    }
    let parts: Vec<String> =
        counts.iter().map(|(offering, count)| format!("{count} × {offering}")).collect();
    parts.join(", ")
}

fn of_step(cluster: &str, step: &Step) -> Row {
    let act = match &step.act {
        Act::Cordon { node } => format!("cordon {}", node.name),
        Act::Evict { node } => format!("evict the pods of {}", node.name),
        Act::Force { node } => format!("delete the pods of {}", node.name),
        Act::Uncordon { node } => format!("uncordon {}", node.name),
        Act::Terminate { instance } => format!("end {instance}"),
        Act::RemoveNode { node } => format!("remove {}", node.name),
        Act::Replay { batch } => format!("ask again for {batch}"),
    };
    let why = step.reason.to_string();
    vec![cluster.to_owned(), step.worker.to_string(), unless_dry(act, step.dry_run), why]
}

fn unless_dry(what: String, dry_run: bool) -> String {
    if dry_run { format!("{what} (dry run: not done)") } else { what }
}

#[expect(clippy::print_stdout, reason = "the command line speaks to a person")]
fn print_gap() {
    println!();
}
