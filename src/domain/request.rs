//! What a writer asks for: comparisons, then one of two lists of operations; and what must be loaded to decide it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Invalid,
    entry::{Body, Etag},
    limits::{
        CONTENT_BYTES_CEILING, Limits, REQUEST_ID_BYTES_MAX, TRANSACTION_GETS_MAX, TRANSACTION_ORDERINGS_MAX,
    },
    namespace::{AgentId, EntryPath, Prefix},
    time::Expiry,
};

/// What must hold for one operation; if it does not, the whole request fails and changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Condition {
    /// Nothing.
    #[default]
    Always,
    /// The entry exists with this etag.
    Etag(Etag),
    /// The entry does not exist.
    Absent,
    /// The entry exists.
    Exists,
}

/// One operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// Creates or replaces an entry.
    Put {
        /// Which.
        path: EntryPath,
        /// With what.
        body: Body,
        /// Until when.
        expiry: Option<Expiry>,
        /// If what.
        condition: Condition,
    },
    /// Deletes an entry; nothing happens if there is none.
    Delete {
        /// Which.
        path: EntryPath,
        /// If what.
        condition: Condition,
    },
    /// Deletes everything below a prefix.
    DeletePrefix {
        /// Below what.
        prefix: Prefix,
        /// At most so many; none: all, or the request is refused.
        limit: Option<usize>,
    },
    /// Reads an entry as the operations before it leave it.
    Get {
        /// Which.
        path: EntryPath,
    },
    /// Deletes an entry whose time ran out; nothing happens otherwise. Only the coordinator asks for it.
    Expire {
        /// Which.
        path: EntryPath,
    },
}

impl Operation {
    /// The content of the entry it names is needed if it has at most so many bytes.
    fn content_needed(&self) -> u64 {
        match self {
            Self::Put { condition, .. } | Self::Delete { condition, .. } => match condition {
                Condition::Always => 0,
                _ => REFUSAL_CONTENT_BYTES_MAX,
            },
            Self::Get { .. } => u64::MAX,
            Self::Expire { .. } | Self::DeletePrefix { .. } => 0,
        }
    }

    /// What the wire calls it.
    fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::Delete { .. } => "delete",
            Self::DeletePrefix { .. } => "delete_prefix",
            Self::Get { .. } => "get",
            Self::Expire { .. } => "expire",
        }
    }
}

/// The content of a compared entry is needed if it has at most so many bytes. One that has more, or less, than the text
/// it is held against is not equal to it.
fn content_needed(test: &Test) -> u64 {
    match test {
        Test::Content(Comparison::Eq | Comparison::Ne, with) => with.len() as u64,
        Test::Content(..) => u64::MAX,
        _ => 0,
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
}

impl Comparison {
    /// Whether it holds between `left` and `right`.
    #[must_use]
    pub fn holds<T: PartialOrd + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Eq => left == right,
            Self::Ne => left != right,
            Self::Gt => left > right,
            Self::Gte => left >= right,
            Self::Lt => left < right,
            Self::Lte => left <= right,
        }
    }
}

/// What a comparison looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One entry.
    Entry(EntryPath),
    /// Every entry below a prefix.
    Below(Prefix),
}

/// What a comparison compares. The entry's value stands on the left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// The entry exists, or not. Below a prefix: at least one does, or none.
    Exists(bool),
    /// The etag is this, or (false) is not.
    Etag(bool, Etag),
    /// The content, bytewise.
    Content(Comparison, Arc<str>),
    /// The revision of the current version.
    Revision(Comparison, u64),
    /// The revision at which the key came into being.
    CreateRevision(Comparison, u64),
    /// How many times the key was written.
    Version(Comparison, u64),
}

/// One comparison of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// What it looks at.
    pub target: Target,
    /// What must hold.
    pub test: Test,
}

/// A caller's name for a request, unique per swarm and agent for 24 hours.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Parses a request id.
    ///
    /// # Errors
    /// When it is empty, too long, or has control characters.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() || text.len() > REQUEST_ID_BYTES_MAX {
            let problem = format!("{} bytes, 1 to {REQUEST_ID_BYTES_MAX} are allowed", text.len());
            return Err(Invalid::new("request_id", problem));
        }
        if text.chars().any(char::is_control) {
            return Err(Invalid::new("request_id", "must not contain control characters"));
        }
        Ok(Self(text.into()))
    }

    /// What a store kept, which was valid when it was written.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text that is shared, not copied.
    #[must_use]
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// A hash of a request's canonical encoding, with which another request under the same id is recognised.
pub type Digest = [u8; 16];

/// Makes a request idempotent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's name for it.
    pub id: RequestId,
    /// What it asked; another body under the same id is refused.
    pub digest: Digest,
}

/// Under which name the outcome of a request is recorded.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The caller.
    pub agent: AgentId,
    /// Its id.
    pub id: RequestId,
}

/// A request to change a swarm, valid in itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    author: AgentId,
    idempotency: Option<Idempotency>,
    compares: Vec<Compare>,
    success: Vec<Operation>,
    failure: Vec<Operation>,
}

impl Request {
    /// Operations without comparisons, all or none.
    ///
    /// # Errors
    /// When there is none, too many, or two write the same entry; the field is that of a member of a list, `[3].key`.
    pub fn write(
        author: AgentId,
        idempotency: Option<Idempotency>,
        operations: Vec<Operation>,
        limits: &Limits,
    ) -> Result<Self, Invalid> {
        writes_once(&operations).map_err(|(at, e)| e.within(format!("[{at}]")))?;
        counted(operations.len(), limits)?;
        let (compares, failure) = (Vec::new(), Vec::new());
        Ok(Self { author, idempotency, compares, success: operations, failure })
    }

    /// Comparisons, and what to do when they hold and when they do not.
    ///
    /// # Errors
    /// When there is nothing to do, too much, or a list of operations writes an entry twice.
    pub fn transaction(
        author: AgentId,
        idempotency: Option<Idempotency>,
        compares: Vec<Compare>,
        success: Vec<Operation>,
        failure: Vec<Operation>,
        limits: &Limits,
    ) -> Result<Self, Invalid> {
        counted(compares.len() + success.len() + failure.len(), limits)?;
        let mut orderings = 0;
        for (at, compare) in compares.iter().enumerate() {
            orderings += usize::from(content_needed(&compare.test) == u64::MAX);
            if orderings > TRANSACTION_ORDERINGS_MAX {
                let problem = format!(
                    "is one of more than {TRANSACTION_ORDERINGS_MAX} comparisons of the order of contents"
                );
                return Err(Invalid::new(format!("compares[{at}].content"), problem));
            }
            if let (Target::Below(_), Test::Content(..)) = (&compare.target, &compare.test) {
                let problem = "content is compared on one entry, not on a prefix";
                return Err(Invalid::new(format!("compares[{at}].content"), problem));
            }
        }
        for (name, operations) in [("success", &success), ("failure", &failure)] {
            let gets = operations.iter().filter(|o| matches!(o, Operation::Get { .. })).count();
            if gets > TRANSACTION_GETS_MAX {
                return Err(Invalid::new(
                    name,
                    format!("{gets} gets, at most {TRANSACTION_GETS_MAX} are allowed"),
                ));
            }
            writes_once(operations)
                .map_err(|(at, e)| e.within(format!("{name}[{at}].{}", operations[at].name())))?;
        }
        Ok(Self { author, idempotency, compares, success, failure })
    }

    /// Who asks.
    #[must_use]
    pub fn author(&self) -> &AgentId {
        &self.author
    }

    /// What makes it idempotent, if anything.
    #[must_use]
    pub fn idempotency(&self) -> Option<&Idempotency> {
        self.idempotency.as_ref()
    }

    /// The comparisons.
    #[must_use]
    pub fn compares(&self) -> &[Compare] {
        &self.compares
    }

    /// What is done when they hold, or (false) do not.
    #[must_use]
    pub fn branch(&self, succeeded: bool) -> &[Operation] {
        if succeeded { &self.success } else { &self.failure }
    }

    /// Under which name its outcome is recorded.
    #[must_use]
    pub fn record_key(&self) -> Option<RecordKey> {
        let id = self.idempotency.as_ref()?.id.clone();
        Some(RecordKey { agent: self.author.clone(), id })
    }

    /// How many bytes of contents have to be loaded to decide it, at most.
    #[must_use]
    pub fn load_bytes_max(&self) -> usize {
        let capped =
            |needed: u64| usize::try_from(needed).unwrap_or(CONTENT_BYTES_CEILING).min(CONTENT_BYTES_CEILING);
        let operations =
            self.success.iter().chain(&self.failure).map(|operation| capped(operation.content_needed()));
        let compares = self.compares.iter().map(|compare| capped(content_needed(&compare.test)));
        operations.sum::<usize>() + compares.sum::<usize>()
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        let operations = self.success.iter().chain(&self.failure).map(|operation| match operation {
            Operation::Put { body, .. } => 256 + body.content.len() + body.attributes.as_str().len(),
            _ => 128,
        });
        let compares = self.compares.iter().map(|compare| match &compare.test {
            Test::Content(_, content) => 128 + content.len(),
            _ => 128,
        });
        256 + operations.sum::<usize>() + compares.sum::<usize>()
    }
}

fn counted(count: usize, limits: &Limits) -> Result<(), Invalid> {
    if (1..=limits.operations_max).contains(&count) {
        return Ok(());
    }
    let problem = format!("{count} comparisons and operations, 1 to {} are allowed", limits.operations_max);
    Err(Invalid::new("operations", problem))
}

/// One revision holds one change of an entry, so a list must not write one twice. Says which member does.
fn writes_once(operations: &[Operation]) -> Result<(), (usize, Invalid)> {
    let mut paths = BTreeSet::new();
    let mut prefixes: Vec<(usize, &Prefix)> = Vec::new();
    for (at, operation) in operations.iter().enumerate() {
        match operation {
            Operation::Put { path, .. } | Operation::Delete { path, .. } | Operation::Expire { path } => {
                if !paths.insert(path) {
                    return Err((at, Invalid::new("key", "is written twice in one request")));
                }
            }
            Operation::DeletePrefix { prefix, .. } => {
                if prefixes.iter().any(|(_, p)| p.contains(prefix) || prefix.contains(p)) {
                    return Err((at, Invalid::new("prefix", "overlaps another prefix of the request")));
                }
                prefixes.push((at, prefix));
            }
            Operation::Get { .. } => {}
        }
    }
    for (at, prefix) in prefixes {
        if paths.iter().any(|path| prefix.covers(&path.namespace)) {
            return Err((at, Invalid::new("prefix", "covers an entry that the request writes as well")));
        }
    }
    Ok(())
}

/// A condition that fails answers with the current entry, and with its content if it has at most so many bytes: an
/// error travels in headers, where there is little room.
pub const REFUSAL_CONTENT_BYTES_MAX: u64 = 4 * 1024;

/// What a store loads, under the lock, before the requests of a commit can be decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Entries by name; their content is needed if it has at most so many bytes.
    pub entries: BTreeMap<EntryPath, u64>,
    /// Everything below these, without contents, but no more than so many of each.
    pub prefixes: BTreeMap<Prefix, usize>,
    /// Outcomes recorded under these names.
    pub records: BTreeSet<RecordKey>,
}

impl Footprint {
    /// What `requests` touch.
    #[must_use]
    pub fn of(requests: &[Arc<Request>], limits: &Limits) -> Self {
        let mut footprint = Self::default();
        for request in requests {
            footprint.records.extend(request.record_key());
            for compare in &request.compares {
                match &compare.target {
                    Target::Entry(path) => {
                        footprint.entry(path, content_needed(&compare.test));
                    }
                    Target::Below(prefix) => footprint.prefix(prefix, None, limits),
                }
            }
            for operation in request.success.iter().chain(&request.failure) {
                match operation {
                    Operation::Put { path, .. }
                    | Operation::Delete { path, .. }
                    | Operation::Get { path }
                    | Operation::Expire { path } => footprint.entry(path, operation.content_needed()),
                    Operation::DeletePrefix { prefix, limit } => {
                        footprint.prefix(prefix, *limit, limits);
                    }
                }
            }
        }
        footprint
    }

    fn entry(&mut self, path: &EntryPath, content_bytes_max: u64) {
        match self.entries.get_mut(path) {
            Some(needed) => *needed = content_bytes_max.max(*needed),
            None => drop(self.entries.insert(path.clone(), content_bytes_max)),
        }
    }

    /// As many as are asked for, and never more than one request may touch: the store says whether there are more.
    fn prefix(&mut self, prefix: &Prefix, limit: Option<usize>, limits: &Limits) {
        let max = limits.delete_prefix_max.max(1);
        let limit = limit.map_or(max, |limit| limit.clamp(1, max));
        let most = self.prefixes.entry(prefix.clone()).or_default();
        *most = limit.max(*most);
    }
}
