//! `bellwether healthcheck`: whether the service lives, for the HEALTHCHECK of a container that has nothing else to ask with.

use anyhow::{Context as _, ensure};
use reqwest::Client;
use std::process::ExitCode;
use std::time::Duration;

/// One that lives answers at once; whoever checks has a limit of a few seconds.
const LIMIT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Healthcheck {
    /// The service's address.
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "BELLWETHER_URL")]
    url: String,
}

/// Says nothing where it lives.
pub(super) async fn execute(check: &Healthcheck) -> anyhow::Result<ExitCode> {
    let url = format!("{}/healthz", check.url.trim_end_matches('/'));
    let client = Client::builder().timeout(LIMIT).build()?;
    let answer = client.get(&url).send().await;
    let status = answer.with_context(|| format!("{url} does not answer"))?.status();
    ensure!(status.is_success(), "{url} answers {status}");
    Ok(ExitCode::SUCCESS)
}
