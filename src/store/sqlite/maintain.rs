//! What has to be removed in time: superseded versions, deleted swarms, old outcomes; and which entries are due.
//! Decides nothing about entries: an expiry is a request like any other.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    affected,
    read::find_mark,
    rows::{self, SwarmRow, signed},
    swarms::find,
    writer::Verdict,
};
use crate::{
    domain::{
        apply::RECORD_AGE_MAX,
        namespace::EntryPath,
        swarm::{Mark, Revision, SwarmId},
        time::Timestamp,
    },
    store::{Compaction, Error},
};

pub(super) fn compact(
    connection: &Connection,
    id: &SwarmId,
    floor: Revision,
    rows_max: usize,
) -> Result<Verdict<Compaction>, Error> {
    let swarm = find(connection, id)?;
    let head = swarm.head()?;
    let floor = floor.min(head.mark.revision);
    let floor = if floor > head.floor.revision {
        find_mark(connection, swarm.swarm_id, head, floor)?
    } else {
        head.floor
    };
    let from = swarm.compacted()?;
    if floor == head.floor && from == floor.revision {
        return Ok(Verdict::Rollback(Compaction { floor, removed: 0, more: false }));
    }
    let upto = last_of_pass(connection, &swarm, from, floor.revision, rows_max)?;
    let removed = remove_superseded(connection, swarm.swarm_id, from, upto)?;
    raise_floor(connection, swarm.swarm_id, floor, upto)?;
    Ok(Verdict::Commit(Compaction { floor, removed, more: upto < floor.revision }))
}

/// The revision up to which one pass goes: about `rows_max` rows of the log, and always whole revisions.
fn last_of_pass(
    connection: &Connection,
    swarm: &SwarmRow,
    from: Revision,
    floor: Revision,
    rows_max: usize,
) -> Result<Revision, Error> {
    let last: Option<i64> = connection
        .prepare_cached(
            "SELECT revision FROM log WHERE swarm_id = ?1 AND revision > ?2 AND revision <= ?3 \
             ORDER BY revision, ordinal LIMIT 1 OFFSET ?4",
        )?
        .query_row(
            params![swarm.swarm_id, signed(from.0), signed(floor.0), signed(rows_max.max(1) as u64) - 1],
            |row| row.get(0),
        )
        .optional()?;
    Ok(last.map_or(floor, |last| Revision(last.unsigned_abs())))
}

/// Removes what the versions behind `from`, up to `upto`, supersede: of each entry the one before, because older ones
/// went in earlier passes; and the tombstones among them.
fn remove_superseded(
    connection: &Connection,
    swarm_id: i64,
    from: Revision,
    upto: Revision,
) -> Result<u64, Error> {
    connection.execute_batch(
        "CREATE TEMP TABLE IF NOT EXISTS doomed \
         (namespace TEXT, key TEXT, revision INTEGER, ordinal INTEGER, PRIMARY KEY (namespace, key, revision)) \
         WITHOUT ROWID",
    )?;
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO doomed \
             SELECT v.namespace, v.key, v.revision, v.ordinal FROM log l CROSS JOIN versions v \
             ON v.swarm_id = ?1 AND v.namespace = l.namespace AND v.key = l.key AND v.revision = ( \
                SELECT n.revision FROM versions n WHERE n.swarm_id = ?1 AND n.namespace = l.namespace \
                AND n.key = l.key AND n.revision < l.revision ORDER BY n.revision DESC LIMIT 1) \
             WHERE l.swarm_id = ?1 AND l.revision > ?2 AND l.revision <= ?3 \
             UNION ALL \
             SELECT namespace, key, revision, ordinal FROM log \
             WHERE swarm_id = ?1 AND revision > ?2 AND revision <= ?3 AND change = 1",
        )?
        .execute((swarm_id, signed(from.0), signed(upto.0)))?;
    let versions = connection
        .prepare_cached(
            "DELETE FROM versions WHERE (swarm_id, namespace, key, revision) IN \
             (SELECT ?1, namespace, key, revision FROM doomed)",
        )?
        .execute([swarm_id])?;
    let rows = connection
        .prepare_cached(
            "DELETE FROM log WHERE (swarm_id, revision, ordinal) IN (SELECT ?1, revision, ordinal FROM doomed)",
        )?
        .execute([swarm_id])?;
    connection.prepare_cached("DELETE FROM doomed")?.execute([])?;
    affected(versions, rows)?;
    Ok(rows as u64)
}

fn raise_floor(
    connection: &Connection,
    swarm_id: i64,
    floor: Mark,
    compacted: Revision,
) -> Result<(), Error> {
    let updated = connection
        .prepare_cached(
            "UPDATE heads SET floor_revision = ?2, floor_nonce = ?3, compacted_revision = ?4 WHERE swarm_id = ?1",
        )?
        .execute((swarm_id, signed(floor.revision.0), floor.nonce.0, signed(compacted.0)))?;
    affected(updated, 1)
}

pub(super) fn purge(
    connection: &Connection,
    clock: Timestamp,
    rows_max: usize,
) -> Result<Verdict<bool>, Error> {
    let mut left = rows_max.max(1);
    left -= old_outcomes(connection, clock, left)?;
    let mut more = left == 0;
    while left > 0 {
        let dead: Option<i64> = connection
            .prepare_cached("SELECT swarm_id FROM dead_swarms ORDER BY swarm_id LIMIT 1")?
            .query_row([], |row| row.get(0))
            .optional()?;
        let Some(swarm_id) = dead else { break };
        left -= remains(connection, swarm_id, left)?;
        more = left == 0;
    }
    Ok(Verdict::Commit(more))
}

fn old_outcomes(connection: &Connection, clock: Timestamp, rows_max: usize) -> Result<usize, Error> {
    let age_us = signed(u64::try_from(RECORD_AGE_MAX.as_micros()).unwrap_or(u64::MAX));
    let deleted = connection
        .prepare_cached(
            "DELETE FROM requests WHERE (swarm_id, agent, request_id) IN ( \
                SELECT r.swarm_id, r.agent, r.request_id FROM heads h CROSS JOIN requests r \
                ON r.swarm_id = h.swarm_id AND r.time_us <= max(h.time_us, ?1) - ?2 LIMIT ?3)",
        )?
        .execute((clock.as_micros(), age_us, signed(rows_max as u64)))?;
    Ok(deleted)
}

/// Removes up to `rows_max` rows of a deleted swarm, and in the end the note that there are some.
fn remains(connection: &Connection, swarm_id: i64, rows_max: usize) -> Result<usize, Error> {
    const TABLES: [&str; 4] = [
        "DELETE FROM log WHERE id IN (SELECT id FROM log WHERE swarm_id = ?1 LIMIT ?2)",
        "DELETE FROM versions WHERE (swarm_id, namespace, key, revision) IN \
         (SELECT swarm_id, namespace, key, revision FROM versions WHERE swarm_id = ?1 LIMIT ?2)",
        "DELETE FROM requests WHERE (swarm_id, agent, request_id) IN \
         (SELECT swarm_id, agent, request_id FROM requests WHERE swarm_id = ?1 LIMIT ?2)",
        "DELETE FROM expiries WHERE (swarm_id, expire_us, namespace, key) IN \
         (SELECT swarm_id, expire_us, namespace, key FROM expiries WHERE swarm_id = ?1 LIMIT ?2)",
    ];
    let mut removed = 0;
    for sql in TABLES {
        let left = signed((rows_max - removed) as u64);
        removed += connection.prepare_cached(sql)?.execute((swarm_id, left))?;
        if removed >= rows_max {
            return Ok(removed);
        }
    }
    let forgotten =
        connection.prepare_cached("DELETE FROM dead_swarms WHERE swarm_id = ?1")?.execute([swarm_id])?;
    affected(forgotten, 1)?;
    Ok(removed)
}

pub(super) fn expiring(
    connection: &Connection,
    clock: Timestamp,
    after: Option<&SwarmId>,
    limit: usize,
) -> Result<Vec<SwarmId>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT name FROM heads WHERE next_expiry_us <= max(time_us, ?1) AND name > ?2 ORDER BY name LIMIT ?3",
    )?;
    let after = after.map_or("", SwarmId::as_str);
    let names = statement.query_map((clock.as_micros(), after, signed(limit as u64)), |row| {
        Ok(SwarmId::trusted(row.get_ref(0)?.as_str()?))
    })?;
    Ok(names.collect::<Result<_, _>>()?)
}

pub(super) fn expired(
    connection: &Connection,
    id: &SwarmId,
    clock: Timestamp,
    limit: usize,
) -> Result<Vec<EntryPath>, Error> {
    let swarm = find(connection, id)?;
    let now = swarm.head()?.now(clock).as_micros();
    let mut statement = connection.prepare_cached(
        "SELECT namespace, key FROM expiries WHERE swarm_id = ?1 AND expire_us <= ?2 \
         ORDER BY expire_us, namespace, key LIMIT ?3",
    )?;
    let due = statement.query_map((swarm.swarm_id, now, signed(limit as u64)), |row| {
        Ok(rows::path(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?))
    })?;
    Ok(due.collect::<Result<_, _>>()?)
}
