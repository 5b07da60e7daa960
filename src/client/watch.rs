//! A watch that outlives its connections: whatever ends a stream in passing, the next one goes on behind the last response. Does
//! its work while it is polled, and needs no task. Knows nothing of what the events say.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep, sleep_until, timeout_at},
};

use super::{Client, Error, WatchOnce, newest::Basis, reason, retry};
use crate::wire::{
    self, WatchResponse, WatchResponseType,
    v1::{self, watch_request::Start},
};

/// So many bookmarks may fail to come before a watch counts as dead.
const BOOKMARKS_MISSED_MAX: u32 = 3;

/// Whether a watch has a stream at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It has.
    Up,
    /// It lost it, and is coming back.
    Down {
        /// What happened, in one line.
        cause: String,
    },
}

/// Responses of a watch, each exactly once and in order, over as many connections as it takes.
///
/// A broken connection, a coordinator that drains, is overloaded or falls silent: the watch pauses ([`Options::reconnect`]) and goes
/// on behind the last response, also within a snapshot and within a revision that comes in fragments. Between the parts of either
/// no bookmark is returned. It ends with an error, once, when going on is impossible, such as `COMPACTED`, `INCARNATION_CHANGED`
/// and `SWARM_DELETED` (see [`reason`](super::reason)); then with None.
///
/// Nothing is read ahead: a watch that is not polled holds its place, and what comes meanwhile waits at the coordinator.
///
/// [`Options::reconnect`]: super::Options::reconnect
pub struct Watch {
    client: Client,
    /// As the caller gave it, with the interval of bookmarks filled in.
    request: v1::WatchRequest,
    /// Of the last response; empty before the first.
    token: String,
    /// Some of a snapshot or revision was returned, and more of it follows.
    amid: bool,
    state: State,
    /// In a row, without anything that got the watch further.
    failures: u32,
    /// The first response, which showed that the watch stands.
    first: Option<WatchResponse>,
    silence_max: Duration,
    link: watch::Sender<Link>,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = Result<WatchOnce, Error>> + Send>>),
    Open(Box<Open>),
    Pausing(Pin<Box<Sleep>>),
    Ended,
}

struct Open {
    stream: WatchOnce,
    since: Instant,
    heard: Instant,
    /// Wakes when nothing came for too long. Set anew only when it fires: a response must not cost a timer.
    silence: Pin<Box<Sleep>>,
    /// Nothing came of this stream yet.
    is_new: bool,
}

impl Client {
    /// Opens a watch that comes back by itself. `swarm` of the request is set here, and `bookmark_interval` as the
    /// options say unless the caller did. What happens after this has returned is in the watch, also if it begins now.
    ///
    /// # Errors
    /// See [`Error`]. Passing failures are repeated within the call timeout, if calls are.
    pub async fn watch(&self, request: v1::WatchRequest) -> Result<Watch, Error> {
        let deadline = self.deadline();
        let mut watch = Watch::new(self.clone(), request);
        let opened = std::future::poll_fn(|cx| watch.poll_opened(cx));
        match timeout_at(deadline, opened).await {
            Ok(opened) => opened?,
            Err(_) => return Err(watch.not_opened()),
        }
        Ok(watch)
    }
}

impl Watch {
    fn new(client: Client, request: v1::WatchRequest) -> Self {
        let options = client.options();
        let interval = request.bookmark_interval.unwrap_or_else(|| {
            // Beyond what a duration holds the coordinator refuses it in any case.
            wire::Duration::try_from(options.bookmark_interval).unwrap_or_default()
        });
        let spoken = Duration::try_from(interval).unwrap_or_default();
        let silence_max = spoken.saturating_mul(BOOKMARKS_MISSED_MAX).max(options.silence_min);
        let request = v1::WatchRequest { bookmark_interval: Some(interval), ..request };
        let state = State::Opening(opening(&client, request.clone()));
        let link = watch::Sender::new(Link::Up);
        let (token, amid, failures, first) = Default::default();
        Self { client, request, token, amid, state, failures, first, silence_max, link }
    }

    /// Waits for the next response; None once it has ended, which it does only behind an error. Safe to cancel: no response is
    /// lost.
    ///
    /// # Errors
    /// See [`Error`]; only those that coming back does not help against.
    pub async fn next(&mut self) -> Result<Option<WatchResponse>, Error> {
        std::future::poll_fn(|cx| self.poll_response(cx)).await.transpose()
    }

    /// Resumes behind the last response that was returned; what [`Client::watch`] takes as a start.
    pub fn token(&self) -> &str {
        match &self.first {
            // Behind what was received, but nothing was returned.
            Some(_) => "",
            None => &self.token,
        }
    }

    /// Tells when the watch loses its stream and when it has one again. Moves only while the watch is polled.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Waits until the first response shows that the watch stands, or for the error that keeps it from that.
    fn poll_opened(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let may_repeat = self.client.options().retry.is_some();
        loop {
            let polled = match self.poll_once(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(polled) => polled,
            };
            match polled {
                Ok(Some(response)) => {
                    self.first = Some(response);
                    return Poll::Ready(Ok(()));
                }
                Ok(None) => {}
                Err(error) if may_repeat && retry::resumes(&error) => self.pause(&error),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// What an opening that came to no end ends with.
    fn not_opened(&self) -> Error {
        match &*self.link.borrow() {
            Link::Up => {
                Error::no_answer(self.client.connections.endpoint(), self.client.options().call_timeout)
            }
            Link::Down { cause } => Error::broken(tonic::Code::Unavailable, cause.clone()),
        }
    }

    fn poll_response(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchResponse, Error>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        loop {
            if let State::Ended = self.state {
                return Poll::Ready(None);
            }
            let polled = match self.poll_once(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(polled) => polled,
            };
            match polled {
                Ok(Some(response)) => return Poll::Ready(Some(Ok(response))),
                Ok(None) => {}
                Err(error) if retry::resumes(&error) => self.pause(&error),
                Err(error) => {
                    if error.reason() == Some(reason::INCARNATION_CHANGED) {
                        self.client.newest.forget_all();
                    }
                    self.state = State::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    /// One step: a response to return, nothing yet, or what ended the stream.
    fn poll_once(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<WatchResponse>, Error>> {
        match &mut self.state {
            State::Ended => Poll::Ready(Err(Error::Protocol("the watch has ended"))),
            State::Pausing(pause) => {
                std::task::ready!(pause.as_mut().poll(cx));
                self.state = State::Opening(opening(&self.client, self.resumption()));
                Poll::Ready(Ok(None))
            }
            State::Opening(opening) => {
                let stream = std::task::ready!(opening.as_mut().poll(cx))?;
                let now = Instant::now();
                let silence = Box::pin(sleep_until(now + self.silence_max));
                let open = Open { stream, since: now, heard: now, silence, is_new: true };
                self.state = State::Open(Box::new(open));
                Poll::Ready(Ok(None))
            }
            State::Open(open) => match open.poll(cx, self.silence_max) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(response) => Poll::Ready(response.map(|response| self.take(response))),
            },
        }
    }

    /// Where to go on.
    fn resumption(&self) -> v1::WatchRequest {
        let mut request = self.request.clone();
        if !self.token.is_empty() {
            request.start = Some(Start::Token(self.token.clone()));
        }
        request
    }

    /// Moves behind a response. None if it is not for the caller.
    fn take(&mut self, response: WatchResponse) -> Option<WatchResponse> {
        let is_resumed = !self.token.is_empty();
        self.token.clone_from(&response.token);
        let is_bookmark = response.r#type() == WatchResponseType::Bookmark;
        if let State::Open(open) = &mut self.state {
            let is_opening = std::mem::take(&mut open.is_new);
            let lasted = open.heard.saturating_duration_since(open.since);
            // A stream that says hello and breaks is a failure still.
            if !is_bookmark || lasted >= self.client.options().reconnect.max {
                self.failures = 0;
            }
            if is_opening {
                self.link.send_if_modified(|link| std::mem::replace(link, Link::Up) != Link::Up);
            }
            // The caller has no part in that the stream is another one, or in how a revision is cut.
            if is_bookmark && (self.amid || (is_opening && is_resumed)) {
                return None;
            }
        }
        self.amid = match response.r#type() {
            WatchResponseType::Snapshot => true,
            WatchResponseType::Bookmark => self.amid,
            _ => response.fragment,
        };
        if !self.amid {
            self.client.newest.learn(&response.token, response.revision, Basis::Any);
        }
        Some(response)
    }

    /// Lets go of a stream that failed, for a while.
    fn pause(&mut self, error: &Error) {
        self.failures = self.failures.saturating_add(1);
        let asked = match error {
            Error::Refused(refusal) => refusal.retry_after,
            _ => None,
        };
        let pause = self.client.options().reconnect.pause(self.failures, asked, retry::chance());
        tracing::debug!(%error, ?pause, failures = self.failures, "a watch comes back");
        self.link.send_replace(Link::Down { cause: error.to_string() });
        self.state = State::Pausing(Box::pin(sleep(pause)));
    }
}

impl Open {
    fn poll(&mut self, cx: &mut Context<'_>, silence_max: Duration) -> Poll<Result<WatchResponse, Error>> {
        // What is there comes first: the caller may have been away for longer than any silence.
        match self.stream.poll(cx) {
            Poll::Ready(Some(response)) => {
                self.heard = Instant::now();
                return Poll::Ready(response);
            }
            Poll::Ready(None) => {
                return Poll::Ready(Err(Error::broken(
                    tonic::Code::Unavailable,
                    "the stream ended without a word",
                )));
            }
            Poll::Pending => {}
        }
        loop {
            std::task::ready!(self.silence.as_mut().poll(cx));
            let end = self.heard + silence_max;
            if end <= Instant::now() {
                self.stream.distrust();
                return Poll::Ready(Err(Error::no_answer(self.stream.endpoint(), silence_max)));
            }
            self.silence.as_mut().reset(end);
        }
    }
}

impl Stream for Watch {
    type Item = Result<WatchResponse, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_response(cx)
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("link", &*self.link.borrow()).finish_non_exhaustive()
    }
}

/// Opens a stream, once.
fn opening(
    client: &Client,
    request: v1::WatchRequest,
) -> Pin<Box<dyn Future<Output = Result<WatchOnce, Error>> + Send>> {
    let client = client.clone();
    Box::pin(async move {
        let limit = client.options.attempt_timeout.min(client.options.call_timeout);
        client.open_watch(request, limit).await
    })
}
