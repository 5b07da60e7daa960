//! `bench recall`: a corpus, questions, and what was answered as a file that a scorer reads. Knows nothing of which answers are
//! right.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;

use super::{
    super::{Error, Setting, value},
    Common, Report,
};
use crate::{
    bench::{
        latency::Latency,
        recall::{Memory, Query, ask, store},
        row::Row,
    },
    wire::v1,
};

/// Store a corpus, and ask questions about it.
#[derive(Args, Clone, Debug)]
pub struct RecallLoad {
    /// Memories, one JSON object a line: conversation, id, text; speaker, time, session, seq, key, aliases, scope, type,
    /// superseded_by, resolved
    #[arg(long, value_name = "FILE")]
    pub corpus: PathBuf,
    /// Questions, one JSON object a line: qid, text, conversation; scope, user
    #[arg(long, value_name = "FILE")]
    pub queries: PathBuf,
    /// Write here what was answered: {"qid": …, "ranked": [ids, best first]} a line
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Ask for so many memories
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = value::at_least_one::<u32>)]
    pub limit: u32,
    /// Ask all questions so often once more, one after the other, to measure how long they take
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub rounds: usize,
    /// What compares meanings
    #[arg(long, value_enum, default_value = "builtin")]
    pub embedder: EmbedderArg,
    /// Put the coordinator's database here, for as long as it is measured; by default a temporary folder
    #[arg(long, value_name = "PATH")]
    pub database_dir: Option<PathBuf>,
    /// Set a configuration key of the coordinator that is started
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<Setting>,
}

/// What compares meanings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EmbedderArg {
    /// The built-in model.
    Builtin,
    /// Nothing: by words alone.
    None,
}

impl RecallLoad {
    /// What the coordinator that is started is told.
    pub(super) fn common(&self) -> Common {
        let embedder = match self.embedder {
            EmbedderArg::Builtin => "builtin",
            EmbedderArg::None => "none",
        };
        let embedder = Setting { name: "recall.embedder".to_owned(), value: embedder.to_owned() };
        Common {
            seconds: Duration::ZERO,
            warm_up: Duration::ZERO,
            content_bytes: 0,
            connections: 1,
            database_dir: self.database_dir.clone(),
            server_pid: None,
            keep: false,
            settings: self.settings.iter().cloned().chain([embedder]).collect(),
        }
    }
}

pub(super) async fn run(load: &RecallLoad, report: &mut Report<'_>) -> Result<(), Error> {
    let corpus: Vec<Memory> = lines(&load.corpus)?;
    let queries: Vec<Query> = lines(&load.queries)?;
    let client = report.target.client().await?;
    let stored = store(&client, &corpus).await?;
    report.add([row("store", corpus.len(), stored)])?;
    let begun = Instant::now();
    let everything =
        v1::RecallRequest { query: "what is there to know".to_owned(), limit: 1, ..Default::default() };
    client.recall(everything).await?;
    report.add([row("load", corpus.len(), begun.elapsed())])?;
    let (answers, latency) = ask(&client, &queries, load.limit, load.rounds).await?;
    if let Some(out) = &load.out {
        let mut file = BufWriter::new(File::create(out).map_err(|error| wrong(out, &error.to_string()))?);
        for answer in &answers {
            let line = serde_json::to_string(answer).map_err(|error| wrong(out, &error.to_string()))?;
            writeln!(file, "{line}").map_err(|error| wrong(out, &error.to_string()))?;
        }
        file.flush().map_err(|error| wrong(out, &error.to_string()))?;
    }
    report.add([asked(&latency, report.target.process.as_ref().and_then(|process| process.rss_bytes()))])
}

fn row(figure: &str, count: usize, took: Duration) -> Row {
    Row {
        figure: figure.to_owned(),
        operations: count as u64,
        operations_total: count as u64,
        seconds: took.as_secs_f64(),
        rate_per_s: count as f64 / took.as_secs_f64(),
        ..Row::default()
    }
}

fn asked(latency: &Latency, rss_bytes: Option<u64>) -> Row {
    let count = latency.count();
    let row = Row {
        figure: "recall".to_owned(),
        operations: count,
        operations_total: count,
        rss_bytes,
        ..Row::default()
    };
    row.with_latency(latency)
}

fn lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Error> {
    let file = File::open(path).map_err(|error| wrong(path, &error.to_string()))?;
    let mut all = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| wrong(path, &error.to_string()))?;
        if line.trim().is_empty() {
            continue;
        }
        let parsed = serde_json::from_str(&line);
        all.push(parsed.map_err(|error| wrong(path, &format!("line {}: {error}", number + 1)))?);
    }
    Ok(all)
}

fn wrong(path: &Path, problem: &str) -> Error {
    Error::Usage(format!("{}: {problem}", path.display()))
}
