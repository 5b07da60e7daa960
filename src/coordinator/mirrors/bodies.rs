//! The newest bodies that were written or handed out, so that an answer need not wait for the store. Bounded by bytes.

use std::sync::{Arc, Mutex, MutexGuard};

use hashlink::LinkedHashMap;

use crate::domain::{
    entry::Version,
    namespace::EntryPath,
    swarm::{Revision, SwarmId},
};

/// Versions by their entry, least lately used first.
pub struct Bodies {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    versions: LinkedHashMap<(SwarmId, EntryPath), Arc<Version>>,
    bytes: usize,
}

impl Bodies {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: Mutex::default() }
    }

    /// The version of this revision, if it is held.
    pub fn get(&self, swarm: &SwarmId, path: &EntryPath, revision: Revision) -> Option<Arc<Version>> {
        let mut inner = self.inner();
        let key = (swarm.clone(), path.clone());
        let version =
            inner.versions.get(&key).filter(|version| version.mark.revision == revision).cloned()?;
        inner.versions.to_back(&key);
        Some(version)
    }

    /// Holds a version instead of what was held of the entry.
    pub fn put(&self, swarm: &SwarmId, version: Arc<Version>) {
        let weight = version.weight();
        if weight > self.bytes_max / 8 {
            return;
        }
        let mut inner = self.inner();
        inner.bytes += weight;
        let key = (swarm.clone(), version.path.clone());
        if let Some(before) = inner.versions.insert(key, version) {
            inner.bytes -= before.weight();
        }
        while inner.bytes > self.bytes_max {
            let Some((_, oldest)) = inner.versions.pop_front() else { return };
            inner.bytes -= oldest.weight();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of this lock panics")
    }
}
