//! What has to be removed in time: superseded versions, deleted swarms, old outcomes; and which entries are due.
//! Decides nothing about entries: an expiry is a request like any other.

use std::sync::Arc;

use futures_util::future::{join4, join5};
use tokio_postgres::{Row, types::Type};

use super::{
    connect::{Connection, Param, Sql},
    failure::Failure,
    pool::Pool,
    read::with_head,
    rows::{self, SWARM, SwarmRow, get, shard, signed},
    swarms::{HEAD, one},
};
use crate::{
    domain::{
        apply::RECORD_AGE_MAX,
        namespace::EntryPath,
        swarm::{Revision, SwarmId},
        time::Timestamp,
    },
    store::{Compaction, Error},
};

static LOCK: Sql = Sql {
    text: "SELECT h.life FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2 FOR UPDATE",
    types: &SWARM,
};

/// Raises the floor, if it is below. Behind the lock, so that the log is read as of the head.
static RAISE: Sql = Sql {
    text: "UPDATE swarmem.heads h SET floor_revision = least($3, h.revision), \
     floor_nonce = CASE WHEN $3 >= h.revision THEN h.nonce ELSE \
       (SELECT l.nonce FROM swarmem.log l WHERE l.swarm_id = $1 AND l.life = h.life AND l.revision = $3 \
        ORDER BY l.revision, l.ordinal LIMIT 1) END \
     WHERE h.swarm_id = $1 AND h.name = $2 AND h.floor_revision < least($3, h.revision)",
    types: &[Type::INT8, Type::TEXT, Type::INT8],
};

/// The revision up to which one pass goes: about so many rows of the log, and always whole revisions.
static LAST_OF_PASS: Sql = Sql {
    text: "SELECT l.revision FROM swarmem.log l WHERE l.swarm_id = $1 AND l.life = $2 AND l.revision > $3 \
     AND l.revision <= $4 ORDER BY l.revision, l.ordinal OFFSET $5 LIMIT 1",
    types: &[Type::INT8, Type::INT8, Type::INT8, Type::INT8, Type::INT8],
};

/// Removes what the versions behind `$3`, up to `$4`, supersede: among themselves, and of each entry the one before them,
/// because older ones went in earlier passes; and the tombstones among them. Rows of the log never change, so where they
/// are names them; nothing else does, or the planner goes through all of the swarm to look for them.
static REMOVE: Sql = Sql {
    text: "WITH due AS (\
       SELECT l.ctid AS place, l.namespace, l.key, l.change <> 0 OR lead(true, 1, false) OVER e AS doomed, \
         row_number() OVER e = 1 AS first \
       FROM (SELECT l.ctid, l.* FROM swarmem.log l \
         WHERE l.swarm_id = $1 AND l.life = $2 AND l.revision > $3 AND l.revision <= $4 \
         ORDER BY l.revision, l.ordinal) l \
       WINDOW e AS (PARTITION BY l.namespace, l.key ORDER BY l.revision)\
     ), gone AS (\
       DELETE FROM swarmem.log l WHERE l.ctid = ANY (ARRAY(\
         SELECT d.place FROM due d WHERE d.doomed UNION ALL \
         SELECT p.ctid FROM due d CROSS JOIN LATERAL (SELECT n.ctid FROM swarmem.log n \
           WHERE n.swarm_id = $1 AND n.life = $2 AND n.revision <= $3 \
             AND n.namespace = d.namespace AND n.key BETWEEN d.key AND d.key \
           ORDER BY n.key, n.revision DESC LIMIT 1) p \
         WHERE d.first)) RETURNING l.revision\
     ) SELECT count(*) AS removed FROM gone",
    types: &[Type::INT8, Type::INT8, Type::INT8, Type::INT8],
};

static COMPACTED: Sql = Sql {
    text: "UPDATE swarmem.heads h SET compacted_revision = greatest(h.compacted_revision, $3) \
     WHERE h.swarm_id = $1 AND h.life = $2",
    types: &[Type::INT8, Type::INT8, Type::INT8],
};

/// First the floor, in a short transaction of its own; then the removal, which holds no lock of the swarm until its
/// end. What is removed nobody at or above the floor can see, so writers and readers go on meanwhile.
pub(super) async fn compact(
    pool: &Arc<Pool>,
    id: &SwarmId,
    floor: Revision,
    rows_max: usize,
) -> Result<Compaction, Error> {
    let mut lease = pool.lease().await.map_err(Failure::error)?;
    let deadline = lease.deadline();
    let raised = deadline.bound(raise(lease.connection(), id, floor)).await;
    let rows = lease.finish(raised).await.map_err(Failure::outcome)?;
    let swarm = SwarmRow::read(rows.first().ok_or(Error::SwarmNotFound)?)?;
    let (floor, from) = (swarm.head().floor, swarm.swarm.compacted);
    if from >= floor.revision {
        return Ok(Compaction { floor, removed: 0, more: false });
    }
    let shard = shard(id);
    let offset = signed(rows_max.max(1)) - 1;
    let values: [Param<'_>; 5] = [&shard, &swarm.life, &signed(from.0), &signed(floor.revision.0), &offset];
    let last = one(pool, &LAST_OF_PASS, &values, Failure::error).await?;
    let upto = match last.first() {
        Some(row) => rows::revision(row)?,
        None => floor.revision,
    };
    let mut lease = pool.lease().await.map_err(Failure::error)?;
    let deadline = lease.deadline();
    let removed = deadline.bound(remove(lease.connection(), shard, swarm.life, from, upto)).await;
    let removed = lease.finish(removed).await.map_err(Failure::outcome)?;
    let removed = removed.first().map_or(Ok(0), |row| get::<i64>(row, "removed"))?;
    Ok(Compaction { floor, removed: rows::unsigned(removed)?, more: upto < floor.revision })
}

async fn raise(
    connection: &mut Connection,
    id: &SwarmId,
    floor: Revision,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let (lock, raise) = (connection.ready(&LOCK).await?, connection.ready(&RAISE).await?);
    let head = connection.ready(&HEAD).await?;
    let (shard, name, floor) = (shard(id), id.as_str(), signed(floor.0));
    let values: [Param<'_>; 3] = [&shard, &name, &floor];
    let (begun, locked, raised, head, ended) = join5(
        connection.begin(),
        connection.query(&lock, &values[..2]),
        connection.query(&raise, &values),
        connection.query(&head, &values[..2]),
        connection.commit(),
    )
    .await;
    begun?;
    locked?;
    raised?;
    let head = head?;
    ended?;
    Ok(head)
}

async fn remove(
    connection: &mut Connection,
    shard: i64,
    life: i64,
    from: Revision,
    upto: Revision,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let (remove, compacted) = (connection.ready(&REMOVE).await?, connection.ready(&COMPACTED).await?);
    let (from, upto) = (signed(from.0), signed(upto.0));
    let pass: [Param<'_>; 4] = [&shard, &life, &from, &upto];
    let done: [Param<'_>; 3] = [&shard, &life, &upto];
    let (begun, removed, noted, ended) = join4(
        connection.begin(),
        connection.query(&remove, &pass),
        connection.query(&compacted, &done),
        connection.commit(),
    )
    .await;
    begun?;
    let removed = removed?;
    noted?;
    ended?;
    Ok(removed)
}

/// Swarms whose oldest outcome is too old.
static OUTDATED: Sql = Sql {
    text: "SELECT h.swarm_id, h.life, h.name, n.upto FROM swarmem.heads h CROSS JOIN LATERAL \
       (SELECT greatest(h.time_us, coalesce($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)) - $2 \
        AS upto) n WHERE h.oldest_request_us <= n.upto LIMIT $3",
    types: &[Type::INT8, Type::INT8, Type::INT8],
};

static FORGET: Sql = Sql {
    text: "WITH gone AS (DELETE FROM swarmem.requests r WHERE r.ctid = ANY (ARRAY(SELECT o.ctid FROM swarmem.requests o \
         WHERE o.swarm_id = $1 AND o.life = $2 AND o.time_us <= $3 ORDER BY o.time_us LIMIT $4)) \
       RETURNING r.time_us) SELECT count(*) AS removed FROM gone",
    types: &[Type::INT8, Type::INT8, Type::INT8, Type::INT8],
};

static OLDEST: Sql = Sql {
    text: "UPDATE swarmem.heads h SET oldest_request_us = \
       (SELECT r.time_us FROM swarmem.requests r WHERE r.swarm_id = $1 AND r.life = $2 ORDER BY r.time_us LIMIT 1) \
     WHERE h.swarm_id = $1 AND h.life = $2",
    types: &[Type::INT8, Type::INT8],
};

static DEAD: Sql = Sql {
    text: "SELECT d.swarm_id, d.life FROM swarmem.dead_swarms d ORDER BY d.swarm_id, d.life LIMIT 1",
    types: &[],
};

/// How many swarms one purge looks at; with more to do it is called again.
const SWARMS_MAX: i64 = 64;

pub(super) async fn purge(
    pool: &Arc<Pool>,
    clock: Option<Timestamp>,
    rows_max: usize,
) -> Result<bool, Error> {
    let mut left = signed(rows_max.max(1));
    let age_us = signed(RECORD_AGE_MAX.as_micros());
    let clock = clock.map(Timestamp::as_micros);
    let outdated = one(pool, &OUTDATED, &[&clock, &age_us, &SWARMS_MAX], Failure::error).await?;
    for row in &outdated {
        left -= forget(pool, row, left).await?;
        if left <= 0 {
            return Ok(true);
        }
    }
    while let Some(dead) = one(pool, &DEAD, &[], Failure::error).await?.first() {
        left -= remains(pool, get(dead, "swarm_id")?, get(dead, "life")?, left).await?.max(1);
        if left <= 0 {
            return Ok(true);
        }
    }
    Ok(signed(outdated.len()) == SWARMS_MAX)
}

/// Removes outcomes of one swarm that are too old, and notes its oldest under its lock.
async fn forget(pool: &Arc<Pool>, swarm: &Row, rows_max: i64) -> Result<i64, Error> {
    let (shard, life): (i64, i64) = (get(swarm, "swarm_id")?, get(swarm, "life")?);
    let (name, upto): (&str, i64) = (get(swarm, "name")?, get(swarm, "upto")?);
    let mut lease = pool.lease().await.map_err(Failure::error)?;
    let deadline = lease.deadline();
    let connection = lease.connection();
    let work = async {
        let (lock, forget) = (connection.ready(&LOCK).await?, connection.ready(&FORGET).await?);
        let oldest = connection.ready(&OLDEST).await?;
        let values: [Param<'_>; 4] = [&shard, &life, &upto, &rows_max];
        let names: [Param<'_>; 2] = [&shard, &name];
        let (begun, locked, gone, noted, ended) = join5(
            connection.begin(),
            connection.query(&lock, &names),
            connection.query(&forget, &values),
            connection.query(&oldest, &values[..2]),
            connection.commit(),
        )
        .await;
        begun?;
        locked?;
        let gone = gone?;
        noted?;
        ended?;
        Ok(gone)
    };
    let gone = deadline.bound(work).await;
    let gone = lease.finish(gone).await.map_err(Failure::outcome)?;
    gone.first().map_or(Ok(0), |row| get(row, "removed"))
}

/// Removes up to `rows_max` rows of a deleted swarm, and in the end the note that there are some.
async fn remains(pool: &Arc<Pool>, shard: i64, life: i64, rows_max: i64) -> Result<i64, Error> {
    const TYPES: &[Type] = &[Type::INT8, Type::INT8, Type::INT8];
    macro_rules! remove {
        ($table:literal) => {
            Sql {
                text: concat!(
                    "WITH gone AS (DELETE FROM swarmem.",
                    $table,
                    " t WHERE t.ctid = ANY (ARRAY(SELECT o.ctid FROM swarmem.",
                    $table,
                    " o WHERE o.swarm_id = $1 AND o.life = $2 LIMIT $3)) RETURNING 1) \
                     SELECT count(*) AS removed FROM gone"
                ),
                types: TYPES,
            }
        };
    }
    static TABLES: [Sql; 3] = [remove!("log"), remove!("requests"), remove!("expiries")];
    static DONE: Sql = Sql {
        text: "DELETE FROM swarmem.dead_swarms d WHERE d.swarm_id = $1 AND d.life = $2",
        types: &[Type::INT8, Type::INT8],
    };
    let mut removed = 0;
    for sql in &TABLES {
        let gone = one(pool, sql, &[&shard, &life, &(rows_max - removed)], Failure::outcome).await?;
        removed += gone.first().map_or(Ok(0), |row| get::<i64>(row, "removed"))?;
        if removed >= rows_max {
            return Ok(removed);
        }
    }
    one(pool, &DONE, &[&shard, &life], Failure::outcome).await?;
    Ok(removed)
}

static EXPIRED: Sql = Sql {
    text: "SELECT e.namespace, e.key FROM swarmem.expiries e WHERE e.swarm_id = $1 \
     AND e.life = (SELECT h.life FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2) \
     AND e.expire_us <= (SELECT greatest(h.time_us, \
       coalesce($3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)) \
       FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2) \
     ORDER BY e.expire_us, e.namespace, e.key LIMIT $4",
    types: &[Type::INT8, Type::TEXT, Type::INT8, Type::INT8],
};

pub(super) async fn expired(
    pool: &Arc<Pool>,
    id: &SwarmId,
    clock: Option<Timestamp>,
    limit: usize,
) -> Result<Vec<EntryPath>, Error> {
    let clock = clock.map(Timestamp::as_micros);
    let (_, due) = with_head(pool, id, &EXPIRED, &[&clock, &signed(limit)]).await?;
    due.iter().map(rows::path).collect()
}
