//! swarmem beside etcd, a bare tonic server and a bare SQLite loop: the same loads, in turns, in one run, because only
//! ratios of one run say anything on a machine that others use too. Knows what is run and how often; what a figure is
//! stands in `figures`.

mod bare;
mod etcd;
mod figures;
mod fleet;
mod idle;
mod ours;
mod rounds;
mod scale;
mod sqlite;

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use swarmem::bench::closed::Window;

/// Compares swarmem with etcd, a bare tonic server and a bare SQLite loop.
#[derive(Clone, Debug, Parser)]
struct Args {
    /// Print one JSON object a line
    #[arg(long, global = true)]
    json: bool,
    /// End within 90 seconds: short windows, few rounds
    #[arg(long, global = true)]
    quick: bool,
    /// Take turns so often; by default 5, or 3 with --quick
    #[arg(long, global = true, value_name = "N")]
    rounds: Option<usize>,
    /// The program to measure; by default the one beside this
    #[arg(long, global = true, value_name = "PATH")]
    swarmem: Option<PathBuf>,
    /// The etcd to compare with
    #[arg(long, default_value = "etcd", value_name = "PATH")]
    etcd: PathBuf,
    /// Where all keep their data; by default the system's folder for temporary files
    #[arg(long, global = true, value_name = "PATH")]
    database_dir: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// How cost grows with entries, swarms and watchers
    Scale,
    /// Two coordinators over PostgreSQL and Redis beside what the two do by themselves
    Fleet,
    /// What two coordinators spend on a thousand swarms in which nothing happens
    Idle,
    /// Run the bare tonic server; what this program starts for itself
    #[command(hide = true)]
    Bare,
}

impl Args {
    fn program(&self) -> anyhow::Result<PathBuf> {
        let beside = || Ok(std::env::current_exe()?.with_file_name("swarmem"));
        let program = self.swarmem.clone().map_or_else(beside, anyhow::Ok)?;
        anyhow::ensure!(
            program.exists(),
            "{} is missing; `cargo build --release` makes it, --swarmem names another",
            program.display()
        );
        Ok(program)
    }

    fn parent(&self) -> PathBuf {
        self.database_dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    fn window(&self) -> Window {
        let ms = Duration::from_millis;
        match self.quick {
            true => Window { warm_up: ms(200), measured: ms(500) },
            false => Window { warm_up: ms(500), measured: ms(2_000) },
        }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        match args.command {
            Some(Command::Bare) => bare::serve().await,
            Some(Command::Scale) => scale::run(&args).await,
            Some(Command::Idle) => idle::run(&args).await,
            Some(Command::Fleet) => {
                let compared = fleet::run(&args).await.context("the comparison failed")?;
                figures::print(&compared, args.json)
            }
            None => {
                let compared = rounds::run(&args).await.context("the comparison failed")?;
                figures::print(&compared, args.json)
            }
        }
    })
}
