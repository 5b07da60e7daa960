//! Commits of several swarms in one file: that they share a transaction, and nothing else.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::join_all;
use rusqlite::Connection;
use swarmem::{
    domain::swarm::SwarmId,
    store::{
        CommitError, Error,
        sqlite::{SqliteOptions, SqliteStore},
    },
};

use super::{Harness, harness::clock, requests::put};

/// A store that waits for a stranger's lock, and so many swarms in it.
async fn swarms(file: &Path, count: usize) -> (Harness, Vec<SwarmId>) {
    let mut options = SqliteOptions::new(file, clock());
    options.busy_timeout = Duration::from_secs(60);
    let h = Harness::new(Arc::new(SqliteStore::open(options).await.unwrap()), clock(), Box::new(()));
    let mut swarms = Vec::new();
    for n in 0..count {
        swarms.push(h.create(&format!("s{n}")).await);
    }
    (h, swarms)
}

/// How many transactions stand in the write-ahead log: each ends with a frame that says how large the database is.
fn transactions(file: &Path) -> usize {
    const HEADER: usize = 32;
    const FRAME: usize = 24 + 4096;
    let log = std::fs::read(file.with_extension("db-wal")).unwrap();
    log[HEADER..].chunks_exact(FRAME).filter(|frame| frame[4..8] != [0; 4]).count()
}

/// Puts once into each swarm while a stranger holds the file's lock, so that all of them wait.
async fn put_into_all(
    h: &Harness,
    file: &Path,
    swarms: &[SwarmId],
    keys: &[&str],
) -> Vec<Result<(), CommitError>> {
    let stranger = Connection::open(file).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let puts = swarms
        .iter()
        .zip(keys)
        .map(|(swarm, key)| async move { h.try_commit(swarm, [put("shared/x", key, "v")]).await.map(drop) });
    let mut puts = std::pin::pin!(join_all(puts));
    // The first poll sends them all.
    assert!(futures_util::poll!(&mut puts).is_pending());
    stranger.execute_batch("ROLLBACK").unwrap();
    puts.await
}

#[tokio::test]
async fn swarms_that_wait_share_a_transaction() {
    const SWARMS: usize = 20;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("swarmem.db");
    let (h, swarms) = swarms(&file, SWARMS).await;
    let before = transactions(&file);
    for put in put_into_all(&h, &file, &swarms, &["k"; SWARMS]).await {
        put.unwrap();
    }
    // The first may have been alone when it was taken.
    assert!(transactions(&file) - before <= 2, "{SWARMS} puts came in {}", transactions(&file) - before);
    for swarm in &swarms {
        assert_eq!(h.content(swarm, "shared/x", "k").await.as_deref(), Some("v"));
    }
    h.check_invariants().await;
}

#[tokio::test]
async fn a_swarm_does_not_fail_for_another() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("swarmem.db");
    let (h, mut swarms) = swarms(&file, 4).await;
    Connection::open(&file)
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER broken BEFORE INSERT ON versions WHEN NEW.key = 'bad' \
             BEGIN SELECT RAISE(ROLLBACK, 'broken'); END",
        )
        .unwrap();
    swarms.push(SwarmId::parse("unknown").unwrap());
    let came = put_into_all(&h, &file, &swarms, &["k", "k", "bad", "k", "k"]).await;
    for (n, came) in came.iter().enumerate() {
        match n {
            2 => assert!(matches!(came, Err(CommitError::Failed(Error::Unavailable(_)))), "{came:?}"),
            4 => assert!(matches!(came, Err(CommitError::Failed(Error::SwarmNotFound))), "{came:?}"),
            _ => assert!(came.is_ok(), "{came:?}"),
        }
    }
    swarms.pop();
    for (n, swarm) in swarms.iter().enumerate() {
        let revision = h.head(swarm).await.mark.revision.0;
        assert_eq!(revision, u64::from(n != 2), "swarm {n}");
    }
    h.check_invariants().await;
}

#[tokio::test]
async fn a_database_of_before_user_versions_is_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("swarmem.db");
    let (h, swarms_made) = swarms(&file, 1).await;
    h.put(&swarms_made[0], "shared/x", "k", "v").await;
    drop(h);
    let other = Connection::open(&file).unwrap();
    other
        .execute_batch(
            "PRAGMA user_version = 0; CREATE TABLE _sqlx_migrations (version INTEGER); \
             INSERT INTO _sqlx_migrations VALUES (1)",
        )
        .unwrap();
    let (h, _) = swarms(&file, 0).await;
    assert_eq!(h.content(&swarms_made[0], "shared/x", "k").await.as_deref(), Some("v"));
    let version: i64 = other.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 1);
}
