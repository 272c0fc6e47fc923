//! What is printed at the end: every scene with its time.

use super::board::{Board, SceneState};
use super::files::Ports;
use super::view::seconds;
use std::path::Path;

/// Prints the scenes with their measured times, and what went wrong.
#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
pub(super) fn print(board: &Board, error: Option<&anyhow::Error>, folder: &Path) {
    println!("\nSummary");
    for scene in board.scenes() {
        let (mark, time) = match scene.state {
            SceneState::Done(took) => ("ok", seconds(took)),
            SceneState::Failed => ("FAILED", String::new()),
            SceneState::Playing(_) => ("cut off", String::new()),
            SceneState::Waiting => ("not played", String::new()),
        };
        println!("  {mark:<10} {time:>8}  {}", scene.title);
        for note in scene.notes {
            println!("                       {note}");
        }
    }
    println!("  in all     {:>8}", seconds(board.elapsed()));
    if let Some(error) = error {
        println!("\nThe story did not happen: {error:#}");
        for server in ["prometheus", "alertmanager"] {
            let log =
                std::fs::read_to_string(folder.join(format!("{server}.log"))).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(5).collect();
            println!("last lines of {server}:");
            tail.iter().rev().for_each(|line| println!("  {line}"));
        }
    }
}

/// Prints where everything can be looked at while the demo stays.
#[expect(clippy::print_stdout, reason = "the demo speaks to a person")]
pub(super) fn addresses(ports: Ports) {
    println!("\nStill running; end with Ctrl-C");
    println!(
        "  Bellwether    http://127.0.0.1:{}/v1/status   (bellwether status --url http://127.0.0.1:{0})",
        ports.bellwether
    );
    println!("  Alertmanager  http://127.0.0.1:{}", ports.alertmanager);
    println!("  the world     http://127.0.0.1:{}/world", ports.world);
}
