//! Listing entries and namespaces in pages, all of one revision.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    super::{Coordinator, Error, Shared, admitted},
    Consistency, Read, Snapshot, bad_page_token, begin, open_page, position_at, unless_cached, unless_silent,
};
use crate::{
    domain::{
        access::Principal,
        entry::{Body, Version},
        namespace::{EntryPath, Prefix, Suffix},
        position::{Arguments, Place, Position, Purpose},
        query::Filter,
        swarm::SwarmId,
    },
    store::{At, PageLimit, Scan},
};

/// How much of each entry a listing returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// All of it.
    Full,
    /// All but content and attributes.
    Keys,
    /// Only the number of entries.
    Count,
}

/// Which entries to list.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Which; prefixes as asked for, not narrowed.
    pub filter: Filter,
    /// How much of each.
    pub view: View,
    /// At most so many.
    pub page_size: usize,
    /// Where the last page ended.
    pub page_token: Option<String>,
    /// How fresh.
    pub consistency: Consistency,
    /// What a page token must have been given out for.
    pub arguments: Arguments,
}

/// A page of a listing.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The entries.
    pub entries: Vec<Arc<Version>>,
    /// Their number, for [`View::Count`].
    pub count: u64,
    /// Goes on with the listing.
    pub next_page_token: Option<String>,
}

/// Which namespaces to list.
#[derive(Clone, Debug)]
pub struct NamespaceQuery {
    /// At this prefix and below; none: anywhere.
    pub prefix: Option<Prefix>,
    /// Those that end with these segments.
    pub suffix: Suffix,
    /// Cut to so many segments; 0: not cut.
    pub depth: usize,
    /// At most so many.
    pub page_size: usize,
    /// Where the last page ended.
    pub page_token: Option<String>,
    /// How fresh.
    pub consistency: Consistency,
    /// What a page token must have been given out for.
    pub arguments: Arguments,
}

/// A page of namespaces, each with the number of its entries.
#[derive(Clone, Debug)]
pub struct Namespaces {
    /// In byte order.
    pub namespaces: Vec<(String, u64)>,
    /// Goes on with the listing.
    pub next_page_token: Option<String>,
}

impl Coordinator {
    /// Lists entries by namespace and key; every page at the first page's revision.
    ///
    /// # Errors
    /// Of tokens and revisions; [`Error::Compacted`] when a listing took longer than the log is kept.
    pub async fn list(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        query: ListQuery,
    ) -> Result<Read<Listing>, Error> {
        let prefixes = caller.readable().narrow(query.filter.prefixes.as_deref().unwrap_or_default());
        let query = ListQuery { filter: Filter { prefixes, ..query.filter.clone() }, ..query };
        unless_silent(&self.shared, &query.consistency)?;
        let (shared, swarm) = (Arc::clone(&self.shared), swarm.clone());
        let consistency = query.consistency.clone();
        let read = admitted(&self.shared, async move {
            let cursor = match &query.page_token {
                Some(token) => Some(open_page(&shared, &swarm, Purpose::List, token, query.arguments).await?),
                None => None,
            };
            let snapshot = match &cursor {
                Some(position) => Snapshot::of_page(position, &query.consistency),
                None => begin(&shared, &swarm, &query.consistency).await?,
            };
            let after = match &cursor {
                Some(Position { place: Place::Listing(after), .. }) => after.clone(),
                _ => None,
            };
            list_page(&shared, &swarm, &query, snapshot, cursor, after).await
        })
        .await;
        unless_cached(read, &consistency)
    }

    /// Lists the namespaces that hold entries; every page at the first page's revision.
    ///
    /// # Errors
    /// Of tokens and revisions.
    pub async fn namespaces(
        &self,
        caller: &Principal,
        swarm: &SwarmId,
        query: NamespaceQuery,
    ) -> Result<Read<Namespaces>, Error> {
        let wanted: Vec<Prefix> = query.prefix.iter().cloned().collect();
        let filter = Filter { prefixes: caller.readable().narrow(&wanted), ..Filter::default() };
        unless_silent(&self.shared, &query.consistency)?;
        let (shared, swarm) = (Arc::clone(&self.shared), swarm.clone());
        let consistency = query.consistency.clone();
        let read = admitted(&self.shared, async move {
            let (snapshot, after) = match &query.page_token {
                Some(token) => {
                    let position =
                        open_page(&shared, &swarm, Purpose::Namespaces, token, query.arguments).await?;
                    let snapshot = Snapshot::of_page(&position, &query.consistency);
                    let Place::Name(after) = position.place else { return Err(bad_page_token()) };
                    (snapshot, Some(after))
                }
                None => (begin(&shared, &swarm, &query.consistency).await?, None),
            };
            let (counts, position) = count_namespaces(&shared, &swarm, &filter, &query, snapshot).await?;
            let mut rest =
                counts.into_iter().filter(|(name, _)| after.as_deref().is_none_or(|a| **name > *a));
            let namespaces: Vec<_> = rest.by_ref().take(query.page_size).collect();
            let last = namespaces.last().filter(|_| rest.next().is_some());
            let next_page_token = last.map(|(name, _)| {
                let place = Place::Name(name.as_str().into());
                let position = Position { place, ..position.clone() };
                shared.tokens.seal(&swarm, Purpose::Namespaces, query.arguments, &position)
            });
            Ok(Read { value: Namespaces { namespaces, next_page_token }, position })
        })
        .await;
        unless_cached(read, &consistency)
    }
}

async fn list_page(
    shared: &Shared,
    swarm: &SwarmId,
    query: &ListQuery,
    mut snapshot: Snapshot,
    cursor: Option<Position>,
    mut after: Option<EntryPath>,
) -> Result<Read<Listing>, Error> {
    let mut position = cursor;
    let mut listing = Listing::default();
    let mut bytes = 0;
    let limits = &shared.settings.limits;
    // One more than the page tells whether there are more.
    let mut limit = PageLimit { rows: query.page_size.saturating_add(1), bytes: limits.page_bytes_max };
    'ranges: for range in query.filter.ranges() {
        if after.as_ref().is_some_and(|a| range.end.as_deref().is_some_and(|end| a.namespace.as_str() >= end))
        {
            continue;
        }
        loop {
            let content = query.view == View::Full;
            let scan = Scan { range: range.clone(), after: after.clone(), at: snapshot.at, limit, content };
            let page = shared.store.scan(swarm, &scan).await?;
            let there = match &position {
                Some(there) => there.clone(),
                None => position_at(shared, swarm, &page.head, snapshot).await?,
            };
            // From here on every page is of this revision.
            snapshot.at = At::Revision(there.mark.revision);
            position = Some(there.clone());
            for version in &page.versions {
                if !snapshot.shows(shared, &page.head, version) || !query.filter.matches(version) {
                    continue;
                }
                if query.view == View::Count {
                    listing.count += 1;
                    continue;
                }
                if listing.entries.len() >= query.page_size || bytes >= limits.page_bytes_max {
                    let last = listing.entries.last().map(|v| v.path.clone());
                    let place = Place::Listing(last);
                    let next = Position { place, ..there };
                    listing.next_page_token =
                        Some(shared.tokens.seal(swarm, Purpose::List, query.arguments, &next));
                    break 'ranges;
                }
                bytes += version.weight();
                listing.entries.push(trimmed(version, query.view));
            }
            match page.resume {
                Some(resume) => after = Some(resume),
                None => break,
            }
            // Much does not match, or is only counted: in larger steps from here on.
            limit.rows = limit.rows.saturating_mul(4).min(limits.page_size_max);
        }
    }
    let position = match position {
        Some(position) => Position { place: Place::After, ..position },
        // Nothing may be read at all, so nothing was.
        None => {
            let head = shared.store.swarm(swarm).await?.head;
            position_at(shared, swarm, &head, snapshot).await?
        }
    };
    Ok(Read { value: listing, position })
}

fn trimmed(version: &Arc<Version>, view: View) -> Arc<Version> {
    if view == View::Full {
        return Arc::clone(version);
    }
    let body = Body { content: "".into(), attributes: Default::default(), ..version.body.clone() };
    Arc::new(Version { body, ..(**version).clone() })
}

async fn count_namespaces(
    shared: &Shared,
    swarm: &SwarmId,
    filter: &Filter,
    query: &NamespaceQuery,
    mut snapshot: Snapshot,
) -> Result<(BTreeMap<String, u64>, Position), Error> {
    let head = shared.store.swarm(swarm).await?.head;
    let position = position_at(shared, swarm, &head, snapshot).await?;
    snapshot.at = At::Revision(position.mark.revision);
    let limits = &shared.settings.limits;
    let limit = PageLimit { rows: limits.page_size_max, bytes: limits.page_bytes_max };
    let mut counts = BTreeMap::new();
    for range in filter.ranges() {
        let mut after = None;
        loop {
            let scan = Scan { range: range.clone(), after, at: snapshot.at, limit, content: false };
            let page = shared.store.scan(swarm, &scan).await?;
            for version in &page.versions {
                let namespace = &version.path.namespace;
                if !snapshot.shows(shared, &page.head, version) || !query.suffix.ends(namespace) {
                    continue;
                }
                let depth = if query.depth == 0 { usize::MAX } else { query.depth };
                *counts.entry(namespace.cut(depth).to_owned()).or_default() += 1;
            }
            match page.resume {
                Some(resume) => after = Some(resume),
                None => break,
            }
        }
    }
    Ok((counts, position))
}
