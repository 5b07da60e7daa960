//! The arm of words: BM25, in which a turn of a conversation hears, in part, the words of the turns beside it: an answer seldom
//! repeats what it answers.

use std::cmp::Reverse;

use super::{Item, Space, question::Words, stamp};
use crate::recall::{
    lexicon::{Extent, Slot, saturate, weight},
    mirror::{AFTER, ASKED_BEFORE, BEFORE, WHOLE},
};

/// No more than so many are looked at closely.
const CANDIDATES_MAX: usize = 1_000;

/// Scores by mirror and slot.
pub struct Lexical(Vec<Scores>);

/// Scores of one mirror.
struct Scores {
    scores: Vec<f32>,
    /// Where there is one.
    scored: Vec<Slot>,
}

/// How often one term stands in the slots of a mirror, in parts.
struct Tally {
    parts: Vec<u32>,
    touched: Vec<Slot>,
}

impl Tally {
    fn add(&mut self, slot: Slot, parts: u32) {
        let there = &mut self.parts[slot as usize];
        if *there == 0 {
            self.touched.push(slot);
        }
        *there += parts;
    }

    /// Empties it.
    fn take(&mut self, mut each: impl FnMut(Slot, u32)) {
        for slot in self.touched.drain(..) {
            each(slot, std::mem::take(&mut self.parts[slot as usize]));
        }
    }
}

fn tallies(spaces: &[Space<'_>]) -> Vec<Tally> {
    spaces.iter().map(|space| Tally { parts: vec![0; space.mirror.slots()], touched: Vec::new() }).collect()
}

impl Lexical {
    pub fn of(spaces: &[Space<'_>], extent: Extent, words: &Words) -> Self {
        let scores =
            |space: &Space<'_>| Scores { scores: vec![0.0; space.mirror.slots()], scored: Vec::new() };
        let mut all: Vec<Scores> = spaces.iter().map(scores).collect();
        let mut tallies = tallies(spaces);
        for term in &words.terms {
            let weight = term.weight * weight(extent, count(spaces, &term.stems, &mut tallies));
            for ((space, tally), of) in spaces.iter().zip(&mut tallies).zip(&mut all) {
                tally.take(|slot, parts| {
                    let there = &mut of.scores[slot as usize];
                    if *there == 0.0 {
                        of.scored.push(slot);
                    }
                    *there += weight * saturate(parts, WHOLE, space.mirror.length(slot), extent);
                });
            }
        }
        Self(all)
    }

    /// The best of those that may be found.
    pub fn candidates(&self, spaces: &[Space<'_>]) -> Vec<Item> {
        let mut best = Vec::new();
        for (mirror, (space, of)) in spaces.iter().zip(&self.0).enumerate() {
            best.extend(
                of.scored.iter().filter(|&&slot| space.admits(slot)).map(|&slot| Item { mirror, slot }),
            );
        }
        if best.len() > CANDIDATES_MAX {
            self.cut(spaces, &mut best);
        }
        best
    }

    /// Keeps the best; of those that are as good as the last the newest. Only these are looked up: they are few, and documents
    /// are far apart.
    fn cut(&self, spaces: &[Space<'_>], best: &mut Vec<Item>) {
        // Scores are positive, and so in the order of their bits.
        let mut scores: Vec<u32> = best.iter().map(|item| self.score(*item).to_bits()).collect();
        let (_, last, _) = scores.select_nth_unstable_by_key(CANDIDATES_MAX - 1, |&bits| Reverse(bits));
        let last = *last;
        let mut equal: Vec<Item> =
            best.iter().copied().filter(|item| self.score(*item).to_bits() == last).collect();
        equal.sort_unstable_by_key(|item| Reverse(spaces[item.mirror].mirror.document(item.slot).map(stamp)));
        best.retain(|item| self.score(*item).to_bits() > last);
        equal.truncate(CANDIDATES_MAX - best.len());
        best.extend(equal);
    }

    pub fn score(&self, item: Item) -> f32 {
        self.0[item.mirror].scores[item.slot as usize]
    }

    /// What each term gave some entries.
    pub fn explain(
        spaces: &[Space<'_>],
        extent: Extent,
        words: &Words,
        items: &[Item],
    ) -> Vec<Vec<(String, f32)>> {
        let mut tallies = tallies(spaces);
        let mut shares = vec![Vec::new(); items.len()];
        for term in &words.terms {
            let weight = term.weight * weight(extent, count(spaces, &term.stems, &mut tallies));
            for (item, shares) in items.iter().zip(&mut shares) {
                let parts = tallies[item.mirror].parts[item.slot as usize];
                if parts > 0 {
                    let length = spaces[item.mirror].mirror.length(item.slot);
                    shares.push((term.word.clone(), weight * saturate(parts, WHOLE, length, extent)));
                }
            }
            tallies.iter_mut().for_each(|tally| tally.take(|_, _| {}));
        }
        shares
    }
}

/// Counts one term in all mirrors; says how many texts that may be found have it themselves.
fn count(spaces: &[Space<'_>], stems: &[String], tallies: &mut [Tally]) -> u32 {
    let mut texts = 0;
    for (space, tally) in spaces.iter().zip(tallies) {
        let (lexicon, sessions) = (&space.mirror.lexicon, &space.mirror.sessions);
        lexicon.occurrences(
            stems,
            |slot| space.hears(slot),
            |slot, times| {
                texts += u32::from(space.admits(slot));
                tally.add(slot, times * WHOLE);
                let after = sessions.turns_after(slot).zip(BEFORE).map(|(turn, parts)| {
                    let answers = parts == BEFORE[0] && sessions.answers(slot, turn);
                    (turn, if answers { ASKED_BEFORE } else { parts })
                });
                for (turn, parts) in after.chain(sessions.turns_before(slot).zip(AFTER)) {
                    if space.hears(turn) {
                        tally.add(turn, times * parts);
                    }
                }
            },
        );
    }
    texts
}
