//! The store in a PostgreSQL database, for any number of coordinators. Rules live in
//! [`domain::apply`](crate::domain::apply); here are locks, statements and rows.
//!
//! Whatever is given up in the middle, by a timeout or a caller that went away, closes its connection: none is kept that
//! is not between two transactions.

mod commit;
mod connect;
mod error;
mod failure;
mod maintain;
mod persist;
mod pool;
mod read;
mod rights;
mod rows;
mod schema;
mod swarms;
mod tls;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use async_trait::async_trait;

use self::{connect::Target, pool::Pool};
pub use self::{error::OpenError, schema::SchemaStatus};
use super::{
    At, Batch, CommitError, Compaction, Entries, Error, LogCursor, Page, PageLimit, Scan, ScanPage, Store,
};
use crate::domain::{
    apply::Applied,
    namespace::EntryPath,
    position::TokenKey,
    swarm::{Head, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
    time::{Clock, Timestamp},
};

/// What stands between us and the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// Nothing, or a pooler that keeps a connection for a session.
    #[default]
    None,
    /// A pooler that keeps a connection for a transaction, such as PgBouncer.
    Transaction,
}

/// How connections are protected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: a unix socket, or a network that nobody else is on.
    #[default]
    Off,
    /// Encrypted, to a server whose certificate is by one of these authorities and carries the host's name.
    Verified {
        /// A PEM file.
        ca_file: PathBuf,
    },
}

/// How a database is opened.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// How many connections there are at most; 1 to 1,024.
    pub connections: u32,
    /// What stands in between.
    pub pooler: Pooler,
    /// How connections are protected.
    pub tls: Tls,
    /// How long a call may take, waiting for a connection and for locks included.
    pub timeout: Duration,
    /// Where the time comes from; none: the database's own clock, so that coordinators agree.
    pub clock: Option<Arc<dyn Clock>>,
}

impl PostgresOptions {
    /// 16 connections without TLS and without a pooler; calls take up to 2 s.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections: 16,
            pooler: Pooler::None,
            tls: Tls::Off,
            timeout: Duration::from_secs(2),
            clock: None,
        }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL has a password in it.
        f.debug_struct("PostgresOptions").field("connections", &self.connections).finish_non_exhaustive()
    }
}

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    pool: Arc<Pool>,
    connections: u32,
    token_key: TokenKey,
    clock: Option<Arc<dyn Clock>>,
    place: String,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date.
    ///
    /// # Errors
    /// See [`OpenError`]; each says the way out.
    pub async fn open(options: PostgresOptions) -> Result<Self, OpenError> {
        let target = Target::new(&options)?;
        schema::migrate(&target).await?;
        let token_key = schema::token_key(&target).await?;
        let PostgresOptions { connections, clock, .. } = options;
        let place = target.shown();
        Ok(Self { pool: Pool::new(target, connections), connections, token_key, clock, place })
    }

    /// Host, port and database, without the password.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Waits for what is under way, no longer than a call may take, and closes all connections. Calls that come
    /// afterwards fail with [`Error::Unavailable`].
    pub async fn close(&self) {
        self.pool.close(self.connections).await;
    }

    fn clock(&self) -> Option<&dyn Clock> {
        self.clock.as_deref()
    }

    /// A time that the caller read: it counts only where the database's clock is not to be asked.
    fn read_by_caller(&self, clock: Timestamp) -> Option<Timestamp> {
        self.clock.is_some().then_some(clock)
    }
}

/// Looks at the schema of a database, and changes nothing.
///
/// # Errors
/// When there is no connection, or the schema is not ours, or newer than this program.
pub async fn status(options: &PostgresOptions) -> Result<SchemaStatus, OpenError> {
    schema::status(&Target::new(options)?).await
}

/// Brings the schema up to date, and says where it was before.
///
/// # Errors
/// As [`status`], and when a step fails; then none was taken.
pub async fn migrate(options: &PostgresOptions) -> Result<SchemaStatus, OpenError> {
    schema::migrate(&Target::new(options)?).await
}

#[async_trait]
impl Store for PostgresStore {
    async fn token_key(&self) -> Result<TokenKey, Error> {
        Ok(self.token_key.clone())
    }

    fn pool(&self) -> super::Pool {
        self.pool.size()
    }

    async fn ping(&self) -> Result<(), Error> {
        swarms::ping(&self.pool).await
    }

    async fn ping_write(&self) -> Result<(), Error> {
        swarms::ping_write(&self.pool).await
    }

    async fn create_swarm(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error> {
        swarms::create(&self.pool, id, retention, self.clock()).await
    }

    async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error> {
        Ok(swarms::find(&self.pool, id).await?.swarm)
    }

    async fn list_swarms(&self, after: Option<&SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error> {
        swarms::list(&self.pool, after, limit).await
    }

    async fn delete_swarm(&self, id: &SwarmId) -> Result<(), Error> {
        swarms::delete(&self.pool, id).await
    }

    async fn heads(&self, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
        swarms::heads(&self.pool, ids).await
    }

    async fn commit(&self, id: &SwarmId, batch: &Batch) -> Result<Applied, CommitError> {
        commit::commit(&self.pool, self.clock(), id, batch).await
    }

    async fn is_committed(&self, id: &SwarmId, nonce: Nonce, after: Revision) -> Result<bool, Error> {
        commit::is_committed(&self.pool, id, nonce, after).await
    }

    async fn mark_at(&self, id: &SwarmId, revision: Revision) -> Result<(Head, Mark), Error> {
        read::mark_at(&self.pool, id, revision).await
    }

    async fn log(&self, id: &SwarmId, after: LogCursor, limit: PageLimit) -> Result<Page, Error> {
        read::log(&self.pool, id, after, limit).await
    }

    async fn entries(&self, id: &SwarmId, paths: &[EntryPath], at: At) -> Result<Entries, Error> {
        read::entries(&self.pool, id, paths, at).await
    }

    async fn scan(&self, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
        read::scan(&self.pool, id, scan).await
    }

    async fn history(
        &self,
        id: &SwarmId,
        path: &EntryPath,
        before: Option<Revision>,
        limit: PageLimit,
    ) -> Result<Page, Error> {
        read::history(&self.pool, id, path, before, limit).await
    }

    async fn compact(&self, id: &SwarmId, floor: Revision, rows_max: usize) -> Result<Compaction, Error> {
        maintain::compact(&self.pool, id, floor, rows_max).await
    }

    async fn purge(&self, clock: Timestamp, rows_max: usize) -> Result<bool, Error> {
        maintain::purge(&self.pool, self.read_by_caller(clock), rows_max).await
    }

    async fn expiring(
        &self,
        clock: Timestamp,
        after: Option<&SwarmId>,
        limit: usize,
    ) -> Result<Vec<SwarmId>, Error> {
        swarms::expiring(&self.pool, self.read_by_caller(clock), after, limit).await
    }

    async fn expired(&self, id: &SwarmId, clock: Timestamp, limit: usize) -> Result<Vec<EntryPath>, Error> {
        maintain::expired(&self.pool, id, self.read_by_caller(clock), limit).await
    }
}
