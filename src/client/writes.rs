//! The calls that change entries: each under a request id, which stays the same however often the call has to be made. Knows
//! nothing of how it is repeated.

use tonic::{Response, Status};
use uuid::Uuid;

use super::{
    Client, Error, Transport,
    attempts::Effect,
    memory_on,
    newest::{Basis, Stand},
};
use crate::wire::v1::{self, memory_service_client::MemoryServiceClient};

/// A client whose next write is made under a request id of the caller's; see [`Client::with_request_id`].
#[derive(Clone, Debug)]
pub struct Identified<'a> {
    client: &'a Client,
    request_id: String,
    /// What the answer's state may be compared with.
    basis: Basis,
}

/// A request id of its own for each write, so that a repeated request is recognised.
pub(super) fn request_id() -> String {
    Uuid::now_v7().to_string()
}

impl Client {
    /// Writes under a request id of the caller's own: unique for its swarm and agent, up to 128 bytes without control characters,
    /// remembered for 24 hours. The same write under the same id is done once, and answers as it did then; so a caller that keeps
    /// the id can come back to a write whose outcome it does not know, also from another process.
    #[must_use]
    pub fn with_request_id(&self, request_id: impl Into<String>) -> Identified<'_> {
        // It may have been done long ago.
        Identified { client: self, request_id: request_id.into(), basis: Basis::Any }
    }

    fn identified(&self) -> Identified<'_> {
        let basis = Basis::Since(self.newest.revision());
        Identified { client: self, request_id: request_id(), basis }
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::OutcomeUnknown`] when it could not be found out whether it was done.
    pub async fn put(&self, put: v1::PutOperation) -> Result<v1::PutResponse, Error> {
        self.identified().put(put).await
    }

    /// Writes several entries, all or none.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn batch_put(&self, puts: Vec<v1::PutOperation>) -> Result<v1::BatchPutResponse, Error> {
        self.identified().batch_put(puts).await
    }

    /// Deletes one entry.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete(&self, delete: v1::DeleteOperation) -> Result<v1::DeleteResponse, Error> {
        self.identified().delete(delete).await
    }

    /// Deletes every entry below a prefix.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete_prefix(
        &self,
        delete: v1::DeletePrefixOperation,
    ) -> Result<v1::DeletePrefixResponse, Error> {
        self.identified().delete_prefix(delete).await
    }

    /// Compares, then does one of two lists of operations. `swarm` of the request is set here, and `request_id` unless the caller
    /// did.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn transact(&self, request: v1::TransactRequest) -> Result<v1::TransactResponse, Error> {
        if request.request_id.is_empty() {
            return self.identified().transact(request).await;
        }
        self.with_request_id(request.request_id.clone()).transact(request).await
    }
}

impl Identified<'_> {
    /// The id that the write is made under.
    pub fn request_id(&self) -> &str {
        &self.request_id
    }

    /// As [`Client::put`].
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn put(self, put: v1::PutOperation) -> Result<v1::PutResponse, Error> {
        let (swarm, request_id) = self.names();
        let request = v1::PutRequest { swarm, put: Some(put), request_id };
        self.write(request, |mut memory, request| async move { memory.put(request).await }).await
    }

    /// As [`Client::batch_put`].
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn batch_put(self, puts: Vec<v1::PutOperation>) -> Result<v1::BatchPutResponse, Error> {
        let (swarm, request_id) = self.names();
        let request = v1::BatchPutRequest { swarm, puts, request_id };
        self.write(request, |mut memory, request| async move { memory.batch_put(request).await }).await
    }

    /// As [`Client::delete`].
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete(self, delete: v1::DeleteOperation) -> Result<v1::DeleteResponse, Error> {
        let (swarm, request_id) = self.names();
        let request = v1::DeleteRequest { swarm, delete: Some(delete), request_id };
        self.write(request, |mut memory, request| async move { memory.delete(request).await }).await
    }

    /// As [`Client::delete_prefix`].
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete_prefix(
        self,
        delete: v1::DeletePrefixOperation,
    ) -> Result<v1::DeletePrefixResponse, Error> {
        let (swarm, request_id) = self.names();
        let request = v1::DeletePrefixRequest { swarm, delete: Some(delete), request_id };
        self.write(request, |mut memory, request| async move { memory.delete_prefix(request).await }).await
    }

    /// As [`Client::transact`], whatever `request_id` the request has.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn transact(self, request: v1::TransactRequest) -> Result<v1::TransactResponse, Error> {
        let (swarm, request_id) = self.names();
        let request = v1::TransactRequest { swarm, request_id, ..request };
        self.write(request, |mut memory, request| async move { memory.transact(request).await }).await
    }

    fn names(&self) -> (String, String) {
        (self.client.swarm(), self.request_id.clone())
    }

    async fn write<R: Clone, T: Stand, F>(
        self,
        request: R,
        call: impl Fn(MemoryServiceClient<Transport>, R) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let Self { client, request_id, basis } = self;
        // An empty id is none, and then a repeat would be another write.
        let effect = if request_id.is_empty() { Effect::Each } else { Effect::OnceById(&request_id) };
        let attempt = |transport| call(memory_on(transport), request.clone());
        let answer = client.settle(client.deadline(), effect, attempt).await?;
        client.learn(&answer, basis);
        Ok(answer)
    }
}
