//! Texts as vectors: near ones mean alike things. The built-in model needs no network, no file and next to no time.
//! Knows no index.

mod table;
mod vector;
mod wordpiece;

use std::sync::LazyLock;

pub use vector::{Vector, dot};

use table::Table;
use wordpiece::Vocabulary;

/// Dimensions of the built-in model's vectors.
pub const DIMENSIONS: usize = 256;

/// The built-in model: a vector per token of BERT's vocabulary, distilled from all-MiniLM-L6-v2; a text is the direction
/// of their sum. Where it comes from stands beside the table.
pub struct StaticModel {
    vocabulary: Vocabulary,
    table: Table,
}

static MODEL: LazyLock<StaticModel> = LazyLock::new(|| StaticModel {
    vocabulary: Vocabulary::read(include_str!("../../assets/minilm-static-256/vocab.txt")),
    table: Table::read(include_bytes!("../../assets/minilm-static-256/table.safetensors")),
});

impl StaticModel {
    /// Goes with every vector: those of another model cannot be compared.
    pub const NAME: &'static str = "minilm-static-256";

    /// It is read once for the process.
    #[must_use]
    pub fn get() -> &'static Self {
        &MODEL
    }

    /// A text's vector; none for a text without a token that the model knows.
    #[must_use]
    pub fn embed(&self, text: &str) -> Option<Vector> {
        let mut sum = [0.0_f32; DIMENSIONS];
        self.vocabulary.tokens(text, |token| self.table.add(token, &mut sum));
        Vector::quantise(&sum)
    }

    /// How many tokens of its vocabulary a text has.
    #[must_use]
    pub fn count(&self, text: &str) -> usize {
        let mut count = 0;
        self.vocabulary.tokens(text, |_| count += 1);
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_mean_alike_things_are_near() {
        let model = StaticModel::get();
        let vector = |text| model.embed(text).unwrap();
        let puppy = vector("Caroline: I adopted a puppy yesterday");
        let dog = vector("When did she get a dog?");
        let rust = vector("The borrow checker rejected the mutable reference");
        // By the model's own arithmetic, which does not quantise the sum: 0.4762 and 0.0142.
        assert!((dog.cosine(&puppy) - 0.4762).abs() < 0.005, "{}", dog.cosine(&puppy));
        assert!((dog.cosine(&rust) - 0.0142).abs() < 0.005, "{}", dog.cosine(&rust));
        assert!((puppy.cosine(&puppy) - 1.0).abs() < 1e-6);
        assert!(model.embed("").is_none() && model.embed(" \u{7} ").is_none());
    }
}
