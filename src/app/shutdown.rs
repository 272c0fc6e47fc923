//! Ending in order, and the signals that ask for it.

use super::Tasks;
use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// Cancels `stop` on SIGTERM or SIGINT; a second one is left to end the process at once.
pub async fn until_signalled(stop: CancellationToken) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!(section = "stop", "stopping; a second signal ends at once");
    stop.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Err(anyhow!("a second signal ended it before work under way was finished"))
}

/// Waits for all tasks; the first error is the answer.
pub(super) async fn join(tasks: &mut Tasks) -> anyhow::Result<()> {
    let mut answer = Ok(());
    while let Some(ended) = tasks.join_next().await {
        if let (Ok(()), Err(error)) = (&answer, flatten(ended)) {
            answer = Err(error);
        }
    }
    answer
}

/// Why a task's early end is fatal.
pub(super) fn ended_early(
    ended: Option<Result<(String, anyhow::Result<()>), JoinError>>,
) -> anyhow::Error {
    match ended {
        None => anyhow!("nothing is left running"),
        Some(Ok((name, Ok(())))) => anyhow!("task {name} ended though nobody asked it to"),
        Some(ended) => flatten(ended).err().unwrap_or_else(|| anyhow!("a task ended early")),
    }
}

fn flatten(ended: Result<(String, anyhow::Result<()>), JoinError>) -> anyhow::Result<()> {
    match ended {
        Ok((name, result)) => result.map_err(|error| error.context(format!("task {name} failed"))),
        Err(error) => Err(anyhow!(error).context("a task panicked")),
    }
}
