//! Opening a database: whose file it is, and that its schema is one we know.
//! Knows nothing of swarms.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;

use super::{
    code,
    connection::writing,
    holder::Holder,
    log_renewal::{self, Failure},
    schema::{self, Owner},
};
use crate::domain::position::TokenKey;

const NOT_A_DATABASE: i32 = 26;
const HEADER_BYTES: usize = 100;

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process serves the file.
    #[error(
        "{} is in use by {}; stop that process, or choose another database (the lock is {})",
        file.display(), holder.as_ref().map_or_else(|| "another process".to_owned(), ToString::to_string), lock.display()
    )]
    InUse {
        /// The database.
        file: PathBuf,
        /// The file that is locked.
        lock: PathBuf,
        /// Who has it locked; none if that cannot be told.
        holder: Option<Holder>,
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
        source: rusqlite::Error,
    },
    /// The schema could not be brought up to date.
    #[error("the schema of {} cannot be brought up to date: {source}", file.display())]
    Migration {
        /// The file.
        file: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

/// Opens the writer of `file`, which the caller has locked, and brings the schema up to date.
pub(super) fn open_writer(file: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let failed = |source| database_error(file, source);
    let mut connection = writing(file, true, busy_timeout).map_err(failed)?;
    check(&connection, file)?;
    // What is found in the log may never have reached the disk; from here on others build on it.
    log_renewal::renew(&connection, file).map_err(|failure| match failure {
        Failure::Log(source) => OpenError::Io { file: with_suffix(file, "-wal"), source },
        Failure::Database(source) => failed(source),
    })?;
    schema::migrate(&mut connection).map_err(|source| OpenError::Migration { file: file.into(), source })?;
    Ok(connection)
}

/// Makes sure that a database is empty, or one of ours and of a version that is known. Its version; 0: empty.
pub(super) fn check(connection: &Connection, file: &Path) -> Result<i64, OpenError> {
    match schema::owner(connection).map_err(|source| database_error(file, source))? {
        Owner::Nobody => Ok(0),
        Owner::Swarmem(found) if found > schema::KNOWN => {
            Err(OpenError::Newer { file: file.into(), found, known: schema::KNOWN })
        }
        Owner::Swarmem(found) if found > 0 => Ok(found),
        Owner::Swarmem(_) | Owner::Other => Err(OpenError::NotSwarmem { file: file.into() }),
    }
}

/// Whether a file begins as an SQLite database of ours does, whatever follows.
/// (<https://www.sqlite.org/fileformat2.html>, section 1.3)
pub(super) fn has_our_mark(file: &Path) -> io::Result<bool> {
    let mut begin = Vec::with_capacity(HEADER_BYTES);
    File::open(file)?.take(HEADER_BYTES as u64).read_to_end(&mut begin)?;
    let ours = schema::APPLICATION_ID.to_be_bytes();
    Ok(begin.starts_with(b"SQLite format 3\0") && begin.get(68..72).is_some_and(|mark| mark == ours))
}

/// The path with something behind it.
pub(super) fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

pub(super) fn database_error(file: &Path, source: rusqlite::Error) -> OpenError {
    match code(&source) {
        Some(NOT_A_DATABASE) => OpenError::NotADatabase { file: file.into() },
        _ => OpenError::Database { file: file.into(), source },
    }
}

/// The secret that the first version of the schema drew.
pub(super) fn token_key(connection: &Connection, file: &Path) -> Result<TokenKey, OpenError> {
    let secret: Vec<u8> = connection
        .query_row("SELECT value FROM settings WHERE name = 'token_key'", [], |row| row.get(0))
        .map_err(|source| database_error(file, source))?;
    let secret = <[u8; 32]>::try_from(secret).map_err(|_| OpenError::NotSwarmem { file: file.into() })?;
    Ok(TokenKey::new(secret))
}
