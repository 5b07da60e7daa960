//! Our side: a coordinator in a process of its own, with a swarm for each load. Knows nothing of the peers.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use swarmem::{
    bench::{coordinator::Coordinator, material::Keys, put::Put},
    client::{Client, Options, Role, ServingStatus},
};

/// A running coordinator.
pub struct Ours {
    pub coordinator: Coordinator,
    /// How long it took until it said that it serves.
    pub started_in: Duration,
}

impl Ours {
    pub async fn start(program: &Path, parent: &Path) -> anyhow::Result<Self> {
        let begun = Instant::now();
        let coordinator = Coordinator::start(program.as_os_str(), parent, &[])?;
        let client = Client::connect(coordinator.endpoint(), options("default")).await?;
        while client.check_health("").await? != ServingStatus::Serving {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Self { coordinator, started_in: begun.elapsed() })
    }

    /// Connections for a swarm that exists.
    pub async fn clients(&self, swarm: &str, connections: usize) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(Client::connect(self.coordinator.endpoint(), options(swarm)).await?);
        }
        Ok(clients)
    }

    /// Connections for a new swarm.
    pub async fn swarm(&self, swarm: &str, connections: usize) -> anyhow::Result<Vec<Client>> {
        let clients = self.clients(swarm, connections).await?;
        clients[0].create_swarm(None).await?;
        Ok(clients)
    }
}

fn options(swarm: &str) -> Options {
    let call_timeout = Duration::from_secs(60);
    Options { call_timeout, ..Options::new(swarm, "bench", Role::Orchestrator) }
}

/// So many writers over these connections.
pub fn writers(clients: &[Client], count: usize, keys: &Keys, content: &str) -> Vec<Put> {
    let writer = |index: usize| Put {
        client: clients[index % clients.len()].clone(),
        keys: keys.clone(),
        content: content.to_owned(),
    };
    (0..count).map(writer).collect()
}
