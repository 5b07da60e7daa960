//! The schema: its versions, and how a database is brought to the newest. Knows nothing of files.

use rusqlite::{Connection, Result, TransactionBehavior};

/// Only ever appended to; the first is version 1. The version of a database is its `user_version`.
const VERSIONS: [&str; 1] = [include_str!("../../../migrations/sqlite/0001_swarms.sql")];

/// The newest version that is known.
pub(super) const KNOWN: i64 = VERSIONS.len() as i64;

/// `application_id` of our files, set by the first version.
pub(super) const APPLICATION_ID: i32 = 1_937_206_637;

/// Whose database it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// Nobody's: nothing was ever made in it.
    Nobody,
    /// Ours, of this version.
    Swarmem(i64),
    /// Another program's.
    Other,
}

/// Looks whose a database is.
pub(super) fn owner(connection: &Connection) -> Result<Owner> {
    // The table is that of databases of before `user_version` was used; one that was killed early has nothing else.
    let is_empty = "SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema WHERE tbl_name <> '_sqlx_migrations')";
    if connection.query_row(is_empty, [], |row| row.get(0))? {
        return Ok(Owner::Nobody);
    }
    if number(connection, "PRAGMA application_id")? != i64::from(APPLICATION_ID) {
        return Ok(Owner::Other);
    }
    Ok(match number(connection, "PRAGMA user_version")? {
        0 if has_table(connection, "_sqlx_migrations")? => {
            Owner::Swarmem(number(connection, "SELECT coalesce(max(version), 0) FROM _sqlx_migrations")?)
        }
        version => Owner::Swarmem(version),
    })
}

/// Whether there is such a table.
pub(super) fn has_table(connection: &Connection, name: &str) -> Result<bool> {
    connection
        .query_row("SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = ?1)", [name], |row| row.get(0))
}

/// Brings a database that is nobody's or ours to the newest version, in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<()> {
    if number(connection, "PRAGMA user_version")? >= KNOWN {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = match owner(&transaction)? {
        Owner::Swarmem(version) => usize::try_from(version).unwrap_or_default(),
        Owner::Nobody | Owner::Other => 0,
    };
    for version in VERSIONS.iter().skip(found) {
        transaction.execute_batch(version)?;
    }
    transaction.execute_batch("DROP TABLE IF EXISTS _sqlx_migrations")?;
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()
}

fn number(connection: &Connection, sql: &str) -> Result<i64> {
    connection.query_row(sql, [], |row| row.get(0))
}
