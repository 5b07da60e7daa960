//! The servers: what `deploy/local-fleet` starts, and where. Knows no load.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use serde::Deserialize;
use swarmem::{bench::process::Process, client::Endpoint};
use tempfile::TempDir;

/// A running fleet; ends when it is dropped.
pub struct Fleet {
    child: Child,
    said: Said,
    _directory: TempDir,
}

/// What it says, of which more than this.
#[derive(Debug, Deserialize)]
struct Said {
    coordinators: Vec<Coordinator>,
    postgres: Postgres,
    redis: Redis,
}

#[derive(Debug, Deserialize)]
struct Coordinator {
    pid: u32,
    grpc: String,
    http: String,
}

#[derive(Debug, Deserialize)]
struct Postgres {
    url_file: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Redis {
    address: String,
    password_file: PathBuf,
}

impl Fleet {
    /// Starts so many coordinators, with settings such as `bus.kind=local`.
    pub fn start(
        program: &Path,
        parent: &Path,
        coordinators: usize,
        settings: &[&str],
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("swarmem-fleet-").tempdir_in(parent)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/local-fleet");
        let mut command = Command::new(&script);
        command.arg("--json").args(["--coordinators", &coordinators.to_string()]);
        command.arg("--swarmem").arg(program).arg("--dir").arg(directory.path().join("fleet"));
        command.args(settings.iter().flat_map(|setting| ["--set", setting]));
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be run", script.display()))?;
        let mut line = String::new();
        let output = child.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let said = serde_json::from_str(&line).context("the fleet did not start")?;
        Ok(Self { child, said, _directory: directory })
    }

    pub fn endpoint(&self, coordinator: usize) -> anyhow::Result<Endpoint> {
        Ok(self.said.coordinators[coordinator].grpc.parse()?)
    }

    pub fn process(&self, coordinator: usize) -> Process {
        Process(self.said.coordinators[coordinator].pid)
    }

    /// Where its figures are.
    pub fn http(&self, coordinator: usize) -> &str {
        &self.said.coordinators[coordinator].http
    }

    pub fn postgres_url(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.said.postgres.url_file)?.trim().to_owned())
    }

    pub fn redis_url(&self) -> anyhow::Result<String> {
        let password = fs::read_to_string(&self.said.redis.password_file)?;
        Ok(format!("redis://:{}@{}/?protocol=resp3", password.trim(), self.said.redis.address))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // It ends its servers itself, if it is asked to.
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        if asked.is_ok_and(|status| status.success()) {
            let _ = self.child.wait();
        }
    }
}
