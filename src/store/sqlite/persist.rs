//! Writes down what a commit came to. Decides nothing, and knows nothing of locks.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::{
    affected,
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
pub(super) fn persist(
    connection: &Connection,
    swarm_id: i64,
    prev: Revision,
    applied: &Applied,
) -> Result<(), Error> {
    let versions = applied.commit.as_ref().map_or(&[][..], |commit| &commit.versions);
    log(connection, swarm_id, versions)?;
    index(connection, swarm_id, versions)?;
    records(connection, swarm_id, &applied.records)?;
    expiries(connection, swarm_id, &applied.expiries)?;
    advance(connection, swarm_id, prev, &applied.head)
}

// `OR ROLLBACK`: a row that cannot be inserted is the end of the commit anyway, and SQLite need not keep a journal of
// its own for each statement to take back what it did before.
const LOG: &str = "INSERT OR ROLLBACK INTO log (swarm_id, revision, ordinal, nonce, namespace, key, change, cause, \
     time_us, create_revision, create_time_us, version, expire_us, content_bytes, meta, content) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
const VERSIONS: &str = "INSERT OR ROLLBACK INTO versions (swarm_id, namespace, key, revision, ordinal, change) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
/// Replaces the outcome of a request whose id was used before, so long ago that it counts no more.
const REQUESTS: &str = "INSERT OR REPLACE INTO requests (swarm_id, agent, request_id, digest, revision, nonce, \
     time_us, outcome) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const EXPIRY: &str =
    "INSERT OR ROLLBACK INTO expiries (swarm_id, expire_us, namespace, key) VALUES (?1, ?2, ?3, ?4)";
const EXPIRY_GONE: &str =
    "DELETE FROM expiries WHERE swarm_id = ?1 AND expire_us = ?2 AND namespace = ?3 AND key = ?4";
const NEXT_EXPIRY: &str = "UPDATE heads SET next_expiry_us = \
     (SELECT min(expire_us) FROM expiries WHERE swarm_id = ?1) WHERE swarm_id = ?1";
const HEAD: &str = "UPDATE heads SET revision = ?1, nonce = ?2, time_us = ?3, entries = ?4, content_bytes = ?5 \
     WHERE swarm_id = ?6 AND revision = ?7";

fn log(connection: &Connection, swarm_id: i64, versions: &[Arc<Version>]) -> Result<(), Error> {
    let mut insert = connection.prepare_cached(LOG)?;
    for version in versions {
        let content = (version.change == Change::Put).then(|| codec::encode_content(&version.body.content));
        insert.execute(params![
            swarm_id,
            signed(version.mark.revision.0),
            version.ordinal,
            version.mark.nonce.0,
            version.path.namespace.as_str(),
            version.path.key.as_str(),
            change_number(version.change),
            codec::cause_number(version.cause),
            version.time.as_micros(),
            signed(version.create_revision.0),
            version.create_time.as_micros(),
            signed(version.version),
            version.expire_time.map(Timestamp::as_micros),
            signed(version.content_bytes),
            codec::encode_meta(&version.author, &version.body),
            content,
        ])?;
    }
    Ok(())
}

fn index(connection: &Connection, swarm_id: i64, versions: &[Arc<Version>]) -> Result<(), Error> {
    let mut insert = connection.prepare_cached(VERSIONS)?;
    for version in versions {
        insert.execute(params![
            swarm_id,
            version.path.namespace.as_str(),
            version.path.key.as_str(),
            signed(version.mark.revision.0),
            version.ordinal,
            change_number(version.change),
        ])?;
    }
    Ok(())
}

fn records(connection: &Connection, swarm_id: i64, records: &[(RecordKey, Record)]) -> Result<(), Error> {
    let mut insert = connection.prepare_cached(REQUESTS)?;
    for (key, record) in records {
        insert.execute(params![
            swarm_id,
            key.agent.as_str(),
            key.id.as_str(),
            record.digest,
            signed(record.mark.revision.0),
            record.mark.nonce.0,
            record.time.as_micros(),
            codec::encode_outcome(&record.outcome),
        ])?;
    }
    Ok(())
}

/// Follows the expiries that moved, and with them the swarm's earliest.
fn expiries(connection: &Connection, swarm_id: i64, moves: &[ExpiryMove]) -> Result<(), Error> {
    if moves.is_empty() {
        return Ok(());
    }
    let mut remove = connection.prepare_cached(EXPIRY_GONE)?;
    let mut insert = connection.prepare_cached(EXPIRY)?;
    let row = |time: Timestamp, path: &EntryPath| {
        (swarm_id, time.as_micros(), path.namespace.shared_text(), path.key.shared_text())
    };
    // All that goes first: an entry may get the expiry that it had.
    for ExpiryMove { path, from, .. } in moves {
        if let Some(from) = from {
            affected(remove.execute(row(*from, path))?, 1)?;
        }
    }
    for ExpiryMove { path, to, .. } in moves {
        if let Some(to) = to {
            insert.execute(row(*to, path))?;
        }
    }
    affected(connection.prepare_cached(NEXT_EXPIRY)?.execute([swarm_id])?, 1)
}

/// Moves the head.
fn advance(connection: &Connection, swarm_id: i64, prev: Revision, head: &Head) -> Result<(), Error> {
    let moved = connection.prepare_cached(HEAD)?.execute(params![
        signed(head.mark.revision.0),
        head.mark.nonce.0,
        head.time.as_micros(),
        signed(head.entries),
        signed(head.content_bytes),
        swarm_id,
        signed(prev.0),
    ])?;
    affected(moved, 1)
}
