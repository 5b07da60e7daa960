//! What is measured: a coordinator of the bench's own, in a process of its own so that its cost can be told apart, or one
//! that somebody else runs. Knows nothing of loads.

use super::{
    super::{Error, Global, Setting},
    Common,
};
use crate::{
    bench::{
        coordinator::{Coordinator, DURABILITY},
        disk, machine,
        process::Process,
        row::Row,
    },
    client::{Client, Endpoint, Options, Role},
};

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
    keep: bool,
    own: Option<Coordinator>,
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
                let own = start(common)?;
                (own.endpoint().clone(), Some(own.process()), Some(own))
            }
        };
        let options = Options {
            call_timeout: global.timeout,
            ..Options::new(format!("bench-{:08x}", rand()), "bench", Role::Orchestrator)
        };
        let durability = own.as_ref().map(|_| DURABILITY);
        let target = Self {
            endpoint,
            process,
            machine: machine::describe(),
            durability,
            options,
            keep: common.keep,
            own,
        };
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
        let directory = own.directory().to_owned();
        let probed = tokio::task::spawn_blocking(move || disk::probe(&directory, PROBES)).await;
        let latency = probed.map_err(|error| Error::Failed(error.to_string()))?.map_err(|error| {
            Error::Failed(format!("could not write to {}: {error}", own.directory().display()))
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
            None if self.keep => Ok(()),
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

fn start(common: &Common) -> Result<Coordinator, Error> {
    let failed = |error: std::io::Error| Error::Failed(format!("could not start a coordinator: {error}"));
    let program = std::env::current_exe().map_err(failed)?;
    let parent = common.database_dir.clone().unwrap_or_else(std::env::temp_dir);
    let settings = common.settings.iter().map(|Setting { name, value }| (&**name, &**value));
    Coordinator::start(program.as_os_str(), &parent, &settings.collect::<Vec<_>>()).map_err(failed)
}
