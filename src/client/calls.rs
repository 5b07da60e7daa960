//! The unary calls: each fills in the swarm and, for a write, a fresh request id, and keeps the deadline. Knows
//! nothing of what the answers mean.

use tonic::{Response, Status};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use uuid::Uuid;

use super::{Client, Error};
use crate::wire::v1;

/// A request id of its own for each write, so that a repeated request is recognised.
pub(super) fn request_id() -> String {
    Uuid::now_v7().to_string()
}

impl Client {
    fn swarm(&self) -> String {
        self.options.swarm.clone()
    }

    /// The deadline is kept here too: the transport's ends once the answer's headers are there.
    async fn answer<T>(&self, call: impl Future<Output = Result<Response<T>, Status>>) -> Result<T, Error> {
        let timeout = self.options.call_timeout;
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) if is_local_timeout(&status) => Err(no_answer_within(timeout)),
            Ok(Err(status)) => Err(Error::from(status)),
            Err(_) => Err(no_answer_within(timeout)),
        }
    }

    /// Writes one entry.
    ///
    /// # Errors
    /// See [`Error`]. A deadline or a broken connection leaves open whether the write was done.
    pub async fn put(&self, put: v1::PutOperation) -> Result<v1::PutResponse, Error> {
        let request = v1::PutRequest { swarm: self.swarm(), put: Some(put), request_id: request_id() };
        self.answer(self.memory().put(request)).await
    }

    /// Writes several entries, all or none.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn batch_put(&self, puts: Vec<v1::PutOperation>) -> Result<v1::BatchPutResponse, Error> {
        let request = v1::BatchPutRequest { swarm: self.swarm(), puts, request_id: request_id() };
        self.answer(self.memory().batch_put(request)).await
    }

    /// Deletes one entry.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete(&self, delete: v1::DeleteOperation) -> Result<v1::DeleteResponse, Error> {
        let request =
            v1::DeleteRequest { swarm: self.swarm(), delete: Some(delete), request_id: request_id() };
        self.answer(self.memory().delete(request)).await
    }

    /// Deletes every entry below a prefix.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn delete_prefix(
        &self,
        delete: v1::DeletePrefixOperation,
    ) -> Result<v1::DeletePrefixResponse, Error> {
        let request =
            v1::DeletePrefixRequest { swarm: self.swarm(), delete: Some(delete), request_id: request_id() };
        self.answer(self.memory().delete_prefix(request)).await
    }

    /// Compares, then does one of two lists of operations. `swarm` and `request_id` of the request are set here.
    ///
    /// # Errors
    /// As [`Client::put`].
    pub async fn transact(&self, request: v1::TransactRequest) -> Result<v1::TransactResponse, Error> {
        let request = v1::TransactRequest { swarm: self.swarm(), request_id: request_id(), ..request };
        self.answer(self.memory().transact(request)).await
    }

    /// Reads one entry. Without `consistency`: the newest.
    ///
    /// # Errors
    /// See [`Error`]; `NOT_FOUND`, reason `ENTRY_NOT_FOUND`, when there is none.
    pub async fn get(
        &self,
        name: v1::EntryName,
        consistency: Option<v1::Consistency>,
    ) -> Result<v1::GetResponse, Error> {
        let v1::EntryName { namespace, key } = name;
        let request = v1::GetRequest { swarm: self.swarm(), namespace, key, consistency };
        self.answer(self.memory().get(request)).await
    }

    /// Reads several entries at one revision.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn batch_get(
        &self,
        entries: Vec<v1::EntryName>,
        consistency: Option<v1::Consistency>,
    ) -> Result<v1::BatchGetResponse, Error> {
        let request = v1::BatchGetRequest { swarm: self.swarm(), entries, consistency };
        self.answer(self.memory().batch_get(request)).await
    }

    /// Lists a page of entries. `swarm` of the request is set here.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, request: v1::ListRequest) -> Result<v1::ListResponse, Error> {
        let request = v1::ListRequest { swarm: self.swarm(), ..request };
        self.answer(self.memory().list(request)).await
    }

    /// Lists a page of an entry's versions. `swarm` of the request is set here.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn history(&self, request: v1::HistoryRequest) -> Result<v1::HistoryResponse, Error> {
        let request = v1::HistoryRequest { swarm: self.swarm(), ..request };
        self.answer(self.memory().history(request)).await
    }

    /// Lists a page of namespaces. `swarm` of the request is set here.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_namespaces(
        &self,
        request: v1::ListNamespacesRequest,
    ) -> Result<v1::ListNamespacesResponse, Error> {
        let request = v1::ListNamespacesRequest { swarm: self.swarm(), ..request };
        self.answer(self.memory().list_namespaces(request)).await
    }

    /// Creates the client's swarm.
    ///
    /// # Errors
    /// See [`Error`]; `ALREADY_EXISTS`, reason `SWARM_EXISTS`, when there is one.
    pub async fn create_swarm(
        &self,
        retention: Option<v1::Retention>,
    ) -> Result<v1::CreateSwarmResponse, Error> {
        let request = v1::CreateSwarmRequest { swarm: self.swarm(), retention };
        self.answer(self.swarms().create_swarm(request)).await
    }

    /// Describes the client's swarm.
    ///
    /// # Errors
    /// See [`Error`]; `NOT_FOUND`, reason `SWARM_NOT_FOUND`, when there is none.
    pub async fn get_swarm(&self) -> Result<v1::GetSwarmResponse, Error> {
        self.answer(self.swarms().get_swarm(v1::GetSwarmRequest { swarm: self.swarm() })).await
    }

    /// Lists a page of all swarms.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_swarms(&self, request: v1::ListSwarmsRequest) -> Result<v1::ListSwarmsResponse, Error> {
        self.answer(self.swarms().list_swarms(request)).await
    }

    /// Deletes the client's swarm with all it holds.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_swarm(&self) -> Result<(), Error> {
        let request = v1::DeleteSwarmRequest { swarm: self.swarm() };
        self.answer(self.swarms().delete_swarm(request)).await.map(|v1::DeleteSwarmResponse {}| ())
    }

    /// The health of a service by its full name; `""` is the server as a whole.
    ///
    /// # Errors
    /// See [`Error`]; `NOT_FOUND` when the coordinator has no such service.
    pub async fn check_health(&self, service: &str) -> Result<ServingStatus, Error> {
        let request = HealthCheckRequest { service: service.to_owned() };
        self.answer(self.health().check(request)).await.map(|response| response.status())
    }
}

/// The transport reports its own deadline as a cancellation.
pub(super) fn is_local_timeout(status: &Status) -> bool {
    status.code() == tonic::Code::Cancelled && status.message() == tonic::TimeoutExpired(()).to_string()
}

pub(super) fn no_answer_within(timeout: std::time::Duration) -> Error {
    Error::from(Status::deadline_exceeded(format!("no answer within {timeout:?}")))
}
