//! Opening a database: several at once, and everything that is refused with the way out. No message holds a password.

use std::net::TcpListener;

use swarmem::store::{
    Store as _,
    postgres::{OpenError, PostgresOptions, PostgresStore, migrate, status},
};

use super::swarm;
use crate::servers::postgres::{Database, PASSWORD};

async fn refused(url: String) -> OpenError {
    let error = PostgresStore::open(PostgresOptions::new(url)).await.err().expect("it is refused");
    let said = format!("{error} {error:?}");
    assert!(!said.contains(PASSWORD) && !said.contains("wrong-horse"), "{said}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coordinators_that_start_together_make_one_schema() {
    let database = Database::new();
    let open = || PostgresStore::open(PostgresOptions::new(database.url()));
    let (a, b, c, d) = tokio::join!(open(), open(), open(), open());
    let stores = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()];
    let id = swarm("a");
    stores[0].create_swarm(&id, crate::conformance::RETENTION).await.unwrap();
    let token = {
        use swarmem::domain::position::{Arguments, Position, Purpose};
        let head = stores[0].swarm(&id).await.unwrap().head;
        let key = stores[0].token_key().await.unwrap();
        let token = key.seal(
            &id,
            Purpose::Position,
            Arguments::default(),
            &Position::after(head.incarnation, head.mark),
        );
        for store in &stores[1..] {
            assert!(store.token_key().await.unwrap().open(&id, Purpose::Position, &token).is_ok());
        }
        token
    };
    assert!(!token.is_empty());
    let steps = "SELECT version, name, program_min FROM swarmem.migrations ORDER BY version";
    assert_eq!(database.sql(steps), "1|swarms|1\n2|commit|1");
}

#[tokio::test]
async fn a_schema_is_looked_at_and_migrated_by_hand() {
    let database = Database::new();
    let options = PostgresOptions::new(database.url());
    let empty = status(&options).await.unwrap();
    assert_eq!((empty.version, empty.known), (None, 2));
    assert_eq!(database.sql("SELECT to_regnamespace('swarmem') IS NULL"), "t", "a look changes nothing");
    assert_eq!(migrate(&options).await.unwrap().version, None);
    assert_eq!(migrate(&options).await.unwrap().version, Some(2));
    assert_eq!(status(&options).await.unwrap().version, Some(2));
}

/// As an older coordinator left it, which may still run beside this one.
#[tokio::test]
async fn a_database_of_an_older_program_is_brought_up_to_date_and_still_serves_it() {
    const FIRST: &str = include_str!("../../../migrations/postgres/0001_swarms.sql");
    // What somebody's database has is never changed: a difference is a step of its own.
    assert_eq!(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(FIRST.as_bytes())), "1b7ba3997d6480fa");
    let database = Database::new();
    database.sql(
        "CREATE SCHEMA swarmem; CREATE TABLE swarmem.migrations (version integer NOT NULL PRIMARY KEY, \
         name text NOT NULL, program_min integer NOT NULL, applied_at timestamptz NOT NULL DEFAULT now()); \
         INSERT INTO swarmem.migrations VALUES (1, 'swarms', 1)",
    );
    database.sql(FIRST);
    let h = super::harness(PostgresOptions::new(database.url())).await;
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "1").await;
    assert_eq!(h.content(&id, "shared/x", "k").await.as_deref(), Some("1"));
    h.check_invariants().await;
    // By the call that the older program makes.
    let older = database.sql(
        "SELECT l.revision FROM swarmem.heads h CROSS JOIN LATERAL \
         swarmem.lock_and_load_1(h.swarm_id, h.name, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') l",
    );
    assert_eq!(older, "1");
}

#[tokio::test]
async fn a_newer_schema_is_refused_unless_it_says_that_we_can_work_with_it() {
    let database = Database::new();
    PostgresStore::open(PostgresOptions::new(database.url())).await.unwrap();
    database.sql("INSERT INTO swarmem.migrations VALUES (9998, 'adds', 1)");
    PostgresStore::open(PostgresOptions::new(database.url())).await.unwrap();
    database.sql("INSERT INTO swarmem.migrations VALUES (9999, 'takes away', 9998)");
    let error = refused(database.url()).await;
    assert!(matches!(&error, OpenError::Newer { found: 9999, known: 2, .. }), "{error}");
    assert!(error.to_string().contains("9999") && error.to_string().contains("newer program"), "{error}");
}

#[tokio::test]
async fn what_cannot_be_opened_is_refused_with_the_way_out() {
    let database = Database::new();
    let port = database.server.port;
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = refused(database.tcp_url(closed)).await;
    assert!(matches!(&error, OpenError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{closed}")), "{error}");
    assert!(error.to_string().contains("store.url"), "{error}");

    let error = refused(database.tcp_url(port).replace(PASSWORD, "wrong-horse")).await;
    assert!(matches!(&error, OpenError::Refused { user, .. } if user == "swarmem"), "{error}");
    let error = refused(database.tcp_url(port).replace(&format!(":{PASSWORD}"), "")).await;
    assert!(matches!(&error, OpenError::Refused { .. }), "{error}");

    let error = refused(database.url().replace(&database.name, "nowhere")).await;
    assert!(error.to_string().contains("createdb -E UTF8 nowhere"), "{error}");

    for url in [
        "postgres://",
        "postgres://me:wrong-horse@host:no/db",
        "postgres://me:wrong-horse@host/db?sslmode=require",
        // Written as it is said, its end would be the host.
        "postgres://me:wr@ng-horse@host/db",
    ] {
        let error = refused(url.to_owned()).await;
        assert!(matches!(&error, OpenError::Url { .. }), "{url}: {error}");
        assert!(!error.to_string().contains("horse"), "{error}");
    }

    database.sql("CREATE SCHEMA swarmem; CREATE TABLE swarmem.theirs (a int)");
    let error = refused(database.url()).await;
    assert!(matches!(&error, OpenError::NotSwarmem { .. }), "{error}");
    assert!(error.to_string().contains("choose another database"), "{error}");
    assert_eq!(database.sql("SELECT count(*) FROM swarmem.theirs"), "0", "it is left as it is");
}

#[tokio::test]
async fn a_role_that_may_not_set_up_the_schema_is_told_what_it_needs() {
    let database = Database::new();
    let role = format!("poor_{}", database.name);
    database.sql(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN"));
    let url = database.url().replace("swarmem@", &format!("{role}@"));
    let error = refused(url.clone()).await;
    assert!(matches!(&error, OpenError::NotAllowed { .. }), "{error}");
    assert!(error.to_string().contains("GRANT CREATE ON DATABASE"), "{error}");
    let obstacle = status(&PostgresOptions::new(url.clone())).await.unwrap().obstacle.unwrap();
    assert!(obstacle.contains("no CREATE on the database"), "{obstacle}");
    // Once somebody else has set it up, it needs no more than the tables.
    migrate(&PostgresOptions::new(database.url())).await.unwrap();
    let error = refused(url.clone()).await;
    assert!(error.to_string().contains("USAGE on the schema"), "{error}");
    database.sql(&format!(
        "GRANT USAGE ON SCHEMA swarmem TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA swarmem TO {role}"
    ));
    let error = refused(url.clone()).await;
    assert!(matches!(&error, OpenError::MayNot { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("INSERT on log") && error.contains("GRANT USAGE ON SCHEMA"), "{error}");
    assert!(!error.contains("SELECT on") && !error.contains("migrations"), "{error}");
    database.sql(&format!(
        "GRANT USAGE ON SCHEMA swarmem TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA swarmem TO {role}"
    ));
    assert_eq!(status(&PostgresOptions::new(url.clone())).await.unwrap().obstacle, None);
    let h = super::harness(PostgresOptions::new(url.clone())).await;
    let id = h.create("a").await;
    h.put(&id, "shared/x", "k", "v").await;
    h.check_invariants().await;
    drop(h);
    database.sql(&format!("ALTER ROLE {role} SET default_transaction_read_only = on"));
    let obstacle = status(&PostgresOptions::new(url)).await.unwrap().obstacle.unwrap();
    assert!(obstacle.contains("read-only"), "{obstacle}");
    database.clear();
    database.sql(&format!("DROP ROLE {role}"));
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let database = Database::new();
    let name = format!("latin_{}", database.name);
    database.server.sql("postgres", &format!("DROP DATABASE IF EXISTS {name}"));
    database.server.sql("postgres", &format!("CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0"));
    let error = refused(database.url().replace(&database.name, &name)).await;
    assert!(matches!(&error, OpenError::Encoding { .. }), "{error}");
    database.server.sql("postgres", &format!("DROP DATABASE {name} WITH (FORCE)"));
}
