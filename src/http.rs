//! The plain HTTP face: figures and probes. Knows the coordinator, and nothing of gRPC.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

use crate::{coordinator::Coordinator, lifecycle::Lifecycle};

/// Connections at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a peer may take for the headers of a request.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may take in all: each carries one request.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait when the system has no connection to give.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PAGES: &str = "swarmem\n\n/metrics  figures, for Prometheus\n/livez    whether the process runs\n\
                     /readyz   whether it serves reads and writes\n";

/// Whether the coordinator serves, as its health says.
pub type Readiness = Arc<dyn Fn() -> bool + Send + Sync>;

/// A bound socket.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Binds it.
    ///
    /// # Errors
    /// When the address is taken, or is not one of this machine.
    pub async fn bind(address: SocketAddr) -> std::io::Result<Self> {
        Ok(Self(TcpListener::bind(address).await?))
    }

    /// The address, with the port that was really taken.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Answers until the coordinator begins to shut down.
    pub async fn serve(self, coordinator: Coordinator, ready: Readiness, lifecycle: Lifecycle) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let pages = Arc::new(Pages { coordinator, ready });
        loop {
            let accepted = async {
                let permit = Arc::clone(&connections).acquire_owned().await;
                (permit, self.0.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = lifecycle.soft.cancelled() => return,
            };
            let Ok((socket, _)) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let pages = Arc::clone(&pages);
            lifecycle.spawn("http", async move {
                drop(timeout(CONNECTION_TIMEOUT, answer(socket, pages)).await);
                drop(permit);
            });
        }
    }
}

async fn answer(socket: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request| {
        let page = pages.page(&request);
        async { Ok::<_, Infallible>(page) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the http listener ended with an error");
    }
}

struct Pages {
    coordinator: Coordinator,
    ready: Readiness,
}

impl Pages {
    fn page(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/" => page(StatusCode::OK, TEXT, PAGES),
            "/metrics" => page(StatusCode::OK, OPEN_METRICS, self.coordinator.figures()),
            "/livez" => page(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" if (self.ready)() => page(StatusCode::OK, TEXT, "ok\n"),
            "/readyz" => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "not serving\n"),
            _ => page(StatusCode::NOT_FOUND, TEXT, PAGES),
        }
    }
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    page
}
