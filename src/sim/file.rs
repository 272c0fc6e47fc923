//! The file that a world is kept in, which several processes may share: each looks and changes under a lock beside
//! it, and reads the file again when another wrote it.

use super::state::State;
use std::fs::{File, TryLockError};
use std::io::{self, BufReader, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often, and how many times, it is looked whether another process is done: 20 s together.
const LOOK: Duration = Duration::from_millis(1);
const LOOKS: u32 = 20_000;

/// The file, as one process knows it.
#[derive(Debug)]
pub(super) struct Kept {
    path: PathBuf,
    lock: Arc<File>,
    /// The file as it was last read or written: each writing makes another. While it is open, no other gets its number.
    seen: Option<File>,
}

/// No other process looks at the world, or changes it, until this is dropped.
#[derive(Debug)]
pub(super) struct Alone(Arc<File>);

impl Kept {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.with_extension("lock"))?;
        Ok(Self { path: path.to_owned(), lock: Arc::new(lock), seen: None })
    }

    /// Waits until no other process is at it.
    pub(super) fn alone(&self) -> io::Result<Alone> {
        for _ in 0..LOOKS {
            match self.lock.try_lock() {
                Ok(()) => return Ok(Alone(self.lock.clone())),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOOK),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        // Whoever has it stands still.
        Err(io::Error::new(ErrorKind::TimedOut, "another process keeps its lock"))
    }

    /// The world as another process wrote it since we last read or wrote it.
    pub(super) fn news(&mut self) -> io::Result<Option<State>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if let Some(seen) = &self.seen
            && number(seen)? == number(&file)?
        {
            return Ok(None);
        }
        let state = serde_json::from_reader(BufReader::new(&file))?;
        self.seen = Some(file);
        Ok(Some(state))
    }

    /// Beside and renamed, so that a crash leaves the old world or the new one.
    pub(super) fn write(&mut self, state: &State) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        std::fs::rename(&beside, &self.path)?;
        self.seen = Some(file);
        Ok(())
    }
}

impl Drop for Alone {
    /// By word: a program that is being started has a copy of every open file for a moment.
    fn drop(&mut self) {
        // What cannot be unlocked is freed by the system with the process.
        let _ = self.0.unlock();
    }
}

fn number(file: &File) -> io::Result<(u64, u64)> {
    let told = file.metadata()?;
    Ok((told.dev(), told.ino()))
}
