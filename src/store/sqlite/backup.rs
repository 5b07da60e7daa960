//! Copies of a database: taken while a server runs, put in place while none does. Knows nothing of swarms but that a
//! restored one is a new incarnation.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;
use uuid::Uuid;

use super::{
    OpenError,
    connection::existing,
    in_background, inspect,
    lock::Lock,
    open::{self, database_error, with_suffix},
};

/// How long a copy waits for the lock of a file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a copy failed. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One of the databases cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// There is something where the copy is to go.
    #[error("{} exists; choose another name, or remove it first", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// What would be replaced is no database of ours.
    #[error("{} is no database of swarmem, and is not replaced; move it away, or choose another name", file.display())]
    NotOurs {
        /// The file.
        file: PathBuf,
    },
    /// SQLite could not copy.
    #[error("{} could not be copied to {}: {why}", from.display(), to.display())]
    Copy {
        /// The database.
        from: PathBuf,
        /// Where the copy was to go.
        to: PathBuf,
        /// What SQLite said.
        why: String,
    },
    /// A file cannot be read or written.
    #[error("{}: {source}", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Copies the database `source`, which may be in use, to the new file `target`: one state of it, durable and compact.
///
/// # Errors
/// When `source` is no database of a known version, `target` exists, or the disk fails.
pub async fn backup(source: &Path, target: &Path) -> Result<(), BackupError> {
    let (source, target) = (source.to_owned(), target.to_owned());
    in_background(move || backup_now(&source, &target)).await
}

fn backup_now(source: &Path, target: &Path) -> Result<(), BackupError> {
    refuse_existing(target)?;
    let partial = with_suffix(target, ".partial");
    let placed = match copy(source, &partial, target) {
        Ok(()) => refuse_existing(target).and_then(|()| place(&partial, target)),
        Err(error) => Err(error),
    };
    tidied(placed, &partial)
}

/// Puts the copy `backup` in place of the database `target`, which no server may be using; replaces an existing one
/// only by `force`, and only if it is one of ours, damaged or not. Every swarm becomes a new incarnation: what happened since the copy was taken is gone, and
/// revisions will be taken again by other changes.
///
/// # Errors
/// When `backup` is no database of a known version, `target` is in use, is something else than a database of ours, or exists
/// and `force` is false, or the disk fails.
pub async fn restore(backup: &Path, target: &Path, force: bool) -> Result<(), BackupError> {
    let (backup, target) = (backup.to_owned(), target.to_owned());
    in_background(move || restore_now(&backup, &target, force)).await
}

fn restore_now(backup: &Path, target: &Path, force: bool) -> Result<(), BackupError> {
    let mut lock = Lock::take(target)?;
    let held = if target.exists() { lock.hold(target).map_err(BackupError::from) } else { Ok(()) };
    let restored = match held {
        Ok(()) => restore_locked(backup, target, force),
        Err(error) => Err(error),
    };
    if restored.is_err() {
        lock.give_up(target);
    }
    restored
}

fn restore_locked(backup: &Path, target: &Path, force: bool) -> Result<(), BackupError> {
    if !force {
        refuse_existing(target)?;
    }
    refuse_foreign(target)?;
    let partial = with_suffix(target, ".partial");
    let renewed = match copy(backup, &partial, target) {
        Ok(()) => renew_incarnations(&partial),
        Err(error) => Err(error),
    };
    let placed = match renewed.and_then(|()| sync(&partial)) {
        Ok(()) => remove_log(target).and_then(|()| place(&partial, target)),
        Err(error) => Err(error),
    };
    tidied(placed, &partial)
}

/// One state of `source`, durable, in the new file `partial`, which is to become `target`.
fn copy(source: &Path, partial: &Path, target: &Path) -> Result<(), BackupError> {
    let connection = open_existing(source)?;
    for leftover in ["", "-journal", "-wal", "-shm"] {
        remove_if_there(&with_suffix(partial, leftover))?;
    }
    // Made here, since SQLite would not say why it cannot; and for its owner's eyes alone.
    let made = File::options().create_new(true).write(true).mode(0o600).open(partial);
    drop(made.map_err(io_error(target))?);
    let failed = |error: rusqlite::Error| BackupError::Copy {
        from: source.into(),
        to: target.into(),
        why: error.to_string(),
    };
    connection.execute("VACUUM INTO ?1", [partial.to_string_lossy()]).map_err(failed)?;
    drop(connection);
    sync(partial)
}

/// Removes the write-ahead log of a database that is about to be replaced: the new one must not inherit it. What is in
/// it goes into the old database first, which stays whole should we be killed before it is replaced.
fn remove_log(database: &Path) -> Result<(), BackupError> {
    if let Ok(old) = open_existing(database) {
        // The last connection to close does it. If it cannot, the database was damaged before.
        drop(old);
    }
    remove_if_there(&with_suffix(database, "-wal"))?;
    remove_if_there(&with_suffix(database, "-shm"))
}

/// Removes what a failure left. The reason of the failure is worth more than that of a failed tidying up.
fn tidied(placed: Result<(), BackupError>, partial: &Path) -> Result<(), BackupError> {
    if placed.is_err() {
        drop(fs::remove_file(partial));
    }
    placed
}

fn open_existing(file: &Path) -> Result<Connection, BackupError> {
    if !file.exists() {
        return Err(OpenError::Missing { file: file.into() }.into());
    }
    let connection = existing(file, BUSY_TIMEOUT).map_err(|error| database_error(file, error))?;
    open::check(&connection, file)?;
    Ok(connection)
}

fn renew_incarnations(file: &Path) -> Result<(), BackupError> {
    let renew = || {
        let mut connection = existing(file, BUSY_TIMEOUT)?;
        let transaction = connection.transaction()?;
        for swarm_id in swarm_ids(&transaction)? {
            transaction.execute(
                "UPDATE heads SET incarnation = ?2 WHERE swarm_id = ?1",
                (swarm_id, Uuid::new_v4().as_bytes()),
            )?;
        }
        transaction.commit()?;
        connection.close().map_err(|(_, error)| error)
    };
    renew().map_err(|error| database_error(file, error).into())
}

fn swarm_ids(connection: &Connection) -> Result<Vec<i64>, rusqlite::Error> {
    connection.prepare("SELECT swarm_id FROM heads")?.query_map([], |row| row.get(0))?.collect()
}

/// Whatever was a database of ours may be replaced, however damaged it is; nothing else may.
fn refuse_foreign(file: &Path) -> Result<(), BackupError> {
    if !file.exists() || open::has_our_mark(file).map_err(io_error(file))? {
        return Ok(());
    }
    // A young one may have its mark in the log alone.
    match inspect::inspect_now(file, false) {
        Ok(_) | Err(OpenError::Newer { .. }) => Ok(()),
        Err(_) => Err(BackupError::NotOurs { file: file.into() }),
    }
}

fn refuse_existing(file: &Path) -> Result<(), BackupError> {
    if file.exists() { Err(BackupError::Exists { file: file.into() }) } else { Ok(()) }
}

fn remove_if_there(file: &Path) -> Result<(), BackupError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error(file)(error)),
        _ => Ok(()),
    }
}

fn sync(file: &Path) -> Result<(), BackupError> {
    File::open(file).and_then(|opened| opened.sync_all()).map_err(io_error(file))
}

/// Renames, and makes the new name durable.
fn place(from: &Path, to: &Path) -> Result<(), BackupError> {
    fs::rename(from, to).map_err(io_error(to))?;
    let directory = to.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(directory)
}

fn io_error(file: &Path) -> impl FnOnce(io::Error) -> BackupError + use<> {
    let file = file.to_owned();
    |source| BackupError::Io { file, source }
}
