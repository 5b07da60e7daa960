//! The Rust client against coordinators that die, drain, fall silent and refuse. Knows the coordinator only by its protocol.

mod calls;
mod deadlines;
mod lasting;
pub mod proxy;
mod reads;
pub mod scripted;
mod strangers;
mod watches;

use std::time::Duration;

use swarmem::{
    client::{Backoff, Client, Options, Role, Watch},
    wire::{WatchResponse, WatchResponseType, v1},
};
use tokio::time::timeout;

use crate::process::PATIENCE;

/// Options of a client that is patient on the whole, and quick in what it does.
pub fn options(agent: &str, role: Role) -> Options {
    let defaults = Options::new("default", agent, role);
    let quick = Backoff { first: Duration::from_millis(5), max: Duration::from_millis(100) };
    Options {
        call_timeout: PATIENCE,
        reconnect: quick,
        retry: defaults.retry.map(|retry| swarmem::client::Retry { backoff: quick, ..retry }),
        ..defaults
    }
}

pub async fn connect(address: &str, options: Options) -> Client {
    Client::connect(&address.parse().unwrap(), options).await.unwrap()
}

pub fn from_revision(revision: u64) -> v1::WatchRequest {
    v1::WatchRequest {
        start: Some(v1::watch_request::Start::Revision(revision)),
        bookmark_interval: Duration::from_millis(100).try_into().ok(),
        ..Default::default()
    }
}

pub fn with_snapshot() -> v1::WatchRequest {
    v1::WatchRequest { start: Some(v1::watch_request::Start::Snapshot(true)), ..from_revision(0) }
}

async fn next(watch: &mut Watch) -> WatchResponse {
    timeout(PATIENCE, watch.next()).await.expect("something happens").unwrap().expect("it goes on")
}

/// What a watch received, checked as it came.
#[derive(Default)]
pub struct Received {
    pub snapshot: Vec<v1::Entry>,
    pub snapshot_revision: u64,
    snapshot_ended: bool,
    pub events: Vec<v1::Event>,
    /// Parts of snapshots and revisions that were received.
    pub parts: usize,
    pub amid: bool,
    pub reached: u64,
}

impl Received {
    pub fn take(&mut self, response: &WatchResponse) {
        let kind = response.r#type();
        if self.amid {
            assert_ne!(kind, WatchResponseType::Bookmark, "nothing comes between parts");
        }
        match kind {
            WatchResponseType::Snapshot | WatchResponseType::SnapshotEnd => {
                assert!(!self.snapshot_ended && self.events.is_empty(), "one snapshot, at the beginning");
                assert!([0, response.revision].contains(&self.snapshot_revision), "of one revision");
                self.snapshot_revision = response.revision;
                self.snapshot_ended = kind == WatchResponseType::SnapshotEnd;
                self.snapshot.extend(response.decode_entries().unwrap());
                self.amid = !self.snapshot_ended;
            }
            _ => {
                self.events.extend(response.decode_events().unwrap());
                self.amid = response.fragment;
            }
        }
        self.parts += usize::from(self.amid);
        if !self.amid {
            assert!(response.revision >= self.reached, "it never goes back");
            self.reached = response.revision;
        }
    }

    async fn up_to(watch: &mut Watch, revision: u64) -> Self {
        let mut received = Self::default();
        received.follow(watch, revision).await;
        received
    }

    pub async fn follow(&mut self, watch: &mut Watch, revision: u64) {
        while self.amid || self.reached < revision {
            self.take(&next(watch).await);
        }
    }
}

/// All that happened from the beginning to a revision, read by a client that nothing happens to.
pub async fn log(client: &Client, revision: u64) -> Vec<v1::Event> {
    let mut watch = client.watch_once(from_revision(1)).await.unwrap();
    let mut received = Received::default();
    while received.amid || received.reached < revision {
        let response = timeout(PATIENCE, watch.next()).await.unwrap().unwrap().unwrap();
        received.take(&response);
    }
    received.events.retain(|event| event.revision <= revision);
    received.events
}
