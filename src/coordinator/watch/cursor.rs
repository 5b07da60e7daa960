//! Where a stream stands, and how that becomes a position and comes back from one.

use crate::domain::{
    namespace::EntryPath,
    position::{Place, Position},
    swarm::{Head, Incarnation, Mark},
};

/// What a stream is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Sending the snapshot.
    Snapshot,
    /// Following the log.
    Events,
    /// Ended.
    Over,
}

/// Where a stream stands.
#[derive(Clone, Debug)]
pub(super) struct Cursor {
    pub phase: Phase,
    pub incarnation: Incarnation,
    /// Of a snapshot, its revision. Of events, the last revision of which something was sent or passed over.
    pub mark: Mark,
    /// If only part of that revision was: up to this ordinal.
    pub inside: Option<u32>,
    /// The last entry of the snapshot that was sent or passed over.
    pub listed: Option<EntryPath>,
    /// Whether a bookmark is due.
    pub owes_bookmark: bool,
}

impl Cursor {
    /// Behind the head's revision.
    pub fn after(head: &Head) -> Self {
        Self {
            phase: Phase::Events,
            incarnation: head.incarnation,
            mark: head.mark,
            inside: None,
            listed: None,
            owes_bookmark: false,
        }
    }

    /// Before a snapshot of the head's revision.
    pub fn snapshot(head: &Head) -> Self {
        Self { phase: Phase::Snapshot, ..Self::after(head) }
    }

    /// Where a token left off; none if no watch gives out such a position.
    pub fn at(position: Position) -> Option<Self> {
        let Position { incarnation, mark, place } = position;
        let (phase, inside, listed) = match place {
            Place::After => (Phase::Events, None, None),
            Place::Inside(ordinal) => (Phase::Events, Some(ordinal), None),
            Place::Listing(listed) => (Phase::Snapshot, None, listed),
            Place::Name(_) => return None,
        };
        Some(Self { phase, incarnation, mark, inside, listed, owes_bookmark: false })
    }

    pub fn position(&self) -> Position {
        let place = match (self.phase, self.inside) {
            (Phase::Snapshot, _) => Place::Listing(self.listed.clone()),
            (_, Some(ordinal)) => Place::Inside(ordinal),
            (_, None) => Place::After,
        };
        Position { incarnation: self.incarnation, mark: self.mark, place }
    }

    /// Moves behind all of a revision.
    pub fn pass(&mut self, mark: Mark) {
        self.mark = mark;
        self.inside = None;
    }

    /// Moves into a revision.
    pub fn pass_within(&mut self, mark: Mark, ordinal: u32) {
        self.mark = mark;
        self.inside = Some(ordinal);
    }
}
