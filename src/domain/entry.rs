//! Entries, their versions in the log, and the etags that name them.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Invalid,
    attributes::Attributes,
    limits::Limits,
    namespace::{AgentId, EntryPath},
    swarm::{Mark, Nonce, Revision},
    time::Timestamp,
};

/// What an entry is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A piece of knowledge.
    #[default]
    Fact,
    /// A turn of a conversation.
    Message,
    /// What somebody prefers.
    Preference,
    /// The outcome of a way of working.
    Pattern,
    /// A document, or a chunk of one.
    Document,
    /// A summary of other entries.
    Summary,
    /// A block of memory that is edited in place.
    Block,
}

/// Why something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A client wrote.
    Write,
    /// Feedback moved the entry's utility.
    Feedback,
    /// The entry's time ran out.
    Expiry,
    /// The namespace was over its memory size.
    Eviction,
    /// The entry was archived or restored.
    Archive,
    /// An import wrote.
    Import,
    /// An older version was made current again.
    Revert,
    /// The entry was erased for good.
    Erase,
}

/// Sorted tags, each once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tags(Arc<[Box<str>]>);

impl Default for Tags {
    fn default() -> Self {
        Self(Arc::new([]))
    }
}

impl Tags {
    /// Sorts the tags and drops repeats.
    ///
    /// # Errors
    /// When there are too many, or one is empty, too long or has control characters.
    pub fn parse<S: AsRef<str>>(tags: &[S], limits: &Limits) -> Result<Self, Invalid> {
        if tags.len() > limits.tags_max {
            let problem = format!("{} tags, at most {} are allowed", tags.len(), limits.tags_max);
            return Err(Invalid::new("tags", problem));
        }
        for (at, tag) in tags.iter().enumerate() {
            let tag = tag.as_ref();
            let field = || format!("tags[{at}]");
            if tag.is_empty() || tag.len() > limits.tag_bytes_max {
                let problem = format!("{} bytes, 1 to {} are allowed", tag.len(), limits.tag_bytes_max);
                return Err(Invalid::new(field(), problem));
            }
            if tag.chars().any(char::is_control) {
                return Err(Invalid::new(field(), "must not contain control characters"));
            }
        }
        Ok(Self::trusted(tags))
    }

    /// Tags that were valid when they were written.
    #[must_use]
    pub fn trusted<S: AsRef<str>>(tags: &[S]) -> Self {
        let mut tags: Vec<Box<str>> = tags.iter().map(|t| t.as_ref().into()).collect();
        tags.sort_unstable();
        tags.dedup();
        Self(tags.into())
    }

    /// In order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|t| &**t)
    }

    /// Whether `tag` is among them.
    #[must_use]
    pub fn has(&self, tag: &str) -> bool {
        self.0.binary_search_by(|t| (**t).cmp(tag)).is_ok()
    }
}

/// What a writer says about an entry, besides where it stands and when it expires.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// What it is.
    pub kind: Kind,
    /// The text. Empty where it was not asked for; see [`Version::content_bytes`].
    pub content: Arc<str>,
    /// A JSON object.
    pub attributes: Attributes,
    /// Tags.
    pub tags: Tags,
    /// 0 to 1.
    pub importance: f64,
    /// Where it comes from, in the writer's words.
    pub source: Arc<str>,
}

/// The importance of an entry whose writer gave none.
pub const IMPORTANCE_DEFAULT: f64 = 0.5;

impl Default for Body {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            content: "".into(),
            attributes: Attributes::default(),
            tags: Tags::default(),
            importance: IMPORTANCE_DEFAULT,
            source: "".into(),
        }
    }
}

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Created or replaced.
    Put,
    /// Deleted; the version is a tombstone.
    Delete,
}

/// One change of one entry: a row of the log, and the event that watchers see.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Which entry.
    pub path: EntryPath,
    /// The revision and the nonce of its commit.
    pub mark: Mark,
    /// The change's place within its revision, from 0.
    pub ordinal: u32,
    /// What happened.
    pub change: Change,
    /// Why.
    pub cause: Cause,
    /// Who did it.
    pub author: AgentId,
    /// When it was committed.
    pub time: Timestamp,
    /// The revision at which the key came into being.
    pub create_revision: Revision,
    /// When the key came into being.
    pub create_time: Timestamp,
    /// How many times the key was written since then, from 1.
    pub version: u64,
    /// From then on the entry is absent.
    pub expire_time: Option<Timestamp>,
    /// Bytes of the content, also where the content itself was not loaded. 0 for a delete.
    pub content_bytes: u64,
    /// After a put, the entry; after a delete, what was deleted, without its content.
    pub body: Body,
}

impl Version {
    /// Names this version in preconditions.
    #[must_use]
    pub fn etag(&self) -> Etag {
        Etag(self.mark)
    }

    /// Whether the entry is there at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.change == Change::Put && !self.is_expired(now)
    }

    /// Whether its time ran out.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expire_time.is_some_and(|at| at <= now)
    }

    /// About how many bytes it takes in memory and on the wire.
    #[must_use]
    pub fn weight(&self) -> usize {
        let tags: usize = self.body.tags.iter().map(|t| t.len() + 8).sum();
        160 + self.path.namespace.as_str().len()
            + self.path.key.as_str().len()
            + self.author.as_str().len()
            + self.body.content.len()
            + self.body.attributes.as_str().len()
            + self.body.source.len()
            + tags
    }
}

/// An entry's revision and nonce, opaque on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Etag(pub Mark);

impl Etag {
    /// Parses what [`Etag::encode`] gave out.
    ///
    /// # Errors
    /// When it was not.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("etag", "is not an etag of this service");
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let (revision, nonce) = bytes.split_first_chunk::<8>().ok_or_else(wrong)?;
        let nonce = <[u8; 16]>::try_from(nonce).map_err(|_| wrong())?;
        Ok(Self(Mark { revision: Revision(u64::from_be_bytes(*revision)), nonce: Nonce(nonce) }))
    }

    /// As text of 32 characters.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.0.revision.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.0.nonce.0);
        URL_SAFE_NO_PAD.encode(bytes)
    }
}
