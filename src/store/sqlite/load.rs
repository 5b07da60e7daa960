//! Loads versions by name and by range, and the outcomes of requests: what a commit looks at, and what reads answer
//! with. Knows nothing of transactions; its callers hold one.

use std::{collections::HashMap, sync::Arc};

use futures_util::TryStreamExt as _;
use sqlx::{FromRow as _, Row as _, SqliteConnection};

use super::{
    bulk::{Bulk, ROWS_MAX, Script},
    error,
    rows::{self, RecordRow, VERSION_COLUMNS, signed, version_columns},
};
use crate::{
    domain::{
        apply::Loaded,
        entry::Version,
        namespace::{EntryPath, NamespaceRange, Prefix},
        request::{Footprint, RecordKey},
        swarm::{Head, Revision},
    },
    store::{Error, PageLimit},
};

/// A scan looks at as many entries at least, tombstones included, before it lets its caller go on.
const VISITED_MIN: usize = 256;

/// Everything that `footprint` names, as of `head`.
pub(super) async fn footprint(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    head: Head,
    footprint: &Footprint,
) -> Result<Loaded, Error> {
    let mut entries = std::collections::BTreeMap::new();
    let mut truncated = HashMap::new();
    for (prefix, &limit) in &footprint.prefixes {
        let (below, more) = prefix_below(connection, swarm_id, head.mark.revision, prefix, limit).await?;
        if let (Some(last), true) = (below.last(), more) {
            truncated.insert(prefix.clone(), last.path.clone());
        }
        entries.extend(below.into_iter().map(|v| (v.path.clone(), v)));
    }
    let names: Vec<_> = footprint.entries.iter().map(|(path, &bytes_max)| (path, bytes_max)).collect();
    let keys: Vec<_> = footprint.records.iter().collect();
    let mut records = HashMap::with_capacity(keys.len());
    // As a rule there is one chunk of each, and all of a commit comes in one round.
    let rounds = names.len().max(keys.len()).div_ceil(ROWS_MAX);
    for round in 0..rounds {
        let mut script = Script::default();
        list_names(&mut script, swarm_id, head.mark.revision, chunk(&names, round));
        list_keys(&mut script, swarm_id, chunk(&keys, round));
        for row in script.query().fetch_all(&mut *connection).await.map_err(error)? {
            // The two kinds of rows differ in width.
            if row.len() == RECORD_COLUMNS {
                records.extend([RecordRow::from_row(&row).map_err(error)?.record()?]);
            } else {
                let version = rows::version(&row)?;
                entries.insert(version.path.clone(), Arc::new(version));
            }
        }
    }
    Ok(Loaded { head, entries, truncated, records })
}

/// The rows of one round.
pub(super) fn chunk<T>(rows: &[T], round: usize) -> &[T] {
    rows.chunks(ROWS_MAX).nth(round).unwrap_or(&[])
}

/// The newest version at or before `at` of each entry, if that is a put; with its content if that has at most so many
/// bytes.
pub(super) async fn by_name(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    at: Revision,
    names: &[(&EntryPath, u64)],
) -> Result<Vec<Option<Arc<Version>>>, Error> {
    let mut found = vec![None; names.len()];
    for (names, found) in names.chunks(ROWS_MAX).zip(found.chunks_mut(ROWS_MAX)) {
        let mut script = Script::default();
        list_names(&mut script, swarm_id, at, names);
        for row in script.query().fetch_all(&mut *connection).await.map_err(error)? {
            let place: i64 = row.try_get(VERSION_COLUMNS).map_err(error)?;
            let found = usize::try_from(place).ok().and_then(|place| found.get_mut(place));
            *found.ok_or_else(|| Error::Corrupt("a row out of place".into()))? =
                Some(Arc::new(rows::version(&row)?));
        }
    }
    Ok(found)
}

fn list_names(script: &mut Script, swarm_id: i64, at: Revision, names: &[(&EntryPath, u64)]) {
    if names.is_empty() {
        return;
    }
    script.list(&BY_NAME, names, |row, place, (path, bytes_max)| {
        row.bind(signed(place as u64))
            .bind(path.namespace.shared_text())
            .bind(path.key.shared_text())
            .bind(signed(*bytes_max));
    });
    script.bind(swarm_id).bind(signed(at.0)).bind(swarm_id);
}

static BY_NAME: Bulk = Bulk {
    columns: &["place", "namespace", "key", "content_max"],
    rest: concat!(
        "SELECT ",
        version_columns!(),
        ", CASE WHEN l.content_bytes <= w.content_max THEN l.content END, w.place \
         FROM listed w \
         CROSS JOIN versions v ON v.namespace = w.namespace AND v.key = w.key AND v.revision = \
         (SELECT n.revision FROM versions n WHERE n.namespace = w.namespace AND n.key = w.key AND n.swarm_id = ? \
         AND n.revision <= ? ORDER BY n.revision DESC LIMIT 1) \
         CROSS JOIN log l ON l.swarm_id = v.swarm_id AND l.revision = v.revision AND l.ordinal = v.ordinal \
         WHERE v.change = 0 AND v.swarm_id = ?"
    ),
};

fn list_keys(script: &mut Script, swarm_id: i64, keys: &[&RecordKey]) {
    if keys.is_empty() {
        return;
    }
    script.list(&RECORDS, keys, |row, _, key| {
        row.bind(key.agent.shared_text()).bind(key.id.shared_text());
    });
    script.bind(swarm_id);
}

/// How many columns a [`RecordRow`] has.
const RECORD_COLUMNS: usize = 7;
static RECORDS: Bulk = Bulk {
    columns: &["agent", "request_id"],
    rest: "SELECT r.agent, r.request_id, r.digest, r.revision, r.nonce, r.time_us, r.outcome FROM listed w \
     CROSS JOIN requests r ON r.agent = w.agent AND r.request_id = w.request_id AND r.swarm_id = ?",
};

/// The first `limit` entries below `prefix`, without contents, and whether there are more.
async fn prefix_below(
    connection: &mut SqliteConnection,
    swarm_id: i64,
    at: Revision,
    prefix: &Prefix,
    limit: usize,
) -> Result<(Vec<Arc<Version>>, bool), Error> {
    // One more than wanted tells whether there are more.
    let wanted = limit.saturating_add(1);
    let mut below = Vec::new();
    for range in prefix.ranges() {
        let mut after = None;
        loop {
            let page = PageLimit { rows: wanted - below.len(), bytes: usize::MAX };
            let slice =
                Slice { swarm_id, range: &range, after: after.as_ref(), at, content: false, limit: page };
            let page = range_page(connection, &slice).await?;
            below.extend(page.versions);
            after = page.resume;
            if below.len() >= wanted {
                below.truncate(limit);
                return Ok((below, true));
            }
            if after.is_none() {
                break;
            }
        }
    }
    Ok((below, false))
}

/// A slice of the entries that existed at a revision.
pub(super) struct Slice<'a> {
    pub swarm_id: i64,
    pub range: &'a NamespaceRange,
    pub after: Option<&'a EntryPath>,
    pub at: Revision,
    pub content: bool,
    pub limit: PageLimit,
}

/// What was found in a slice, and where to go on.
pub(super) struct Found {
    pub versions: Vec<Arc<Version>>,
    pub resume: Option<EntryPath>,
}

/// Steps from entry to entry, one seek each, however many versions an entry has. The plus signs take the affinity of a
/// column away; with it SQLite would seek by namespace alone, and walk from there to the key.
const RANGE_SQL: &str = concat!(
    "WITH RECURSIVE found (namespace, key, revision, ordinal, change) AS (
        SELECT * FROM (
            SELECT namespace, key, revision, ordinal, change FROM versions
            WHERE swarm_id = ?1 AND (namespace, key) > (?2, ?3) AND namespace < ?4 AND revision <= ?5
            ORDER BY namespace, key, revision DESC LIMIT 1
        )
        UNION ALL
        SELECT v.namespace, v.key, v.revision, v.ordinal, v.change
        FROM found f CROSS JOIN versions v
        ON v.swarm_id = ?1 AND (v.namespace, v.key, v.revision) = (
            SELECT n.namespace, n.key, n.revision FROM versions n
            WHERE n.swarm_id = ?1 AND (n.namespace, n.key) > (+f.namespace, +f.key)
            AND n.namespace < ?4 AND n.revision <= ?5
            ORDER BY n.namespace, n.key, n.revision DESC LIMIT 1
        )
        LIMIT ?6
    )
    SELECT ",
    version_columns!(),
    ", CASE WHEN ?7 THEN l.content END, f.namespace, f.key, f.change
    FROM found f LEFT JOIN log l
    ON f.change = 0 AND l.swarm_id = ?1 AND l.revision = f.revision AND l.ordinal = f.ordinal"
);

/// The entries of a slice, in order.
pub(super) async fn range_page(connection: &mut SqliteConnection, slice: &Slice<'_>) -> Result<Found, Error> {
    let Slice { swarm_id, range, after, at, content, limit } = slice;
    let first = (range.start.as_str(), "");
    let after = after.map_or(first, |p| (p.namespace.as_str(), p.key.as_str())).max(first);
    let visited_max = limit.rows.saturating_add(1).max(VISITED_MIN);
    let mut rows = sqlx::query(RANGE_SQL)
        .bind(swarm_id)
        .bind(after.0)
        .bind(after.1)
        // No namespace begins with the last character there is.
        .bind(range.end.as_deref().unwrap_or("\u{10FFFF}"))
        .bind(signed(at.0))
        .bind(signed(visited_max as u64))
        .bind(content)
        .fetch(connection);
    let (mut found, mut bytes, mut visited) = (Vec::new(), 0, 0);
    let mut last = None;
    while let Some(row) = rows.try_next().await.map_err(error)? {
        if found.len() >= limit.rows.max(1) || bytes >= limit.bytes.max(1) {
            return Ok(Found { versions: found, resume: last });
        }
        visited += 1;
        let namespace = row.try_get(VERSION_COLUMNS).map_err(error)?;
        let key = row.try_get(VERSION_COLUMNS + 1).map_err(error)?;
        last = Some(rows::path(namespace, key));
        if row.try_get::<i64, _>(VERSION_COLUMNS + 2).map_err(error)? == rows::PUT {
            let version = rows::version(&row)?;
            bytes += version.weight();
            found.push(Arc::new(version));
        }
    }
    let resume = if visited == visited_max { last } else { None };
    Ok(Found { versions: found, resume })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _};

    use super::*;

    /// The rows of a plan: which table, and by which columns it is searched.
    async fn plan(sql: &str) -> Vec<String> {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        super::super::open::MIGRATIONS.run(&mut connection).await.unwrap();
        let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get(3)).collect()
    }

    #[tokio::test]
    async fn a_scan_seeks_from_entry_to_entry() {
        let plan = plan(RANGE_SQL).await.join("\n");
        assert_eq!(
            plan.matches("(swarm_id=? AND (namespace,key)>(?,?) AND namespace<?)").count(),
            2,
            "{plan}"
        );
        assert!(plan.contains("(swarm_id=? AND namespace=? AND key=? AND revision=?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[tokio::test]
    async fn a_lookup_seeks_the_newest_version() {
        let plan = plan(&BY_NAME.text(2)).await.join("\n");
        assert!(
            plan.contains("SEARCH n USING PRIMARY KEY (swarm_id=? AND namespace=? AND key=? AND revision<?)"),
            "{plan}"
        );
        assert!(
            plan.contains("SEARCH l USING INDEX log_places (swarm_id=? AND revision=? AND ordinal=?)"),
            "{plan}"
        );
    }
}
