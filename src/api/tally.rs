//! Counts a call when it is over, by what its trailers say. Knows nothing of what was called.

use std::{sync::Arc, time::Instant};

use tonic::{Code, codegen::http::HeaderMap};

use crate::metrics::Metrics;

const STATUS: &str = "grpc-status";

/// A call that is not over; dropping it counts it.
pub(super) struct Tally {
    metrics: Arc<Metrics>,
    /// None for a stream.
    begun: Option<Instant>,
    method: String,
    /// None: it has not ended by itself.
    code: Option<Code>,
}

impl Tally {
    /// Begins; `is_unary` if its duration means something.
    pub fn new(metrics: &Arc<Metrics>, path: &str, is_unary: bool) -> Self {
        let method = path.strip_prefix('/').unwrap_or(path).to_owned();
        Self { metrics: Arc::clone(metrics), begun: is_unary.then(Instant::now), method, code: None }
    }

    /// Looks for the code in headers or trailers.
    pub fn look(&mut self, headers: &HeaderMap) {
        self.code = headers.get(STATUS).map(|code| Code::from_bytes(code.as_bytes())).or(self.code);
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let code = self.code.unwrap_or(Code::Cancelled);
        // Whoever calls what there is not must not fill the figures with names.
        let method = if code == Code::Unimplemented { "unknown" } else { &self.method };
        self.metrics.rpc(method, name(code), self.begun.map(|begun| begun.elapsed()));
    }
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
