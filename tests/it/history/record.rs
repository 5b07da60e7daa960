//! What was asked of a fleet and what it answered, as plain values that can be kept in a file and checked again. Knows nothing
//! of how it was seen, and of what is right.

use std::{
    io::{self, BufRead, Write as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

/// A moment, as the recorder saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct At {
    /// The how-manieth thing that the recorder saw: orders moments exactly, also where the clock stands still.
    pub tick: u64,
    /// Microseconds since the recording began, for figures.
    pub us: u64,
}

/// All that was seen of one swarm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    pub calls: Vec<Call>,
    pub streams: Vec<Stream>,
    /// The log, read in as many parts as it takes to have all of it in spite of compaction.
    pub log: Vec<LogPart>,
    /// Everything at rest.
    pub end: Option<End>,
    /// The store lost something in between; `log` is what it went on with, from the first revision.
    pub lost: Option<Lost>,
}

/// A line of a file.
#[derive(Serialize, Deserialize)]
enum Line {
    Call(Box<Call>),
    Stream(Stream),
    Log(LogPart),
    End(End),
    Lost(Lost),
}

/// A call, once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Call {
    pub id: u64,
    pub client: String,
    /// The author of what it writes.
    pub agent: String,
    /// Which coordinator was asked.
    pub via: String,
    /// Before it was made.
    pub start: At,
    /// After it was answered or given up.
    pub end: At,
    pub request: Request,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    Write(Write),
    /// Some entries, at one revision.
    Get {
        names: Vec<Name>,
        freshness: Freshness,
    },
    /// All pages, at one revision.
    List {
        filter: Filter,
        freshness: Freshness,
    },
}

/// A write of any kind. Calls that have the same agent, request id and body are one request made again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    pub request_id: String,
    pub kind: Kind,
    pub compares: Vec<Compare>,
    pub success: Vec<Operation>,
    pub failure: Vec<Operation>,
}

/// By which rpc.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    Put,
    BatchPut,
    Delete,
    DeletePrefix,
    Transact,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name {
    pub namespace: String,
    pub key: String,
}

/// Each content is written by one request only, so that it tells whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Operation {
    Put { name: Name, content: String, tags: Vec<String>, ttl_us: Option<u64>, only: Condition },
    Delete { name: Name, only: Condition },
    DeletePrefix { prefix: String },
    Get { name: Name },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    Always,
    Etag(String),
    Absent,
    Exists,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    Exists(Name, bool),
    Etag(Name, String),
    Content(Name, String),
    /// The entry was written at least so many times.
    Version(Name, u64),
    /// Something is below the prefix, or nothing.
    Below(String, bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshness {
    Strong,
    AtLeast(String),
    Stale,
    /// The state at exactly this revision.
    Exact(u64),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// A write was acknowledged.
    Done {
        /// The revision it took; none if it changed nothing.
        revision: Option<u64>,
        /// What the token is of.
        state: u64,
        token: String,
        /// Whether the comparisons held.
        succeeded: bool,
        results: Vec<Effect>,
    },
    /// A read was answered.
    Read {
        revision: u64,
        token: String,
        /// Of a get: in the order of the names, none for those that are absent. Of a listing: all.
        entries: Vec<Option<Entry>>,
    },
    /// It was refused for what it asked.
    Refused { reason: String, current: Option<Entry> },
    /// It failed, and was certainly not done.
    Failed { why: String },
    /// It may have been done, and may be done still.
    Unknown { why: String },
}

/// What one operation came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    Put { etag: String, version: u64 },
    Delete { deleted: bool },
    DeletePrefix { deleted: u64 },
    Get { entry: Option<Entry> },
}

/// An entry as it was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub name: Name,
    pub content: String,
    pub tags: Vec<String>,
    pub author: String,
    pub revision: u64,
    pub create_revision: u64,
    pub version: u64,
    pub etag: String,
    /// In microseconds of swarm time.
    pub expire_us: Option<i64>,
}

/// A change as it was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub revision: u64,
    pub ordinal: u32,
    pub change: Change,
    pub cause: Cause,
    /// In microseconds of swarm time.
    pub time_us: i64,
    pub entry: Entry,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    Put,
    Delete,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    Write,
    Expiry,
    Other,
}

/// Which entries are meant; an empty list means any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    pub prefixes: Vec<String>,
    pub tags: Vec<String>,
    pub authors: Vec<String>,
    /// The caller is this agent, who may read what is shared and its own; none: one who may read everything.
    pub reader: Option<String>,
}

/// One stream of a watch, as the client library presents it: what it does to come back does not show.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stream {
    pub id: u64,
    /// The watcher; its streams follow one another.
    pub watcher: String,
    pub via: String,
    pub filter: Filter,
    pub start: Start,
    /// Before it was opened.
    pub opened: At,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    Now,
    Token(String),
    Revision(u64),
    /// In microseconds of swarm time.
    Time(i64),
    Snapshot,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    pub at: At,
    pub what: What,
}

/// A response, or an end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    Events {
        events: Vec<Event>,
        fragment: bool,
        revision: u64,
        token: String,
    },
    Snapshot {
        entries: Vec<Entry>,
        revision: u64,
        token: String,
    },
    SnapshotEnd {
        revision: u64,
        token: String,
    },
    Bookmark {
        revision: u64,
        token: String,
    },
    /// The service ended it.
    Ended {
        code: String,
        reason: Option<String>,
        floor: Option<u64>,
    },
    /// The watcher left.
    Left,
}

/// Events behind `after`, read in one go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogPart {
    /// Before it was read.
    pub start: At,
    pub after: u64,
    /// The head that it reaches up to.
    pub head: u64,
    pub events: Vec<Event>,
}

/// What is there when nothing happens any more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct End {
    pub head: u64,
    pub floor: u64,
    /// All entries, listed.
    pub entries: Vec<Entry>,
    /// The watchers that were there to the end, by their names.
    pub watching: Vec<String>,
}

/// The end of a first life: the store went on from an earlier revision, and what lay behind it is lost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lost {
    /// The newest revision that both lives have.
    pub kept: u64,
    /// The log of the first.
    pub log: Vec<LogPart>,
    /// Nothing was done in the first from here on, and nothing in the second before.
    pub at: At,
    /// From here on every coordinator knew.
    pub known: At,
}

impl History {
    /// Writes it as lines of JSON.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = io::BufWriter::new(std::fs::File::create(path)?);
        let calls = self.calls.iter().cloned().map(Box::new).map(Line::Call);
        let streams = self.streams.iter().cloned().map(Line::Stream);
        let log = self.log.iter().cloned().map(Line::Log);
        let lost = self.lost.iter().cloned().map(Line::Lost);
        let end = self.end.iter().cloned().map(Line::End);
        for line in calls.chain(streams).chain(log).chain(lost).chain(end) {
            serde_json::to_writer(&mut file, &line)?;
            file.write_all(b"\n")?;
        }
        file.flush()
    }

    /// Reads what [`History::save`] wrote.
    pub fn load(text: impl BufRead) -> io::Result<Self> {
        let mut history = Self::default();
        for line in text.lines() {
            match serde_json::from_str(&line?)? {
                Line::Call(call) => history.calls.push(*call),
                Line::Stream(stream) => history.streams.push(stream),
                Line::Log(part) => history.log.push(part),
                Line::End(end) => history.end = Some(end),
                Line::Lost(lost) => history.lost = Some(lost),
            }
        }
        Ok(history)
    }
}

impl Filter {
    pub fn everything() -> Self {
        Self::default()
    }

    pub fn takes(&self, entry: &Entry) -> bool {
        let namespace = &entry.name.namespace;
        let may_read = self.reader.as_ref().is_none_or(|agent| {
            is_below(namespace, "shared") || is_below(namespace, &format!("agents/{agent}"))
        });
        may_read
            && (self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| is_below(namespace, prefix)))
            && self.tags.iter().all(|tag| entry.tags.contains(tag))
            && (self.authors.is_empty() || self.authors.contains(&entry.author))
    }
}

/// By whole segments.
pub fn is_below(namespace: &str, prefix: &str) -> bool {
    namespace.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Event {
    pub fn place(&self) -> (u64, u32) {
        (self.revision, self.ordinal)
    }
}

impl What {
    /// The token that came with it, and the revision up to which everything has been seen by its word.
    pub fn token(&self) -> Option<(&str, u64)> {
        match self {
            Self::Events { token, revision, .. }
            | Self::Snapshot { token, revision, .. }
            | Self::SnapshotEnd { token, revision }
            | Self::Bookmark { token, revision } => Some((token, *revision)),
            Self::Ended { .. } | Self::Left => None,
        }
    }
}
