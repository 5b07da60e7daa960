//! The connections: one that writes, a few that read. Knows nothing of tables.
//!
//! A connection is lent out by value and comes home only from a finished transaction. One that met an error, or whose
//! user was dropped in the middle, is closed instead, which rolls back, and the next user opens a fresh one: no
//! transaction that somebody left behind can ever be continued by somebody else.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{
    code, error,
    log_renewal::{self, Failure},
};
use crate::store::Error;

/// Pages in the write-ahead log after which a commit moves them into the database: 16 MiB.
const CHECKPOINT_PAGES: u32 = 4096;
/// The write-ahead log is cut back to this when it was longer.
const JOURNAL_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Rows that a statement may be ahead of its reader; contents of 256 KiB make this 4 MiB.
const ROWS_AHEAD: usize = 16;
/// The same for the writer, which holds what it has loaded anyway: a commit bounds that.
const WRITER_ROWS_AHEAD: usize = 256;
/// No more: while a database is below 1 GiB, a commit that balances a tree makes SQLite walk its whole cache. What is not
/// in it is in that of the system.
const WRITER_CACHE_KIB: i32 = 4 * 1024;
const READER_CACHE_KIB: i32 = 4 * 1024;

/// How the file is opened by whoever opens it.
pub(super) fn connect_options(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(path).busy_timeout(busy_timeout).disable_statement_logging()
}

/// How the writer opens it; creates the file.
pub(super) fn writer_options(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    connect_options(path, busy_timeout)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES.to_string())
        .pragma("journal_size_limit", JOURNAL_BYTES_MAX.to_string())
        .pragma("cache_size", format!("-{WRITER_CACHE_KIB}"))
        // What a statement may have to take back is kept in memory, not in a file.
        .pragma("temp_store", "MEMORY")
        .row_buffer_size(WRITER_ROWS_AHEAD)
        .thread_name(|id| format!("sqlite-write-{id}"))
}

fn reader_options(path: &Path, busy_timeout: Duration) -> SqliteConnectOptions {
    connect_options(path, busy_timeout)
        .pragma("query_only", "ON")
        .pragma("cache_size", format!("-{READER_CACHE_KIB}"))
        .row_buffer_size(ROWS_AHEAD)
        .thread_name(|id| format!("sqlite-read-{id}"))
}

/// The connections to one file.
pub(super) struct Connections {
    writing: SqliteConnectOptions,
    reading: SqliteConnectOptions,
    path: PathBuf,
    /// A commit failed in such a way that the write-ahead log may hold what the disk does not.
    in_doubt: Arc<AtomicBool>,
    writer: Arc<tokio::sync::Mutex<Slot>>,
    readers: Arc<Readers>,
}

enum Slot {
    Open(Box<SqliteConnection>),
    Lost,
    Closed,
}

struct Readers {
    max: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Connections {
    /// Around a writer that is open already.
    pub fn new(writer: SqliteConnection, path: &Path, busy_timeout: Duration, readers_max: u32) -> Self {
        let max = readers_max.clamp(1, 1024);
        let permits = Arc::new(Semaphore::new(max as usize));
        Self {
            writing: writer_options(path, busy_timeout).create_if_missing(false),
            reading: reader_options(path, busy_timeout),
            path: path.into(),
            in_doubt: Arc::default(),
            writer: Arc::new(tokio::sync::Mutex::new(Slot::Open(Box::new(writer)))),
            readers: Arc::new(Readers { max, permits, idle: Mutex::default() }),
        }
    }

    /// Waits for the writer. The caller begins the transaction.
    pub async fn writer(&self) -> Result<Writer, Error> {
        let mut slot = Arc::clone(&self.writer).lock_owned().await;
        let connection = match std::mem::replace(&mut *slot, Slot::Lost) {
            Slot::Open(connection) => connection,
            Slot::Lost => Box::new(self.reopen().await?),
            Slot::Closed => {
                *slot = Slot::Closed;
                return Err(closed());
            }
        };
        Ok(Writer { slot, connection, in_doubt: Arc::clone(&self.in_doubt) })
    }

    /// Waits for the writer, and begins a transaction that holds the file's lock.
    pub async fn begin(&self) -> Result<Writer, Error> {
        let mut writer = self.writer().await?;
        sqlx::query("BEGIN IMMEDIATE").execute(writer.connection()).await.map_err(error)?;
        Ok(writer)
    }

    async fn reopen(&self) -> Result<SqliteConnection, Error> {
        let mut connection = SqliteConnection::connect_with(&self.writing).await.map_err(error)?;
        // Should the last connection have been closed in the meantime, this one has just recovered the log. What it found
        // there must not be built upon before it is on the disk.
        if self.in_doubt.load(Ordering::Acquire) {
            log_renewal::renew(&mut connection, &self.path).await.map_err(|failure| match failure {
                Failure::Log(cause) => Error::Unavailable(Box::new(cause)),
                Failure::Database(failed) => error(failed),
            })?;
            self.in_doubt.store(false, Ordering::Release);
        }
        Ok(connection)
    }

    /// Waits for a reader. The caller begins the transaction.
    pub async fn reader(&self) -> Result<Reader, Error> {
        let permit = Arc::clone(&self.readers.permits).acquire_owned().await.map_err(|_| closed())?;
        let idle = self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.reading).await.map_err(error)?,
        };
        Ok(Reader { connection, home: Arc::clone(&self.readers), _permit: permit })
    }

    /// Waits for the transactions under way, moves the write-ahead log into the database, and closes everything.
    pub async fn close(&self) -> Result<(), Error> {
        drop(self.readers.permits.acquire_many(self.readers.max).await);
        self.readers.permits.close();
        let idle = std::mem::take(&mut *self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for reader in idle {
            reader.close().await.map_err(error)?;
        }
        let mut slot = self.writer.lock().await;
        if let Slot::Open(mut writer) = std::mem::replace(&mut *slot, Slot::Closed) {
            sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *writer).await.map_err(error)?;
            writer.close().await.map_err(error)?;
        }
        Ok(())
    }
}

/// The writer, held alone.
pub(super) struct Writer {
    slot: OwnedMutexGuard<Slot>,
    connection: Box<SqliteConnection>,
    in_doubt: Arc<AtomicBool>,
}

impl Writer {
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Commits, and gives the connection back. [`Error::OutcomeUnknown`] if the transaction may have outlived the failure.
    pub async fn commit(mut self) -> Result<(), Error> {
        match sqlx::query("COMMIT").execute(self.connection()).await {
            Ok(_) => {
                self.release();
                Ok(())
            }
            Err(failed) if is_undone(&failed) => Err(error(failed)),
            Err(failed) => {
                self.in_doubt.store(true, Ordering::Release);
                Err(Error::OutcomeUnknown(Box::new(failed)))
            }
        }
    }

    /// Undoes everything, and gives the connection back.
    pub async fn rollback(mut self) -> Result<(), Error> {
        sqlx::query("ROLLBACK").execute(self.connection()).await.map_err(error)?;
        self.release();
        Ok(())
    }

    /// Gives the connection back, which is in no transaction.
    pub fn release(self) {
        let Self { mut slot, connection, .. } = self;
        *slot = Slot::Open(connection);
    }
}

/// A reader, held alone.
pub(super) struct Reader {
    connection: SqliteConnection,
    home: Arc<Readers>,
    _permit: OwnedSemaphorePermit,
}

impl Reader {
    pub fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    /// Ends the transaction, and gives the connection back.
    pub async fn end(mut self) -> Result<(), Error> {
        sqlx::query("COMMIT").execute(self.connection()).await.map_err(error)?;
        self.release();
        Ok(())
    }

    /// Gives the connection back, which is in no transaction.
    pub fn release(self) {
        let Self { connection, home, _permit } = self;
        home.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    }
}

/// Whether a COMMIT that failed so cannot have left a whole transaction in the write-ahead log. The connection is
/// closed afterwards, which rolls back what is left of it in this process.
///
/// With these codes the file was locked, or a write failed; the last thing written is what makes the transaction valid
/// (its last frame, or the checksums up to it), so that is torn or missing. With any other code, such as that of a
/// failed fsync, the frames may stand there whole, to be found by whoever recovers the file after a crash.
fn is_undone(failed: &sqlx::Error) -> bool {
    const BUSY: i32 = 5;
    const READ_ONLY: i32 = 8;
    const FULL: i32 = 13;
    const IO_WRITE: i32 = 778;
    let Some(code) = code(failed) else { return false };
    matches!(code & 0xff, BUSY | READ_ONLY | FULL) || code == IO_WRITE
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".into())
}
