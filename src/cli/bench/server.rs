//! What is measured: a coordinator of the bench's own, in a process of its own so that its cost can be told apart, or one
//! that somebody else runs. Knows nothing of loads.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{
    super::{Error, Global},
    Common,
};
use crate::{
    bench::{disk, machine, process::Process, row::Row},
    client::{Client, Endpoint, Options, Role},
};

/// How the coordinator that the bench starts keeps its writes.
const DURABILITY: &str = "SQLite, WAL, synchronous=FULL: on disk before it is acknowledged";

/// How often the disk is asked.
const PROBES: u32 = 200;

/// A coordinator, and a swarm in it that holds nothing else.
pub(super) struct Target {
    pub endpoint: Endpoint,
    /// None if it cannot be told.
    pub process: Option<Process>,
    pub machine: String,
    /// None if somebody else runs it.
    pub durability: Option<&'static str>,
    options: Options,
    own: Option<Own>,
}

impl Target {
    /// The coordinator at `--address`, or else a new one.
    pub async fn of(global: &Global, common: &Common) -> Result<Self, Error> {
        let (endpoint, process, own) = match &global.address {
            Some(endpoint) => {
                let process = common.server_pid.map(Process).or_else(|| local(endpoint));
                (endpoint.clone(), process, None)
            }
            None => {
                let own = Own::start(common)?;
                (own.endpoint.clone(), Some(Process(own.child.id())), Some(own))
            }
        };
        let options = Options {
            call_timeout: global.timeout,
            ..Options::new(format!("bench-{:08x}", rand()), "bench", Role::Orchestrator)
        };
        let durability = own.as_ref().map(|_| DURABILITY);
        let target = Self { endpoint, process, machine: machine::describe(), durability, options, own };
        target.client().await?.create_swarm(None).await?;
        Ok(target)
    }

    /// A connection of its own.
    pub async fn client(&self) -> Result<Client, Error> {
        Ok(Client::connect(&self.endpoint, self.options.clone()).await?)
    }

    /// So many of them.
    pub async fn clients(&self, connections: usize) -> Result<Vec<Client>, Error> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(self.client().await?);
        }
        Ok(clients)
    }

    /// What the disk below the coordinator takes by itself; none if it is not known where that is.
    pub async fn disk(&self) -> Result<Option<Row>, Error> {
        let Some(own) = &self.own else { return Ok(None) };
        let directory = own.directory.clone();
        let probed = tokio::task::spawn_blocking(move || disk::probe(&directory, PROBES)).await;
        let latency = probed.map_err(|error| Error::Failed(error.to_string()))?.map_err(|error| {
            Error::Failed(format!("could not write to {}: {error}", own.directory.display()))
        })?;
        Ok(Some(Row {
            figure: "fdatasync".to_owned(),
            operations: latency.count(),
            operations_total: latency.count(),
            p50_us: latency.quantile_us(0.5),
            p99_us: latency.quantile_us(0.99),
            ..Row::default()
        }))
    }

    /// Leaves nothing behind: a swarm in somebody else's coordinator, or the own one with all it has.
    pub async fn leave(self) -> Result<(), Error> {
        match self.own {
            Some(own) => {
                drop(own);
                Ok(())
            }
            None => Ok(self.client().await?.delete_swarm().await?),
        }
    }
}

/// The process behind an address of this machine.
fn local(endpoint: &Endpoint) -> Option<Process> {
    if let Some(path) = endpoint.unix_path() {
        return Process::listening_at(path);
    }
    let address = endpoint.to_string();
    let (host, port) = address.rsplit_once(':')?;
    Process::listening_on(host, port.parse().ok()?)
}

/// A number that another bench on the same coordinator does not draw.
fn rand() -> u32 {
    uuid::Uuid::new_v4().as_fields().0
}

/// A coordinator of the bench's own; ends, and takes its database with it, when it is dropped.
struct Own {
    child: Child,
    endpoint: Endpoint,
    directory: PathBuf,
}

impl Own {
    fn start(common: &Common) -> Result<Self, Error> {
        let parent = common.database_dir.clone().unwrap_or_else(std::env::temp_dir);
        let directory = parent.join(format!("swarmem-bench-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&directory)
            .map_err(|error| Error::Usage(format!("could not create {}: {error}", directory.display())))?;
        let started = spawn(&directory, common);
        if started.is_err() {
            // Nothing has been written to it that anybody would miss.
            let _ = fs::remove_dir_all(&directory);
        }
        let (child, endpoint) = started?;
        Ok(Self { child, endpoint, directory })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have ended by itself; and its data are of no more use.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn spawn(directory: &Path, common: &Common) -> Result<(Child, Endpoint), Error> {
    let failed = |error: std::io::Error| Error::Failed(format!("could not start a coordinator: {error}"));
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    // Measured as it comes, not as somebody has configured another one.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SWARMEM_")) {
            command.env_remove(name);
        }
    }
    command.args(["serve", "--json", "--listen", "127.0.0.1:0", "--set", "log.level=error"]);
    for super::super::Setting { name, value } in &common.settings {
        command.arg("--set").arg(format!("{name}={value}"));
    }
    command.arg("--store").arg(directory.join("swarmem.db")).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    let endpoint = greeted(&mut child);
    if endpoint.is_none() {
        // It has said why on standard error.
        let _ = child.kill();
        let _ = child.wait();
    }
    match endpoint {
        Some(endpoint) => Ok((child, endpoint)),
        None => Err(Error::Failed("the coordinator that was to be measured did not start".to_owned())),
    }
}

/// Waits for the line that a coordinator prints once it can be reached.
fn greeted(child: &mut Child) -> Option<Endpoint> {
    let mut greeting = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut greeting).ok()?;
    let greeting: serde_json::Value = serde_json::from_str(&greeting).ok()?;
    greeting["address"].as_str()?.parse().ok()
}
