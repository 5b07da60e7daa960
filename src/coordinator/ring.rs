//! The recent events of one swarm, each encoded at most once, shared by all streams. Knows nothing of streams.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::{
    commit::Commit,
    entry::Version,
    namespace::EntryPath,
    swarm::{Head, Incarnation, Mark, Revision},
};

/// How much a ring holds.
#[derive(Clone, Copy, Debug)]
pub struct RingLimits {
    /// Events.
    pub events_max: usize,
    /// Bytes, by [`Version::weight`].
    pub bytes_max: usize,
}

/// A commit in the ring.
pub(super) struct Recent {
    pub commit: Arc<Commit>,
    /// When it came here, for judging slow readers.
    pub arrived: Instant,
    encoded: Box<[OnceLock<Bytes>]>,
}

impl Recent {
    fn new(commit: Arc<Commit>) -> Self {
        let encoded = commit.versions.iter().map(|_| OnceLock::new()).collect();
        Self { commit, arrived: Instant::now(), encoded }
    }

    /// The encoded form of the version at `index`, made on first use.
    pub fn encoded(&self, index: usize, encode: impl FnOnce(&Version) -> Bytes) -> Bytes {
        self.encoded[index].get_or_init(|| encode(&self.commit.versions[index])).clone()
    }

    fn bytes(&self) -> usize {
        self.commit.versions.iter().map(|v| v.weight()).sum()
    }
}

/// What became of an offered commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// It is the newest now.
    Appended,
    /// It was known.
    Known,
    /// Something before it is missing.
    Gap,
    /// It belongs to another history.
    Diverged,
}

/// How finely it is remembered when what is no longer in the ring arrived: in so many steps of the horizon.
const ARRIVALS_PER_HORIZON: u32 = 16;

/// Consecutive commits up to a head.
pub(super) struct Ring {
    limits: RingLimits,
    /// How far back it matters when something arrived.
    horizon: Duration,
    /// By when the ring had come to which revision; a few, oldest first.
    arrivals: VecDeque<(Revision, Instant)>,
    /// When it came to its head.
    moved: Instant,
    incarnation: Incarnation,
    /// The head before the first commit.
    start: Mark,
    head: Mark,
    commits: VecDeque<Arc<Recent>>,
    events: usize,
    bytes: usize,
}

impl Ring {
    /// `horizon`: how far back [`Ring::pending_since`] must tell times apart.
    pub fn new(limits: RingLimits, horizon: Duration, head: &Head) -> Self {
        Self {
            limits,
            horizon,
            arrivals: VecDeque::from([(head.mark.revision, Instant::now())]),
            moved: Instant::now(),
            incarnation: head.incarnation,
            start: head.mark,
            head: head.mark,
            commits: VecDeque::new(),
            events: 0,
            bytes: 0,
        }
    }

    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub fn head(&self) -> Mark {
        self.head
    }

    /// How many events it holds.
    pub fn events(&self) -> usize {
        self.events
    }

    /// Appends a commit if it follows the head.
    pub fn offer(&mut self, commit: &Arc<Commit>) -> Offer {
        if commit.incarnation != self.incarnation {
            return Offer::Diverged;
        }
        if commit.last.revision < self.head.revision {
            return Offer::Known;
        }
        if commit.last.revision == self.head.revision {
            return if commit.last == self.head { Offer::Known } else { Offer::Diverged };
        }
        if commit.prev.revision != self.head.revision {
            return Offer::Gap;
        }
        if commit.prev != self.head {
            return Offer::Diverged;
        }
        let recent = Recent::new(Arc::clone(commit));
        self.events += commit.versions.len();
        self.bytes += recent.bytes();
        self.head = commit.last;
        self.moved = recent.arrived;
        self.note_arrival(recent.arrived);
        self.commits.push_back(Arc::new(recent));
        self.shrink();
        Offer::Appended
    }

    /// Commits with something behind `revision`, oldest first, about `bytes_max` of them; none if the ring does not
    /// reach back so far.
    pub fn after(&self, revision: Revision, bytes_max: usize) -> Option<Vec<Arc<Recent>>> {
        if revision < self.start.revision {
            return None;
        }
        let from = self.commits.partition_point(|r| r.commit.last.revision <= revision);
        let mut bytes = 0;
        let wanted = self.commits.range(from..).take_while(|recent| {
            let room = bytes < bytes_max;
            bytes += recent.bytes();
            room
        });
        Some(wanted.cloned().collect())
    }

    /// The newest version of an entry, if it changed lately.
    pub fn newest(&self, path: &EntryPath) -> Option<Arc<Version>> {
        let newest_first = self.commits.iter().rev().flat_map(|r| r.commit.versions.iter().rev());
        newest_first.into_iter().find(|version| version.path == *path).cloned()
    }

    /// Since when there is something behind `revision`. Where that is not in the ring any more, perhaps a little later
    /// than in truth, and of what lies beyond the horizon only that it does.
    pub fn pending_since(&self, revision: Revision) -> Option<Instant> {
        if revision < self.start.revision {
            let noted = self.arrivals.iter().find(|(reached, _)| *reached > revision).map(|(_, at)| *at);
            return noted.or(Some(self.moved));
        }
        let next = self.commits.partition_point(|r| r.commit.last.revision <= revision);
        self.commits.get(next).map(|recent| recent.arrived)
    }

    fn note_arrival(&mut self, now: Instant) {
        let newest = self.arrivals.back().map(|(_, at)| *at);
        if newest.is_some_and(|at| now - at < self.horizon / ARRIVALS_PER_HORIZON) {
            return;
        }
        self.arrivals.push_back((self.head.revision, now));
        // One beyond the horizon is enough.
        while self.arrivals.get(1).is_some_and(|(_, at)| now - *at > self.horizon) {
            self.arrivals.pop_front();
        }
    }

    fn shrink(&mut self) {
        while self.events > self.limits.events_max || self.bytes > self.limits.bytes_max {
            let Some(oldest) = self.commits.pop_front() else { return };
            self.events -= oldest.commit.versions.len();
            self.bytes -= oldest.bytes();
            self.start = oldest.commit.last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        apply::{Loaded, apply},
        limits::Limits,
        namespace::{AgentId, EntryPath, Key, Namespace},
        request::{Operation, Request},
        swarm::Nonce,
        time::Timestamp,
    };

    fn put(head: Head, nonce: u8) -> (Head, Arc<Commit>) {
        let path = EntryPath { namespace: Namespace::trusted("shared/x"), key: Key::trusted("k") };
        let put =
            Operation::Put { path, body: Default::default(), expiry: None, condition: Default::default() };
        let request = Request::write(AgentId::trusted("a"), None, vec![put], &Limits::default()).unwrap();
        let (entries, truncated, records) = Default::default();
        let loaded = Loaded { head, entries, truncated, records };
        let applied =
            apply(loaded, &[Arc::new(request)], Nonce([nonce; 16]), Timestamp::default(), &Limits::default());
        (applied.head, Arc::new(applied.commit.unwrap()))
    }

    const HORIZON: Duration = Duration::from_secs(160);

    fn limits(events_max: usize) -> RingLimits {
        RingLimits { events_max, bytes_max: usize::MAX }
    }

    #[tokio::test]
    async fn only_what_follows_is_appended() {
        let start = Head::new(Incarnation::default(), Nonce([0; 16]), Timestamp::default());
        let (one, first) = put(start, 1);
        let (two, second) = put(one, 2);
        let (_, third) = put(two, 3);
        let (_, other_second) = put(one, 9);
        let mut ring = Ring::new(limits(10), HORIZON, &start);
        assert_eq!(ring.offer(&second), Offer::Gap);
        assert_eq!(ring.offer(&first), Offer::Appended);
        assert_eq!(ring.offer(&first), Offer::Known);
        assert_eq!(ring.offer(&second), Offer::Appended);
        assert_eq!(ring.offer(&first), Offer::Known);
        assert_eq!(ring.offer(&other_second), Offer::Diverged);
        let mut other = Ring::new(limits(10), HORIZON, &start);
        assert_eq!(other.offer(&first), Offer::Appended);
        assert_eq!(other.offer(&other_second), Offer::Appended);
        assert_eq!(other.offer(&third), Offer::Diverged);
        let foreign = Arc::new(Commit { incarnation: Incarnation(uuid::Uuid::max()), ..(*third).clone() });
        assert_eq!(ring.offer(&foreign), Offer::Diverged);
    }

    #[tokio::test]
    async fn old_commits_make_room() {
        let mut head = Head::new(Incarnation::default(), Nonce([0; 16]), Timestamp::default());
        let mut ring = Ring::new(limits(3), HORIZON, &head);
        for n in 1..=5 {
            let (next, commit) = put(head, n);
            ring.offer(&commit);
            head = next;
        }
        let revisions = |after| {
            let found = ring.after(Revision(after), usize::MAX)?;
            Some(found.iter().map(|r| r.commit.last.revision.0).collect::<Vec<_>>())
        };
        assert_eq!(revisions(1), None);
        assert_eq!(revisions(2), Some(vec![3, 4, 5]));
        assert_eq!(revisions(4), Some(vec![5]));
        assert_eq!(revisions(5), Some(vec![]));
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_remembered_since_when_something_is_pending() {
        let mut head = Head::new(Incarnation::default(), Nonce([0; 16]), Timestamp::default());
        let mut ring = Ring::new(limits(1), HORIZON, &head);
        let begun = Instant::now();
        // One every second; the ring holds one, and every tenth arrival is noted.
        for _ in 1..=400 {
            tokio::time::advance(Duration::from_secs(1)).await;
            let (next, commit) = put(head, 1);
            ring.offer(&commit);
            head = next;
        }
        let since = |revision| ring.pending_since(Revision(revision)).map(|at| (at - begun).as_secs());
        assert_eq!((since(400), since(399)), (None, Some(400)));
        assert_eq!((since(398), since(390), since(389)), (Some(400), Some(400), Some(390)));
        assert_eq!((since(300), since(299)), (Some(310), Some(300)));
        assert!(since(1).is_some_and(|at| at < 400 - HORIZON.as_secs()));
        assert!(ring.arrivals.len() <= 18);
    }
}
