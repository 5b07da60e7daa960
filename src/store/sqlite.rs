//! The store in one SQLite file, for one process. Rules live in [`domain::apply`](crate::domain::apply); here are
//! locks, statements and rows.
//!
//! The write-ahead log is synchronised at every commit, so what was acknowledged survives `kill -9` and a power cut.

mod backup;
mod bulk;
mod commit;
mod connections;
mod identity;
mod inspect;
mod load;
mod lock;
mod log_renewal;
mod maintain;
mod open;
mod persist;
mod read;
mod recent;
mod rows;
#[cfg(debug_assertions)]
mod seeded_bug;
mod swarms;

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

pub use self::{
    backup::{BackupError, backup, restore},
    inspect::{Inspection, inspect},
    open::OpenError,
};
use self::{connections::Connections, identity::Identity, lock::Lock, recent::Recent};
use super::{
    At, Batch, CommitError, Compaction, Entries, Error, LogCursor, Page, PageLimit, Scan, ScanPage, Store,
};
use crate::domain::{
    apply::Applied,
    entry::Version,
    namespace::EntryPath,
    position::TokenKey,
    swarm::{Head, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
    time::{Clock, Timestamp},
};

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
    connections: Connections,
    recent: Recent,
    identity: Identity,
    /// Held as long as the store is open.
    lock: Mutex<Option<Lock>>,
}

impl SqliteStore {
    /// Locks and opens the file, and brings its schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; each says the way out.
    pub async fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let SqliteOptions { path, read_connections, cache_bytes_max, busy_timeout, clock } = options;
        let mut lock = Lock::take(&path)?;
        if let Err(error) = lock.hold(&path) {
            lock.give_up(&path);
            return Err(error);
        }
        let opened = async {
            let mut writer = open::open_writer(&path, busy_timeout).await?;
            let token_key = open::token_key(&mut writer, &path).await?;
            let identity =
                Identity::of(&path).map_err(|source| OpenError::Io { file: path.clone(), source })?;
            Ok((writer, token_key, identity))
        };
        let (writer, token_key, identity) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                lock.give_up(&path);
                return Err(error);
            }
        };
        let connections = Connections::new(writer, &path, busy_timeout, read_connections);
        let recent = Recent::new(cache_bytes_max);
        Ok(Self { clock, token_key, connections, recent, identity, lock: Mutex::new(Some(lock)) })
    }

    /// Waits for what is under way, moves everything into the database file, and lets go of it. Calls that come
    /// afterwards fail with [`Error::Unavailable`].
    ///
    /// # Errors
    /// When SQLite could not move everything; nothing is lost, the next opening does it.
    pub async fn close(&self) -> Result<(), Error> {
        let closed = self.connections.close().await;
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
        swarms::ping(&self.connections).await
    }

    async fn ping_write(&self) -> Result<(), Error> {
        self.identity.check()?;
        commit::settle(self.connections.begin().await?).await
    }

    async fn create_swarm(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error> {
        swarms::create(&self.connections, id, retention, self.clock.now()).await
    }

    async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error> {
        swarms::get(&self.connections, id).await
    }

    async fn list_swarms(&self, after: Option<&SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error> {
        swarms::list(&self.connections, after, limit).await
    }

    async fn delete_swarm(&self, id: &SwarmId) -> Result<(), Error> {
        let deleted = swarms::delete(&self.connections, id).await;
        self.recent.forget();
        deleted
    }

    async fn heads(&self, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
        swarms::heads(&self.connections, ids).await
    }

    async fn commit(&self, id: &SwarmId, batch: &Batch) -> Result<Applied, CommitError> {
        self.identity.check()?;
        let committed = match commit::commit(&self.connections, &*self.clock, id, batch).await {
            // Before anything is acknowledged: a commit to a file that nobody can open again is none.
            Ok(applied) => self.identity.check().map(|()| applied).map_err(CommitError::from),
            Err(error) => Err(error),
        };
        match &committed {
            Ok(applied) => self.recent.follow(id, applied),
            Err(_) => self.recent.forget(),
        }
        committed
    }

    async fn is_committed(&self, id: &SwarmId, nonce: Nonce, after: Revision) -> Result<bool, Error> {
        commit::is_committed(&self.connections, id, nonce, after).await
    }

    async fn mark_at(&self, id: &SwarmId, revision: Revision) -> Result<(Head, Mark), Error> {
        read::mark_at(&self.connections, id, revision).await
    }

    async fn log(&self, id: &SwarmId, after: LogCursor, limit: PageLimit) -> Result<Page, Error> {
        read::log(&self.connections, id, after, limit).await
    }

    async fn entries(&self, id: &SwarmId, paths: &[EntryPath], at: At) -> Result<Entries, Error> {
        let before = self.recent.before();
        let entries = read::entries(&self.connections, id, paths, at).await?;
        if at == At::Newest {
            self.recent.keep(before, id, &entries.head, &entries.versions);
        }
        Ok(entries)
    }

    fn at_hand(&self, id: &SwarmId, path: &EntryPath) -> Option<(Head, Arc<Version>)> {
        self.recent.get(id, path)
    }

    async fn scan(&self, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
        read::scan(&self.connections, id, scan).await
    }

    async fn history(
        &self,
        id: &SwarmId,
        path: &EntryPath,
        before: Option<Revision>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        read::history(&self.connections, id, path, before, limit).await
    }

    async fn compact(&self, id: &SwarmId, floor: Revision, rows_max: usize) -> Result<Compaction, Error> {
        maintain::compact(&self.connections, id, floor, rows_max).await
    }

    async fn purge(&self, clock: Timestamp, rows_max: usize) -> Result<bool, Error> {
        maintain::purge(&self.connections, clock, rows_max).await
    }

    async fn expiring(
        &self,
        clock: Timestamp,
        after: Option<&SwarmId>,
        limit: usize,
    ) -> Result<Vec<SwarmId>, Error> {
        maintain::expiring(&self.connections, clock, after, limit).await
    }

    async fn expired(&self, id: &SwarmId, clock: Timestamp, limit: usize) -> Result<Vec<EntryPath>, Error> {
        maintain::expired(&self.connections, id, clock, limit).await
    }
}

/// The extended result code, if SQLite gave one.
fn code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

/// What a failed statement, or a commit that is undone, means to the caller. Full disks, locks and the like pass; a
/// damaged file does not.
fn error(error: sqlx::Error) -> Error {
    const READ_ONLY: i32 = 8;
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const NOT_A_DATABASE: i32 = 26;
    /// The index of the write-ahead log, a file beside it, could not grow.
    const IO_INDEX_SIZE: i32 = 4874;
    let code = code(&error);
    match (code.map(|code| code & 0xff), &error) {
        (Some(CORRUPT | NOT_A_DATABASE), _)
        | (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => Error::Corrupt(error.to_string()),
        (Some(READ_ONLY), _) => Error::ReadOnly(Box::new(error)),
        (Some(FULL), _) => Error::Full(Box::new(error)),
        _ if code == Some(IO_INDEX_SIZE) => Error::Full(Box::new(error)),
        _ => Error::Unavailable(Box::new(error)),
    }
}

/// Makes sure that a statement touched what it was to touch.
fn affected(rows: u64, expected: usize) -> Result<(), Error> {
    if rows == expected as u64 {
        return Ok(());
    }
    Err(Error::Corrupt(format!("a statement touched {rows} rows instead of {expected}")))
}
