//! A bare SQLite loop as a peer: the rows of our store, written straight to a file of the same schema and settings, in
//! batches of the sizes that our lane gathered. Knows the tables, nothing of what stands above them in the product.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, QueryBuilder, Row as _, Sqlite, SqliteConnection,
    query_builder::Separated,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use swarmem::bench::material::{self, Keys, NAMESPACE};

/// Commits that are looked at, the newest.
const COMMITS: i64 = 2_000;
/// Rows in one statement at most, as in the product.
const ROWS_MAX: usize = 64;

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
    pub async fn by(database: &Path, swarm: &str) -> anyhow::Result<Self> {
        let mut connection = SqliteConnectOptions::new().filename(database).read_only(true).connect().await?;
        let sizes = sqlx::query(
            "SELECT count(*) AS size FROM log WHERE swarm_id = (SELECT swarm_id FROM heads WHERE name = ?1) \
             GROUP BY nonce ORDER BY max(id) DESC LIMIT ?2",
        );
        let sizes = sizes.bind(swarm).bind(COMMITS).fetch_all(&mut connection).await?;
        let rows = sizes.iter().map(|row| Ok(usize::try_from(row.try_get::<i64, _>("size")?)?));
        let rows = rows.collect::<anyhow::Result<Vec<_>>>()?;
        anyhow::ensure!(!rows.is_empty(), "the coordinator wrote nothing");
        let lengths = sqlx::query(
            "SELECT length(meta) AS meta, length(content) AS content, length(digest) AS digest, \
             length(outcome) AS outcome FROM log JOIN requests USING (swarm_id, revision) \
             WHERE swarm_id = (SELECT swarm_id FROM heads WHERE name = ?1) LIMIT 1",
        );
        let lengths = lengths.bind(swarm).fetch_one(&mut connection).await?;
        let length = |name| anyhow::Ok(usize::try_from(lengths.try_get::<i64, _>(name)?)?);
        Ok(Self {
            rows,
            meta_bytes: length("meta")?,
            content_bytes: length("content")?,
            digest_bytes: length("digest")?,
            outcome_bytes: length("outcome")?,
        })
    }

    /// How many rows a commit had, on average.
    pub fn rows_per_commit(&self) -> f64 {
        self.rows.iter().sum::<usize>() as f64 / self.rows.len() as f64
    }
}

/// A database with the product's schema and settings, and one swarm.
pub struct Bare {
    connection: SqliteConnection,
    revision: i64,
    keys: Keys,
}

impl Bare {
    pub async fn create(directory: &Path) -> anyhow::Result<Self> {
        let mut connection = SqliteConnectOptions::new()
            .filename(directory.join("bare.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", "4096")
            .pragma("journal_size_limit", "67108864")
            .pragma("cache_size", "-16384")
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging()
            .connect()
            .await?;
        let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations/sqlite");
        let mut files =
            fs::read_dir(&migrations)?.map(|file| Ok(file?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        files.sort();
        for file in files {
            let text = fs::read_to_string(&file)?;
            sqlx::raw_sql(AssertSqlSafe(text))
                .execute(&mut connection)
                .await
                .with_context(|| format!("{}", file.display()))?;
        }
        let head = "INSERT INTO heads (swarm_id, name, incarnation, revision, nonce, time_us, floor_revision, floor_nonce, \
                    compacted_revision, entries, content_bytes, retention_age_us, retention_revisions, create_time_us) \
                    VALUES (1, 'bench', x'00', 0, x'00', 0, 0, x'00', 0, 0, 0, 0, 1000, 0)";
        sqlx::query(head).execute(&mut connection).await?;
        Ok(Self { connection, revision: 0, keys: Keys::fresh() })
    }

    /// Writes batches of these sizes over and over, for so long. Returns puts a second.
    pub async fn run(&mut self, written: &Written, time: Duration) -> anyhow::Result<f64> {
        let shape = Shape {
            meta: vec![7; written.meta_bytes],
            content: material::content(written.content_bytes).into_bytes(),
            digest: vec![7; written.digest_bytes],
            outcome: vec![7; written.outcome_bytes],
        };
        let (begun, mut puts) = (Instant::now(), 0);
        for &rows in written.rows.iter().cycle() {
            self.commit(rows, &shape).await?;
            puts += rows;
            if begun.elapsed() >= time {
                break;
            }
        }
        Ok(puts as f64 / begun.elapsed().as_secs_f64())
    }

    async fn commit(&mut self, rows: usize, shape: &Shape) -> anyhow::Result<()> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut self.connection).await?;
        let first = self.revision + 1;
        let rows: Vec<_> = (first..).take(rows).map(|revision| (revision, self.keys.draw())).collect();
        self.revision += rows.len() as i64;
        let nonce = [7_u8; 16].as_slice();
        insert(&mut self.connection, LOG, &rows, |row, (revision, key)| {
            row.push_bind(1).push_bind(*revision).push_bind(0).push_bind(nonce).push_bind(NAMESPACE);
            row.push_bind(key.as_str()).push_bind(1).push_bind(1).push_bind(1_700_000_000_000_000_i64);
            row.push_bind(*revision).push_bind(1_700_000_000_000_000_i64).push_bind(1).push_bind(None::<i64>);
            row.push_bind(1024).push_bind(shape.meta.as_slice()).push_bind(shape.content.as_slice());
        })
        .await?;
        insert(&mut self.connection, VERSIONS, &rows, |row, (revision, key)| {
            row.push_bind(1).push_bind(NAMESPACE).push_bind(key.as_str());
            row.push_bind(*revision).push_bind(0).push_bind(1);
        })
        .await?;
        insert(&mut self.connection, REQUESTS, &rows, |row, (revision, _)| {
            // As long, and as much in order, as the request ids of a client.
            let id = format!("0190a6b2-0000-7000-{:04x}-{revision:012x}", revision % 0xffff);
            row.push_bind(1).push_bind("bench").push_bind(id).push_bind(shape.digest.as_slice());
            row.push_bind(*revision).push_bind(nonce).push_bind(1_700_000_000_000_000_i64 + *revision);
            row.push_bind(shape.outcome.as_slice());
        })
        .await?;
        let head = "UPDATE heads SET revision = ?1, nonce = ?2, time_us = ?1, entries = ?1, content_bytes = ?1 WHERE swarm_id = 1";
        sqlx::query(head).bind(self.revision).bind(nonce).execute(&mut self.connection).await?;
        sqlx::query("COMMIT").execute(&mut self.connection).await?;
        Ok(())
    }
}

struct Shape {
    meta: Vec<u8>,
    content: Vec<u8>,
    digest: Vec<u8>,
    outcome: Vec<u8>,
}

const LOG: &str = "INSERT OR ROLLBACK INTO log (swarm_id, revision, ordinal, nonce, namespace, key, change, cause, time_us, \
                   create_revision, create_time_us, version, expire_us, content_bytes, meta, content) ";
const VERSIONS: &str =
    "INSERT OR ROLLBACK INTO versions (swarm_id, namespace, key, revision, ordinal, change) ";
const REQUESTS: &str = "INSERT OR REPLACE INTO requests (swarm_id, agent, request_id, digest, revision, nonce, time_us, outcome) ";

async fn insert<'a, T>(
    connection: &mut SqliteConnection,
    into: &'static str,
    mut rows: &'a [T],
    bind: impl Fn(&mut Separated<'_, Sqlite, &'static str>, &'a T),
) -> anyhow::Result<()> {
    while let Some(power) = rows.len().min(ROWS_MAX).checked_ilog2() {
        let (chunk, rest) = rows.split_at(1 << power);
        let mut sql = QueryBuilder::<Sqlite>::new(into);
        sql.push_values(chunk, |mut row, of| bind(&mut row, of));
        sql.build().execute(&mut *connection).await?;
        rows = rest;
    }
    Ok(())
}
