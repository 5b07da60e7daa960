//! Swarms as a whole: their creation, their deletion, their heads. Knows nothing of entries.

use sqlx::{QueryBuilder, SqliteConnection};
use uuid::Uuid;

use super::{
    connections::{Connections, Reader, Writer},
    error,
    rows::{SwarmRow, signed, swarm_columns},
};
use crate::{
    domain::{
        swarm::{Head, Incarnation, Nonce, Retention, Swarm, SwarmId},
        time::Timestamp,
    },
    store::Error,
};

/// Begins a transaction that reads, and looks up the swarm in the same round.
pub(super) async fn begin_read(connections: &Connections, id: &SwarmId) -> Result<(Reader, SwarmRow), Error> {
    let mut reader = connections.reader().await?;
    let sql = concat!("BEGIN; SELECT ", swarm_columns!(), " FROM heads WHERE name = ?1");
    match find(reader.connection(), sql, id).await? {
        Some(swarm) => Ok((reader, swarm)),
        None => {
            reader.end().await?;
            Err(Error::SwarmNotFound)
        }
    }
}

/// Begins a transaction that writes, and looks up the swarm in the same round.
pub(super) async fn begin_write(
    connections: &Connections,
    id: &SwarmId,
) -> Result<(Writer, SwarmRow), Error> {
    let mut writer = connections.writer().await?;
    let sql = concat!("BEGIN IMMEDIATE; SELECT ", swarm_columns!(), " FROM heads WHERE name = ?1");
    match find(writer.connection(), sql, id).await? {
        Some(swarm) => Ok((writer, swarm)),
        None => {
            writer.rollback().await?;
            Err(Error::SwarmNotFound)
        }
    }
}

async fn find(
    connection: &mut SqliteConnection,
    sql: &'static str,
    id: &SwarmId,
) -> Result<Option<SwarmRow>, Error> {
    sqlx::query_as(sql).bind(id.as_str()).fetch_optional(connection).await.map_err(error)
}

pub(super) async fn ping(connections: &Connections) -> Result<(), Error> {
    let mut reader = connections.reader().await?;
    sqlx::query("SELECT id FROM settlements").execute(reader.connection()).await.map_err(error)?;
    reader.release();
    Ok(())
}

pub(super) async fn create(
    connections: &Connections,
    id: &SwarmId,
    retention: Retention,
    now: Timestamp,
) -> Result<Swarm, Error> {
    let nonce = Nonce(Uuid::new_v4().into_bytes());
    let head = Head::new(Incarnation(Uuid::new_v4()), nonce, now);
    let age_us = signed(u64::try_from(retention.age.as_micros()).unwrap_or(u64::MAX));
    let mut writer = connections.begin().await?;
    let created = sqlx::query(
        "INSERT INTO heads (name, incarnation, revision, nonce, time_us, floor_revision, floor_nonce, \
         compacted_revision, entries, content_bytes, retention_age_us, retention_revisions, create_time_us) \
         VALUES (?1, ?2, 0, ?3, ?4, 0, ?3, 0, 0, 0, ?5, ?6, ?4) ON CONFLICT (name) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(head.incarnation.0.as_bytes().as_slice())
    .bind(nonce.0.as_slice())
    .bind(now.as_micros())
    .bind(age_us)
    .bind(signed(retention.revisions))
    .execute(writer.connection())
    .await
    .map_err(error)?;
    if created.rows_affected() == 0 {
        writer.rollback().await?;
        return Err(Error::SwarmExists);
    }
    writer.commit().await?;
    Ok(Swarm { id: id.clone(), head, retention, create_time: now, next_expiry: None })
}

pub(super) async fn get(connections: &Connections, id: &SwarmId) -> Result<Swarm, Error> {
    let mut reader = connections.reader().await?;
    let sql = concat!("SELECT ", swarm_columns!(), " FROM heads WHERE name = ?1");
    let found = find(reader.connection(), sql, id).await?;
    reader.release();
    found.ok_or(Error::SwarmNotFound)?.swarm()
}

pub(super) async fn list(
    connections: &Connections,
    after: Option<&SwarmId>,
    limit: usize,
) -> Result<Vec<Swarm>, Error> {
    let mut reader = connections.reader().await?;
    let sql = concat!("SELECT ", swarm_columns!(), " FROM heads WHERE name > ?1 ORDER BY name LIMIT ?2");
    let found: Vec<SwarmRow> = sqlx::query_as(sql)
        .bind(after.map_or("", SwarmId::as_str))
        .bind(signed(limit as u64))
        .fetch_all(reader.connection())
        .await
        .map_err(error)?;
    reader.release();
    found.iter().map(SwarmRow::swarm).collect()
}

pub(super) async fn delete(connections: &Connections, id: &SwarmId) -> Result<(), Error> {
    let (mut writer, swarm) = begin_write(connections, id).await?;
    sqlx::query("INSERT INTO dead_swarms (swarm_id) VALUES (?1)")
        .bind(swarm.swarm_id)
        .execute(writer.connection())
        .await
        .map_err(error)?;
    let deleted = sqlx::query("DELETE FROM heads WHERE swarm_id = ?1")
        .bind(swarm.swarm_id)
        .execute(writer.connection())
        .await
        .map_err(error)?;
    super::affected(deleted.rows_affected(), 1)?;
    writer.commit().await
}

pub(super) async fn heads(connections: &Connections, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
    /// Names in one statement.
    const CHUNK: usize = 512;
    let mut reader = connections.reader().await?;
    sqlx::query("BEGIN").execute(reader.connection()).await.map_err(error)?;
    let mut found = std::collections::HashMap::with_capacity(ids.len());
    for ids in ids.chunks(CHUNK) {
        let mut sql = QueryBuilder::new(concat!("SELECT ", swarm_columns!(), " FROM heads WHERE name IN ("));
        let mut names = sql.separated(", ");
        for at in 0..ids.len().next_power_of_two() {
            // The gaps up to the next power of two are filled with NULL, which no name is equal to.
            names.push_bind(ids.get(at).map(SwarmId::as_str));
        }
        sql.push(")");
        let rows: Vec<SwarmRow> = sql.build_query_as().fetch_all(reader.connection()).await.map_err(error)?;
        for row in rows {
            found.insert(row.name().to_owned(), row.head()?);
        }
    }
    reader.end().await?;
    Ok(ids.iter().map(|id| found.get(id.as_str()).copied()).collect())
}
