//! `bellwether store export` and `import`: all that a store keeps, as JSON. For backups, and for moving to another
//! store.

use crate::clock::Clock;
use crate::config::{Config, ProcessEnv, StoreUrl};
use crate::model::ClusterName;
use crate::store::{self, Dump, Store};
use anyhow::{Context as _, bail, ensure};
use clap::Subcommand;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::watch;

/// The version of the form. Grows when an older program could misread it.
const FORM: u32 = 1;

/// What to do with the store of a configuration.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
    /// Write all that it keeps as JSON.
    Export(Place),
    /// Read such JSON into a store that keeps nothing of its clusters.
    Import(Place),
}

/// Which store, and which file.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Place {
    /// The configuration file, which names the store.
    #[arg(long, default_value = "/etc/bellwether/bellwether.yaml", env = "BELLWETHER_CONFIG")]
    config: PathBuf,
    /// The file with the JSON; standard output or input without.
    file: Option<PathBuf>,
}

/// What stands in the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    bellwether_store: u32,
    clusters: BTreeMap<ClusterName, Dump>,
}

/// Only the version, which every form has.
#[derive(Deserialize)]
struct Versioned {
    bellwether_store: u32,
}

pub(super) async fn execute(action: &Action) -> anyhow::Result<ExitCode> {
    match action {
        Action::Export(place) => export(place).await?,
        Action::Import(place) => import(place).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn export(place: &Place) -> anyhow::Result<()> {
    let (config, store) = open(place)?;
    let mut clusters = BTreeMap::new();
    for name in config.clusters.keys() {
        let dump = store.dump(name).await.with_context(|| format!("cluster {name}"))?;
        clusters.insert(name.clone(), dump);
    }
    let told = told(&clusters);
    let mut text = serde_json::to_vec_pretty(&Export { bellwether_store: FORM, clusters })?;
    text.push(b'\n');
    write(place.file.as_deref(), &text)?;
    say(&format!("exported {told}"));
    Ok(())
}

async fn import(place: &Place) -> anyhow::Result<()> {
    let text = read(place.file.as_deref())?;
    let Versioned { bellwether_store } =
        serde_json::from_slice(&text).context("this is no export of a store")?;
    ensure!(
        bellwether_store == FORM,
        "this export has form {bellwether_store}, and this version reads form {FORM}; use the version that wrote it"
    );
    let Export { mut clusters, .. } =
        serde_json::from_slice(&text).context("this export is damaged")?;
    let (config, store) = open(place)?;
    if let Some(name) = clusters.keys().find(|name| !config.clusters.contains_key(*name)) {
        bail!(
            "the configuration has no cluster {name}, which the export has; nothing was imported"
        );
    }
    // All are looked at before one is written; each is written whole.
    for name in clusters.keys() {
        let there = store.dump(name).await?;
        let is_new = there == Dump::default();
        ensure!(
            is_new,
            "nothing was imported: {}",
            store::Error::Occupied { cluster: name.clone() }
        );
    }
    for (name, dump) in &mut clusters {
        // Older than what was done since: as if the store had forgotten that.
        dump.memory.cluster.store_life = Some("copied".to_owned());
        store.restore(name, dump).await.with_context(|| format!("cluster {name}"))?;
    }
    say(&format!("imported {}", told(&clusters)));
    Ok(())
}

fn open(place: &Place) -> anyhow::Result<(Arc<Config>, Arc<dyn Store>)> {
    let loaded = Config::load(&place.config, &ProcessEnv)
        .with_context(|| format!("{} cannot be used", place.config.display()))?;
    if loaded.config.service.store == StoreUrl::Memory {
        bail!("store.url is memory:, which is gone with the process that has it");
    }
    let config = Arc::new(loaded.config);
    let store = store::connect(&watch::channel(config.clone()).1, Clock::system());
    Ok((config, store.context("store.url cannot be opened")?))
}

fn told(clusters: &BTreeMap<ClusterName, Dump>) -> String {
    let each = clusters.iter().map(|(name, dump)| {
        let [workers, signals, entries] =
            [dump.memory.workers.len(), dump.signals.len(), dump.history.len()];
        format!("{name}: {workers} workers, {signals} signals, {entries} entries of history")
    });
    each.collect::<Vec<_>>().join("; ")
}

/// A file is written beside and then named, so that one of this name is whole; only its owner may read it.
fn write(file: Option<&Path>, text: &[u8]) -> anyhow::Result<()> {
    let Some(path) = file else {
        return std::io::stdout().write_all(text).context("standard output cannot be written");
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let written = || -> std::io::Result<()> {
        let mut beside = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
        beside.write_all(text)?;
        beside.as_file().sync_all()?;
        beside.persist(path)?;
        Ok(())
    };
    written().with_context(|| format!("{} cannot be written", path.display()))
}

fn read(file: Option<&Path>) -> anyhow::Result<Vec<u8>> {
    if let Some(path) = file {
        return std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()));
    }
    let mut text = Vec::new();
    std::io::stdin().read_to_end(&mut text).context("standard input cannot be read")?;
    Ok(text)
}

/// Beside the JSON, which may go to standard output.
#[expect(clippy::print_stderr, reason = "the command line speaks to a person")]
fn say(what: &str) {
    eprintln!("bellwether: {what}");
}
