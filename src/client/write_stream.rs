//! The client's half of `MemoryService.Write`: writes are sent one after another without waiting in between, and each has
//! a future of its own outcome. A stream that breaks is opened again and what was unanswered is sent once more, in its
//! order and with its request ids, so nothing is written twice. Knows nothing of what the answers mean.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::stream;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::{Instant, sleep_until, timeout_at},
};
use tonic::{Code, Status, Streaming, service::interceptor::InterceptedService};

use super::{
    Client, Error, Transport, memory_on,
    newest::{Basis, Stand},
    retry,
    writes::request_id,
};
use crate::wire::v1::{
    self, memory_service_client::MemoryServiceClient, write_request::Write, write_response::Outcome,
};

/// Writes that one stream may have unanswered unless told otherwise: what a coordinator reads ahead by default.
pub const IN_FLIGHT_MAX: usize = 1024;

/// A stream of writes. Clones send on the same stream. Once the last is dropped and all is answered, it is closed.
#[derive(Clone, Debug)]
pub struct WriteStream {
    client: Client,
    room: Arc<Semaphore>,
    commands: mpsc::Sender<Sent>,
}

/// The outcome of a write that was sent. Dropping it does not withdraw the write.
#[derive(Debug)]
pub struct Answer<T> {
    outcome: oneshot::Receiver<Result<Outcome, Error>>,
    read: fn(Outcome) -> Option<T>,
}

impl<T> Future for Answer<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(context));
        let gone = || Err(open("the stream's task ended"));
        Poll::Ready(match outcome.unwrap_or_else(|_| gone())? {
            Outcome::Error(error) => Err(refusal(error)),
            outcome => (self.read)(outcome).ok_or_else(|| open("the answer is that of another write")),
        })
    }
}

/// A write that was sent, or is about to be.
#[derive(Debug)]
struct Sent {
    request: v1::WriteRequest,
    deadline: Instant,
    /// It may have reached a coordinator.
    is_out: bool,
    /// None once the caller was told that the time is over.
    reply: Option<oneshot::Sender<Result<Outcome, Error>>>,
    _room: OwnedSemaphorePermit,
}

impl Sent {
    fn answer(&mut self, outcome: Result<Outcome, Error>) {
        if let Some(reply) = self.reply.take() {
            // Whoever sent the write may not want to know.
            drop(reply.send(outcome));
        }
    }

    /// What a refusal says of a write that was sent before: it was not done this time, and may have been done then.
    fn refused_again(&self, error: Error) -> Error {
        match retry::settles(&error) {
            true => error,
            false => Error::OutcomeUnknown { request_id: id_of(&self.request), cause: Box::new(error) },
        }
    }
}

impl Client {
    /// A stream of writes with at most `in_flight` unanswered; see [`IN_FLIGHT_MAX`]. It is opened with the first write.
    /// Must be called within a tokio runtime.
    #[must_use]
    pub fn write_stream(&self, in_flight: usize) -> WriteStream {
        let in_flight = in_flight.clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(in_flight));
        // Whoever sends has room, so neither this queue nor that of the transport is ever full.
        let (commands, sent) = mpsc::channel(in_flight);
        let driver = Driver { client: self.clone(), in_flight, sent, unanswered: VecDeque::new() };
        tokio::spawn(driver.run());
        WriteStream { client: self.clone(), room, commands }
    }
}

impl WriteStream {
    /// Sends a put, once there is room for it; its [`Answer`] is awaited apart.
    ///
    /// # Errors
    /// When the stream's task is gone, which only the end of its runtime does. The answer: as
    /// [`Client::put`]. A write whose call timeout passes is
    /// [`Error::OutcomeUnknown`]; one whose stream is refused is left open.
    pub async fn put(&self, put: v1::PutOperation) -> Result<Answer<v1::PutResponse>, Error> {
        let request = v1::PutRequest { swarm: self.swarm(), put: Some(put), request_id: request_id() };
        self.send(Write::Put(request), |o| if let Outcome::Put(r) = o { Some(r) } else { None }).await
    }

    /// Sends a batch of puts; all or none of it is done.
    ///
    /// # Errors
    /// As [`WriteStream::put`].
    pub async fn batch_put(
        &self,
        puts: Vec<v1::PutOperation>,
    ) -> Result<Answer<v1::BatchPutResponse>, Error> {
        let request = v1::BatchPutRequest { swarm: self.swarm(), puts, request_id: request_id() };
        self.send(Write::BatchPut(request), |o| if let Outcome::BatchPut(r) = o { Some(r) } else { None })
            .await
    }

    /// Sends a delete.
    ///
    /// # Errors
    /// As [`WriteStream::put`].
    pub async fn delete(&self, delete: v1::DeleteOperation) -> Result<Answer<v1::DeleteResponse>, Error> {
        let request =
            v1::DeleteRequest { swarm: self.swarm(), delete: Some(delete), request_id: request_id() };
        self.send(Write::Delete(request), |o| if let Outcome::Delete(r) = o { Some(r) } else { None }).await
    }

    /// Sends a delete below a prefix.
    ///
    /// # Errors
    /// As [`WriteStream::put`].
    pub async fn delete_prefix(
        &self,
        delete: v1::DeletePrefixOperation,
    ) -> Result<Answer<v1::DeletePrefixResponse>, Error> {
        let request =
            v1::DeletePrefixRequest { swarm: self.swarm(), delete: Some(delete), request_id: request_id() };
        let read = |o| if let Outcome::DeletePrefix(r) = o { Some(r) } else { None };
        self.send(Write::DeletePrefix(request), read).await
    }

    /// Sends a transaction. `swarm` and `request_id` of the request are set here.
    ///
    /// # Errors
    /// As [`WriteStream::put`].
    pub async fn transact(
        &self,
        request: v1::TransactRequest,
    ) -> Result<Answer<v1::TransactResponse>, Error> {
        let request = v1::TransactRequest { swarm: self.swarm(), request_id: request_id(), ..request };
        self.send(Write::Transact(request), |o| if let Outcome::Transact(r) = o { Some(r) } else { None })
            .await
    }

    fn swarm(&self) -> String {
        self.client.options.swarm.clone()
    }

    async fn send<T>(&self, write: Write, read: fn(Outcome) -> Option<T>) -> Result<Answer<T>, Error> {
        let gone = |_| open("the stream's task ended");
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(gone)?;
        let (reply, outcome) = oneshot::channel();
        let request = v1::WriteRequest { write: Some(write) };
        let deadline = Instant::now() + self.client.options.call_timeout;
        let sent = Sent { request, deadline, is_out: false, reply: Some(reply), _room: room };
        self.commands.send(sent).await.map_err(|_| open("the stream's task ended"))?;
        Ok(Answer { outcome, read })
    }
}

/// Owns the stream, and what is unanswered on it.
struct Driver {
    client: Client,
    in_flight: usize,
    sent: mpsc::Receiver<Sent>,
    /// In the order sent.
    unanswered: VecDeque<Sent>,
}

/// Why a stream is not used any more.
enum Ended {
    /// Nobody sends any more, and all is answered.
    Done,
    /// It was not opened.
    Unopened(Status),
    /// It broke, or the server shuts down.
    Broken(Status),
}

impl Driver {
    async fn run(mut self) {
        let mut failures = 0_u32;
        loop {
            if self.unanswered.is_empty() {
                match self.sent.recv().await {
                    Some(sent) => self.unanswered.push_back(sent),
                    None => return,
                }
            }
            let answered_before = self.unanswered.len();
            let (status, was_open) = match self.serve().await {
                Ended::Done => return,
                Ended::Unopened(status) => (status, false),
                Ended::Broken(status) => (status, true),
            };
            let error = Error::of(status.clone(), self.client.connections.endpoint());
            let passes = may_pass(&error);
            // Whoever refuses to open a stream has read nothing of it; a connection that breaks says nothing of that.
            if was_open || passes {
                self.unanswered.iter_mut().for_each(|sent| sent.is_out = true);
            }
            if !passes {
                // The next write tries again, with a stream of its own.
                self.fail_all(&status);
                continue;
            }
            let is_further = self.unanswered.len() < answered_before;
            failures = if is_further { 1 } else { failures.saturating_add(1) };
            self.wait(self.client.options.reconnect.pause(failures, asked(&error), retry::chance())).await;
        }
    }

    /// Opens a stream, sends what is unanswered, and goes on until it ends.
    async fn serve(&mut self) -> Ended {
        let (outbound, mut requests) = mpsc::channel(self.in_flight);
        for sent in &self.unanswered {
            // There is room for all, and the receiver is at hand, three lines above.
            let _ = outbound.try_send(sent.request.clone());
        }
        let requests = stream::poll_fn(move |context| requests.poll_recv(context));
        let transport = InterceptedService::new(self.client.connections.writes(), self.client.stamp.clone());
        let mut memory: MemoryServiceClient<Transport> = memory_on(transport);
        let opening = memory.write(requests);
        let until = Instant::now() + self.client.options.call_timeout;
        let handed_over = self.unanswered.len();
        match self.meanwhile(timeout_at(until, opening)).await {
            Ok(Ok(response)) => {
                for sent in self.unanswered.iter().skip(handed_over) {
                    let _ = outbound.try_send(sent.request.clone());
                }
                self.exchange(outbound, response.into_inner()).await
            }
            Ok(Err(status)) => Ended::Unopened(status),
            Err(_) => Ended::Unopened(Status::unavailable("the stream was not opened in time")),
        }
    }

    /// Does something while nothing can be answered: takes what is sent, and tells those whose time is over.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            let due = self.next_deadline();
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(sent) = self.sent.recv() => self.unanswered.push_back(sent),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.expire(),
            }
        }
    }

    /// All wait equally long, so the oldest that still waits comes first.
    fn next_deadline(&self) -> Option<Instant> {
        self.unanswered.iter().find(|sent| sent.reply.is_some()).map(|sent| sent.deadline)
    }

    async fn exchange(
        &mut self,
        outbound: mpsc::Sender<v1::WriteRequest>,
        mut responses: Streaming<v1::WriteResponse>,
    ) -> Ended {
        // Dropped when nobody sends any more: that half-closes the stream.
        let mut outbound = Some(outbound);
        loop {
            let due = self.next_deadline();
            tokio::select! {
                biased;
                response = responses.message() => match response {
                    Ok(Some(response)) => self.answered(response),
                    Ok(None) if outbound.is_none() && self.unanswered.is_empty() => return Ended::Done,
                    Ok(None) => return Ended::Broken(Status::unavailable("the server ended the stream")),
                    Err(status) => return Ended::Broken(status),
                },
                sent = self.sent.recv(), if outbound.is_some() => match (sent, &outbound) {
                    (Some(sent), Some(outbound)) => {
                        // If the transport is gone, its error is the next response.
                        let _ = outbound.try_send(sent.request.clone());
                        self.unanswered.push_back(sent);
                    }
                    _ => outbound = None,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.expire(),
            }
        }
    }

    /// Answers come in the order of the writes.
    fn answered(&mut self, response: v1::WriteResponse) {
        if let Some((token, revision)) = response.outcome.as_ref().and_then(stand) {
            self.client.newest.learn(token, revision, Basis::Any);
        }
        if let Some(mut sent) = self.unanswered.pop_front() {
            let outcome = match response.outcome {
                Some(Outcome::Error(error)) if sent.is_out => Err(sent.refused_again(refusal(error))),
                Some(outcome) => Ok(outcome),
                None => Err(open("the server sent an empty answer")),
            };
            sent.answer(outcome);
        }
    }

    /// Tells those whose time is over. They keep their place: an answer may still come, and be theirs.
    fn expire(&mut self) {
        let now = Instant::now();
        for sent in self.unanswered.iter_mut().filter(|sent| sent.deadline <= now) {
            let cause = Box::new(open("no answer in time"));
            sent.answer(Err(Error::OutcomeUnknown { request_id: id_of(&sent.request), cause }));
        }
    }

    /// Ends what no other stream would settle: what may have been done is unknown, the rest was refused.
    fn fail_all(&mut self, status: &Status) {
        for mut sent in self.unanswered.drain(..) {
            let refused = Error::of(status.clone(), self.client.connections.endpoint());
            sent.answer(Err(match sent.is_out {
                true => Error::OutcomeUnknown { request_id: id_of(&sent.request), cause: Box::new(refused) },
                false => refused,
            }));
        }
    }

    /// Pauses between two streams. Whoever was told that its time is over has no place on the next.
    async fn wait(&mut self, pause: Duration) {
        self.meanwhile(tokio::time::sleep(pause)).await;
        self.unanswered.retain(|sent| sent.reply.is_some());
    }
}

/// Whether a new stream may fare better: the peer is away, shuts down, or the connection broke.
fn may_pass(error: &Error) -> bool {
    retry::resumes(error) || error.code() == Code::Internal
}

/// How long the coordinator asks to wait.
fn asked(error: &Error) -> Option<Duration> {
    match error {
        Error::Refused(refusal) => refusal.retry_after,
        _ => None,
    }
}

/// The state that an answer is of.
fn stand(outcome: &Outcome) -> Option<(&str, u64)> {
    match outcome {
        Outcome::Put(answer) => answer.stand(),
        Outcome::BatchPut(answer) => answer.stand(),
        Outcome::Delete(answer) => answer.stand(),
        Outcome::DeletePrefix(answer) => answer.stand(),
        Outcome::Transact(answer) => answer.stand(),
        Outcome::Error(_) => None,
    }
}

/// What the write can be found again by.
fn id_of(request: &v1::WriteRequest) -> Option<String> {
    let id = match request.write.as_ref()? {
        Write::Put(request) => &request.request_id,
        Write::BatchPut(request) => &request.request_id,
        Write::Delete(request) => &request.request_id,
        Write::DeletePrefix(request) => &request.request_id,
        Write::Transact(request) => &request.request_id,
    };
    Some(id.clone())
}

fn refusal(error: v1::WriteError) -> Error {
    let details = prost::Message::encode_to_vec(&error);
    Error::from(Status::with_details(Code::from(error.code), error.message, details.into()))
}

/// Whether the write was done is not known.
fn open(why: &str) -> Error {
    Error::broken(Code::DeadlineExceeded, format!("{why}; the write may have been done"))
}
