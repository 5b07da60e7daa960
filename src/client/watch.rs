//! One watch stream, from its opening to its end. Does not come back after a broken connection: whoever holds
//! the last token does that.

use tonic::Streaming;

use super::{Client, Error, calls};
use crate::wire::{WatchResponse, v1};

/// An open watch.
#[derive(Debug)]
pub struct Watch {
    stream: Streaming<WatchResponse>,
}

impl Watch {
    /// Waits for the next response; None when the coordinator ended the stream without an error. Safe to cancel:
    /// no response is lost.
    ///
    /// # Errors
    /// See [`Error`]. The token of the last response resumes behind it.
    pub async fn next(&mut self) -> Result<Option<WatchResponse>, Error> {
        Ok(self.stream.message().await?)
    }
}

impl Client {
    /// Opens a watch on the connection for streams. `swarm` of the request is set here.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn watch(&self, request: v1::WatchRequest) -> Result<Watch, Error> {
        let request = v1::WatchRequest { swarm: self.options.swarm.clone(), ..request };
        // A `grpc-timeout` would end the stream itself, so only the opening is timed, and only here.
        let timeout = self.options.call_timeout;
        let mut watches = self.watches();
        match tokio::time::timeout(timeout, watches.watch(request)).await {
            Ok(Ok(response)) => Ok(Watch { stream: response.into_inner() }),
            Ok(Err(status)) => Err(Error::from(status)),
            Err(_) => Err(calls::no_answer_within(timeout)),
        }
    }
}
