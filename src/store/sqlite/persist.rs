//! Writes down what a commit came to, many rows a statement. Decides nothing, and knows nothing of locks.

use std::sync::Arc;

use sqlx::{Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};

use super::{
    affected,
    bulk::{Bulk, ROWS_MAX, Values},
    error,
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

/// Persists everything, for the swarm whose newest revision was `prev`.
pub(super) async fn persist(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    prev: Revision,
    applied: &Applied,
) -> Result<(), Error> {
    let versions = applied.commit.as_ref().map_or(&[][..], |commit| &commit.versions);
    for versions in versions.chunks(ROWS_MAX) {
        let (sql, values) = LOG.over(versions, log_row, |shared| {
            shared.bind(swarm_id);
        });
        execute(connection, sqlx::query_with(sql, values), versions.len()).await?;
    }
    for records in applied.records.chunks(ROWS_MAX) {
        let (sql, values) = REQUESTS.over(records, record_row, |shared| {
            shared.bind(swarm_id);
        });
        execute(connection, sqlx::query_with(sql, values), records.len()).await?;
    }
    expiries(connection, swarm_id, &applied.expiries).await?;
    advance(connection, swarm_id, prev, &applied.head, versions.len()).await
}

// `OR ROLLBACK`: a row that cannot be inserted is the end of the commit anyway, and SQLite need not keep a journal of
// its own for each statement to take back the rows before it.
static LOG: Bulk = Bulk::new(
    &[
        "revision",
        "ordinal",
        "nonce",
        "namespace",
        "key",
        "change",
        "cause",
        "time_us",
        "create_revision",
        "create_time_us",
        "version",
        "expire_us",
        "content_bytes",
        "meta",
        "content",
    ],
    "INSERT OR ROLLBACK INTO log (swarm_id, revision, ordinal, nonce, namespace, key, change, cause, time_us, \
     create_revision, create_time_us, version, expire_us, content_bytes, meta, content) \
     SELECT {1}, * FROM listed WHERE revision IS NOT NULL",
);
/// Replaces the outcome of a request whose id was used before, so long ago that it counts no more.
static REQUESTS: Bulk = Bulk::new(
    &["agent", "request_id", "digest", "revision", "nonce", "time_us", "outcome"],
    "INSERT OR REPLACE INTO requests (swarm_id, agent, request_id, digest, revision, nonce, time_us, outcome) \
     SELECT {1}, * FROM listed WHERE agent IS NOT NULL",
);
static EXPIRIES: Bulk = Bulk::new(
    EXPIRY,
    "INSERT OR ROLLBACK INTO expiries (swarm_id, expire_us, namespace, key) \
     SELECT {1}, * FROM listed WHERE expire_us IS NOT NULL",
);
static EXPIRIES_GONE: Bulk = Bulk::new(
    EXPIRY,
    "DELETE FROM expiries WHERE (swarm_id, expire_us, namespace, key) IN \
     (SELECT {1}, expire_us, namespace, key FROM listed WHERE expire_us IS NOT NULL)",
);
const EXPIRY: &[&str] = &["expire_us", "namespace", "key"];
const NEXT_EXPIRY: &str = "UPDATE heads SET next_expiry_us = (SELECT min(expire_us) FROM expiries WHERE swarm_id = ?1) \
     WHERE swarm_id = ?1";
/// What is new in the log is found by its place there; nothing has to be said twice.
const ADVANCE: &str = "INSERT OR ROLLBACK INTO versions (swarm_id, namespace, key, revision, ordinal, change) \
     SELECT swarm_id, namespace, key, revision, ordinal, change FROM log WHERE swarm_id = ?1 AND revision > ?2; \
     UPDATE heads SET revision = ?3, nonce = ?4, time_us = ?5, entries = ?6, content_bytes = ?7 \
     WHERE swarm_id = ?1 AND revision = ?2";

fn log_row(row: &mut Values, _: usize, version: &Arc<Version>) {
    let content = (version.change == Change::Put).then(|| codec::encode_content(&version.body.content));
    row.bind(signed(version.mark.revision.0))
        .bind(i64::from(version.ordinal))
        .bind(version.mark.nonce.0.as_slice())
        .bind(version.path.namespace.shared_text())
        .bind(version.path.key.shared_text())
        .bind(change_number(version.change))
        .bind(i64::from(codec::cause_number(version.cause)))
        .bind(version.time.as_micros())
        .bind(signed(version.create_revision.0))
        .bind(version.create_time.as_micros())
        .bind(signed(version.version))
        .bind(version.expire_time.map(Timestamp::as_micros))
        .bind(signed(version.content_bytes))
        .bind(codec::encode_meta(&version.author, &version.body))
        .bind(content);
}

fn record_row(row: &mut Values, _: usize, (key, record): &(RecordKey, Record)) {
    row.bind(key.agent.shared_text())
        .bind(key.id.shared_text())
        .bind(record.digest.as_slice())
        .bind(signed(record.mark.revision.0))
        .bind(record.mark.nonce.0.as_slice())
        .bind(record.time.as_micros())
        .bind(codec::encode_outcome(&record.outcome));
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
    let new: Vec<_> = moves.iter().filter_map(|m| Some((m.to?, &m.path))).collect();
    for (bulk, expiries) in [(&EXPIRIES_GONE, old), (&EXPIRIES, new)] {
        for expiries in expiries.chunks(ROWS_MAX) {
            let (sql, values) = bulk.over(expiries, expiry_row, |shared| {
                shared.bind(swarm_id);
            });
            execute(connection, sqlx::query_with(sql, values), expiries.len()).await?;
        }
    }
    execute(connection, sqlx::query(NEXT_EXPIRY).bind(swarm_id), 1).await
}

fn expiry_row(row: &mut Values, _: usize, (time, path): &(Timestamp, &EntryPath)) {
    row.bind(time.as_micros()).bind(path.namespace.shared_text()).bind(path.key.shared_text());
}

async fn advance(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    prev: Revision,
    head: &Head,
    versions: usize,
) -> Result<(), Error> {
    let advance = sqlx::query(ADVANCE)
        .bind(swarm_id)
        .bind(signed(prev.0))
        .bind(signed(head.mark.revision.0))
        .bind(head.mark.nonce.0.as_slice())
        .bind(head.time.as_micros())
        .bind(signed(head.entries))
        .bind(signed(head.content_bytes));
    execute(connection, advance, versions + 1).await
}

async fn execute(
    connection: &mut SqliteConnection,
    query: Query<'_, Sqlite, SqliteArguments>,
    rows: usize,
) -> Result<(), Error> {
    let done = query.execute(connection).await.map_err(error)?;
    affected(done.rows_affected(), rows)
}
