//! The five requests that write: how each becomes a request of the domain, and how its outcome becomes a response. Knows
//! neither whether it came alone or in a stream, nor how it is committed.

use tonic::Status;

use super::{
    Service,
    call::{Call, idempotency},
    convert,
    parse::required,
    status::invalid,
};
use crate::{
    domain::{
        Invalid,
        limits::Limits,
        namespace::AgentId,
        request::{Idempotency, Operation, Request},
        swarm::SwarmId,
    },
    wire::v1::{self, operation_result::Result as R},
};

/// What a committed request came to.
pub(super) struct Done {
    pub succeeded: bool,
    /// The revision taken, or 0.
    pub revision: u64,
    pub results: Vec<R>,
    /// About how many bytes the entries among them have.
    pub bytes: usize,
    /// A state that includes it, and that state's revision.
    pub token: String,
    pub state: u64,
}

/// A request that writes.
pub(super) trait Mutation: prost::Message + Sized {
    type Response;
    /// The name of the unary call; part of what a request id is bound to.
    const METHOD: &'static str;

    fn swarm(&self) -> &str;

    fn request_id(&mut self) -> &mut String;

    /// What is asked for; the request id is taken out by now.
    fn parse(
        self,
        author: AgentId,
        idempotency: Option<Idempotency>,
        limits: &Limits,
    ) -> Result<Request, Status>;

    fn response(done: Done) -> Self::Response;
}

impl Service {
    /// Parses a write of `call`.
    pub fn mutation<M: Mutation, T>(
        &self,
        call: &Call<T>,
        mut message: M,
    ) -> Result<(SwarmId, Request), Status> {
        let swarm = call.swarm(message.swarm())?;
        let id = std::mem::take(message.request_id());
        let idempotency = idempotency(M::METHOD, &id, &message)?;
        let request = message.parse(call.caller.agent.clone(), idempotency, self.coordinator.limits())?;
        Ok((swarm, request))
    }
}

fn single(
    author: AgentId,
    idempotency: Option<Idempotency>,
    operation: Operation,
    limits: &Limits,
) -> Result<Request, Status> {
    Request::write(author, idempotency, vec![operation], limits).map_err(invalid)
}

/// The two fields that all of the generated messages have under the same names.
macro_rules! addressed {
    () => {
        fn swarm(&self) -> &str {
            &self.swarm
        }

        fn request_id(&mut self) -> &mut String {
            &mut self.request_id
        }
    };
}

impl Mutation for v1::PutRequest {
    type Response = v1::PutResponse;
    const METHOD: &'static str = "Put";

    addressed!();

    fn parse(
        self,
        author: AgentId,
        idempotency: Option<Idempotency>,
        limits: &Limits,
    ) -> Result<Request, Status> {
        let put = required(self.put, "put").map_err(invalid)?;
        let put = convert::put(put, limits).map_err(|e| invalid(e.within("put")))?;
        single(author, idempotency, put, limits)
    }

    fn response(done: Done) -> Self::Response {
        let result =
            done.results.into_iter().find_map(|r| if let R::Put(put) = r { Some(put) } else { None });
        v1::PutResponse { result, token: done.token }
    }
}

impl Mutation for v1::BatchPutRequest {
    type Response = v1::BatchPutResponse;
    const METHOD: &'static str = "BatchPut";

    addressed!();

    fn parse(
        self,
        author: AgentId,
        idempotency: Option<Idempotency>,
        limits: &Limits,
    ) -> Result<Request, Status> {
        count(self.puts.len(), "puts", limits.operations_max)?;
        let put = |(at, put)| convert::put(put, limits).map_err(|e| invalid(e.within(format!("puts[{at}]"))));
        let operations = self.puts.into_iter().enumerate().map(put).collect::<Result<_, _>>()?;
        // Its members can contradict each other.
        Request::write(author, idempotency, operations, limits).map_err(|e| invalid(e.within("puts")))
    }

    fn response(done: Done) -> Self::Response {
        let results =
            done.results.into_iter().filter_map(|r| if let R::Put(put) = r { Some(put) } else { None });
        v1::BatchPutResponse { results: results.collect(), token: done.token }
    }
}

impl Mutation for v1::DeleteRequest {
    type Response = v1::DeleteResponse;
    const METHOD: &'static str = "Delete";

    addressed!();

    fn parse(
        self,
        author: AgentId,
        idempotency: Option<Idempotency>,
        limits: &Limits,
    ) -> Result<Request, Status> {
        let delete = required(self.delete, "delete").map_err(invalid)?;
        let delete = convert::delete(&delete, limits).map_err(|e| invalid(e.within("delete")))?;
        single(author, idempotency, delete, limits)
    }

    fn response(done: Done) -> Self::Response {
        let result = done.results.into_iter().find_map(|r| if let R::Delete(d) = r { Some(d) } else { None });
        v1::DeleteResponse { result, token: done.token, revision: done.state }
    }
}

impl Mutation for v1::DeletePrefixRequest {
    type Response = v1::DeletePrefixResponse;
    const METHOD: &'static str = "DeletePrefix";

    addressed!();

    fn parse(
        self,
        author: AgentId,
        idempotency: Option<Idempotency>,
        limits: &Limits,
    ) -> Result<Request, Status> {
        let delete = required(self.delete, "delete").map_err(invalid)?;
        let delete = convert::delete_prefix(&delete, limits).map_err(|e| invalid(e.within("delete")))?;
        single(author, idempotency, delete, limits)
    }

    fn response(done: Done) -> Self::Response {
        let result =
            done.results.into_iter().find_map(|r| if let R::DeletePrefix(d) = r { Some(d) } else { None });
        v1::DeletePrefixResponse { result, token: done.token, revision: done.state }
    }
}

impl Mutation for v1::TransactRequest {
    type Response = v1::TransactResponse;
    const METHOD: &'static str = "Transact";

    addressed!();

    fn parse(
        self,
        author: AgentId,
        idempotency: Option<Idempotency>,
        limits: &Limits,
    ) -> Result<Request, Status> {
        let lists = [
            ("compares", self.compares.len()),
            ("success", self.success.len()),
            ("failure", self.failure.len()),
        ];
        in_all(lists, limits.operations_max)?;
        let compares = convert::compares(self.compares, limits).map_err(invalid)?;
        let success = convert::operations(self.success, "success", limits).map_err(invalid)?;
        let failure = convert::operations(self.failure, "failure", limits).map_err(invalid)?;
        Request::transaction(author, idempotency, compares, success, failure, limits).map_err(invalid)
    }

    fn response(done: Done) -> Self::Response {
        let results = done.results.into_iter().map(|result| v1::OperationResult { result: Some(result) });
        v1::TransactResponse {
            succeeded: done.succeeded,
            results: results.collect(),
            token: done.token,
            revision: done.revision,
        }
    }
}

/// A list that must have something, and not too much.
pub(super) fn count(len: usize, field: &str, max: usize) -> Result<(), Status> {
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
