//! What a ranking is worth when one knows which memories answer a question. Knows nothing of how it was made.

use std::ops::{AddAssign, Div};

/// How far down answers are looked at.
const DEPTH: usize = 10;

/// How good answers are; of one question, or the mean of several. Each figure lies between 0 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The share of the memories wanted that stand among the first 5.
    pub recall_5: f64,
    /// The same of the first 10.
    pub recall_10: f64,
    /// 1 / the rank of the first one wanted, if it is among the first 10.
    pub reciprocal_rank: f64,
    /// The discounted gain of the first 10, 1 for each one wanted, by that of the best ranking (nDCG@10).
    pub gain: f64,
}

impl Score {
    /// Of one question.
    pub fn of(ranked: &[String], gold: &[String]) -> Self {
        let hits: Vec<usize> =
            (0..ranked.len().min(DEPTH)).filter(|&at| gold.contains(&ranked[at])).collect();
        if hits.is_empty() {
            return Self::default();
        }
        let share = |depth| hits.iter().filter(|&&at| at < depth).count() as f64 / gold.len() as f64;
        let best = (0..gold.len().min(DEPTH)).map(discount).sum::<f64>();
        Self {
            recall_5: share(5),
            recall_10: share(DEPTH),
            reciprocal_rank: hits.first().map_or(0.0, |&at| 1.0 / (at + 1) as f64),
            gain: hits.iter().copied().map(discount).sum::<f64>() / best,
        }
    }

    /// In the order in which they are printed.
    pub fn figures(self) -> [(&'static str, f64); 4] {
        [
            ("R@5", self.recall_5),
            ("R@10", self.recall_10),
            ("MRR@10", self.reciprocal_rank),
            ("nDCG@10", self.gain),
        ]
    }
}

/// What a hit counts, `at` places below the first.
fn discount(at: usize) -> f64 {
    1.0 / ((at + 2) as f64).log2()
}

impl AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.recall_5 += other.recall_5;
        self.recall_10 += other.recall_10;
        self.reciprocal_rank += other.reciprocal_rank;
        self.gain += other.gain;
    }
}

impl Div<f64> for Score {
    type Output = Self;

    fn div(self, by: f64) -> Self {
        Self {
            recall_5: self.recall_5 / by,
            recall_10: self.recall_10 / by,
            reciprocal_rank: self.reciprocal_rank / by,
            gain: self.gain / by,
        }
    }
}

#[test]
fn a_score_is_what_one_reckons_by_hand() {
    let ranked: Vec<_> = (1..=12).map(|n| n.to_string()).collect();
    let score = |gold: &[&str]| Score::of(&ranked, &gold.iter().map(|&id| id.to_owned()).collect::<Vec<_>>());
    let perfect = Score { recall_5: 1.0, recall_10: 1.0, reciprocal_rank: 1.0, gain: 1.0 };
    assert_eq!(score(&["1"]), perfect);
    assert_eq!(score(&["2", "1"]), perfect);
    assert_eq!(score(&["11"]), Score::default());
    // The gain of the third place is 1 / log2(4).
    assert_eq!(score(&["3"]), Score { recall_5: 1.0, recall_10: 1.0, reciprocal_rank: 1.0 / 3.0, gain: 0.5 });
    let two = score(&["7", "12"]);
    assert_eq!((two.recall_5, two.recall_10, two.reciprocal_rank), (0.0, 0.5, 1.0 / 7.0));
    // The eighth number's binary logarithm is 3, and the best ranking has 1 + 1 / log2(3).
    assert!((two.gain - (1.0 / 3.0) / (1.0 + 1.0 / 3f64.log2())).abs() < 1e-12, "{two:?}");
}
