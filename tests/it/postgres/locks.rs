//! What coordinators that share a database see of each other's commits.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use swarmem::{
    domain::{
        apply::Refusal,
        limits::Limits,
        namespace::NamespaceRange,
        request::{Condition, Test},
        swarm::{Nonce, Revision},
    },
    store::{At, Batch, CommitError, Error, postgres::PostgresOptions},
};
use tokio::task::JoinSet;

use super::{SHORT, blocked, harness, stranger, swarm, with_timeout};
use crate::{
    conformance::requests::{etag, on, op, path, put, put_if, transaction},
    process::PATIENCE,
    servers::postgres::Database,
};

/// What a commit loads is as of its lock, not as of its statement: the commit that held the lock meanwhile is in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_sees_what_was_committed_while_it_waited_for_the_lock() {
    let database = Database::new();
    let h = Arc::new(harness(PostgresOptions::new(database.url())).await);
    let id = h.create("a").await;
    let first = h.put(&id, "shared/x", "k", "1").await;
    let other = stranger(&database).await;
    other.batch_execute("BEGIN; SELECT 1 FROM swarmem.heads FOR UPDATE").await.unwrap();
    let waiting = tokio::spawn({
        let (h, id) = (Arc::clone(&h), id.clone());
        async move { h.run(&id, put_if("shared/x", "k", "mine", etag(first))).await }
    });
    blocked(&database, 1).await;
    // Another coordinator's commit, as far as the tables go.
    other
        .batch_execute(
            "INSERT INTO swarmem.log SELECT swarm_id, life, 2, time_us, create_revision, create_time_us, 2, \
             content_bytes, expire_us, ordinal, change, cause, gen_random_uuid(), namespace, key, meta, '\\x0132' \
             FROM swarmem.log; \
             UPDATE swarmem.heads SET revision = 2, nonce = (SELECT nonce FROM swarmem.log WHERE revision = 2); \
             COMMIT",
        )
        .await
        .unwrap();
    let refused = waiting.await.unwrap().unwrap_err();
    let Refusal::ConditionFailed { path: of, current: Some(current) } = refused else {
        panic!("{refused:?}")
    };
    assert_eq!((of, &*current.body.content), (path("shared/x", "k"), "2"));
    assert_eq!(h.put(&id, "shared/x", "k", "3").await.revision, Revision(3));
    h.check_invariants().await;
}

/// The figures of a write tell another's lock from a slow read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wait_for_a_lock_is_told_apart_from_the_loading() {
    let database = Database::new();
    let h = Arc::new(harness(PostgresOptions::new(database.url())).await);
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "1").await;
    let other = stranger(&database).await;
    other.batch_execute("BEGIN; SELECT 1 FROM swarmem.heads FOR UPDATE").await.unwrap();
    let requests = vec![Arc::new(put("shared/x", "k", "2"))];
    let batch = Batch::new(requests, Nonce([1; 16]), Limits::default());
    let progress = Arc::clone(&batch.progress);
    let waiting = tokio::spawn({
        let (h, id) = (Arc::clone(&h), id.clone());
        async move { h.store.commit(&id, &batch).await }
    });
    blocked(&database, 1).await;
    other.batch_execute("SELECT pg_sleep(0.2); COMMIT").await.unwrap();
    waiting.await.unwrap().unwrap();
    let phases = progress.phases();
    assert!(phases.lock >= Duration::from_millis(200) && phases.load < phases.lock, "{phases:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_coordinators_lose_no_update_and_leave_no_gap() {
    const WRITERS: usize = 6;
    const WRITES: usize = 8;
    let database = Database::new();
    let (one, two) = tokio::join!(
        harness(PostgresOptions::new(database.url())),
        harness(PostgresOptions::new(database.url()))
    );
    let both = [Arc::new(one), Arc::new(two)];
    let id = both[0].create("a").await;
    both[1].put(&id, "shared/x", "count", "0").await;
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (h, id) = (Arc::clone(&both[writer % 2]), id.clone());
        writers.spawn(async move {
            let mut counted = 0;
            while counted < WRITES {
                let entry = h.get(&id, "shared/x", "count").await.unwrap();
                let next = entry.body.content.parse::<u64>().unwrap() + 1;
                let request = transaction(
                    vec![on("shared/x", "count", Test::Etag(true, entry.etag()))],
                    vec![op::put("shared/x", "count", &next.to_string())],
                    vec![],
                );
                counted += usize::from(h.run(&id, request).await.unwrap().succeeded);
            }
        });
    }
    writers.join_all().await;
    let all = WRITERS * WRITES;
    for h in &both {
        assert_eq!(h.content(&id, "shared/x", "count").await, Some(all.to_string()));
        assert_eq!(h.head(&id).await.mark.revision, Revision(all as u64 + 1));
        // It reads the whole log, and finds no gap in it.
        h.check_invariants().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_is_held_for_long_is_unavailable_and_blocks_neither_reads_nor_other_swarms() {
    let database = Database::new();
    let h = harness(with_timeout(database.url(), SHORT)).await;
    let (id, free) = (h.create("a").await, h.create("b").await);
    h.put(&id, "shared/x", "k", "1").await;
    let other = stranger(&database).await;
    other.batch_execute("BEGIN; SELECT 1 FROM swarmem.heads WHERE name = 'a' FOR UPDATE").await.unwrap();
    for _ in 0..2 {
        let begun = Instant::now();
        let failed = h.try_commit(&id, [put("shared/x", "k", "2")]).await;
        assert!(matches!(failed, Err(CommitError::Failed(Error::Unavailable(_)))), "{failed:?}");
        assert!(begun.elapsed() < PATIENCE);
        assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some("1"));
        h.put(&free, "shared/x", "k", "v").await;
    }
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(h.put(&id, "shared/x", "k", "2").await.revision, Revision(2));
    h.check_invariants().await;
}

/// A commit that waited for the end of its swarm finds none, and one that waited for the next one finds that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swarm_that_is_deleted_under_a_waiting_commit_is_gone() {
    let database = Database::new();
    let h = Arc::new(harness(PostgresOptions::new(database.url())).await);
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "1").await;
    for recreated in [false, true] {
        let other = stranger(&database).await;
        other.batch_execute("BEGIN; DELETE FROM swarmem.heads").await.unwrap();
        let waiting = tokio::spawn({
            let (h, id) = (Arc::clone(&h), id.clone());
            async move { h.try_commit(&id, [put_if("shared/x", "k", "2", Condition::Absent)]).await }
        });
        blocked(&database, 1).await;
        if recreated {
            other
                .batch_execute(&format!(
                    "INSERT INTO swarmem.heads SELECT {}, 7, 0, 0, 0, 0, 0, 0, NULL, NULL, 1, 1, 0, u, u, u, 'a' \
                     FROM (SELECT gen_random_uuid() AS u) u; COMMIT",
                    database.sql("SELECT swarm_id FROM swarmem.heads")
                ))
                .await
                .unwrap();
            assert_eq!(waiting.await.unwrap().unwrap().head.mark.revision, Revision(1));
        } else {
            other.batch_execute("COMMIT").await.unwrap();
            let failed = waiting.await.unwrap();
            assert!(matches!(failed, Err(CommitError::Failed(Error::SwarmNotFound))), "{failed:?}");
            h.create("a").await;
        }
    }
    let all = h.scan(&swarm("a"), &NamespaceRange::all(), At::Newest, 10).await;
    assert_eq!(all.len(), 1);
}
