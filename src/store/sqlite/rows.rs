//! Rows as they stand in the tables, and the domain types they mean. Knows no statement.

use rusqlite::{Result as SqlResult, Row};
use uuid::Uuid;

use crate::{
    domain::{
        apply::Record,
        entry::{Change, Version},
        namespace::{EntryPath, Key, Namespace},
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

impl SwarmRow {
    pub fn read(row: &Row<'_>) -> SqlResult<Self> {
        Ok(Self {
            swarm_id: row.get("swarm_id")?,
            name: row.get("name")?,
            incarnation: row.get("incarnation")?,
            revision: row.get("revision")?,
            nonce: row.get("nonce")?,
            time_us: row.get("time_us")?,
            floor_revision: row.get("floor_revision")?,
            floor_nonce: row.get("floor_nonce")?,
            compacted_revision: row.get("compacted_revision")?,
            entries: row.get("entries")?,
            content_bytes: row.get("content_bytes")?,
            next_expiry_us: row.get("next_expiry_us")?,
            retention_age_us: row.get("retention_age_us")?,
            retention_revisions: row.get("retention_revisions")?,
            create_time_us: row.get("create_time_us")?,
        })
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
            compacted: self.compacted()?,
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

impl<'r> VersionRow<'r> {
    fn read(row: &'r Row<'_>) -> SqlResult<Self> {
        Ok(Self {
            revision: row.get(0)?,
            ordinal: row.get(1)?,
            nonce: row.get_ref(2)?.as_blob()?,
            namespace: row.get_ref(3)?.as_str()?,
            key: row.get_ref(4)?.as_str()?,
            change: row.get(5)?,
            cause: row.get(6)?,
            time_us: row.get(7)?,
            create_revision: row.get(8)?,
            create_time_us: row.get(9)?,
            version: row.get(10)?,
            expire_us: row.get(11)?,
            content_bytes: row.get(12)?,
            meta: row.get_ref(13)?.as_blob()?,
            content: row.get_ref(14)?.as_blob_or_null()?,
        })
    }
}

/// The version in the first columns of a row.
pub(super) fn version(row: &Row<'_>) -> Result<Version, Error> {
    let row = VersionRow::read(row)?;
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

/// The columns of a [`record`], of `requests`.
macro_rules! record_columns {
    () => {
        "digest, revision, nonce, time_us, outcome"
    };
}
pub(super) use record_columns;

/// What was recorded under a request's id.
pub(super) fn record(row: &Row<'_>) -> Result<Record, Error> {
    let mark = mark(row.get(1)?, row.get_ref(2)?.as_blob().map_err(corrupt)?)?;
    Ok(Record {
        digest: sixteen(row.get_ref(0)?.as_blob().map_err(corrupt)?)?,
        mark,
        time: Timestamp::from_micros(row.get(3)?),
        outcome: codec::decode_outcome(row.get_ref(4)?.as_blob().map_err(corrupt)?, mark)?,
    })
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

pub(super) fn corrupt(error: impl std::fmt::Display) -> Error {
    Error::Corrupt(error.to_string())
}
