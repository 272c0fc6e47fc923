//! The file: making it, opening it, and refusing what cannot be trusted.

mod trial;

use self::trial::Trial;
use super::tables::META;
use crate::store::{Error, Result};
use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, WriteTransaction};
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

/// The store's file.
const FILE: &str = "bellwether.redb";

/// Where a new one is made; it gets its name when it is whole. So a file of that name that is
/// empty or half is damaged, never just young.
const NEW_FILE: &str = "bellwether.redb.new";

/// Held while the store is open; the system frees it however the process ends.
const LOCK: &str = "bellwether.lock";

/// What the records look like. Grows when an older version could misread them.
const SCHEMA: u64 = 1;
const SCHEMA_KEY: &str = "schema";

/// Pages kept in memory; all of a large fleet's records fit.
const CACHE: usize = 64 << 20;

/// What to do about a file that cannot be read.
const WAY_OUT: &str = "move it away to start afresh; docs/operations.md, \"The store's file\", \
                       says what is rebuilt";

/// How long a file that could not be written rests before it is opened anew.
const REST: Duration = Duration::from_secs(2);

/// The open file. The lock is held as long as this lives.
#[derive(Debug)]
pub(super) struct Opened {
    path: PathBuf,
    held: RwLock<Held>,
    _lock: Lock,
}

/// The database, and whether it can be written.
#[derive(Debug)]
struct Held {
    /// `None` only where a file that failed could not even be read any more.
    database: Option<Database>,
    /// When writing it failed, or opening it anew did, and why.
    failed: Option<(Instant, Error)>,
}

/// The lock file while it is locked.
#[derive(Debug)]
struct Lock(File);

impl Opened {
    /// Opens the file of a directory, making both where there is none.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|e| unusable(dir, &e))?;
        let lock = lock(dir)?;
        let path = dir.join(FILE);
        // Anything of that name counts, a broken link too: only its absence allows a new store.
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(dir, &path)?,
            Err(error) => return Err(unusable(&path, &error)),
        }
        let database = Some(open(&path)?);
        Ok(Self { path, held: RwLock::new(Held { database, failed: None }), _lock: lock })
    }

    /// Reads the last committed state.
    pub(super) fn read<T>(&self, read: impl FnOnce(&ReadTransaction) -> Result<T>) -> Result<T> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        read(&held.database()?.begin_read().map_err(broken)?)
    }

    /// Begins a write; on a file that failed, only once it could be opened anew.
    pub(super) fn begin_write(&self) -> Result<WriteTransaction> {
        self.check()?;
        let begun = {
            let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
            held.database()?.begin_write().map_err(broken)
        };
        begun.inspect_err(|error| self.fail(error))
    }

    /// Says that a write failed. The library writes no more then, and what it keeps in memory of the
    /// file may differ from what is on disk.
    pub(super) fn fail(&self, error: &Error) {
        tracing::error!(section = "store", %error, "store cannot be written");
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.failed = Some((Instant::now(), error.clone()));
    }

    /// Why the last write failed, until the file could be opened anew.
    pub(super) fn failure(&self) -> Result<()> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.failed.as_ref().map_or(Ok(()), |(_, error)| Err(error.clone()))
    }

    /// Whether the file may be written: after a failure it rests, and then is opened anew.
    fn check(&self) -> Result<()> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        match &held.failed {
            None => return Ok(()),
            Some((at, error)) if at.elapsed() < REST => return Err(error.clone()),
            Some(_) => drop(held),
        }
        self.reopen()
    }

    /// Opens the file anew, as after a crash. Where that fails, reading goes on from what is on disk.
    fn reopen(&self) -> Result<()> {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        // The library lets nobody open a file twice.
        drop(held.database.take());
        match open(&self.path) {
            Ok(database) => {
                *held = Held { database: Some(database), failed: None };
                tracing::info!(section = "store", "store can be written again");
                Ok(())
            }
            Err(error) => {
                let failed = Some((Instant::now(), error.clone()));
                *held = Held { database: try_open(&self.path).ok(), failed };
                Err(error)
            }
        }
    }
}

impl Held {
    fn database(&self) -> Result<&Database> {
        self.database.as_ref().ok_or_else(|| Error::Away("the file cannot be read".to_owned()))
    }
}

impl Drop for Lock {
    /// Unlocks by word: a program that is being started has a copy of every open file for a moment,
    /// and closing ours alone would leave the lock with it.
    fn drop(&mut self) {
        // What cannot be unlocked is freed by the system with the last copy.
        let _ = self.0.unlock();
    }
}

/// A failure of the open store.
pub(super) fn broken(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Corrupted(why) => Error::Unreadable(format!("{why}; {WAY_OUT}")),
        error => Error::Away(error.to_string()),
    }
}

fn lock(dir: &Path) -> Result<Lock> {
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(|error| unusable(&path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(in_use(dir)),
        Err(TryLockError::Error(error)) => Err(unusable(&path, &error)),
    }
}

/// Makes a whole new store aside, and gives it its name once it is on disk.
fn create(dir: &Path, path: &Path) -> Result<()> {
    let new = dir.join(NEW_FILE);
    let aside = |error: io::Error| unusable(&new, &error);
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(aside(error)),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(&new);
    let backend = FileBackend::new(file.map_err(aside)?).map_err(broken)?;
    let database = Database::builder().create_with_backend(backend).map_err(broken)?;
    let transaction = database.begin_write().map_err(broken)?;
    {
        let mut meta = transaction.open_table(META).map_err(broken)?;
        meta.insert(SCHEMA_KEY, SCHEMA.to_string().as_str()).map_err(broken)?;
    }
    transaction.commit().map_err(broken)?;
    drop(database);
    std::fs::rename(&new, path).map_err(aside)?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(aside)
}

/// Opens a file that is there, after a trial, so that a damaged or newer one is not touched.
fn open(path: &Path) -> Result<Database> {
    drop(try_open(path)?);
    let database = Database::builder().set_cache_size(CACHE).open(path);
    database.map_err(|error| not_opened(path, error))
}

/// Opens a file on trial: every page is read and its sum checked, so that damage shows now and not in
/// the middle of a decision, and nothing is written. For damage that the library did not foresee, its
/// panic is caught.
fn try_open(path: &Path) -> Result<Database> {
    let trial = || {
        let mut builder = Database::builder();
        let builder = builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        builder.create_with_backend(Trial::open(path)?)
    };
    let tried = catch_unwind(AssertUnwindSafe(trial));
    let tried = tried.map_err(|_| damaged(path, "its structure makes no sense"))?;
    let database = tried.map_err(|error| not_opened(path, error))?;
    check_schema(&database, path)?;
    Ok(database)
}

fn not_opened(path: &Path, error: redb::DatabaseError) -> Error {
    use redb::{DatabaseError as E, StorageError as S};
    match error {
        E::DatabaseAlreadyOpen => in_use(path),
        E::UpgradeRequired(format) => {
            damaged(path, &format!("its file format {format} needs another version of Bellwether"))
        }
        E::Storage(S::Io(error)) => match error.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::InvalidInput => damaged(path, &error.to_string()),
            _ => unusable(path, &error),
        },
        error => damaged(path, &error.to_string()),
    }
}

fn check_schema(database: &Database, path: &Path) -> Result<()> {
    let read = || -> std::result::Result<Option<String>, redb::Error> {
        let meta = database.begin_read()?.open_table(META)?;
        Ok(meta.get(SCHEMA_KEY)?.map(|schema| schema.value().to_owned()))
    };
    let stored = read().map_err(|error| damaged(path, &error.to_string()))?;
    match stored.as_deref().map(str::parse::<u64>) {
        Some(Ok(schema)) if schema == SCHEMA => Ok(()),
        Some(Ok(schema)) if schema > SCHEMA => Err(Error::Unreadable(format!(
            "{} was written by a newer version (schema {schema}, this one knows {SCHEMA}); run \
             that version, or {WAY_OUT}",
            path.display()
        ))),
        Some(_) | None => Err(damaged(path, "it names no schema that we know")),
    }
}

fn damaged(path: &Path, why: &str) -> Error {
    Error::Unreadable(format!("{} is damaged or not ours: {why}; {WAY_OUT}", path.display()))
}

fn in_use(path: &Path) -> Error {
    Error::Away(format!(
        "{} is in use by another process; stop that one, or give this one a directory of its own \
         in store.url",
        path.display()
    ))
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::Away(format!(
        "{}: {error}; store.url must name a directory that this process may write",
        path.display()
    ))
}
