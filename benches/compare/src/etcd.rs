//! etcd as a peer: a private server, and its own client under our loops. Knows nothing of what it is compared with.

use std::{
    fs::File,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, anyhow, bail};
use etcd_client::{Client, WatchOptions, WatchStream};
use swarmem::bench::{
    Operation,
    audience::{Arrival, Look, Subscription},
    material::Keys,
    process::Process,
};
use tempfile::TempDir;

/// A running etcd with data of its own; ends, and takes them with it, when it is dropped.
pub struct Etcd {
    child: Child,
    address: String,
    /// How long it took until it answered.
    pub started_in: Duration,
    _directory: TempDir,
}

impl Etcd {
    /// Starts one on free ports of this machine.
    pub async fn start(program: &Path, parent: &Path) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("swarmem-compare-etcd-").tempdir_in(parent)?;
        let (client, peer) = (free_url()?, free_url()?);
        let log = File::create(directory.path().join("log"))?;
        let begun = Instant::now();
        let child = Command::new(program)
            .args(["--name", "default", "--data-dir"])
            .arg(directory.path().join("data"))
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("default={peer}"), "--log-level", "error"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| {
                anyhow!(
                    "{} does not start ({error}); on Debian `apt-get install etcd-server` brings it, and \
                     benches/compare/run does that by itself as root",
                    program.display()
                )
            })?;
        let mut etcd = Self { child, address: client, started_in: Duration::ZERO, _directory: directory };
        while etcd.client().await.is_err() {
            if let Some(status) = etcd.child.try_wait()? {
                bail!(
                    "etcd ended with {status}: {}",
                    std::fs::read_to_string(etcd._directory.path().join("log"))?
                );
            }
            anyhow::ensure!(begun.elapsed() < Duration::from_secs(30), "etcd does not answer");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        etcd.started_in = begun.elapsed();
        Ok(etcd)
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// A connection of its own that has answered once.
    pub async fn client(&self) -> anyhow::Result<Client> {
        let mut client = Client::connect([&self.address], None).await?;
        client.get("nothing", None).await?;
        Ok(client)
    }

    pub async fn clients(&self, connections: usize) -> anyhow::Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(self.client().await?);
        }
        Ok(clients)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended by itself; and its data are of no more use.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_url() -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(format!("http://{}", listener.local_addr()?))
}

/// One writer.
pub struct Put {
    pub client: Client,
    pub prefix: &'static str,
    pub keys: Keys,
    pub content: String,
}

impl Operation for Put {
    /// The revision of the write.
    type Output = u64;
    type Error = anyhow::Error;

    async fn run(&mut self) -> anyhow::Result<u64> {
        let key = format!("{}/{}", self.prefix, self.keys.draw());
        let put = self.client.put(key, self.content.clone(), None).await?;
        Ok(put.header().map_or(0, |header| header.revision().cast_unsigned()))
    }
}

/// One watch of everything below a prefix.
pub struct Watch(WatchStream);

impl Watch {
    /// Opens it, and waits until etcd has said that it stands.
    pub async fn open(client: &mut Client, prefix: &str) -> anyhow::Result<Self> {
        let options = WatchOptions::new().with_prefix();
        let mut stream = client.watch(format!("{prefix}/"), Some(options)).await?;
        let first = stream.message().await?.context("the watch ended")?;
        anyhow::ensure!(first.created(), "the watch does not stand");
        Ok(Self(stream))
    }
}

impl Subscription for Watch {
    type Error = anyhow::Error;

    /// etcd's client decodes every event, however closely one looks.
    async fn next(&mut self, _: Look) -> anyhow::Result<Arrival> {
        let response = self.0.message().await?.context("the watch ended")?;
        let last = response.events().last().and_then(|event| event.kv()).map_or(0, |kv| kv.mod_revision());
        Ok(Arrival { events: response.events().len() as u64, last: last.cast_unsigned() })
    }
}

/// Opens so many, spread evenly over the connections.
pub async fn open(clients: &[Client], prefix: &str, watchers: usize) -> anyhow::Result<Vec<Watch>> {
    let openings = clients.iter().enumerate().map(async |(index, client)| {
        let mut client = client.clone();
        let mut watches = Vec::new();
        for _ in 0..swarmem::bench::material::share(watchers, clients.len(), index) {
            watches.push(Watch::open(&mut client, prefix).await?);
        }
        anyhow::Ok(watches)
    });
    let opened = futures_util::future::join_all(openings).await;
    Ok(opened.into_iter().collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect())
}
