//! Looks at a database without touching it, beside a coordinator that has it open or without one. Knows nothing of what is
//! made of it.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OptionalExtension as _};

use super::{
    connection::looking,
    in_background,
    open::{self, OpenError, database_error, with_suffix},
    schema,
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
    let file = file.to_owned();
    in_background(move || inspect_now(&file, deep)).await
}

pub(super) fn inspect_now(file: &Path, deep: bool) -> Result<Inspection, OpenError> {
    if !file.exists() {
        return Err(OpenError::Missing { file: file.into() });
    }
    let failed = |source| database_error(file, source);
    // With nothing in a write-ahead log there is nothing to coordinate with anybody, and no file to be made for that.
    let is_quiet = !with_suffix(file, "-wal").exists();
    let connection = looking(file, is_quiet, BUSY_TIMEOUT).map_err(failed)?;
    let version = open::check(&connection, file)?;
    let looked = || {
        let newest = if version > 0 { newest(&connection)? } else { None };
        let damage = if deep { damage(&connection)? } else { Vec::new() };
        let schema_version = (version > 0).then_some(version);
        Ok(Inspection { schema_version, known_version: schema::KNOWN, newest, damage })
    };
    looked().map_err(failed)
}

fn newest(connection: &Connection) -> Result<Option<(String, Timestamp)>, rusqlite::Error> {
    connection
        .query_row("SELECT name, time_us FROM heads ORDER BY time_us DESC LIMIT 1", [], |row| {
            Ok((row.get(0)?, Timestamp::from_micros(row.get(1)?)))
        })
        .optional()
}

fn damage(connection: &Connection) -> Result<Vec<String>, rusqlite::Error> {
    let mut statement = connection.prepare("PRAGMA quick_check(10)")?;
    let said = statement.query_map([], |row| row.get(0))?;
    Ok(said.collect::<Result<Vec<String>, _>>()?.into_iter().filter(|line| line != "ok").collect())
}
