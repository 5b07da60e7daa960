//! Wall clocks of processes, each of which can be moved while it runs. The work is done by `clock.c`, which is loaded into them. Knows
//! no process.

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    process::Command,
};

use tempfile::TempDir;

/// The clocks, in a folder of their own.
pub struct Clocks(TempDir);

/// What a process is started with.
pub type Environment = [(&'static str, String); 2];

impl Clocks {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // PostgreSQL runs as another user.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/servers/clock.c");
        let mut compile = Command::new("cc");
        compile.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(folder.path().join("clock.so"));
        assert!(compile.arg(source).arg("-ldl").status().unwrap().success(), "cc");
        Self(folder)
    }

    /// A clock that is right so far.
    pub fn of(&self, name: &str) -> Environment {
        self.set(name, 0);
        let path = |file: &str| self.0.path().join(file).to_str().unwrap().to_owned();
        [("LD_PRELOAD", path("clock.so")), ("CLOCK_MOVED", path(name))]
    }

    /// From now on it is so far from right.
    pub fn set(&self, name: &str, moved_us: i64) {
        let mut options = fs::File::options();
        let file = options.create(true).truncate(false).write(true).open(self.0.path().join(name)).unwrap();
        file.write_all_at(&moved_us.to_ne_bytes(), 0).unwrap();
    }
}
