//! How much each statement reads, on a server that knows nothing of the tables: nobody has analyzed them, as just after
//! the first entries came in. A plan that walks over a swarm is right, and hundreds of times slower; only this tells.

use futures_util::future::{BoxFuture, FutureExt as _};
use swarmem::{
    domain::{
        namespace::NamespaceRange,
        swarm::{Nonce, Revision, SwarmId},
        time::Timestamp,
    },
    store::{At, LogCursor, PageLimit, Scan, postgres::PostgresOptions},
};

use crate::{
    conformance::{
        Harness,
        requests::{delete, delete_below, once, op, path, put_for, write},
    },
    process::eventually,
    servers::postgres::Database,
};

const TEN: PageLimit = PageLimit { rows: 10, bytes: usize::MAX };
/// Versions behind the first few, a quarter of them of one entry.
const VERSIONS: u64 = 20_000;

/// A call of the store, and how much it may read: rows, and pages of tables and indexes.
struct Step {
    what: &'static str,
    reads: i64,
    call: for<'a> fn(&'a Harness, &'a SwarmId) -> BoxFuture<'a, ()>,
}

macro_rules! step {
    ($what:literal, $reads:literal, |$h:ident, $id:ident| $call:expr) => {
        Step { what: $what, reads: $reads, call: |$h, $id| async move { _ = $call }.boxed() }
    };
}

fn keys(from: u64) -> impl Iterator<Item = String> {
    (from..from + 10).map(|n| format!("k{n:05}"))
}

async fn look_up(h: &Harness, id: &SwarmId, from: u64, at: At) {
    let paths: Vec<_> = keys(from).map(|key| path("shared/x", &key)).collect();
    h.store.entries(id, &paths, at).await.unwrap();
}

/// Everything that a store is asked for, each a few times as much as it reads when it reads what it has to.
const STEPS: &[Step] = &[
    step!("ten new entries with a TTL, under ids", 400, |h, id| {
        let requests =
            keys(90_000).map(|key| once("ann", &key, 1, vec![op::put_for("shared/x", &key, "1", 9_999)]));
        h.commit(id, requests).await
    }),
    step!("the same again", 200, |h, id| {
        let requests =
            keys(90_000).map(|key| once("ann", &key, 1, vec![op::put_for("shared/x", &key, "1", 9_999)]));
        h.commit(id, requests).await
    }),
    step!("a later end for ten entries", 400, |h, id| {
        h.commit(id, keys(90_000).map(|key| put_for("shared/x", &key, "2", 19_999))).await
    }),
    step!("three entries below a prefix go", 200, |h, id| {
        h.commit(id, [delete_below("shared/y", Some(3))]).await
    }),
    step!("an entry goes, one that changes all the time", 100, |h, id| {
        h.commit(id, [delete("shared/x", "hot"), write(vec![op::put("shared/x", "hot", "1")])]).await
    }),
    step!("ten entries", 150, |h, id| look_up(h, id, 10_000, At::Newest).await),
    step!("ten entries before they came", 150, |h, id| {
        look_up(h, id, 10_000, At::Revision(Revision(1_000))).await
    }),
    step!("a history", 100, |h, id| {
        h.store.history(id, &path("shared/x", "hot"), None, TEN).await.unwrap()
    }),
    step!("the log in its middle", 100, |h, id| {
        h.store.log(id, LogCursor::after(Revision(VERSIONS / 2)), TEN).await.unwrap()
    }),
    step!("a range", 2_000, |h, id| {
        let scan =
            Scan { range: NamespaceRange::all(), after: None, at: At::Newest, limit: TEN, content: true };
        h.store.scan(id, &scan).await.unwrap()
    }),
    step!("a revision", 50, |h, id| h.store.mark_at(id, Revision(VERSIONS / 2)).await.unwrap()),
    step!("a head", 20, |h, id| h.store.swarm(id).await.unwrap()),
    step!("heads", 30, |h, id| h.store.heads(&[id.clone(), id.clone()]).await.unwrap()),
    step!("an outcome", 100, |h, id| {
        let head = h.head(id).await.mark;
        h.store.is_committed(id, Nonce([7; 16]), Revision(head.revision.0 - 5)).await.unwrap()
    }),
    step!("what expires next", 100, |h, id| {
        h.store.expired(id, Timestamp::from_micros(0), 10).await.unwrap()
    }),
    step!("a pass of compaction", 3_000, |h, id| {
        h.store.compact(id, Revision(VERSIONS / 2), 100).await.unwrap()
    }),
    step!("a hundred outcomes are forgotten", 2_000, |h, _id| {
        h.store.purge(Timestamp::from_micros(0), 1_000).await.unwrap()
    }),
    step!("a part of a deleted swarm", 1_000, |h, id| {
        h.store.delete_swarm(id).await.unwrap();
        h.store.purge(Timestamp::from_micros(0), 100).await.unwrap()
    }),
];

/// Versions of many entries and of one, outcomes of which some are too old, ends of which some are past.
fn fill(database: &Database, id: &SwarmId) {
    database.sql(&format!(
        "INSERT INTO swarmem.log SELECT l.swarm_id, l.life, l.revision + n, l.time_us, l.create_revision + n, \
           l.create_time_us, 1, l.content_bytes, NULL, 0, 0, l.cause, l.nonce, \
           CASE WHEN n % 10 = 1 THEN 'shared/y' ELSE 'shared/x' END, \
           CASE WHEN n % 4 = 0 THEN 'hot' ELSE 'k' || lpad(n::text, 5, '0') END, l.meta, l.content \
         FROM swarmem.log l JOIN swarmem.heads h USING (swarm_id, life), generate_series(1, {VERSIONS}) n \
         WHERE h.name = '{id}' AND l.revision = h.revision; \
         INSERT INTO swarmem.requests SELECT r.swarm_id, r.life, r.revision, \
           r.time_us - CASE WHEN n > 100 THEN 0 ELSE 90000000000 END + n, r.nonce, r.agent, 'r' || n, r.digest, r.outcome \
         FROM swarmem.requests r JOIN swarmem.heads h USING (swarm_id, life), generate_series(1, 5000) n \
         WHERE h.name = '{id}'; \
         INSERT INTO swarmem.expiries SELECT h.swarm_id, h.life, h.time_us + (n - 100) * 1000000000::bigint, 'shared/x', 'k' || n \
         FROM swarmem.heads h, generate_series(1, 5000) n WHERE h.name = '{id}'; \
         UPDATE swarmem.heads SET revision = revision + {VERSIONS}, entries = entries + 10000, \
           content_bytes = content_bytes + 10000, oldest_request_us = time_us - 90000000000 WHERE name = '{id}'"
    ));
}

async fn first(h: &Harness, name: &str) -> SwarmId {
    let id = h.create(name).await;
    h.commit(&id, [once("ann", "first", 1, vec![op::put("shared/x", "hot", "1")])]).await;
    id
}

async fn open(database: &Database) -> Harness {
    let h = super::harness(PostgresOptions::new(database.url())).await;
    database.sql(
        "ALTER TABLE swarmem.log SET (autovacuum_enabled = off); \
         ALTER TABLE swarmem.requests SET (autovacuum_enabled = off); \
         ALTER TABLE swarmem.expiries SET (autovacuum_enabled = off); \
         ALTER TABLE swarmem.heads SET (autovacuum_enabled = off)",
    );
    h
}

/// Rows and pages that were read so far, once nobody is connected: a session tells at its end.
async fn read(database: &Database) -> i64 {
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                  AND application_name = 'swarmem'";
    eventually("the end of all sessions", async || (database.sql(others) == "0").then_some(())).await;
    let tables = "relname IN ('heads', 'log', 'requests', 'expiries')";
    let read = database.sql(&format!(
        "SELECT (SELECT sum(t.seq_tup_read) FROM pg_stat_user_tables t WHERE {tables}) \
         + (SELECT sum(i.idx_tup_read) FROM pg_stat_user_indexes i WHERE {tables}) \
         + (SELECT sum(p.heap_blks_read + p.heap_blks_hit + p.idx_blks_read + p.idx_blks_hit) \
            FROM pg_statio_user_tables p WHERE {tables})"
    ));
    read.parse().unwrap()
}

/// Each call on a connection of its own: planned for the tables as they are.
#[tokio::test]
async fn every_statement_reads_only_what_it_has_to() {
    let database = Database::new();
    let h = open(&database).await;
    let id = first(&h, "a").await;
    drop(h);
    fill(&database, &id);
    let mut before = read(&database).await;
    let mut too_much = Vec::new();
    for Step { what, reads, call } in STEPS {
        let h = super::harness(PostgresOptions::new(database.url())).await;
        call(&h, &id).await;
        drop(h);
        let now = read(&database).await;
        println!("{what}: {} of {reads}", now - before);
        if now - before > *reads {
            too_much.push(format!("{what}: {}, at most {reads}", now - before));
        }
        before = now;
    }
    assert!(too_much.is_empty(), "{too_much:#?}");
}

/// All calls on one connection, planned when the tables were empty, as on every coordinator that has run for a while.
#[tokio::test]
async fn a_plan_for_empty_tables_is_good_for_full_ones() {
    let database = Database::new();
    let h = open(&database).await;
    let small = first(&h, "small").await;
    h.commit(&small, (0..10).map(|n| write(vec![op::put("shared/x", &n.to_string(), "1")]))).await;
    for _ in 0..7 {
        for step in STEPS {
            if !step.what.contains("middle")
                && !step.what.contains("deleted")
                && step.what != "a revision"
                && !step.what.contains("before")
            {
                (step.call)(&h, &small).await;
            }
        }
    }
    let id = first(&h, "a").await;
    fill(&database, &id);
    database.sql("SELECT pg_stat_reset()");
    for step in STEPS {
        (step.call)(&h, &id).await;
    }
    drop(h);
    let (read, reads) = (read(&database).await, STEPS.iter().map(|step| step.reads).sum::<i64>());
    println!("{read} of {reads}");
    assert!(read < reads, "{read}, at most {reads}");
}
