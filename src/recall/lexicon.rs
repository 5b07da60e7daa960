//! Terms and where they stand: postings, for BM25 (Robertson and Zaragoza 2009). Knows slots, not what is in them.

use std::{collections::HashMap, sync::Arc};

use xxhash_rust::xxh3::Xxh3DefaultBuilder;

use super::text::Language;

/// How soon more of the same term counts less, and how much a long text counts less. Both measured on conversations.
const K1: f32 = 0.9;
const B: f32 = 0.4;

/// A place in the mirror.
pub(super) type Slot = u32;
/// A term's number.
type TermId = u32;

/// A slot in the upper bits, how often the term stands there in the lower ones.
#[derive(Clone, Copy)]
struct Posting(u32);

impl Posting {
    const COUNT_BITS: u32 = 6;
    const COUNT_MAX: u32 = (1 << Self::COUNT_BITS) - 1;
    const SLOTS_MAX: u32 = 1 << (32 - Self::COUNT_BITS);

    fn new(slot: Slot, count: u32) -> Self {
        Self(slot << Self::COUNT_BITS | count.min(Self::COUNT_MAX))
    }

    fn slot(self) -> Slot {
        self.0 >> Self::COUNT_BITS
    }

    fn count(self) -> u32 {
        self.0 & Self::COUNT_MAX
    }
}

/// How many slots there can be.
pub(super) const SLOTS_MAX: u32 = Posting::SLOTS_MAX;

/// All terms of one mirror.
#[derive(Default)]
pub(super) struct Lexicon {
    ids: HashMap<Arc<str>, TermId, Xxh3DefaultBuilder>,
    /// Those that a misspelt word may mean, by their first letter and how many they have.
    alike: HashMap<(char, usize), Vec<Arc<str>>, Xxh3DefaultBuilder>,
    /// The terms of words that were met, by language: to stem a word is the dearest step of taking a text in.
    met: [HashMap<Box<str>, TermId, Xxh3DefaultBuilder>; Language::ALL.len()],
    /// By id. Slots that were vacated stay in it until [`Lexicon::sweep`].
    postings: Vec<Vec<Posting>>,
    /// By slot: its terms, so that they can be taken out without the text.
    terms: Vec<Box<[TermId]>>,
    /// By slot: how many words it has.
    lengths: Vec<u16>,
    /// How many texts were stemmed in each language.
    languages: [u32; Language::ALL.len()],
    bytes: usize,
}

/// What is searched, as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// Texts.
    pub texts: u64,
    /// Their lengths together, in words or in parts of words.
    pub length: u64,
}

impl Extent {
    /// One text.
    pub fn one(length: u32) -> Self {
        Self { texts: 1, length: length.into() }
    }
}

impl std::ops::AddAssign for Extent {
    fn add_assign(&mut self, other: Self) {
        self.texts += other.texts;
        self.length += other.length;
    }
}

impl std::ops::SubAssign for Extent {
    fn sub_assign(&mut self, other: Self) {
        self.texts -= other.texts;
        self.length -= other.length;
    }
}

impl Lexicon {
    /// Takes in a text by its words; of what stands in the slot nothing is left.
    pub fn insert(&mut self, slot: Slot, language: Language, words: &[String]) {
        let at = slot as usize;
        if at >= self.terms.len() {
            self.terms.resize_with(at + 1, Box::default);
            self.lengths.resize(at + 1, 0);
        }
        let mut ids: Vec<TermId> = words.iter().map(|word| self.term(language, word)).collect();
        self.lengths[at] = u16::try_from(ids.len()).unwrap_or(u16::MAX);
        ids.sort_unstable();
        let mut distinct = Vec::with_capacity(ids.len());
        for same in ids.chunk_by(|l, r| l == r) {
            self.postings[same[0] as usize].push(Posting::new(slot, same.len() as u32));
            distinct.push(same[0]);
        }
        self.languages[language as usize] += 1;
        self.bytes += 8 * distinct.len();
        self.terms[at] = distinct.into();
    }

    /// Takes a text out. Its postings stay until they are swept; whoever reads postings passes vacated slots over.
    pub fn remove(&mut self, slot: Slot, language: Language) {
        let terms = std::mem::take(&mut self.terms[slot as usize]);
        self.bytes -= 8 * terms.len();
        self.languages[language as usize] -= 1;
    }

    /// Drops the postings of vacated slots, which may be taken again afterwards.
    pub fn sweep(&mut self, is_vacant: impl Fn(Slot) -> bool) {
        for postings in &mut self.postings {
            postings.retain(|posting| !is_vacant(posting.slot()));
        }
        // The number of a term that nobody has any more stays: it comes back, as words do.
    }

    /// How many words stand in a slot.
    pub fn length(&self, slot: Slot) -> u16 {
        self.lengths[slot as usize]
    }

    /// The languages that texts were stemmed in.
    pub fn languages(&self) -> impl Iterator<Item = Language> + '_ {
        Language::ALL.into_iter().filter(|&language| self.languages[language as usize] > 0)
    }

    /// How much memory it takes, about.
    pub fn bytes(&self) -> usize {
        let met: usize = self.met.iter().map(HashMap::len).sum();
        self.bytes + (self.ids.len() + met) * 64 + self.postings.len() * 24 + self.terms.len() * 18
    }

    /// Whether any of these stems stands in a slot that `counts`.
    pub fn has(&self, stems: &[String], counts: impl Fn(Slot) -> bool) -> bool {
        self.lists(stems).flatten().any(|posting| counts(posting.slot()))
    }

    /// Terms that a word may mean if it is misspelt by one letter, with how many slots that `counts` have each.
    pub fn nearly(&self, word: &str, counts: impl Fn(Slot) -> bool) -> Vec<(Arc<str>, u32)> {
        let Some((first, letters)) = spelling(word) else { return Vec::new() };
        let keys = [letters - 1, letters, letters + 1].map(|letters| (first, letters));
        let near =
            keys.iter().filter_map(|key| self.alike.get(key)).flatten().filter(|term| is_slip(word, term));
        let found = near.map(|term| {
            let postings = &self.postings[self.ids[term] as usize];
            (Arc::clone(term), postings.iter().filter(|posting| counts(posting.slot())).count() as u32)
        });
        found.filter(|(_, texts)| *texts > 0).collect()
    }

    fn lists<'a>(&'a self, stems: &'a [String]) -> impl Iterator<Item = &'a Vec<Posting>> {
        stems.iter().filter_map(|stem| Some(&self.postings[*self.ids.get(stem.as_str())? as usize]))
    }

    /// Adds up how often any of these stems, which are one word's, stands in each of the slots that `counts`.
    pub fn occurrences(
        &self,
        stems: &[String],
        counts: impl Fn(Slot) -> bool,
        mut each: impl FnMut(Slot, u32),
    ) {
        let mut lists = self.lists(stems);
        let (Some(first), second) = (lists.next(), lists.next()) else { return };
        let Some(second) = second else {
            for posting in first.iter().filter(|posting| counts(posting.slot())) {
                each(posting.slot(), posting.count());
            }
            return;
        };
        // The same word in several languages.
        let mut sum: HashMap<Slot, u32> = HashMap::new();
        for posting in [first, second].into_iter().chain(lists).flatten() {
            if counts(posting.slot()) {
                *sum.entry(posting.slot()).or_default() += posting.count();
            }
        }
        sum.into_iter().for_each(|(slot, count)| each(slot, count));
    }

    fn term(&mut self, language: Language, word: &str) -> TermId {
        if let Some(id) = self.met[language as usize].get(word) {
            return *id;
        }
        let stem = language.stem(word);
        let next = self.postings.len() as TermId;
        let stem: Arc<str> = stem.into();
        let id = *self.ids.entry(Arc::clone(&stem)).or_insert(next);
        if id == next {
            self.postings.push(Vec::new());
            if let Some(key) = spelling(&stem) {
                self.alike.entry(key).or_default().push(stem);
            }
        }
        self.met[language as usize].insert(word.into(), id);
        id
    }
}

/// Its first letter, and how many it has; none for what is too short or no word to be misspelt.
fn spelling(word: &str) -> Option<(char, usize)> {
    const LETTERS_MIN: usize = 4;
    let letters = word.chars().count();
    let is_word = letters >= LETTERS_MIN && word.chars().all(char::is_alphabetic);
    word.chars().next().filter(|_| is_word).map(|first| (first, letters))
}

/// Whether one letter was left out, added, replaced, or changed places with the next (Damerau 1964).
fn is_slip(left: &str, right: &str) -> bool {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let same = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
    let (l, r) = (&left[same..], &right[same..]);
    match l.len().cmp(&r.len()) {
        std::cmp::Ordering::Less => l == &r[1..],
        std::cmp::Ordering::Greater => &l[1..] == r,
        std::cmp::Ordering::Equal if l.is_empty() => false,
        std::cmp::Ordering::Equal => {
            l[1..] == r[1..] || (l.len() > 1 && l[0] == r[1] && l[1] == r[0] && l[2..] == r[2..])
        }
    }
}

/// How much a term says that so many of all texts have.
pub(super) fn weight(extent: Extent, texts: u32) -> f32 {
    let (all, with) = (extent.texts as f32, texts as f32);
    // Of this crate, and not of the machine's library: scores are to be the same everywhere.
    libm::logf(1.0 + (all - with + 0.5) / (with + 0.5))
}

/// The share in BM25 of a term that stands `parts / whole` times in a text of such a length.
pub(super) fn saturate(parts: u32, whole: u32, length: u32, extent: Extent) -> f32 {
    let mean = (extent.length as f32 / extent.texts.max(1) as f32).max(1.0);
    let count = parts as f32 / whole as f32;
    count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length as f32 / mean))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Lexicon {
        let mut lexicon = Lexicon::default();
        for (slot, text) in texts.iter().enumerate() {
            let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            lexicon.insert(slot as Slot, Language::English, &words);
        }
        lexicon
    }

    fn found(lexicon: &Lexicon, stems: &[&str], gone: &[Slot]) -> Vec<(Slot, u32)> {
        let stems: Vec<String> = stems.iter().map(|&stem| stem.into()).collect();
        let mut found = Vec::new();
        lexicon.occurrences(&stems, |slot| !gone.contains(&slot), |slot, count| found.push((slot, count)));
        found.sort_unstable();
        assert_eq!(lexicon.has(&stems, |slot| !gone.contains(&slot)), !found.is_empty());
        found
    }

    #[test]
    fn a_term_is_found_where_it_stands_until_it_is_taken_out() {
        let mut lexicon = of(&["a b a", "b", "c a"]);
        assert_eq!(found(&lexicon, &["a"], &[]), vec![(0, 2), (2, 1)]);
        assert_eq!(found(&lexicon, &["x"], &[]), vec![]);
        lexicon.remove(0, Language::English);
        assert_eq!(found(&lexicon, &["a"], &[0]), vec![(2, 1)]);
        lexicon.sweep(|slot| slot == 0);
        lexicon.insert(0, Language::English, &["c".to_owned()]);
        assert_eq!(found(&lexicon, &["a"], &[]), vec![(2, 1)]);
        assert_eq!(found(&lexicon, &["c"], &[]), vec![(0, 1), (2, 1)]);
    }

    #[test]
    fn stems_of_one_word_are_one_term() {
        let lexicon = of(&["hund", "hundo hund", "katze"]);
        assert_eq!(found(&lexicon, &["hund", "hundo"], &[]), vec![(0, 1), (1, 2)]);
    }

    #[test]
    fn a_slip_of_the_pen_is_one_letter() {
        for (word, meant) in [
            ("kubernets", "kubernetes"),
            ("kubernettes", "kubernetes"),
            ("kubernetas", "kubernetes"),
            ("form", "from"),
        ] {
            assert!(is_slip(word, meant) && is_slip(meant, word), "{word}");
        }
        for (word, other) in [("from", "from"), ("kubrnets", "kubernetes"), ("form", "fro"), ("abcd", "badc")]
        {
            assert!(!is_slip(word, other) || word.len() != other.len() && word == "form", "{word}");
        }
        let lexicon = of(&["tunnel", "tunnal", "cats"]);
        let near = |word| lexicon.nearly(word, |_| true).len();
        assert_eq!((near("tunnl"), near("tunnels"), near("cat"), near("bunnel")), (2, 1, 0, 0));
        assert!(lexicon.nearly("tunnl", |_| false).is_empty());
    }

    #[test]
    fn weights_are_those_of_the_formula() {
        let extent = Extent { texts: 3, length: 6 };
        assert!((weight(extent, 1) - (1.0_f32 + 2.5 / 1.5).ln()).abs() < 1e-6);
        // As long as the mean, so only the count decides.
        assert!((saturate(20, 20, 2, extent) - 1.9 / 1.9).abs() < 1e-6);
        assert!((saturate(40, 20, 2, extent) - 2.0 * 1.9 / 2.9).abs() < 1e-6);
        assert!(saturate(20, 20, 20, extent) < saturate(20, 20, 2, extent));
    }
}
