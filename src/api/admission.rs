//! What every call is held to before a service sees it: its headers are small, its deadline is read, its bytes are
//! counted as they come in, and its body has to end in time. Knows nothing of what is called.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{
    Code, Status,
    codegen::http::{Extensions, HeaderMap, Request},
};

use super::status::{Explained, invalid, of};
use crate::{
    coordinator::{Budget, Error, Permit},
    domain::Invalid,
};

/// What an open call counts for, beside its bytes: about what its task and its stream take.
const CALL_BYTES: usize = 4 * 1024;
/// HTTP/2 counts so much for each header beside its name and value.
const HEADER_OVERHEAD_BYTES: usize = 32;
/// An answer has to be back when its caller stops waiting, so a call has a little less time than its caller gave it.
const MARGIN: Duration = Duration::from_millis(5);
const TIMEOUT: &str = "grpc-timeout";

/// A call that was let in; clones of the pointer live as long as its request or its answer.
pub(super) struct Admission {
    deadline: Instant,
    /// The deadline that the caller gave, however far away.
    given: Option<Instant>,
    permit: Permit,
}

impl Admission {
    /// Lets a call in, or says why not.
    pub fn grant<B>(
        request: &Request<B>,
        budget: &Budget,
        header_bytes_max: usize,
        request_timeout: Duration,
    ) -> Result<Arc<Self>, Status> {
        check_size(request, header_bytes_max)?;
        let given = timeout(request.headers())?;
        let now = Instant::now();
        let deadline = |timeout: Duration| now + timeout.saturating_sub(MARGIN);
        let permit = budget.take(CALL_BYTES).map_err(of)?;
        Ok(Arc::new(Self {
            deadline: deadline(given.unwrap_or(request_timeout).min(request_timeout)),
            given: given.map(deadline),
            permit,
        }))
    }

    /// That of the request with these extensions.
    pub fn of(extensions: &Extensions) -> Result<Arc<Self>, Status> {
        let missing =
            || Explained::new(Code::Internal, "NOT_ADMITTED", "the call was not let in").into_status();
        extensions.get::<Arc<Self>>().map(Arc::clone).ok_or_else(missing)
    }

    /// When a unary call, or the opening of a stream, must be answered.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// When a stream must end; none: it may go on.
    pub fn stream_deadline(&self) -> Option<Instant> {
        self.given
    }

    /// Counts no more what came in so far.
    pub fn received(&self) {
        self.permit.shrink_to(CALL_BYTES);
    }

    /// As [`Admission::hold`], for an answer that must not be refused any more.
    pub fn hold_anyway(&self, bytes: usize) {
        self.permit.grow_anyway(bytes);
    }

    /// Counts so many bytes more until the call is over.
    pub fn hold(&self, bytes: usize) -> Result<(), Status> {
        self.permit.grow(bytes).map_err(of)
    }
}

fn check_size<B>(request: &Request<B>, max: usize) -> Result<(), Status> {
    let size = |name: &str, value: &[u8]| name.len() + value.len() + HEADER_OVERHEAD_BYTES;
    let headers = request.headers().iter().map(|(name, value)| size(name.as_str(), value.as_bytes()));
    let bytes = headers.sum::<usize>() + request.uri().path().len();
    if bytes <= max {
        return Ok(());
    }
    let problem = format!("the headers have {bytes} bytes, at most {max} are allowed");
    Err(Explained::new(Code::ResourceExhausted, "HEADERS_TOO_LARGE", problem).with("max", max).into_status())
}

/// `grpc-timeout`: 1 to 8 digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(TIMEOUT) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(parse_timeout);
    parsed.map(Some).ok_or_else(|| {
        invalid(Invalid::new(TIMEOUT, "is not 1 to 8 digits and one of the units H, M, S, m, u, n"))
    })
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let amount: u64 = is_number.then(|| digits.parse().ok())??;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// The body of a request, counted as it comes in.
pub(super) struct Inbound {
    body: Incoming,
    admission: Arc<Admission>,
    /// Set only once the body keeps its reader waiting; none for one that may take as long as it likes.
    patience: Patience,
}

enum Patience {
    Endless,
    Until(Instant),
    Waiting(Pin<Box<Sleep>>),
}

impl Inbound {
    /// `is_unary`: the body is one message, which must be here by the deadline.
    pub fn new(body: Incoming, admission: Arc<Admission>, is_unary: bool) -> Self {
        let patience = if is_unary { Patience::Until(admission.deadline) } else { Patience::Endless };
        Self { body, admission, patience }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Patience::Until(deadline) = self.patience {
            self.patience = Patience::Waiting(Box::pin(sleep_until(deadline)));
        }
        match &mut self.patience {
            Patience::Waiting(sleep) => sleep.as_mut().poll(cx),
            _ => Poll::Pending,
        }
    }
}

impl hyper::body::Body for Inbound {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let Poll::Ready(next) = Pin::new(&mut this.body).poll_frame(cx) else {
            ready!(this.poll_late(cx));
            return Poll::Ready(Some(Err(of(Error::DeadlineExceeded))));
        };
        let Some(frame) = next else { return Poll::Ready(None) };
        let frame = frame.map_err(|error| {
            let problem = format!("the request did not come in whole: {error}");
            Explained::new(Code::Cancelled, "REQUEST_CUT", problem).into_status()
        })?;
        if let Some(data) = frame.data_ref() {
            this.admission.hold(data.len())?;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_protocol_has_them() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("4m", Some(Duration::from_millis(4))),
            ("5u", Some(Duration::from_micros(5))),
            ("00000006n", Some(Duration::from_nanos(6))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("0m", Some(Duration::ZERO)),
            ("", None),
            ("m", None),
            ("1", None),
            ("1s", None),
            ("+1m", None),
            ("-1m", None),
            ("1.5S", None),
            ("100000000n", None),
            ("1 m", None),
            ("1é", None),
        ] {
            assert_eq!(parse_timeout(text), expected, "{text:?}");
        }
    }
}
