//! A watch whose every response is written down. Knows nothing of what the responses say.

use std::sync::atomic::Ordering;

use swarmem::{
    client::{Error, Watch, WatchOnce},
    wire::WatchResponse,
};

use super::{
    super::{
        record::{Step, What},
        wired,
    },
    Recorder,
};

/// A watch whose every response is written down.
pub struct Watching {
    recorder: Recorder,
    stream: usize,
    inner: Inner,
    /// Of the last response.
    pub token: Option<String>,
    /// Everything up to here has been seen.
    pub reached: u64,
    in_snapshot: bool,
}

pub(super) enum Inner {
    Lasting(Box<Watch>),
    Once(Box<WatchOnce>),
    Over,
}

/// Why a stream is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Over {
    /// The connection broke, or the service has to be asked again.
    Passing,
    /// For this reason its token is of no more use.
    Reason(String),
}

impl Watching {
    /// Of a stream that is not open yet.
    pub(super) fn new(recorder: Recorder, stream: usize) -> Self {
        Self { recorder, stream, inner: Inner::Over, token: None, reached: 0, in_snapshot: false }
    }

    pub(super) fn receive(&mut self, inner: Inner) {
        self.inner = inner;
    }

    /// Waits for the next response. Cancel-safe.
    pub async fn next(&mut self) -> Result<(), Over> {
        let response = match &mut self.inner {
            Inner::Lasting(watch) => watch.next().await,
            Inner::Once(watch) => watch.next().await,
            Inner::Over => return Err(self.over()),
        };
        match response {
            Ok(Some(response)) => {
                self.take(&response);
                Ok(())
            }
            Ok(None) => {
                self.inner = Inner::Over;
                Err(Over::Passing)
            }
            Err(error) => {
                self.end(&error);
                Err(self.over())
            }
        }
    }

    /// Leaves.
    pub fn leave(mut self) {
        if !matches!(self.inner, Inner::Over) {
            self.inner = Inner::Over;
            self.note(What::Left);
        }
    }

    /// Whether everything up to here has been seen, a snapshot being whole.
    pub fn has_reached(&self, revision: u64) -> bool {
        !self.in_snapshot && self.token.is_some() && self.reached >= revision
    }

    fn take(&mut self, response: &WatchResponse) {
        let what = wired::what(response);
        if let What::Events { events, .. } = &what
            && let Some(last) = events.last()
        {
            self.recorder.0.time_us.fetch_max(last.time_us, Ordering::SeqCst);
        }
        self.in_snapshot = match what {
            What::Snapshot { .. } => true,
            What::SnapshotEnd { .. } => false,
            _ => self.in_snapshot,
        };
        self.token = Some(response.token.clone());
        self.reached = response.revision;
        self.note(what);
    }

    pub(super) fn end(&mut self, error: &Error) {
        self.inner = Inner::Over;
        self.note(What::Ended {
            code: format!("{:?}", error.code()),
            reason: error.reason().map(str::to_owned),
            floor: error.metadata("floor").and_then(|floor| floor.parse().ok()),
        });
    }

    fn note(&self, what: What) {
        let at = self.recorder.now();
        self.recorder.history().streams[self.stream].steps.push(Step { at, what });
    }

    fn over(&self) -> Over {
        let history = self.recorder.history();
        match history.streams[self.stream].steps.last().map(|step| &step.what) {
            Some(What::Ended { reason: Some(reason), code, .. }) if code != "Unavailable" => {
                Over::Reason(reason.clone())
            }
            _ => Over::Passing,
        }
    }
}
