//! One watch stream, from its opening to its end. Does not come back after a broken connection: `watch` does.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream as _;
use tokio::time::timeout;
use tonic::{Streaming, service::interceptor::InterceptedService};

use super::{Client, Endpoint, Error, RESPONSE_BYTES_MAX, connections::Place, error};
use crate::wire::{WatchResponse, v1, v1::watch_service_client::WatchServiceClient};

/// An open watch that ends with its connection.
#[derive(Debug)]
pub struct WatchOnce {
    stream: Streaming<WatchResponse>,
    place: Place,
}

impl WatchOnce {
    /// Waits for the next response; None when the coordinator ended the stream without an error. Safe to cancel:
    /// no response is lost.
    ///
    /// # Errors
    /// See [`Error`]. The token of the last response resumes behind it.
    pub async fn next(&mut self) -> Result<Option<WatchResponse>, Error> {
        std::future::poll_fn(|cx| self.poll(cx)).await.transpose()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<WatchResponse, Error>>> {
        Pin::new(&mut self.stream).poll_next(cx).map_err(|status| Error::of(status, self.place.endpoint()))
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        self.place.endpoint()
    }

    /// Nothing came for too long: no other stream comes to this connection.
    pub(super) fn distrust(&self) {
        self.place.distrust();
    }
}

impl Client {
    /// Opens a watch that ends with its connection, for those who come back by themselves; [`Client::watch`] does it for them.
    /// `swarm` of the request is set here.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn watch_once(&self, request: v1::WatchRequest) -> Result<WatchOnce, Error> {
        self.open_watch(request, self.options.call_timeout).await
    }

    pub(super) async fn open_watch(
        &self,
        request: v1::WatchRequest,
        limit: Duration,
    ) -> Result<WatchOnce, Error> {
        let request = v1::WatchRequest { swarm: self.options.swarm.clone(), ..request };
        let place = self.connections.place();
        let transport = InterceptedService::new(place.channel.clone(), self.stamp.clone());
        let mut watches = WatchServiceClient::new(transport).max_decoding_message_size(RESPONSE_BYTES_MAX);
        // A `grpc-timeout` would end the stream itself, so only the opening is timed, and only here.
        match timeout(limit, watches.watch(request)).await {
            Ok(Ok(response)) => Ok(WatchOnce { stream: response.into_inner(), place }),
            Ok(Err(status)) if !error::is_local_timeout(&status) => {
                Err(Error::of(status, self.connections.endpoint()))
            }
            Ok(Err(_)) | Err(_) => {
                place.distrust();
                Err(Error::no_answer(self.connections.endpoint(), limit))
            }
        }
    }
}
