//! How a database file is opened, by its writer, its readers and by tools; and transactions over a connection. Knows
//! nothing of tables.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, Result, config::DbConfig};

/// Pages in the write-ahead log after which a commit moves them into the database: 16 MiB.
const CHECKPOINT_PAGES: u32 = 4096;
/// The write-ahead log is cut back to this when it was longer.
const JOURNAL_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// No more: while a database is below 1 GiB, a commit that balances a tree makes SQLite walk its whole cache. What is not
/// in it is in that of the system.
const CACHE_KIB: u32 = 4 * 1024;
/// More than there are texts.
const STATEMENTS: usize = 64;

/// Opens an existing file; a lock of another process is waited for so long.
pub(super) fn existing(path: &Path, busy_timeout: Duration) -> Result<Connection> {
    open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy_timeout)
}

/// Opens a file to look at, and never writes; `quiet`: nobody else has it open, and nothing is to be made beside it.
pub(super) fn looking(path: &Path, quiet: bool, busy_timeout: Duration) -> Result<Connection> {
    let path = path.to_string_lossy();
    let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    let uri = format!("file:{escaped}?immutable={}", u8::from(quiet));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    open(Path::new(&uri), flags, busy_timeout)
}

/// Opens a file to write it; makes it if `create`.
pub(super) fn writing(path: &Path, create: bool, busy_timeout: Duration) -> Result<Connection> {
    let made = if create { OpenFlags::SQLITE_OPEN_CREATE } else { OpenFlags::empty() };
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | made, busy_timeout)?;
    // What a statement may have to take back is kept in memory, not in a file.
    connection.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; \
         PRAGMA journal_size_limit = {JOURNAL_BYTES_MAX}; PRAGMA cache_size = -{CACHE_KIB}; \
         PRAGMA temp_store = MEMORY"
    ))?;
    Ok(connection)
}

/// Opens a file to read it.
pub(super) fn reading(path: &Path, busy_timeout: Duration) -> Result<Connection> {
    let connection = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, busy_timeout)?;
    connection.execute_batch(&format!("PRAGMA query_only = ON; PRAGMA cache_size = -{CACHE_KIB}"))?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags, busy_timeout: Duration) -> Result<Connection> {
    // Each connection is used by one thread at a time.
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(busy_timeout)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans do not depend on values, or a statement with a range would be compiled again for every value of its bounds.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(connection)
}

/// Runs a statement without values and rows, whose text is prepared once.
pub(super) fn run(connection: &Connection, sql: &str) -> Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
