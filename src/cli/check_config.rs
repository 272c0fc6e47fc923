//! `bellwether check-config`: reads a configuration as `run` would, and tells everything about it.

use crate::clock::Clock;
use crate::config::{Config, ConfigError, ConfigErrors, Loaded, Strings, Warning, warnings};
use crate::model::duration;
use crate::provider::{self, Complaint};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use serde_json::json;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// The configuration can be used.
pub(super) const OK: i32 = 0;
/// The configuration has errors, all of which were told.
pub(super) const ERRORS: i32 = 1;
/// There is no such file, or it cannot be read, or what was found cannot be told.
pub(super) const USAGE: i32 = 2;

/// Wide enough for the longest path beside a sentence, where nobody says how wide the terminal is.
const WIDTH: u16 = 120;

/// How long one pool's provider may take to tell what it lacks.
const ONLINE: Duration = Duration::from_mins(1);

/// How the result is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// For people; tables as wide as the terminal, if that is known.
    Table {
        /// Columns of the terminal.
        width: Option<u16>,
    },
    /// For programs: `{"ok", "errors", "warnings", "config"}`, the configuration with every default
    /// filled in and secrets masked.
    Json,
}

/// Checks the file at `path` and tells the result to `out`. The answer is the exit code.
pub(super) fn check_config(
    path: &Path,
    output: Output,
    env: &dyn Strings,
    out: &mut dyn Write,
) -> i32 {
    conclude((path, Config::load(path, env)), output, env, out)
}

/// The same, and then asks each pool's provider whether it has what the file asks of it.
pub(super) async fn check_online(
    path: &Path,
    output: Output,
    env: &dyn Strings,
    out: &mut (dyn Write + Send),
) -> i32 {
    let result = match Config::load(path, env) {
        Ok(loaded) => {
            let lacking = lacking(&loaded.config).await;
            if lacking.is_empty() { Ok(loaded) } else { Err(ConfigErrors(lacking)) }
        }
        Err(errors) => Err(errors),
    };
    conclude((path, result), output, env, out)
}

/// What providers lack of what pools ask of them. Simulated ones lack nothing.
async fn lacking(config: &Config) -> Vec<ConfigError> {
    let mut all = Vec::new();
    for (name, cluster) in &config.clusters {
        for (pool, settings) in &cluster.pools {
            let section =
                format!("clusters.{name}.pools.{pool}.provider.{}", settings.provider.kind());
            let complaints = match provider::of(name, &settings.provider, Clock::system()) {
                Ok(None) => continue,
                Ok(Some(provider)) => {
                    let asked = tokio::time::timeout(ONLINE, provider.complaints(pool)).await;
                    let limit = duration::format(ONLINE);
                    asked.unwrap_or_else(|_| {
                        vec![complaint(format!("the provider did not answer in {limit}"))]
                    })
                }
                Err(error) => vec![complaint(error.to_string())],
            };
            all.extend(complaints.into_iter().map(|Complaint { field, found, mend }| {
                let path =
                    if field.is_empty() { section.clone() } else { format!("{section}.{field}") };
                ConfigError { path, found, mend }
            }));
        }
    }
    all
}

fn complaint(mend: String) -> Complaint {
    Complaint { field: String::new(), found: None, mend }
}

fn conclude(
    (path, result): (&Path, Result<Loaded, ConfigErrors>),
    output: Output,
    env: &dyn Strings,
    out: &mut dyn Write,
) -> i32 {
    let readable = std::fs::File::open(path)
        .is_ok_and(|file| file.metadata().is_ok_and(|metadata| !metadata.is_dir()));
    let warnings = warnings(env);
    let told = match output {
        Output::Json => tell_json(&result, &warnings, out),
        Output::Table { width } => tell_warnings(&warnings, width.unwrap_or(WIDTH), out)
            .and_then(|()| tell(path, &result, width.unwrap_or(WIDTH), out)),
    };
    match (told, readable, result.is_ok()) {
        (Err(_), _, _) | (_, false, _) => USAGE,
        (_, _, false) => ERRORS,
        (_, _, true) => OK,
    }
}

fn tell_json(
    result: &Result<Loaded, ConfigErrors>,
    warnings: &[Warning],
    out: &mut dyn Write,
) -> io::Result<()> {
    let value = match result {
        Ok(Loaded { config, .. }) => {
            json!({ "ok": true, "errors": [], "warnings": warnings, "config": config.to_value() })
        }
        Err(errors) => {
            json!({ "ok": false, "errors": errors, "warnings": warnings, "config": null })
        }
    };
    writeln!(out, "{value:#}")
}

fn tell(
    path: &Path,
    result: &Result<Loaded, ConfigErrors>,
    width: u16,
    out: &mut dyn Write,
) -> io::Result<()> {
    let path = path.display();
    match result {
        Ok(Loaded { config, .. }) => {
            let pools: usize = config.clusters.values().map(|cluster| cluster.pools.len()).sum();
            let clusters = config.clusters.len();
            writeln!(out, "{path}: ok, {} and {}", count(clusters, "cluster"), count(pools, "pool"))
        }
        Err(ConfigErrors(errors)) => {
            let wrong = errors.iter().map(|error| match &error.found {
                Some(found) => format!("found {found}; {}", error.mend),
                None => error.mend.clone(),
            });
            let rows = errors.iter().map(|error| error.path.clone()).zip(wrong);
            writeln!(out, "{}", table(["Field", "What is wrong"], rows, width).trim_fmt())?;
            writeln!(out, "{path}: {}", count(errors.len(), "error"))
        }
    }
}

fn tell_warnings(warnings: &[Warning], width: u16, out: &mut dyn Write) -> io::Result<()> {
    if warnings.is_empty() {
        return Ok(());
    }
    let rows = warnings.iter().map(|warning| (warning.name.clone(), warning.mend.clone()));
    writeln!(out, "{}", table(["Warning", "What to do"], rows, width).trim_fmt())
}

/// What stands on the left is never broken: people copy it.
fn table(header: [&str; 2], rows: impl Iterator<Item = (String, String)>, width: u16) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(width)
        .set_header(header)
        .set_constraints([ColumnConstraint::ContentWidth])
        .add_rows(rows.map(|(left, right)| [left, right]));
    table
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests;
