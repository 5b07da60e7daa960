//! A question: its words, its vector, whom it names, and when.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::moments::{self, Moment};
use crate::recall::{
    embed::{StaticModel, Vector},
    mirror::Space,
    text::{self, Language},
};

/// By what meaning is compared.
#[derive(Clone, Debug)]
pub enum Meaning {
    /// It is not.
    None,
    /// The built-in model embeds the question.
    BuiltIn,
    /// By a vector that the asker brings.
    Given(Vector),
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    text: String,
    language: Language,
    /// In order, without stop words.
    words: Vec<String>,
    meaning: Meaning,
    pub(super) moments: Vec<Moment>,
    /// It asks for a time.
    pub(super) asks_when: bool,
}

/// Why nothing could be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vagueness {
    /// The question is empty.
    Empty,
    /// It has no word that says what it is about.
    NoWords,
}

impl Question {
    /// A question.
    #[must_use]
    pub fn new(text: &str, meaning: Meaning) -> Self {
        let (language, words) = text::telling_words(text);
        Self {
            text: text.to_owned(),
            language,
            words,
            meaning,
            moments: Moment::all_in(text),
            asks_when: moments::asks_when(text),
        }
    }
}

/// How much the terms together count that a misspelt word may mean.
const SLIP_WEIGHT: f32 = 0.5;
/// How many of them are tried.
const SLIPS_MAX: usize = 3;

/// What a word of the question is found under.
pub struct Term {
    /// The word.
    pub word: String,
    /// Its stems in the languages of what is searched.
    pub stems: Vec<String>,
    /// 1, unless it is a guess.
    pub weight: f32,
}

/// The words of a question over what is searched.
pub struct Words {
    pub terms: Vec<Term>,
    pub vector: Option<Vector>,
    /// The only one who is named.
    speaker: Option<String>,
    vague: Option<Vagueness>,
}

/// What a word may mean that nothing searched has: the commonest terms that differ by one letter.
fn guesses(term: &Term, spaces: &[Space<'_>]) -> Vec<Term> {
    let mut near: BTreeMap<Arc<str>, u32> = BTreeMap::new();
    for space in spaces {
        for stem in &term.stems {
            for (other, texts) in space.mirror.lexicon.nearly(stem, |slot| space.admits(slot)) {
                *near.entry(other).or_default() += texts;
            }
        }
    }
    let mut near: Vec<_> = near.into_iter().collect();
    near.sort_by(|(left, l), (right, r)| r.cmp(l).then_with(|| left.cmp(right)));
    near.truncate(SLIPS_MAX);
    let weight = SLIP_WEIGHT / near.len().max(1) as f32;
    near.into_iter()
        .map(|(stem, _)| Term { word: stem.to_string(), stems: vec![stem.to_string()], weight })
        .collect()
}

impl Words {
    pub fn of(question: &Question, spaces: &[Space<'_>]) -> Self {
        let names = |word: &str| -> Vec<&str> {
            let mut names = Vec::new();
            spaces.iter().for_each(|space| names.extend(space.named(word)));
            names
        };
        let is_name = |word: &str| !names(word).is_empty();
        let mut named: BTreeSet<&str> = question.words.iter().flat_map(|word| names(word)).collect();
        // Whoever is named is looked for by the bonus for it, and would only be in the way of what is asked about.
        let rest: Vec<&String> = question.words.iter().filter(|word| !is_name(word)).collect();
        // Unless nothing else is asked for.
        let only_names = rest.is_empty();
        let words: Vec<&String> = if only_names { question.words.iter().collect() } else { rest };
        let mut languages: BTreeSet<Language> =
            spaces.iter().flat_map(|s| s.mirror.lexicon.languages()).collect();
        languages.insert(question.language);
        let terms = |word: &String| {
            let stems: BTreeSet<String> = languages.iter().map(|language| language.stem(word)).collect();
            let term = Term { word: word.clone(), stems: stems.into_iter().collect(), weight: 1.0 };
            let occurs = |space: &Space<'_>| space.mirror.lexicon.has(&term.stems, |slot| space.admits(slot));
            if spaces.iter().any(occurs) { vec![term] } else { guesses(&term, spaces) }
        };
        let vector = match &question.meaning {
            Meaning::None => None,
            Meaning::Given(vector) => Some(vector.clone()),
            Meaning::BuiltIn if only_names || named.is_empty() => StaticModel::get().embed(&question.text),
            Meaning::BuiltIn => {
                let kept = question
                    .text
                    .split_whitespace()
                    .filter(|part| !text::words(part).any(|word| is_name(&word)));
                StaticModel::get().embed(&kept.collect::<Vec<_>>().join(" "))
            }
        };
        let vague = match question.words.is_empty() {
            true if question.text.trim().is_empty() => Some(Vagueness::Empty),
            true => Some(Vagueness::NoWords),
            false => None,
        };
        let terms = words.into_iter().flat_map(terms).collect();
        let speaker = if named.len() == 1 { named.pop_first().map(str::to_owned) } else { None };
        Self { terms, vector, speaker, vague }
    }

    /// Why there is nothing to look for.
    pub fn vagueness(&self) -> Option<Vagueness> {
        self.vague
    }

    /// Whether it is this speaker alone whom the question names.
    pub fn is_by(&self, speaker: &str) -> bool {
        self.speaker.as_deref() == Some(speaker)
    }
}
