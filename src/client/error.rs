//! What can go wrong with a call, read out of a gRPC status. Knows nothing of what the caller wanted.

use std::{collections::BTreeMap, fmt, time::Duration};

use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

use super::{greeting, reason};

/// A call failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was no connection to a coordinator: the call was not sent.
    #[error("no coordinator at {address}: {detail}")]
    Connect {
        /// Where it was looked for.
        address: String,
        /// What the transport said, in one line.
        detail: String,
    },
    /// What listens at the address is no coordinator: nothing was done, and asking again is of no use.
    #[error("no coordinator listens at {address}: {detail}")]
    NotACoordinator {
        /// Where.
        address: String,
        /// What it is, as far as it can be told.
        detail: String,
    },
    /// The call ended with a status: the coordinator refused it, or, for what writes nothing, the connection broke or no
    /// answer came in time.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// It is open whether the call was done: the connection broke, no answer came in time, or the coordinator does not know,
    /// and repeating it within the call's time did not settle it.
    #[error("whether the call was done is unknown: {cause}")]
    OutcomeUnknown {
        /// Repeating the same write under this id, within 24 hours, finds out, and does it if it was not done:
        /// [`Client::with_request_id`](super::Client::with_request_id). None for a call that takes no id.
        request_id: Option<String>,
        /// What the last attempt ended with.
        cause: Box<Error>,
    },
    /// The coordinator answered what is not of the protocol.
    #[error("the coordinator's answer does not follow the protocol: {0}")]
    Protocol(&'static str),
}

impl Error {
    /// The gRPC code that describes the failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Connect { .. } | Self::NotACoordinator { .. } => Code::Unavailable,
            Self::Refused(refusal) => refusal.code,
            Self::OutcomeUnknown { .. } => Code::Unknown,
            Self::Protocol(_) => Code::Internal,
        }
    }

    /// A machine-readable fact the coordinator gave, such as `floor` with `COMPACTED`.
    pub fn metadata(&self, name: &str) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.metadata.get(name).map(String::as_str),
            Self::Connect { .. }
            | Self::NotACoordinator { .. }
            | Self::OutcomeUnknown { .. }
            | Self::Protocol(_) => None,
        }
    }

    /// The stable reason the coordinator gave, one of those in [`reason`](super::reason) as a rule.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.reason.as_deref(),
            Self::OutcomeUnknown { .. } => Some(reason::OUTCOME_UNKNOWN),
            Self::Connect { .. } | Self::NotACoordinator { .. } | Self::Protocol(_) => None,
        }
    }

    /// What a status says of a call to `address`.
    pub(super) fn of(status: Status, address: &impl fmt::Display) -> Self {
        if let Some(detail) = greeting::stranger(&status) {
            return Self::NotACoordinator { address: address.to_string(), detail };
        }
        if let Some(error) = unsent(&status) {
            return Self::connect(address, error);
        }
        let cause = innermost(&status).to_string();
        let mut refusal = Refusal::from(status);
        if refusal.origin == Origin::Connection {
            refusal.message = format!("the connection to {address} broke: {cause}");
        }
        Self::Refused(Box::new(refusal))
    }

    /// No answer came from `address` in time.
    pub(super) fn no_answer(address: &impl fmt::Display, time: Duration) -> Self {
        Self::broken(Code::DeadlineExceeded, format!("no answer from {address} within {time:?}"))
    }

    /// The connection failed, and nothing is known of what was asked over it.
    pub(super) fn broken(code: Code, message: impl Into<String>) -> Self {
        let refusal = Refusal::from(Status::new(code, message));
        Self::Refused(Box::new(Refusal { origin: Origin::Connection, ..refusal }))
    }

    /// A failure to reach `address`, told by the innermost cause, which is the one that says why.
    pub(super) fn connect(address: &impl fmt::Display, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Connect { address: address.to_string(), detail: innermost(error).to_string() }
    }
}

fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

impl From<prost::DecodeError> for Error {
    fn from(_: prost::DecodeError) -> Self {
        Self::Protocol("a message cannot be read")
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(Refusal::from(status)))
    }
}

/// The transport's failure to connect, or to hand a call to a connection that ended meanwhile, if that is what the status is
/// of: nothing of the call was sent.
fn unsent(status: &Status) -> Option<&(dyn std::error::Error + 'static)> {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        // On HTTP/2, what is cancelled was never taken from the queue before the connection.
        let was_queued = error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled);
        if was_queued || error.is::<ConnectError>() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// The transport reports its own deadline as a cancellation.
pub(super) fn is_local_timeout(status: &Status) -> bool {
    status.code() == Code::Cancelled && status.message() == TimeoutExpired(()).to_string()
}

/// Where a status comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was sent: by the coordinator if it has a reason, else by whatever stands between.
    Coordinator,
    /// It was made here, because the connection broke or nothing came in time.
    Connection,
}

/// What a status says, its `google.rpc` details included.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// Where it comes from.
    pub origin: Origin,
    /// The gRPC code.
    pub code: Code,
    /// For humans.
    pub message: String,
    /// `google.rpc.ErrorInfo.reason`: stable, to be acted on. None: the status is not the coordinator's own.
    pub reason: Option<String>,
    /// `google.rpc.ErrorInfo.metadata`, such as the floor with `COMPACTED`.
    pub metadata: BTreeMap<String, String>,
    /// `google.rpc.BadRequest`: what is wrong with which field.
    pub fields: Vec<FieldViolation>,
    /// `google.rpc.RetryInfo`: how long to wait before the call is worth repeating.
    pub retry_after: Option<Duration>,
}

/// One field of a request that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldViolation {
    /// The field's path in the request, such as `put.namespace`.
    pub field: String,
    /// What is wrong with it.
    pub description: String,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) = match details.error_info() {
            Some(info) => (
                Some(info.reason.clone()).filter(|reason| !reason.is_empty()),
                info.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            ),
            None => (None, BTreeMap::new()),
        };
        let fields = details.bad_request().map_or_else(Vec::new, |bad| {
            bad.field_violations
                .iter()
                .map(|violation| FieldViolation {
                    field: violation.field.clone(),
                    description: violation.description.clone(),
                })
                .collect()
        });
        // Only what was made here knows a cause; and a message that breaks off is told without one.
        let broken = std::error::Error::source(&status).is_some()
            || (status.code() == Code::Internal && status.message().starts_with("Unexpected EOF"));
        let origin = if broken && reason.is_none() { Origin::Connection } else { Origin::Coordinator };
        Self {
            origin,
            code: status.code(),
            message: status.message().to_owned(),
            reason,
            metadata,
            fields,
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A status of the transport often has no words of its own.
        let message = if self.message.is_empty() { self.code.description() } else { self.message.as_str() };
        f.write_str(message)?;
        let unsaid = |violation: &&FieldViolation| !message.contains(&violation.description);
        for FieldViolation { field, description } in self.fields.iter().filter(unsaid) {
            write!(f, "; {field}: {description}")?;
        }
        match &self.reason {
            Some(reason) => write!(f, " ({reason})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn details_are_read_out_of_a_status() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("COMPACTED", "swarmem", HashMap::from([("floor".to_owned(), "17".to_owned())]))
            .add_bad_request_violation("start.revision", "is below the floor")
            .set_retry_info(Some(Duration::from_secs(2)));
        let status = Status::with_error_details(Code::OutOfRange, "too old", details);

        let error = Error::from(status);

        assert_eq!(error.code(), Code::OutOfRange);
        assert_eq!(error.reason(), Some("COMPACTED"));
        assert_eq!(error.to_string(), "too old; start.revision: is below the floor (COMPACTED)");
        let Error::Refused(refusal) = error else { panic!("not a refusal") };
        assert_eq!(refusal.metadata["floor"], "17");
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(2)));
        assert_eq!(refusal.fields[0].field, "start.revision");
    }

    #[test]
    fn a_status_without_details_still_says_something() {
        let error = Error::from(Status::unavailable(""));
        assert_eq!(error.reason(), None);
        assert!(!error.to_string().is_empty());
    }
}
