//! A coordinator in a process of its own, so that its cost can be told apart from that of its clients. Knows how one is
//! started, nothing of what is asked of it.

use std::{
    ffi::OsStr,
    fs, io,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::process::Process;
use crate::client::Endpoint;

/// How it keeps its writes, in words.
pub const DURABILITY: &str = "SQLite, WAL, synchronous=FULL: on disk before it is acknowledged";

/// A running coordinator with a database of its own. Ends, and takes the database with it, when it is dropped.
#[derive(Debug)]
pub struct Coordinator {
    child: Child,
    endpoint: Endpoint,
    directory: PathBuf,
}

impl Coordinator {
    /// Starts the program on a free port of this machine, with its database in a new folder below `parent`, and waits until
    /// it can be reached. `settings` are configuration keys and values. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be made or the program does not start; what it has to say is on standard error.
    pub fn start(program: &OsStr, parent: &Path, settings: &[(&str, &str)]) -> io::Result<Self> {
        let directory = parent.join(format!("swarmem-bench-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&directory)?;
        let started = spawn(program, &directory, settings);
        if started.is_err() {
            // Nothing has been written to it that anybody would miss.
            let _ = fs::remove_dir_all(&directory);
        }
        let (child, endpoint) = started?;
        Ok(Self { child, endpoint, directory })
    }

    /// Where it listens.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// The folder that holds its database.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of its database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        database(&self.directory)
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It may have ended by itself; and its data are of no more use.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn database(directory: &Path) -> PathBuf {
    directory.join("swarmem.db")
}

fn spawn(program: &OsStr, directory: &Path, settings: &[(&str, &str)]) -> io::Result<(Child, Endpoint)> {
    let mut command = Command::new(program);
    // Measured as it comes, not as somebody has configured another one.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SWARMEM_")) {
            command.env_remove(name);
        }
    }
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--set", "log.level=error"]);
    for (name, value) in settings {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    command.arg("--store").arg(database(directory)).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    match greeted(&mut child) {
        Some(endpoint) => Ok((child, endpoint)),
        None => {
            // It has ended already, as a rule.
            let _ = child.kill();
            let _ = child.wait();
            Err(io::Error::other("it ended before it could be reached"))
        }
    }
}

/// Waits for the line that a coordinator prints once it can be reached.
fn greeted(child: &mut Child) -> Option<Endpoint> {
    let mut greeting = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut greeting).ok()?;
    let greeting: serde_json::Value = serde_json::from_str(&greeting).ok()?;
    greeting["address"].as_str()?.parse().ok()
}
