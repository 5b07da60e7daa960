//! One question over several mirrors: BM25 over each turn with those beside it, and nearness of meaning, both as parts of the
//! best, then what is known of each entry. Scores are made of integers, and of floats added in the order of the question's words,
//! so that every replica ranks alike. Knows no bodies.

mod diversity;
mod lexical;
mod moments;
mod question;
mod semantic;

use std::cmp::Ordering;

pub use question::{Meaning, Question, Vagueness};

use super::{
    embed::StaticModel,
    lexicon::{Extent, Slot},
    mirror::{Document, Mirror, Space},
};
use crate::domain::{entry::Kind, namespace::EntryPath, query::Filter, swarm::Revision, time::Timestamp};
use lexical::Lexical;
use question::Words;
use semantic::Semantic;

/// How much nearness of meaning counts beside words, of 1.
const SEMANTIC_SHARE: f32 = 0.3;
/// Added where the question names exactly one who speaks, and it is theirs.
const SPEAKER_BONUS: f32 = 0.4;
/// Added for what happened on the day, or in the month, that the question names; half of it for the year.
const TIME_BONUS: f32 = 0.2;
/// Added for a turn that ends with a question: it asks rather than tells.
const ASKING_BONUS: f32 = -0.1;
/// Added for what tells a time, if the question asks for one.
const TELLING_BONUS: f32 = 0.1;
/// So much do importance and utility move a score at most, up or down.
const IMPORTANCE_SWAY: f32 = 0.2;
const UTILITY_SWAY: f32 = 0.2;
/// A preference has lost half of what age can take when it is so old,
const HALF_LIFE_S: f32 = 90.0 * 86_400.0;
/// and that is so much at most.
const AGE_SWAY: f32 = 0.2;
/// Utility before anybody gave feedback.
const UTILITY_DEFAULT: f32 = 0.5;

/// What is searched.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// Already narrowed to what the asker may read.
    pub filter: &'a Filter,
    /// The state's own time: what has expired by then is not there, and ages are measured from it.
    pub now: Timestamp,
    /// Whether what has been superseded or resolved is wanted, too.
    pub with_settled: bool,
    /// Whether it is wanted what each word gave.
    pub explain: bool,
}

/// An entry that was found.
#[derive(Clone, Debug)]
pub struct Hit {
    /// Which.
    pub path: EntryPath,
    /// The revision of the version that was ranked.
    pub revision: Revision,
    /// What it is ranked by.
    pub score: f32,
    /// What the score is made of.
    pub factors: Factors,
    /// Entries that say the same, and are left out for it, best first.
    pub duplicates: Vec<EntryPath>,
}

/// What a score is made of: `((1 - share) * lexical / lexical_best + share * semantic / semantic_best + speaker + time +
/// telling + asking) * recency * importance * utility + likeness`. Where nothing was found by words, or by meaning, that arm is 0; where the question has no
/// vector the share is 0.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Factors {
    /// BM25, turns beside it counted in.
    pub lexical: f32,
    /// The best of all.
    pub lexical_best: f32,
    /// By how much it is nearer than the mean, turns beside it counted in.
    pub semantic: f32,
    /// The best of all.
    pub semantic_best: f32,
    /// How much meaning counts.
    pub share: f32,
    /// What was added for who speaks.
    pub speaker: f32,
    /// For when it happened.
    pub time: f32,
    /// For telling when.
    pub telling: f32,
    /// For what asks; not above 0.
    pub asking: f32,
    /// For being like something better; not above 0.
    pub likeness: f32,
    /// 1, or less for what ages.
    pub recency: f32,
    /// Around 1.
    pub importance: f32,
    /// Around 1.
    pub utility: f32,
    /// The words of the question that it has, or a turn beside it, and what each gave.
    pub words: Vec<(String, f32)>,
}

impl Factors {
    fn score(&self) -> f32 {
        let part = |value: f32, best: f32| if best > 0.0 { value / best } else { 0.0 };
        let lexical = (1.0 - self.share) * part(self.lexical, self.lexical_best);
        let semantic = self.share * part(self.semantic, self.semantic_best);
        (lexical + semantic + self.speaker + self.time + self.telling + self.asking)
            * self.recency
            * self.importance
            * self.utility
            + self.likeness
    }
}

/// What came of a question.
#[derive(Clone, Debug, Default)]
pub struct Ranking {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Why there is only the newest, if there is.
    pub vague: Option<Vagueness>,
    /// How many entries were searched.
    pub searched: u64,
    /// The model whose vectors were compared, if any were.
    pub model: Option<&'static str>,
}

/// One entry, among several mirrors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Item {
    mirror: usize,
    slot: Slot,
}

/// Ranks what `mirrors` know about a question, at most `limit` of it.
#[must_use]
pub fn rank(mirrors: &[&Mirror], question: &Question, scope: Scope<'_>, limit: usize) -> Ranking {
    let spaces: Vec<Space<'_>> =
        mirrors.iter().map(|mirror| Space::of(mirror, scope.filter, scope.now, scope.with_settled)).collect();
    let mut extent = Extent::default();
    spaces.iter().for_each(|space| extent += space.extent);
    let words = Words::of(question, &spaces);
    let (hits, vague) = match words.vagueness() {
        Some(why) => (newest(&spaces, limit), Some(why)),
        None => (best(&spaces, extent, question, &words, scope, limit), None),
    };
    let model = words.vector.as_ref().filter(|_| vague.is_none()).map(|_| StaticModel::NAME);
    Ranking { hits, vague, searched: extent.texts, model }
}

fn best(
    spaces: &[Space<'_>],
    extent: Extent,
    question: &Question,
    words: &Words,
    scope: Scope<'_>,
    limit: usize,
) -> Vec<Hit> {
    let lexical = Lexical::of(spaces, extent, words);
    let mut semantic = words.vector.as_ref().map(|vector| Semantic::of(spaces, extent, vector));
    let mut items = lexical.candidates(spaces);
    if let Some(semantic) = &semantic {
        items.extend(semantic.candidates());
    }
    items.sort_unstable();
    items.dedup();
    let share = if semantic.is_some() { SEMANTIC_SHARE } else { 0.0 };
    let mut found: Vec<(Item, Factors)> = Vec::with_capacity(items.len());
    for item in items {
        let meaning = semantic.as_mut().map_or(0.0, |semantic| semantic.nearness(item));
        let factors =
            Factors { lexical: lexical.score(item), semantic: meaning, share, ..Default::default() };
        found.push((item, factors));
    }
    let most = |of: fn(&Factors) -> f32| found.iter().map(|(_, factors)| of(factors)).fold(0.0, f32::max);
    let (lexical_best, semantic_best) = (most(|f| f.lexical), most(|f| f.semantic));
    let mut ranked = Vec::with_capacity(found.len());
    for (item, factors) in found {
        let Some(document) = spaces[item.mirror].mirror.document(item.slot) else { continue };
        let mirror = spaces[item.mirror].mirror;
        let speaker = mirror.names.name(document.speaker);
        let asks = mirror.sessions.voice(item.slot).asks;
        let moment = question.moments.iter().map(|moment| moment.fit(document.time)).fold(0.0, f32::max);
        let factors = Factors {
            lexical_best,
            semantic_best,
            speaker: if words.is_by(speaker) { SPEAKER_BONUS } else { 0.0 },
            time: TIME_BONUS * moment,
            telling: if question.asks_when && document.tells_time { TELLING_BONUS } else { 0.0 },
            asking: if asks { ASKING_BONUS } else { 0.0 },
            recency: recency(document, scope.now),
            importance: sway(document.importance, IMPORTANCE_SWAY),
            utility: sway(UTILITY_DEFAULT, UTILITY_SWAY),
            ..factors
        };
        // Who speaks is no reason by itself.
        if factors.lexical > 0.0 || factors.semantic > 0.0 {
            ranked.push(Ranked { item, document, score: factors.score(), factors });
        }
    }
    let mut hits = diversity::choose(spaces, ranked, limit);
    if scope.explain {
        let items: Vec<Item> = hits.iter().map(|(_, item)| *item).collect();
        let shares = Lexical::explain(spaces, extent, words, &items);
        hits.iter_mut().zip(shares).for_each(|((hit, _), shares)| hit.factors.words = shares);
    }
    hits.into_iter().map(|(hit, _)| hit).collect()
}

/// An entry with its score.
struct Ranked<'m> {
    item: Item,
    document: &'m Document,
    score: f32,
    factors: Factors,
}

impl Ranked<'_> {
    /// Best first; of what is equal the newest.
    fn order(&self, other: &Self) -> Ordering {
        let score = other.score.total_cmp(&self.score);
        score.then_with(|| stamp(other.document).cmp(&stamp(self.document)))
    }

    fn hit(self, spaces: &[Space<'_>]) -> (Hit, Item) {
        let path = spaces[self.item.mirror].mirror.path(self.document);
        let Self { score, factors, .. } = self;
        (Hit { path, revision: self.document.revision, score, factors, duplicates: Vec::new() }, self.item)
    }
}

/// No two versions of a swarm have the same.
fn stamp(document: &Document) -> (Revision, u32) {
    (document.revision, document.ordinal)
}

/// 1 for 0.5, and by `most` more or less at the ends.
fn sway(value: f32, most: f32) -> f32 {
    1.0 + most * (2.0 * value - 1.0)
}

/// What people prefer changes; facts and documents do not get worse by age.
fn recency(document: &Document, now: Timestamp) -> f32 {
    match document.kind {
        Kind::Preference => {
            let age_s = now.since(document.time).as_secs_f32();
            1.0 - AGE_SWAY * (1.0 - libm::exp2f(-age_s / HALF_LIFE_S))
        }
        _ => 1.0,
    }
}

/// What was written or happened last.
fn newest(spaces: &[Space<'_>], limit: usize) -> Vec<Hit> {
    let mut all = Vec::new();
    for (mirror, space) in spaces.iter().enumerate() {
        for (slot, document) in space.mirror.documents() {
            if space.admits(slot) {
                all.push(Ranked {
                    item: Item { mirror, slot },
                    document,
                    score: 0.0,
                    factors: Factors::default(),
                });
            }
        }
    }
    all.sort_unstable_by(|l, r| {
        (r.document.time, stamp(r.document)).cmp(&(l.document.time, stamp(l.document)))
    });
    all.truncate(limit);
    all.into_iter().map(|ranked| ranked.hit(spaces).0).collect()
}
