//! Errors that the transport answers before a service sees the call: they get codes and reasons like all others.

use tonic::{Code, Status, body::Body, codegen::http::Response};

use super::status::Explained;

/// Rewrites a response that is a bare error of the transport.
pub fn explain(response: Response<Body>) -> Response<Body> {
    match Status::from_header_map(response.headers()) {
        Some(status) if status.code() != Code::Ok && status.details().is_empty() => {
            explained(&status).into_status().into_http()
        }
        _ => response,
    }
}

/// An error that the transport found in the middle of a stream of requests.
pub(super) fn explained_status(status: Status) -> Status {
    if status.details().is_empty() { explained(&status).into_status() } else { status }
}

/// What the transport says of a request that is no message, not one message, or cut off.
const MALFORMED: [&str; 5] = [
    "decode Protobuf",
    "Missing request message",
    "Unexpected EOF decoding stream",
    "invalid compression flag",
    "compressed-flag but no grpc-encoding",
];

/// The transport tells its errors apart only by their texts.
fn explained(status: &Status) -> Explained {
    let text = status.message();
    match status.code() {
        Code::OutOfRange if text.contains("message length too large") => {
            Explained::new(Code::ResourceExhausted, "MESSAGE_TOO_LARGE", text)
        }
        Code::Internal if MALFORMED.iter().any(|part| text.contains(part)) => {
            Explained::new(Code::InvalidArgument, "MALFORMED_MESSAGE", text)
        }
        Code::Unimplemented if text.is_empty() => {
            Explained::new(Code::Unimplemented, "METHOD_UNKNOWN", "there is no such method")
        }
        Code::Unimplemented => Explained::new(Code::Unimplemented, "METHOD_UNKNOWN", text),
        code => Explained::new(code, "TRANSPORT", text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::StatusExt as _;

    #[test]
    fn bare_errors_get_a_reason_and_others_stay() {
        for (status, code, reason) in [
            (
                Status::out_of_range("Error, decoded message length too large: found 5 bytes"),
                Code::ResourceExhausted,
                "MESSAGE_TOO_LARGE",
            ),
            (
                Status::internal("failed to decode Protobuf message: x"),
                Code::InvalidArgument,
                "MALFORMED_MESSAGE",
            ),
            (
                Status::internal(
                    "protocol error: received message with compressed-flag but no grpc-encoding was specified",
                ),
                Code::InvalidArgument,
                "MALFORMED_MESSAGE",
            ),
            (Status::unimplemented(""), Code::Unimplemented, "METHOD_UNKNOWN"),
            (Status::internal("h2"), Code::Internal, "TRANSPORT"),
            (
                super::super::status::of(crate::coordinator::Error::Denied),
                Code::PermissionDenied,
                "NOT_PERMITTED",
            ),
        ] {
            let explained = Status::from_header_map(explain(status.into_http()).headers()).unwrap();
            assert_eq!(explained.code(), code);
            assert_eq!(explained.get_details_error_info().unwrap().reason, reason);
        }
    }
}
