//! Looks at a database without touching it, beside a coordinator that has it open or without one. Knows nothing of what is
//! made of it.

use std::{path::Path, time::Duration};

use sqlx::{Connection as _, SqliteConnection};

use super::{
    connections::connect_options,
    open::{self, OpenError, database_error, known_version, with_suffix},
};
use crate::domain::time::Timestamp;

/// How long another process's lock is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// What was seen of a database.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The version of its schema; none: nothing was ever written to it.
    pub schema_version: Option<i64>,
    /// The newest version that this program knows.
    pub known_version: i64,
    /// The swarm that was written last, in swarm time, and when.
    pub newest: Option<(String, Timestamp)>,
    /// What is wrong with it; only looked for on request.
    pub damage: Vec<String>,
}

/// Looks at a database; `deep` reads all of it.
///
/// # Errors
/// When it is none of ours, of a version that is not known, or cannot be read.
pub async fn inspect(file: &Path, deep: bool) -> Result<Inspection, OpenError> {
    if !file.exists() {
        return Err(OpenError::Missing { file: file.into() });
    }
    let failed = |source| database_error(file, source);
    // With nothing in a write-ahead log there is nothing to coordinate with anybody, and no file to be made for that.
    let is_quiet = !with_suffix(file, "-wal").exists();
    let options = connect_options(file, BUSY_TIMEOUT).read_only(true).immutable(is_quiet);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed)?;
    open::check(&mut connection, file).await?;
    let has = |table: &'static str| {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)").bind(table)
    };
    let mut inspection =
        Inspection { schema_version: None, known_version: known_version(), newest: None, damage: Vec::new() };
    if has("_sqlx_migrations").fetch_one(&mut connection).await.map_err(failed)? {
        inspection.schema_version = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
    }
    if has("heads").fetch_one(&mut connection).await.map_err(failed)? {
        let newest: Option<(String, i64)> =
            sqlx::query_as("SELECT name, time_us FROM heads ORDER BY time_us DESC LIMIT 1")
                .fetch_optional(&mut connection)
                .await
                .map_err(failed)?;
        inspection.newest = newest.map(|(name, time)| (name, Timestamp::from_micros(time)));
    }
    if deep {
        let said: Vec<String> =
            sqlx::query_scalar("PRAGMA quick_check(10)").fetch_all(&mut connection).await.map_err(failed)?;
        inspection.damage = said.into_iter().filter(|line| line != "ok").collect();
    }
    connection.close().await.map_err(failed)?;
    Ok(inspection)
}
