//! The options that choose entries, shared by the commands that list and those that follow. Knows nothing of
//! either.

use clap::{Args, ValueEnum};

use super::value::{self, Condition};
use crate::wire::{Timestamp, v1};

/// Which entries are meant. All conditions must hold.
#[derive(Args, Clone, Debug, Default)]
pub struct FilterArgs {
    /// Only below this namespace, by whole segments; several: below any of them
    #[arg(value_name = "PREFIX")]
    pub prefixes: Vec<String>,
    /// Only of this kind; several: of any of them
    #[arg(long = "kind", value_enum, value_name = "KIND")]
    pub kinds: Vec<KindArg>,
    /// Only with this tag; several: with all of them
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// Only written by this agent; several: by any of them
    #[arg(long = "author", value_name = "AGENT")]
    pub authors: Vec<String>,
    /// Only where an attribute compares so: 'PATH OPERATOR VALUE' with eq ne gt gte lt lte in exists
    #[arg(long = "where", value_name = "CONDITION")]
    pub conditions: Vec<Condition>,
    /// Only written at or after this time: 2026-11-02T10:00:00Z, or 15m for 15 minutes ago
    #[arg(long, value_name = "TIME", value_parser = value::time)]
    pub since: Option<Timestamp>,
    /// Only written before this time
    #[arg(long, value_name = "TIME", value_parser = value::time)]
    pub until: Option<Timestamp>,
}

impl FilterArgs {
    pub(super) fn into_filter(self) -> v1::Filter {
        v1::Filter {
            prefixes: self.prefixes,
            kinds: self.kinds.into_iter().map(|kind| v1::Kind::from(kind).into()).collect(),
            tags: self.tags,
            authors: self.authors,
            attributes: self.conditions.into_iter().map(|Condition(condition)| condition).collect(),
            updated_from: self.since,
            updated_before: self.until,
        }
    }
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum KindArg {
    /// A piece of knowledge
    Fact,
    /// A turn of a conversation
    Message,
    /// What somebody prefers
    Preference,
    /// The outcome of a way of working
    Pattern,
    /// A document, or a chunk of one
    Document,
    /// A summary of other entries
    Summary,
    /// A block of memory that is edited in place
    Block,
}

impl From<KindArg> for v1::Kind {
    fn from(kind: KindArg) -> Self {
        match kind {
            KindArg::Fact => Self::Fact,
            KindArg::Message => Self::Message,
            KindArg::Preference => Self::Preference,
            KindArg::Pattern => Self::Pattern,
            KindArg::Document => Self::Document,
            KindArg::Summary => Self::Summary,
            KindArg::Block => Self::Block,
        }
    }
}
