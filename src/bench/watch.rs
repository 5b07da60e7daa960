//! The load of watchers. Knows nothing of what is written, nor of loops.

use std::time::Instant;

use super::{
    audience::{Arrival, Look, Subscription},
    latency::Latency,
    material::{NAMESPACE, share},
};
use crate::{
    client::{self, Client, Error},
    wire::v1,
};

/// One open watch of everything that a bench writes.
pub struct Watch(client::Watch);

impl Watch {
    /// Opens it, and waits until the coordinator has said that it stands.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open(client: &Client) -> Result<Self, Error> {
        let filter = v1::Filter { prefixes: vec![NAMESPACE.to_owned()], ..v1::Filter::default() };
        let request = v1::WatchRequest { filter: Some(filter), ..v1::WatchRequest::default() };
        let mut watch = Self(client.watch(request).await?);
        watch.next(Look::Counts).await?;
        Ok(watch)
    }
}

impl Subscription for Watch {
    type Error = Error;

    async fn next(&mut self, look: Look) -> Result<Arrival, Error> {
        let response = self.0.next().await?.ok_or(Error::Protocol("the watch ended without a word"))?;
        let events = match look {
            Look::Counts => response.events.len(),
            Look::Decodes => {
                let events = response.decode_events();
                events.map_err(|_| Error::Protocol("an event cannot be read"))?.len()
            }
        };
        Ok(Arrival { events: events as u64, last: response.revision })
    }
}

/// Opens so many, spread evenly over the connections; one after the other on each. Returns how long each took.
///
/// # Errors
/// The first error.
pub async fn open(clients: &[Client], watchers: usize) -> Result<(Vec<Watch>, Latency), Error> {
    let share = |index: usize| share(watchers, clients.len(), index);
    let openings = clients.iter().enumerate().map(|(index, client)| open_on(client, share(index)));
    let mut all = Vec::with_capacity(watchers);
    let mut latency = Latency::default();
    for opened in futures_util::future::join_all(openings).await {
        let (watches, took) = opened?;
        all.extend(watches);
        latency.add(&took);
    }
    Ok((all, latency))
}

async fn open_on(client: &Client, watchers: usize) -> Result<(Vec<Watch>, Latency), Error> {
    let mut watches = Vec::with_capacity(watchers);
    let mut latency = Latency::default();
    for _ in 0..watchers {
        let begun = Instant::now();
        watches.push(Watch::open(client).await?);
        latency.record(begun.elapsed());
    }
    Ok((watches, latency))
}
