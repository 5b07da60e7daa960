//! What only PostgreSQL has to promise: locks between coordinators, outcomes over a network, its schema. Every case runs
//! against a real server; what every store promises is in the conformance suite.

mod catalogue;
mod locks;
mod opening;
mod outcomes;
mod pooler;
mod program;
mod standby;
mod tls;
mod work;

use std::{sync::Arc, time::Duration};

use swarmem::{
    domain::swarm::SwarmId,
    store::postgres::{PostgresOptions, PostgresStore},
};
use tokio_postgres::{Client, NoTls};

use crate::{conformance::Harness, process::eventually, servers::postgres::Database};

/// How long calls may take where a test waits until that is over.
const SHORT: Duration = Duration::from_secs(2);

/// A harness on a store that takes the time from the database.
async fn harness(options: PostgresOptions) -> Harness {
    let store = PostgresStore::open(options).await.unwrap();
    Harness::new(Arc::new(store), crate::conformance::clock(), Box::new(()))
}

fn with_timeout(url: String, timeout: Duration) -> PostgresOptions {
    PostgresOptions { timeout, ..PostgresOptions::new(url) }
}

/// The database as another program sees it.
async fn stranger(database: &Database) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// Waits until so many sessions of the database wait for a lock.
async fn blocked(database: &Database, sessions: usize) {
    let sql = "SELECT count(*) FROM pg_stat_activity \
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    eventually("sessions that wait", async || {
        (database.sql(sql).parse::<usize>().unwrap() >= sessions).then_some(())
    })
    .await;
}

fn swarm(name: &str) -> SwarmId {
    SwarmId::parse(name).unwrap()
}
