//! The load of readers. Knows nothing of loops.

use super::{
    Operation,
    material::{Keys, NAMESPACE},
};
use crate::{
    client::{Client, Error},
    wire::v1,
};

/// One reader that gets entries, each with a call of its own.
#[derive(Clone, Debug)]
pub struct Get {
    /// Over whose connection.
    pub client: Client,
    /// Which.
    pub keys: Keys,
    /// How fresh; None: the coordinator's default.
    pub consistency: Option<v1::Consistency>,
}

impl Operation for Get {
    type Output = ();
    type Error = Error;

    async fn run(&mut self) -> Result<(), Error> {
        let name = v1::EntryName { namespace: NAMESPACE.to_owned(), key: self.keys.draw() };
        self.client.get(name, self.consistency.clone()).await.map(drop)
    }
}
