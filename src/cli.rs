//! The command line: `run`, `demo`, `check-config`, and reading and asking a running service.
//!
//! Exit codes: 0 well, 1 failed (or the demo's story did not happen), 2 wrong usage.

mod check_config;
mod client;
mod healthcheck;
mod plan;
mod provider;
mod store;
mod table;

use crate::app::{self, App};
use crate::clock::Clock;
use crate::config::{Config, LogFormat, ProcessEnv};
use crate::{demo, telemetry, wire};
use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A node autoscaler whose policy is nothing but Prometheus alerting rules.
#[derive(Debug, Parser)]
#[command(name = "bellwether", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Run(Run),
    /// Play the whole story on a simulated cluster, with a real Prometheus and Alertmanager.
    Demo(demo::Options),
    /// Check a configuration file; every error at once.
    CheckConfig(CheckConfig),
    /// Show pools, what was decided, and why.
    Status(client::Connection),
    /// Show workers.
    Workers(client::Connection),
    /// Show signals, and whether each counts.
    Signals(client::Connection),
    /// Show what the loop would do now, and why.
    Plan(client::Connection),
    /// Say why a pod is where it is or nowhere, or why a node stays.
    #[command(subcommand)]
    Explain(client::Explain),
    /// Show what was done, and why.
    History(client::HistoryOptions),
    /// Ask for more workers, or fewer; judged like everything else.
    Scale(client::ScaleOptions),
    /// Ask for a pass now.
    Reconcile(client::Connection),
    /// Switch on again what switched itself off.
    Resume(client::ResumeOptions),
    /// Say by the exit code whether the service lives: for a container's HEALTHCHECK.
    Healthcheck(healthcheck::Healthcheck),
    /// Try a program that makes machines: does it keep what every provider keeps?
    #[command(subcommand)]
    Provider(provider::Action),
    /// Back up all that the store keeps, or move it to another.
    #[command(subcommand)]
    Store(store::Action),
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The configuration file.
    #[arg(long, default_value = "/etc/bellwether/bellwether.yaml", env = "BELLWETHER_CONFIG")]
    config: PathBuf,
    /// End like kill -9 at this point, or get the signal behind its colon (see `killpoint`); for tests.
    #[cfg(feature = "killpoints")]
    #[arg(long)]
    die_at: Option<String>,
}

#[derive(Debug, clap::Args)]
struct CheckConfig {
    /// The configuration file.
    #[arg(default_value = "/etc/bellwether/bellwether.yaml", env = "BELLWETHER_CONFIG")]
    config: PathBuf,
    /// Ask each pool's provider, too, whether it has what the file asks of it; nothing is changed.
    #[arg(long)]
    online: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// How long the end waits for a call of the system that hangs: reading a file, or writing the store.
const HANGING: Duration = Duration::from_secs(5);

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    wire::install_crypto();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let code = match runtime.block_on(execute(cli.command)) {
        Ok(code) => code,
        Err(error) => failed(&error),
    };
    runtime.shutdown_timeout(HANGING);
    code
}

async fn execute(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(arguments) => run(arguments).await,
        Command::Demo(options) => demo::run(options).await,
        Command::CheckConfig(arguments) => {
            let output = match arguments.output {
                Output::Json => check_config::Output::Json,
                Output::Text => check_config::Output::Table { width: None },
            };
            let (path, out) = (&arguments.config, &mut std::io::stdout());
            let code = if arguments.online {
                check_config::check_online(path, output, &ProcessEnv, out).await
            } else {
                check_config::check_config(path, output, &ProcessEnv, out)
            };
            Ok(ExitCode::from(u8::try_from(code).unwrap_or(1)))
        }
        Command::Status(connection) => client::status(&connection).await,
        Command::Workers(connection) => client::workers(&connection).await,
        Command::Signals(connection) => client::signals(&connection).await,
        Command::Plan(connection) => plan::plan(&connection).await,
        Command::Explain(what) => client::explain(&what).await,
        Command::History(options) => client::history(&options).await,
        Command::Scale(options) => client::scale(&options).await,
        Command::Reconcile(connection) => client::reconcile(&connection).await,
        Command::Resume(options) => client::resume(&options).await,
        Command::Healthcheck(check) => healthcheck::execute(&check).await,
        Command::Provider(action) => provider::execute(&action).await,
        Command::Store(action) => store::execute(&action).await,
    }
}

async fn run(arguments: Run) -> anyhow::Result<ExitCode> {
    #[cfg(feature = "killpoints")]
    if let Some(point) = &arguments.die_at {
        anyhow::ensure!(crate::killpoint::arm(point), "no such kill point: {point}");
    }
    let loaded = Config::load(&arguments.config, &ProcessEnv)
        .with_context(|| format!("{} cannot be used", arguments.config.display()))?;
    let service = &loaded.config.service;
    telemetry::start(
        service.log_format.map(|format| format == LogFormat::Json),
        &service.log_level,
    )?;
    for warning in &loaded.warnings {
        tracing::warn!(section = "config", warning = %warning, "configuration");
    }
    let app = App::build(loaded.config, Some(arguments.config), Clock::system()).await?;
    tracing::info!(section = "start", listen = %app.address()?, version = env!("CARGO_PKG_VERSION"), "started");
    let stop = CancellationToken::new();
    let mut running = Box::pin(app.run(stop.clone()));
    tokio::select! {
        ended = &mut running => ended?,
        aborted = app::until_signalled(stop) => aborted?,
    }
    tracing::info!(section = "stop", "stopped");
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stderr, reason = "the command line speaks to a person")]
fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("bellwether: {error:#}");
    ExitCode::FAILURE
}
