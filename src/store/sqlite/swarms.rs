//! Swarms as a whole: their creation, their deletion, their heads. Knows nothing of entries.

use rusqlite::{Connection, OptionalExtension as _, params};
use uuid::Uuid;

use super::{
    affected,
    rows::{SwarmRow, signed, swarm_columns},
    writer::Verdict,
};
use crate::{
    domain::{
        swarm::{Head, Incarnation, Nonce, Retention, Revision, Swarm, SwarmId},
        time::Timestamp,
    },
    store::Error,
};

/// The swarm of that name, or [`Error::SwarmNotFound`].
pub(super) fn find(connection: &Connection, id: &SwarmId) -> Result<SwarmRow, Error> {
    found(connection, id)?.ok_or(Error::SwarmNotFound)
}

fn found(connection: &Connection, id: &SwarmId) -> Result<Option<SwarmRow>, Error> {
    let mut statement =
        connection.prepare_cached(concat!("SELECT ", swarm_columns!(), " FROM heads WHERE name = ?1"))?;
    Ok(statement.query_row([id.as_str()], SwarmRow::read).optional()?)
}

pub(super) fn ping(connection: &Connection) -> Result<(), Error> {
    Ok(connection.prepare_cached("SELECT id FROM settlements")?.query_row([], |_| Ok(()))?)
}

pub(super) fn create(
    connection: &Connection,
    id: &SwarmId,
    retention: Retention,
    now: Timestamp,
) -> Result<Verdict<Swarm>, Error> {
    let nonce = Nonce(Uuid::new_v4().into_bytes());
    let head = Head::new(Incarnation(Uuid::new_v4()), nonce, now);
    let created = connection
        .prepare_cached(
            "INSERT INTO heads (name, incarnation, revision, nonce, time_us, floor_revision, floor_nonce, \
             compacted_revision, entries, content_bytes, retention_age_us, retention_revisions, create_time_us) \
             VALUES (?1, ?2, 0, ?3, ?4, 0, ?3, 0, 0, 0, ?5, ?6, ?4) ON CONFLICT (name) DO NOTHING",
        )?
        .execute(params![
            id.as_str(),
            head.incarnation.0.as_bytes(),
            nonce.0,
            now.as_micros(),
            signed(u64::try_from(retention.age.as_micros()).unwrap_or(u64::MAX)),
            signed(retention.revisions),
        ])?;
    if created == 0 {
        return Err(Error::SwarmExists);
    }
    let (next_expiry, compacted) = (None, Revision::ZERO);
    Ok(Verdict::Commit(Swarm { id: id.clone(), head, retention, create_time: now, next_expiry, compacted }))
}

pub(super) fn list(
    connection: &Connection,
    after: Option<&SwarmId>,
    limit: usize,
) -> Result<Vec<Swarm>, Error> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        swarm_columns!(),
        " FROM heads WHERE name > ?1 ORDER BY name LIMIT ?2"
    ))?;
    let after = after.map_or("", SwarmId::as_str);
    let rows = statement.query_map((after, signed(limit as u64)), SwarmRow::read)?;
    rows.map(|row| row?.swarm()).collect()
}

pub(super) fn delete(connection: &Connection, id: &SwarmId) -> Result<Verdict<()>, Error> {
    let swarm = find(connection, id)?;
    connection.prepare_cached("INSERT INTO dead_swarms (swarm_id) VALUES (?1)")?.execute([swarm.swarm_id])?;
    let deleted =
        connection.prepare_cached("DELETE FROM heads WHERE swarm_id = ?1")?.execute([swarm.swarm_id])?;
    affected(deleted, 1)?;
    Ok(Verdict::Commit(()))
}

pub(super) fn heads(connection: &Connection, ids: &[SwarmId]) -> Result<Vec<Option<Head>>, Error> {
    ids.iter().map(|id| found(connection, id)?.map(|swarm| swarm.head()).transpose()).collect()
}
