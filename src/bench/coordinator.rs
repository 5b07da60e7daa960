//! A coordinator in a process of its own, so that its cost can be told apart from that of its clients. Knows how one is
//! started, nothing of what is asked of it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
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
    /// Dropped after the process has ended.
    place: Place,
}

/// A folder of its own, and the folders above that were made for it. Goes with all that is in it.
#[derive(Debug)]
struct Place {
    directory: PathBuf,
    /// From the innermost outwards.
    made_above: Vec<PathBuf>,
}

impl Place {
    fn make(parent: &Path) -> io::Result<Self> {
        let missing = parent.ancestors().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists());
        let made_above = missing.map(Path::to_owned).collect();
        let directory = parent.join(format!("swarmem-bench-{}", uuid::Uuid::new_v4()));
        let place = Self { directory, made_above };
        fs::create_dir_all(&place.directory)?;
        Ok(place)
    }

    fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Nothing in it would be missed; what somebody has put beside it stays, with its folder.
        let _ = fs::remove_dir_all(&self.directory);
        for folder in &self.made_above {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl Coordinator {
    /// Starts the program on a free port of this machine, with its database in a new folder below `parent`, and waits until
    /// it can be reached. `settings` are configuration keys and values. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be made or the program does not start, with what it had to say.
    pub fn start(program: &OsStr, parent: &Path, settings: &[(&str, &str)]) -> io::Result<Self> {
        let place = Place::make(parent)?;
        let (child, endpoint) = spawn(program, &place, settings)?;
        Ok(Self { child, endpoint, place })
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
        &self.place.directory
    }

    /// The file of its database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        database(&self.place.directory)
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What it had to complain about goes where a child's complaints go.
        let said = fs::read_to_string(self.place.log()).unwrap_or_default();
        let _ = io::stderr().write_all(said.as_bytes());
    }
}

fn database(directory: &Path) -> PathBuf {
    directory.join("swarmem.db")
}

fn spawn(program: &OsStr, place: &Place, settings: &[(&str, &str)]) -> io::Result<(Child, Endpoint)> {
    let mut command = Command::new(program);
    // Measured as it comes, not as somebody has configured another one.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SWARMEM_")) {
            command.env_remove(name);
        }
    }
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--http-listen", ""]);
    command.args(["--set", "log.level=error"]);
    for (name, value) in settings {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    command.arg("--store").arg(database(&place.directory)).stdin(Stdio::null()).stdout(Stdio::piped());
    command.stderr(File::create(place.log())?);
    let mut child = command.spawn()?;
    match greeted(&mut child) {
        Some(endpoint) => Ok((child, endpoint)),
        None => {
            // It has ended already, as a rule.
            let _ = child.kill();
            let _ = child.wait();
            Err(io::Error::other(last_words(&fs::read_to_string(place.log()).unwrap_or_default())))
        }
    }
}

/// The message of the error that it ended with.
fn last_words(said: &str) -> String {
    let error =
        said.lines().next_back().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let message = error.as_ref().and_then(|error| error["message"].as_str());
    message.unwrap_or("it ended before it could be reached").to_owned()
}

/// Waits for the line that a coordinator prints once it can be reached.
fn greeted(child: &mut Child) -> Option<Endpoint> {
    let mut greeting = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut greeting).ok()?;
    let greeting: serde_json::Value = serde_json::from_str(&greeting).ok()?;
    greeting["address"].as_str()?.parse().ok()
}
