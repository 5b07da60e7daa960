//! A commit from its lock to its outcome, in two round trips: BEGIN goes with the lock, COMMIT with the rows. Knows
//! nothing of what a request means.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::{join, join4};
use tokio_postgres::{Row, types::Type};

use super::{
    connect::{Connection, Param, Sql},
    failure::Failure,
    persist,
    pool::Pool,
    rows::{self, SWARM, get, range_end, shard, signed, uuid},
};
use crate::{
    domain::{
        apply::{Applied, Loaded},
        namespace::Prefix,
        request::Footprint,
        swarm::{Head, Incarnation, Mark, Nonce, Revision, SwarmId},
        time::{Clock, Timestamp},
    },
    store::{Batch, CommitError, Error},
};

static LOCK_AND_LOAD: Sql = Sql {
    text: "SELECT * FROM swarmem.lock_and_load_2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    types: &[
        Type::INT8,
        Type::TEXT,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::INT8_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::TEXT_ARRAY,
        Type::INT8_ARRAY,
    ],
};

static COMMITTED: Sql = Sql {
    text: "SELECT EXISTS (SELECT 1 FROM (SELECT l.nonce FROM swarmem.log l WHERE l.swarm_id = $1 AND l.revision > $3 \
       AND l.life = (SELECT h.life FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2) \
       ORDER BY l.revision, l.ordinal) l WHERE l.nonce = $4) AS found",
    types: &[Type::INT8, Type::TEXT, Type::INT8, Type::UUID],
};

static LOCK: Sql = Sql {
    text: "SELECT h.life FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2 FOR UPDATE",
    types: &SWARM,
};

/// Commits a batch. `clock` is none where the database's own is read, under the lock.
pub(super) async fn commit(
    pool: &Arc<Pool>,
    clock: Option<&dyn Clock>,
    id: &SwarmId,
    batch: &Batch,
) -> Result<Applied, CommitError> {
    let mut lease = pool.lease().await.map_err(Failure::error)?;
    let footprint = batch.footprint();
    let asked = Instant::now();
    let rows = match lease.deadline().bound(lock_and_load(lease.connection(), id, &footprint)).await {
        Ok(rows) => rows,
        Err(failure) => return Err(lease.give_up(failure).await.error().into()),
    };
    let Locked { life, loaded, clock: database_clock, waited } = match decode(&rows, &footprint) {
        Ok(Some(locked)) => locked,
        nothing => {
            lease.undo().await;
            return Err(nothing.err().unwrap_or(Error::SwarmNotFound).into());
        }
    };
    batch.progress.locked_at(asked + waited);
    let applied = batch.apply(loaded, clock.map_or(database_clock, Clock::now));
    if applied.commit.is_none() {
        lease.undo().await;
        return Ok(applied);
    }
    let persisted = lease
        .deadline()
        .bound(persist::persist(lease.connection(), id, life, &applied, &batch.progress))
        .await;
    match lease.finish(persisted).await {
        Ok(()) => Ok(applied),
        // The COMMIT behind it was a ROLLBACK.
        Err(failure) if failure.aborted() => Err(failure.error().into()),
        Err(failure) => Err(CommitError::Unknown { applied: Box::new(applied), cause: failure.cause() }),
    }
}

/// One round trip: BEGIN, and the function that takes the lock and loads behind it.
async fn lock_and_load(
    connection: &mut Connection,
    id: &SwarmId,
    footprint: &Footprint,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let text = |namespace: bool| {
        let names = footprint.entries.keys();
        names.map(|p| if namespace { p.namespace.as_str() } else { p.key.as_str() }).collect::<Vec<_>>()
    };
    let (namespaces, keys) = (text(true), text(false));
    let contents_max: Vec<i64> = footprint.entries.values().copied().map(signed).collect();
    let agents: Vec<&str> = footprint.records.iter().map(|r| r.agent.as_str()).collect();
    let ids: Vec<&str> = footprint.records.iter().map(|r| r.id.as_str()).collect();
    let ranges: Vec<_> = footprint.prefixes.keys().flat_map(Prefix::ranges).collect();
    let starts: Vec<&str> = ranges.iter().map(|r| r.start.as_str()).collect();
    let ends: Vec<String> = ranges.iter().map(|r| range_end(r.end.as_deref())).collect();
    // One more than wanted tells whether there are more.
    let limits: Vec<i64> =
        footprint.prefixes.values().map(|&limit| signed(limit.saturating_add(1))).collect();
    let (shard, name) = (shard(id), id.as_str());
    let values: [Param<'_>; 10] =
        [&shard, &name, &namespaces, &keys, &contents_max, &agents, &ids, &starts, &ends, &limits];
    // Both are prepared before anything is locked.
    connection.ready(&persist::PERSIST).await?;
    let ready = connection.ready(&LOCK_AND_LOAD).await?;
    let (begun, rows) = join(connection.begin(), connection.query(&ready, &values)).await;
    begun?;
    rows
}

/// What stands under the lock.
struct Locked {
    life: i64,
    loaded: Loaded,
    /// The database's.
    clock: Timestamp,
    /// How long the lock took.
    waited: Duration,
}

/// None: there is no such swarm.
fn decode(rows: &[Row], footprint: &Footprint) -> Result<Option<Locked>, Error> {
    let Some((first, rest)) = rows.split_first() else { return Ok(None) };
    let head = head(first)?;
    let limits: Vec<(&Prefix, usize)> =
        footprint.prefixes.iter().map(|(prefix, &limit)| (prefix, limit)).collect();
    let mut below = vec![0_usize; limits.len()];
    let mut loaded =
        Loaded { head, entries: BTreeMap::new(), truncated: HashMap::new(), records: HashMap::new() };
    let mut last = None;
    for row in rest {
        match get::<i16>(row, "kind")? {
            1 => {
                let place = usize::try_from(get::<i32>(row, "place")?).map_err(rows::corrupt)?;
                let (prefix, limit) =
                    *limits.get(place).ok_or_else(|| rows::corrupt("a row out of place"))?;
                below[place] += 1;
                if below[place] > limit {
                    loaded.truncated.extend(last.take().map(|path| (prefix.clone(), path)));
                    continue;
                }
                let version = rows::version(row)?;
                last = Some(version.path.clone());
                loaded.entries.insert(version.path.clone(), Arc::new(version));
            }
            2 => {
                let version = rows::version(row)?;
                loaded.entries.insert(version.path.clone(), Arc::new(version));
            }
            3 => loaded.records.extend([rows::record(row)?]),
            other => return Err(rows::corrupt(format!("a row of unknown kind {other}"))),
        }
    }
    let clock = Timestamp::from_micros(get(first, "clock_us")?);
    let waited = Duration::from_micros(rows::unsigned(get(first, "waited_us")?)?);
    Ok(Some(Locked { life: get(first, "life")?, loaded, clock, waited }))
}

fn head(row: &Row) -> Result<Head, Error> {
    Ok(Head {
        incarnation: Incarnation(get(row, "incarnation")?),
        mark: rows::mark(row)?,
        time: Timestamp::from_micros(get(row, "time_us")?),
        floor: Mark {
            revision: Revision(rows::unsigned(get(row, "floor_revision")?)?),
            nonce: Nonce(get::<uuid::Uuid>(row, "floor_nonce")?.into_bytes()),
        },
        entries: rows::unsigned(get(row, "entries")?)?,
        content_bytes: rows::unsigned(get(row, "content_bytes")?)?,
    })
}

/// Takes the head's lock, which a commit that is still under way holds, and looks for the nonce behind it.
pub(super) async fn is_committed(
    pool: &Arc<Pool>,
    id: &SwarmId,
    nonce: Nonce,
    after: Revision,
) -> Result<bool, Error> {
    let mut lease = pool.lease().await.map_err(Failure::error)?;
    let deadline = lease.deadline();
    let asked = deadline.bound(lock_and_look(lease.connection(), id, nonce, after)).await;
    let (locked, found) = lease.finish(asked).await.map_err(Failure::error)?;
    if locked.is_empty() {
        return Err(Error::SwarmNotFound);
    }
    get(found.first().ok_or_else(|| rows::corrupt("an answer without a row"))?, "found")
}

async fn lock_and_look(
    connection: &mut Connection,
    id: &SwarmId,
    nonce: Nonce,
    after: Revision,
) -> Result<(Vec<Row>, Vec<Row>), tokio_postgres::Error> {
    let (lock, committed) = (connection.ready(&LOCK).await?, connection.ready(&COMMITTED).await?);
    let (shard, name, after, nonce) = (shard(id), id.as_str(), signed(after.0), uuid(nonce));
    let values: [Param<'_>; 4] = [&shard, &name, &after, &nonce];
    let (begun, locked, found, ended) = join4(
        connection.begin(),
        connection.query(&lock, &values[..2]),
        connection.query(&committed, &values),
        connection.commit(),
    )
    .await;
    begun?;
    let answer = (locked?, found?);
    ended?;
    Ok(answer)
}
