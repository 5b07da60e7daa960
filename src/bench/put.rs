//! The load of writers. Knows nothing of loops.

use super::{
    Operation,
    material::{Keys, NAMESPACE},
};
use crate::{
    client::{Client, Error},
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
