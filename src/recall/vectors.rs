//! Many vectors of one model, and which of them are near another: by their signs first, in whole words, then by their steps.
//! Knows slots, not what is in them.

use super::{
    embed::{Vector, dot},
    lexicon::Slot,
};

/// The vectors of a mirror, by slot.
pub(super) struct Vectors {
    dimensions: usize,
    steps: Vec<i8>,
    signs: Vec<u64>,
    /// 0 where there is none.
    scales: Vec<f32>,
    /// By slot: how long a vector is together with what stands beside it, each with its part.
    contexts: Vec<f32>,
    /// The sum of all, in units small enough to be whole numbers: so it is the same in whatever order they came.
    sum: Box<[i64]>,
    count: u64,
}

/// How many units are one.
const UNITS: f32 = (1 << 20) as f32;

impl Vectors {
    /// Of a model with so many dimensions.
    pub fn new(dimensions: usize) -> Self {
        let sum = vec![0; dimensions].into();
        Self {
            dimensions,
            steps: Vec::new(),
            signs: Vec::new(),
            scales: Vec::new(),
            contexts: Vec::new(),
            sum,
            count: 0,
        }
    }

    fn words(&self) -> usize {
        self.dimensions.div_ceil(64)
    }

    fn steps_of(&self, slot: Slot) -> &[i8] {
        &self.steps[slot as usize * self.dimensions..][..self.dimensions]
    }

    /// Puts a vector, or none, into a slot.
    pub fn set(&mut self, slot: Slot, vector: Option<&Vector>) {
        let at = slot as usize;
        if at >= self.scales.len() {
            self.scales.resize(at + 1, 0.0);
            self.contexts.resize(at + 1, 1.0);
            self.steps.resize((at + 1) * self.dimensions, 0);
            self.signs.resize((at + 1) * self.words(), 0);
        }
        self.count_in(at, -1);
        let Some(vector) = vector.filter(|vector| vector.steps().len() == self.dimensions) else {
            self.scales[at] = 0.0;
            return;
        };
        self.scales[at] = vector.scale();
        self.steps[at * self.dimensions..][..self.dimensions].copy_from_slice(vector.steps());
        let words = self.words();
        self.signs[at * words..][..words].copy_from_slice(&signs(vector.steps()));
        self.count_in(at, 1);
    }

    /// Notes what stands beside a slot, and how much of each vector there it has as its own.
    pub fn set_context(&mut self, slot: Slot, beside: &[(Slot, f32)]) {
        let mut sum = vec![0.0_f32; self.dimensions];
        for &(slot, part) in [(slot, 1.0)].iter().chain(beside) {
            let by = part * self.scales[slot as usize];
            for (sum, step) in sum.iter_mut().zip(self.steps_of(slot)) {
                *sum += by * f32::from(*step);
            }
        }
        let length = sum.iter().fold(0.0, |sum, value| sum + value * value).sqrt();
        self.contexts[slot as usize] = if beside.is_empty() || length == 0.0 { 1.0 } else { length };
    }

    /// How long a slot's vector is together with what stands beside it.
    pub fn context(&self, slot: Slot) -> f32 {
        self.contexts[slot as usize]
    }

    /// Adds a slot's vector to the sum, or takes it out.
    fn count_in(&mut self, at: usize, times: i64) {
        let scale = self.scales[at];
        if scale == 0.0 {
            return;
        }
        let steps = &self.steps[at * self.dimensions..][..self.dimensions];
        for (sum, step) in self.sum.iter_mut().zip(steps) {
            *sum += times * (f32::from(*step) * scale * UNITS) as i64;
        }
        self.count = self.count.saturating_add_signed(times);
    }

    /// The sum of the cosines between all vectors and another, and their number.
    pub fn sum_of_cosines(&self, other: &Vector) -> (f64, u64) {
        let products =
            self.sum.iter().zip(other.steps()).map(|(sum, step)| i128::from(*sum) * i128::from(*step));
        (products.sum::<i128>() as f64 * f64::from(other.scale()) / f64::from(UNITS), self.count)
    }

    /// The cosine of the angle between a slot's vector and another; none where there is no vector.
    pub fn cosine(&self, slot: Slot, other: &Vector) -> Option<f32> {
        let at = slot as usize;
        let scale = self.scales[at];
        (scale > 0.0 && other.steps().len() == self.dimensions)
            .then(|| dot(self.steps_of(slot), other.steps()) as f32 * (scale * other.scale()))
    }

    /// The cosine between one of these and one of others.
    pub fn between(&self, slot: Slot, others: &Self, other: Slot) -> Option<f32> {
        let scale = self.scales[slot as usize] * others.scales[other as usize];
        (scale > 0.0 && self.dimensions == others.dimensions)
            .then(|| dot(self.steps_of(slot), others.steps_of(other)) as f32 * scale)
    }

    /// The slots among those that `counts` whose signs differ least from another's: at least `wanted` if there are so many, and
    /// all that differ no more than the last of these, so that the order of slots decides nothing.
    pub fn nearest(&self, other: &Vector, wanted: usize, counts: impl Fn(Slot) -> bool) -> Vec<Slot> {
        if other.steps().len() != self.dimensions {
            return Vec::new();
        }
        let query = signs(other.steps());
        let mut differences = Vec::with_capacity(self.scales.len());
        let mut histogram = vec![0_usize; self.dimensions + 2];
        let none = self.dimensions + 1;
        for (at, signs) in self.signs.chunks_exact(self.words()).enumerate() {
            let there = self.scales[at] > 0.0 && counts(at as Slot);
            let difference = if there { differing(signs, &query) } else { none };
            histogram[difference] += 1;
            differences.push(difference as u16);
        }
        let mut found = 0;
        let enough = histogram[..none].iter().position(|&slots| {
            found += slots;
            found >= wanted
        });
        let last = enough.unwrap_or(none - 1) as u16;
        let slots = differences.iter().enumerate().filter(|&(_, &difference)| difference <= last);
        slots.map(|(at, _)| at as Slot).collect()
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        self.steps.capacity() + 8 * self.signs.capacity() + 4 * self.scales.capacity()
    }
}

fn differing(left: &[u64], right: &[u64]) -> usize {
    left.iter().zip(right).map(|(l, r)| (l ^ r).count_ones() as usize).sum()
}

/// Bit by bit whether a dimension is positive.
fn signs(steps: &[i8]) -> Vec<u64> {
    let word =
        |steps: &[i8]| steps.iter().enumerate().fold(0, |word, (at, &s)| word | u64::from(s > 0) << at);
    steps.chunks(64).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(of: impl Fn(usize) -> f32) -> Vector {
        Vector::quantise(&std::array::from_fn::<f32, 70, _>(of)).unwrap()
    }

    #[test]
    fn the_nearest_by_sign_are_found_with_all_that_are_as_near() {
        let mut vectors = Vectors::new(70);
        let plus = vector(|_| 1.0);
        for slot in 0..5 {
            vectors.set(slot, Some(&vector(|at| if at < slot as usize / 2 { -1.0 } else { 1.0 })));
        }
        vectors.set(5, None);
        assert_eq!(vectors.nearest(&plus, 1, |_| true), [0, 1]);
        assert_eq!(vectors.nearest(&plus, 3, |_| true), [0, 1, 2, 3]);
        assert_eq!(vectors.nearest(&plus, 9, |slot| slot != 1), [0, 2, 3, 4]);
        assert!(vectors.cosine(5, &plus).is_none());
        assert!((vectors.cosine(2, &plus).unwrap() - 68.0 / 70.0).abs() < 1e-3);
    }

    #[test]
    fn the_sum_of_cosines_follows_what_is_there() {
        let mut vectors = Vectors::new(70);
        let all: Vec<Vector> = (1..4_u8).map(|of| vector(|at| (at as f32 * f32::from(of)).sin())).collect();
        for (slot, vector) in all.iter().enumerate() {
            vectors.set(slot as Slot, Some(vector));
        }
        vectors.set(1, None);
        vectors.set(0, Some(&all[1]));
        let expected = f64::from(all[0].cosine(&all[1]) + all[0].cosine(&all[2]));
        let (sum, count) = vectors.sum_of_cosines(&all[0]);
        assert!((sum - expected).abs() < 1e-3 && count == 2, "{sum} {expected}");
    }

    #[test]
    fn a_vector_of_another_model_is_near_none() {
        let mut vectors = Vectors::new(64);
        vectors.set(0, Some(&vector(|_| 1.0)));
        assert!(vectors.nearest(&vector(|_| 1.0), 1, |_| true).is_empty());
    }
}
