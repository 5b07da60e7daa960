//! Reads: the log, entries by name and by range, histories. Each in one transaction with the head it answers for.
//! Changes nothing.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, Rows, params};

use super::{
    load,
    rows::{self, signed, version_columns},
    swarms::find,
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
pub(super) fn find_mark(
    connection: &Connection,
    swarm_id: i64,
    head: Head,
    revision: Revision,
) -> Result<Mark, Error> {
    if let Some(mark) = [head.mark, head.floor].into_iter().find(|mark| mark.revision == revision) {
        return Ok(mark);
    }
    let nonce: Option<Vec<u8>> = connection
        .prepare_cached("SELECT nonce FROM log WHERE swarm_id = ?1 AND revision = ?2 AND ordinal = 0")?
        .query_row((swarm_id, signed(revision.0)), |row| row.get(0))
        .optional()?;
    let nonce = nonce.ok_or_else(|| Error::Corrupt(format!("no revision {revision}")))?;
    rows::mark(signed(revision.0), &nonce)
}

pub(super) fn mark_at(
    connection: &Connection,
    id: &SwarmId,
    revision: Revision,
) -> Result<(Head, Mark), Error> {
    let swarm = find(connection, id)?;
    let head = swarm.head()?;
    let revision = resolve(head, At::Revision(revision))?;
    Ok((head, find_mark(connection, swarm.swarm_id, head, revision)?))
}

pub(super) fn log(
    connection: &Connection,
    id: &SwarmId,
    after: LogCursor,
    limit: PageLimit,
) -> Result<Page, Error> {
    let swarm = find(connection, id)?;
    let head = swarm.head()?;
    resolve(head, At::Revision(after.revision))?;
    if after.ordinal.is_some() && after.revision == head.floor.revision {
        // Of the floor's own revision some rows may be gone.
        return Err(compacted(head));
    }
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        version_columns!(),
        ", l.content FROM log l WHERE l.swarm_id = ?1 AND (l.revision, l.ordinal) > (?2, ?3) \
         ORDER BY l.revision, l.ordinal LIMIT ?4"
    ))?;
    let rows = statement.query(params![
        swarm.swarm_id,
        signed(after.revision.0),
        after.ordinal.map_or(i64::MAX, i64::from),
        one_more(limit),
    ])?;
    page(head, rows, limit)
}

pub(super) fn entries(
    connection: &Connection,
    id: &SwarmId,
    paths: &[EntryPath],
    at: At,
) -> Result<Entries, Error> {
    let swarm = find(connection, id)?;
    let head = swarm.head()?;
    let at = resolve(head, at)?;
    let mut lookup = load::Lookup::prepare(connection)?;
    let versions = paths.iter().map(|path| lookup.newest(swarm.swarm_id, at, path, u64::MAX));
    Ok(Entries { head, versions: versions.collect::<Result<_, _>>()? })
}

pub(super) fn scan(connection: &Connection, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
    let swarm = find(connection, id)?;
    let head = swarm.head()?;
    let slice = load::Slice {
        swarm_id: swarm.swarm_id,
        range: &scan.range,
        after: scan.after.as_ref(),
        at: resolve(head, scan.at)?,
        content: scan.content,
        limit: scan.limit,
    };
    let load::Found { versions, resume } = load::range_page(connection, &slice)?;
    Ok(ScanPage { head, versions, resume })
}

pub(super) fn history(
    connection: &Connection,
    id: &SwarmId,
    path: &EntryPath,
    before: Option<Revision>,
    limit: PageLimit,
) -> Result<Page, Error> {
    let swarm = find(connection, id)?;
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        version_columns!(),
        ", l.content FROM versions v CROSS JOIN log l \
         ON l.swarm_id = v.swarm_id AND l.revision = v.revision AND l.ordinal = v.ordinal \
         WHERE v.swarm_id = ?1 AND v.namespace = ?2 AND v.key = ?3 AND v.revision < ?4 \
         ORDER BY v.revision DESC LIMIT ?5"
    ))?;
    let rows = statement.query(params![
        swarm.swarm_id,
        path.namespace.as_str(),
        path.key.as_str(),
        before.map_or(i64::MAX, |before| signed(before.0)),
        one_more(limit),
    ])?;
    page(swarm.head()?, rows, limit)
}

/// Reads one row beyond the page, to see whether there is more.
fn one_more(limit: PageLimit) -> i64 {
    signed(limit.rows.max(1).saturating_add(1) as u64)
}

fn page(head: Head, mut rows: Rows<'_>, limit: PageLimit) -> Result<Page, Error> {
    let mut page = Page { head, versions: Vec::new(), more: false };
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        if page.versions.len() >= limit.rows.max(1) || bytes >= limit.bytes.max(1) {
            page.more = true;
            break;
        }
        let version = rows::version(row)?;
        bytes += version.weight();
        page.versions.push(Arc::new(version));
    }
    Ok(page)
}
