//! Behind PgBouncer in transaction mode: nothing may hang on a connection from one transaction to the next.

use std::sync::Arc;

use swarmem::{
    domain::namespace::NamespaceRange,
    store::{
        At, CommitError, Error,
        postgres::{Pooler, PostgresOptions, PostgresStore},
    },
};
use tokio::task::JoinSet;

use super::{SHORT, harness, stranger};
use crate::{
    conformance::{
        Harness,
        requests::{once, op, put, put_for},
    },
    process::eventually,
    servers::{pgbouncer::Pgbouncer, postgres::Database},
};

fn options(database: &Database, pooler: &Pgbouncer) -> PostgresOptions {
    PostgresOptions { pooler: Pooler::Transaction, ..PostgresOptions::new(pooler.url(database)) }
}

async fn started(database: &Database, pooler: &Pgbouncer) -> Harness {
    eventually("the pooler", async || PostgresStore::open(options(database, pooler)).await.ok()).await;
    harness(options(database, pooler)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_writers_share_few_connections_of_the_server() {
    let database = Database::new();
    let pooler = Pgbouncer::before(&database, 3);
    let h = Arc::new(started(&database, &pooler).await);
    let ids = [h.create("a").await, h.create("b").await];
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (h, id) = (Arc::clone(&h), ids[writer % 2].clone());
        writers.spawn(async move {
            for n in 0..6 {
                let key = format!("{writer}-{n}");
                h.put(&id, "shared/x", &key, "v").await;
                assert_eq!(h.content(&id, "shared/x", &key).await.as_deref(), Some("v"));
            }
        });
    }
    writers.join_all().await;
    for id in &ids {
        assert_eq!(h.scan(id, &NamespaceRange::all(), At::Newest, 5).await.len(), 24);
        h.done(id, once("ann", "1", 1, vec![op::put("shared/y", "k", "1")])).await;
        h.done(id, put_for("shared/y", "t", "v", 60)).await;
        let newest = h.head(id).await.mark.revision;
        h.store.compact(id, newest, 1_000).await.unwrap();
        h.store.heads(&ids).await.unwrap();
        assert_eq!(h.store.is_committed(id, h.head(id).await.mark.nonce, newest).await.ok(), Some(false));
        h.store.purge(h.now(), 100).await.unwrap();
        h.store.expired(id, h.now(), 10).await.unwrap();
    }
    h.check_invariants().await;
}

/// The bounds of a transaction hold although no session is set up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_is_not_waited_for_longer_than_a_call_may_take() {
    let database = Database::new();
    let pooler = Pgbouncer::before(&database, 2);
    drop(started(&database, &pooler).await);
    let h = harness(PostgresOptions { timeout: SHORT, ..options(&database, &pooler) }).await;
    let id = h.create("a").await;
    let other = stranger(&database).await;
    other.batch_execute("BEGIN; SELECT 1 FROM swarmem.heads FOR UPDATE").await.unwrap();
    for _ in 0..2 {
        let failed = h.try_commit(&id, [put("shared/x", "k", "1")]).await;
        let Err(CommitError::Failed(Error::Unavailable(cause))) = failed else { panic!("{failed:?}") };
        assert!(cause.to_string().contains("55P03"), "the server itself gave up: {cause}");
    }
    other.batch_execute("ROLLBACK").await.unwrap();
    h.put(&id, "shared/x", "k", "1").await;
    h.store.ping_write().await.unwrap();
}
