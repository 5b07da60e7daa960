//! The locks that keep a second process off a database: a file of its own beside it, since SQLite lets go of its locks
//! between transactions, and the database itself, since a file may have several names. Knows nothing of what is in it.

use std::{
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{OpenError, holder::Holder, open::with_suffix};

/// How long a lock is waited for whose holder seems to live.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long a lock is waited for whose holder was killed: much memory takes a while to be taken back.
const PATIENCE_WITH_THE_DYING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(2);

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
            match lock_of_the_dead(&opened, &path) {
                // Who gave up may have removed it in between: a lock that nobody else would find is none.
                Ok(()) if is_at(&opened, &path).map_err(io)? => {
                    return Ok(Self { file: opened, path, is_new, database: None, made: false });
                }
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = Holder::of_lock(&path);
                    return Err(OpenError::InUse { file: file.into(), lock: path, holder });
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
        match lock_of_the_dead(&opened, database) {
            Ok(()) => self.database = Some(opened),
            Err(TryLockError::WouldBlock) => {
                let holder = Holder::of_lock(database);
                return Err(OpenError::InUse { file: database.into(), lock: database.into(), holder });
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

/// Locks a file at once, or else as soon as the process that has it locked is dead, if it is on its way there.
fn lock_of_the_dead(file: &File, path: &Path) -> Result<(), TryLockError> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {}
            done => return done,
        }
        // Between two signs of its end there is a moment without any.
        let is_dying = Holder::of_lock(path).is_some_and(|holder| holder.is_dying());
        let patience = if is_dying { PATIENCE_WITH_THE_DYING } else { PATIENCE };
        if begun.elapsed() > patience {
            return Err(TryLockError::WouldBlock);
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "bounded, and nobody is served before the lock is there"
        )]
        std::thread::sleep(PAUSE);
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

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader},
        process::{Child, Command, Stdio},
    };

    use super::*;

    /// A process that has the file locked, and so much memory that its end takes a while.
    fn holder(file: &Path) -> Child {
        let script = r#"open F, ">>", $ARGV[0]; flock F, 2; $x = "x" x (256 << 20); $| = 1; print "ready\n"; sleep 600"#;
        let mut perl = Command::new("perl");
        let mut child = perl.args(["-e", script]).arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        child
    }

    #[test]
    fn the_lock_of_a_killed_process_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let database = directory.path().join("swarmem.db");
        fs::write(&database, "").unwrap();
        let mut first = holder(&with_suffix(&database, ".lock"));
        match Lock::take(&database).err() {
            Some(OpenError::InUse { holder: Some(holder), .. }) => assert_eq!(holder.process, first.id()),
            other => panic!("{other:?}"),
        }
        first.kill().unwrap();
        let mut lock = Lock::take(&database).unwrap();
        let mut second = holder(&database);
        second.kill().unwrap();
        lock.hold(&database).unwrap();
        first.wait().unwrap();
        second.wait().unwrap();
    }
}
