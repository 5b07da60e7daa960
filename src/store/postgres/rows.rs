//! Rows as they stand in the tables, and the domain types they mean. Knows no statement.

use tokio_postgres::{
    Row,
    types::{FromSql, Type},
};
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
pub(super) const PUT: i16 = 0;
/// `change` of a tombstone.
pub(super) const DELETE: i16 = 1;

/// The types of a swarm's two names: its shard, and what people call it.
pub(super) const SWARM: [Type; 2] = [Type::INT8, Type::TEXT];

/// The columns of a [`SwarmRow`], of `heads h`.
macro_rules! swarm_columns {
    () => {
        "h.life, h.name, h.incarnation, h.revision, h.nonce, h.time_us, h.floor_revision, h.floor_nonce, \
         h.compacted_revision, h.entries, h.content_bytes, h.next_expiry_us, h.retention_age_us, \
         h.retention_revisions, h.create_time_us"
    };
}
pub(super) use swarm_columns;

/// The columns of a version but the content, of the log `l`.
macro_rules! version_columns {
    () => {
        "l.revision, l.ordinal, l.nonce, l.namespace, l.key, l.change, l.cause, l.time_us, l.create_revision, \
         l.create_time_us, l.version, l.expire_us, l.content_bytes, l.meta"
    };
}
pub(super) use version_columns;

/// Where a swarm's rows are: a hash of its name. Two names may share one; `life` keeps their rows apart.
pub(super) fn shard(id: &SwarmId) -> i64 {
    let hash = blake3::hash(id.as_str().as_bytes());
    let first = hash.as_bytes().first_chunk().expect("a hash has 32 bytes");
    i64::from_be_bytes(*first)
}

/// A column of a row.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: &str) -> Result<T, Error> {
    row.try_get(column).map_err(|error| corrupt(super::failure::told(&error)))
}

/// A row of `heads`.
pub(super) struct SwarmRow {
    pub life: i64,
    pub swarm: Swarm,
}

impl SwarmRow {
    pub fn read(row: &Row) -> Result<Self, Error> {
        let head = Head {
            incarnation: Incarnation(get(row, "incarnation")?),
            mark: mark(row)?,
            time: Timestamp::from_micros(get(row, "time_us")?),
            floor: Mark {
                revision: Revision(unsigned(get(row, "floor_revision")?)?),
                nonce: nonce(get(row, "floor_nonce")?),
            },
            entries: unsigned(get(row, "entries")?)?,
            content_bytes: unsigned(get(row, "content_bytes")?)?,
        };
        let swarm = Swarm {
            id: SwarmId::trusted(get(row, "name")?),
            head,
            retention: Retention {
                age: std::time::Duration::from_micros(unsigned(get(row, "retention_age_us")?)?),
                revisions: unsigned(get(row, "retention_revisions")?)?,
            },
            create_time: Timestamp::from_micros(get(row, "create_time_us")?),
            next_expiry: get::<Option<i64>>(row, "next_expiry_us")?.map(Timestamp::from_micros),
            compacted: Revision(unsigned(get(row, "compacted_revision")?)?),
        };
        Ok(Self { life: get(row, "life")?, swarm })
    }

    pub fn head(&self) -> Head {
        self.swarm.head
    }
}

/// The version in a row.
pub(super) fn version(row: &Row) -> Result<Version, Error> {
    let (author, body) = codec::decode(get(row, "meta")?, get(row, "content")?)?;
    Ok(Version {
        path: path(row)?,
        mark: mark(row)?,
        ordinal: u32::try_from(get::<i32>(row, "ordinal")?).map_err(corrupt)?,
        change: match get(row, "change")? {
            PUT => Change::Put,
            DELETE => Change::Delete,
            other => return Err(corrupt(format!("a change of unknown kind {other}"))),
        },
        cause: codec::cause_of(u32::try_from(get::<i16>(row, "cause")?).map_err(corrupt)?)?,
        author,
        time: Timestamp::from_micros(get(row, "time_us")?),
        create_revision: Revision(unsigned(get(row, "create_revision")?)?),
        create_time: Timestamp::from_micros(get(row, "create_time_us")?),
        version: unsigned(get(row, "version")?)?,
        expire_time: get::<Option<i64>>(row, "expire_us")?.map(Timestamp::from_micros),
        content_bytes: unsigned(get(row, "content_bytes")?)?,
        body,
    })
}

/// The recorded outcome in a row.
pub(super) fn record(row: &Row) -> Result<(RecordKey, Record), Error> {
    let key = RecordKey {
        agent: AgentId::trusted(get(row, "agent")?),
        id: RequestId::trusted(get(row, "request_id")?),
    };
    let mark = mark(row)?;
    let record = Record {
        digest: <[u8; 16]>::try_from(get::<&[u8]>(row, "digest")?).map_err(corrupt)?,
        mark,
        time: Timestamp::from_micros(get(row, "time_us")?),
        outcome: codec::decode_outcome(get(row, "outcome")?, mark)?,
    };
    Ok((key, record))
}

pub(super) fn path(row: &Row) -> Result<EntryPath, Error> {
    Ok(EntryPath {
        namespace: Namespace::trusted(get(row, "namespace")?),
        key: Key::trusted(get(row, "key")?),
    })
}

pub(super) fn mark(row: &Row) -> Result<Mark, Error> {
    Ok(Mark { revision: revision(row)?, nonce: nonce(get(row, "nonce")?) })
}

pub(super) fn revision(row: &Row) -> Result<Revision, Error> {
    Ok(Revision(unsigned(get(row, "revision")?)?))
}

fn nonce(id: Uuid) -> Nonce {
    Nonce(id.into_bytes())
}

/// A nonce as the tables keep it: 16 bytes without a length.
pub(super) fn uuid(nonce: Nonce) -> Uuid {
    Uuid::from_bytes(nonce.0)
}

pub(super) fn change_number(change: Change) -> i16 {
    match change {
        Change::Put => PUT,
        Change::Delete => DELETE,
    }
}

/// As the tables keep it; what does not fit is beyond anything stored.
pub(super) fn signed(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(corrupt)
}

/// The end of a range of namespaces as the database can carry it, which has no text with a NUL in it. No namespace holds a
/// control character, so the next one bounds the same.
pub(super) fn range_end(end: Option<&str>) -> String {
    // No namespace begins with the last character there is.
    end.unwrap_or("\u{10FFFF}").replace('\0', "\u{1}")
}

pub(super) fn corrupt(error: impl std::fmt::Display) -> Error {
    Error::Corrupt(error.to_string())
}
