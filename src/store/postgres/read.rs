//! Reads: the log, entries by name and by range, histories. Each is one round trip, in one transaction with the head it
//! answers for. Changes nothing.

use std::sync::Arc;

use futures_util::future::join4;
use tokio_postgres::{Row, types::Type};

use super::{
    connect::{Connection, Param, Sql},
    failure::Failure,
    pool::Pool,
    rows::{self, SwarmRow, get, range_end, shard, signed, version_columns},
    swarms::HEAD,
};
use crate::{
    domain::{
        namespace::EntryPath,
        swarm::{Head, Mark, Nonce, Revision, SwarmId},
    },
    store::{At, Entries, Error, LogCursor, Page, PageLimit, Scan, ScanPage},
};

/// A scan looks at as many entries at least, tombstones included, before it lets its caller go on.
const VISITED_MIN: usize = 256;

/// The head, and the rows of a statement whose first two values are the swarm's names, as of one state.
pub(super) async fn with_head(
    pool: &Arc<Pool>,
    id: &SwarmId,
    sql: &'static Sql,
    values: &[Param<'_>],
) -> Result<(SwarmRow, Vec<Row>), Error> {
    let mut lease = pool.lease().await.map_err(Failure::error)?;
    let deadline = lease.deadline();
    let read = deadline.bound(pipeline(lease.connection(), id, sql, values)).await;
    let (head, rows) = lease.finish(read).await.map_err(Failure::error)?;
    let head = head.first().ok_or(Error::SwarmNotFound)?;
    Ok((SwarmRow::read(head)?, rows))
}

async fn pipeline(
    connection: &mut Connection,
    id: &SwarmId,
    sql: &'static Sql,
    values: &[Param<'_>],
) -> Result<(Vec<Row>, Vec<Row>), tokio_postgres::Error> {
    let (head, rows) = (connection.ready(&HEAD).await?, connection.ready(sql).await?);
    let (shard, name) = (shard(id), id.as_str());
    let names: [Param<'_>; 2] = [&shard, &name];
    let all: Vec<Param<'_>> = names.iter().chain(values).copied().collect();
    let (begun, head, rows, ended) = join4(
        connection.begin_read(),
        connection.query(&head, &names),
        connection.query(&rows, &all),
        connection.commit(),
    )
    .await;
    begun?;
    let read = (head?, rows?);
    ended?;
    Ok(read)
}

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

/// As the statements take it: the newest is whatever there is.
fn at_most(at: At) -> i64 {
    match at {
        At::Newest => i64::MAX,
        At::Revision(revision) => signed(revision.0),
    }
}

static MARK: Sql = Sql {
    text: "SELECT l.nonce FROM swarmem.log l WHERE l.swarm_id = $1 AND l.revision = $3 \
     AND l.life = (SELECT h.life FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2) \
     ORDER BY l.revision, l.ordinal LIMIT 1",
    types: &[Type::INT8, Type::TEXT, Type::INT8],
};

pub(super) async fn mark_at(
    pool: &Arc<Pool>,
    id: &SwarmId,
    revision: Revision,
) -> Result<(Head, Mark), Error> {
    let (swarm, rows) = with_head(pool, id, &MARK, &[&signed(revision.0)]).await?;
    let head = swarm.head();
    resolve(head, At::Revision(revision))?;
    if let Some(mark) = [head.mark, head.floor].into_iter().find(|mark| mark.revision == revision) {
        return Ok((head, mark));
    }
    let row = rows.first().ok_or_else(|| rows::corrupt(format!("no revision {revision}")))?;
    let nonce = Nonce(get::<uuid::Uuid>(row, "nonce")?.into_bytes());
    Ok((head, Mark { revision, nonce }))
}

/// A page of the swarm's versions: those that `which` names, in an order, as many rows and bytes as two parameters allow.
/// As many leave the database as the bytes allow, give or take the last; `followed` says of each whether there is one
/// behind it. Contents are read only of what leaves.
macro_rules! page_of {
    ($which:literal, $order:literal, $rows:literal, $bytes:literal) => {
        concat!(
            "SELECT ",
            version_columns!(),
            ", l.content, l.followed FROM (\
               SELECT l.*, lead(true, 1, false) OVER w AS followed, row_number() OVER w AS row, \
                 sum(l.content_bytes + octet_length(l.meta)) OVER w - l.content_bytes - octet_length(l.meta) \
                   AS before \
               FROM (SELECT l.* FROM swarmem.log l WHERE l.swarm_id = $1 \
                 AND l.life = (SELECT h.life FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2) AND ",
            $which,
            " ORDER BY ",
            $order,
            " LIMIT ",
            $rows,
            " + 1) l WINDOW w AS (ORDER BY ",
            $order,
            ")) l WHERE l.row <= ",
            $rows,
            " AND l.before < ",
            $bytes,
            " ORDER BY ",
            $order
        )
    };
}

static LOG: Sql = Sql {
    text: page_of!("(l.revision, l.ordinal) > ($3, $4)", "l.revision, l.ordinal", "$5", "$6"),
    types: &[Type::INT8, Type::TEXT, Type::INT8, Type::INT4, Type::INT8, Type::INT8],
};

pub(super) async fn log(
    pool: &Arc<Pool>,
    id: &SwarmId,
    after: LogCursor,
    limit: PageLimit,
) -> Result<Page, Error> {
    let ordinal = after.ordinal.map_or(i32::MAX, |ordinal| i32::try_from(ordinal).unwrap_or(i32::MAX));
    let revision = signed(after.revision.0);
    let (rows_max, bytes_max) = bounds(limit);
    let (swarm, rows) = with_head(pool, id, &LOG, &[&revision, &ordinal, &rows_max, &bytes_max]).await?;
    let head = swarm.head();
    resolve(head, At::Revision(after.revision))?;
    // Of the floor's own revision some rows may be gone.
    if after.ordinal.is_some() && after.revision == head.floor.revision {
        return Err(compacted(head));
    }
    page(head, &rows, limit)
}

static HISTORY: Sql = Sql {
    text: page_of!(
        "l.namespace = $3 AND l.key BETWEEN $4 AND $4 AND l.revision < $5",
        "l.key, l.revision DESC",
        "$6",
        "$7"
    ),
    types: &[Type::INT8, Type::TEXT, Type::TEXT, Type::TEXT, Type::INT8, Type::INT8, Type::INT8],
};

pub(super) async fn history(
    pool: &Arc<Pool>,
    id: &SwarmId,
    path: &EntryPath,
    before: Option<Revision>,
    limit: PageLimit,
) -> Result<Page, Error> {
    let (namespace, key) = (path.namespace.as_str(), path.key.as_str());
    let before = before.map_or(i64::MAX, |before| signed(before.0));
    let (rows_max, bytes_max) = bounds(limit);
    let values: [Param<'_>; 5] = [&namespace, &key, &before, &rows_max, &bytes_max];
    let (swarm, rows) = with_head(pool, id, &HISTORY, &values).await?;
    page(swarm.head(), &rows, limit)
}

/// Of each name the newest. A key is asked for as a range of one, in the order of its index: of an equal key the primary
/// key of the table gives the newest as well, walking back over the whole log.
static ENTRIES: Sql = Sql {
    text: concat!(
        "SELECT w.place, ",
        version_columns!(),
        ", l.content FROM unnest($3, $4) WITH ORDINALITY w (namespace, key, place) CROSS JOIN LATERAL \
         (SELECT l.* FROM swarmem.log l WHERE l.swarm_id = $1 \
            AND l.life = (SELECT h.life FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2) \
            AND l.namespace = w.namespace AND l.key BETWEEN w.key AND w.key AND l.revision <= $5 \
          ORDER BY l.key, l.revision DESC LIMIT 1) l \
         WHERE l.change = 0"
    ),
    types: &[Type::INT8, Type::TEXT, Type::TEXT_ARRAY, Type::TEXT_ARRAY, Type::INT8],
};

pub(super) async fn entries(
    pool: &Arc<Pool>,
    id: &SwarmId,
    paths: &[EntryPath],
    at: At,
) -> Result<Entries, Error> {
    let namespaces: Vec<&str> = paths.iter().map(|path| path.namespace.as_str()).collect();
    let keys: Vec<&str> = paths.iter().map(|path| path.key.as_str()).collect();
    let (swarm, rows) = with_head(pool, id, &ENTRIES, &[&namespaces, &keys, &at_most(at)]).await?;
    resolve(swarm.head(), at)?;
    let mut versions = vec![None; paths.len()];
    for row in &rows {
        // SQL counts from one.
        let place = usize::try_from(get::<i64>(row, "place")? - 1).map_err(rows::corrupt)?;
        let found = versions.get_mut(place).ok_or_else(|| rows::corrupt("a row out of place"))?;
        *found = Some(Arc::new(rows::version(row)?));
    }
    Ok(Entries { head: swarm.head(), versions })
}

/// Steps from entry to entry, one seek each, however many versions an entry has.
static RANGE: Sql = Sql {
    text: concat!(
        "WITH RECURSIVE found AS (\
           (SELECT l.* FROM swarmem.log l WHERE l.swarm_id = $1 \
              AND l.life = (SELECT h.life FROM swarmem.heads h WHERE h.swarm_id = $1 AND h.name = $2) \
              AND (l.namespace, l.key) > ($3, $4) AND l.namespace < $5 AND l.revision <= $6 \
            ORDER BY l.namespace, l.key, l.revision DESC LIMIT 1) \
           UNION ALL \
           SELECT n.* FROM found f CROSS JOIN LATERAL \
           (SELECT l.* FROM swarmem.log l WHERE l.swarm_id = $1 AND l.life = f.life \
              AND (l.namespace, l.key) > (f.namespace, f.key) AND l.namespace < $5 AND l.revision <= $6 \
            ORDER BY l.namespace, l.key, l.revision DESC LIMIT 1) n\
         ) SELECT ",
        version_columns!(),
        ", CASE WHEN $9 THEN l.content END AS content, l.followed, l.visited FROM (\
           SELECT l.*, lead(true, 1, false) OVER w AS followed, row_number() OVER w AS visited, \
             sum(l.weight) OVER w - l.weight AS before \
           FROM (SELECT f.*, CASE WHEN f.change <> 0 THEN 0 \
                   ELSE octet_length(f.meta) + CASE WHEN $9 THEN f.content_bytes ELSE 0 END END AS weight \
                 FROM found f LIMIT $7) l \
           WINDOW w AS (ORDER BY l.namespace, l.key)) l \
         WHERE l.before < $8 ORDER BY l.namespace, l.key"
    ),
    types: &[
        Type::INT8,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::TEXT,
        Type::INT8,
        Type::INT8,
        Type::INT8,
        Type::BOOL,
    ],
};

pub(super) async fn scan(pool: &Arc<Pool>, id: &SwarmId, scan: &Scan) -> Result<ScanPage, Error> {
    let Scan { range, after, at, limit, content } = scan;
    // Keys are not empty: the first of a range stands behind its start and no key.
    let first = (range.start.as_str(), "");
    let (namespace, key) =
        after.as_ref().map_or(first, |p| (p.namespace.as_str(), p.key.as_str())).max(first);
    let end = range_end(range.end.as_deref());
    let visited_max = signed(limit.rows.saturating_add(1).max(VISITED_MIN));
    let (_, bytes_max) = bounds(*limit);
    let values: [Param<'_>; 7] = [&namespace, &key, &end, &at_most(*at), &visited_max, &bytes_max, content];
    let (swarm, rows) = with_head(pool, id, &RANGE, &values).await?;
    let head = swarm.head();
    resolve(head, *at)?;
    let (mut versions, mut bytes, mut resume) = (Vec::new(), 0, None);
    for row in &rows {
        if versions.len() >= limit.rows.max(1) || bytes >= limit.bytes.max(1) {
            break;
        }
        if get::<i16>(row, "change")? == rows::PUT {
            let version = rows::version(row)?;
            bytes += version.weight();
            versions.push(Arc::new(version));
        }
        let more = get::<bool>(row, "followed")? || get::<i64>(row, "visited")? == visited_max;
        resume = if more { Some(rows::path(row)?) } else { None };
    }
    Ok(ScanPage { head, versions, resume })
}

/// Rows and bytes of a page, as the statements take them.
fn bounds(limit: PageLimit) -> (i64, i64) {
    // One more is asked for, to see whether there is more.
    (signed(limit.rows.max(1)).min(i64::MAX - 1), signed(limit.bytes.max(1)))
}

fn page(head: Head, rows: &[Row], limit: PageLimit) -> Result<Page, Error> {
    let mut page = Page { head, versions: Vec::new(), more: false };
    let mut bytes = 0;
    for row in rows {
        if page.versions.len() >= limit.rows.max(1) || bytes >= limit.bytes.max(1) {
            break;
        }
        let version = rows::version(row)?;
        bytes += version.weight();
        page.versions.push(Arc::new(version));
        page.more = get(row, "followed")?;
    }
    Ok(page)
}
