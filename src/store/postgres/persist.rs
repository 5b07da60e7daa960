//! Writes down what a commit came to, and commits, in one round trip. Decides nothing, and takes no lock.

use futures_util::future::join;
use tokio_postgres::types::Type;

use super::{
    connect::{Connection, Param, Sql},
    rows::{change_number, shard, signed, uuid},
};
use crate::{
    domain::{
        apply::Applied,
        entry::{Change, Version},
        namespace::EntryPath,
        swarm::SwarmId,
        time::Timestamp,
    },
    store::{Progress, codec},
};

/// A function, so that what must not be committed is raised inside it: the COMMIT is under way behind it already.
pub(super) static PERSIST: Sql = Sql {
    text: "SELECT swarmem.persist_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
     $19, $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34, $35)",
    types: &[
        // The swarm, and where its head was.
        Type::INT8,
        Type::INT8,
        Type::TEXT,
        Type::INT8,
        // Its head.
        Type::INT8,
        Type::UUID,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        // The log.
        Type::INT8_ARRAY,
        Type::INT4_ARRAY,
        Type::INT2_ARRAY,
        Type::INT2_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::BYTEA_ARRAY,
        Type::BYTEA_ARRAY,
        // Outcomes.
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::BYTEA_ARRAY,
        Type::INT8_ARRAY,
        Type::INT8_ARRAY,
        Type::BYTEA_ARRAY,
        // Expiries that went, and that came.
        Type::INT8_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::INT8_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
    ],
};

/// Persists everything under the lock that is held, and commits. An error that the server did not answer with leaves
/// the outcome open.
pub(super) async fn persist(
    connection: &mut Connection,
    id: &SwarmId,
    life: i64,
    applied: &Applied,
    progress: &Progress,
) -> Result<(), tokio_postgres::Error> {
    let Some(commit) = &applied.commit else { return connection.commit().await };
    let head = &applied.head;
    let (shard, name, prev) = (shard(id), id.as_str(), signed(commit.prev.revision.0));
    let (revision, nonce, time) =
        (signed(head.mark.revision.0), uuid(head.mark.nonce), head.time.as_micros());
    let (entries, content_bytes) = (signed(head.entries), signed(head.content_bytes));
    let mut values: Vec<Param<'_>> =
        vec![&shard, &life, &name, &prev, &revision, &nonce, &time, &entries, &content_bytes];
    let log = Log::of(commit.versions.iter().map(AsRef::as_ref));
    values.extend(log.values());
    let records = Records::of(applied);
    values.extend(records.values());
    let moves = &applied.expiries;
    let old = Expiries::of(moves.iter().filter_map(|m| Some((m.from?, &m.path))));
    let new = Expiries::of(moves.iter().filter_map(|m| Some((m.to?, &m.path))));
    values.extend(old.values());
    values.extend(new.values());
    let ready = connection.ready(&PERSIST).await?;
    let written = async {
        let answer = connection.query(&ready, &values).await;
        progress.persisted();
        answer
    };
    let (persisted, ended) = join(written, connection.commit()).await;
    persisted?;
    ended
}

/// Rows of the log, a column each. The nonce is the head's: all revisions of a commit share it.
#[derive(Default)]
struct Log<'a> {
    revisions: Vec<i64>,
    ordinals: Vec<i32>,
    changes: Vec<i16>,
    causes: Vec<i16>,
    times: Vec<i64>,
    create_revisions: Vec<i64>,
    create_times: Vec<i64>,
    versions: Vec<i64>,
    expires: Vec<Option<i64>>,
    content_bytes: Vec<i64>,
    namespaces: Vec<&'a str>,
    keys: Vec<&'a str>,
    metas: Vec<Vec<u8>>,
    contents: Vec<Option<Vec<u8>>>,
}

impl<'a> Log<'a> {
    fn of(versions: impl Iterator<Item = &'a Version>) -> Self {
        let mut log = Self::default();
        for v in versions {
            log.revisions.push(signed(v.mark.revision.0));
            log.ordinals
                .push(i32::try_from(v.ordinal).expect("a request has a bounded number of operations"));
            log.changes.push(change_number(v.change));
            log.causes.push(i16::try_from(codec::cause_number(v.cause)).expect("causes are few"));
            log.times.push(v.time.as_micros());
            log.create_revisions.push(signed(v.create_revision.0));
            log.create_times.push(v.create_time.as_micros());
            log.versions.push(signed(v.version));
            log.expires.push(v.expire_time.map(Timestamp::as_micros));
            log.content_bytes.push(signed(v.content_bytes));
            log.namespaces.push(v.path.namespace.as_str());
            log.keys.push(v.path.key.as_str());
            log.metas.push(codec::encode_meta(&v.author, &v.body));
            log.contents.push((v.change == Change::Put).then(|| codec::encode_content(&v.body.content)));
        }
        log
    }

    fn values(&self) -> [Param<'_>; 14] {
        [
            &self.revisions,
            &self.ordinals,
            &self.changes,
            &self.causes,
            &self.times,
            &self.create_revisions,
            &self.create_times,
            &self.versions,
            &self.expires,
            &self.content_bytes,
            &self.namespaces,
            &self.keys,
            &self.metas,
            &self.contents,
        ]
    }
}

/// Outcomes, a column each.
#[derive(Default)]
struct Records<'a> {
    agents: Vec<&'a str>,
    ids: Vec<&'a str>,
    digests: Vec<&'a [u8]>,
    revisions: Vec<i64>,
    times: Vec<i64>,
    outcomes: Vec<Vec<u8>>,
}

impl<'a> Records<'a> {
    fn of(applied: &'a Applied) -> Self {
        let mut records = Self::default();
        for (key, record) in &applied.records {
            records.agents.push(key.agent.as_str());
            records.ids.push(key.id.as_str());
            records.digests.push(record.digest.as_slice());
            records.revisions.push(signed(record.mark.revision.0));
            records.times.push(record.time.as_micros());
            records.outcomes.push(codec::encode_outcome(&record.outcome));
        }
        records
    }

    fn values(&self) -> [Param<'_>; 6] {
        [&self.agents, &self.ids, &self.digests, &self.revisions, &self.times, &self.outcomes]
    }
}

/// Expiries, a column each.
#[derive(Default)]
struct Expiries<'a> {
    times: Vec<i64>,
    namespaces: Vec<&'a str>,
    keys: Vec<&'a str>,
}

impl<'a> Expiries<'a> {
    fn of(moves: impl Iterator<Item = (Timestamp, &'a EntryPath)>) -> Self {
        let mut expiries = Self::default();
        for (time, path) in moves {
            expiries.times.push(time.as_micros());
            expiries.namespaces.push(path.namespace.as_str());
            expiries.keys.push(path.key.as_str());
        }
        expiries
    }

    fn values(&self) -> [Param<'_>; 3] {
        [&self.times, &self.namespaces, &self.keys]
    }
}
