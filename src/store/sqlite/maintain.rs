//! What has to be removed in time: superseded versions, deleted swarms, old outcomes; and which entries are due.
//! Decides nothing about entries: an expiry is a request like any other.

use sqlx::{Row as _, SqliteConnection};

use super::{
    affected,
    connections::Connections,
    error,
    read::find_mark,
    rows::{self, SwarmRow, signed},
    swarms::{begin_read, begin_write},
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

pub(super) async fn compact(
    connections: &Connections,
    id: &SwarmId,
    floor: Revision,
    rows_max: usize,
) -> Result<Compaction, Error> {
    let (mut writer, swarm) = begin_write(connections, id).await?;
    let head = swarm.head()?;
    let floor = floor.min(head.mark.revision);
    let floor = if floor > head.floor.revision {
        find_mark(writer.connection(), swarm.swarm_id, head, floor).await?
    } else {
        head.floor
    };
    let from = swarm.compacted()?;
    if floor == head.floor && from == floor.revision {
        writer.rollback().await?;
        return Ok(Compaction { floor, removed: 0, more: false });
    }
    let upto = last_of_pass(writer.connection(), &swarm, from, floor.revision, rows_max).await?;
    let removed = remove_superseded(writer.connection(), swarm.swarm_id, from, upto).await?;
    raise_floor(writer.connection(), swarm.swarm_id, floor, upto).await?;
    writer.commit().await?;
    Ok(Compaction { floor, removed, more: upto < floor.revision })
}

/// The revision up to which one pass goes: about `rows_max` rows of the log, and always whole revisions.
async fn last_of_pass(
    connection: &mut SqliteConnection,
    swarm: &SwarmRow,
    from: Revision,
    floor: Revision,
    rows_max: usize,
) -> Result<Revision, Error> {
    let last: Option<i64> = sqlx::query_scalar(
        "SELECT revision FROM log WHERE swarm_id = ?1 AND revision > ?2 AND revision <= ?3 \
         ORDER BY revision, ordinal LIMIT 1 OFFSET ?4",
    )
    .bind(swarm.swarm_id)
    .bind(signed(from.0))
    .bind(signed(floor.0))
    .bind(signed(rows_max.max(1) as u64) - 1)
    .fetch_optional(connection)
    .await
    .map_err(error)?;
    Ok(last.map_or(floor, |last| Revision(last.unsigned_abs())))
}

/// Removes what the versions behind `from`, up to `upto`, supersede: of each entry the one before, because older ones
/// went in earlier passes; and the tombstones among them.
async fn remove_superseded(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    from: Revision,
    upto: Revision,
) -> Result<u64, Error> {
    sqlx::query(
        "CREATE TEMP TABLE IF NOT EXISTS doomed \
         (namespace TEXT, key TEXT, revision INTEGER, ordinal INTEGER, PRIMARY KEY (namespace, key, revision)) \
         WITHOUT ROWID; \
         INSERT OR IGNORE INTO doomed \
         SELECT v.namespace, v.key, v.revision, v.ordinal FROM log l CROSS JOIN versions v \
         ON v.swarm_id = ?1 AND v.namespace = l.namespace AND v.key = l.key AND v.revision = ( \
            SELECT n.revision FROM versions n WHERE n.swarm_id = ?1 AND n.namespace = l.namespace \
            AND n.key = l.key AND n.revision < l.revision ORDER BY n.revision DESC LIMIT 1) \
         WHERE l.swarm_id = ?1 AND l.revision > ?2 AND l.revision <= ?3 \
         UNION ALL \
         SELECT namespace, key, revision, ordinal FROM log \
         WHERE swarm_id = ?1 AND revision > ?2 AND revision <= ?3 AND change = 1",
    )
    .bind(swarm_id)
    .bind(signed(from.0))
    .bind(signed(upto.0))
    .execute(&mut *connection)
    .await
    .map_err(error)?;
    let versions = sqlx::query(
        "DELETE FROM versions WHERE (swarm_id, namespace, key, revision) IN \
         (SELECT ?1, namespace, key, revision FROM doomed)",
    )
    .bind(swarm_id)
    .execute(&mut *connection)
    .await
    .map_err(error)?
    .rows_affected();
    let rows = sqlx::query(
        "DELETE FROM log WHERE (swarm_id, revision, ordinal) IN (SELECT ?1, revision, ordinal FROM doomed)",
    )
    .bind(swarm_id)
    .execute(&mut *connection)
    .await
    .map_err(error)?
    .rows_affected();
    sqlx::query("DELETE FROM doomed").execute(connection).await.map_err(error)?;
    affected(versions, usize::try_from(rows).unwrap_or(usize::MAX))?;
    Ok(rows)
}

async fn raise_floor(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    floor: Mark,
    compacted: Revision,
) -> Result<(), Error> {
    let updated = sqlx::query(
        "UPDATE heads SET floor_revision = ?2, floor_nonce = ?3, compacted_revision = ?4 WHERE swarm_id = ?1",
    )
    .bind(swarm_id)
    .bind(signed(floor.revision.0))
    .bind(floor.nonce.0.as_slice())
    .bind(signed(compacted.0))
    .execute(connection)
    .await
    .map_err(error)?;
    affected(updated.rows_affected(), 1)
}

pub(super) async fn purge(
    connections: &Connections,
    clock: Timestamp,
    rows_max: usize,
) -> Result<bool, Error> {
    let mut writer = connections.begin().await?;
    let mut left = signed(rows_max.max(1) as u64);
    let outcomes = old_outcomes(writer.connection(), clock, left).await?;
    left -= outcomes;
    let mut more = left == 0;
    while left > 0 {
        let dead: Option<i64> =
            sqlx::query_scalar("SELECT swarm_id FROM dead_swarms ORDER BY swarm_id LIMIT 1")
                .fetch_optional(writer.connection())
                .await
                .map_err(error)?;
        let Some(swarm_id) = dead else { break };
        left -= remains(writer.connection(), swarm_id, left).await?;
        more = left <= 0;
    }
    writer.commit().await?;
    Ok(more)
}

async fn old_outcomes(
    connection: &mut SqliteConnection,
    clock: Timestamp,
    rows_max: i64,
) -> Result<i64, Error> {
    let age_us = signed(u64::try_from(RECORD_AGE_MAX.as_micros()).unwrap_or(u64::MAX));
    let deleted = sqlx::query(
        "DELETE FROM requests WHERE (swarm_id, agent, request_id) IN ( \
            SELECT r.swarm_id, r.agent, r.request_id FROM heads h CROSS JOIN requests r \
            ON r.swarm_id = h.swarm_id AND r.time_us <= max(h.time_us, ?1) - ?2 LIMIT ?3)",
    )
    .bind(clock.as_micros())
    .bind(age_us)
    .bind(rows_max)
    .execute(connection)
    .await
    .map_err(error)?;
    Ok(signed(deleted.rows_affected()))
}

/// Removes up to `rows_max` rows of a deleted swarm, and in the end the note that there are some.
async fn remains(connection: &mut SqliteConnection, swarm_id: i64, rows_max: i64) -> Result<i64, Error> {
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
        let deleted = sqlx::query(sql)
            .bind(swarm_id)
            .bind(rows_max - removed)
            .execute(&mut *connection)
            .await
            .map_err(error)?;
        removed += signed(deleted.rows_affected());
        if removed >= rows_max {
            return Ok(removed);
        }
    }
    let forgotten = sqlx::query("DELETE FROM dead_swarms WHERE swarm_id = ?1")
        .bind(swarm_id)
        .execute(connection)
        .await
        .map_err(error)?;
    affected(forgotten.rows_affected(), 1)?;
    Ok(removed)
}

pub(super) async fn expiring(
    connections: &Connections,
    clock: Timestamp,
    after: Option<&SwarmId>,
    limit: usize,
) -> Result<Vec<SwarmId>, Error> {
    let mut reader = connections.reader().await?;
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM heads WHERE next_expiry_us <= max(time_us, ?1) AND name > ?2 ORDER BY name LIMIT ?3",
    )
    .bind(clock.as_micros())
    .bind(after.map_or("", SwarmId::as_str))
    .bind(signed(limit as u64))
    .fetch_all(reader.connection())
    .await
    .map_err(error)?;
    reader.release();
    Ok(names.iter().map(|name| SwarmId::trusted(name)).collect())
}

pub(super) async fn expired(
    connections: &Connections,
    id: &SwarmId,
    clock: Timestamp,
    limit: usize,
) -> Result<Vec<EntryPath>, Error> {
    let (mut reader, swarm) = begin_read(connections, id).await?;
    let due = sqlx::query(
        "SELECT namespace, key FROM expiries WHERE swarm_id = ?1 AND expire_us <= ?2 \
         ORDER BY expire_us, namespace, key LIMIT ?3",
    )
    .bind(swarm.swarm_id)
    .bind(swarm.head()?.now(clock).as_micros())
    .bind(signed(limit as u64))
    .fetch_all(reader.connection())
    .await
    .map_err(error)?;
    reader.end().await?;
    let path = |row| -> Result<_, sqlx::Error> {
        let row: &sqlx::sqlite::SqliteRow = row;
        Ok(rows::path(row.try_get(0)?, row.try_get(1)?))
    };
    due.iter().map(path).collect::<Result<_, _>>().map_err(error)
}
