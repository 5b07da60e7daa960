//! What makes the demo a proof: the order each watcher saw, folded into one hash, and the search for gaps. Knows
//! nothing of how events arrived.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::wire::v1;

/// A write that was acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Ack {
    pub revision: u64,
    pub namespace: String,
    pub key: String,
    /// When its call began.
    pub started: Instant,
    /// How long the call took.
    pub latency: Duration,
}

/// An event that a watcher received.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub revision: u64,
    pub ordinal: u32,
    pub namespace: String,
    pub key: String,
    pub at: Instant,
}

/// All that a watcher received.
#[derive(Clone, Debug)]
pub(super) struct Received {
    /// The watcher's name.
    pub watcher: String,
    /// The namespace below which it sees private memory; None: it sees everything.
    pub private: Option<String>,
    pub events: Vec<Seen>,
    /// How many of the events are of shared memory.
    pub shared: usize,
    /// The order of the shared events.
    pub order: String,
}

impl Received {
    fn may_see(&self, namespace: &str) -> bool {
        match &self.private {
            None => true,
            Some(own) => is_shared(namespace) || is_below(namespace, own),
        }
    }
}

pub(super) fn is_shared(namespace: &str) -> bool {
    is_below(namespace, "shared")
}

fn is_below(namespace: &str, prefix: &str) -> bool {
    namespace.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Folds events in the order of their arrival into one hash: a swap, a gap or a repeat changes it.
#[derive(Clone, Default)]
pub(super) struct Order(blake3::Hasher);

impl Order {
    pub(super) fn add(&mut self, event: &v1::Event) {
        self.0.update(&event.revision.to_be_bytes());
        self.0.update(&event.ordinal.to_be_bytes());
        self.0.update(&event.r#type.to_be_bytes());
        let (namespace, key, content) = event
            .entry
            .as_ref()
            .map_or(("", "", ""), |entry| (&*entry.namespace, &*entry.key, &*entry.content));
        // Lengths first, so that no two sequences of texts look the same.
        for text in [namespace, key] {
            self.0.update(&(text.len() as u64).to_be_bytes());
            self.0.update(text.as_bytes());
        }
        self.0.update(blake3::hash(content.as_bytes()).as_bytes());
    }

    pub(super) fn finish(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}

/// Says what is wrong with what was received, one line per watcher at most. Nothing: every acknowledged write
/// reached every watcher that may see it exactly once, in increasing order, and nothing else did.
pub(super) fn faults(acks: &[Ack], received: &[Received]) -> Vec<String> {
    let mut acks: Vec<_> = acks.iter().collect();
    acks.sort_by_key(|ack| ack.revision);
    let doubled = acks.windows(2).find(|pair| pair[0].revision == pair[1].revision);
    let doubled = doubled.map(|pair| format!("revision {} was acknowledged twice", pair[0].revision));
    let each = received.iter().filter_map(|received| {
        let expected: Vec<_> = acks.iter().copied().filter(|ack| received.may_see(&ack.namespace)).collect();
        first_fault(&expected, &received.events).map(|fault| format!("{} {fault}", received.watcher))
    });
    doubled.into_iter().chain(each).collect()
}

fn first_fault(expected: &[&Ack], events: &[Seen]) -> Option<String> {
    let place = |event: &Seen| (event.revision, event.ordinal);
    if let Some(pair) = events.windows(2).find(|pair| place(&pair[0]) >= place(&pair[1])) {
        let ((before, _), (after, _)) = (place(&pair[0]), place(&pair[1]));
        return Some(format!("received revision {after} behind revision {before}"));
    }
    for (ack, event) in expected.iter().zip(events) {
        if ack.revision < event.revision {
            return Some(format!("missed revision {}", ack.revision));
        }
        if ack.revision > event.revision || ack.namespace != event.namespace || ack.key != event.key {
            return Some(format!("received at revision {} what was not written there", event.revision));
        }
    }
    match (expected.get(events.len()), events.get(expected.len())) {
        (Some(ack), _) => Some(format!("missed revision {}", ack.revision)),
        (_, Some(event)) => {
            Some(format!("received at revision {} what was not written there", event.revision))
        }
        (None, None) => None,
    }
}

/// From the beginning of each put's call to each of its arrivals.
pub(super) fn put_to_watch(acks: &[Ack], received: &[Received]) -> Vec<Duration> {
    let started: HashMap<_, _> = acks.iter().map(|ack| (ack.revision, ack.started)).collect();
    let events = received.iter().flat_map(|received| &received.events);
    events
        .filter_map(|event| Some(event.at.saturating_duration_since(*started.get(&event.revision)?)))
        .collect()
}

/// The smallest sample that so many per cent of all samples do not exceed, in microseconds; 0 without samples.
/// The samples are sorted.
pub(super) fn percentile_us(samples: &[Duration], per_cent: usize) -> u64 {
    let rank = (samples.len() * per_cent).div_ceil(100);
    let sample = samples.get(rank.saturating_sub(1)).copied().unwrap_or_default();
    u64::try_from(sample.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(revision: u64, key: &str, content: &str) -> v1::Event {
        let entry = v1::Entry {
            namespace: "shared/a".into(),
            key: key.into(),
            content: content.into(),
            ..Default::default()
        };
        v1::Event { r#type: 1, entry: Some(entry), revision, ..Default::default() }
    }

    fn order(events: &[v1::Event]) -> String {
        let mut order = Order::default();
        events.iter().for_each(|event| order.add(event));
        order.finish()
    }

    #[test]
    fn the_hash_of_an_order_tells_every_difference() {
        let (a, b, c) = (event(1, "a", "x"), event(2, "b", "y"), event(3, "c", "z"));
        let whole = order(&[a.clone(), b.clone(), c.clone()]);
        assert_eq!(whole, order(&[a.clone(), b.clone(), c.clone()]));
        assert_eq!(whole.len(), 64);
        let others = [
            order(&[a.clone(), c.clone(), b.clone()]),
            order(&[a.clone(), c.clone()]),
            order(&[a.clone(), b.clone(), b.clone(), c.clone()]),
            order(&[a.clone(), b.clone(), event(3, "c", "Z")]),
            order(&[a.clone(), b.clone(), event(3, "d", "z")]),
            order(&[a.clone(), b.clone(), v1::Event { ordinal: 1, ..c.clone() }]),
            order(&[a, b, v1::Event { r#type: 2, ..c }]),
        ];
        assert!(others.iter().all(|other| *other != whole));
        // What moves from one field to the next does not go unseen.
        let mut moved = event(1, "b", "x");
        moved.entry.as_mut().unwrap().namespace = "shared/".into();
        let mut other = event(1, "/b", "x");
        other.entry.as_mut().unwrap().namespace = "shared".into();
        assert_ne!(order(&[moved]), order(&[other]));
    }

    fn ack(revision: u64, namespace: &str) -> Ack {
        Ack {
            revision,
            namespace: namespace.into(),
            key: revision.to_string(),
            started: Instant::now(),
            latency: Duration::ZERO,
        }
    }

    fn seen(ack: &Ack) -> Seen {
        Seen {
            revision: ack.revision,
            ordinal: 0,
            namespace: ack.namespace.clone(),
            key: ack.key.clone(),
            at: ack.started + Duration::from_millis(1),
        }
    }

    fn received(private: Option<&str>, acks: &[&Ack]) -> Received {
        Received {
            watcher: "w".into(),
            private: private.map(str::to_owned),
            events: acks.iter().map(|ack| seen(ack)).collect(),
            shared: 0,
            order: String::new(),
        }
    }

    #[test]
    fn a_watcher_must_see_what_it_may_see_and_nothing_else() {
        let acks = [ack(3, "shared/x"), ack(1, "shared/x"), ack(2, "agents/a/r"), ack(4, "agents/ab/r")];
        let [third, first, own, other] = &acks;
        let fault = |private, seen: &[&Ack]| faults(&acks, &[received(private, seen)]).pop();

        assert_eq!(fault(None, &[first, own, third, other]), None);
        assert_eq!(fault(Some("agents/a"), &[first, own, third]), None);
        assert_eq!(fault(Some("agents/a"), &[first, third]), Some("w missed revision 2".into()));
        assert_eq!(fault(Some("agents/a"), &[first, own]), Some("w missed revision 3".into()));
        assert_eq!(
            fault(Some("agents/a"), &[own, first, third]),
            Some("w received revision 1 behind revision 2".into())
        );
        assert_eq!(
            fault(Some("agents/a"), &[first, own, own, third]),
            Some("w received revision 2 behind revision 2".into())
        );
        assert_eq!(
            fault(Some("agents/a"), &[first, own, third, other]),
            Some("w received at revision 4 what was not written there".into())
        );
        let elsewhere = ack(1, "shared/y");
        assert_eq!(
            fault(Some("agents/a"), &[&elsewhere, own, third]),
            Some("w received at revision 1 what was not written there".into())
        );
    }

    #[test]
    fn a_revision_is_acknowledged_once() {
        let acks = [ack(1, "shared/x"), ack(1, "shared/y")];
        assert_eq!(faults(&acks, &[]), ["revision 1 was acknowledged twice"]);
    }

    #[test]
    fn latency_is_counted_from_the_call_to_each_arrival() {
        let acks = [ack(1, "shared/x")];
        let latencies = put_to_watch(&acks, &[received(None, &[&acks[0]]), received(None, &[&acks[0]])]);
        assert_eq!(latencies, [Duration::from_millis(1); 2]);
    }

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile_us(&samples, 50), 100);
        assert_eq!(percentile_us(&samples, 99), 198);
        assert_eq!(percentile_us(&samples[..1], 99), 1);
        assert_eq!(percentile_us(&[], 50), 0);
    }
}
