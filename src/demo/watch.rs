//! Beside the story: tells Prometheus which nodes there are, and draws what happens.

use super::board::{Board, SceneState};
use super::files::Ports;
use super::stage::Stage;
use super::view::{self, Picture};
use crate::clock::Clock;
use crate::model::{ClusterName, Entry};
use crate::reconcile::Handle;
use crate::sim::World;
use crate::store::{HistoryQuery, Store};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often the screen is drawn and the list of nodes written.
const TICK: Duration = Duration::from_millis(200);
/// Columns where the terminal does not say.
const WIDTH: usize = 110;
/// Clears the screen and goes home.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";
/// Goes home without clearing: no flicker.
const HOME: &str = "\u{1b}[H";
/// Clears to the end of the line, or of the screen.
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_REST: &str = "\u{1b}[J";

/// The task that watches.
pub(super) struct Watch {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

struct Watcher {
    board: Board,
    cluster: ClusterName,
    handle: Handle,
    store: Arc<dyn Store>,
    world: World,
    clock: Clock,
    targets: PathBuf,
    /// Where the world's metrics are.
    host: String,
    /// What Prometheus was told last.
    told: String,
    plain: bool,
    /// In plain lines: the newest line of history that was printed, and each scene's last state.
    printed: u64,
    scenes: BTreeMap<&'static str, SceneState>,
}

impl Watch {
    /// Starts to watch.
    #[expect(clippy::disallowed_methods, reason = "the demo's own task, ended by `end`")]
    pub(super) fn start(stage: &Stage, folder: &Path, ports: Ports, plain: bool) -> Self {
        let stop = CancellationToken::new();
        let mut watcher = Watcher {
            board: stage.board.clone(),
            cluster: stage.cluster.clone(),
            handle: stage.handle.clone(),
            store: stage.store.clone(),
            world: stage.world.clone(),
            clock: stage.clock,
            targets: folder.join("nodes").join("nodes.json"),
            host: format!("127.0.0.1:{}", ports.world),
            told: String::new(),
            plain,
            printed: 0,
            scenes: BTreeMap::new(),
        };
        let until = stop.clone();
        let task = tokio::spawn(async move { watcher.watch(until).await });
        Self { task, stop }
    }

    /// Draws once more and ends.
    pub(super) async fn end(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

impl Watcher {
    async fn watch(&mut self, stop: CancellationToken) {
        if !self.plain {
            write(CLEAR);
        }
        loop {
            self.tell_targets();
            self.draw().await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(TICK) => {}
            }
        }
        self.draw().await;
    }

    /// Writes the list of nodes beside and renames it, so that Prometheus never reads half of one.
    fn tell_targets(&mut self) {
        let targets = self.world.targets(&self.host).to_string();
        if targets == self.told {
            return;
        }
        let beside = self.targets.with_extension("new");
        if std::fs::write(&beside, &targets)
            .and_then(|()| std::fs::rename(&beside, &self.targets))
            .is_ok()
        {
            self.told = targets;
        }
    }

    async fn draw(&mut self) {
        let query = HistoryQuery { limit: 50, before: None };
        let history = self.store.history(&self.cluster, &query).await.unwrap_or_default();
        if self.plain {
            self.lines(&history);
        } else {
            self.screen(&history);
        }
    }

    fn screen(&self, history: &[Entry]) {
        let report = self.handle.report();
        let size = rustix::termios::tcgetwinsize(std::io::stdout());
        let width = size.map_or(WIDTH, |size| usize::from(size.ws_col).max(40));
        let picture = Picture {
            scenes: &self.board.scenes(),
            elapsed: self.board.elapsed(),
            report: report.as_deref(),
            history,
            now: self.clock.now(),
            width,
        };
        let lines: Vec<String> =
            view::screen(&picture).into_iter().map(|line| line + CLEAR_LINE).collect();
        write(&format!("{HOME}{}\n{CLEAR_REST}", lines.join("\n")));
    }

    fn lines(&mut self, history: &[Entry]) {
        for scene in self.board.scenes() {
            let before = self.scenes.insert(scene.title, scene.state);
            if before != Some(scene.state) && matches!(scene.state, SceneState::Playing(_)) {
                write(&format!("\n[{:>7}] {}\n", view::seconds(self.board.elapsed()), scene.title));
            }
        }
        for entry in history.iter().rev().filter(|entry| entry.id > self.printed) {
            write(&format!("            {}\n", view::words(entry)));
        }
        self.printed = history.first().map_or(self.printed, |entry| entry.id.max(self.printed));
    }
}

fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody looks any more: nothing to be done about it.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
