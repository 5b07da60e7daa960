//! Which of the best are handed out: what says the same as a better one is named there instead, and what is like one that was chosen
//! comes a little later (maximal marginal relevance, Carbonell and Goldstein 1998).

use super::{EntryPath, Hit, Item, Ranked, Space};

/// How much a score loses to what was chosen before, times the cosine to the nearest of that.
const LIKENESS: f32 = 0.1;
/// So many of the best are weighed against each other; what is behind them follows as it is.
const WEIGHED: usize = 60;

/// The best `limit`, best first.
pub fn choose(spaces: &[Space<'_>], mut ranked: Vec<Ranked<'_>>, limit: usize) -> Vec<(Hit, Item)> {
    let wanted = limit.saturating_add(WEIGHED).min(ranked.len());
    if wanted < ranked.len() && wanted > 0 {
        ranked.select_nth_unstable_by(wanted - 1, Ranked::order);
        ranked.truncate(wanted);
    }
    ranked.sort_unstable_by(Ranked::order);
    let rest = ranked.split_off(WEIGHED.min(ranked.len()));
    let mut chosen: Vec<(Hit, Item)> = Vec::new();
    while !ranked.is_empty() && chosen.len() < limit {
        // Whoever comes first in the order before wins among equals.
        let best = (0..ranked.len())
            .reduce(|best, at| if ranked[at].score > ranked[best].score { at } else { best });
        let next = ranked.remove(best.unwrap_or_default());
        let (item, gist) = (next.item, next.document.gist);
        let (hit, _) = next.hit(spaces);
        chosen.push((hit, item));
        ranked.retain_mut(|other| {
            let likeness = likeness(spaces, item, other.item);
            // Whatever the vectors say: to them "not" is a word like any other.
            if other.document.gist == gist && is_single(spaces, item) && is_single(spaces, other.item) {
                if let Some((hit, _)) = chosen.last_mut() {
                    hit.duplicates.push(path(spaces, other));
                }
                return false;
            }
            let penalty = -LIKENESS * likeness;
            if penalty < other.factors.likeness {
                other.factors.likeness = penalty;
                other.score = other.factors.score();
            }
            true
        });
    }
    let room = limit - chosen.len();
    chosen.extend(rest.into_iter().take(room).map(|ranked| ranked.hit(spaces)));
    chosen
}

fn path(spaces: &[Space<'_>], ranked: &Ranked<'_>) -> EntryPath {
    spaces[ranked.item.mirror].mirror.path(ranked.document)
}

/// The cosine of two entries, not below 0.
fn likeness(spaces: &[Space<'_>], left: Item, right: Item) -> f32 {
    let (l, r) = (&spaces[left.mirror].mirror.vectors, &spaces[right.mirror].mirror.vectors);
    l.between(left.slot, r, right.slot).unwrap_or_default().max(0.0)
}

/// Turns of a conversation never say the same: by whom and when is part of it.
fn is_single(spaces: &[Space<'_>], item: Item) -> bool {
    !spaces[item.mirror].mirror.sessions.has(item.slot)
}
