//! One watcher of the demo: receives events, keeps what the proof needs, and lets its agent learn from them. Knows
//! nothing of what was written.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{
    agent::{Knowledge, SHARED_PARAGRAPHS},
    proof::{Order, Received, Seen, is_shared},
};
use crate::{
    client::{Client, Error, Watch},
    wire::{WatchResponse, v1},
};

/// How soon an idle watcher hears that it has seen everything.
const BOOKMARK_INTERVAL: Duration = Duration::from_millis(100);

/// A watcher at work.
pub(super) struct Watcher {
    watch: Watch,
    received: Received,
    order: Order,
    /// What its agent learns; None: nobody learns.
    knowledge: Option<Arc<Mutex<Knowledge>>>,
    /// Tells the revision up to which everything was seen.
    reached: watch::Sender<u64>,
    /// Tells the revision to stop at, once it is known.
    until: watch::Receiver<Option<u64>>,
}

impl Watcher {
    /// Opens a watch of everything the client may read, from a revision on.
    pub(super) async fn open(
        client: &Client,
        revision: u64,
        private: Option<String>,
        knowledge: Option<Arc<Mutex<Knowledge>>>,
        until: watch::Receiver<Option<u64>>,
    ) -> Result<(Self, watch::Receiver<u64>), Error> {
        let request = v1::WatchRequest {
            start: Some(v1::watch_request::Start::Revision(revision)),
            bookmark_interval: crate::wire::Duration::try_from(BOOKMARK_INTERVAL).ok(),
            ..Default::default()
        };
        let received = Received {
            watcher: client.options().agent.clone(),
            private,
            events: Vec::new(),
            shared: 0,
            order: String::new(),
        };
        let (reached, seen) = watch::channel(revision - 1);
        let watch = client.watch(request).await?;
        Ok((Self { watch, received, order: Order::default(), knowledge, reached, until }, seen))
    }

    /// Receives until everything up to the last revision was seen.
    pub(super) async fn follow(mut self) -> Result<Received, Error> {
        loop {
            if self.until.borrow().is_some_and(|last| *self.reached.borrow() >= last) {
                self.received.order = self.order.finish();
                return Ok(self.received);
            }
            // Both may be cancelled: neither loses anything.
            let response = tokio::select! {
                response = self.watch.next() => response?,
                Ok(()) = self.until.changed() => continue,
            };
            let at = Instant::now();
            match response {
                Some(response) => self.take(&response, at)?,
                None => return Err(Error::Protocol("a watch ended without an error")),
            }
        }
    }

    fn take(&mut self, response: &WatchResponse, at: Instant) -> Result<(), Error> {
        let events = response.decode_events();
        for event in events.map_err(|_| Error::Protocol("a watch response holds what is no event"))? {
            let shared = event.entry.as_ref().is_some_and(|entry| is_shared(&entry.namespace));
            if shared {
                self.order.add(&event);
                self.received.shared += 1;
            }
            let entry = event.entry.unwrap_or_default();
            if let Some(knowledge) = &self.knowledge
                && entry.namespace.starts_with(SHARED_PARAGRAPHS)
            {
                knowledge.lock().unwrap_or_else(PoisonError::into_inner).learn(&entry);
            }
            self.received.events.push(Seen {
                revision: event.revision,
                ordinal: event.ordinal,
                namespace: entry.namespace,
                key: entry.key,
                at,
            });
        }
        if !response.fragment {
            self.reached.send_if_modified(|reached| {
                let moved = response.revision > *reached;
                *reached = response.revision.max(*reached);
                moved
            });
        }
        Ok(())
    }
}
