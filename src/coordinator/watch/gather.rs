//! Which of the events at hand go into one response: those that match, whole revisions, up to so many bytes. Knows
//! neither ring nor log.

use std::sync::Arc;

use super::{super::ring::Recent, Cursor};
use crate::domain::{entry::Version, query::Filter};

/// A change on its way to a response.
pub(super) struct Candidate {
    pub version: Arc<Version>,
    /// Where the ring holds its encoding.
    pub ring: Option<(Arc<Recent>, usize)>,
}

/// What goes into a response.
pub(super) struct Gathered {
    /// In order; none if nothing matched.
    pub chosen: Vec<Candidate>,
    /// Whether more of the last revision matches.
    pub fragment: bool,
    /// Behind all of it.
    pub cursor: Cursor,
}

/// A response that is being put together.
///
/// A revision that does not fit behind others goes into the next response; one that fits into none is cut, and only
/// where something that matches is left of it.
pub(super) struct Gathering<'a> {
    filter: &'a Filter,
    bytes_max: usize,
    chosen: Vec<Candidate>,
    bytes: usize,
    /// Behind everything that was taken in.
    cursor: Cursor,
    /// How many of the chosen are of complete revisions, and the cursor behind those.
    complete: usize,
    behind_complete: Cursor,
    full: bool,
}

impl<'a> Gathering<'a> {
    pub fn new(cursor: Cursor, filter: &'a Filter, bytes_max: usize) -> Self {
        let behind_complete = cursor.clone();
        let (chosen, bytes, complete, full) = Default::default();
        Self { filter, bytes_max, chosen, bytes, cursor, complete, behind_complete, full }
    }

    /// Behind everything that was taken in.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Whether nothing matched yet.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Takes in what comes next. What does not fit is left for the next response.
    pub fn extend(&mut self, candidates: Vec<Candidate>) {
        for candidate in candidates {
            if self.full {
                return;
            }
            self.take(candidate);
        }
    }

    /// Nothing comes next, so the last revision is complete.
    pub fn end_revision(&mut self) {
        if self.full {
            return;
        }
        self.cursor.pass(self.cursor.mark);
        self.complete = self.chosen.len();
        self.behind_complete = self.cursor.clone();
    }

    /// Whether there is a response.
    pub fn is_ready(&self) -> bool {
        self.full || self.complete > 0
    }

    pub fn finish(mut self) -> Gathered {
        let fragment = self.full && self.complete == 0;
        if fragment {
            return Gathered { chosen: self.chosen, fragment, cursor: self.cursor };
        }
        self.chosen.truncate(self.complete);
        Gathered { chosen: self.chosen, fragment, cursor: self.behind_complete }
    }

    fn take(&mut self, candidate: Candidate) {
        let Version { mark, ordinal, .. } = *candidate.version;
        if mark.revision != self.cursor.mark.revision {
            self.end_revision();
        }
        if self.filter.matches(&candidate.version) {
            let weight = candidate.version.weight();
            if !self.chosen.is_empty() && self.bytes + weight > self.bytes_max {
                self.full = true;
                return;
            }
            self.bytes += weight;
            self.chosen.push(candidate);
        }
        self.cursor.pass_within(mark, ordinal);
    }
}
