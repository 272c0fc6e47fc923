//! What the screen shows: scenes, pools, pauses, and the last lines of history. Pure.

use super::board::{Scene, SceneState};
use crate::model::{Entry, EntryKind, Silence, WorkerState, duration};
use crate::reconcile::{PoolReport, Report};
use jiff::Timestamp;
use std::fmt::Write as _;
use std::time::Duration;

/// Everything one screen is drawn from.
pub(super) struct Picture<'a> {
    pub(super) scenes: &'a [Scene],
    pub(super) elapsed: Duration,
    pub(super) report: Option<&'a Report>,
    pub(super) history: &'a [Entry],
    pub(super) now: Timestamp,
    /// Columns of the terminal.
    pub(super) width: usize,
}

/// Lines of history on the screen.
pub(super) const HISTORY_LINES: usize = 12;

const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const BLUE: &str = "\u{1b}[34m";
const PLAIN: &str = "\u{1b}[0m";

/// The whole screen, one line per row, none longer than the terminal is wide.
pub(super) fn screen(picture: &Picture<'_>) -> Vec<String> {
    let mut lines = vec![format!(
        "{BOLD}Bellwether{PLAIN}  Prometheus decides when, Alertmanager who hears, Bellwether what is safe   {DIM}{}{PLAIN}",
        seconds(picture.elapsed)
    )];
    lines.push(String::new());
    lines.extend(picture.scenes.iter().flat_map(|scene| scene_lines(scene, picture.elapsed)));
    lines.push(String::new());
    if let Some(report) = picture.report {
        lines.extend(report.pools.iter().flat_map(|pool| pool_lines(pool, report)));
        lines.extend(report.pauses.iter().map(|silence| pause_line(silence, picture.now)));
        lines.push(alert_line(report));
    }
    lines.push(String::new());
    lines.push(format!("{DIM}history{PLAIN}"));
    lines.extend(picture.history.iter().take(HISTORY_LINES).rev().map(history_line));
    lines.into_iter().map(|line| fit(&line, picture.width)).collect()
}

/// One line per scene, and one below for what was measured.
fn scene_lines(scene: &Scene, elapsed: Duration) -> Vec<String> {
    let (mark, time) = match scene.state {
        SceneState::Waiting => (format!("{DIM}·{PLAIN}"), String::new()),
        SceneState::Playing(since) => {
            (format!("{YELLOW}▶{PLAIN}"), seconds(elapsed.saturating_sub(since)))
        }
        SceneState::Done(took) => (format!("{GREEN}✔{PLAIN}"), seconds(took)),
        SceneState::Failed => (format!("{RED}✘{PLAIN}"), String::new()),
    };
    let mut lines = vec![format!("  {mark} {:<58} {time:>7}", scene.title)];
    if let Some(note) = scene.notes.last() {
        lines.push(format!("      {DIM}{note}{PLAIN}"));
    }
    lines
}

fn pool_lines(pool: &PoolReport, report: &Report) -> Vec<String> {
    let workers = report.workers.iter().filter(|worker| worker.pool == pool.pool);
    let boxes: String = workers.map(|worker| glyph(&worker.state)).collect();
    vec![
        format!(
            "{BOLD}pool {}{PLAIN}  {} of {}…{} workers  [{boxes}{PLAIN}]  {} pod(s) pending",
            pool.pool,
            pool.decision.have,
            pool.min,
            pool.max,
            report.pending_pods.map_or_else(|| "?".to_owned(), |count| count.to_string()),
        ),
        format!("  {DIM}now:{PLAIN} {}", pool.why),
    ]
}

/// A worker as one character: coming yellow, ready green, leaving blue, dead red.
fn glyph(state: &WorkerState) -> String {
    let (colour, sign) = match state {
        WorkerState::Requested | WorkerState::Booting => (YELLOW, "◌"),
        WorkerState::Joined => (YELLOW, "○"),
        WorkerState::Ready => (GREEN, "●"),
        WorkerState::Cordoned | WorkerState::Draining | WorkerState::Drained => (BLUE, "◐"),
        WorkerState::Terminating | WorkerState::Gone => (DIM, "◌"),
        WorkerState::Failed { .. } => (RED, "✘"),
    };
    format!("{colour}{sign}{PLAIN}")
}

fn pause_line(silence: &Silence, now: Timestamp) -> String {
    format!(
        "{YELLOW}paused{PLAIN} by {} for {} more: {}",
        silence.created_by,
        seconds(duration::until(silence.ends, now)),
        silence.comment
    )
}

fn alert_line(report: &Report) -> String {
    let mut line = format!("{DIM}alerts{PLAIN} ");
    let told = report.signals.iter().filter(|signal| signal.signal.name != "Watchdog");
    for signal in told {
        let colour = if signal.counts { GREEN } else { DIM };
        let _ = write!(line, " {colour}{}{PLAIN}", signal.signal.name);
    }
    line
}

/// One line of history.
pub(super) fn history_line(entry: &Entry) -> String {
    let colour = match entry.kind {
        EntryKind::Intent | EntryKind::Done => GREEN,
        EntryKind::Failed => RED,
        EntryKind::Refused | EntryKind::Held | EntryKind::DryRun => YELLOW,
        EntryKind::Seen => PLAIN,
    };
    format!("{DIM}{}{PLAIN} {colour}{}{PLAIN}", entry.at.strftime("%H:%M:%S"), words(entry))
}

/// A line of history in words, without colour.
pub(super) fn words(entry: &Entry) -> String {
    let who = entry
        .worker
        .as_ref()
        .map(ToString::to_string)
        .or_else(|| entry.pool.as_ref().map(ToString::to_string));
    let why = entry.reason.as_ref().map(ToString::to_string).unwrap_or_default();
    let kind = match entry.kind {
        EntryKind::Intent => "will",
        EntryKind::Done => "did",
        EntryKind::Failed => "failed to",
        EntryKind::Refused => "refused to",
        EntryKind::Seen => "saw",
        EntryKind::Held => "",
        EntryKind::DryRun => "would",
    };
    let line = format!("{:<26} {kind} {}: {why}", who.unwrap_or_default(), entry.what);
    line.replace("  hold:", " hold:")
}

/// A time such as `12.3 s`.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// Cuts a line to the terminal's width, not counting colours.
fn fit(line: &str, width: usize) -> String {
    let (mut shown, mut in_colour, mut text) = (0, false, String::new());
    for c in line.chars() {
        if c == '\u{1b}' {
            in_colour = true;
        }
        if in_colour || shown < width {
            text.push(c);
        }
        if in_colour {
            in_colour = c != 'm';
        } else {
            shown += 1;
        }
    }
    text
}
