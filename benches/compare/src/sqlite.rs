//! A bare SQLite loop as a peer: the rows of our store, written straight to a file of the same schema and settings, in
//! batches of the sizes that our lane gathered. Knows the tables, nothing of what stands above them in the product.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags, Row, params};
use swarmem::bench::material::{self, Keys, NAMESPACE};

/// Commits that are looked at, the newest.
const COMMITS: i64 = 2_000;

/// What the product wrote: how many rows each commit had, and how long the blobs of a row were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub rows: Vec<usize>,
    meta_bytes: usize,
    content_bytes: usize,
    digest_bytes: usize,
    outcome_bytes: usize,
}

impl Written {
    /// Reads it out of a coordinator's database: each commit has a nonce of its own.
    pub fn by(database: &Path, swarm: &str) -> anyhow::Result<Self> {
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut sizes = connection.prepare(
            "SELECT count(*) FROM log WHERE swarm_id = (SELECT swarm_id FROM heads WHERE name = ?1) \
             GROUP BY nonce ORDER BY max(id) DESC LIMIT ?2",
        )?;
        let sizes = sizes.query_map((swarm, COMMITS), |row| number(row, 0))?;
        let rows = sizes.collect::<Result<Vec<usize>, _>>()?;
        anyhow::ensure!(!rows.is_empty(), "the coordinator wrote nothing");
        let lengths = "SELECT length(meta), length(content), length(digest), length(outcome) \
             FROM log JOIN requests USING (swarm_id, revision) \
             WHERE swarm_id = (SELECT swarm_id FROM heads WHERE name = ?1) LIMIT 1";
        Ok(connection.query_row(lengths, [swarm], |row| {
            Ok(Self {
                rows,
                meta_bytes: number(row, 0)?,
                content_bytes: number(row, 1)?,
                digest_bytes: number(row, 2)?,
                outcome_bytes: number(row, 3)?,
            })
        })?)
    }

    /// How many rows a commit had, on average.
    pub fn rows_per_commit(&self) -> f64 {
        self.rows.iter().sum::<usize>() as f64 / self.rows.len() as f64
    }
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    Ok(row.get::<_, u32>(column)? as usize)
}

/// A database with the product's schema and settings, and one swarm.
pub struct Bare {
    connection: Connection,
    revision: i64,
    keys: Keys,
}

impl Bare {
    pub fn create(directory: &Path) -> anyhow::Result<Self> {
        let connection = Connection::open(directory.join("bare.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4096; \
             PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -4096; PRAGMA temp_store = MEMORY",
        )?;
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
        let mut files =
            fs::read_dir(&migrations)?.map(|file| Ok(file?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file)?;
            connection.execute_batch(&text).with_context(|| format!("{}", file.display()))?;
        }
        connection.execute_batch(
            "INSERT INTO heads (swarm_id, name, incarnation, revision, nonce, time_us, floor_revision, floor_nonce, \
             compacted_revision, entries, content_bytes, retention_age_us, retention_revisions, create_time_us) \
             VALUES (1, 'bench', x'00', 0, x'00', 0, 0, x'00', 0, 0, 0, 0, 1000, 0)",
        )?;
        Ok(Self { connection, revision: 0, keys: Keys::fresh() })
    }

    /// Writes batches of these sizes over and over, for so long. Returns puts a second.
    pub fn run(&mut self, written: &Written, time: Duration) -> anyhow::Result<f64> {
        let shape = Shape {
            meta: vec![7; written.meta_bytes],
            content: material::content(written.content_bytes).into_bytes(),
            digest: vec![7; written.digest_bytes],
            outcome: vec![7; written.outcome_bytes],
        };
        let (begun, mut puts) = (Instant::now(), 0);
        for &rows in written.rows.iter().cycle() {
            self.commit(rows, &shape)?;
            puts += rows;
            if begun.elapsed() >= time {
                break;
            }
        }
        Ok(puts as f64 / begun.elapsed().as_secs_f64())
    }

    fn commit(&mut self, rows: usize, shape: &Shape) -> anyhow::Result<()> {
        const TIME: i64 = 1_700_000_000_000_000;
        let nonce = [7_u8; 16];
        let transaction = self.connection.transaction()?;
        {
            let mut log = transaction.prepare_cached(LOG)?;
            let mut versions = transaction.prepare_cached(VERSIONS)?;
            let mut requests = transaction.prepare_cached(REQUESTS)?;
            for _ in 0..rows {
                self.revision += 1;
                let (revision, key) = (self.revision, self.keys.draw());
                log.execute(params![revision, nonce, NAMESPACE, key, TIME, shape.meta, shape.content])?;
                versions.execute(params![NAMESPACE, key, revision])?;
                // As long, and as much in order, as the request ids of a client.
                let id = format!("0190a6b2-0000-7000-{:04x}-{revision:012x}", revision % 0xffff);
                requests.execute(params![
                    id,
                    shape.digest,
                    revision,
                    nonce,
                    TIME + revision,
                    shape.outcome
                ])?;
            }
            let head = "UPDATE heads SET revision = ?1, nonce = ?2, time_us = ?1, entries = ?1, content_bytes = ?1 \
                        WHERE swarm_id = 1";
            transaction.prepare_cached(head)?.execute((self.revision, nonce))?;
        }
        Ok(transaction.commit()?)
    }
}

struct Shape {
    meta: Vec<u8>,
    content: Vec<u8>,
    digest: Vec<u8>,
    outcome: Vec<u8>,
}

const LOG: &str = "INSERT OR ROLLBACK INTO log (swarm_id, revision, ordinal, nonce, namespace, key, change, cause, time_us, \
                   create_revision, create_time_us, version, expire_us, content_bytes, meta, content) \
                   VALUES (1, ?1, 0, ?2, ?3, ?4, 0, 1, ?5, ?1, ?5, 1, NULL, 1024, ?6, ?7)";
const VERSIONS: &str = "INSERT OR ROLLBACK INTO versions (swarm_id, namespace, key, revision, ordinal, change) \
                        VALUES (1, ?1, ?2, ?3, 0, 0)";
const REQUESTS: &str = "INSERT OR REPLACE INTO requests (swarm_id, agent, request_id, digest, revision, nonce, time_us, outcome) \
                        VALUES (1, 'bench', ?1, ?2, ?3, ?4, ?5, ?6)";
