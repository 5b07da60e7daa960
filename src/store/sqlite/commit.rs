//! A commit from its lock to its outcome. Knows neither how rows look nor what a request means.

use super::{
    connections::{Connections, Writer},
    error, load, persist,
    rows::signed,
    swarms,
};
use crate::{
    domain::{
        apply::Applied,
        swarm::{Nonce, Revision, SwarmId},
        time::Clock,
    },
    store::{Batch, CommitError, Error},
};

pub(super) async fn commit(
    connections: &Connections,
    clock: &dyn Clock,
    id: &SwarmId,
    batch: &Batch,
) -> Result<Applied, CommitError> {
    let (mut writer, swarm) = swarms::begin_write(connections, id).await?;
    let head = swarm.head()?;
    let loaded = load::footprint(writer.connection(), swarm.swarm_id, head, &batch.footprint()).await?;
    let applied = batch.apply(loaded, clock.now());
    if applied.commit.is_none() {
        writer.rollback().await?;
        return Ok(applied);
    }
    persist::persist(writer.connection(), swarm.swarm_id, head.mark.revision, &applied).await?;
    #[cfg(debug_assertions)]
    if super::seeded_bug::acknowledges_before_commit() {
        super::seeded_bug::commit_later(writer);
        return Ok(applied);
    }
    conclude(writer, applied).await
}

async fn conclude(writer: Writer, applied: Applied) -> Result<Applied, CommitError> {
    match writer.commit().await {
        Ok(()) => Ok(applied),
        Err(Error::OutcomeUnknown(cause)) => Err(CommitError::Unknown { applied: Box::new(applied), cause }),
        Err(failed) => Err(CommitError::Failed(failed)),
    }
}

pub(super) async fn is_committed(
    connections: &Connections,
    id: &SwarmId,
    nonce: Nonce,
    after: Revision,
) -> Result<bool, Error> {
    let (mut writer, swarm) = swarms::begin_write(connections, id).await?;
    let found: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM log WHERE swarm_id = ?1 AND revision > ?2 AND nonce = ?3)",
    )
    .bind(swarm.swarm_id)
    .bind(signed(after.0))
    .bind(nonce.0.as_slice())
    .fetch_one(writer.connection())
    .await
    .map_err(error)?;
    // A "no" has to stay one: a commit of our own overwrites what the failed one may have left in the write-ahead log.
    settle(writer).await?;
    Ok(found)
}

/// Commits a change that nobody sees.
pub(super) async fn settle(mut writer: Writer) -> Result<(), Error> {
    let settled = sqlx::query("UPDATE settlements SET settled = settled + 1 WHERE id = 1")
        .execute(writer.connection())
        .await
        .map_err(error)?;
    super::affected(settled.rows_affected(), 1)?;
    writer.commit().await
}
