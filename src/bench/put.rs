//! The load of writers. Knows nothing of loops.

use std::{collections::VecDeque, time::Instant};

use super::{
    Operation,
    material::{Keys, NAMESPACE},
};
use crate::{
    client::{Answer, Client, Error, WriteStream},
    wire::v1,
};

/// One writer that puts entries, each with a call of its own.
#[derive(Clone, Debug)]
pub struct Put {
    /// Over whose connection.
    pub client: Client,
    /// Where to.
    pub keys: Keys,
    /// What.
    pub content: String,
}

impl Operation for Put {
    /// The revision of the write.
    type Output = u64;
    type Error = Error;

    async fn run(&mut self) -> Result<u64, Error> {
        let put = self.client.put(entry(self.keys.draw(), self.content.clone())).await?;
        Ok(put.result.unwrap_or_default().revision)
    }
}

/// A stream of writes that is kept full: as soon as the oldest is answered, the next is sent.
pub struct Pipeline {
    stream: WriteStream,
    unanswered: VecDeque<(Instant, Answer<v1::PutResponse>)>,
    depth: usize,
    began: Option<Instant>,
    keys: Keys,
    content: String,
}

impl Pipeline {
    /// With so many writes in flight.
    #[must_use]
    pub fn new(Put { client, keys, content }: Put, depth: usize) -> Self {
        let stream = client.write_stream(depth);
        Self { stream, unanswered: VecDeque::with_capacity(depth), depth, began: None, keys, content }
    }

    async fn send(&mut self) -> Result<(), Error> {
        let begun = Instant::now();
        let answer = self.stream.put(entry(self.keys.draw(), self.content.clone())).await?;
        self.unanswered.push_back((begun, answer));
        Ok(())
    }

    async fn answer(&mut self) -> Result<u64, Error> {
        let Some((begun, answer)) = self.unanswered.pop_front() else { return Ok(0) };
        let put = answer.await?;
        self.began = Some(begun);
        Ok(put.result.unwrap_or_default().revision)
    }
}

impl Operation for Pipeline {
    /// The revision of the write.
    type Output = u64;
    type Error = Error;

    async fn run(&mut self) -> Result<u64, Error> {
        while self.unanswered.len() < self.depth {
            self.send().await?;
        }
        self.answer().await
    }

    fn began(&self) -> Option<Instant> {
        self.began
    }

    async fn finish(&mut self) -> Result<u64, Error> {
        let left = self.unanswered.len() as u64;
        while !self.unanswered.is_empty() {
            self.answer().await?;
        }
        Ok(left)
    }
}

/// The entry that a load writes under a key.
#[must_use]
pub fn entry(key: String, content: String) -> v1::PutOperation {
    v1::PutOperation { namespace: NAMESPACE.to_owned(), key, content, ..v1::PutOperation::default() }
}

/// Writes the entries of a set before anybody reads or rewrites them.
///
/// # Errors
/// As [`Client::batch_put`].
pub async fn fill(client: &Client, distinct: u64, content: &str) -> Result<(), Error> {
    const BATCH: u64 = 500;
    // A batch stays well below what a request may hold.
    let batch = BATCH.min(2 * 1024 * 1024 / (content.len() as u64 + 256)).max(1);
    let mut first = 0;
    while first < distinct {
        let past = distinct.min(first + batch);
        let puts = (first..past).map(|number| entry(super::material::key(number), content.to_owned()));
        client.batch_put(puts.collect()).await?;
        first = past;
    }
    Ok(())
}
