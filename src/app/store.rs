//! The store that the configuration names: opened, closed, looked at. Knows every backend, and nothing of coordinators.

use std::sync::Arc;

use anyhow::Context as _;

use crate::{
    cli::store::Report,
    config::{self, StoreKind, StoreTls},
    domain::time::Clock,
    store::{
        Store,
        postgres::{self, Pooler, PostgresOptions, PostgresStore, Tls},
        sqlite::{self, OpenError, SqliteOptions, SqliteStore},
    },
};

/// A store that is open.
pub(super) enum Opened {
    Sqlite { store: Arc<SqliteStore>, place: String },
    Postgres(Arc<PostgresStore>),
}

impl Opened {
    /// Opens the store, and brings its schema up to date. SQLite takes the time from `clock`, PostgreSQL from itself.
    pub async fn open(config: &config::Store, clock: &Arc<dyn Clock>) -> anyhow::Result<Self> {
        Ok(match config.kind {
            StoreKind::Sqlite => {
                let options = SqliteOptions {
                    read_connections: config.read_connections,
                    cache_bytes_max: config.cache_bytes_max,
                    ..SqliteOptions::new(&config.path, Arc::clone(clock))
                };
                let store = Arc::new(SqliteStore::open(options).await?);
                Self::Sqlite { store, place: config.path.display().to_string() }
            }
            StoreKind::Postgres => {
                let store = PostgresStore::open(postgres_options(config)).await.map_err(judged)?;
                Self::Postgres(Arc::new(store))
            }
        })
    }

    pub fn store(&self) -> Arc<dyn Store> {
        match self {
            Self::Sqlite { store, .. } => Arc::<SqliteStore>::clone(store),
            Self::Postgres(store) => Arc::<PostgresStore>::clone(store),
        }
    }

    /// Where it is, as people may read it.
    pub fn place(&self) -> &str {
        match self {
            Self::Sqlite { place, .. } => place,
            Self::Postgres(store) => store.place(),
        }
    }

    pub async fn close(&self) -> anyhow::Result<()> {
        match self {
            Self::Sqlite { store, .. } => {
                store.close().await.context("the database was not closed cleanly; nothing is lost")
            }
            Self::Postgres(store) => {
                store.close().await;
                Ok(())
            }
        }
    }
}

pub(super) fn postgres_options(config: &config::Store) -> PostgresOptions {
    PostgresOptions {
        connections: config.connections,
        pooler: match config.pooler {
            config::Pooler::None => Pooler::None,
            config::Pooler::Transaction => Pooler::Transaction,
        },
        tls: match (config.tls, &config.tls_ca_file) {
            (StoreTls::Off, _) => Tls::Off,
            // The configuration is refused without the file.
            (StoreTls::VerifyFull, ca_file) => Tls::Verified { ca_file: ca_file.clone().unwrap_or_default() },
        },
        timeout: super::STORE_PATIENCE.0,
        ..PostgresOptions::new(config.url.expose())
    }
}

/// What a database was not even asked about is a matter of the settings.
fn judged(error: postgres::OpenError) -> anyhow::Error {
    match error {
        postgres::OpenError::Url { .. } | postgres::OpenError::Authorities { .. } => {
            super::Misconfigured(error.to_string()).into()
        }
        error => error.into(),
    }
}

/// Looks at the store's schema, and changes nothing.
///
/// # Errors
/// When it cannot be reached or read, or is newer than this program.
pub async fn status(config: &config::Store) -> anyhow::Result<Report> {
    Ok(match config.kind {
        StoreKind::Sqlite => {
            let seen = match sqlite::inspect(&config.path, false).await {
                Err(OpenError::Missing { .. }) => None,
                seen => Some(seen?),
            };
            Report {
                kind: "sqlite",
                place: config.path.display().to_string(),
                server: None,
                version: seen.as_ref().and_then(|seen| seen.schema_version),
                known: sqlite::known_version(),
                obstacle: None,
            }
        }
        StoreKind::Postgres => {
            let seen = postgres::status(&postgres_options(config)).await.map_err(judged)?;
            Report {
                kind: "postgres",
                place: seen.database,
                server: Some(seen.server),
                version: seen.version.map(i64::from),
                known: seen.known.into(),
                obstacle: seen.obstacle,
            }
        }
    })
}

/// Brings the store's schema up to date, as a coordinator does when it starts, and says how it is then.
///
/// # Errors
/// As [`status`], and when a step fails, or (SQLite) a coordinator has the file open.
pub async fn migrate(config: &config::Store, clock: &Arc<dyn Clock>) -> anyhow::Result<Report> {
    match config.kind {
        StoreKind::Sqlite => Opened::open(config, clock).await?.close().await?,
        StoreKind::Postgres => {
            drop(postgres::migrate(&postgres_options(config)).await.map_err(judged)?);
        }
    }
    status(config).await
}
