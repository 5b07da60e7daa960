//! `MemoryService.Write`: many writes on one stream, pipelined, each with an outcome of its own, answered in the order
//! in which they came. No task and no queue of its own: the transport polls the stream, and the stream reads on as long
//! as what it has unanswered is within its bounds. Knows nothing of what a write means.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{FutureExt as _, Stream, StreamExt as _, future::BoxFuture};
use prost::Message as _;
use tokio::time::{Instant, Sleep, sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Status, Streaming};

use super::{
    Service, boundary,
    call::Call,
    mutation::{Done, Mutation},
    parse::required,
    status::{invalid, of},
};
use crate::{
    coordinator::{Error, Writing},
    domain::{request::Request, swarm::SwarmId},
    wire::v1::{self, write_request::Write as W, write_response::Outcome as O},
};

/// How long a stream waits before it tries a full lane again, unless one of its own writes is answered earlier.
const FULL_LANE_PAUSE: Duration = Duration::from_millis(10);

/// What one stream may have unanswered before it is not read from.
#[derive(Clone, Copy, Debug)]
pub struct WriteStreamLimits {
    /// So many writes.
    pub requests_max: usize,
    /// About so many bytes of them. A single write may be larger.
    pub bytes_max: usize,
}

/// The responses of a stream of writes.
pub struct WriteStream {
    service: Service,
    call: Call<()>,
    requests: Streaming<v1::WriteRequest>,
    /// Unanswered writes, the oldest first. Only the oldest is polled.
    slots: VecDeque<Slot>,
    /// The bytes of all slots.
    bytes: usize,
    /// Read, but the lane was full.
    parked: Option<(Parsed, Pin<Box<Sleep>>)>,
    /// Nothing more is read; what ends the stream once all is answered.
    ended: Option<Result<(), Status>>,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    patience: Option<Pin<Box<Sleep>>>,
}

struct Slot {
    bytes: usize,
    outcome: BoxFuture<'static, O>,
}

/// A write that was read, and how it is answered.
struct Parsed {
    swarm: SwarmId,
    request: Arc<Request>,
    deadline: Instant,
    respond: fn(Done) -> O,
}

impl WriteStream {
    pub(super) fn new(service: Service, call: Call<Streaming<v1::WriteRequest>>) -> Self {
        let draining = Box::pin(service.coordinator.draining().clone().cancelled_owned());
        let (call, requests) = call.split();
        let patience = call.patience.map(|until| Box::pin(sleep_until(until)));
        Self {
            service,
            call,
            requests,
            slots: VecDeque::new(),
            bytes: 0,
            parked: None,
            ended: None,
            draining,
            patience,
        }
    }

    /// Reads and submits what is there, as far as the bounds allow.
    fn fill(&mut self, context: &mut Context<'_>) {
        while self.ended.is_none() && self.has_room() {
            match self.next_write(context) {
                Poll::Pending => return,
                Poll::Ready(None) => self.ended = Some(Ok(())),
                Poll::Ready(Some(Err(status))) => self.ended = Some(Err(status)),
                Poll::Ready(Some(Ok(write))) => self.accept(write),
            }
        }
    }

    fn has_room(&self) -> bool {
        let WriteStreamLimits { requests_max, bytes_max } = self.service.write_stream;
        self.slots.is_empty() || (self.slots.len() < requests_max && self.bytes < bytes_max)
    }

    /// The write that a full lane refused, once it is time, or else the next one of the wire, or why that is none.
    fn next_write(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Result<Parsed, Status>, Status>>> {
        if let Some((_, pause)) = &mut self.parked {
            ready!(pause.as_mut().poll(context));
            return Poll::Ready(self.parked.take().map(|(write, _)| Ok(Ok(write))));
        }
        let message = ready!(self.requests.poll_next_unpin(context));
        Poll::Ready(message.map(|message| match message {
            Ok(message) => {
                self.call.received();
                Ok(self.parse(message))
            }
            Err(status) => Err(boundary::explained_status(status)),
        }))
    }

    fn parse(&self, message: v1::WriteRequest) -> Result<Parsed, Status> {
        match required(message.write, "write").map_err(invalid)? {
            W::Put(put) => self.parsed(put, |done| O::Put(v1::PutRequest::response(done))),
            W::BatchPut(puts) => self.parsed(puts, |done| O::BatchPut(v1::BatchPutRequest::response(done))),
            W::Delete(delete) => self.parsed(delete, |done| O::Delete(v1::DeleteRequest::response(done))),
            W::DeletePrefix(delete) => {
                self.parsed(delete, |done| O::DeletePrefix(v1::DeletePrefixRequest::response(done)))
            }
            W::Transact(transact) => {
                self.parsed(transact, |done| O::Transact(v1::TransactRequest::response(done)))
            }
        }
    }

    fn parsed<M: Mutation>(&self, message: M, respond: fn(Done) -> O) -> Result<Parsed, Status> {
        let (swarm, request) = self.service.mutation(&self.call, message)?;
        let deadline = Instant::now() + self.service.request_timeout;
        Ok(Parsed { swarm, request: Arc::new(request), deadline, respond })
    }

    fn accept(&mut self, write: Result<Parsed, Status>) {
        let write = match write {
            Ok(write) => write,
            Err(status) => return self.push(0, Box::pin(std::future::ready(refused(status)))),
        };
        let Parsed { swarm, request, deadline, .. } = &write;
        let coordinator = &self.service.coordinator;
        match coordinator.submit(&self.call.caller, swarm, Arc::clone(request), *deadline) {
            Ok(writing) => {
                let bytes = request.weight();
                self.push(bytes, Box::pin(outcome(self.service.clone(), write, writing)));
            }
            // Backpressure: the stream is not read on until there is room.
            Err(Error::Overloaded { .. } | Error::Exhausted { .. }) if Instant::now() < *deadline => {
                self.parked = Some((write, Box::pin(sleep(FULL_LANE_PAUSE))));
            }
            Err(error) => self.push(0, Box::pin(std::future::ready(refused(of(error))))),
        }
    }

    fn push(&mut self, bytes: usize, outcome: BoxFuture<'static, O>) {
        self.bytes += bytes;
        self.slots.push_back(Slot { bytes, outcome });
    }

    /// The outcome of the oldest write, if there is one.
    fn oldest(&mut self, context: &mut Context<'_>) -> Poll<Option<O>> {
        let Some(slot) = self.slots.front_mut() else { return Poll::Ready(None) };
        let outcome = ready!(slot.outcome.poll_unpin(context));
        self.bytes -= slot.bytes;
        self.slots.pop_front();
        // A lane that answers has room again.
        if let Some((_, pause)) = &mut self.parked {
            pause.as_mut().reset(Instant::now());
        }
        Poll::Ready(Some(outcome))
    }

    fn has_lost_patience(&mut self, context: &mut Context<'_>) -> bool {
        self.patience.as_mut().is_some_and(|patience| patience.as_mut().poll(context).is_ready())
    }
}

impl Stream for WriteStream {
    type Item = Result<v1::WriteResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // Answers first: reading on costs more, and what is answered makes room for it.
        match this.oldest(context) {
            Poll::Ready(Some(outcome)) => return Poll::Ready(Some(Ok(answer(outcome)))),
            Poll::Ready(None) | Poll::Pending => {}
        }
        if this.has_lost_patience(context) {
            this.patience = None;
            this.slots.clear();
            this.ended = Some(Err(of(Error::DeadlineExceeded)));
        } else if this.ended.is_none() && this.draining.as_mut().poll(context).is_ready() {
            this.ended = Some(Err(of(Error::Draining)));
        }
        let was_empty = this.slots.is_empty();
        this.fill(context);
        if was_empty && !this.slots.is_empty() {
            return this.oldest(context).map(|outcome| outcome.map(|outcome| Ok(answer(outcome))));
        }
        if !this.slots.is_empty() {
            return Poll::Pending;
        }
        let Some(ended) = this.ended.take() else { return Poll::Pending };
        this.ended = Some(Ok(()));
        Poll::Ready(ended.err().map(Err))
    }
}

/// Waits for what a write comes to.
async fn outcome(service: Service, write: Parsed, writing: Writing) -> O {
    let done = match service.coordinator.finish(writing, write.deadline).await {
        Ok(written) => service.done(&write.swarm, written).await,
        Err(error) => Err(error),
    };
    done.map_or_else(|error| refused(of(error)), write.respond)
}

fn answer(outcome: O) -> v1::WriteResponse {
    v1::WriteResponse { outcome: Some(outcome) }
}

/// The details of a status are a `google.rpc.Status`, and so is an error of the stream.
fn refused(status: Status) -> O {
    let error = v1::WriteError::decode(status.details()).unwrap_or_default();
    O::Error(v1::WriteError { code: status.code() as i32, message: status.message().into(), ..error })
}
