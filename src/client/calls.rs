//! The calls that read, and those about swarms: each fills in the swarm, and the state a read is to see. Knows nothing of what
//! the answers mean.

use tokio::time::Instant;
use tonic::{Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    Client, Error, ReadMode, Transport,
    attempts::Effect,
    memory_on,
    newest::{Basis, Stand},
    reason, recalls_on,
};
use crate::wire::v1::{
    self, consistency::Level, memory_service_client::MemoryServiceClient,
    swarm_service_client::SwarmServiceClient,
};

/// Where an at-least token of ours is refused.
const TOKEN_FIELD: &str = "consistency.token";

impl Client {
    pub(super) fn swarm(&self) -> String {
        self.options.swarm.clone()
    }

    /// Notes the state that an answer is of.
    pub(super) fn learn(&self, answer: &impl Stand, basis: Basis) {
        if let Some((token, revision)) = answer.stand() {
            self.newest.learn(token, revision, basis);
        }
    }

    /// Makes a call that reads at a state of the caller's choice, or of the client's.
    async fn read<T: Stand, F>(
        &self,
        chosen: Option<v1::Consistency>,
        call: impl Fn(Transport, Option<v1::Consistency>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let deadline = self.deadline();
        let ours = match (&chosen, self.options.reads) {
            (None, ReadMode::ReadYourWrites) => self.newest.token(),
            _ => None,
        };
        let consistency = match &ours {
            Some(token) => {
                Some(v1::Consistency { level: Level::AtLeast.into(), token: token.clone(), revision: 0 })
            }
            None => chosen,
        };
        match self.read_at(deadline, consistency, &call).await {
            // It is of a history that is over, or of another service: what was seen there cannot be seen here.
            Err(error) if ours.is_some() && refuses_token(&error) => {
                self.newest.forget(ours.as_deref().unwrap_or_default());
                self.read_at(deadline, None, &call).await
            }
            answer => answer,
        }
    }

    async fn read_at<T: Stand, F>(
        &self,
        deadline: Instant,
        consistency: Option<v1::Consistency>,
        call: &impl Fn(Transport, Option<v1::Consistency>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let is_strong = consistency.as_ref().is_none_or(|consistency| {
            consistency.revision == 0 && matches!(consistency.level(), Level::Unspecified | Level::Strong)
        });
        let basis = if is_strong { Basis::Since(self.newest.revision()) } else { Basis::Any };
        let attempt = |transport| call(transport, consistency.clone());
        let answer = self.settle(deadline, Effect::Nothing, attempt).await?;
        self.learn(&answer, basis);
        Ok(answer)
    }

    /// Makes a call that continues a listing, which shows the state of its first page.
    async fn read_on<T, F>(&self, call: impl Fn(MemoryServiceClient<Transport>) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let attempt = |transport| call(memory_on(transport));
        self.settle(self.deadline(), Effect::Nothing, attempt).await
    }

    /// Reads one entry. Without `consistency`: as [`Options::reads`](super::Options::reads) says.
    ///
    /// # Errors
    /// See [`Error`]; `NOT_FOUND`, reason `ENTRY_NOT_FOUND`, when there is none.
    pub async fn get(
        &self,
        name: v1::EntryName,
        consistency: Option<v1::Consistency>,
    ) -> Result<v1::GetResponse, Error> {
        let v1::EntryName { namespace, key } = name;
        let request = v1::GetRequest { swarm: self.swarm(), namespace, key, consistency: None };
        self.read(consistency, |transport, consistency| {
            let request = v1::GetRequest { consistency, ..request.clone() };
            async move { memory_on(transport).get(request).await }
        })
        .await
    }

    /// Reads several entries at one revision. Without `consistency`: as [`Options::reads`](super::Options::reads) says.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn batch_get(
        &self,
        entries: Vec<v1::EntryName>,
        consistency: Option<v1::Consistency>,
    ) -> Result<v1::BatchGetResponse, Error> {
        let request = v1::BatchGetRequest { swarm: self.swarm(), entries, consistency: None };
        self.read(consistency, |transport, consistency| {
            let request = v1::BatchGetRequest { consistency, ..request.clone() };
            async move { memory_on(transport).batch_get(request).await }
        })
        .await
    }

    /// Lists a page of entries. `swarm` of the request is set here, and `consistency` as [`Options::reads`](super::Options::reads)
    /// says unless the caller did.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list(&self, request: v1::ListRequest) -> Result<v1::ListResponse, Error> {
        let mut request = v1::ListRequest { swarm: self.swarm(), ..request };
        if !request.page_token.is_empty() {
            return self
                .read_on(|mut memory| {
                    let request = request.clone();
                    async move { memory.list(request).await }
                })
                .await;
        }
        self.read(request.consistency.take(), |transport, consistency| {
            let request = v1::ListRequest { consistency, ..request.clone() };
            async move { memory_on(transport).list(request).await }
        })
        .await
    }

    /// Lists a page of an entry's versions, always strongly. `swarm` of the request is set here.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn history(&self, request: v1::HistoryRequest) -> Result<v1::HistoryResponse, Error> {
        let request = v1::HistoryRequest { swarm: self.swarm(), ..request };
        self.read_on(|mut memory| {
            let request = request.clone();
            async move { memory.history(request).await }
        })
        .await
    }

    /// Lists a page of namespaces. `swarm` and `consistency` of the request are set as those of [`Client::list`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_namespaces(
        &self,
        request: v1::ListNamespacesRequest,
    ) -> Result<v1::ListNamespacesResponse, Error> {
        let mut request = v1::ListNamespacesRequest { swarm: self.swarm(), ..request };
        if !request.page_token.is_empty() {
            return self
                .read_on(|mut memory| {
                    let request = request.clone();
                    async move { memory.list_namespaces(request).await }
                })
                .await;
        }
        self.read(request.consistency.take(), |transport, consistency| {
            let request = v1::ListNamespacesRequest { consistency, ..request.clone() };
            async move { memory_on(transport).list_namespaces(request).await }
        })
        .await
    }

    /// What the swarm knows about a question. `swarm` of the request is set here, and `consistency` as
    /// [`Options::reads`](super::Options::reads) says unless the caller did: the client's own writes can be recalled at once.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn recall(&self, request: v1::RecallRequest) -> Result<v1::RecallResponse, Error> {
        let mut request = v1::RecallRequest { swarm: self.swarm(), ..request };
        self.read(request.consistency.take(), |transport, consistency| {
            let request = v1::RecallRequest { consistency, ..request.clone() };
            async move { recalls_on(transport).recall(request).await }
        })
        .await
    }

    /// The same as a text of bounded length. `swarm` and `consistency` of the request are set as those of [`Client::recall`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn context(&self, request: v1::ContextRequest) -> Result<v1::ContextResponse, Error> {
        let mut request = v1::ContextRequest { swarm: self.swarm(), ..request };
        self.read(request.consistency.take(), |transport, consistency| {
            let request = v1::ContextRequest { consistency, ..request.clone() };
            async move { recalls_on(transport).context(request).await }
        })
        .await
    }

    /// Creates the client's swarm.
    ///
    /// # Errors
    /// See [`Error`]; `ALREADY_EXISTS`, reason `SWARM_EXISTS`, when there is one. Not repeated when it may have been done.
    pub async fn create_swarm(
        &self,
        retention: Option<v1::Retention>,
    ) -> Result<v1::CreateSwarmResponse, Error> {
        let request = v1::CreateSwarmRequest { swarm: self.swarm(), retention };
        self.on_swarms(Effect::Each, |mut swarms| {
            let request = request.clone();
            async move { swarms.create_swarm(request).await }
        })
        .await
    }

    /// Describes the client's swarm.
    ///
    /// # Errors
    /// See [`Error`]; `NOT_FOUND`, reason `SWARM_NOT_FOUND`, when there is none.
    pub async fn get_swarm(&self) -> Result<v1::GetSwarmResponse, Error> {
        let request = v1::GetSwarmRequest { swarm: self.swarm() };
        let basis = Basis::Since(self.newest.revision());
        let answer = self
            .on_swarms(Effect::Nothing, |mut swarms| {
                let request = request.clone();
                async move { swarms.get_swarm(request).await }
            })
            .await?;
        self.learn(&answer, basis);
        Ok(answer)
    }

    /// Lists a page of all swarms.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_swarms(&self, request: v1::ListSwarmsRequest) -> Result<v1::ListSwarmsResponse, Error> {
        self.on_swarms(Effect::Nothing, |mut swarms| {
            let request = request.clone();
            async move { swarms.list_swarms(request).await }
        })
        .await
    }

    /// Deletes the client's swarm with all it holds.
    ///
    /// # Errors
    /// See [`Error`]. Not repeated when it may have been done.
    pub async fn delete_swarm(&self) -> Result<(), Error> {
        let request = v1::DeleteSwarmRequest { swarm: self.swarm() };
        let v1::DeleteSwarmResponse {} = self
            .on_swarms(Effect::Each, |mut swarms| {
                let request = request.clone();
                async move { swarms.delete_swarm(request).await }
            })
            .await?;
        self.newest.forget_all();
        Ok(())
    }

    async fn on_swarms<T, F>(
        &self,
        effect: Effect<'_>,
        call: impl Fn(SwarmServiceClient<Transport>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.settle(self.deadline(), effect, |transport| call(SwarmServiceClient::new(transport))).await
    }

    /// The health of a service by its full name; `""` is the server as a whole.
    ///
    /// # Errors
    /// See [`Error`]; `NOT_FOUND` when the coordinator has no such service.
    pub async fn check_health(&self, service: &str) -> Result<ServingStatus, Error> {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = self
            .settle(self.deadline(), Effect::Nothing, |transport| {
                let request = request.clone();
                async move { HealthClient::new(transport).check(request).await }
            })
            .await?;
        Ok(answer.status())
    }
}

/// Whether it is the token that a read is refused for.
fn refuses_token(error: &Error) -> bool {
    match error {
        Error::Refused(refusal) => {
            error.reason() == Some(reason::INCARNATION_CHANGED)
                || refusal.fields.iter().any(|violation| violation.field == TOKEN_FIELD)
        }
        _ => false,
    }
}
