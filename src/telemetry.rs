//! Log lines: text for people, JSON for machines, a filter; never a secret.

use std::io::IsTerminal as _;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{FilterExt as _, Targets, filter_fn};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Layer as _, fmt};

/// Why logging could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter is not one.
    #[error("log.level {0:?} is not a filter; write it like info or bellwether=debug,warn")]
    Filter(String),
    /// Logging was started before.
    #[error("logging is already set up")]
    AlreadySet(#[source] TryInitError),
}

/// Who logs whole requests where everything is logged: tokens and boot scripts stand in them.
const BODIES: [&str; 2] = ["aws_sigv4", "aws_smithy_runtime"];

/// Whatever the filter names: nothing of theirs is logged at trace.
fn without_bodies(line: &Metadata<'_>) -> bool {
    *line.level() != Level::TRACE || !BODIES.iter().any(|by| line.target().starts_with(by))
}

/// Starts logging to standard error. Without a choice: text on a terminal, JSON elsewhere.
pub fn start(json: Option<bool>, level: &str) -> Result<(), Error> {
    let filter: Targets = level.parse().map_err(|_| Error::Filter(level.to_owned()))?;
    let filter = filter.and(filter_fn(without_bodies));
    let terminal = std::io::stderr().is_terminal();
    let lines = fmt::layer().with_writer(std::io::stderr).with_ansi(terminal).with_target(false);
    let lines = if json.unwrap_or(!terminal) { lines.json().boxed() } else { lines.boxed() };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(Error::AlreadySet)
}
