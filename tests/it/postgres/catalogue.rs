//! The schema as the server describes it: a swarm is the shard.

use swarmem::store::postgres::{PostgresOptions, PostgresStore};

use crate::servers::postgres::Database;

/// What holds for the whole store; an engine that shards copies it to every node.
const REFERENCE: &str = "('settings', 'migrations')";

#[tokio::test]
async fn every_table_key_and_index_begins_with_the_swarm() {
    let database = Database::new();
    PostgresStore::open(PostgresOptions::new(database.url())).await.unwrap();
    let tables = database.sql(&format!(
        "SELECT c.relname, c.relkind, c.relpersistence, a.attnotnull, format_type(a.atttypid, NULL) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'swarm_id' \
         WHERE n.nspname = 'swarmem' AND c.relkind <> 'i' AND c.relname NOT IN {REFERENCE} ORDER BY 1"
    ));
    let expected: Vec<_> = ["dead_swarms", "expiries", "heads", "log", "requests"]
        .iter()
        .map(|table| format!("{table}|r|p|t|bigint"))
        .collect();
    assert_eq!(tables.lines().collect::<Vec<_>>(), expected, "ordinary tables, and no sequence or view");
    let indexes = database.sql(&format!(
        "SELECT i.indexrelid::regclass, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace \
         LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0] \
         WHERE n.nspname = 'swarmem' AND c.relname NOT IN {REFERENCE}"
    ));
    assert!(indexes.lines().count() >= 7, "{indexes}");
    assert!(indexes.lines().all(|index| index.ends_with("|swarm_id")), "{indexes}");
    let keys = database.sql(&format!(
        "SELECT c.relname, k.contype, k.conkey[1] = (SELECT a.attnum FROM pg_attribute a \
           WHERE a.attrelid = c.oid AND a.attname = 'swarm_id') \
         FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = 'swarmem' AND k.contype <> 'n' AND c.relname NOT IN {REFERENCE}"
    ));
    assert_eq!(keys.lines().filter(|key| key.ends_with("|p|t")).count(), keys.lines().count(), "{keys}");
    assert_eq!(keys.lines().count(), expected.len(), "one key each, and nothing refers to anything: {keys}");
    let triggers = database.sql(
        "SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'swarmem'",
    );
    assert_eq!(triggers, "0");
    let heads = database.sql("SELECT reloptions FROM pg_class WHERE oid = 'swarmem.heads'::regclass");
    assert!(heads.contains("fillfactor=20"), "{heads}");
}

/// Every commit changes the head, and none of what changes is in an index: the row stays on its page.
#[tokio::test]
async fn a_commit_touches_no_index_of_the_heads() {
    let database = Database::new();
    let h = super::harness(PostgresOptions::new(database.url())).await;
    let id = h.create("a").await;
    for n in 0..200 {
        h.put(&id, "shared/x", "k", &n.to_string()).await;
    }
    h.store.compact(&id, swarmem::domain::swarm::Revision(100), 1_000).await.unwrap();
    database.sql("SELECT pg_stat_force_next_flush()");
    drop(h);
    let seen = crate::process::eventually("statistics", async || {
        let seen = database.sql(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'swarmem.heads'::regclass",
        );
        (seen.split('|').next().unwrap().parse::<u32>().unwrap() >= 200).then_some(seen)
    })
    .await;
    let (all, hot) = seen.split_once('|').unwrap();
    // Now and then a page is full for a moment, because somebody still reads what is old on it.
    let (all, hot): (u32, u32) = (all.parse().unwrap(), hot.parse().unwrap());
    assert!(hot * 10 >= all * 9, "{hot} of {all}");
}
