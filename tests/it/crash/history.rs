//! What the clients of a coordinator saw of it, as plain values. Knows nothing of how they saw it.

use swarmem::wire::v1::{Entry, Event};

/// All that was seen, from the first write to what is there in the end.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every write whose outcome was learned.
    pub writes: Vec<Write>,
    /// What each watch received over all its connections.
    pub watches: Vec<Watched>,
    /// The whole log, read in the end.
    pub log: Vec<Event>,
    /// The newest revision, by the word of the coordinator.
    pub head: u64,
    /// Every entry, listed in the end.
    pub state: Vec<Entry>,
}

/// A write and what it came to.
#[derive(Clone, Debug)]
pub struct Write {
    /// Names it. The contents it writes begin with this name and a blank.
    pub name: String,
    pub outcome: Outcome,
}

/// What a write came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It was acknowledged.
    Done {
        /// At which revision, if the answer says so.
        revision: Option<u64>,
        changes: Vec<Change>,
    },
    /// It was refused, so nothing of it may be seen.
    Refused,
    /// Something that should not happen, in the words of the client.
    Failed(String),
}

/// A change that was acknowledged.
#[derive(Clone, Debug)]
pub enum Change {
    Put {
        namespace: String,
        key: String,
        content: String,
        etag: String,
        /// The etag that the entry had to have.
        expected: Option<String>,
    },
    Delete {
        namespace: String,
        key: String,
    },
}

/// A watch over all its connections.
#[derive(Clone, Debug)]
pub struct Watched {
    pub name: String,
    pub selection: Selection,
    pub start: Start,
    pub events: Vec<Event>,
    /// The revision up to which it said to have seen everything.
    pub reached: u64,
    /// Why the coordinator would not let it resume.
    pub refused: Option<String>,
}

/// What a watch asked for, or may see.
#[derive(Clone, Debug)]
pub enum Selection {
    Everything,
    /// The namespace is one of these or below it.
    Below(Vec<String>),
    Tag(String),
}

/// Where a watch began.
#[derive(Clone, Debug)]
pub enum Start {
    /// At the first revision.
    Beginning,
    /// Behind a snapshot.
    Snapshot { revision: u64, entries: Vec<Entry> },
}

impl Selection {
    pub fn takes(&self, entry: &Entry) -> bool {
        match self {
            Self::Everything => true,
            Self::Below(prefixes) => prefixes.iter().any(|prefix| {
                entry
                    .namespace
                    .strip_prefix(prefix)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }),
            Self::Tag(tag) => entry.tags.contains(tag),
        }
    }
}
