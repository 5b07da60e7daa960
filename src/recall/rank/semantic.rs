//! The arm of meaning: by how much an entry, together with the turns beside it, is nearer to the question than the mean.

use std::collections::HashMap;

use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::{Item, Space};
use crate::recall::{embed::Vector, lexicon::Extent, mirror::BESIDE};

/// So many entries are compared one by one; of more, those whose signs are nearest,
const EXACT_MAX: u64 = 4_096;
/// so many of these. Measured on 100,000 texts: the ten nearest are among the 1,000 nearest by sign in 99.3 of 100 cases, among 500
/// in 98.
const NEAREST: usize = 600;
/// A cosine in whole numbers, to be added in any order.
const UNITS: f32 = (1 << 24) as f32;

/// Cosines to one question.
pub struct Semantic<'s, 'm> {
    spaces: &'s [Space<'m>],
    vector: &'s Vector,
    mean: f32,
    /// Those that have been computed.
    cosines: HashMap<Item, f32, Xxh3DefaultBuilder>,
    candidates: Vec<Item>,
}

impl<'s, 'm> Semantic<'s, 'm> {
    pub fn of(spaces: &'s [Space<'m>], extent: Extent, vector: &'s Vector) -> Self {
        let mut semantic =
            Self { spaces, vector, mean: 0.0, cosines: HashMap::default(), candidates: Vec::new() };
        if extent.texts <= EXACT_MAX {
            semantic.compare_all();
        } else {
            semantic.compare_nearest();
        }
        semantic
    }

    fn compare_all(&mut self) {
        for (mirror, space) in self.spaces.iter().enumerate() {
            self.candidates.extend(space.admitted().map(|slot| Item { mirror, slot }));
        }
        let (mut sum, mut count) = (0_i64, 0_i64);
        for item in self.candidates.clone() {
            if let Some(cosine) = self.cosine(item) {
                sum += (cosine * UNITS) as i64;
                count += 1;
            }
        }
        self.mean = sum as f32 / UNITS / count.max(1) as f32;
    }

    fn compare_nearest(&mut self) {
        let (mut sum, mut count) = (0.0, 0);
        for (mirror, space) in self.spaces.iter().enumerate() {
            let vectors = &space.mirror.vectors;
            let (some, of) = vectors.sum_of_cosines(self.vector);
            (sum, count) = (sum + some, count + of);
            for slot in vectors.nearest(self.vector, NEAREST, |slot| space.admits(slot)) {
                let around =
                    space.mirror.sessions.around(slot).into_iter().filter(|&slot| space.admits(slot));
                self.candidates.extend(around.chain([slot]).map(|slot| Item { mirror, slot }));
            }
        }
        self.mean = (sum / count.max(1) as f64) as f32;
    }

    /// What is near enough to be looked at.
    pub fn candidates(&self) -> impl Iterator<Item = Item> + '_ {
        self.candidates.iter().copied()
    }

    /// By how much an entry is nearer than the mean.
    pub fn nearness(&mut self, item: Item) -> f32 {
        self.in_context(item).map_or(0.0, |cosine| (cosine - self.mean).max(0.0))
    }

    /// The cosine of an entry's vector together with those of the turns beside it; none if it has none.
    fn in_context(&mut self, item: Item) -> Option<f32> {
        let space = &self.spaces[item.mirror];
        let mut sum = self.cosine(item)?;
        let sessions = &space.mirror.sessions;
        let before = sessions.turns_before(item.slot).zip(BESIDE);
        for (slot, part) in before.chain(sessions.turns_after(item.slot).zip(BESIDE)) {
            if space.hears(slot) {
                sum += part * self.cosine(Item { slot, ..item }).unwrap_or_default();
            }
        }
        Some(sum / space.mirror.vectors.context(item.slot))
    }

    fn cosine(&mut self, item: Item) -> Option<f32> {
        let (spaces, vector) = (self.spaces, self.vector);
        let compute = || spaces[item.mirror].mirror.vectors.cosine(item.slot, vector).unwrap_or(f32::NAN);
        Some(*self.cosines.entry(item).or_insert_with(compute)).filter(|cosine| !cosine.is_nan())
    }
}
