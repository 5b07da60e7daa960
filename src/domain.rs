//! What swarmem means: words, rules and the one function that changes a swarm. Pure: no I/O, no tasks,
//! time and randomness are given. Knows nothing of stores, wires or clocks on walls.

pub mod access;
pub mod apply;
pub mod attributes;
pub mod commit;
pub mod entry;
pub mod limits;
pub mod namespace;
pub mod position;
pub mod query;
pub mod request;
pub mod swarm;
pub mod time;

/// A value that cannot be accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The request field, dotted and indexed as on the wire, such as `puts[3].key`.
    pub field: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

impl Invalid {
    /// A problem with `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// The same problem seen from one level further out: `outer.field`, or `outer[index]` where this is about a member.
    #[must_use]
    pub fn within(mut self, outer: impl std::fmt::Display) -> Self {
        let dot = if self.field.is_empty() || self.field.starts_with('[') { "" } else { "." };
        self.field = format!("{outer}{dot}{}", self.field);
        self
    }
}
