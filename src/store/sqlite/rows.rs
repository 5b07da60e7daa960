//! Rows as they stand in the tables, and the domain types they mean. Knows no statement.

use sqlx::{FromRow, Row as _, sqlite::SqliteRow};
use uuid::Uuid;

use crate::{
    domain::{
        apply::Record,
        entry::{Change, Version},
        namespace::{AgentId, EntryPath, Key, Namespace},
        request::{RecordKey, RequestId},
        swarm::{Head, Incarnation, Mark, Nonce, Retention, Revision, Swarm, SwarmId},
        time::Timestamp,
    },
    store::{Error, codec},
};

/// `change` of a put.
pub(super) const PUT: i64 = 0;
/// `change` of a tombstone.
pub(super) const DELETE: i64 = 1;

/// The columns of a [`SwarmRow`], of `heads`.
macro_rules! swarm_columns {
    () => {
        "swarm_id, name, incarnation, revision, nonce, time_us, floor_revision, floor_nonce, compacted_revision, \
         entries, content_bytes, next_expiry_us, retention_age_us, retention_revisions, create_time_us"
    };
}
pub(super) use swarm_columns;

/// The columns of a [`VersionRow`] but the content, which is to follow, of the log `l`.
macro_rules! version_columns {
    () => {
        "l.revision, l.ordinal, l.nonce, l.namespace, l.key, l.change, l.cause, l.time_us, l.create_revision, \
         l.create_time_us, l.version, l.expire_us, l.content_bytes, l.meta"
    };
}
pub(super) use version_columns;

/// How many columns a [`VersionRow`] has; what a statement adds stands behind them.
pub(super) const VERSION_COLUMNS: usize = 15;

/// A row of `heads`.
pub(super) struct SwarmRow {
    pub swarm_id: i64,
    name: String,
    incarnation: Vec<u8>,
    revision: i64,
    nonce: Vec<u8>,
    time_us: i64,
    floor_revision: i64,
    floor_nonce: Vec<u8>,
    compacted_revision: i64,
    entries: i64,
    content_bytes: i64,
    next_expiry_us: Option<i64>,
    retention_age_us: i64,
    retention_revisions: i64,
    create_time_us: i64,
}

impl FromRow<'_, SqliteRow> for SwarmRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            swarm_id: row.try_get("swarm_id")?,
            name: row.try_get("name")?,
            incarnation: row.try_get("incarnation")?,
            revision: row.try_get("revision")?,
            nonce: row.try_get("nonce")?,
            time_us: row.try_get("time_us")?,
            floor_revision: row.try_get("floor_revision")?,
            floor_nonce: row.try_get("floor_nonce")?,
            compacted_revision: row.try_get("compacted_revision")?,
            entries: row.try_get("entries")?,
            content_bytes: row.try_get("content_bytes")?,
            next_expiry_us: row.try_get("next_expiry_us")?,
            retention_age_us: row.try_get("retention_age_us")?,
            retention_revisions: row.try_get("retention_revisions")?,
            create_time_us: row.try_get("create_time_us")?,
        })
    }
}

impl SwarmRow {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn head(&self) -> Result<Head, Error> {
        Ok(Head {
            incarnation: Incarnation(Uuid::from_bytes(sixteen(&self.incarnation)?)),
            mark: mark(self.revision, &self.nonce)?,
            time: Timestamp::from_micros(self.time_us),
            floor: mark(self.floor_revision, &self.floor_nonce)?,
            entries: unsigned(self.entries)?,
            content_bytes: unsigned(self.content_bytes)?,
        })
    }

    pub fn compacted(&self) -> Result<Revision, Error> {
        Ok(Revision(unsigned(self.compacted_revision)?))
    }

    pub fn swarm(&self) -> Result<Swarm, Error> {
        Ok(Swarm {
            id: SwarmId::trusted(&self.name),
            head: self.head()?,
            retention: Retention {
                age: std::time::Duration::from_micros(unsigned(self.retention_age_us)?),
                revisions: unsigned(self.retention_revisions)?,
            },
            create_time: Timestamp::from_micros(self.create_time_us),
            next_expiry: self.next_expiry_us.map(Timestamp::from_micros),
        })
    }
}

/// A row of `log`, borrowed. Read by position: this is the row that pages have by the thousand.
struct VersionRow<'r> {
    revision: i64,
    ordinal: i64,
    nonce: &'r [u8],
    namespace: &'r str,
    key: &'r str,
    change: i64,
    cause: i64,
    time_us: i64,
    create_revision: i64,
    create_time_us: i64,
    version: i64,
    expire_us: Option<i64>,
    content_bytes: i64,
    meta: &'r [u8],
    content: Option<&'r [u8]>,
}

impl<'r> FromRow<'r, SqliteRow> for VersionRow<'r> {
    fn from_row(row: &'r SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            revision: row.try_get(0)?,
            ordinal: row.try_get(1)?,
            nonce: row.try_get(2)?,
            namespace: row.try_get(3)?,
            key: row.try_get(4)?,
            change: row.try_get(5)?,
            cause: row.try_get(6)?,
            time_us: row.try_get(7)?,
            create_revision: row.try_get(8)?,
            create_time_us: row.try_get(9)?,
            version: row.try_get(10)?,
            expire_us: row.try_get(11)?,
            content_bytes: row.try_get(12)?,
            meta: row.try_get(13)?,
            content: row.try_get(14)?,
        })
    }
}

/// The version in the first columns of a row.
pub(super) fn version(row: &SqliteRow) -> Result<Version, Error> {
    let row = VersionRow::from_row(row).map_err(super::error)?;
    let (author, body) = codec::decode(row.meta, row.content)?;
    Ok(Version {
        path: path(row.namespace, row.key),
        mark: mark(row.revision, row.nonce)?,
        ordinal: u32::try_from(row.ordinal).map_err(corrupt)?,
        change: match row.change {
            PUT => Change::Put,
            DELETE => Change::Delete,
            other => return Err(Error::Corrupt(format!("a change of unknown kind {other}"))),
        },
        cause: codec::cause_of(u32::try_from(row.cause).map_err(corrupt)?)?,
        author,
        time: Timestamp::from_micros(row.time_us),
        create_revision: Revision(unsigned(row.create_revision)?),
        create_time: Timestamp::from_micros(row.create_time_us),
        version: unsigned(row.version)?,
        expire_time: row.expire_us.map(Timestamp::from_micros),
        content_bytes: unsigned(row.content_bytes)?,
        body,
    })
}

/// A row of `requests`.
pub(super) struct RecordRow {
    agent: String,
    request_id: String,
    digest: Vec<u8>,
    revision: i64,
    nonce: Vec<u8>,
    time_us: i64,
    outcome: Vec<u8>,
}

impl FromRow<'_, SqliteRow> for RecordRow {
    fn from_row(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            agent: row.try_get("agent")?,
            request_id: row.try_get("request_id")?,
            digest: row.try_get("digest")?,
            revision: row.try_get("revision")?,
            nonce: row.try_get("nonce")?,
            time_us: row.try_get("time_us")?,
            outcome: row.try_get("outcome")?,
        })
    }
}

impl RecordRow {
    pub fn record(self) -> Result<(RecordKey, Record), Error> {
        let key =
            RecordKey { agent: AgentId::trusted(&self.agent), id: RequestId::trusted(&self.request_id) };
        let mark = mark(self.revision, &self.nonce)?;
        let record = Record {
            digest: sixteen(&self.digest)?,
            mark,
            time: Timestamp::from_micros(self.time_us),
            outcome: codec::decode_outcome(&self.outcome, mark)?,
        };
        Ok((key, record))
    }
}

pub(super) fn path(namespace: &str, key: &str) -> EntryPath {
    EntryPath { namespace: Namespace::trusted(namespace), key: Key::trusted(key) }
}

pub(super) fn change_number(change: Change) -> i64 {
    match change {
        Change::Put => PUT,
        Change::Delete => DELETE,
    }
}

pub(super) fn mark(revision: i64, nonce: &[u8]) -> Result<Mark, Error> {
    Ok(Mark { revision: Revision(unsigned(revision)?), nonce: Nonce(sixteen(nonce)?) })
}

/// As the tables keep it; what does not fit is beyond anything stored.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(corrupt)
}

fn sixteen(bytes: &[u8]) -> Result<[u8; 16], Error> {
    <[u8; 16]>::try_from(bytes).map_err(corrupt)
}

fn corrupt(error: impl std::fmt::Display) -> Error {
    Error::Corrupt(error.to_string())
}
