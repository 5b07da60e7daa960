//! Swarms as a whole: their creation, their deletion, their heads. Knows nothing of entries.

use std::sync::Arc;

use tokio_postgres::{Row, types::Type};
use uuid::Uuid;

use super::{
    connect::{Param, Sql},
    failure::Failure,
    pool::Pool,
    rows::{SWARM, SwarmRow, get, shard, signed, swarm_columns},
};
use crate::{
    domain::{
        swarm::{Head, Retention, Swarm, SwarmId},
        time::{Clock, Timestamp},
    },
    store::Error,
};

/// A head by the swarm's names.
pub(super) static HEAD: Sql = Sql {
    text: concat!("SELECT ", swarm_columns!(), " FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2"),
    types: &SWARM,
};

/// One statement, in a transaction of its own.
pub(super) async fn one(
    pool: &Arc<Pool>,
    sql: &'static Sql,
    values: &[Param<'_>],
    failed: fn(Failure) -> Error,
) -> Result<Vec<Row>, Error> {
    let mut lease = pool.lease().await.map_err(Failure::error)?;
    let deadline = lease.deadline();
    let ready = match deadline.bound(lease.connection().ready(sql)).await {
        Ok(ready) => ready,
        Err(failure) => return Err(lease.give_up(failure).await.error()),
    };
    let rows = deadline.bound(lease.connection().alone(&ready, values)).await;
    lease.finish(rows).await.map_err(failed)
}

static PING: Sql = Sql { text: "SELECT s.name FROM swarmem.settings s WHERE s.name = 'ping'", types: &[] };

pub(super) async fn ping(pool: &Arc<Pool>) -> Result<(), Error> {
    one(pool, &PING, &[], Failure::error).await.map(drop)
}

static PING_WRITE: Sql = Sql {
    text: "UPDATE swarmem.settings s SET value = '' WHERE s.name = 'ping' RETURNING s.name",
    types: &[],
};

pub(super) async fn ping_write(pool: &Arc<Pool>) -> Result<(), Error> {
    let rows = one(pool, &PING_WRITE, &[], Failure::outcome).await?;
    if rows.len() == 1 { Ok(()) } else { Err(Error::Corrupt("a setting is missing".into())) }
}

static CREATE: Sql = Sql {
    text: concat!(
        "INSERT INTO swarmem.heads AS h (swarm_id, name, life, incarnation, nonce, floor_nonce, retention_age_us, \
         retention_revisions, time_us, create_time_us, revision, floor_revision, compacted_revision, entries, \
         content_bytes) SELECT $1, $2, $3, $4, $5, $5, $6, $7, n.now_us, n.now_us, 0, 0, 0, 0, 0 \
         FROM (SELECT coalesce($8, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us) n \
         ON CONFLICT (swarm_id, name) DO NOTHING RETURNING ",
        swarm_columns!()
    ),
    types: &[Type::INT8, Type::TEXT, Type::INT8, Type::UUID, Type::UUID, Type::INT8, Type::INT8, Type::INT8],
};

pub(super) async fn create(
    pool: &Arc<Pool>,
    id: &SwarmId,
    retention: Retention,
    clock: Option<&dyn Clock>,
) -> Result<Swarm, Error> {
    let (life, _) = Uuid::new_v4().as_u64_pair();
    // Where a UUID says that it is random, it is not.
    let (_, more) = Uuid::new_v4().as_u64_pair();
    let life = (life ^ more.rotate_left(32)).cast_signed();
    let now = clock.map(|clock| clock.now().as_micros());
    let age_us = signed(retention.age.as_micros());
    let (incarnation, nonce) = (Uuid::new_v4(), Uuid::new_v4());
    let values: [Param<'_>; 8] =
        [&shard(id), &id.as_str(), &life, &incarnation, &nonce, &age_us, &signed(retention.revisions), &now];
    let rows = one(pool, &CREATE, &values, Failure::outcome).await?;
    Ok(SwarmRow::read(rows.first().ok_or(Error::SwarmExists)?)?.swarm)
}

pub(super) async fn find(pool: &Arc<Pool>, id: &SwarmId) -> Result<SwarmRow, Error> {
    let rows = one(pool, &HEAD, &[&shard(id), &id.as_str()], Failure::error).await?;
    SwarmRow::read(rows.first().ok_or(Error::SwarmNotFound)?)
}

static LIST: Sql = Sql {
    text: concat!(
        "SELECT ",
        swarm_columns!(),
        " FROM swarmem.heads h WHERE h.name > $1 ORDER BY h.name LIMIT $2"
    ),
    types: &[Type::TEXT, Type::INT8],
};

pub(super) async fn list(
    pool: &Arc<Pool>,
    after: Option<&SwarmId>,
    limit: usize,
) -> Result<Vec<Swarm>, Error> {
    let values: [Param<'_>; 2] = [&after.map_or("", SwarmId::as_str), &signed(limit)];
    let rows = one(pool, &LIST, &values, Failure::error).await?;
    rows.iter().map(|row| Ok(SwarmRow::read(row)?.swarm)).collect()
}

static DELETE: Sql = Sql {
    text: "WITH gone AS (DELETE FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2 \
           RETURNING h.swarm_id, h.life) \
     INSERT INTO swarmem.dead_swarms (swarm_id, life) SELECT g.swarm_id, g.life FROM gone g RETURNING life",
    types: &SWARM,
};

pub(super) async fn delete(pool: &Arc<Pool>, id: &SwarmId) -> Result<(), Error> {
    let rows = one(pool, &DELETE, &[&shard(id), &id.as_str()], Failure::outcome).await?;
    if rows.is_empty() { Err(Error::SwarmNotFound) } else { Ok(()) }
}

static HEADS: Sql = Sql {
    text: concat!(
        "SELECT w.place, ",
        swarm_columns!(),
        " FROM unnest($1, $2) WITH ORDINALITY w (swarm_id, name, place) \
         CROSS JOIN LATERAL (SELECT h.* FROM swarmem.heads h WHERE h.swarm_id = w.swarm_id AND h.name = w.name \
         LIMIT 1) h"
    ),
    types: &[Type::INT8_ARRAY, Type::TEXT_ARRAY],
};

pub(super) async fn heads(pool: &Arc<Pool>, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
    let shards: Vec<i64> = ids.iter().map(shard).collect();
    let names: Vec<&str> = ids.iter().map(SwarmId::as_str).collect();
    let rows = one(pool, &HEADS, &[&shards, &names], Failure::error).await?;
    let mut heads = vec![None; ids.len()];
    for row in &rows {
        // SQL counts from one.
        let place = usize::try_from(get::<i64>(row, "place")? - 1).map_err(super::rows::corrupt)?;
        let found = heads.get_mut(place).ok_or_else(|| super::rows::corrupt("a row out of place"))?;
        *found = Some(SwarmRow::read(row)?.head());
    }
    Ok(heads)
}

static EXPIRING: Sql = Sql {
    text: "SELECT h.name FROM swarmem.heads h WHERE h.name > $2 AND h.next_expiry_us <= greatest(h.time_us, \
     coalesce($1, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)) ORDER BY h.name LIMIT $3",
    types: &[Type::INT8, Type::TEXT, Type::INT8],
};

/// Swarms with an entry that is due at swarm time; `clock` is none where the database's own is read.
pub(super) async fn expiring(
    pool: &Arc<Pool>,
    clock: Option<Timestamp>,
    after: Option<&SwarmId>,
    limit: usize,
) -> Result<Vec<SwarmId>, Error> {
    let clock = clock.map(Timestamp::as_micros);
    let values: [Param<'_>; 3] = [&clock, &after.map_or("", SwarmId::as_str), &signed(limit)];
    let rows = one(pool, &EXPIRING, &values, Failure::error).await?;
    rows.iter().map(|row| Ok(SwarmId::trusted(get(row, "name")?))).collect()
}
