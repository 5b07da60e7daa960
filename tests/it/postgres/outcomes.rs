//! Commits whose answer is lost, servers that refuse, calls that are given up.

use std::sync::Arc;

use swarmem::{
    domain::swarm::{Nonce, Revision},
    store::{Batch, CommitError, Error, postgres::PostgresOptions},
};
use uuid::Uuid;

use super::{SHORT, harness, swarm, with_timeout};
use crate::{
    conformance::{
        Harness,
        requests::{once, op, put, write},
    },
    process::eventually,
    servers::{
        cut::{CutProxy, Loss},
        postgres::Database,
    },
};

/// A commit by hand, to know its nonce.
async fn commit(h: &Harness, content: &str) -> (Nonce, Result<Revision, CommitError>) {
    let request = once("ann", content, 1, vec![op::put("shared/x", "k", content)]);
    let nonce = Nonce(Uuid::new_v4().into_bytes());
    let batch = Batch::new(vec![Arc::new(request)], nonce, h.limits);
    let done = h.store.commit(&swarm("a"), &batch).await;
    (nonce, done.map(|applied| applied.head.mark.revision))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_is_lost_is_found_by_its_nonce() {
    let database = Database::new();
    let proxy = CutProxy::to(database.server.port).await;
    let h = harness(PostgresOptions::new(database.tcp_url(proxy.port))).await;
    let id = h.create("a").await;
    for (at, loss) in [(0_u64, Loss::Answer), (1, Loss::Request), (1, Loss::Answer), (2, Loss::Request)] {
        let before = h.head(&id).await.mark.revision;
        assert_eq!(before, Revision(at));
        let content = format!("{at} {loss:?}");
        proxy.arm(b"COMMIT\0", loss);
        let (nonce, failed) = commit(&h, &content).await;
        proxy.struck().await;
        assert!(matches!(failed, Err(CommitError::Unknown { .. })), "{loss:?}: {failed:?}");
        let committed = h.store.is_committed(&id, nonce, before).await.unwrap();
        assert_eq!(committed, loss == Loss::Answer);
        // Done again under its id, it is answered or done: in either case there is one.
        if committed {
            let (_, again) = commit(&h, &content).await;
            assert_eq!(again.unwrap(), before.next());
        }
        let expected = if committed { before.next() } else { before };
        assert_eq!(h.head(&id).await.mark.revision, expected);
    }
    h.check_invariants().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_writes_say_when_their_outcome_is_unknown() {
    let database = Database::new();
    let proxy = CutProxy::to(database.server.port).await;
    let h = harness(PostgresOptions::new(database.tcp_url(proxy.port))).await;
    // Prepared once, so that what is cut is not the preparation.
    let id = h.create("a").await;
    h.store.delete_swarm(&id).await.unwrap();
    proxy.arm(b"a", Loss::Answer);
    let failed = h.store.create_swarm(&id, crate::conformance::RETENTION).await;
    assert!(matches!(failed, Err(Error::OutcomeUnknown(_))), "{failed:?}");
    assert!(h.store.swarm(&id).await.is_ok());
}

/// A coordinator that is gone without a word holds its lock no longer than its calls may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_lock_of_a_coordinator_that_fell_silent_goes_away() {
    let database = Database::new();
    let proxy = CutProxy::to(database.server.port).await;
    let silent = harness(with_timeout(database.tcp_url(proxy.port), SHORT)).await;
    let well = harness(with_timeout(database.url(), SHORT)).await;
    let id = silent.create("a").await;
    commit(&silent, "prepares").await.1.unwrap();
    proxy.arm(b"COMMIT\0", Loss::Silence);
    let (nonce, failed) = commit(&silent, "lost").await;
    assert!(matches!(failed, Err(CommitError::Unknown { .. })), "{failed:?}");
    let committed = eventually("the end of the lock", async || {
        well.store.is_committed(&id, nonce, Revision(1)).await.ok()
    })
    .await;
    assert!(!committed);
    assert_eq!(well.put(&id, "shared/x", "k", "next").await.revision, Revision(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_server_refuses_leaves_nothing_and_says_why() {
    let database = Database::new();
    let h = harness(PostgresOptions::new(database.url())).await;
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "1").await;
    let (head, log) = (h.head(&id).await, h.log(&id, 0).await.versions);
    type Expected = fn(&Error) -> bool;
    let codes: [(&str, Expected); 4] = [
        ("53100", |error| matches!(error, Error::Full(_))),
        ("25006", |error| matches!(error, Error::ReadOnly(_))),
        ("XX001", |error| matches!(error, Error::Corrupt(_))),
        ("P0001", |error| matches!(error, Error::Unavailable(_))),
    ];
    for (code, expected) in codes {
        for table in ["log", "heads", "requests"] {
            database.sql(&format!(
                "CREATE FUNCTION swarmem.broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 RAISE EXCEPTION 'broken' USING ERRCODE = '{code}'; END $$; \
                 CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON swarmem.{table} \
                 FOR EACH ROW EXECUTE FUNCTION swarmem.broken()"
            ));
            let request =
                once("ann", "1", 1, vec![op::put("shared/x", "k", "2"), op::put("shared/y", "k", "2")]);
            let failed = h.try_commit(&id, [request]).await;
            assert!(matches!(&failed, Err(CommitError::Failed(e)) if expected(e)), "{code}: {failed:?}");
            assert_eq!((h.head(&id).await, h.log(&id, 0).await.versions), (head, log.clone()));
            database.sql("DROP FUNCTION swarmem.broken CASCADE");
        }
    }
    h.put(&id, "shared/x", "k", "2").await;
    h.check_invariants().await;
}

/// The server names the key of a row that cannot be inserted; neither logs nor errors do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stored_does_not_show_in_errors() {
    let database = Database::new();
    let h = harness(PostgresOptions::new(database.url())).await;
    let id = h.create("a").await;
    database.sql(
        "CREATE FUNCTION swarmem.twice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         INSERT INTO swarmem.log SELECT NEW.*; RETURN NEW; END $$; \
         CREATE TRIGGER twice AFTER INSERT ON swarmem.log FOR EACH ROW WHEN (pg_trigger_depth() = 0) \
         EXECUTE FUNCTION swarmem.twice(); \
         CREATE UNIQUE INDEX twice ON swarmem.log (swarm_id, namespace)",
    );
    let failed = h.try_commit(&id, [put("shared/private-matter", "k", "v")]).await;
    let Err(CommitError::Failed(Error::Unavailable(cause))) = failed else { panic!("{failed:?}") };
    assert!(cause.to_string().contains("23505"), "{cause}");
    assert!(!format!("{cause} {cause:?}").contains("private"), "{cause:?}");
}

/// A head that is not where the lock found it must not be moved; nothing but a defect leads there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_moved_under_its_lock_stops_the_commit() {
    let database = Database::new();
    let h = harness(PostgresOptions::new(database.url())).await;
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "1").await;
    database.sql(
        "CREATE FUNCTION swarmem.moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         UPDATE swarmem.heads SET revision = revision + 1; RETURN NEW; END $$; \
         CREATE TRIGGER moves BEFORE INSERT ON swarmem.log FOR EACH ROW EXECUTE FUNCTION swarmem.moves()",
    );
    let failed = h.try_commit(&id, [put("shared/x", "k", "2")]).await;
    assert!(matches!(failed, Err(CommitError::Failed(Error::Corrupt(_)))), "{failed:?}");
    assert_eq!(h.head(&id).await.mark.revision, Revision(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_is_read_only_and_read() {
    let database = Database::new();
    let h = harness(PostgresOptions::new(database.url())).await;
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "1").await;
    let set = |to: &str| {
        let server = database.server;
        server.sql(
            "postgres",
            &format!("ALTER DATABASE {} SET default_transaction_read_only = {to}", database.name),
        );
        server.sql(
            "postgres",
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{}'",
                database.name
            ),
        );
    };
    set("on");
    // Whoever had a connection learns first that it is gone.
    let failed =
        eventually("a connection", async || match h.try_commit(&id, [put("shared/x", "k", "2")]).await {
            Err(CommitError::Failed(Error::Unavailable(_)) | CommitError::Unknown { .. }) => None,
            other => Some(other),
        })
        .await;
    assert!(matches!(failed, Err(CommitError::Failed(Error::ReadOnly(_)))), "{failed:?}");
    assert!(matches!(h.store.ping_write().await, Err(Error::ReadOnly(_))));
    assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some("1"));
    h.store.ping().await.unwrap();
    set("off");
    eventually("a connection", async || h.try_commit(&id, [put("shared/x", "k", "2")]).await.ok()).await;
}

/// A call that is dropped at any point leaves the store usable, and its commit happened or did not.
#[tokio::test]
async fn a_dropped_call_leaves_nothing_behind() {
    let database = Database::new();
    let mut options = PostgresOptions::new(database.url());
    // So few that one that is lost would be missed.
    options.connections = 2;
    let h = harness(options).await;
    let id = h.create("a").await;
    for polls in 0..24 {
        let content = format!("{polls}");
        let dropped = h.try_commit(&id, [write(vec![op::put("shared/x", "dropped", &content)])]);
        poll_some(dropped, polls).await;
        poll_some(h.log(&id, 0), polls).await;
        poll_some(h.store.swarm(&id), polls).await;
        h.put(&id, "shared/x", "k", &content).await;
    }
    h.check_invariants().await;
}

/// Polls a future so often, letting others run in between, then drops it.
async fn poll_some<F: Future>(future: F, polls: usize) {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let done =
            std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_ready()));
        if done.await {
            return;
        }
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let database = Database::new();
    let store =
        swarmem::store::postgres::PostgresStore::open(PostgresOptions::new(database.url())).await.unwrap();
    use swarmem::store::Store as _;
    store.ping().await.unwrap();
    store.close().await;
    assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
    assert!(matches!(store.swarm(&swarm("a")).await, Err(Error::Unavailable(_))));
}
