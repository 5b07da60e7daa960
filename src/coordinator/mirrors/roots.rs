//! Which roots a swarm has: looked up in the store once, then known from the log.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    super::{Shared, detached, error::Error},
    held::Held,
};
use crate::{
    domain::{
        namespace::{NamespaceRange, Prefix},
        swarm::SwarmId,
    },
    recall::mirror,
    store::{At, PageLimit, Scan, Store},
};

/// The first segments there are.
const TREES: [&str; 2] = ["agents", "shared"];

/// Roots by their first segment; none: not looked up yet.
#[derive(Default)]
pub struct Roots([Option<BTreeSet<Box<str>>>; 2]);

impl Roots {
    /// An entry was written below this root.
    pub fn add(&mut self, root: &str) {
        if let Some(Some(roots)) = tree(root).map(|tree| &mut self.0[tree])
            && !roots.contains(root)
        {
            roots.insert(root.into());
        }
    }

    /// The roots with something below any of the prefixes (none: all of them); `Err` has the tree that has to be looked up first.
    pub fn below(&self, prefixes: Option<&[Prefix]>) -> Result<BTreeSet<Box<str>>, usize> {
        let mut below = BTreeSet::new();
        let all: Vec<Prefix> = TREES.iter().map(|tree| Prefix::trusted(tree)).collect();
        for prefix in prefixes.unwrap_or(&all) {
            let mut segments = prefix.segments();
            let Some(tree) = segments.next().and_then(tree) else { continue };
            match segments.next() {
                Some(second) => {
                    below.insert(format!("{}/{second}", TREES[tree]).into());
                }
                None => below.extend(self.0[tree].as_ref().ok_or(tree)?.iter().cloned()),
            }
        }
        Ok(below)
    }
}

fn tree(path: &str) -> Option<usize> {
    let first = path.split('/').next()?;
    TREES.iter().position(|tree| *tree == first)
}

impl Held {
    /// Looks up the roots of a tree.
    pub async fn look_up(self: &Arc<Self>, shared: &Arc<Shared>, tree: usize) -> Result<(), Error> {
        // In turn: what is written from now on is added, what was written before is in the store.
        let _turn = self.moving.lock().await;
        let (store, swarm) = (Arc::clone(&shared.store), self.swarm().clone());
        let found = detached(shared, async move { roots_of(&*store, &swarm, TREES[tree]).await }).await?;
        let mut state = self.state_mut();
        match &mut state.roots.0[tree] {
            Some(roots) => roots.extend(found),
            roots => *roots = Some(found),
        }
        Ok(())
    }
}

/// Steps from root to root, without reading what is below them.
async fn roots_of(store: &dyn Store, swarm: &SwarmId, tree: &str) -> Result<BTreeSet<Box<str>>, Error> {
    let end = Some(format!("{tree}0"));
    let mut start = format!("{tree}/");
    let mut roots = BTreeSet::new();
    loop {
        let range = NamespaceRange { start, end: end.clone() };
        let limit = PageLimit { rows: 1, bytes: 1 };
        let scan = Scan { range, after: None, at: At::Newest, limit, content: false };
        let page = store.scan(swarm, &scan).await?;
        let Some(first) = page.versions.first() else { return Ok(roots) };
        let namespace = &first.path.namespace;
        let root = mirror::root(namespace);
        // Between "a" and what is below it, "a/…", stand others: "a-b". No name has a control character, and not every store takes
        // the least of them.
        start = if namespace.as_str() == root { format!("{root}\u{1}") } else { format!("{root}0") };
        roots.insert(root.into());
    }
}
