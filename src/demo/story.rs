//! The story: each scene changes the world, and is over when what should follow really followed.

use super::stage::{Look, Stage};
use super::view::seconds;
use crate::model::{Entry, EntryKind, Matcher, Reason, WorkerState};
use anyhow::{Context as _, bail};
use std::time::Duration;

/// The scenes in order.
pub(super) const SCENES: [&str; 7] = [BELOW_MIN, PENDING, IDLE, SILENCED, LIFTED, KILLED, BLIND];

const BELOW_MIN: &str = "no worker yet: the pool's min is restored";
const PENDING: &str = "pods pending: workers are added, pods placed";
const IDLE: &str = "load falls: drained to min";
const SILENCED: &str = "a silence is set: the alert fires, nothing happens";
const LIFTED: &str = "the silence is lifted: it goes on";
const KILLED: &str = "a machine is killed: it is replaced";
const BLIND: &str = "Prometheus is stopped while idle: nothing is removed";

/// The longest any scene may take.
const LIMIT: Duration = Duration::from_secs(75);
/// How long "nothing happens" is watched.
const QUIET: Duration = Duration::from_secs(6);
/// Longer than the idle rule's window and everything after it, at the demo's pace.
const IDLE_AND_MORE: Duration = Duration::from_secs(27);
/// Who sets the silence.
const WHO: &str = "Ada (on call)";

/// Plays all scenes. Stops at the first that does not happen.
pub(super) async fn play(stage: &mut Stage) -> anyhow::Result<()> {
    below_min(stage).await.context(BELOW_MIN)?;
    pending(stage).await.context(PENDING)?;
    idle(stage).await.context(IDLE)?;
    let silence = silenced(stage).await.context(SILENCED)?;
    lifted(stage, silence).await.context(LIFTED)?;
    killed(stage).await.context(KILLED)?;
    blind(stage).await.context(BLIND)
}

async fn below_min(stage: &Stage) -> anyhow::Result<()> {
    stage.board.begin(BELOW_MIN);
    stage.workload(4)?;
    stage
        .until("min Ready workers", LIMIT, |look| {
            look.ready() >= look.min() && look.pending() == Some(0)
        })
        .await?;
    stage
        .expect("a launch because of min", |entry| {
            matches!(entry.reason, Some(Reason::BelowMin { .. }))
        })
        .await?;
    stage.board.end(BELOW_MIN);
    Ok(())
}

async fn pending(stage: &Stage) -> anyhow::Result<()> {
    stage.board.begin(PENDING);
    let (mark, began) = (stage.mark().await?, stage.board.elapsed());
    let before = stage.look().await?.ready();
    stage.workload(12)?;
    stage.until("pending pods", LIMIT, |look| look.pending().is_some_and(|pods| pods > 0)).await?;
    stage.until("a launch for pending pods", LIMIT, |look| look.since(mark).any(for_pods)).await?;
    let launched = stage.board.since(began);
    stage
        .until("all pods placed", LIMIT, |look| look.pending() == Some(0) && look.ready() > before)
        .await?;
    let after = stage.look().await?.ready();
    stage.board.note(
        PENDING,
        format!(
            "launch {} after the pods, {before} → {after} workers, all placed after {}",
            seconds(launched),
            seconds(stage.board.since(began))
        ),
    );
    stage.board.end(PENDING);
    Ok(())
}

async fn idle(stage: &Stage) -> anyhow::Result<()> {
    stage.board.begin(IDLE);
    let (mark, began) = (stage.mark().await?, stage.board.elapsed());
    let before = stage.look().await?.ready();
    stage.workload(3)?;
    stage.until("the idle alert to count", LIMIT, |look| look.counts("SustainedIdle")).await?;
    let fired = stage.board.since(began);
    stage
        .until("min workers left, none on its way", LIMIT, |look| {
            look.have() == look.min() && look.is_settled()
        })
        .await?;
    stage
        .expect_since(mark, "a termination because of idleness", |entry| {
            entry.kind == EntryKind::Intent && entry.what == "terminate"
        })
        .await?;
    stage.board.note(
        IDLE,
        format!(
            "idle fired after {}, {before} → {} workers after {}",
            seconds(fired),
            stage.look().await?.ready(),
            seconds(stage.board.since(began))
        ),
    );
    stage.board.end(IDLE);
    Ok(())
}

/// Returns the silence's id.
async fn silenced(stage: &Stage) -> anyhow::Result<crate::model::SilenceId> {
    stage.board.begin(SILENCED);
    let mark = stage.mark().await?;
    let up = Matcher {
        name: "autoscale".to_owned(),
        value: "up".to_owned(),
        is_regex: false,
        is_equal: true,
    };
    let silence = stage.silence(vec![up], WHO, "maintenance: please add nothing").await?;
    stage.workload(10)?;
    stage.until_firing("PodsUnschedulable", LIMIT).await?;
    stage.until("the loop to say that it is paused", LIMIT, |look| look.paused().is_some()).await?;
    stage.quiet("a launch while paused", QUIET, |look| !look.since(mark).any(is_launch)).await?;
    let paused = stage.look().await?.paused().context("the pause is not shown")?;
    stage.board.note(SILENCED, format!("nothing launched for {}; {paused}", seconds(QUIET)));
    stage.board.end(SILENCED);
    Ok(silence)
}

async fn lifted(stage: &Stage, silence: crate::model::SilenceId) -> anyhow::Result<()> {
    stage.board.begin(LIFTED);
    let (mark, began) = (stage.mark().await?, stage.board.elapsed());
    stage.lift(&silence).await?;
    stage.until("a launch for pending pods", LIMIT, |look| look.since(mark).any(for_pods)).await?;
    let launched = stage.board.since(began);
    stage
        .until("all pods placed", LIMIT, |look| look.pending() == Some(0) && look.is_settled())
        .await?;
    stage.board.note(LIFTED, format!("launch {} after the silence ended", seconds(launched)));
    stage.board.end(LIFTED);
    Ok(())
}

async fn killed(stage: &Stage) -> anyhow::Result<()> {
    stage.board.begin(KILLED);
    let (mark, began) = (stage.mark().await?, stage.board.elapsed());
    let before = stage.look().await?.ready();
    let worker = stage.kill_one().await?;
    stage
        .until("the loss to be seen", LIMIT, |look| {
            look.since(mark).any(|entry| {
                entry.worker.as_ref() == Some(&worker) && entry.kind == EntryKind::Seen
            })
        })
        .await?;
    let seen = stage.board.since(began);
    stage
        .until("a replacement, and every pod placed", LIMIT, |look| {
            look.since(mark).any(is_launch)
                && look.ready() >= before
                && look.pending() == Some(0)
                && look.is_settled()
        })
        .await?;
    stage.board.note(
        KILLED,
        format!(
            "{worker} lost, seen after {}, replaced after {}",
            seconds(seen),
            seconds(stage.board.since(began))
        ),
    );
    stage.board.end(KILLED);
    Ok(())
}

/// The workers are idle for longer than the rule asks; only, nobody who could say so is there.
async fn blind(stage: &mut Stage) -> anyhow::Result<()> {
    stage.board.begin(BLIND);
    stage.workload(1)?;
    stage.until_true("bellwether:workers_cpu:percent < 30", LIMIT).await?;
    stage.stop_prometheus().await?;
    let (mark, look) = (stage.mark().await?, stage.look().await?);
    let (before, min) = (look.ready(), look.min());
    if before <= min {
        bail!("there is nothing that could be removed wrongly: the pool is at min");
    }
    stage
        .quiet("a removal without Prometheus", IDLE_AND_MORE, |look| {
            !look.since(mark).any(is_removal)
        })
        .await?;
    let after = stage.look().await?.ready();
    if after != before {
        bail!("{before} workers became {after}");
    }
    let watched = seconds(IDLE_AND_MORE);
    stage.board.note(
        BLIND,
        format!("all {before} workers still there {watched} later, though {min} would do"),
    );
    stage.board.end(BLIND);
    Ok(())
}

/// A call that was really made; one that was refused right before is none.
fn is_removal(entry: &Entry) -> bool {
    entry.kind == EntryKind::Done && ["cordon", "terminate"].contains(&entry.what.as_str())
}

fn is_launch(entry: &Entry) -> bool {
    entry.kind == EntryKind::Intent && entry.what == "launch"
}

fn for_pods(entry: &Entry) -> bool {
    is_launch(entry) && matches!(entry.reason, Some(Reason::PodsPending { .. }))
}

impl Look {
    /// Workers whose node is Ready.
    fn ready(&self) -> usize {
        self.report.workers.iter().filter(|worker| worker.state == WorkerState::Ready).count()
    }

    /// Whether no worker is on its way in or out.
    fn is_settled(&self) -> bool {
        self.report.workers.iter().all(|worker| worker.state == WorkerState::Ready)
    }

    fn have(&self) -> usize {
        self.report.pools.iter().map(|pool| pool.decision.have as usize).sum()
    }

    fn min(&self) -> usize {
        self.report.pools.iter().map(|pool| pool.min as usize).sum()
    }

    fn pending(&self) -> Option<usize> {
        self.report.pending_pods
    }

    /// Whether an alert of this name counts.
    fn counts(&self, alert: &str) -> bool {
        self.report.signals.iter().any(|signal| signal.counts && signal.signal.name == alert)
    }

    /// Who paused it and until when, in the words that every screen shows.
    fn paused(&self) -> Option<String> {
        let decisions = self.report.plan.decisions.iter();
        let mut reasons =
            decisions.flat_map(|decision| std::iter::once(&decision.reason).chain(&decision.also));
        reasons.find(|reason| matches!(reason, Reason::Paused { .. })).map(ToString::to_string)
    }

    /// History after a mark, newest first.
    fn since(&self, mark: u64) -> impl Iterator<Item = &Entry> {
        self.history.iter().take_while(move |entry| entry.id > mark)
    }
}
