//! Serving the routes on sockets that are already bound, until the coordinator shuts down.

use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tower::util::MapResponseLayer;

use super::boundary::explain;
use crate::lifecycle::Lifecycle;

/// A peer that answers nothing for so long after so long of silence is gone.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// Calls and watches that one connection may have open. The transport's own default is 200, and a client that wants more
/// waits without a word.
const STREAMS_MAX: u32 = 1_000;

/// A bound socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A unix socket.
    Unix(UnixListener),
}

/// Serves until the soft cancellation: then it takes no new connections and ends once every call is answered.
pub async fn serve(listener: Listener, routes: Routes, lifecycle: Lifecycle) {
    let (interval, timeout) = KEEPALIVE;
    let router = Server::builder()
        .http2_keepalive_interval(Some(interval))
        .http2_keepalive_timeout(Some(timeout))
        .max_concurrent_streams(Some(STREAMS_MAX))
        // By default a client that gives up 20 calls before they are looked at loses its connection, and with it every
        // other call and watch on it. Agents do give up; what they may have open is bound above.
        .http2_max_pending_accept_reset_streams(Some(STREAMS_MAX as usize))
        .layer(MapResponseLayer::new(explain))
        .add_routes(routes);
    let ends = lifecycle.soft.clone().cancelled_owned();
    let served = match listener {
        Listener::Tcp(tcp) => {
            let incoming = TcpIncoming::from(tcp).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, ends).await
        }
        Listener::Unix(unix) => {
            router.serve_with_incoming_shutdown(UnixListenerStream::new(unix), ends).await
        }
    };
    if let Err(error) = served {
        tracing::error!(%error, "the listener failed; shutting down");
        lifecycle.soft.cancel();
    }
}
