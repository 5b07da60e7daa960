//! Copies of a database: taken while a server runs, put in place while none does. Knows nothing of swarms but that a
//! restored one is a new incarnation.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{Connection as _, SqliteConnection};
use uuid::Uuid;

use super::{
    OpenError,
    connections::connect_options,
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
    refuse_existing(target)?;
    let partial = with_suffix(target, ".partial");
    let placed = match copy(source, &partial).await {
        Ok(()) => refuse_existing(target).and_then(|()| place(&partial, target)),
        Err(error) => Err(error),
    };
    tidied(placed, &partial)
}

/// Puts the copy `backup` in place of the database `target`, which no server may be using; replaces an existing one
/// only by `force`. Every swarm becomes a new incarnation: what happened since the copy was taken is gone, and
/// revisions will be taken again by other changes.
///
/// # Errors
/// When `backup` is no database of a known version, `target` is in use, or exists and `force` is false, or the disk
/// fails.
pub async fn restore(backup: &Path, target: &Path, force: bool) -> Result<(), BackupError> {
    let mut lock = Lock::take(target)?;
    let held = if target.exists() { lock.hold(target).map_err(BackupError::from) } else { Ok(()) };
    let restored = match held {
        Ok(()) => restore_locked(backup, target, force).await,
        Err(error) => Err(error),
    };
    if restored.is_err() {
        lock.give_up(target);
    }
    restored
}

async fn restore_locked(backup: &Path, target: &Path, force: bool) -> Result<(), BackupError> {
    if !force {
        refuse_existing(target)?;
    }
    let partial = with_suffix(target, ".partial");
    let renewed = match copy(backup, &partial).await {
        Ok(()) => renew_incarnations(&partial).await,
        Err(error) => Err(error),
    };
    let placed = match renewed.and_then(|()| sync(&partial)) {
        Ok(()) => remove_log(target).await.and_then(|()| place(&partial, target)),
        Err(error) => Err(error),
    };
    tidied(placed, &partial)
}

/// One state of `source`, durable, in the new file `partial`.
async fn copy(source: &Path, partial: &Path) -> Result<(), BackupError> {
    let mut connection = open_existing(source).await?;
    for leftover in ["", "-journal", "-wal", "-shm"] {
        remove_if_there(&with_suffix(partial, leftover))?;
    }
    let failed = |error| BackupError::from(database_error(source, error));
    sqlx::query("VACUUM INTO ?1")
        .bind(partial.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    connection.close().await.map_err(failed)?;
    sync(partial)
}

/// Removes the write-ahead log of a database that is about to be replaced: the new one must not inherit it. What is in
/// it goes into the old database first, which stays whole should we be killed before it is replaced.
async fn remove_log(database: &Path) -> Result<(), BackupError> {
    if let Ok(old) = open_existing(database).await {
        // The last connection to close does it. If it cannot, the database was damaged before.
        drop(old.close().await);
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

async fn open_existing(file: &Path) -> Result<SqliteConnection, BackupError> {
    if !file.exists() {
        return Err(OpenError::Missing { file: file.into() }.into());
    }
    let mut connection = SqliteConnection::connect_with(&connect_options(file, BUSY_TIMEOUT))
        .await
        .map_err(|error| database_error(file, error))?;
    open::check(&mut connection, file).await?;
    Ok(connection)
}

async fn renew_incarnations(file: &Path) -> Result<(), BackupError> {
    let failed = |error| BackupError::from(database_error(file, error));
    let mut connection =
        SqliteConnection::connect_with(&connect_options(file, BUSY_TIMEOUT)).await.map_err(failed)?;
    let mut transaction = connection.begin().await.map_err(failed)?;
    let swarms: Vec<i64> = sqlx::query_scalar("SELECT swarm_id FROM heads")
        .fetch_all(&mut *transaction)
        .await
        .map_err(failed)?;
    for swarm_id in swarms {
        sqlx::query("UPDATE heads SET incarnation = ?2 WHERE swarm_id = ?1")
            .bind(swarm_id)
            .bind(Uuid::new_v4().as_bytes().as_slice())
            .execute(&mut *transaction)
            .await
            .map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)
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
