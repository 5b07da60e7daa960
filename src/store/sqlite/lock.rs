//! The locks that keep a second process off a database: a file of its own beside it, since SQLite lets go of its locks
//! between transactions, and the database itself, since a file may have several names. Knows nothing of what is in it.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{OpenError, open::with_suffix};

/// Held until it is dropped, or this process ends in whatever way.
pub(super) struct Lock {
    file: File,
    path: PathBuf,
    /// There was no such file before.
    is_new: bool,
    /// Kept open until SQLite has closed the file: to close any handle of it ends the locks that SQLite has on it.
    database: Option<File>,
    /// There was no database before.
    made: bool,
}

impl Lock {
    /// Locks the database `file` against other processes. Makes its directory.
    pub fn take(file: &Path) -> Result<Self, OpenError> {
        if let Some(directory) = file.parent().filter(|d| !d.as_os_str().is_empty()) {
            fs::create_dir_all(directory)
                .map_err(|source| OpenError::Io { file: directory.into(), source })?;
        }
        let path = with_suffix(file, ".lock");
        let io = |source| OpenError::Io { file: path.clone(), source };
        loop {
            let (opened, is_new) = open(&path).map_err(io)?;
            match opened.try_lock() {
                // Who gave up may have removed it in between: a lock that nobody else would find is none.
                Ok(()) if is_at(&opened, &path).map_err(io)? => {
                    return Ok(Self { file: opened, path, is_new, database: None, made: false });
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(OpenError::InUse { file: file.into(), lock: path });
                }
                Err(TryLockError::Error(source)) => return Err(io(source)),
            }
        }
    }

    /// Locks the database itself, whatever name it goes by. A new one is for its owner's eyes, and SQLite gives the files
    /// beside it the same rights.
    pub fn hold(&mut self, database: &Path) -> Result<(), OpenError> {
        let io = |source| OpenError::Io { file: database.into(), source };
        let made = File::options().create_new(true).read(true).write(true).mode(0o600).open(database);
        self.made = made.is_ok();
        let opened = match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => File::open(database),
            made => made,
        };
        let opened = opened.map_err(io)?;
        match opened.try_lock() {
            Ok(()) => self.database = Some(opened),
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse { file: database.into(), lock: database.into() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        Ok(())
    }

    /// Ends it because the database could not be used, and leaves nothing that was not there before.
    pub fn give_up(self, database: &Path) {
        let is_empty = |file: &File| file.metadata().is_ok_and(|metadata| metadata.len() == 0);
        if self.made && self.database.as_ref().is_some_and(is_empty) {
            let _ = fs::remove_file(database);
        }
        if self.is_new {
            // Where it cannot be removed it harms nobody.
            let _ = fs::remove_file(&self.path);
        }
        drop(self.file);
    }
}

fn open(path: &Path) -> io::Result<(File, bool)> {
    match File::options().create_new(true).write(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok((File::options().create(true).truncate(false).write(true).open(path)?, false))
        }
        Err(error) => Err(error),
    }
}

fn is_at(opened: &File, path: &Path) -> io::Result<bool> {
    let here = opened.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (here.dev(), here.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
