//! `deploy/local-fleet` as a process: started, asked, ended. Knows nothing of what a test wants of it.

use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{eventually, signal, swarmem};

/// The script.
pub const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local-fleet");

/// What a command printed that succeeded.
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A fleet that runs until it is dropped.
pub struct Fleet {
    /// What the script printed first.
    pub told: Value,
    script: Child,
    printed: BufReader<ChildStdout>,
    place: Place,
}

/// Where a fleet has its folder.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The user of PostgreSQL passes through.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(directory)
    }

    /// The folder that the script is told to use.
    pub fn folder(&self) -> PathBuf {
        self.0.path().join("fleet")
    }

    /// The script, about to be run with that folder.
    pub fn script(&self, arguments: &[&str]) -> Command {
        // As a shell starts what has & behind it.
        let mut script = Command::new("bash");
        script.args(["-c", "trap '' INT; exec \"$0\" \"$@\"", SCRIPT]);
        script.arg("--dir").arg(self.folder()).args(arguments).stdin(Stdio::null());
        script
    }

    /// What still runs in that folder: PostgreSQL, Redis, coordinators and the script all stand in it.
    pub fn processes(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let inside = processes.filter(|process| {
            fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.0.path()))
        });
        let name = |process: &Path| fs::read_to_string(process.join("comm")).unwrap_or_default();
        inside.map(|process| name(&process.path()).trim_end().to_owned()).collect()
    }
}

impl Fleet {
    /// Starts one of the program under test, and waits until it stands.
    pub fn start(arguments: &[&str]) -> Self {
        let place = Place::new();
        let complaints = File::create(place.0.path().join("complaints")).unwrap();
        let mut script = place.script(&["--json", "--swarmem", env!("CARGO_BIN_EXE_swarmem")]);
        let mut script = script.args(arguments).stdout(Stdio::piped()).stderr(complaints).spawn().unwrap();
        let printed = BufReader::new(script.stdout.take().unwrap());
        let mut fleet = Self { told: Value::Null, script, printed, place };
        fleet.told = fleet.line();
        fleet
    }

    /// The next object that the script prints.
    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        self.printed.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}; {}", self.complaints()))
    }

    /// What it said on standard error.
    pub fn complaints(&self) -> String {
        fs::read_to_string(self.place.0.path().join("complaints")).unwrap()
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// A coordinator's gRPC address, counted from 0.
    pub fn grpc(&self, coordinator: usize) -> &str {
        self.told["coordinators"][coordinator]["grpc"].as_str().unwrap()
    }

    /// The program, about to be run against a coordinator.
    pub fn command(&self, coordinator: usize, arguments: &[&str]) -> Command {
        let mut command = swarmem();
        command.args(arguments).env("SWARMEM_ADDRESS", self.grpc(coordinator));
        command
    }

    /// Runs the program against a coordinator.
    pub fn run(&self, coordinator: usize, arguments: &[&str]) -> Output {
        self.command(coordinator, arguments).output().unwrap()
    }

    /// A figure of a coordinator.
    pub fn figure(&self, coordinator: usize, name: &str) -> f64 {
        let mut http =
            TcpStream::connect(self.told["coordinators"][coordinator]["http"].as_str().unwrap()).unwrap();
        http.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
        let mut page = String::new();
        http.read_to_string(&mut page).unwrap();
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {page}")).trim().parse().unwrap()
    }

    /// Sends the script a signal.
    pub fn signal(&self, name: &str) {
        signal(&self.script, name);
    }

    /// Waits for the end of the script.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("the end of local-fleet", async || self.script.try_wait().unwrap()).await
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.script.try_wait().is_ok_and(|ended| ended.is_none()) {
            signal(&self.script, "TERM");
            let _ = self.script.wait();
        }
    }
}
