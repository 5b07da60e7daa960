//! `MemoryService`: reading and writing entries.

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::{
    Service,
    call::arguments,
    convert, encode,
    mutation::{Done, Mutation, count},
    parse,
    status::{invalid, of},
    write_stream::WriteStream,
};
use crate::{
    coordinator::{
        Error, Written,
        read::{ListQuery, NamespaceQuery, View},
    },
    domain::{
        Invalid,
        apply::{Effect, Outcome},
        entry::Version,
        namespace::{Prefix, Suffix},
        position::{Position, Purpose},
        swarm::SwarmId,
    },
    wire::v1::{self, memory_service_server::MemoryService},
};

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// A write that came alone.
    async fn mutate<M: Mutation>(&self, request: Request<M>) -> Answer<M::Response> {
        let (call, message) = self.call(request)?.split();
        let (swarm, request) = self.mutation(&call, message)?;
        let written =
            self.coordinator.write(&call.caller, &swarm, request, call.deadline).await.map_err(of)?;
        let done = call.change(self.done(&swarm, written)).await?;
        call.hold_anyway(done.bytes);
        Ok(Response::new(M::response(done)))
    }

    /// What a committed request came to, in the words of the wire.
    pub(super) async fn done(&self, swarm: &SwarmId, written: Written) -> Result<Done, Error> {
        let Written { outcome: Outcome { succeeded, taken, effects }, incarnation, mark } = written;
        let effects = self.coordinator.recall_effects(swarm, effects).await?;
        // Only writes that took a revision have put results, so its mark names them.
        let taken = taken.unwrap_or_default();
        Ok(Done {
            succeeded,
            revision: taken.revision.0,
            bytes: effects.iter().map(weight).sum(),
            results: effects.into_iter().map(|effect| convert::result(taken, effect)).collect(),
            token: self.token(swarm, &Position::after(incarnation, mark)),
            state: mark.revision.0,
        })
    }

    pub(super) fn token(&self, swarm: &SwarmId, position: &Position) -> String {
        self.coordinator.tokens().seal(swarm, Purpose::Position, Default::default(), position)
    }
}

#[tonic::async_trait]
impl MemoryService for Service {
    async fn put(&self, request: Request<v1::PutRequest>) -> Answer<v1::PutResponse> {
        self.mutate(request).await
    }

    async fn batch_put(&self, request: Request<v1::BatchPutRequest>) -> Answer<v1::BatchPutResponse> {
        self.mutate(request).await
    }

    async fn get(&self, request: Request<v1::GetRequest>) -> Answer<v1::GetResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let limits = self.coordinator.limits();
        let path = parse::path(&call.message.namespace, &call.message.key, limits).map_err(invalid)?;
        let consistency = parse::consistency(call.message.consistency.take()).map_err(invalid)?;
        let read = self.coordinator.entries(&call.caller, &swarm, vec![path], consistency);
        let read = call.read(read).await?;
        let Some(version) = read.value.into_iter().next().flatten() else {
            return Err(of(Error::EntryNotFound));
        };
        call.hold(version.weight())?;
        let entry = Some(encode::entry(&version, false));
        Ok(Response::new(v1::GetResponse {
            entry,
            token: self.token(&swarm, &read.position),
            revision: read.position.mark.revision.0,
        }))
    }

    async fn batch_get(&self, request: Request<v1::BatchGetRequest>) -> Answer<v1::BatchGetResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let limits = self.coordinator.limits();
        count(call.message.entries.len(), "entries", limits.operations_max)?;
        let path = |(at, name): (usize, &v1::EntryName)| {
            parse::path(&name.namespace, &name.key, limits)
                .map_err(|e| invalid(e.within(format!("entries[{at}]"))))
        };
        let paths = call.message.entries.iter().enumerate().map(path).collect::<Result<_, _>>()?;
        let consistency = parse::consistency(call.message.consistency.take()).map_err(invalid)?;
        let read = call.read(self.coordinator.entries(&call.caller, &swarm, paths, consistency)).await?;
        call.hold(weights(read.value.iter().flatten()))?;
        let result =
            |found: Option<_>| v1::GetResult { entry: found.as_deref().map(|v| encode::entry(v, false)) };
        Ok(Response::new(v1::BatchGetResponse {
            results: read.value.into_iter().map(result).collect(),
            token: self.token(&swarm, &read.position),
            revision: read.position.mark.revision.0,
        }))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        self.mutate(request).await
    }

    async fn delete_prefix(
        &self,
        request: Request<v1::DeletePrefixRequest>,
    ) -> Answer<v1::DeletePrefixResponse> {
        self.mutate(request).await
    }

    async fn transact(&self, request: Request<v1::TransactRequest>) -> Answer<v1::TransactResponse> {
        self.mutate(request).await
    }

    type WriteStream = WriteStream;

    async fn write(&self, request: Request<Streaming<v1::WriteRequest>>) -> Answer<Self::WriteStream> {
        Ok(Response::new(WriteStream::new(self.clone(), self.call(request)?)))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let limits = self.coordinator.limits();
        let page_size = std::mem::take(&mut call.message.page_size);
        let page_token = parse::token(std::mem::take(&mut call.message.page_token));
        let consistency = listed_at(&mut call.message.consistency);
        let arguments = arguments("List", &call.message);
        let view = match v1::View::try_from(call.message.view) {
            Ok(v1::View::Unspecified | v1::View::Full) => View::Full,
            Ok(v1::View::Keys) => View::Keys,
            Ok(v1::View::Count) => View::Count,
            Err(_) => return Err(invalid(Invalid::new("view", "is no view"))),
        };
        let query = ListQuery {
            filter: parse::filter(call.message.filter.take(), limits).map_err(invalid)?,
            view,
            page_size: parse::page_size(page_size, limits).map_err(invalid)?,
            page_token,
            consistency: parse::consistency(consistency).map_err(invalid)?,
            arguments,
        };
        let read = call.read(self.coordinator.list(&call.caller, &swarm, query)).await?;
        call.hold(weights(&read.value.entries))?;
        Ok(Response::new(v1::ListResponse {
            entries: read.value.entries.iter().map(|v| encode::entry(v, view == View::Keys)).collect(),
            next_page_token: read.value.next_page_token.unwrap_or_default(),
            count: read.value.count,
            token: self.token(&swarm, &read.position),
            revision: read.position.mark.revision.0,
        }))
    }

    async fn history(&self, request: Request<v1::HistoryRequest>) -> Answer<v1::HistoryResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let limits = self.coordinator.limits();
        let page_size =
            parse::page_size(std::mem::take(&mut call.message.page_size), limits).map_err(invalid)?;
        let page_token = parse::token(std::mem::take(&mut call.message.page_token));
        let arguments = arguments("History", &call.message);
        let path = parse::path(&call.message.namespace, &call.message.key, limits).map_err(invalid)?;
        let page = self.coordinator.history(&call.caller, &swarm, path, page_size, page_token, arguments);
        let page = call.read(page).await?;
        call.hold(weights(&page.versions))?;
        Ok(Response::new(v1::HistoryResponse {
            versions: page.versions.iter().map(|v| encode::event(v, None, false)).collect(),
            next_page_token: page.next_page_token.unwrap_or_default(),
            floor: page.floor.0,
        }))
    }

    async fn list_namespaces(
        &self,
        request: Request<v1::ListNamespacesRequest>,
    ) -> Answer<v1::ListNamespacesResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let limits = self.coordinator.limits();
        let page_size =
            parse::page_size(std::mem::take(&mut call.message.page_size), limits).map_err(invalid)?;
        let page_token = parse::token(std::mem::take(&mut call.message.page_token));
        let consistency = listed_at(&mut call.message.consistency);
        let arguments = arguments("ListNamespaces", &call.message);
        let depth = call.message.depth as usize;
        if depth > limits.namespace_segments_max {
            let problem = format!("{depth}, at most {} are allowed", limits.namespace_segments_max);
            return Err(invalid(Invalid::new("depth", problem)));
        }
        let prefix = match call.message.prefix.as_str() {
            "" => None,
            prefix => Some(Prefix::parse(prefix, limits).map_err(invalid)?),
        };
        let suffix = Suffix::parse(&call.message.suffix, limits).map_err(invalid)?;
        let consistency = parse::consistency(consistency).map_err(invalid)?;
        let query = NamespaceQuery { prefix, suffix, depth, page_size, page_token, consistency, arguments };
        let read = call.read(self.coordinator.namespaces(&call.caller, &swarm, query)).await?;
        let summary = |(namespace, entries)| v1::NamespaceSummary { namespace, entries };
        Ok(Response::new(v1::ListNamespacesResponse {
            namespaces: read.value.namespaces.into_iter().map(summary).collect(),
            next_page_token: read.value.next_page_token.unwrap_or_default(),
            token: self.token(&swarm, &read.position),
            revision: read.position.mark.revision.0,
        }))
    }
}

/// How fresh a listing is to be. Only an exact revision is left in the message, and so in what page tokens are bound to:
/// later pages show the first one's state, however fresh that was.
fn listed_at(consistency: &mut Option<v1::Consistency>) -> Option<v1::Consistency> {
    let asked = consistency.take();
    *consistency = asked
        .as_ref()
        .filter(|asked| asked.revision != 0)
        .map(|asked| v1::Consistency { revision: asked.revision, ..Default::default() });
    asked
}

fn weights<'a>(versions: impl IntoIterator<Item = &'a Arc<Version>>) -> usize {
    versions.into_iter().map(|version| version.weight()).sum()
}

fn weight(effect: &Effect) -> usize {
    match effect {
        Effect::Get(Some(version)) => version.weight(),
        _ => 0,
    }
}
