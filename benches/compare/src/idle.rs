//! What it costs to follow a thousand swarms in which nothing happens, on two coordinators over one PostgreSQL: with Redis,
//! and without. Knows only our own side.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::Context as _;
use futures_util::future::try_join_all;
use serde::Serialize;
use swarmem::{
    bench::{
        process::{Process, Usage},
        watch::Watch,
    },
    client::{Client, Options, Role},
};
use tokio::time::{Instant, sleep};

use super::{Args, fleet::servers::Fleet};

const COORDINATORS: usize = 2;
const SWARMS: usize = 1_000;
/// Watches that are opened at once.
const OPENINGS: usize = 250;
/// What a coordinator may spend at rest, in percent of a core.
const CPU_MAX: f64 = 3.0;

/// What one coordinator spends.
#[derive(Clone, Debug, Serialize)]
struct Figure {
    figure: &'static str,
    bus: &'static str,
    coordinator: usize,
    swarms: usize,
    /// Of one core.
    cpu_percent: f64,
    polls_per_s: f64,
    /// From the first request to the last answer.
    open_s: f64,
    rss_bytes: Option<u64>,
    target: String,
    met: bool,
}

/// Runs it with each bus, and prints a line for each coordinator.
///
/// # Errors
/// When a fleet does not start, or a call fails.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    for (bus, settings) in [("redis", &[][..]), ("none", &["bus.kind=local"][..])] {
        let fleet = Fleet::start(&args.program()?, &args.parent(), COORDINATORS, settings)?;
        for figure in rest(args, &fleet, bus).await? {
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&figure)?)?;
        }
    }
    Ok(())
}

async fn rest(args: &Args, fleet: &Fleet, bus: &'static str) -> anyhow::Result<Vec<Figure>> {
    let (mut watches, mut opened_s) = (Vec::new(), Vec::new());
    for coordinator in 0..COORDINATORS {
        let options = Options::new("default", "boss", Role::Orchestrator);
        let client = Client::connect(&fleet.endpoint(coordinator)?, options).await?;
        let swarms: Vec<_> = (0..SWARMS).map(|n| client.in_swarm(format!("swarm-{n}"))).collect();
        for some in swarms.chunks(OPENINGS).filter(|_| coordinator == 0) {
            try_join_all(some.iter().map(|swarm| swarm.create_swarm(None))).await?;
        }
        let begun = Instant::now();
        for some in swarms.chunks(OPENINGS) {
            watches.extend(try_join_all(some.iter().map(Watch::open)).await?);
        }
        opened_s.push(begun.elapsed().as_secs_f64());
    }
    let (settle, window) = match args.quick {
        true => (Duration::from_secs(2), Duration::from_secs(5)),
        false => (Duration::from_secs(5), Duration::from_secs(30)),
    };
    sleep(settle).await;
    let look = || (0..COORDINATORS).map(|at| Look::at(fleet, at)).collect::<anyhow::Result<Vec<_>>>();
    let (begun, before) = (Instant::now(), look()?);
    sleep(window).await;
    let (took_s, after) = (begun.elapsed().as_secs_f64(), look()?);
    let figures = (0..COORDINATORS).map(|at| {
        let cpu_percent = 100.0 * after[at].cpu.since(before[at].cpu).as_secs_f64() / took_s;
        Figure {
            figure: "at_rest",
            bus,
            coordinator: at + 1,
            swarms: SWARMS,
            cpu_percent,
            polls_per_s: (after[at].polls - before[at].polls) / took_s,
            open_s: opened_s[at],
            rss_bytes: fleet.process(at).rss_bytes(),
            target: format!("cpu_percent <= {CPU_MAX}"),
            met: cpu_percent <= CPU_MAX,
        }
    });
    Ok(figures.collect())
}

/// What a coordinator had spent and done at some time.
struct Look {
    cpu: Usage,
    polls: f64,
}

impl Look {
    fn at(fleet: &Fleet, coordinator: usize) -> anyhow::Result<Self> {
        let process: Process = fleet.process(coordinator);
        Ok(Self { cpu: Usage::of(process).context("no /proc")?, polls: polls(fleet.http(coordinator))? })
    }
}

fn polls(address: &str) -> anyhow::Result<f64> {
    let mut socket = TcpStream::connect(address)?;
    write!(socket, "GET /metrics HTTP/1.1\r\nhost: swarmem\r\nconnection: close\r\n\r\n")?;
    let mut said = String::new();
    socket.read_to_string(&mut said)?;
    let lines = said.lines().filter(|line| line.starts_with("swarmem_polls_total"));
    lines.map(|line| Ok(line.rsplit(' ').next().context("no value")?.parse::<f64>()?)).sum()
}
