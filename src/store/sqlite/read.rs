//! Reads: the log, entries by name and by range, histories. Each in one transaction with the head it answers for.
//! Changes nothing.

use std::sync::Arc;

use futures_util::{Stream, TryStreamExt as _};
use sqlx::{
    Row as _,
    sqlite::{SqliteConnection, SqliteRow},
};

use super::{
    connections::Connections,
    error, load,
    rows::{self, signed, version_columns},
    swarms::begin_read,
};
use crate::{
    domain::{
        namespace::EntryPath,
        swarm::{Head, Mark, Revision, SwarmId},
    },
    store::{At, Entries, Error, LogCursor, Page, PageLimit, Scan, ScanPage},
};

/// The revision meant, if it can be read.
pub(super) fn resolve(head: Head, at: At) -> Result<Revision, Error> {
    match at {
        At::Newest => Ok(head.mark.revision),
        At::Revision(r) if r < head.floor.revision => Err(compacted(head)),
        At::Revision(r) if r > head.mark.revision => Err(Error::Future { newest: head.mark.revision }),
        At::Revision(r) => Ok(r),
    }
}

fn compacted(head: Head) -> Error {
    Error::Compacted { floor: head.floor.revision }
}

/// The mark of a revision that [`resolve`] let through.
pub(super) async fn find_mark(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    head: Head,
    revision: Revision,
) -> Result<Mark, Error> {
    if let Some(mark) = [head.mark, head.floor].into_iter().find(|mark| mark.revision == revision) {
        return Ok(mark);
    }
    let row = sqlx::query("SELECT nonce FROM log WHERE swarm_id = ?1 AND revision = ?2 AND ordinal = 0")
        .bind(swarm_id)
        .bind(signed(revision.0))
        .fetch_optional(connection)
        .await
        .map_err(error)?;
    let row = row.ok_or_else(|| Error::Corrupt(format!("no revision {revision}")))?;
    rows::mark(signed(revision.0), row.try_get(0).map_err(error)?)
}

pub(super) async fn mark_at(
    connections: &Connections,
    id: &SwarmId,
    revision: Revision,
) -> Result<(Head, Mark), Error> {
    let (mut reader, swarm) = begin_read(connections, id).await?;
    let head = swarm.head()?;
    let mark = match resolve(head, At::Revision(revision)) {
        Ok(revision) => find_mark(reader.connection(), swarm.swarm_id, head, revision).await,
        Err(error) => Err(error),
    };
    reader.end().await?;
    Ok((head, mark?))
}

pub(super) async fn log(
    connections: &Connections,
    id: &SwarmId,
    after: LogCursor,
    limit: PageLimit,
) -> Result<Page, Error> {
    let (mut reader, swarm) = begin_read(connections, id).await?;
    let head = swarm.head()?;
    let readable = resolve(head, At::Revision(after.revision)).and_then(|revision| {
        // Of the floor's own revision some rows may be gone.
        let inside_floor = after.ordinal.is_some() && revision == head.floor.revision;
        if inside_floor { Err(compacted(head)) } else { Ok(()) }
    });
    if let Err(error) = readable {
        reader.end().await?;
        return Err(error);
    }
    let rows = sqlx::query(concat!(
        "SELECT ",
        version_columns!(),
        ", l.content FROM log l WHERE l.swarm_id = ?1 AND (l.revision, l.ordinal) > (?2, ?3) \
         ORDER BY l.revision, l.ordinal LIMIT ?4"
    ))
    .bind(swarm.swarm_id)
    .bind(signed(after.revision.0))
    .bind(after.ordinal.map_or(i64::MAX, i64::from))
    .bind(one_more(limit))
    .fetch(reader.connection());
    let page = page(head, rows, limit).await?;
    reader.end().await?;
    Ok(page)
}

pub(super) async fn entries(
    connections: &Connections,
    id: &SwarmId,
    paths: &[EntryPath],
    at: At,
) -> Result<Entries, Error> {
    let (mut reader, swarm) = begin_read(connections, id).await?;
    let head = swarm.head()?;
    let versions = match resolve(head, at) {
        Ok(at) => {
            let names: Vec<_> = paths.iter().map(|path| (path, u64::MAX)).collect();
            Ok(load::by_name(reader.connection(), swarm.swarm_id, at, &names).await?)
        }
        Err(error) => Err(error),
    };
    reader.end().await?;
    Ok(Entries { head, versions: versions? })
}

pub(super) async fn scan(connections: &Connections, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
    let (mut reader, swarm) = begin_read(connections, id).await?;
    let head = swarm.head()?;
    let found = match resolve(head, scan.at) {
        Ok(at) => {
            let slice = load::Slice {
                swarm_id: swarm.swarm_id,
                range: &scan.range,
                after: scan.after.as_ref(),
                at,
                content: scan.content,
                limit: scan.limit,
            };
            Ok(load::range_page(reader.connection(), &slice).await?)
        }
        Err(error) => Err(error),
    };
    reader.end().await?;
    let load::Found { versions, resume } = found?;
    Ok(ScanPage { head, versions, resume })
}

pub(super) async fn history(
    connections: &Connections,
    id: &SwarmId,
    path: &EntryPath,
    before: Option<Revision>,
    limit: PageLimit,
) -> Result<Page, Error> {
    let (mut reader, swarm) = begin_read(connections, id).await?;
    let head = swarm.head()?;
    let rows = sqlx::query(concat!(
        "SELECT ",
        version_columns!(),
        ", l.content FROM versions v CROSS JOIN log l \
         ON l.swarm_id = v.swarm_id AND l.revision = v.revision AND l.ordinal = v.ordinal \
         WHERE v.swarm_id = ?1 AND v.namespace = ?2 AND v.key = ?3 AND v.revision < ?4 \
         ORDER BY v.revision DESC LIMIT ?5"
    ))
    .bind(swarm.swarm_id)
    .bind(path.namespace.as_str())
    .bind(path.key.as_str())
    .bind(before.map_or(i64::MAX, |before| signed(before.0)))
    .bind(one_more(limit))
    .fetch(reader.connection());
    let page = page(head, rows, limit).await?;
    reader.end().await?;
    Ok(page)
}

/// Reads one row beyond the page, to see whether there is more.
fn one_more(limit: PageLimit) -> i64 {
    signed(limit.rows.max(1).saturating_add(1) as u64)
}

async fn page(
    head: Head,
    mut rows: impl Stream<Item = Result<SqliteRow, sqlx::Error>> + Unpin,
    limit: PageLimit,
) -> Result<Page, Error> {
    let mut page = Page { head, versions: Vec::new(), more: false };
    let mut bytes = 0;
    while let Some(row) = rows.try_next().await.map_err(error)? {
        if page.versions.len() >= limit.rows.max(1) || bytes >= limit.bytes.max(1) {
            page.more = true;
            break;
        }
        let version = rows::version(&row)?;
        bytes += version.weight();
        page.versions.push(Arc::new(version));
    }
    Ok(page)
}
