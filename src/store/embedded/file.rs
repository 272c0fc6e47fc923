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
use std::path::Path;

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

/// The open file. The lock is held as long as this lives.
#[derive(Debug)]
pub(super) struct Opened {
    database: Database,
    _lock: Lock,
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
        let database = open(&path)?;
        check_schema(&database, &path)?;
        Ok(Self { database, _lock: lock })
    }

    pub(super) fn begin_read(&self) -> Result<ReadTransaction> {
        self.database.begin_read().map_err(broken)
    }

    pub(super) fn begin_write(&self) -> Result<WriteTransaction> {
        self.database.begin_write().map_err(broken)
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

/// Opens a file that is there, after a trial that reads every page and checks its sum, so that
/// damage shows now and not in the middle of a decision, and a damaged file is not touched. For
/// damage that the library did not foresee, its panic is caught.
fn open(path: &Path) -> Result<Database> {
    let trial = || {
        let mut builder = Database::builder();
        let builder = builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
        builder.create_with_backend(Trial::open(path)?)
    };
    let tried = catch_unwind(AssertUnwindSafe(trial));
    let tried = tried.map_err(|_| damaged(path, "its structure makes no sense"))?;
    drop(tried.map_err(|error| not_opened(path, error))?);
    Database::builder().set_cache_size(CACHE).open(path).map_err(|error| not_opened(path, error))
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
