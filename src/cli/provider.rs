//! `bellwether provider test`: tries a program that is to make machines, before a cluster depends on it.

use super::Output;
use crate::clock::Clock;
use crate::config::ExecConfig;
use crate::metrics::Metrics;
use crate::model::{PoolName, duration};
use crate::provider::contract::{Finding, Stage, try_out};
use crate::provider::{Error, Exec, Guarded, guarded::GuardedConfig};
use anyhow::bail;
use clap::Subcommand;
use rand::RngExt as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The cluster that a program is told of.
const CLUSTER: &str = "trial";

/// A pool that it can know nothing of.
const OTHER: &str = "trial-of-nobody";

/// What to do with a provider.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Action {
    /// Launch two machines by a program, end them again, and say what the program gets wrong.
    Test(Test),
}

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Test {
    /// The pool that the program is told of.
    #[arg(long, default_value = "trial")]
    pool: String,
    /// An option that the program is told, as the configuration's `options`.
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = option)]
    options: Vec<(String, String)>,
    /// A variable of the environment that the program gets, as the configuration's `env`.
    #[arg(long = "env", value_name = "NAME")]
    env: Vec<String>,
    /// Only ask what changes nothing: no machine is launched.
    #[arg(long)]
    read_only: bool,
    /// How long a machine may take to be listed, and to be gone.
    #[arg(long, default_value = "5m", value_parser = duration::parse)]
    limit: Duration,
    /// How long one call may take.
    #[arg(long, default_value = "30s", value_parser = duration::parse)]
    call: Duration,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    /// The program, by its whole path, and its arguments.
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

pub(super) async fn execute(action: &Action) -> anyhow::Result<ExitCode> {
    match action {
        Action::Test(test) => self::test(test).await,
    }
}

async fn test(test: &Test) -> anyhow::Result<ExitCode> {
    let program = PathBuf::from(&test.program[0]);
    if !program.is_absolute() {
        bail!("the program must be named by its whole path, not `{}`", program.display());
    }
    let config = ExecConfig {
        program,
        args: test.program[1..].to_vec(),
        env: test.env.iter().cloned().collect(),
        options: test.options.iter().cloned().collect::<BTreeMap<_, _>>(),
    };
    let exec = Arc::new(Exec::new(CLUSTER.into(), config));
    let pool = PoolName::new(&*test.pool);
    let stage = Stage {
        cluster: CLUSTER.into(),
        cluster_uid: format!("{:08x}", rand::rng().random::<u32>()).as_str().into(),
        pool: pool.clone(),
        other: OTHER.into(),
        nobody: "nobody".into(),
        names_workers: true,
        limit: test.limit,
        clock: Clock::system(),
    };
    let guards = GuardedConfig { call: test.call, ..GuardedConfig::default() };
    let guarded = Guarded::new(exec.clone(), guards, Arc::new(Metrics::new()));
    let text = test.output == Output::Text;
    let tell = |finding: &Finding| {
        if text {
            print(finding);
        }
    };
    let checked = tokio::time::timeout(test.call, exec.check(&pool)).await;
    let ready = Finding {
        property: "it says that it can work (`check`)",
        wrong: checked.unwrap_or(Err(Error::TimedOut)).err().map(|error| error.to_string()),
    };
    tell(&ready);
    let mut findings = vec![ready];
    findings.extend(try_out(&guarded, &stage, !test.read_only, tell).await);
    conclude(&findings, test)
}

#[expect(clippy::print_stdout, reason = "the command line speaks to a person")]
fn print(finding: &Finding) {
    match &finding.wrong {
        None => println!("  ok     {}", finding.property),
        Some(wrong) => println!("  WRONG  {}\n         {wrong}", finding.property),
    }
}

#[expect(clippy::print_stdout, reason = "the command line speaks to a person")]
fn conclude(findings: &[Finding], test: &Test) -> anyhow::Result<ExitCode> {
    let wrong = findings.iter().filter(|finding| finding.wrong.is_some()).count();
    match test.output {
        Output::Json => println!(
            "{}",
            serde_json::to_string_pretty(&json!({ "findings": findings, "ok": wrong == 0 }))?
        ),
        Output::Text if wrong > 0 => {
            println!(
                "{wrong} of {} are not kept; docs/exec-provider.md says what each means",
                findings.len()
            );
        }
        Output::Text if test.read_only => {
            println!(
                "{} kept, as far as asking goes; without --read-only two machines are launched and ended",
                findings.len()
            );
        }
        Output::Text => println!("all {} kept: a pool may name this program", findings.len()),
    }
    Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn option(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}
