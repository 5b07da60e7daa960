//! One connection, from its first words to its end. Knows HTTP/2 and the bounds, nothing of what is called on it.

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    codegen::{
        Service as _,
        http::{Request, Response},
    },
    service::Routes,
};

use super::{
    admission::{Admission, Inbound},
    boundary::explain,
    outbound::{Outbound, Unsent},
    server::Transport,
    status::of,
    tally::Tally,
};
use crate::{
    coordinator::{Budget, Error},
    metrics::Metrics,
};

/// The least that a client of HTTP/2 says first: the preface, and the head of its settings.
const FIRST_WORDS_BYTES: usize = 24 + 9;
/// Headers up to so many times the limit are taken in, so that whoever sends them can be told what is wrong. Of larger
/// ones the transport says so, in its own way.
const HEADERS_TAKEN_IN: u32 = 4;

/// What is answered on a connection.
#[derive(Clone)]
pub(super) enum Answers {
    /// Calls go to the services, and their bytes come out of a budget.
    Services(Routes, Budget, Arc<Metrics>),
    /// Every call is refused.
    Refusal(Error, Arc<Metrics>),
}

impl Answers {
    fn metrics(&self) -> &Arc<Metrics> {
        match self {
            Self::Services(_, _, metrics) | Self::Refusal(_, metrics) => metrics,
        }
    }
}

/// Serves one connection until it ends, is idle for too long, or, after `soft`, has nothing open any more.
pub(super) async fn serve<S>(socket: S, answers: Answers, transport: Transport, soft: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let said = Arc::new(AtomicUsize::new(0));
    let calls = Arc::new(Calls::default());
    let refuses = matches!(answers, Answers::Refusal(..));
    let entry = Arc::new(Entry {
        answers,
        unsent: Arc::new(Unsent::new(transport.unsent_bytes_max)),
        calls: Arc::clone(&calls),
        header_bytes_max: transport.header_bytes_max as usize,
        request_timeout: transport.request_timeout,
    });
    let service = service_fn(move |request| Arc::clone(&entry).answer(request));
    let io = TokioIo::new(Listened { socket, said: Arc::clone(&said) });
    let mut connection = pin!(builder(&transport).serve_connection(io, service));
    let mut check = pin!(sleep_until(Instant::now() + transport.handshake_timeout));
    let mut is_ending = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended with an error");
                }
                return;
            }
            () = soft.cancelled(), if !is_ending => {
                if said.load(Ordering::Relaxed) < FIRST_WORDS_BYTES {
                    return;
                }
                is_ending = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut check => {
                if said.load(Ordering::Relaxed) < FIRST_WORDS_BYTES || (is_ending && calls.are_none()) || refuses {
                    tracing::debug!("a connection was closed that had nothing to say");
                    return;
                }
                if calls.were_none() && !is_ending {
                    is_ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                check.as_mut().reset(Instant::now() + transport.idle_timeout);
            }
        }
    }
}

fn builder(transport: &Transport) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(transport.stream_window_bytes)
        .initial_connection_window_size(transport.connection_window_bytes)
        .max_frame_size(transport.frame_bytes_max)
        .max_header_list_size(transport.header_bytes_max.saturating_mul(HEADERS_TAKEN_IN))
        .max_send_buf_size(transport.send_buffer_bytes_max)
        .max_concurrent_streams(transport.streams_max)
        // By default a client that gives up 20 calls before they are looked at loses its connection, and with it every
        // other call and watch on it. Agents do give up; what they may have open is bound above.
        .max_pending_accept_reset_streams(transport.streams_max as usize)
        .keep_alive_interval(transport.keepalive_interval)
        .keep_alive_timeout(transport.keepalive_timeout);
    builder
}

/// What the calls of one connection share.
struct Entry {
    answers: Answers,
    unsent: Arc<Unsent>,
    calls: Arc<Calls>,
    header_bytes_max: usize,
    request_timeout: Duration,
}

impl Entry {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Outbound>, Infallible> {
        let open = self.calls.open();
        let is_unary = is_unary(request.uri().path());
        let mut tally = Tally::new(self.answers.metrics(), request.uri().path(), is_unary);
        let (answer, admission) = match self.admit(&request) {
            Err(refused) => (refused.into_http(), None),
            Ok((mut routes, admission)) => {
                let mut request =
                    request.map(|body| Body::new(Inbound::new(body, Arc::clone(&admission), is_unary)));
                request.extensions_mut().insert(Arc::clone(&admission));
                match routes.call(request).await {
                    Ok(answer) => (answer, Some(admission)),
                    Err(error) => match error {},
                }
            }
        };
        let answer = explain(answer);
        tally.look(answer.headers());
        Ok(answer.map(|body| Outbound::new(body, Arc::clone(&self.unsent), admission, open, tally)))
    }

    fn admit(&self, request: &Request<Incoming>) -> Result<(Routes, Arc<Admission>), Status> {
        match &self.answers {
            Answers::Refusal(error, _) => Err(of(error.clone())),
            Answers::Services(routes, budget, _) => {
                let admission =
                    Admission::grant(request, budget, self.header_bytes_max, self.request_timeout)?;
                Ok((routes.clone(), admission))
            }
        }
    }
}

/// Whether a call's request is one message: so it is with all of ours but one, and not with reflection.
fn is_unary(path: &str) -> bool {
    path.starts_with("/swarmem.") && path != "/swarmem.v1.MemoryService/Write"
}

/// How many calls a connection has, and had.
#[derive(Debug, Default)]
struct Calls {
    open: AtomicUsize,
    /// Whether there was one since this was last asked.
    were_some: AtomicBool,
}

impl Calls {
    fn open(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    fn are_none(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Whether there is none, and was none since this was last asked.
    fn were_none(&self) -> bool {
        !self.were_some.swap(false, Ordering::Relaxed) && self.are_none()
    }
}

/// A call that is not over.
pub(super) struct Open(Arc<Calls>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.were_some.store(true, Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A socket that counts what its peer says, until it has said enough.
struct Listened<S> {
    socket: S,
    said: Arc<AtomicUsize>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        // Nobody else writes it.
        let said = self.said.load(Ordering::Relaxed);
        if said < FIRST_WORDS_BYTES {
            self.said.store(said + buffer.filled().len() - before, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
