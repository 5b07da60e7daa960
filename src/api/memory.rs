//! `MemoryService`: reading and writing entries.

use tonic::{Request, Response, Status};

use super::{
    Service,
    call::{Call, arguments, idempotency},
    convert, encode,
    parse::{self, required},
    status::{invalid, of},
};
use crate::{
    coordinator::{
        Error, Written,
        read::{ListQuery, NamespaceQuery, View},
    },
    domain::{
        Invalid,
        namespace::{Prefix, Suffix},
        position::{Position, Purpose},
        request::{Idempotency, Operation, Request as Mutation},
        swarm::SwarmId,
    },
    wire::v1::{self, memory_service_server::MemoryService, operation_result::Result as R},
};

type Answer<T> = Result<Response<T>, Status>;

impl Service {
    /// Commits operations that are all or none.
    async fn write_all<T>(
        &self,
        call: &Call<T>,
        swarm: &SwarmId,
        idempotency: Option<Idempotency>,
        operations: Vec<Operation>,
    ) -> Result<(Written, Vec<R>), Status> {
        let limits = self.coordinator.limits();
        let author = call.caller.agent.clone();
        // Only a batch has members that can contradict each other.
        let request = Mutation::write(author, idempotency, operations, limits)
            .map_err(|e| invalid(e.within("puts")))?;
        self.commit(call, swarm, request).await
    }

    async fn commit<T>(
        &self,
        call: &Call<T>,
        swarm: &SwarmId,
        request: Mutation,
    ) -> Result<(Written, Vec<R>), Status> {
        let written =
            self.coordinator.write(&call.caller, swarm, request, call.deadline).await.map_err(of)?;
        let effects = written.outcome.effects.clone();
        let effects = call.change(self.coordinator.recall_effects(swarm, effects)).await?;
        let results = convert::results(&written, &effects).into_iter().filter_map(|r| r.result).collect();
        Ok((written, results))
    }

    fn written_token(&self, swarm: &SwarmId, written: &Written) -> String {
        self.token(swarm, &Position::after(written.incarnation, written.mark))
    }

    pub(super) fn token(&self, swarm: &SwarmId, position: &Position) -> String {
        self.coordinator.tokens().seal(swarm, Purpose::Position, Default::default(), position)
    }
}

#[tonic::async_trait]
impl MemoryService for Service {
    async fn put(&self, request: Request<v1::PutRequest>) -> Answer<v1::PutResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let id = std::mem::take(&mut call.message.request_id);
        let idempotency = idempotency("Put", &id, &call.message)?;
        let put = required(call.message.put.take(), "put").map_err(invalid)?;
        let put = convert::put(put, self.coordinator.limits()).map_err(|e| invalid(e.within("put")))?;
        let (written, results) = self.write_all(&call, &swarm, idempotency, vec![put]).await?;
        let result = results.into_iter().find_map(|r| if let R::Put(put) = r { Some(put) } else { None });
        Ok(Response::new(v1::PutResponse { result, token: self.written_token(&swarm, &written) }))
    }

    async fn batch_put(&self, request: Request<v1::BatchPutRequest>) -> Answer<v1::BatchPutResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let id = std::mem::take(&mut call.message.request_id);
        let idempotency = idempotency("BatchPut", &id, &call.message)?;
        let limits = self.coordinator.limits();
        let puts = std::mem::take(&mut call.message.puts);
        count(puts.len(), "puts", limits.operations_max)?;
        let put = |(at, put)| convert::put(put, limits).map_err(|e| invalid(e.within(format!("puts[{at}]"))));
        let operations = puts.into_iter().enumerate().map(put).collect::<Result<_, _>>()?;
        let (written, results) = self.write_all(&call, &swarm, idempotency, operations).await?;
        let results = results.into_iter().filter_map(|r| if let R::Put(put) = r { Some(put) } else { None });
        let results = results.collect();
        Ok(Response::new(v1::BatchPutResponse { results, token: self.written_token(&swarm, &written) }))
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
        let entry = Some(encode::entry(&version, false));
        Ok(Response::new(v1::GetResponse { entry, token: self.token(&swarm, &read.position) }))
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
        let result =
            |found: Option<_>| v1::GetResult { entry: found.as_deref().map(|v| encode::entry(v, false)) };
        Ok(Response::new(v1::BatchGetResponse {
            results: read.value.into_iter().map(result).collect(),
            token: self.token(&swarm, &read.position),
            revision: read.position.mark.revision.0,
        }))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let id = std::mem::take(&mut call.message.request_id);
        let idempotency = idempotency("Delete", &id, &call.message)?;
        let delete = required(call.message.delete.as_ref(), "delete").map_err(invalid)?;
        let delete =
            convert::delete(delete, self.coordinator.limits()).map_err(|e| invalid(e.within("delete")))?;
        let (written, results) = self.write_all(&call, &swarm, idempotency, vec![delete]).await?;
        let result =
            results.into_iter().find_map(|r| if let R::Delete(delete) = r { Some(delete) } else { None });
        Ok(Response::new(v1::DeleteResponse { result, token: self.written_token(&swarm, &written) }))
    }

    async fn delete_prefix(
        &self,
        request: Request<v1::DeletePrefixRequest>,
    ) -> Answer<v1::DeletePrefixResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let id = std::mem::take(&mut call.message.request_id);
        let idempotency = idempotency("DeletePrefix", &id, &call.message)?;
        let delete = required(call.message.delete.as_ref(), "delete").map_err(invalid)?;
        let delete = convert::delete_prefix(delete, self.coordinator.limits())
            .map_err(|e| invalid(e.within("delete")))?;
        let (written, results) = self.write_all(&call, &swarm, idempotency, vec![delete]).await?;
        let result =
            results.into_iter().find_map(|r| if let R::DeletePrefix(d) = r { Some(d) } else { None });
        Ok(Response::new(v1::DeletePrefixResponse { result, token: self.written_token(&swarm, &written) }))
    }

    async fn transact(&self, request: Request<v1::TransactRequest>) -> Answer<v1::TransactResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let id = std::mem::take(&mut call.message.request_id);
        let idempotency = idempotency("Transact", &id, &call.message)?;
        let limits = self.coordinator.limits();
        let message = &mut call.message;
        let lists = [
            ("compares", message.compares.len()),
            ("success", message.success.len()),
            ("failure", message.failure.len()),
        ];
        in_all(lists, limits.operations_max)?;
        let compares = convert::compares(std::mem::take(&mut message.compares), limits).map_err(invalid)?;
        let success =
            convert::operations(std::mem::take(&mut message.success), "success", limits).map_err(invalid)?;
        let failure =
            convert::operations(std::mem::take(&mut message.failure), "failure", limits).map_err(invalid)?;
        let author = call.caller.agent.clone();
        let request = Mutation::transaction(author, idempotency, compares, success, failure, limits);
        let (written, results) = self.commit(&call, &swarm, request.map_err(invalid)?).await?;
        let results = results.into_iter().map(|result| v1::OperationResult { result: Some(result) });
        Ok(Response::new(v1::TransactResponse {
            succeeded: written.outcome.succeeded,
            results: results.collect(),
            token: self.written_token(&swarm, &written),
            revision: written.outcome.taken.map_or(0, |mark| mark.revision.0),
        }))
    }

    async fn list(&self, request: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let limits = self.coordinator.limits();
        let page_size = std::mem::take(&mut call.message.page_size);
        let page_token = parse::token(std::mem::take(&mut call.message.page_token));
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
            consistency: parse::consistency(call.message.consistency.take()).map_err(invalid)?,
            arguments,
        };
        let read = call.read(self.coordinator.list(&call.caller, &swarm, query)).await?;
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
        let consistency = parse::consistency(call.message.consistency.take()).map_err(invalid)?;
        let query = NamespaceQuery { prefix, suffix, depth, page_size, page_token, consistency, arguments };
        let read = call.read(self.coordinator.namespaces(&call.caller, &swarm, query)).await?;
        let summary = |(namespace, entries)| v1::NamespaceSummary { namespace, entries };
        Ok(Response::new(v1::ListNamespacesResponse {
            namespaces: read.value.namespaces.into_iter().map(summary).collect(),
            next_page_token: read.value.next_page_token.unwrap_or_default(),
            token: self.token(&swarm, &read.position),
        }))
    }
}

/// A list that must have something, and not too much.
fn count(len: usize, field: &str, max: usize) -> Result<(), Status> {
    if (1..=max).contains(&len) {
        return Ok(());
    }
    Err(invalid(Invalid::new(field, format!("{len} members, 1 to {max} are allowed"))))
}

/// Lists that share one bound; the one that goes beyond it is named.
fn in_all(lists: [(&str, usize); 3], max: usize) -> Result<(), Status> {
    let mut all = 0;
    for (field, len) in lists {
        all += len;
        if all > max {
            let problem = format!("more than {max} comparisons and operations in all");
            return Err(invalid(Invalid::new(field, problem)));
        }
    }
    if all == 0 {
        return Err(invalid(Invalid::new(
            "success",
            "the transaction has nothing to compare and nothing to do",
        )));
    }
    Ok(())
}
