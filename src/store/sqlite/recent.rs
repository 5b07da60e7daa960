//! Entries that were read lately, as they are now: this process is the only one that writes the file, so what it has
//! committed is all that there is to know. Knows nothing of SQL.
//!
//! What stands here is exact. A commit is followed before anybody hears of it, so a read in between sees the state
//! before, as it may. What was read from the file is kept only if nothing was committed to its swarm since, and whenever
//! anything is in doubt all is forgotten.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hashlink::LruCache;

use crate::domain::{
    apply::Applied,
    entry::{Change, Version},
    namespace::EntryPath,
    swarm::{Head, SwarmId},
};

/// Entries of all swarms, within one budget of bytes.
pub(super) struct Recent {
    bytes_max: usize,
    state: Mutex<State>,
}

struct State {
    heads: HashMap<SwarmId, Head>,
    entries: LruCache<(SwarmId, EntryPath), Arc<Version>>,
    bytes: usize,
    /// Counts how often all was forgotten.
    generation: u64,
}

/// What was known when a read began.
#[derive(Clone, Copy)]
pub(super) struct Before(u64);

impl Recent {
    /// Keeps up to so many bytes; 0: nothing.
    pub fn new(bytes_max: usize) -> Self {
        let (heads, entries) = (HashMap::new(), LruCache::new_unbounded());
        Self { bytes_max, state: Mutex::new(State { heads, entries, bytes: 0, generation: 0 }) }
    }

    /// The newest state of an entry, if it is here.
    pub fn get(&self, swarm: &SwarmId, path: &EntryPath) -> Option<(Head, Arc<Version>)> {
        let mut state = self.state();
        let head = *state.heads.get(swarm)?;
        let version = state.entries.get(&(swarm.clone(), path.clone()))?;
        Some((head, Arc::clone(version)))
    }

    /// To be asked before the file is read.
    pub fn before(&self) -> Before {
        Before(self.state().generation)
    }

    /// Keeps what was read from the file at `head`.
    pub fn keep(&self, before: Before, swarm: &SwarmId, head: &Head, versions: &[Option<Arc<Version>>]) {
        let mut state = self.state();
        if state.generation != before.0 {
            return;
        }
        match state.heads.get(swarm) {
            Some(known) if known.mark != head.mark => return,
            Some(_) => {}
            None => drop(state.heads.insert(swarm.clone(), *head)),
        }
        for version in versions.iter().flatten() {
            let is_whole = version.body.content.len() as u64 == version.content_bytes;
            if is_whole && version.weight() <= self.bytes_max / 8 {
                state.put(swarm, version);
            }
        }
        state.shrink(self.bytes_max);
    }

    /// Follows a commit. Entries that are not here stay away: most of what is written is not read soon.
    pub fn follow(&self, swarm: &SwarmId, applied: &Applied) {
        let Some(commit) = &applied.commit else { return };
        let mut state = self.state();
        if state.heads.get(swarm).is_some_and(|known| known.mark != commit.prev) {
            state.forget();
        }
        for version in &commit.versions {
            let key = (swarm.clone(), version.path.clone());
            match version.change {
                Change::Put if state.entries.contains_key(&key) => state.put(swarm, version),
                Change::Put => {}
                Change::Delete => state.remove(&key),
            }
        }
        state.heads.insert(swarm.clone(), applied.head);
        state.shrink(self.bytes_max);
    }

    /// Forgets everything: a swarm is gone, or the outcome of a commit is in doubt.
    pub fn forget(&self) {
        self.state().forget();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn put(&mut self, swarm: &SwarmId, version: &Arc<Version>) {
        self.bytes += version.weight();
        if let Some(old) = self.entries.insert((swarm.clone(), version.path.clone()), Arc::clone(version)) {
            self.bytes -= old.weight();
        }
    }

    fn remove(&mut self, key: &(SwarmId, EntryPath)) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= old.weight();
        }
    }

    fn shrink(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some((_, old)) = self.entries.remove_lru()
        {
            self.bytes -= old.weight();
        }
    }

    fn forget(&mut self) {
        self.generation += 1;
        self.heads.clear();
        self.entries.clear();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        domain::{
            apply::Loaded,
            limits::Limits,
            namespace::{AgentId, Key, Namespace},
            request::{Operation, Request},
            swarm::{Incarnation, Nonce},
            time::Timestamp,
        },
        store::Batch,
    };

    fn swarm() -> SwarmId {
        SwarmId::parse("lab").unwrap()
    }

    fn path(key: &str) -> EntryPath {
        EntryPath { namespace: Namespace::trusted("shared/x"), key: Key::trusted(key) }
    }

    /// What a put of `content` under `key` comes to.
    fn put(head: Head, key: &str, content: &str) -> Applied {
        let body = crate::domain::entry::Body { content: content.into(), ..Default::default() };
        let put = Operation::Put { path: path(key), body, expiry: None, condition: Default::default() };
        let limits = Limits::default();
        let request = Request::write(AgentId::trusted("a"), None, vec![put], &limits).unwrap();
        let nonce = Nonce([head.mark.revision.0 as u8 + 1; 16]);
        let loaded =
            Loaded { head, entries: BTreeMap::new(), truncated: HashMap::new(), records: HashMap::new() };
        Batch::new(vec![Arc::new(request)], nonce, limits).apply(loaded, head.time)
    }

    fn start() -> Head {
        Head::new(Incarnation(uuid::Uuid::nil()), Nonce([0; 16]), Timestamp::from_micros(1))
    }

    fn version(applied: &Applied) -> Arc<Version> {
        Arc::clone(&applied.commit.as_ref().unwrap().versions[0])
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_kept_after_it() {
        let recent = Recent::new(1 << 20);
        let one = put(start(), "k", "1");
        let before = recent.before();
        // The reader saw the first put; the second was committed and followed before the reader came to keep it.
        let two = put(one.head, "k", "2");
        recent.follow(&swarm(), &two);
        recent.keep(before, &swarm(), &one.head, &[Some(version(&one))]);
        assert!(recent.get(&swarm(), &path("k")).is_none());
        recent.keep(before, &swarm(), &two.head, &[Some(version(&two))]);
        assert_eq!(recent.get(&swarm(), &path("k")).unwrap().1, version(&two));
    }

    #[test]
    fn what_was_read_before_all_was_forgotten_is_not_kept() {
        let recent = Recent::new(1 << 20);
        let one = put(start(), "k", "1");
        let before = recent.before();
        recent.forget();
        recent.keep(before, &swarm(), &one.head, &[Some(version(&one))]);
        assert!(recent.get(&swarm(), &path("k")).is_none());
    }

    #[test]
    fn a_commit_that_does_not_follow_what_is_known_forgets_all() {
        let recent = Recent::new(1 << 20);
        let one = put(start(), "k", "1");
        recent.keep(recent.before(), &swarm(), &one.head, &[Some(version(&one))]);
        let elsewhere = put(put(one.head, "x", "unseen").head, "y", "2");
        recent.follow(&swarm(), &elsewhere);
        assert!(recent.get(&swarm(), &path("k")).is_none());
    }

    #[test]
    fn the_budget_is_kept() {
        let recent = Recent::new(20_000);
        let mut head = start();
        for n in 0..100 {
            let applied = put(head, &n.to_string(), &"x".repeat(1000));
            head = applied.head;
            recent.follow(&swarm(), &applied);
            recent.keep(recent.before(), &swarm(), &head, &[Some(version(&applied))]);
            assert!(recent.state().bytes <= 20_000);
        }
        assert!(recent.get(&swarm(), &path("99")).is_some() && recent.get(&swarm(), &path("1")).is_none());
        let large = put(head, "large", &"x".repeat(10_000));
        recent.follow(&swarm(), &large);
        recent.keep(recent.before(), &swarm(), &large.head, &[Some(version(&large))]);
        assert!(recent.get(&swarm(), &path("large")).is_none(), "one entry must not push out all others");
        assert!(Recent::new(0).get(&swarm(), &path("99")).is_none());
    }
}
