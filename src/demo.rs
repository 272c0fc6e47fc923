//! `bellwether demo`: the main job, played in two minutes on the shipped rules and configuration.
//!
//! The cluster and its machines are simulated; Prometheus, Alertmanager and this service are real. The
//! files are the shipped ones, made fast by one step ([`render::faster`]). The demo succeeds only if
//! each scene really happened.

mod board;
mod files;
pub mod render;
mod servers;
mod stage;
mod story;
mod summary;
mod view;
mod watch;

use crate::app::App;
use crate::clock::Clock;
use crate::config::Config;
use crate::model::{ClusterName, duration};
use crate::{alertmanager, prometheus};
use anyhow::Context as _;
use board::Board;
use files::Ports;
use servers::{Programs, Server};
use stage::{Servers, Stage};
use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How the demo is played.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Every duration of the shipped files is divided by this.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=60))]
    factor: u32,
    /// The folder that `make servers` fills. Default: the user's cache.
    #[arg(long, env = "BELLWETHER_SERVERS")]
    servers: Option<PathBuf>,
    /// Lines instead of a screen, also on a terminal.
    #[arg(long)]
    plain: bool,
    /// Keep everything running afterwards, and print the addresses.
    #[arg(long, env = "DEMO_STAY", value_parser = clap::builder::BoolishValueParser::new(), default_value = "false")]
    stay: bool,
}

/// Resend-delay of the shipped set-up; see `rules/prometheus.yml`.
const RESEND: Duration = Duration::from_secs(15);
/// Prometheus' own default look-back, which is no part of its file.
const LOOKBACK: Duration = Duration::from_mins(5);

/// Plays the story; the exit code says whether all of it happened.
#[expect(clippy::disallowed_methods, reason = "the service beside the story, awaited below")]
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    let folder = tempfile::tempdir().context("no temporary folder")?;
    let ports = Ports::choose()?;
    let yaml = files::write(folder.path(), ports, options.factor)?;
    let config = Config::parse(&yaml, &BTreeMap::<String, String>::new())
        .context("the shipped configuration is wrong")?
        .config;
    let board = Board::new(&story::SCENES);
    let servers = start_servers(&options, folder.path(), ports).await?;
    let clock = Clock::system();
    let app = App::build(config.clone(), None, clock).await?;
    let mut stage = build_stage(&app, &config, &board, servers, clock)?;

    let stop = CancellationToken::new();
    let running = tokio::spawn(app.run(stop.clone()));
    let screen = options.plain || !std::io::stdout().is_terminal();
    let watching = watch::Watch::start(&stage, folder.path(), ports, screen);
    let played = tokio::select! {
        played = story::play(&mut stage) => played,
        interrupted = interrupted() => Err(anyhow::anyhow!("interrupted by {}", interrupted?)),
    };
    if played.is_err() {
        board.fail();
    }
    watching.end().await;
    summary::print(&board, played.as_ref().err(), folder.path());
    if options.stay && played.is_ok() {
        summary::addresses(ports);
        interrupted().await?;
    }
    stop.cancel();
    running.await.context("the service panicked")??;
    stage.servers.stop().await?;
    Ok(if played.is_ok() && board.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Waits until somebody ends the demo, so that its servers end with it. The signal's name.
async fn interrupted() -> anyhow::Result<&'static str> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        _ = hangup.recv() => "SIGHUP",
    })
}

async fn start_servers(options: &Options, folder: &Path, ports: Ports) -> anyhow::Result<Servers> {
    let programs = Programs::find(&options.servers.clone().unwrap_or_else(servers::cache))?;
    let arguments = alertmanager_arguments(folder, ports);
    let alertmanager = Server::start(
        "alertmanager",
        &programs.alertmanager,
        &arguments,
        folder,
        ports.alertmanager,
    )
    .await?;
    let arguments = prometheus_arguments(folder, ports, options.factor);
    let prometheus =
        Server::start("prometheus", &programs.prometheus, &arguments, folder, ports.prometheus)
            .await?;
    Ok(Servers { prometheus: Some(prometheus), alertmanager: Some(alertmanager) })
}

fn alertmanager_arguments(folder: &Path, ports: Ports) -> Vec<String> {
    vec![
        format!("--config.file={}", folder.join("alertmanager.yml").display()),
        format!("--storage.path={}", folder.join("alertmanager").display()),
        format!("--web.listen-address=127.0.0.1:{}", ports.alertmanager),
        "--cluster.listen-address=".to_owned(),
    ]
}

fn prometheus_arguments(folder: &Path, ports: Ports, factor: u32) -> Vec<String> {
    vec![
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("prometheus").display()),
        format!("--web.listen-address=127.0.0.1:{}", ports.prometheus),
        format!("--rules.alert.resend-delay={}", duration::format(RESEND / factor)),
        format!("--query.lookback-delta={}", duration::format(LOOKBACK / factor)),
    ]
}

fn build_stage(
    app: &App,
    config: &Config,
    board: &Board,
    servers: Servers,
    clock: Clock,
) -> anyhow::Result<Stage> {
    let cluster = ClusterName::from("default");
    let limits = config
        .clusters
        .get(&cluster)
        .context("the shipped configuration has no cluster `default`")?;
    Ok(Stage {
        board: board.clone(),
        handle: app.handles().remove(&cluster).context("no loop for the cluster")?,
        store: app.store(),
        world: app.worlds().get(&cluster).context("no world for the cluster")?.clone(),
        alertmanager: alertmanager::Http::new(&limits.alertmanager, app.metrics()),
        prometheus: prometheus::Http::new(&limits.prometheus, app.metrics()),
        cluster,
        servers,
        clock,
    })
}
