//! Writes down what a commit came to, many rows a statement. Decides nothing, and knows nothing of locks.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection, query_builder::Separated};

use super::{
    affected, error,
    rows::{change_number, signed},
};
use crate::{
    domain::{
        apply::{Applied, ExpiryMove, Record},
        entry::{Change, Version},
        namespace::EntryPath,
        request::RecordKey,
        swarm::{Head, Revision},
        time::Timestamp,
    },
    store::{Error, codec},
};

/// Rows in one statement at most. Statements have a power of two of rows, so that few are prepared.
const ROWS_MAX: usize = 64;

/// Persists everything, for the swarm whose newest revision was `prev`.
pub(super) async fn persist(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    prev: Revision,
    applied: &Applied,
) -> Result<(), Error> {
    let versions = applied.commit.as_ref().map_or(&[][..], |commit| &commit.versions);
    for versions in chunks(versions) {
        insert(connection, LOG, versions, |row, version| log_row(row, swarm_id, version)).await?;
    }
    for versions in chunks(versions) {
        insert(connection, VERSIONS, versions, |row, version| {
            row.push_bind(swarm_id)
                .push_bind(version.path.namespace.as_str())
                .push_bind(version.path.key.as_str())
                .push_bind(signed(version.mark.revision.0))
                .push_bind(i64::from(version.ordinal))
                .push_bind(change_number(version.change));
        })
        .await?;
    }
    for records in chunks(&applied.records) {
        insert(connection, REQUESTS, records, |row, (key, record)| record_row(row, swarm_id, key, record))
            .await?;
    }
    expiries(connection, swarm_id, &applied.expiries).await?;
    advance(connection, swarm_id, prev, &applied.head).await
}

// `OR ROLLBACK`: a row that cannot be inserted is the end of the commit anyway, and SQLite need not keep a journal of
// its own for each statement to take back the rows before it.
const LOG: &str = "INSERT OR ROLLBACK INTO log (swarm_id, revision, ordinal, nonce, namespace, key, change, cause, time_us, \
                   create_revision, create_time_us, version, expire_us, content_bytes, meta, content) ";
const VERSIONS: &str =
    "INSERT OR ROLLBACK INTO versions (swarm_id, namespace, key, revision, ordinal, change) ";
/// Replaces the outcome of a request whose id was used before, so long ago that it counts no more.
const REQUESTS: &str = "INSERT OR REPLACE INTO requests \
                        (swarm_id, agent, request_id, digest, revision, nonce, time_us, outcome) ";
const EXPIRIES: &str = "INSERT OR ROLLBACK INTO expiries (swarm_id, expire_us, namespace, key) ";

type Row<'a> = Separated<'a, Sqlite, &'static str>;

fn log_row(row: &mut Row<'_>, swarm_id: i64, version: &Version) {
    let content = (version.change == Change::Put).then(|| codec::encode_content(&version.body.content));
    row.push_bind(swarm_id)
        .push_bind(signed(version.mark.revision.0))
        .push_bind(i64::from(version.ordinal))
        .push_bind(version.mark.nonce.0.as_slice())
        .push_bind(version.path.namespace.as_str())
        .push_bind(version.path.key.as_str())
        .push_bind(change_number(version.change))
        .push_bind(i64::from(codec::cause_number(version.cause)))
        .push_bind(version.time.as_micros())
        .push_bind(signed(version.create_revision.0))
        .push_bind(version.create_time.as_micros())
        .push_bind(signed(version.version))
        .push_bind(version.expire_time.map(Timestamp::as_micros))
        .push_bind(signed(version.content_bytes))
        .push_bind(codec::encode_meta(&version.author, &version.body))
        .push_bind(content);
}

fn record_row(row: &mut Row<'_>, swarm_id: i64, key: &RecordKey, record: &Record) {
    row.push_bind(swarm_id)
        .push_bind(key.agent.as_str())
        .push_bind(key.id.as_str())
        .push_bind(record.digest.as_slice())
        .push_bind(signed(record.mark.revision.0))
        .push_bind(record.mark.nonce.0.as_slice())
        .push_bind(record.time.as_micros())
        .push_bind(codec::encode_outcome(&record.outcome));
}

/// Follows the expiries that moved, and with them the swarm's earliest.
async fn expiries(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    moves: &[ExpiryMove],
) -> Result<(), Error> {
    if moves.is_empty() {
        return Ok(());
    }
    let old: Vec<_> = moves.iter().filter_map(|m| Some((m.from?, &m.path))).collect();
    for old in chunks(&old) {
        let mut sql =
            QueryBuilder::new("DELETE FROM expiries WHERE (swarm_id, expire_us, namespace, key) IN (");
        sql.push_values(old, |mut row, expiry| expiry_row(&mut row, swarm_id, expiry)).push(")");
        let deleted = sql.build().execute(&mut *connection).await.map_err(error)?;
        affected(deleted.rows_affected(), old.len())?;
    }
    let new: Vec<_> = moves.iter().filter_map(|m| Some((m.to?, &m.path))).collect();
    for new in chunks(&new) {
        insert(connection, EXPIRIES, new, |row, expiry| expiry_row(row, swarm_id, expiry)).await?;
    }
    let updated = sqlx::query(
        "UPDATE heads SET next_expiry_us = (SELECT min(expire_us) FROM expiries WHERE swarm_id = ?1) \
         WHERE swarm_id = ?1",
    )
    .bind(swarm_id)
    .execute(connection)
    .await
    .map_err(error)?;
    affected(updated.rows_affected(), 1)
}

fn expiry_row(row: &mut Row<'_>, swarm_id: i64, (time, path): &(Timestamp, &EntryPath)) {
    row.push_bind(swarm_id)
        .push_bind(time.as_micros())
        .push_bind(path.namespace.as_str())
        .push_bind(path.key.as_str());
}

async fn advance(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    prev: Revision,
    head: &Head,
) -> Result<(), Error> {
    let updated = sqlx::query(
        "UPDATE heads SET revision = ?3, nonce = ?4, time_us = ?5, entries = ?6, content_bytes = ?7 \
         WHERE swarm_id = ?1 AND revision = ?2",
    )
    .bind(swarm_id)
    .bind(signed(prev.0))
    .bind(signed(head.mark.revision.0))
    .bind(head.mark.nonce.0.as_slice())
    .bind(head.time.as_micros())
    .bind(signed(head.entries))
    .bind(signed(head.content_bytes))
    .execute(connection)
    .await
    .map_err(error)?;
    affected(updated.rows_affected(), 1)
}

async fn insert<T>(
    connection: &mut SqliteConnection,
    into: &'static str,
    rows: &[T],
    bind: impl Fn(&mut Row<'_>, &T),
) -> Result<(), Error> {
    let mut sql = QueryBuilder::new(into);
    sql.push_values(rows, |mut row, of| bind(&mut row, of));
    let inserted = sql.build().execute(connection).await.map_err(error)?;
    affected(inserted.rows_affected(), rows.len())
}

/// Cuts into pieces whose lengths are powers of two, the longest first.
pub(super) fn chunks<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let len = 1 << rows.len().min(ROWS_MAX).checked_ilog2()?;
        let (chunk, rest) = rows.split_at(len);
        rows = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_powers_of_two() {
        let lengths = |n: usize| chunks(&vec![0; n]).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(lengths(0), Vec::<usize>::new());
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(77), [64, 8, 4, 1]);
        assert_eq!(lengths(129), [64, 64, 1]);
    }
}
