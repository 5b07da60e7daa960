//! Opening a database: whose file it is, and that its schema is one we know.
//! Knows nothing of swarms.

use std::{
    io,
    path::{Path, PathBuf},
    sync::LazyLock,
    time::Duration,
};

use sqlx::{
    Connection as _, SqlStr, SqliteConnection,
    migrate::{Migration, MigrationType, Migrator},
};

use super::{
    code,
    connections::writer_options,
    log_renewal::{self, Failure},
};
use crate::domain::position::TokenKey;

/// The schema. Only ever appended to. (The macro that reads the folder would compile SQLite a second time, for the
/// compiler's own use.)
pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let sql = [("swarms", SqlStr::from_static(include_str!("../../../migrations/sqlite/0001_swarms.sql")))];
    let migrations = (1..).zip(sql).map(|(version, (name, sql))| {
        Migration::new(version, name.into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
});

/// `application_id` of our files, set by the first migration.
const APPLICATION_ID: i32 = 1_937_206_637;
const NOT_A_DATABASE: i32 = 26;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves the file.
    #[error(
        "{} is in use by another process; stop that process, or choose another database (the lock is {})",
        file.display(), lock.display()
    )]
    InUse {
        /// The database.
        file: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not an SQLite database; choose another file", file.display())]
    NotADatabase {
        /// The file.
        file: PathBuf,
    },
    /// The database is somebody else's.
    #[error("{} is an SQLite database, but not one of swarmem; choose another file", file.display())]
    NotSwarmem {
        /// The file.
        file: PathBuf,
    },
    /// The database was written by a newer version.
    #[error(
        "{} has schema version {found}, and this program knows versions up to {known}; start a newer program",
        file.display()
    )]
    Newer {
        /// The file.
        file: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The newest that is known here.
        known: i64,
    },
    /// There is no such file.
    #[error("{} does not exist", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// A file or directory cannot be made or opened.
    #[error("{}: {source}; check that the directory exists and may be written to", file.display())]
    Io {
        /// Which.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// SQLite failed.
    #[error("{} cannot be opened: {source}", file.display())]
    Database {
        /// The file.
        file: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of {} cannot be brought up to date: {source}", file.display())]
    Migration {
        /// The file.
        file: PathBuf,
        /// Why.
        source: sqlx::migrate::MigrateError,
    },
}

/// The newest schema version that is known.
pub(super) fn known_version() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// Opens the writer of `file`, which the caller has locked, and brings the schema up to date.
pub(super) async fn open_writer(file: &Path, busy_timeout: Duration) -> Result<SqliteConnection, OpenError> {
    let failed = |source| database_error(file, source);
    let mut connection =
        SqliteConnection::connect_with(&writer_options(file, busy_timeout)).await.map_err(failed)?;
    check(&mut connection, file).await?;
    // What is found in the log may never have reached the disk; from here on others build on it.
    log_renewal::renew(&mut connection, file).await.map_err(|failure| match failure {
        Failure::Log(source) => OpenError::Io { file: with_suffix(file, "-wal"), source },
        Failure::Database(source) => failed(source),
    })?;
    MIGRATIONS
        .run(&mut connection)
        .await
        .map_err(|source| OpenError::Migration { file: file.into(), source })?;
    Ok(connection)
}

/// Makes sure that a database is empty, or one of ours and of a version that is known.
pub(super) async fn check(connection: &mut SqliteConnection, file: &Path) -> Result<(), OpenError> {
    let failed = |source| database_error(file, source);
    // A process that was killed before its first migration leaves the table of migrations alone.
    let empty: bool = sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    if empty {
        return Ok(());
    }
    let application: i32 =
        sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *connection).await.map_err(failed)?;
    if application != APPLICATION_ID {
        return Err(OpenError::NotSwarmem { file: file.into() });
    }
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    match (found, known_version()) {
        (None, _) => Err(OpenError::NotSwarmem { file: file.into() }),
        (Some(found), known) if found > known => Err(OpenError::Newer { file: file.into(), found, known }),
        _ => Ok(()),
    }
}

/// The path with something behind it.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn database_error(file: &Path, source: sqlx::Error) -> OpenError {
    match code(&source) {
        Some(NOT_A_DATABASE) => OpenError::NotADatabase { file: file.into() },
        _ => OpenError::Database { file: file.into(), source },
    }
}

/// The secret that the first migration drew.
pub(super) async fn token_key(connection: &mut SqliteConnection, file: &Path) -> Result<TokenKey, OpenError> {
    let secret: Vec<u8> = sqlx::query_scalar("SELECT value FROM settings WHERE name = 'token_key'")
        .fetch_one(connection)
        .await
        .map_err(|source| database_error(file, source))?;
    let secret = <[u8; 32]>::try_from(secret).map_err(|_| OpenError::NotSwarmem { file: file.into() })?;
    Ok(TokenKey::new(secret))
}
