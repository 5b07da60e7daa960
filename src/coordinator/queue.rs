//! What waits for a swarm's lane: bounded by count and bytes, first come first served for each agent, in turn among
//! agents. Knows nothing of commits.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

use tokio::{sync::oneshot, time::Instant};

use super::{budget::Permit, error::Error, lane::Written};
use crate::domain::{namespace::AgentId, request::Request};

/// How much may wait, and how much is committed together.
#[derive(Clone, Copy, Debug)]
pub struct LaneLimits {
    /// Requests of one commit.
    pub batch_requests_max: usize,
    /// Bytes of one commit, about.
    pub batch_bytes_max: usize,
    /// Bytes that are loaded for one commit, at most.
    pub batch_load_bytes_max: usize,
    /// Requests that wait. One agent may take half.
    pub queue_requests_max: usize,
    /// Bytes that wait. One agent may take half.
    pub queue_bytes_max: usize,
}

/// Whether a request can still be withdrawn. Both who waits and what waits have it.
#[derive(Debug)]
pub(super) struct Ticket {
    state: AtomicU8,
    /// What the request takes of the bytes in flight.
    _permit: Permit,
}

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    pub fn new(permit: Permit) -> Self {
        Self { state: AtomicU8::new(WAITING), _permit: permit }
    }

    /// The lane begins with the request; false if it was withdrawn.
    fn take(&self) -> bool {
        self.state.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The caller gives up; false if the lane has begun.
    pub fn withdraw(&self) -> bool {
        self.state.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// A request that waits for its commit.
pub(super) struct Pending {
    pub request: Arc<Request>,
    /// Since when it waits.
    pub since: Instant,
    pub deadline: Instant,
    pub ticket: Arc<Ticket>,
    pub reply: oneshot::Sender<Result<Written, Error>>,
}

/// Waiting requests.
pub(super) struct Queue {
    limits: LaneLimits,
    agents: HashMap<AgentId, Waiting>,
    turn: VecDeque<AgentId>,
    total: Load,
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Pending>,
    load: Load,
}

#[derive(Clone, Copy, Default)]
struct Load {
    requests: usize,
    bytes: usize,
}

impl Load {
    fn add(&mut self, bytes: usize) {
        self.requests += 1;
        self.bytes += bytes;
    }

    fn remove(&mut self, bytes: usize) {
        self.requests -= 1;
        self.bytes -= bytes;
    }

    fn fits(&self, bytes: usize, requests_max: usize, bytes_max: usize) -> bool {
        self.requests < requests_max && (self.requests == 0 || self.bytes + bytes <= bytes_max)
    }
}

impl Queue {
    pub fn new(limits: LaneLimits) -> Self {
        Self { limits, agents: HashMap::new(), turn: VecDeque::new(), total: Load::default() }
    }

    pub fn is_empty(&self) -> bool {
        self.total.requests == 0
    }

    pub fn len(&self) -> usize {
        self.total.requests
    }

    /// Adds a request, or gives it back when there is no room.
    pub fn push(&mut self, pending: Pending) -> Result<(), Pending> {
        let bytes = pending.request.weight();
        let LaneLimits { queue_requests_max, queue_bytes_max, .. } = self.limits;
        let own = self.agents.get(pending.request.author()).map(|w| w.load).unwrap_or_default();
        let fits = self.total.fits(bytes, queue_requests_max, queue_bytes_max)
            && own.fits(bytes, queue_requests_max.div_ceil(2), queue_bytes_max.div_ceil(2));
        if !fits {
            return Err(pending);
        }
        let agent = pending.request.author().clone();
        let waiting = self.agents.entry(agent.clone()).or_default();
        if waiting.requests.is_empty() {
            self.turn.push_back(agent);
        }
        waiting.load.add(bytes);
        self.total.add(bytes);
        waiting.requests.push_back(pending);
        Ok(())
    }

    /// Empties the queue, and gives back what waited.
    pub fn clear(&mut self) -> Vec<Pending> {
        self.turn.clear();
        self.total = Load::default();
        self.agents.drain().flat_map(|(_, waiting)| waiting.requests).collect()
    }

    /// Takes the next batch, one request of each agent in turn. What nobody waits for any more, or what is past its
    /// deadline, is dropped.
    pub fn take(&mut self, now: Instant) -> Vec<Pending> {
        let mut batch = Vec::new();
        let (mut load, mut loads) = (Load::default(), 0);
        while let Some(agent) = self.turn.pop_front() {
            let Some(waiting) = self.agents.get_mut(&agent) else { continue };
            let Some(request) = waiting.requests.front().map(|p| &p.request) else { continue };
            let (bytes, needs) = (request.weight(), request.load_bytes_max());
            let fits = load.fits(bytes, self.limits.batch_requests_max, self.limits.batch_bytes_max)
                && (load.requests == 0 || loads + needs <= self.limits.batch_load_bytes_max);
            if !fits {
                self.turn.push_front(agent);
                break;
            }
            let pending = waiting.requests.pop_front().expect("the front was just seen");
            waiting.load.remove(bytes);
            self.total.remove(bytes);
            if waiting.requests.is_empty() {
                self.agents.remove(&agent);
            } else {
                self.turn.push_back(agent);
            }
            if pending.reply.is_closed() || !pending.ticket.take() {
                continue;
            }
            if pending.deadline <= now {
                // The caller may be gone by now, which is fine.
                let _ = pending.reply.send(Err(Error::DeadlineExceeded));
                continue;
            }
            load.add(bytes);
            loads += needs;
            batch.push(pending);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::{Budget, Scarce};
    use crate::domain::{
        limits::Limits,
        namespace::{EntryPath, Key, Namespace},
        request::{Condition, Operation},
    };

    const LIMITS: LaneLimits = LaneLimits {
        batch_requests_max: 4,
        batch_bytes_max: 1 << 20,
        batch_load_bytes_max: 1 << 20,
        queue_requests_max: 8,
        queue_bytes_max: 1 << 20,
    };

    fn pending(agent: &str, key: &str) -> (Pending, oneshot::Receiver<Result<Written, Error>>) {
        let path = EntryPath { namespace: Namespace::trusted("shared/x"), key: Key::trusted(key) };
        request(agent, vec![Operation::Delete { path, condition: Condition::Always }])
    }

    fn request(
        agent: &str,
        operations: Vec<Operation>,
    ) -> (Pending, oneshot::Receiver<Result<Written, Error>>) {
        let request = Request::write(AgentId::trusted(agent), None, operations, &Limits::default()).unwrap();
        let (reply, receiver) = oneshot::channel();
        let deadline = Instant::now() + std::time::Duration::from_secs(1);
        let permit = Budget::new(Scarce::BytesInFlight, 1).take(1).unwrap();
        (
            Pending {
                request: Arc::new(request),
                since: Instant::now(),
                deadline,
                ticket: Arc::new(Ticket::new(permit)),
                reply,
            },
            receiver,
        )
    }

    fn authors(batch: &[Pending]) -> Vec<&str> {
        batch.iter().map(|p| p.request.author().as_str()).collect()
    }

    #[tokio::test]
    async fn agents_take_turns() {
        let mut queue = Queue::new(LIMITS);
        let mut receivers = Vec::new();
        for (agent, key) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1"), ("c", "1")] {
            let (p, r) = pending(agent, key);
            assert!(queue.push(p).is_ok());
            receivers.push(r);
        }
        assert_eq!(authors(&queue.take(Instant::now())), ["a", "b", "c", "a"]);
        assert_eq!(authors(&queue.take(Instant::now())), ["a"]);
        assert!(queue.is_empty());
    }

    /// Each content that has to be seen counts for 256 KiB, whatever it has.
    #[tokio::test]
    async fn a_commit_loads_only_so_much() {
        let mut queue = Queue::new(LaneLimits { queue_requests_max: 16, ..LIMITS });
        let mut receivers = Vec::new();
        let path = |n: usize| EntryPath {
            namespace: Namespace::trusted("shared/x"),
            key: Key::trusted(&n.to_string()),
        };
        for gets in [2, 2, 1, 64, 1] {
            let gets = (0..gets).map(|n| Operation::Get { path: path(n) }).collect();
            let (p, r) = request("a", gets);
            assert!(queue.push(p).is_ok());
            receivers.push(r);
        }
        let batches: Vec<_> = (0..5).map(|_| queue.take(Instant::now()).len()).collect();
        assert_eq!(batches, [2, 1, 1, 1, 0], "the one that alone is too much goes alone");
    }

    #[tokio::test]
    async fn one_agent_cannot_fill_the_queue() {
        let mut queue = Queue::new(LIMITS);
        let mut receivers = Vec::new();
        for n in 0..8 {
            let (p, r) = pending("greedy", &n.to_string());
            assert_eq!(queue.push(p).is_ok(), n < 4, "{n}");
            receivers.push(r);
        }
        let (p, _r) = pending("modest", "1");
        assert!(queue.push(p).is_ok());
    }

    #[tokio::test]
    async fn what_nobody_waits_for_is_dropped() {
        let mut queue = Queue::new(LIMITS);
        let (gone, receiver) = pending("a", "gone");
        let (withdrawn, _r1) = pending("a", "withdrawn");
        let (late, mut r2) = pending("a", "late");
        let ticket = Arc::clone(&withdrawn.ticket);
        for p in [gone, withdrawn, Pending { deadline: Instant::now(), ..late }] {
            assert!(queue.push(p).is_ok());
        }
        drop(receiver);
        assert!(ticket.withdraw());
        assert!(queue.take(Instant::now()).is_empty());
        assert!(matches!(r2.try_recv(), Ok(Err(Error::DeadlineExceeded))));
        assert!(queue.is_empty());
    }
}
