//! The command that measures a coordinator: what can be said on it, and what it prints. Knows nothing of how a load is
//! driven or measured.

mod loads;
mod recall;
mod server;
mod table;
mod watch;

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum, builder::ArgPredicate};

use self::server::{Place, Target};
use super::{Error, Format, Global, output::Output, value};
use crate::{
    bench::{closed::Window, row::Row},
    client::Endpoint,
};

/// Measure a coordinator.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// Write entries: how many a second, how fast, at what price
    Put(PutLoad),
    /// Read entries: how many a second, how fast, at what price
    Get(GetLoad),
    /// Watch: how long from a write to its watchers, how many deliveries a second, at what price
    Watch(WatchLoad),
    /// Answer questions about a corpus: what is found, how fast, with how much memory
    Recall(recall::RecallLoad),
}

/// What every load has.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Measure so long
    #[arg(long, default_value = "3s", value_name = "DURATION", value_parser = value::some_duration, allow_hyphen_values = true)]
    pub seconds: Duration,
    /// Run so long before that
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = value::duration, allow_hyphen_values = true)]
    pub warm_up: Duration,
    /// Bytes of an entry's content
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = content_bytes)]
    pub content_bytes: usize,
    /// Spread over at most so many connections
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = value::at_least_one::<usize>)]
    pub connections: usize,
    /// Put the coordinator's database here, for as long as it is measured; by default a temporary folder
    #[arg(long, value_name = "PATH")]
    pub database_dir: Option<PathBuf>,
    /// With --address: the coordinator's process on this machine, if it cannot be found
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// With --address: leave the swarm with what was written there; by default it is deleted
    #[arg(long)]
    pub keep: bool,
    /// Set a configuration key of the coordinator that is started
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<super::Setting>,
}

/// No coordinator takes more in one entry.
const CONTENT_BYTES_MAX: usize = 262_144;

fn content_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes @ 0..=CONTENT_BYTES_MAX) => Ok(bytes),
        _ => Err(format!("write a whole number up to {CONTENT_BYTES_MAX}")),
    }
}

impl Common {
    /// Refuses what would be left out in silence: some options are for a coordinator that is started, others for one that
    /// runs.
    fn check(&self, address: Option<&Endpoint>) -> Result<(), Error> {
        let (given, whose) = match address {
            Some(address) => (
                [("--database-dir", self.database_dir.is_some()), ("--set", !self.settings.is_empty())],
                format!(
                    "is for a coordinator that is started, and {address} (--address, SWARMEM_ADDRESS or --fleet) runs already"
                ),
            ),
            None => (
                [("--keep", self.keep), ("--server-pid", self.server_pid.is_some())],
                "is for a coordinator that runs; say which one with --address".to_owned(),
            ),
        };
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(Error::Usage(format!("{option} {whose}"))),
            None => Ok(()),
        }
    }

    fn window(&self) -> Window {
        Window { warm_up: self.warm_up, measured: self.seconds }
    }
}

/// Write entries.
#[derive(Args, Clone, Debug)]
pub struct PutLoad {
    /// What every load has.
    #[command(flatten)]
    pub common: Common,
    /// Operations in flight; one measurement for each
    #[arg(long, default_value = "1,16,64,256", value_delimiter = ',', value_name = "LIST", value_parser = value::at_least_one::<usize>)]
    pub in_flight: Vec<usize>,
    /// Rewrite a set of so many keys at random; by default each write has a new key
    #[arg(long, value_name = "N", value_parser = value::at_least_one::<u64>)]
    pub keys: Option<u64>,
    /// How writes travel; all measurements for each
    #[arg(long, value_enum, value_delimiter = ',', default_value = "unary,write", value_name = "LIST")]
    pub via: Vec<Via>,
}

/// How writes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Via {
    /// Each with a call of its own.
    Unary,
    /// On streams, pipelined; the connections have one each.
    Write,
}

/// Read entries.
#[derive(Args, Clone, Debug)]
pub struct GetLoad {
    /// What every load has.
    #[command(flatten)]
    pub common: Common,
    /// Operations in flight; one measurement for each
    #[arg(long, default_value = "1,16,64,256", value_delimiter = ',', value_name = "LIST", value_parser = value::at_least_one::<usize>)]
    pub in_flight: Vec<usize>,
    /// Read from a set of so many keys at random
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = value::at_least_one::<u64>)]
    pub keys: u64,
    /// How fresh the reads are
    #[arg(long, value_enum, default_value = "strong")]
    pub consistency: Freshness,
}

/// How fresh a read is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Freshness {
    /// Sees every acknowledged write.
    Strong,
    /// Whatever is at hand.
    StaleOk,
}

/// Watch.
#[derive(Args, Clone, Debug)]
pub struct WatchLoad {
    /// What every load has. The connections are those of the writers.
    #[command(flatten)]
    pub common: Common,
    /// Coordinators over one store, as ADDRESS,ADDRESS,…: write to the first and watch on each of the others, instead of
    /// --address
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    pub fleet: Vec<Endpoint>,
    /// Open watches; all measurements for each. With --fleet: on each of the others; then 1 unless said otherwise
    #[arg(long, default_value = "1,100,1000,10000", default_value_if("fleet", ArgPredicate::IsPresent, "1"), value_delimiter = ',', value_name = "LIST", value_parser = value::at_least_one::<usize>)]
    pub watchers: Vec<usize>,
    /// Open so many on one connection
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = value::at_least_one::<usize>)]
    pub streams_per_connection: usize,
    /// Which measurements
    #[arg(long, value_enum, value_delimiter = ',', default_value = "paced,full", value_name = "LIST")]
    pub speed: Vec<Speed>,
    /// Paced: so many writes a second; by default 100, or what makes 20,000 deliveries
    #[arg(long, value_name = "N", value_parser = value::positive)]
    pub rate: Option<f64>,
    /// At full speed: so many writes in flight
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = value::at_least_one::<usize>)]
    pub writers: usize,
    /// At full speed: writers wait while the watchers are so many events behind
    #[arg(long, default_value_t = 256, value_name = "N")]
    pub lag: u64,
    /// At full speed: decode every event; by default they are counted
    #[arg(long)]
    pub decode: bool,
}

/// How fast is written while others watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Speed {
    /// At a given rate: how long from a write to each watcher.
    Paced,
    /// As fast as the watchers can follow: how many deliveries a second.
    Full,
}

pub(super) async fn run(global: &Global, command: BenchCommand, output: &mut Output) -> Result<(), Error> {
    let common = match &command {
        BenchCommand::Put(load) => load.common.clone(),
        BenchCommand::Get(load) => load.common.clone(),
        BenchCommand::Watch(load) => load.common.clone(),
        BenchCommand::Recall(load) => load.common(),
    };
    let place = Place::of(global.address.as_ref(), &command)?;
    common.check(place.written())?;
    let target = Target::of(global, &common, place).await?;
    let measured = tokio::select! {
        measured = measure(&target, &command, output) => measured,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            Err(Error::Interrupted { token: None })
        }
    };
    let left = target.leave().await;
    measured.and(left)
}

async fn measure(target: &Target, command: &BenchCommand, output: &mut Output) -> Result<(), Error> {
    let mut report = Report { target, output, rows: Vec::new() };
    report.add(target.disk().await?)?;
    match command {
        BenchCommand::Put(load) => loads::put(load, &mut report).await?,
        BenchCommand::Get(load) => loads::get(load, &mut report).await?,
        BenchCommand::Watch(load) => watch::run(load, &mut report).await?,
        BenchCommand::Recall(load) => recall::run(load, &mut report).await?,
    }
    report.end()
}

/// Rows for people come at the end in one table, those for machines as soon as they are known.
struct Report<'a> {
    target: &'a Target,
    output: &'a mut Output,
    rows: Vec<Row>,
}

impl Report<'_> {
    fn add(&mut self, row: impl IntoIterator<Item = Row>) -> Result<(), Error> {
        for row in row {
            let row = Row {
                machine: self.target.machine.clone(),
                durability: self.target.durability.map(str::to_owned),
                ..row
            };
            if self.output.format() == Format::Json {
                self.output.json(&row)?;
                self.output.flush()?;
            }
            self.rows.push(row);
        }
        Ok(())
    }

    fn end(self) -> Result<(), Error> {
        match self.output.format() {
            Format::Json => Ok(()),
            Format::Human => table::print(&self.rows, self.target, self.output),
        }
    }
}
