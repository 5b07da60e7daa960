//! Loads versions by name and by range, and the outcomes of requests: what a commit looks at, and what reads answer
//! with. Knows nothing of transactions; its callers hold one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use rusqlite::Connection;

use super::rows::{self, VERSION_COLUMNS, record_columns, signed, version_columns};
use crate::{
    domain::{
        apply::{Loaded, Record},
        entry::{Change, Version},
        namespace::{EntryPath, NamespaceRange, Prefix},
        request::{Footprint, RecordKey},
        swarm::{Head, Revision},
    },
    store::{Error, PageLimit},
};

/// A scan looks at as many entries at least, tombstones included, before it lets its caller go on.
const VISITED_MIN: usize = 256;

/// Everything that `footprint` names, as of `head`.
pub(super) fn footprint(
    connection: &Connection,
    swarm_id: i64,
    head: Head,
    footprint: &Footprint,
) -> Result<Loaded, Error> {
    let mut entries = BTreeMap::new();
    let mut truncated = HashMap::new();
    for (prefix, &limit) in &footprint.prefixes {
        let (below, more) = prefix_below(connection, swarm_id, head.mark.revision, prefix, limit)?;
        if let (Some(last), true) = (below.last(), more) {
            truncated.insert(prefix.clone(), last.path.clone());
        }
        entries.extend(below.into_iter().map(|v| (v.path.clone(), v)));
    }
    let mut lookup = Lookup::prepare(connection)?;
    for (path, &content_max) in &footprint.entries {
        let found = lookup.newest(swarm_id, head.mark.revision, path, content_max)?;
        entries.extend(found.map(|version| (path.clone(), version)));
    }
    let records = records(connection, swarm_id, &footprint.records)?;
    Ok(Loaded { head, entries, truncated, records })
}

/// Looks up entries by name.
pub(super) struct Lookup<'c>(rusqlite::CachedStatement<'c>);

const NEWEST_SQL: &str = concat!(
    "SELECT ",
    version_columns!(),
    ", CASE WHEN l.content_bytes <= ?5 THEN l.content END FROM versions v \
     CROSS JOIN log l ON l.swarm_id = v.swarm_id AND l.revision = v.revision AND l.ordinal = v.ordinal \
     WHERE v.swarm_id = ?1 AND v.namespace = ?2 AND v.key = ?3 AND v.revision <= ?4 \
     ORDER BY v.revision DESC LIMIT 1"
);

impl<'c> Lookup<'c> {
    pub fn prepare(connection: &'c Connection) -> Result<Self, Error> {
        Ok(Self(connection.prepare_cached(NEWEST_SQL)?))
    }

    /// The newest version of an entry at or before `at`, if that is a put; with its content if that has at most so many
    /// bytes.
    pub fn newest(
        &mut self,
        swarm_id: i64,
        at: Revision,
        path: &EntryPath,
        content_max: u64,
    ) -> Result<Option<Arc<Version>>, Error> {
        let names = (path.namespace.as_str(), path.key.as_str());
        let mut rows = self.0.query((swarm_id, names.0, names.1, signed(at.0), signed(content_max)))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let version = rows::version(row)?;
        Ok((version.change == Change::Put).then(|| Arc::new(version)))
    }
}

const RECORD_SQL: &str = concat!(
    "SELECT ",
    record_columns!(),
    " FROM requests WHERE swarm_id = ?1 AND agent = ?2 AND request_id = ?3"
);

fn records(
    connection: &Connection,
    swarm_id: i64,
    keys: &BTreeSet<RecordKey>,
) -> Result<HashMap<RecordKey, Record>, Error> {
    let mut found = HashMap::with_capacity(keys.len());
    let mut lookup = connection.prepare_cached(RECORD_SQL)?;
    for key in keys {
        let mut rows = lookup.query((swarm_id, key.agent.as_str(), key.id.as_str()))?;
        if let Some(row) = rows.next()? {
            found.insert(key.clone(), rows::record(row)?);
        }
    }
    Ok(found)
}

/// The first `limit` entries below `prefix`, without contents, and whether there are more.
fn prefix_below(
    connection: &Connection,
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
            let page = range_page(connection, &slice)?;
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
pub(super) fn range_page(connection: &Connection, slice: &Slice<'_>) -> Result<Found, Error> {
    let Slice { swarm_id, range, after, at, content, limit } = slice;
    let first = (range.start.as_str(), "");
    let after = after.map_or(first, |p| (p.namespace.as_str(), p.key.as_str())).max(first);
    // No namespace begins with the last character there is.
    let end = range.end.as_deref().unwrap_or("\u{10FFFF}");
    let visited_max = limit.rows.saturating_add(1).max(VISITED_MIN);
    let mut statement = connection.prepare_cached(RANGE_SQL)?;
    let mut rows = statement.query((
        swarm_id,
        after.0,
        after.1,
        end,
        signed(at.0),
        signed(visited_max as u64),
        content,
    ))?;
    let (mut found, mut bytes, mut visited) = (Vec::new(), 0, 0);
    let mut last = None;
    while let Some(row) = rows.next()? {
        if found.len() >= limit.rows.max(1) || bytes >= limit.bytes.max(1) {
            return Ok(Found { versions: found, resume: last });
        }
        visited += 1;
        let namespace = row.get_ref(VERSION_COLUMNS)?.as_str().map_err(rows::corrupt)?;
        let key = row.get_ref(VERSION_COLUMNS + 1)?.as_str().map_err(rows::corrupt)?;
        last = Some(rows::path(namespace, key));
        if row.get::<_, i64>(VERSION_COLUMNS + 2)? == rows::PUT {
            let version = rows::version(row)?;
            bytes += version.weight();
            found.push(Arc::new(version));
        }
    }
    let resume = if visited == visited_max { last } else { None };
    Ok(Found { versions: found, resume })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rows of a plan: which table, and by which columns it is searched.
    fn plan(sql: &str) -> String {
        let mut connection = Connection::open_in_memory().unwrap();
        super::super::schema::migrate(&mut connection).unwrap();
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        // The values are not asked for, so they are not given.
        let mut rows = statement.raw_query();
        let mut plan = String::new();
        while let Some(row) = rows.next().unwrap() {
            plan += row.get_ref(3).unwrap().as_str().unwrap();
            plan.push('\n');
        }
        plan
    }

    #[test]
    fn a_scan_seeks_from_entry_to_entry() {
        let plan = plan(RANGE_SQL);
        assert_eq!(
            plan.matches("(swarm_id=? AND (namespace,key)>(?,?) AND namespace<?)").count(),
            2,
            "{plan}"
        );
        assert!(plan.contains("(swarm_id=? AND namespace=? AND key=? AND revision=?)"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    #[test]
    fn a_lookup_seeks_the_newest_version() {
        let plan = plan(NEWEST_SQL);
        assert!(
            plan.contains("SEARCH v USING PRIMARY KEY (swarm_id=? AND namespace=? AND key=? AND revision<?)"),
            "{plan}"
        );
        assert!(
            plan.contains("SEARCH l USING INDEX log_places (swarm_id=? AND revision=? AND ordinal=?)"),
            "{plan}"
        );
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}
