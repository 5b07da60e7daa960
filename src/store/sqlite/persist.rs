//! Writes down what a commit came to, many rows a statement. Decides nothing, and knows nothing of locks.

use sqlx::SqliteConnection;

use super::{
    affected,
    bulk::{Bulk, ROWS_MAX, Script},
    error,
    load::chunk,
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
    expiries(connection, swarm_id, &applied.expiries).await?;
    // As a rule there is one chunk of each, and all of a commit goes in one round.
    let rounds = versions.len().max(applied.records.len()).div_ceil(ROWS_MAX).max(1);
    for round in 0..rounds {
        let (versions_now, records) = (chunk(versions, round), chunk(&applied.records, round));
        let mut script = Script::default();
        script.list(&LOG, versions_now, |row, _, version| log_row(row, swarm_id, version));
        script.list(&REQUESTS, records, |row, _, record| record_row(row, swarm_id, record));
        let mut rows = versions_now.len() + records.len();
        if round + 1 == rounds {
            advance(&mut script, swarm_id, prev, &applied.head);
            rows += versions.len() + 1;
        }
        execute(connection, script, rows).await?;
    }
    Ok(())
}

// `OR ROLLBACK`: a row that cannot be inserted is the end of the commit anyway, and SQLite need not keep a journal of
// its own for each statement to take back the rows before it.
static LOG: Bulk = Bulk {
    columns: &[
        "swarm_id",
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
    rest: "INSERT OR ROLLBACK INTO log (swarm_id, revision, ordinal, nonce, namespace, key, change, cause, time_us, \
     create_revision, create_time_us, version, expire_us, content_bytes, meta, content) \
     SELECT * FROM listed WHERE swarm_id IS NOT NULL",
};
/// Replaces the outcome of a request whose id was used before, so long ago that it counts no more.
static REQUESTS: Bulk = Bulk {
    columns: &["swarm_id", "agent", "request_id", "digest", "revision", "nonce", "time_us", "outcome"],
    rest: "INSERT OR REPLACE INTO requests (swarm_id, agent, request_id, digest, revision, nonce, time_us, outcome) \
     SELECT * FROM listed WHERE swarm_id IS NOT NULL",
};
static EXPIRIES: Bulk = Bulk {
    columns: EXPIRY,
    rest: "INSERT OR ROLLBACK INTO expiries (swarm_id, expire_us, namespace, key) \
     SELECT * FROM listed WHERE swarm_id IS NOT NULL",
};
static EXPIRIES_GONE: Bulk = Bulk {
    columns: EXPIRY,
    rest: "DELETE FROM expiries WHERE (swarm_id, expire_us, namespace, key) IN \
     (SELECT * FROM listed WHERE swarm_id IS NOT NULL)",
};
const EXPIRY: &[&str] = &["swarm_id", "expire_us", "namespace", "key"];
const NEXT_EXPIRY: &str = "UPDATE heads SET next_expiry_us = (SELECT min(expire_us) FROM expiries WHERE swarm_id = ?) \
     WHERE swarm_id = ?";
/// What is new in the log is found by its place there; nothing has to be said twice.
const VERSIONS: &str = "INSERT OR ROLLBACK INTO versions (swarm_id, namespace, key, revision, ordinal, change) \
     SELECT swarm_id, namespace, key, revision, ordinal, change FROM log WHERE swarm_id = ? AND revision > ?";
const HEAD: &str = "UPDATE heads SET revision = ?, nonce = ?, time_us = ?, entries = ?, content_bytes = ? \
     WHERE swarm_id = ? AND revision = ?";

fn log_row(row: &mut Script, swarm_id: i64, version: &Version) {
    let content = (version.change == Change::Put).then(|| codec::encode_content(&version.body.content));
    row.bind(swarm_id)
        .bind(signed(version.mark.revision.0))
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

fn record_row(row: &mut Script, swarm_id: i64, (key, record): &(RecordKey, Record)) {
    row.bind(swarm_id)
        .bind(key.agent.shared_text())
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
            let mut script = Script::default();
            script.list(bulk, expiries, |row, _, expiry| expiry_row(row, swarm_id, expiry));
            execute(connection, script, expiries.len()).await?;
        }
    }
    let mut script = Script::default();
    script.statement(NEXT_EXPIRY).bind(swarm_id).bind(swarm_id);
    execute(connection, script, 1).await
}

fn expiry_row(row: &mut Script, swarm_id: i64, (time, path): &(Timestamp, &EntryPath)) {
    row.bind(swarm_id).bind(time.as_micros()).bind(path.namespace.shared_text()).bind(path.key.shared_text());
}

/// Indexes what is new in the log, which is found by its place there, and moves the head.
fn advance(script: &mut Script, swarm_id: i64, prev: Revision, head: &Head) {
    script.statement(VERSIONS).bind(swarm_id).bind(signed(prev.0));
    script
        .statement(HEAD)
        .bind(signed(head.mark.revision.0))
        .bind(head.mark.nonce.0.as_slice())
        .bind(head.time.as_micros())
        .bind(signed(head.entries))
        .bind(signed(head.content_bytes))
        .bind(swarm_id)
        .bind(signed(prev.0));
}

async fn execute(connection: &mut SqliteConnection, script: Script, rows: usize) -> Result<(), Error> {
    let done = script.query().execute(connection).await.map_err(error)?;
    affected(done.rows_affected(), rows)
}
