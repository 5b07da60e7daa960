//! What one question searches of a mirror. Statistics are of what may be found, and of nothing else; what stands beside that in a
//! conversation is heard, too, as far as the asker may read it.

use roaring::RoaringBitmap;

use super::{Mirror, VACANT, namespaces::NamespaceId};
use crate::{
    domain::{query::Filter, time::Timestamp},
    recall::lexicon::{Extent, Slot},
};

/// A part of a mirror.
pub struct Space<'m> {
    pub mirror: &'m Mirror,
    /// By number; none: all.
    namespaces: Option<Vec<bool>>,
    /// Expired, or settled.
    left_out: RoaringBitmap,
    /// Which may be found; none: all that may be heard.
    matching: Option<RoaringBitmap>,
    /// All that may be found.
    pub extent: Extent,
}

impl<'m> Space<'m> {
    /// What a filter, already narrowed to what the asker may read, means of a mirror at `now`.
    pub fn of(mirror: &'m Mirror, filter: &Filter, now: Timestamp, with_settled: bool) -> Self {
        let expired = mirror.expiring.iter().take_while(|(at, _)| *at <= now).map(|(_, slot)| *slot);
        let mut left_out: RoaringBitmap = expired.collect();
        if !with_settled {
            left_out |= &mirror.settled;
        }
        let covered = filter.prefixes.as_deref().and_then(|prefixes| mirror.namespaces.covered(prefixes));
        let (namespaces, extent) = match covered {
            Some((covered, extent)) => (Some(covered), extent),
            None => (None, mirror.namespaces.extent()),
        };
        let mut space = Self { mirror, namespaces, left_out, matching: None, extent };
        space.matching = space.narrowed(filter);
        space.extent = match &space.matching {
            Some(matching) => space.sum(matching.iter()),
            None => {
                let mut extent = space.extent;
                extent -= space.sum(space.left_out.iter().filter(|&slot| space.is_covered(slot)));
                extent
            }
        };
        space
    }

    fn narrowed(&self, filter: &Filter) -> Option<RoaringBitmap> {
        let mut matching = self.mirror.facets.matching(filter, &self.mirror.live);
        if filter.updated_from.is_some() || filter.updated_before.is_some() {
            let among = matching.as_ref().unwrap_or(&self.mirror.live);
            let inside = |slot: &Slot| {
                let written = self.mirror.document(*slot).map(|document| document.written);
                written.is_some_and(|at| {
                    filter.updated_from.is_none_or(|from| at >= from)
                        && filter.updated_before.is_none_or(|before| at < before)
                })
            };
            matching = Some(among.iter().filter(inside).collect());
        }
        matching.map(|matching| matching.into_iter().filter(|&slot| self.hears(slot)).collect())
    }

    fn sum(&self, slots: impl Iterator<Item = Slot>) -> Extent {
        let mut extent = Extent::default();
        slots.for_each(|slot| extent += Extent::one(self.mirror.length(slot)));
        extent
    }

    fn covers(&self, namespace: NamespaceId) -> bool {
        self.namespaces.as_ref().is_none_or(|covered| covered[namespace as usize])
    }

    fn is_covered(&self, slot: Slot) -> bool {
        let owner = self.mirror.owners[slot as usize];
        owner != VACANT && self.covers(owner)
    }

    /// Whether what stands in the slot may be heard beside what is found.
    pub fn hears(&self, slot: Slot) -> bool {
        self.is_covered(slot) && (self.left_out.is_empty() || !self.left_out.contains(slot))
    }

    /// Whether it may be found.
    pub fn admits(&self, slot: Slot) -> bool {
        self.matching.as_ref().map_or_else(|| self.hears(slot), |matching| matching.contains(slot))
    }

    /// All that may be found.
    pub fn admitted(&self) -> Box<dyn Iterator<Item = Slot> + '_> {
        match &self.matching {
            Some(matching) => Box::new(matching.iter()),
            None => Box::new((0..self.mirror.owners.len() as Slot).filter(|&slot| self.hears(slot))),
        }
    }

    /// Those in the searched namespaces with this word in their name.
    pub fn named<'a>(&'a self, word: &str) -> impl Iterator<Item = &'a str> {
        self.mirror.names.named(word, |id| self.covers(id))
    }
}
