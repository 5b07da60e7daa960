//! Languages: which one a text is in, what of it says nothing, and the stems of its words.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use frostem::{Algorithm, Stemmer};
use unicode_normalization::{UnicodeNormalization as _, char::is_combining_mark};

use super::stop_words;

/// A language whose words are stemmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "their names say what they are")]
pub enum Language {
    /// Also what cannot be told.
    #[default]
    English,
    Danish,
    Dutch,
    Finnish,
    French,
    German,
    Italian,
    Norwegian,
    Portuguese,
    Russian,
    Spanish,
    Swedish,
}

impl Language {
    /// In the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::English,
        Self::Danish,
        Self::Dutch,
        Self::Finnish,
        Self::French,
        Self::German,
        Self::Italian,
        Self::Norwegian,
        Self::Portuguese,
        Self::Russian,
        Self::Spanish,
        Self::Swedish,
    ];

    /// The language that has most of the words among its stop words: what is in every text tells it, however short it is.
    /// English, if none has more.
    #[must_use]
    pub fn of(words: &[String]) -> Self {
        let mut hits = [0_u32; Self::ALL.len()];
        for word in words {
            if let Some(languages) = STOP_WORDS.get(word.as_str()) {
                for (at, hits) in hits.iter_mut().enumerate() {
                    *hits += u32::from(languages >> at & 1);
                }
            } else if word.chars().next().is_some_and(|c| matches!(c, 'а'..='я' | 'ё')) {
                hits[Self::Russian as usize] += 1;
            }
        }
        // The first of those that have most.
        let most = hits.iter().max().copied().unwrap_or_default();
        Self::ALL[hits.iter().position(|&n| n == most).unwrap_or_default()]
    }

    /// Whether nearly every text in this language has the word.
    #[must_use]
    pub fn is_stop_word(self, word: &str) -> bool {
        STOP_WORDS.get(word).is_some_and(|languages| languages >> (self as usize) & 1 == 1)
    }

    /// The stem of a word in lower case, without accents.
    #[must_use]
    pub fn stem(self, word: &str) -> String {
        let stem = STEMMERS[self as usize].stem(word);
        if stem.is_ascii() { stem.into_owned() } else { fold(&stem) }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::English => Algorithm::English,
            Self::Danish => Algorithm::Danish,
            Self::Dutch => Algorithm::Dutch,
            Self::Finnish => Algorithm::Finnish,
            Self::French => Algorithm::French,
            Self::German => Algorithm::German,
            Self::Italian => Algorithm::Italian,
            Self::Norwegian => Algorithm::Norwegian,
            Self::Portuguese => Algorithm::Portuguese,
            Self::Russian => Algorithm::Russian,
            Self::Spanish => Algorithm::Spanish,
            Self::Swedish => Algorithm::Swedish,
        }
    }
}

/// Each stop word, and a bit for each language that it is one of.
static STOP_WORDS: LazyLock<HashMap<&'static str, u16>> = LazyLock::new(|| {
    let mut words = HashMap::new();
    for language in Language::ALL {
        for word in stop_words::of(language).split_whitespace().collect::<HashSet<_>>() {
            *words.entry(word).or_default() |= 1 << language as usize;
        }
    }
    words
});

static STEMMERS: LazyLock<Vec<Stemmer>> =
    LazyLock::new(|| Language::ALL.iter().map(|language| Stemmer::new(language.algorithm())).collect());

/// Latin letters without their accents; of other scripts the marks are the letters.
fn fold(word: &str) -> String {
    let mut latin = false;
    let kept = word.nfd().filter(|&c| {
        let mark = is_combining_mark(c);
        latin = if mark { latin } else { c.is_ascii_alphabetic() };
        !(mark && latin)
    });
    kept.nfc().collect()
}
