//! A disk that fails on request, for a coordinator that was started on it, and that knows what a power cut would leave.
//! The work is done by `faults.c`, which is loaded into the process.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

use tempfile::TempDir;

use crate::process::Server;

pub const EIO: i32 = 5;
pub const ENOSPC: i32 = 28;
pub const EROFS: i32 = 30;
/// No error: the call hangs until the disk is healed.
pub const HANG: i32 = 0;

pub const DATABASE: &str = ".db";
pub const LOG: &str = ".db-wal";

/// What fails.
#[derive(Clone, Copy, Debug)]
pub enum Call {
    Write,
    Sync,
    /// For writing.
    Open,
}

/// Calls that fail.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    pub call: Call,
    /// How the file's name ends.
    pub file: &'static str,
    pub errno: i32,
    /// So many calls pass first,
    pub skip: u64,
    /// then so many fail; none: all of them.
    pub times: Option<u64>,
}

impl Fault {
    pub fn always(call: Call, file: &'static str, errno: i32) -> Self {
        Self { call, file, errno, skip: 0, times: None }
    }

    pub fn once(call: Call, file: &'static str, errno: i32, skip: u64) -> Self {
        Self { call, file, errno, skip, times: Some(1) }
    }
}

pub struct Disk {
    directory: TempDir,
    generation: AtomicU64,
}

impl Disk {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/disk/faults.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(directory.path().join("faults.so"))
            .arg(source)
            .args(["-ldl", "-lpthread"])
            .status()
            .unwrap();
        assert!(compiled.success(), "cc");
        let disk = Self { directory, generation: AtomicU64::new(0) };
        disk.heal();
        disk
    }

    /// A coordinator on this disk.
    pub fn server(&self) -> Server {
        let environment = self.environment();
        let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, &**value)).collect();
        Server::start_to_be_killed(&[], &environment)
    }

    /// Puts a process on this disk.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        let file = |name: &str| self.directory.path().join(name).to_str().unwrap().to_owned();
        [("LD_PRELOAD", file("faults.so")), ("DISK_FAULTS", file("control")), ("DISK_SHADOW", "1".into())]
    }

    fn control(&self) -> PathBuf {
        self.directory.path().join("control")
    }

    /// From now on these calls fail, and no others.
    pub fn fail(&self, faults: &[Fault]) {
        let mut rules = format!("{}\n", self.generation.fetch_add(1, Ordering::SeqCst));
        for Fault { call, file, errno, skip, times } in faults {
            let call = format!("{call:?}").to_lowercase();
            let times = times.map_or("-1".to_owned(), |times| times.to_string());
            rules += &format!("{call} {file} {errno} {skip} {times}\n");
        }
        // At once, so that nobody reads half of it.
        let new = self.directory.path().join("new");
        fs::write(&new, rules).unwrap();
        fs::rename(new, self.control()).unwrap();
    }

    pub fn heal(&self) {
        self.fail(&[]);
    }

    /// How many calls have failed or hung so far.
    pub fn hits(&self) -> usize {
        let hits = fs::read_to_string(self.directory.path().join("control.hits")).unwrap_or_default();
        hits.lines().count()
    }

    /// Kills the coordinator together with all that no sync has brought to the disk, and starts it again on a disk that
    /// is well.
    pub fn cut_power(&self, server: &mut Server) {
        server.kill();
        self.heal();
        for suffix in ["", "-wal"] {
            let file = server.store() + suffix;
            fs::copy(format!("{file}.disk"), &file).unwrap();
            fs::write(format!("{file}.dirty"), "").unwrap();
        }
        fs::remove_file(server.store() + "-shm").unwrap();
        server.restart();
    }
}
