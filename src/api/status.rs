//! The one table from errors to gRPC codes, reasons and details. Every error carries `google.rpc.ErrorInfo` with domain
//! `swarmem` and a stable reason.

use std::{collections::HashMap, time::Duration};

use prost::Message as _;
use tonic::{Code, Status};
use tonic_types::pb;

use super::encode;
use crate::{
    coordinator::{Error, Scarce},
    domain::{Invalid, entry::Version},
    wire::v1,
};

/// The domain of every reason.
pub const DOMAIN: &str = "swarmem";
/// Errors are carried in trailers, of which clients accept as little as 8 KiB, in base64 and with the message a second
/// time in percent encoding. A text is cut to so many bytes,
const TEXT_BYTES_MAX: usize = 256;
/// and the current entry of a failed precondition loses what is long until it fits into so many.
const ENTRY_BYTES_MAX: usize = 4 * 1024;
/// When a client may try again where nothing better is known.
const RETRY_SOON: Duration = Duration::from_millis(500);
/// and where somebody has to act first.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// A status in the making.
pub struct Explained {
    code: Code,
    reason: &'static str,
    message: String,
    metadata: HashMap<String, String>,
    details: Vec<prost_types::Any>,
}

impl Explained {
    /// A code with its reason.
    #[must_use]
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        let message = cut(&message.into());
        Self { code, reason, message, metadata: HashMap::new(), details: Vec::new() }
    }

    /// Adds a machine-readable fact.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.metadata.insert(name.into(), value.to_string());
        self
    }

    fn violation(mut self, field: &str, problem: &str) -> Self {
        let violation = pb::bad_request::FieldViolation {
            field: field.into(),
            description: cut(problem),
            ..Default::default()
        };
        self.detail("google.rpc.BadRequest", &pb::BadRequest { field_violations: vec![violation] });
        self
    }

    fn retry(mut self, after: Duration) -> Self {
        let retry_delay = prost_types::Duration::try_from(after).ok();
        self.detail("google.rpc.RetryInfo", &pb::RetryInfo { retry_delay });
        self
    }

    fn detail(&mut self, name: &str, message: &impl prost::Message) {
        let type_url = format!("type.googleapis.com/{name}");
        self.details.push(prost_types::Any { type_url, value: message.encode_to_vec() });
    }

    /// The finished status.
    #[must_use]
    pub fn into_status(mut self) -> Status {
        let info = pb::ErrorInfo {
            reason: self.reason.into(),
            domain: DOMAIN.into(),
            metadata: std::mem::take(&mut self.metadata),
        };
        self.detail("google.rpc.ErrorInfo", &info);
        let code = self.code;
        let status = pb::Status { code: code as i32, message: self.message.clone(), details: self.details };
        Status::with_details(code, self.message, status.encode_to_vec().into())
    }
}

/// Maps an error of the coordinator.
pub fn of(error: Error) -> Status {
    explained(error).into_status()
}

/// Maps a value that cannot be accepted.
pub fn invalid(error: Invalid) -> Status {
    of(Error::Invalid(error))
}

fn explained(error: Error) -> Explained {
    use Code as C;
    let message = error.to_string();
    match error {
        Error::Invalid(Invalid { field, problem }) => {
            Explained::new(C::InvalidArgument, "INVALID_FIELD", message).violation(&field, &problem)
        }
        Error::Denied => Explained::new(C::PermissionDenied, "NOT_PERMITTED", message),
        Error::SwarmNotFound => Explained::new(C::NotFound, "SWARM_NOT_FOUND", message),
        Error::SwarmDeleted => Explained::new(C::NotFound, "SWARM_DELETED", message),
        Error::SwarmExists => Explained::new(C::AlreadyExists, "SWARM_EXISTS", message),
        Error::EntryNotFound => Explained::new(C::NotFound, "ENTRY_NOT_FOUND", message),
        Error::ConditionFailed { path, current } => {
            let mut status = Explained::new(C::Aborted, "CONDITION_FAILED", message);
            let Some(version) = current else {
                return status.with("namespace", path.namespace.as_str()).with("key", path.key.as_str());
            };
            // The entry names itself.
            status = status.with("etag", version.etag().encode()).with("revision", version.mark.revision);
            status.detail("swarmem.v1.Entry", &short(&version));
            status
        }
        Error::RequestIdReused => Explained::new(C::InvalidArgument, "REQUEST_ID_REUSED", message)
            .violation("request_id", "was used for another request in the last 24 hours"),
        Error::PrefixTooLarge { prefix, max } => Explained::new(
            C::ResourceExhausted,
            "PREFIX_TOO_LARGE",
            format!("{message}; narrow the prefix, or give a delete a limit and repeat it"),
        )
        .with("prefix", cut(prefix.as_str()))
        .with("max", max),
        Error::AnswerTooLarge { max } => Explained::new(
            C::ResourceExhausted,
            "ANSWER_TOO_LARGE",
            format!("{message}; ask for fewer entries"),
        )
        .with("max", max),
        Error::Compacted { floor } => {
            Explained::new(C::OutOfRange, "COMPACTED", message).with("floor", floor)
        }
        Error::FutureRevision { newest } => {
            Explained::new(C::OutOfRange, "FUTURE_REVISION", message).with("newest", newest)
        }
        Error::IncarnationChanged => Explained::new(C::FailedPrecondition, "INCARNATION_CHANGED", message),
        Error::Overloaded { retry_after } => {
            Explained::new(C::ResourceExhausted, "OVERLOADED", message).retry(retry_after)
        }
        Error::Exhausted { what, max, retry_after } => {
            Explained::new(C::ResourceExhausted, exhausted(what), message).with("max", max).retry(retry_after)
        }
        Error::DeadlineExceeded => Explained::new(C::DeadlineExceeded, "DEADLINE_EXCEEDED", message),
        Error::SlowConsumer => Explained::new(C::ResourceExhausted, "SLOW_CONSUMER", message),
        Error::Draining => Explained::new(C::Unavailable, "DRAINING", message).retry(RETRY_SOON),
        Error::Unavailable => Explained::new(C::Unavailable, "STORE_UNAVAILABLE", message).retry(RETRY_SOON),
        Error::NotCached => Explained::new(C::Unavailable, "NOT_CACHED", message).retry(RETRY_SOON),
        Error::StoreFull => Explained::new(C::Unavailable, "STORE_FULL", message).retry(RETRY_LATER),
        Error::StoreReadOnly => Explained::new(C::Unavailable, "STORE_READ_ONLY", message).retry(RETRY_LATER),
        Error::OutcomeUnknown => Explained::new(
            C::Unknown,
            "OUTCOME_UNKNOWN",
            "whether the request was done is unknown; repeat it to find out, with the same request_id if it has one",
        ),
        Error::Corrupt => Explained::new(C::DataLoss, "CORRUPT", message),
    }
}

fn exhausted(what: Scarce) -> &'static str {
    match what {
        Scarce::Connections => "CONNECTIONS_EXHAUSTED",
        Scarce::BytesInFlight => "BYTES_EXHAUSTED",
        Scarce::BytesOfConnection => "CONNECTION_BYTES_EXHAUSTED",
        Scarce::Streams => "STREAMS_EXHAUSTED",
        Scarce::Reads => "READS_EXHAUSTED",
    }
}

/// The entry, without content and attributes or even tags and source where it would be too long.
fn short(version: &Version) -> v1::Entry {
    let is_loaded = version.body.content.len() as u64 == version.content_bytes;
    let mut entry = encode::entry(version, !is_loaded);
    if entry.encoded_len() > ENTRY_BYTES_MAX {
        entry = encode::entry(version, true);
    }
    if entry.encoded_len() > ENTRY_BYTES_MAX {
        entry = v1::Entry { tags: Vec::new(), source: String::new(), ..entry };
    }
    entry
}

/// What may hold something of the request, such as a path, is not sent back at any length.
fn cut(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.into();
    }
    format!("{}…", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        namespace::{EntryPath, Key, Namespace, Prefix},
        swarm::Revision,
    };
    use tonic_types::StatusExt as _;

    fn scarce(what: Scarce) -> Error {
        Error::Exhausted { what, max: 3, retry_after: Duration::from_secs(1) }
    }

    /// One of each variant; the exhaustive match above and this list are the published table.
    fn table() -> Vec<(Error, Code, &'static str)> {
        let path = EntryPath { namespace: Namespace::trusted("shared/x"), key: Key::trusted("k") };
        let prefix = Prefix::shared();
        let second = Duration::from_secs(1);
        vec![
            (Error::Invalid(Invalid::new("key", "bad")), Code::InvalidArgument, "INVALID_FIELD"),
            (Error::Denied, Code::PermissionDenied, "NOT_PERMITTED"),
            (Error::SwarmNotFound, Code::NotFound, "SWARM_NOT_FOUND"),
            (Error::SwarmExists, Code::AlreadyExists, "SWARM_EXISTS"),
            (Error::SwarmDeleted, Code::NotFound, "SWARM_DELETED"),
            (Error::EntryNotFound, Code::NotFound, "ENTRY_NOT_FOUND"),
            (Error::ConditionFailed { path, current: None }, Code::Aborted, "CONDITION_FAILED"),
            (Error::RequestIdReused, Code::InvalidArgument, "REQUEST_ID_REUSED"),
            (Error::PrefixTooLarge { prefix, max: 3 }, Code::ResourceExhausted, "PREFIX_TOO_LARGE"),
            (Error::AnswerTooLarge { max: 3 }, Code::ResourceExhausted, "ANSWER_TOO_LARGE"),
            (Error::Compacted { floor: Revision(7) }, Code::OutOfRange, "COMPACTED"),
            (Error::FutureRevision { newest: Revision(7) }, Code::OutOfRange, "FUTURE_REVISION"),
            (Error::IncarnationChanged, Code::FailedPrecondition, "INCARNATION_CHANGED"),
            (Error::Overloaded { retry_after: second }, Code::ResourceExhausted, "OVERLOADED"),
            (scarce(Scarce::Connections), Code::ResourceExhausted, "CONNECTIONS_EXHAUSTED"),
            (scarce(Scarce::BytesInFlight), Code::ResourceExhausted, "BYTES_EXHAUSTED"),
            (scarce(Scarce::BytesOfConnection), Code::ResourceExhausted, "CONNECTION_BYTES_EXHAUSTED"),
            (scarce(Scarce::Streams), Code::ResourceExhausted, "STREAMS_EXHAUSTED"),
            (scarce(Scarce::Reads), Code::ResourceExhausted, "READS_EXHAUSTED"),
            (Error::DeadlineExceeded, Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            (Error::SlowConsumer, Code::ResourceExhausted, "SLOW_CONSUMER"),
            (Error::Draining, Code::Unavailable, "DRAINING"),
            (Error::Unavailable, Code::Unavailable, "STORE_UNAVAILABLE"),
            (Error::NotCached, Code::Unavailable, "NOT_CACHED"),
            (Error::StoreFull, Code::Unavailable, "STORE_FULL"),
            (Error::StoreReadOnly, Code::Unavailable, "STORE_READ_ONLY"),
            (Error::OutcomeUnknown, Code::Unknown, "OUTCOME_UNKNOWN"),
            (Error::Corrupt, Code::DataLoss, "CORRUPT"),
        ]
    }

    #[test]
    fn every_error_has_its_code_and_reason() {
        for (error, code, reason) in table() {
            let status = of(error);
            let info = status.get_details_error_info().unwrap();
            assert_eq!(
                (status.code(), info.reason.as_str(), info.domain.as_str()),
                (code, reason, "swarmem")
            );
        }
    }

    #[test]
    fn details_say_what_to_do() {
        let status = of(Error::Compacted { floor: Revision(7) });
        assert_eq!(status.get_details_error_info().unwrap().metadata["floor"], "7");
        let status = invalid(Invalid::new("puts[3].key", "must not be empty"));
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert_eq!(
            (violations[0].field.as_str(), violations[0].description.as_str()),
            ("puts[3].key", "must not be empty")
        );
        for error in
            [Error::Draining, Error::Unavailable, Error::NotCached, Error::StoreFull, Error::StoreReadOnly]
        {
            assert!(of(error).get_details_retry_info().unwrap().retry_delay.is_some());
        }
        let status = of(scarce(Scarce::Streams));
        assert_eq!(status.get_details_error_info().unwrap().metadata["max"], "3");
        assert_eq!(status.get_details_retry_info().unwrap().retry_delay, Some(Duration::from_secs(1)));
    }
}
