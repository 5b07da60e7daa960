//! A fleet of two coordinators over PostgreSQL and Redis beside what the two can do by themselves: pgbench with one counter
//! row, pgbench with our own statements, Redis's own publish and subscribe, a bare tonic server. All in turns, in one run.

mod parts;
mod pgbench;
pub mod servers;

use std::time::Duration;

use swarmem::{
    bench::{
        Operation,
        audience::Audience,
        closed,
        material::{self, Keys, share},
        meter::Meter,
        put::Pipeline,
        watch,
    },
    client::{Client, Options, Role},
};
use tokio_postgres::NoTls;

use super::{
    Args, bare,
    figures::Compared,
    ours::writers,
    rounds::{delays, progress},
};
use parts::{Parts, paced_us};
use servers::Fleet;

const CONTENT_BYTES: usize = 1024;
/// Connections to each coordinator.
const CONNECTIONS: usize = 4;
const WRITERS: usize = 64;
/// Writes in flight on all streams of `Write` together.
const PIPELINED: usize = 256;
/// Writes a second of a paced load: far below what anything here can take.
const PACE: f64 = 100.0;

struct Stand {
    fleet: Fleet,
    here: Vec<Client>,
    there: Vec<Client>,
    parts: Parts,
    keys: Keys,
    content: String,
    args: Args,
}

/// Runs all rounds.
///
/// # Errors
/// When a server does not start, or a call fails.
pub async fn run(args: &Args) -> anyhow::Result<Compared> {
    let mut compared = Compared::default();
    let stand = Stand::build(args).await?;
    let watched = stand.here[0].in_swarm("watched");
    watched.create_swarm(None).await?;
    let (watches, _) = watch::open(&[stand.there[0].in_swarm("watched")], 1).await?;
    let mut audience = Audience::seat(watches);
    let rounds = args.rounds.unwrap_or(if args.quick { 3 } else { 5 });
    for round in 0..rounds {
        progress(&format!("round {} of {rounds}", round + 1));
        stand.unary(&mut compared).await?;
        stand.write(&mut compared).await?;
        stand.swarms(&mut compared).await?;
        stand.replicas(&mut compared).await?;
        stand.across(&watched, &mut audience, &mut compared).await?;
    }
    Ok(compared)
}

impl Stand {
    async fn build(args: &Args) -> anyhow::Result<Self> {
        let fleet = Fleet::start(&args.program()?, &args.parent(), 2, &[])?;
        pgbench::prepare(&fleet)?;
        let here = clients(&fleet, 0).await?;
        let there = clients(&fleet, 1).await?;
        for swarm in ["one", "statements", "parts"] {
            here[0].in_swarm(swarm).create_swarm(None).await?;
        }
        for swarm in 0..WRITERS {
            here[0].in_swarm(format!("many-{swarm}")).create_swarm(None).await?;
        }
        let parts = Parts::build(&fleet, bare::Server::start()?).await?;
        let content = material::content(CONTENT_BYTES);
        Ok(Self { fleet, here, there, parts, keys: Keys::fresh(), content, args: args.clone() })
    }

    async fn rate<O>(&self, operations: Vec<O>) -> anyhow::Result<f64>
    where
        O: Operation,
        anyhow::Error: From<O::Error>,
    {
        Ok(closed::run(operations, self.args.window(), &Meter::of(None)).await?.rate_per_s())
    }

    fn seconds(&self) -> u64 {
        self.args.window().measured.as_secs().max(1)
    }

    async fn one_swarm(&self) -> anyhow::Result<f64> {
        let clients = in_swarm(&self.here, "one");
        self.rate(writers(&clients, WRITERS, &self.keys, &self.content)).await
    }

    /// Each with a call of its own, beside as many clients of pgbench that raise one counter and insert one row.
    async fn unary(&self, compared: &mut Compared) -> anyhow::Result<()> {
        let ours = self.one_swarm().await?;
        let theirs = pgbench::counter(&self.fleet, &self.content, WRITERS, self.seconds())?;
        compared.add("fleet_put_unary_64", "pgbench", Some(ours), Some(theirs));
        Ok(())
    }

    async fn write(&self, compared: &mut Compared) -> anyhow::Result<()> {
        let clients = in_swarm(&self.here, "one");
        let before = self.head("one").await?;
        let streams = writers(&clients, CONNECTIONS, &self.keys, &self.content).into_iter().enumerate();
        let streams = streams.map(|(index, put)| Pipeline::new(put, share(PIPELINED, CONNECTIONS, index)));
        let ours = self.rate(streams.collect()).await?;
        let rows = self.rows_per_commit("one", before).await?;
        let theirs = pgbench::statements(
            &self.fleet,
            "statements",
            &self.content,
            rows.round() as u64,
            self.seconds(),
        )?;
        compared.add("fleet_put_write", "own SQL", Some(ours), Some(theirs));
        compared.add("fleet_rows_per_commit", "", Some(rows), None);
        Ok(())
    }

    async fn swarms(&self, compared: &mut Compared) -> anyhow::Result<()> {
        let writer = |index: usize| {
            let client = self.here[index % CONNECTIONS].in_swarm(format!("many-{index}"));
            writers(&[client], 1, &self.keys, &self.content)
        };
        let many = self.rate((0..WRITERS).flat_map(writer).collect()).await?;
        compared.add("fleet_put_64_swarms", "1 swarm", Some(many), Some(self.one_swarm().await?));
        Ok(())
    }

    async fn replicas(&self, compared: &mut Compared) -> anyhow::Result<()> {
        let all = [in_swarm(&self.here, "one"), in_swarm(&self.there, "one")].concat();
        let both = self.rate(writers(&all, WRITERS, &self.keys, &self.content)).await?;
        compared.add("fleet_put_2_replicas", "1 repl.", Some(both), Some(self.one_swarm().await?));
        Ok(())
    }

    /// From a put on one coordinator to its event on the other's watch, beside the sum of what that takes at least.
    async fn across(
        &self,
        watched: &Client,
        audience: &mut Audience<swarmem::client::Error>,
        compared: &mut Compared,
    ) -> anyhow::Result<()> {
        let count = ((PACE * self.args.window().measured.as_secs_f64()) as u64).max(50);
        let ours = || writers(std::slice::from_ref(watched), 1, &self.keys, &self.content);
        let ours = delays(audience, ours, PACE, count).await?;
        let transaction = paced_us(self.parts.transaction(), PACE, count).await?;
        let publish = paced_us(self.parts.publish().await?, PACE, count).await?;
        let unary = paced_us(self.parts.unary(), PACE, count).await?;
        // Half of a call, there and back, is the way of the put; the rest the delivery.
        let heard = paced_us(self.parts.heard().await?, PACE, count).await?;
        let delivery = (heard - unary / 2.0).max(0.0);
        let sum = transaction + publish + unary + delivery;
        compared.add("fleet_watch_p50", "sum", ours.quantile_us(0.5), Some(sum));
        compared.add("fleet_watch_p99", "", ours.quantile_us(0.99), None);
        for (part, us) in [
            ("part_transaction_p50", transaction),
            ("part_publish_p50", publish),
            ("part_tonic_unary_p50", unary),
            ("part_tonic_delivery_p50", delivery),
        ] {
            compared.add(part, "", Some(us), None);
        }
        let commit = paced_us(self.parts.commit(), PACE, count).await?;
        compared.add("part_bare_commit_p50", "", Some(commit), None);
        Ok(())
    }

    async fn head(&self, swarm: &str) -> anyhow::Result<i64> {
        let row =
            self.parts.sql.query_one("SELECT revision FROM swarmem.heads WHERE name = $1", &[&swarm]).await?;
        Ok(row.get(0))
    }

    /// Each commit has a nonce of its own.
    async fn rows_per_commit(&self, swarm: &str, after: i64) -> anyhow::Result<f64> {
        let sql = "SELECT count(*)::float8 / count(DISTINCT l.nonce) FROM swarmem.log l \
                   JOIN swarmem.heads h USING (swarm_id, life) WHERE h.name = $1 AND l.revision > $2";
        Ok(self.parts.sql.query_one(sql, &[&swarm, &after]).await?.get(0))
    }
}

async fn clients(fleet: &Fleet, coordinator: usize) -> anyhow::Result<Vec<Client>> {
    let options = Options {
        call_timeout: Duration::from_secs(60),
        ..Options::new("default", "bench", Role::Orchestrator)
    };
    let endpoint = fleet.endpoint(coordinator)?;
    let mut clients = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        clients.push(Client::connect(&endpoint, options.clone()).await?);
    }
    Ok(clients)
}

fn in_swarm(clients: &[Client], swarm: &str) -> Vec<Client> {
    clients.iter().map(|client| client.in_swarm(swarm)).collect()
}

/// A connection that ends with its client.
async fn connect(url: &str) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
