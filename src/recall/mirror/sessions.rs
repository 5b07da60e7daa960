//! Conversations: which turn stands beside which, and who says it.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
    ops::Bound,
};

use super::{names::SpeakerId, namespaces::NamespaceId};
use crate::{
    domain::{swarm::Revision, time::Timestamp},
    recall::lexicon::Slot,
};

/// No slot.
const NONE: Slot = Slot::MAX;
/// How many turns on each side are heard.
const REACH: usize = 2;

/// Where a turn stands in its session: by the order its writer gave, else by its time, else by when it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Turn {
    pub order: f64,
    pub time: Timestamp,
    pub written: (Revision, u32),
}

impl Eq for Turn {}

impl Ord for Turn {
    fn cmp(&self, other: &Self) -> Ordering {
        let order = self.order.total_cmp(&other.order);
        order.then(self.time.cmp(&other.time)).then(self.written.cmp(&other.written))
    }
}

impl PartialOrd for Turn {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Who says a turn, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voice {
    pub speaker: SpeakerId,
    /// There is a question in it.
    pub has_question: bool,
    /// It ends with one.
    pub asks: bool,
}

/// What is kept by slot.
#[derive(Clone, Copy)]
struct Seat {
    /// The turn before and the turn after.
    beside: [Slot; 2],
    voice: Voice,
}

const EMPTY: Seat =
    Seat { beside: [NONE; 2], voice: Voice { speaker: SpeakerId::MAX, has_question: false, asks: false } };

/// A session lies within one namespace.
type Name = (NamespaceId, Box<str>);

/// All sessions of a mirror.
#[derive(Default)]
pub struct Sessions {
    turns: HashMap<Name, BTreeMap<Turn, Slot>>,
    places: HashMap<Slot, (Name, Turn)>,
    seats: Vec<Seat>,
}

impl Sessions {
    /// A turn is said.
    pub fn insert(&mut self, slot: Slot, namespace: NamespaceId, session: &str, turn: Turn, voice: Voice) {
        let name = (namespace, Box::from(session));
        let turns = self.turns.entry(name.clone()).or_default();
        let before = turns.range(..turn).next_back().map_or(NONE, |(_, &slot)| slot);
        let after =
            turns.range((Bound::Excluded(turn), Bound::Unbounded)).next().map_or(NONE, |(_, &slot)| slot);
        turns.insert(turn, slot);
        self.places.insert(slot, (name, turn));
        if slot as usize >= self.seats.len() {
            self.seats.resize(slot as usize + 1, EMPTY);
        }
        self.seats[slot as usize] = Seat { beside: [before, after], voice };
        self.link(before, slot);
        self.link(slot, after);
    }

    /// A turn is gone; says which heard it.
    pub fn remove(&mut self, slot: Slot) -> Vec<Slot> {
        let Some((name, turn)) = self.places.remove(&slot) else { return Vec::new() };
        let around = self.around(slot);
        let [before, after] = std::mem::replace(&mut self.seats[slot as usize], EMPTY).beside;
        self.link(before, after);
        if let Some(turns) = self.turns.get_mut(&name) {
            turns.remove(&turn);
            if turns.is_empty() {
                self.turns.remove(&name);
            }
        }
        around
    }

    fn link(&mut self, before: Slot, after: Slot) {
        if before != NONE {
            self.seats[before as usize].beside[1] = after;
        }
        if after != NONE {
            self.seats[after as usize].beside[0] = before;
        }
    }

    /// The turns before one that it hears, nearest first.
    pub fn turns_before(&self, slot: Slot) -> impl Iterator<Item = Slot> {
        std::iter::successors(Some(slot), |&slot| self.neighbour(slot, 0)).skip(1).take(REACH)
    }

    /// The turns after one that it hears, nearest first.
    pub fn turns_after(&self, slot: Slot) -> impl Iterator<Item = Slot> {
        std::iter::successors(Some(slot), |&slot| self.neighbour(slot, 1)).skip(1).take(REACH)
    }

    /// All that a turn hears.
    pub fn around(&self, slot: Slot) -> Vec<Slot> {
        self.turns_before(slot).chain(self.turns_after(slot)).collect()
    }

    fn neighbour(&self, slot: Slot, side: usize) -> Option<Slot> {
        self.seats.get(slot as usize).map(|seat| seat.beside[side]).filter(|&slot| slot != NONE)
    }

    /// Whether a turn answers the one before it, which somebody else asked with.
    pub fn answers(&self, before: Slot, turn: Slot) -> bool {
        let asked = self.voice(before);
        asked.has_question && asked.speaker != self.voice(turn).speaker
    }

    /// Whether it is a turn.
    pub fn has(&self, slot: Slot) -> bool {
        self.places.contains_key(&slot)
    }

    /// Who says a turn.
    pub fn voice(&self, slot: Slot) -> Voice {
        self.seats.get(slot as usize).unwrap_or(&EMPTY).voice
    }

    pub fn bytes(&self) -> usize {
        let turns: usize = self.places.values().map(|(name, _)| 130 + name.1.len()).sum();
        turns + self.turns.len() * 120 + self.seats.capacity() * size_of::<Seat>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(order: u8) -> Turn {
        Turn { order: order.into(), time: Timestamp::default(), written: (Revision(0), 0) }
    }

    #[test]
    fn turns_stand_beside_each_other_whatever_order_they_come_in() {
        let mut sessions = Sessions::default();
        for (slot, session, order) in [(0, "a", 5), (1, "a", 1), (2, "a", 3), (3, "b", 2), (5, "a", 9)] {
            sessions.insert(slot, 0, session, turn(order), EMPTY.voice);
        }
        sessions.insert(4, 1, "a", turn(2), EMPTY.voice);
        assert_eq!(sessions.around(1), [2, 0]);
        assert_eq!(sessions.around(0), [2, 1, 5]);
        assert_eq!((sessions.around(3).len(), sessions.around(4).len()), (0, 0));
        assert_eq!(sessions.remove(2), [1, 0, 5]);
        assert_eq!(sessions.around(5), [0, 1]);
        sessions.remove(1);
        sessions.insert(1, 0, "a", turn(6), EMPTY.voice);
        assert_eq!(sessions.around(5), [1, 0]);
    }
}
