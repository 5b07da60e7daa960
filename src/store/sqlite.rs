//! The store in one SQLite file, for one process. Rules live in [`domain::apply`](crate::domain::apply); here are
//! locks, statements and rows.
//!
//! The write-ahead log is synchronised at every commit, so what was acknowledged survives `kill -9` and a power cut.

mod backup;
mod commit;
mod connection;
mod holder;
mod identity;
mod inspect;
mod load;
mod lock;
mod log_renewal;
mod maintain;
mod open;
mod persist;
mod read;
mod readers;
mod recent;
mod rows;
mod schema;
#[cfg(debug_assertions)]
mod seeded_bug;
mod swarms;
mod writer;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

pub use self::{
    backup::{BackupError, backup, restore},
    holder::Holder,
    inspect::{Inspection, inspect},
    open::OpenError,
};
use self::{
    commit::{Committer, Pending},
    identity::Identity,
    lock::Lock,
    readers::Readers,
    recent::Recent,
    writer::{Seat, Verdict, Writer},
};
use super::{
    At, Batch, CommitError, Compaction, Entries, Error, LogCursor, Page, PageLimit, Pool, Scan, ScanPage,
    Store,
};
use crate::domain::{
    apply::Applied,
    entry::Version,
    namespace::EntryPath,
    position::TokenKey,
    swarm::{Head, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
    time::{Clock, Timestamp},
};

/// The newest version of the schema that this program knows.
#[must_use]
pub fn known_version() -> i64 {
    schema::KNOWN
}

/// How a database is opened.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The file. It and its directory are created if they are missing.
    pub path: PathBuf,
    /// How many reads may run at once; 1 to 1,024.
    pub read_connections: u32,
    /// How many bytes of entries that were read are kept in memory; 0: none.
    pub cache_bytes_max: usize,
    /// How long to wait for the file's lock, should another program hold it.
    pub busy_timeout: Duration,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

impl SqliteOptions {
    /// Four readers, 16 MiB of entries; a lock is waited for 1.5 s.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: path.into(),
            read_connections: 4,
            cache_bytes_max: 16 << 20,
            busy_timeout: Duration::from_millis(1_500),
            clock,
        }
    }
}

/// A store in one SQLite file.
pub struct SqliteStore {
    clock: Arc<dyn Clock>,
    token_key: TokenKey,
    // Dropped before the lock: another process must not find the file open.
    writer: Writer,
    readers: Readers,
    recent: Arc<Recent>,
    identity: Arc<Identity>,
    /// Held as long as the store is open.
    lock: Mutex<Option<Lock>>,
}

impl SqliteStore {
    /// Locks and opens the file, and brings its schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; each says the way out.
    pub async fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        in_background(move || Self::open_now(options)).await
    }

    fn open_now(options: SqliteOptions) -> Result<Self, OpenError> {
        let SqliteOptions { path, read_connections, cache_bytes_max, busy_timeout, clock } = options;
        let mut lock = Lock::take(&path)?;
        let opened = lock.hold(&path).and_then(|()| {
            let connection = open::open_writer(&path, busy_timeout)?;
            let token_key = open::token_key(&connection, &path)?;
            let identity =
                Identity::of(&path).map_err(|source| OpenError::Io { file: path.clone(), source })?;
            Ok((connection, token_key, Arc::new(identity)))
        });
        let (connection, token_key, identity) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                lock.give_up(&path);
                return Err(error);
            }
        };
        let readers = Readers::new(&path, busy_timeout, read_connections);
        let recent = Arc::new(Recent::new(cache_bytes_max));
        let committer = Committer {
            clock: Arc::clone(&clock),
            recent: Arc::clone(&recent),
            identity: Arc::clone(&identity),
        };
        let writer = Writer::start(Seat::new(connection, path, busy_timeout), committer);
        Ok(Self { clock, token_key, writer, readers, recent, identity, lock: Mutex::new(Some(lock)) })
    }

    /// Waits for what is under way, moves everything into the database file, and lets go of it. Calls that come
    /// afterwards fail with [`Error::Unavailable`].
    ///
    /// # Errors
    /// When SQLite could not move everything; nothing is lost, the next opening does it.
    pub async fn close(&self) -> Result<(), Error> {
        self.readers.close().await;
        let closed = self.writer.close().await;
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        closed
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn token_key(&self) -> Result<TokenKey, Error> {
        Ok(self.token_key.clone())
    }

    async fn ping(&self) -> Result<(), Error> {
        self.identity.check()?;
        self.readers.read(swarms::ping).await
    }

    async fn ping_write(&self) -> Result<(), Error> {
        self.identity.check()?;
        self.writer.write(|connection| commit::settle(connection).map(Verdict::Commit)).await
    }

    fn pool(&self) -> Pool {
        self.readers.pool()
    }

    async fn create_swarm(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error> {
        let (id, now) = (id.clone(), self.clock.now());
        self.writer.write(move |connection| swarms::create(connection, &id, retention, now)).await
    }

    async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error> {
        let id = id.clone();
        self.readers.read(move |connection| swarms::find(connection, &id)?.swarm()).await
    }

    async fn list_swarms(&self, after: Option<&SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error> {
        let after = after.cloned();
        self.readers.read(move |connection| swarms::list(connection, after.as_ref(), limit)).await
    }

    async fn delete_swarm(&self, id: &SwarmId) -> Result<(), Error> {
        let id = id.clone();
        let deleted = self.writer.write(move |connection| swarms::delete(connection, &id)).await;
        self.recent.forget();
        deleted
    }

    async fn heads(&self, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
        let ids = ids.to_vec();
        self.readers.read(move |connection| swarms::heads(connection, &ids)).await
    }

    async fn commit(&self, id: &SwarmId, batch: &Batch) -> Result<Applied, CommitError> {
        let (swarm, batch) = (id.clone(), batch.clone());
        self.writer.commit(|reply| Pending { swarm, batch, reply }).await
    }

    async fn is_committed(&self, id: &SwarmId, nonce: Nonce, after: Revision) -> Result<bool, Error> {
        let id = id.clone();
        self.writer.write(move |connection| commit::is_committed(connection, &id, nonce, after)).await
    }

    async fn mark_at(&self, id: &SwarmId, revision: Revision) -> Result<(Head, Mark), Error> {
        let id = id.clone();
        self.readers.read(move |connection| read::mark_at(connection, &id, revision)).await
    }

    async fn log(&self, id: &SwarmId, after: LogCursor, limit: PageLimit) -> Result<Page, Error> {
        let id = id.clone();
        self.readers.read(move |connection| read::log(connection, &id, after, limit)).await
    }

    async fn entries(&self, id: &SwarmId, paths: &[EntryPath], at: At) -> Result<Entries, Error> {
        let before = self.recent.before();
        let (swarm, paths) = (id.clone(), paths.to_vec());
        let entries =
            self.readers.read(move |connection| read::entries(connection, &swarm, &paths, at)).await?;
        if at == At::Newest {
            self.recent.keep(before, id, &entries.head, &entries.versions);
        }
        Ok(entries)
    }

    fn at_hand(&self, id: &SwarmId, path: &EntryPath) -> Option<(Head, Arc<Version>)> {
        self.recent.get(id, path)
    }

    async fn scan(&self, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
        let (id, scan) = (id.clone(), scan.clone());
        self.readers.read(move |connection| read::scan(connection, &id, &scan)).await
    }

    async fn history(
        &self,
        id: &SwarmId,
        path: &EntryPath,
        before: Option<Revision>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        let (id, path) = (id.clone(), path.clone());
        self.readers.read(move |connection| read::history(connection, &id, &path, before, limit)).await
    }

    async fn compact(&self, id: &SwarmId, floor: Revision, rows_max: usize) -> Result<Compaction, Error> {
        let id = id.clone();
        self.writer.write(move |connection| maintain::compact(connection, &id, floor, rows_max)).await
    }

    async fn purge(&self, clock: Timestamp, rows_max: usize) -> Result<bool, Error> {
        self.writer.write(move |connection| maintain::purge(connection, clock, rows_max)).await
    }

    async fn expiring(
        &self,
        clock: Timestamp,
        after: Option<&SwarmId>,
        limit: usize,
    ) -> Result<Vec<SwarmId>, Error> {
        let after = after.cloned();
        self.readers
            .read(move |connection| maintain::expiring(connection, clock, after.as_ref(), limit))
            .await
    }

    async fn expired(&self, id: &SwarmId, clock: Timestamp, limit: usize) -> Result<Vec<EntryPath>, Error> {
        let id = id.clone();
        self.readers.read(move |connection| maintain::expired(connection, &id, clock, limit)).await
    }
}

/// Does what waits for the disk where it holds nobody up.
async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// The extended result code, if SQLite gave one.
fn code(error: &rusqlite::Error) -> Option<i32> {
    Some(error.sqlite_error()?.extended_code)
}

/// What a failed statement, or a commit that is undone, means to the caller. Full disks, locks and the like pass; a
/// damaged file does not.
impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        const READ_ONLY: i32 = 8;
        const CORRUPT: i32 = 11;
        const FULL: i32 = 13;
        const NOT_A_DATABASE: i32 = 26;
        /// The index of the write-ahead log, a file beside it, could not grow.
        const IO_INDEX_SIZE: i32 = 4874;
        let Some(code) = code(&error) else {
            // Nothing else can go wrong than that a value is not what its column is to hold.
            return Self::Corrupt(error.to_string());
        };
        match code & 0xff {
            CORRUPT | NOT_A_DATABASE => Self::Corrupt(error.to_string()),
            READ_ONLY => Self::ReadOnly(Box::new(error)),
            FULL => Self::Full(Box::new(error)),
            _ if code == IO_INDEX_SIZE => Self::Full(Box::new(error)),
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

fn closed() -> Error {
    Error::Unavailable("the store is closed".into())
}

/// Makes sure that a statement touched what it was to touch.
fn affected(rows: usize, expected: usize) -> Result<(), Error> {
    if rows == expected {
        return Ok(());
    }
    Err(Error::Corrupt(format!("a statement touched {rows} rows instead of {expected}")))
}
