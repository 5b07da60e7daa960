//! What is measured: a coordinator of the bench's own, in a process of its own so that its cost can be told apart, or one
//! that somebody else runs. Knows nothing of loads.

use super::{
    super::{Error, Global, Setting},
    BenchCommand, Common,
};
use crate::{
    bench::{
        coordinator::{Coordinator, DURABILITY},
        disk, machine,
        process::Process,
        row::Row,
    },
    client::{Client, Endpoint, Options, Role, reason},
};

/// How often the disk is asked.
const PROBES: u32 = 200;

/// Where the coordinators are that are measured.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    /// One is started.
    Own,
    /// One that runs.
    At(&'a Endpoint),
    /// Several that share a store: one is written to, the others are watched.
    Fleet { written: &'a Endpoint, watched: &'a [Endpoint] },
}

impl<'a> Place<'a> {
    /// What the command line says.
    pub fn of(address: Option<&'a Endpoint>, command: &'a BenchCommand) -> Result<Self, Error> {
        let fleet = match command {
            BenchCommand::Watch(load) => &*load.fleet,
            BenchCommand::Put(_) | BenchCommand::Get(_) | BenchCommand::Recall(_) => &[],
        };
        match (address, fleet) {
            (None, []) => Ok(Self::Own),
            (Some(address), []) => Ok(Self::At(address)),
            (Some(address), _) => Err(Error::Usage(format!(
                "--fleet says which coordinators are measured, and so does --address (SWARMEM_ADDRESS) {address}"
            ))),
            (None, [_]) => Err(Error::Usage(
                "--fleet needs two coordinators or more: one is written to, the others are watched"
                    .to_owned(),
            )),
            (None, [written, watched @ ..]) if watched.contains(written) => {
                Err(Error::Usage(format!("--fleet writes to {written}, so it cannot watch there, too")))
            }
            (None, [written, watched @ ..]) => Ok(Self::Fleet { written, watched }),
        }
    }

    /// The one that runs and is written to.
    pub fn written(self) -> Option<&'a Endpoint> {
        match self {
            Self::Own => None,
            Self::At(endpoint) | Self::Fleet { written: endpoint, .. } => Some(endpoint),
        }
    }
}

/// A coordinator, and a swarm in it that holds nothing else.
pub(super) struct Target {
    pub endpoint: Endpoint,
    /// Where watches are opened; of a fleet, other coordinators than the one that is written to.
    pub watched: Vec<Endpoint>,
    /// None if it cannot be told, or there are several.
    pub process: Option<Process>,
    pub machine: String,
    /// None if somebody else runs it.
    pub durability: Option<&'static str>,
    options: Options,
    keep: bool,
    own: Option<Coordinator>,
}

impl Target {
    /// The coordinators at that place, or a new one.
    pub async fn of(global: &Global, common: &Common, place: Place<'_>) -> Result<Self, Error> {
        let (endpoint, process, own) = match place {
            Place::At(endpoint) => {
                let process = common.server_pid.map(Process).or_else(|| local(endpoint));
                (endpoint.clone(), process, None)
            }
            Place::Fleet { written, .. } => (written.clone(), common.server_pid.map(Process), None),
            Place::Own => {
                let own = start(common)?;
                (own.endpoint().clone(), Some(own.process()), Some(own))
            }
        };
        let watched = match place {
            Place::Fleet { watched, .. } => watched.to_vec(),
            Place::At(_) | Place::Own => vec![endpoint.clone()],
        };
        let options = Options {
            call_timeout: global.timeout,
            ..Options::new(format!("bench-{:08x}", rand()), "bench", Role::Orchestrator)
        };
        let durability = own.as_ref().map(|_| DURABILITY);
        let target = Self {
            endpoint,
            watched,
            process,
            machine: machine::describe(),
            durability,
            options,
            keep: common.keep,
            own,
        };
        target.client().await?.create_swarm(None).await?;
        if let Err(error) = target.share_a_memory().await {
            // What is wrong is said already.
            let _ = target.leave().await;
            return Err(error);
        }
        Ok(target)
    }

    /// Whether what was made at one is there at all of them.
    async fn share_a_memory(&self) -> Result<(), Error> {
        for endpoint in self.watched.iter().filter(|endpoint| **endpoint != self.endpoint) {
            let client = Client::connect(endpoint, self.options.clone()).await?;
            match client.get_swarm().await {
                Err(error) if error.reason() == Some(reason::SWARM_NOT_FOUND) => {
                    return Err(Error::Usage(format!(
                        "{} and {endpoint} do not share a memory: a swarm that was made at the first is not at the other; \
                         give --fleet coordinators over one database (store.url)",
                        self.endpoint
                    )));
                }
                answer => drop(answer?),
            }
        }
        Ok(())
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

    /// So many to each coordinator that is watched; those to one never stand in a row.
    pub async fn watching(&self, connections: usize) -> Result<Vec<Client>, Error> {
        let mut clients = Vec::with_capacity(connections * self.watched.len());
        for _ in 0..connections {
            for endpoint in &self.watched {
                clients.push(Client::connect(endpoint, self.options.clone()).await?);
            }
        }
        Ok(clients)
    }

    /// Whether what is written to one coordinator is watched on others.
    pub fn is_fleet(&self) -> bool {
        !self.watched.contains(&self.endpoint)
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
