//! Whether the database file still stands where it was opened. A file that was removed or replaced under a running
//! process goes on taking writes that nobody will ever find again. Knows nothing of what is in it.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::store::Error;

/// Which file was opened.
pub(super) struct Identity {
    path: PathBuf,
    device_and_inode: (u64, u64),
}

impl Identity {
    /// Of the file at `path`.
    pub fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.into(), device_and_inode: look(path)? })
    }

    /// An error unless the same file is still there.
    pub fn check(&self) -> Result<(), Error> {
        match look(&self.path) {
            Ok(there) if there == self.device_and_inode => Ok(()),
            Ok(_) => Err(self.gone("was replaced")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.gone("was removed")),
            Err(error) => Err(Error::Unavailable(error.into())),
        }
    }

    fn gone(&self, how: &str) -> Error {
        let path = self.path.display();
        Error::Unavailable(format!("the database file {path} {how} under the running coordinator").into())
    }
}

fn look(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}
