//! Writes the write-ahead log once more, over itself, and synchronises it. Knows nothing of what is in it.
//!
//! After a failed fsync the kernel counts what it could not write as written: a later fsync succeeds, and what is read
//! comes from memory. So what a recovery finds in the log may be lost by a power cut, and with it whatever was appended
//! and acknowledged behind it. Written again, it is on the disk, or the fsync says that it is not (ADR 7).

use std::{fs::File, io, os::unix::fs::FileExt as _, path::Path};

use rusqlite::Connection;

use super::open::with_suffix;

/// How much is held in memory at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// Why a log could not be renewed.
#[derive(Debug)]
pub(super) enum Failure {
    /// It cannot be read or written.
    Log(io::Error),
    /// It cannot be kept from changing.
    Database(rusqlite::Error),
}

/// Renews the log of `database`, over a connection to it that is in no transaction. On a failure the connection may be
/// left in one.
pub(super) fn renew(connection: &Connection, database: &Path) -> Result<(), Failure> {
    // The lock keeps others from writing to the log, and from starting it over.
    connection.execute_batch("BEGIN IMMEDIATE").map_err(Failure::Database)?;
    write_again(&with_suffix(database, "-wal")).map_err(Failure::Log)?;
    connection.execute_batch("ROLLBACK").map_err(Failure::Database)
}

fn write_again(log: &Path) -> io::Result<()> {
    let file = match File::options().read(true).write(true).open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut piece = vec![0; PIECE_BYTES];
    let mut at = 0;
    loop {
        let length = file.read_at(&mut piece, at)?;
        if length == 0 {
            break;
        }
        file.write_all_at(&piece[..length], at)?;
        at += length as u64;
    }
    if at > 0 { file.sync_data() } else { Ok(()) }
}
