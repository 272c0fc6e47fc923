//! One process for one call: told on its standard input, heard on its standard output, and ended with all it started.

use crate::config::{ExecConfig, ProcessEnv, Strings as _};
use crate::provider::{Error, Result, last_words};
use futures_util::future::{FusedFuture as _, FutureExt as _};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::fmt;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The longest answer: 10,000 machines have a fifth of it.
const ANSWER: u64 = 8 << 20;

/// How much of what it says beside its answer is kept: the last.
const ASIDE: usize = 64 << 10;

/// How long output is waited for once the process has ended: what it left behind is ended by then, unless it hid itself.
const LINGER: Duration = Duration::from_secs(1);

/// Where programs are found that it starts, where our own environment does not say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a process said.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: ExitStatus,
    pub(super) stdout: Vec<u8>,
    stderr: String,
}

impl Output {
    /// The last that it said beside its answer, to stand behind an error.
    pub(super) fn why(&self) -> String {
        let last = self.stderr.lines().rfind(|line| !line.trim().is_empty());
        last.map(|line| format!(": {line}")).unwrap_or_default()
    }
}

/// A process and whatever it starts. All of it ends when this does, also where the call is given up.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // Its leader is not reaped before this, so that the number is still its own.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

/// What a process says beside its answer: the last of it. It is logged when the call is over, however that ends.
struct Aside<'a> {
    program: &'a Path,
    said: Mutex<Vec<u8>>,
}

impl Aside<'_> {
    fn add(&self, more: &[u8]) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(more);
        let beyond = said.len().saturating_sub(ASIDE);
        said.drain(..beyond);
    }

    fn words(&self) -> String {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        last_words(&String::from_utf8_lossy(&said)).unwrap_or_default()
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        for line in self.words().lines() {
            tracing::info!(section = "provider", program = %self.program.display(), line, "the program says");
        }
    }
}

/// Runs the program on this input, and hears it out.
pub(super) async fn run(config: &ExecConfig, input: Vec<u8>) -> Result<Output> {
    let aside = Aside { program: &config.program, said: Mutex::default() };
    let mut child = start(config)?;
    let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let group = Group(pid.ok_or_else(|| failed("it has ended before it began"))?);
    let ended = ended(group.0);
    let stdout = hear(&mut child, input, ended, (&group, &aside)).await;
    // Before its leader is reaped.
    drop(group);
    let stdout = stdout?;
    let status = child.wait().await.map_err(failed)?;
    Ok(Output { status, stdout, stderr: aside.words() })
}

fn start(config: &ExecConfig) -> Result<Child> {
    let path = ProcessEnv.get("PATH").unwrap_or_else(|| PATH.to_owned());
    let passed = config.env.iter().filter_map(|name| Some((name, ProcessEnv.get(name)?)));
    let started = Command::new(&config.program)
        .args(&config.args)
        .env_clear()
        .env("PATH", path)
        .envs(passed)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn();
    started.map_err(|error| {
        let told = format!("{} cannot be started: {error}", config.program.display());
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Error::Invalid(told),
            // This machine is out of something, or the program is being written over.
            _ => Error::Unavailable(told),
        }
    })
}

/// Waits for the end of a process, and leaves it to be reaped.
async fn ended(pid: Pid) -> Result<()> {
    let wait = move || waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
    let waited = tokio::task::spawn_blocking(wait).await.map_err(failed)?;
    waited.map(|_| ()).map_err(failed)
}

/// Its answer, and what it says beside it, which is read as it comes, so that nobody waits to say it.
async fn hear(
    child: &mut Child,
    input: Vec<u8>,
    ended: impl Future<Output = Result<()>>,
    (group, aside): (&Group, &Aside<'_>),
) -> Result<Vec<u8>> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let mut overheard = std::pin::pin!(overhear(child.stderr.take(), aside).fuse());
    let mut heard = std::pin::pin!(hear_out(stdin, stdout, input, ended, group));
    let stdout = loop {
        tokio::select! {
            stdout = &mut heard => break stdout?,
            _ = &mut overheard => {}
        }
    };
    if !overheard.is_terminated() {
        // Its last words, unless somebody whom it left behind could say more.
        let _: std::result::Result<_, _> = tokio::time::timeout(LINGER, overheard).await;
    }
    Ok(stdout)
}

/// Its answer, once it has ended, and all that it started with it.
async fn hear_out(
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    input: Vec<u8>,
    ended: impl Future<Output = Result<()>>,
    group: &Group,
) -> Result<Vec<u8>> {
    let tell = async {
        if let Some(mut stdin) = stdin {
            // A program that answers without listening to the end is no worse for it.
            let _ = stdin.write_all(&input).await;
        }
        Ok(())
    };
    let talk = async { tokio::try_join!(tell, answer(stdout)) };
    let (mut talk, mut ended) = (std::pin::pin!(talk), std::pin::pin!(ended));
    let ((), stdout) = tokio::select! {
        heard = &mut talk => {
            let heard = heard?;
            ended.await?;
            heard
        }
        over = &mut ended => {
            over?;
            // What it started holds its output open.
            let _ = kill_process_group(group.0, Signal::KILL);
            tokio::time::timeout(LINGER, talk).await.map_err(|_| {
                failed("a process that it left behind holds its output open")
            })??
        }
    };
    let _ = kill_process_group(group.0, Signal::KILL);
    Ok(stdout)
}

async fn answer(from: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    if let Some(from) = from {
        from.take(ANSWER + 1).read_to_end(&mut read).await.map_err(failed)?;
    }
    if read.len() as u64 > ANSWER {
        return Err(failed(format!("it answers more than {} MiB", ANSWER >> 20)));
    }
    Ok(read)
}

async fn overhear(from: Option<impl AsyncRead + Unpin>, aside: &Aside<'_>) -> Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut part = vec![0; 4 << 10];
    loop {
        match from.read(&mut part).await.map_err(failed)? {
            0 => return Ok(()),
            read => aside.add(&part[..read]),
        }
    }
}

/// The program failed us: whether its call had an effect is not known.
fn failed(why: impl fmt::Display) -> Error {
    Error::Unavailable(format!("the program failed: {why}"))
}
