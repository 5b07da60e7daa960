//! Who listens to which swarm, and what waits for them. Knows nothing of connections: it is told what arrived, what is
//! confirmed, and what was interrupted.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use super::counters::Counters;
use crate::{bus::Message, domain::swarm::SwarmId};

/// All subscriptions of one bus.
pub(super) struct Registry {
    state: Mutex<State>,
    /// Something changed that the connections have to follow.
    pub changed: Notify,
    backlog: Arc<Backlog>,
    counters: Arc<Counters>,
}

#[derive(Default)]
struct State {
    channels: HashMap<Arc<str>, Channel>,
    /// Channels that came or went since somebody looked.
    changed: HashSet<Arc<str>>,
}

struct Channel {
    swarm: SwarmId,
    /// The server has confirmed the subscription, and nothing was interrupted since.
    confirmed: bool,
    inboxes: Vec<Arc<Inbox>>,
}

/// What may wait, for one subscriber and for all.
struct Backlog {
    messages_max: usize,
    bytes_max: usize,
    bytes: AtomicUsize,
}

/// What waits for one subscriber.
pub(super) struct Inbox {
    state: Mutex<Waiting>,
    arrived: Notify,
    backlog: Arc<Backlog>,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<(Message, usize)>,
    /// Something was missed. It goes before all that waits, and replaces what was dropped.
    gap: bool,
    /// Whoever subscribes still waits for the confirmation: until then nothing was promised.
    subscribing: bool,
}

impl Registry {
    pub fn new(messages_max: usize, bytes_max: usize, counters: Arc<Counters>) -> Self {
        let backlog = Backlog { messages_max, bytes_max, bytes: AtomicUsize::new(0) };
        Self { state: Mutex::default(), changed: Notify::new(), backlog: Arc::new(backlog), counters }
    }

    /// A new subscriber, who waits for the confirmation unless it is there.
    pub fn add(&self, channel: &Arc<str>, swarm: &SwarmId) -> Arc<Inbox> {
        let mut state = self.state();
        let State { channels, changed } = &mut *state;
        let entry = channels.entry(Arc::clone(channel)).or_insert_with(|| {
            changed.insert(Arc::clone(channel));
            Channel { swarm: swarm.clone(), confirmed: false, inboxes: Vec::new() }
        });
        let inbox = Arc::new(Inbox {
            state: Mutex::new(Waiting { subscribing: !entry.confirmed, ..Waiting::default() }),
            arrived: Notify::new(),
            backlog: Arc::clone(&self.backlog),
        });
        entry.inboxes.push(Arc::clone(&inbox));
        drop(state);
        self.changed.notify_one();
        inbox
    }

    pub fn remove(&self, channel: &Arc<str>, inbox: &Arc<Inbox>) {
        let mut state = self.state();
        let State { channels, changed } = &mut *state;
        let Some(entry) = channels.get_mut(channel) else { return };
        entry.inboxes.retain(|other| !Arc::ptr_eq(other, inbox));
        if entry.inboxes.is_empty() {
            channels.remove(channel);
            changed.insert(Arc::clone(channel));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// The channels that came or went since the last call; whether each is wanted.
    pub fn take_changed(&self) -> Vec<(Arc<str>, bool)> {
        let mut state = self.state();
        let changed = std::mem::take(&mut state.changed);
        changed
            .into_iter()
            .map(|channel| (state.channels.contains_key(&channel), channel))
            .map(swap)
            .collect()
    }

    pub fn is_wanted(&self, channel: &str) -> bool {
        self.state().channels.contains_key(channel)
    }

    /// The swarm of a channel, if somebody listens to it.
    pub fn swarm(&self, channel: &str) -> Option<SwarmId> {
        self.state().channels.get(channel).map(|entry| entry.swarm.clone())
    }

    /// A message arrived; it weighs about so many bytes.
    pub fn deliver(&self, channel: &str, message: &Message, bytes: usize) {
        let state = self.state();
        for inbox in state.channels.get(channel).into_iter().flat_map(|entry| &entry.inboxes) {
            match message {
                Message::Gap => self.gap(inbox),
                message if inbox.push(message, bytes) => {}
                _ => self.gap(inbox),
            }
        }
    }

    /// The server confirmed the subscription. Whoever did not hear from it until now has a gap.
    pub fn confirm(&self, channel: &str) {
        let mut state = self.state();
        let Some(entry) = state.channels.get_mut(channel) else { return };
        entry.confirmed = true;
        for inbox in &entry.inboxes {
            if !inbox.confirm() {
                self.gap(inbox);
            }
        }
    }

    /// The server will not send what is published in this channel any more, or has not for a while.
    pub fn interrupt(&self, channel: &str) {
        if let Some(entry) = self.state().channels.get_mut(channel) {
            entry.confirmed = false;
        }
    }

    fn gap(&self, inbox: &Inbox) {
        Counters::add(&self.counters.gaps, 1);
        inbox.gap();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

fn swap((wanted, channel): (bool, Arc<str>)) -> (Arc<str>, bool) {
    (channel, wanted)
}

impl Inbox {
    /// Waits until the subscription is confirmed. Cancel-safe.
    pub async fn confirmed(&self) {
        while self.state().subscribing {
            self.arrived.notified().await;
        }
    }

    /// Does not wait for the confirmation any more: if it is still to come, a gap comes with it.
    pub fn give_up_waiting(&self) {
        self.state().subscribing = false;
    }

    /// The next message. Cancel-safe.
    pub async fn next(&self) -> Message {
        loop {
            if let Some(message) = self.take() {
                return message;
            }
            self.arrived.notified().await;
        }
    }

    fn take(&self) -> Option<Message> {
        let mut state = self.state();
        if std::mem::take(&mut state.gap) {
            return Some(Message::Gap);
        }
        let (message, bytes) = state.messages.pop_front()?;
        self.backlog.bytes.fetch_sub(bytes, Ordering::Relaxed);
        Some(message)
    }

    /// False if there is no room.
    fn push(&self, message: &Message, bytes: usize) -> bool {
        let mut state = self.state();
        let backlog = &self.backlog;
        if state.messages.len() >= backlog.messages_max
            || backlog.bytes.load(Ordering::Relaxed).saturating_add(bytes) > backlog.bytes_max
        {
            return false;
        }
        backlog.bytes.fetch_add(bytes, Ordering::Relaxed);
        state.messages.push_back((message.clone(), bytes));
        drop(state);
        self.arrived.notify_one();
        true
    }

    /// False if nobody waited for it.
    fn confirm(&self) -> bool {
        let waited = std::mem::take(&mut self.state().subscribing);
        self.arrived.notify_one();
        waited
    }

    fn gap(&self) {
        let mut state = self.state();
        // What waits is in the log, too, where the gap sends the subscriber.
        self.forget(&mut state);
        state.gap = true;
        drop(state);
        self.arrived.notify_one();
    }

    fn forget(&self, state: &mut Waiting) {
        let bytes: usize = state.messages.drain(..).map(|(_, bytes)| bytes).sum();
        self.backlog.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        let waiting = std::mem::take(self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner));
        let bytes: usize = waiting.messages.iter().map(|(_, bytes)| bytes).sum();
        self.backlog.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::swarm::{Incarnation, Mark};

    fn registry(messages_max: usize, bytes_max: usize) -> (Registry, Arc<str>, SwarmId) {
        let registry = Registry::new(messages_max, bytes_max, Arc::default());
        (registry, "c".into(), SwarmId::trusted("s"))
    }

    fn moved() -> Message {
        Message::Moved(Incarnation::default(), Mark::default())
    }

    fn taken(inbox: &Inbox) -> Vec<&'static str> {
        let name = |message| match message {
            Message::Gap => "gap",
            Message::Moved(..) => "moved",
            _ => "other",
        };
        std::iter::from_fn(|| inbox.take()).map(name).collect()
    }

    #[tokio::test]
    async fn a_confirmation_that_was_waited_for_is_no_gap() {
        let (registry, channel, swarm) = registry(9, 9);
        let first = registry.add(&channel, &swarm);
        let impatient = registry.add(&channel, &swarm);
        impatient.give_up_waiting();
        registry.confirm(&channel);
        first.confirmed().await;
        let late = registry.add(&channel, &swarm);
        late.confirmed().await;
        assert_eq!(taken(&first), Vec::<&str>::new());
        assert_eq!(taken(&impatient), ["gap"]);
        assert_eq!(taken(&late), Vec::<&str>::new());
        // From here on it was promised.
        registry.interrupt(&channel);
        let meanwhile = registry.add(&channel, &swarm);
        registry.confirm(&channel);
        meanwhile.confirmed().await;
        for inbox in [&first, &impatient, &late] {
            assert_eq!(taken(inbox), ["gap"]);
        }
        assert_eq!(taken(&meanwhile), Vec::<&str>::new());
    }

    #[test]
    fn a_full_inbox_has_a_gap_and_goes_on() {
        let (registry, channel, swarm) = registry(3, 1000);
        let inbox = registry.add(&channel, &swarm);
        for _ in 0..3 {
            registry.deliver(&channel, &moved(), 1);
        }
        assert_eq!(taken(&inbox), ["moved"; 3]);
        for _ in 0..5 {
            registry.deliver(&channel, &moved(), 1);
        }
        assert_eq!(taken(&inbox), ["gap", "moved"]);
    }

    #[test]
    fn what_waits_for_all_is_bounded_and_given_back() {
        let (registry, channel, swarm) = registry(100, 10);
        let (inbox, other) = (registry.add(&channel, &swarm), registry.add(&channel, &swarm));
        registry.deliver(&channel, &moved(), 5);
        assert_eq!(registry.backlog.bytes.load(Ordering::Relaxed), 10);
        registry.deliver(&channel, &moved(), 1);
        assert_eq!(taken(&inbox), ["gap"]);
        registry.remove(&channel, &other);
        drop(other);
        assert_eq!(registry.backlog.bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn changes_are_told_once() {
        let (registry, channel, swarm) = registry(9, 9);
        let (inbox, other) = (registry.add(&channel, &swarm), registry.add(&channel, &swarm));
        assert_eq!(registry.take_changed(), [(Arc::clone(&channel), true)]);
        registry.remove(&channel, &other);
        assert_eq!(registry.take_changed(), []);
        registry.remove(&channel, &inbox);
        assert_eq!(registry.take_changed(), [(channel, false)]);
    }
}
