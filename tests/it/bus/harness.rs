//! Commits to publish, and ears to hear them with.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use swarmem::{
    bus::{
        Bus as _, Message, State, Subscription,
        redis::{Address, RedisBus, RedisOptions},
    },
    domain::{
        commit::Commit,
        entry::{Body, Cause, Change, Version},
        namespace::{AgentId, EntryPath, Key, Namespace},
        position::TokenKey,
        swarm::{Incarnation, Mark, Nonce, Revision, SwarmId},
        time::Timestamp,
    },
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::process::PATIENCE;

pub fn key() -> TokenKey {
    TokenKey::new([5; 32])
}

pub fn address(port: u16) -> Address {
    Address { host: "127.0.0.1".to_owned(), port }
}

/// Quicker to notice than the defaults.
pub fn options(port: u16) -> RedisOptions {
    RedisOptions {
        heartbeat_interval: Duration::from_millis(200),
        retry_pause_max: Duration::from_millis(200),
        ..RedisOptions::single(address(port))
    }
}

/// A bus that works.
pub async fn open(options: RedisOptions) -> RedisBus {
    let bus = RedisBus::open(options, key());
    until_up(&bus).await;
    bus
}

pub async fn until_up(bus: &RedisBus) {
    let mut state = bus.state();
    let up = timeout(PATIENCE, state.wait_for(|state| *state == State::Up)).await.is_ok();
    assert!(up, "{:?}", *bus.state().borrow());
}

/// Waits until the bus is down, and says why it is.
pub async fn until_down(bus: &RedisBus) -> String {
    let mut state = bus.state();
    let down = timeout(PATIENCE, state.wait_for(|state| *state != State::Up)).await;
    match &*down.expect("the bus is to be down").unwrap() {
        State::Down(why) => why.to_string(),
        State::Up => unreachable!(),
    }
}

/// A swarm in which something happens.
pub struct Swarm {
    pub id: SwarmId,
    incarnation: Incarnation,
    last: Mutex<Mark>,
}

impl Swarm {
    pub fn new(name: &str) -> Self {
        let id = SwarmId::parse(name).unwrap();
        Self { id, incarnation: Incarnation(Uuid::new_v4()), last: Mutex::default() }
    }

    /// The next commit: of two revisions, with so many bytes.
    pub fn commit(&self, bytes: usize) -> Arc<Commit> {
        let mut last = self.last.lock().unwrap();
        let (prev, nonce) = (*last, Nonce(Uuid::new_v4().into_bytes()));
        let mark = |n| Mark { revision: Revision(prev.revision.0 + n), nonce };
        *last = mark(2);
        let versions = (1..=2).map(|n| Arc::new(version(mark(n), bytes / 2))).collect();
        Arc::new(Commit { incarnation: self.incarnation, prev, last: mark(2), versions })
    }

    pub fn say(&self, bus: &RedisBus, bytes: usize) -> Arc<Commit> {
        let commit = self.commit(bytes);
        bus.publish(&self.id, &commit);
        commit
    }

    pub async fn listen(&self, bus: &RedisBus) -> Ear {
        Ear(bus.subscribe(&self.id).await)
    }
}

fn version(mark: Mark, bytes: usize) -> Version {
    let time = Timestamp::from_micros(7);
    Version {
        path: EntryPath { namespace: Namespace::trusted("shared/a"), key: Key::trusted("k") },
        mark,
        ordinal: 0,
        change: Change::Put,
        cause: Cause::Write,
        author: AgentId::trusted("ann"),
        time,
        create_revision: mark.revision,
        create_time: time,
        version: 1,
        expire_time: None,
        content_bytes: bytes as u64,
        body: Body { content: "x".repeat(bytes).into(), ..Body::default() },
    }
}

/// A subscription, listened to.
pub struct Ear(Box<dyn Subscription>);

impl Ear {
    pub async fn next(&mut self) -> Message {
        timeout(PATIENCE, self.0.next()).await.expect("something is to be heard")
    }

    pub async fn hears(&mut self, commit: &Arc<Commit>) {
        match self.next().await {
            Message::Commit(heard) => assert_eq!(heard, *commit),
            other => panic!("{other:?} instead of a commit"),
        }
    }

    pub async fn hears_gap(&mut self) {
        let heard = self.next().await;
        assert!(matches!(heard, Message::Gap), "{heard:?} instead of a gap");
    }
}
