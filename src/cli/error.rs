//! What a command ends with: one line on stderr with the way out, and an exit code. Knows nothing of commands.

use std::io;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::Format;
use crate::client::{self, Code, Endpoint, Origin, PORT_DEFAULT, Refusal};

/// Done.
pub(super) const OK: u8 = 0;
/// Failed for a reason without a code of its own.
pub(super) const FAILED: u8 = 1;
/// The command line is wrong.
pub(super) const USAGE: u8 = 2;
const NOT_FOUND: u8 = 3;
const CONFLICT: u8 = 4;
const UNAVAILABLE: u8 = 5;
const DENIED: u8 = 6;
const INVALID_INPUT: u8 = 7;
const POSITION_GONE: u8 = 8;
const LIMIT: u8 = 9;
/// As shells say it of a command that SIGINT ended.
const INTERRUPTED: u8 = 130;

/// A command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A call failed.
    #[error(transparent)]
    Client(#[from] client::Error),
    /// A watch ended before its time; with the token of what was printed last, if anything was.
    #[error("{error}")]
    WatchEnded {
        /// Why.
        error: client::Error,
        /// Resumes behind what was printed.
        token: Option<String>,
    },
    /// Somebody stopped a watch; with the token of what was printed last, if anything was.
    #[error("stopped")]
    Interrupted {
        /// Resumes behind what was printed.
        token: Option<String>,
    },
    /// The command line or the configuration is wrong in a way that shows only when it is run.
    #[error("{0}")]
    Usage(String),
    /// A file or text given to the command cannot be used.
    #[error("{0}")]
    Input(String),
    /// The coordinator answered, and the answer is that it does not serve.
    #[error("{0}")]
    NotServing(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

impl Error {
    /// The exit code that the failure ends the process with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Client(error) | Self::WatchEnded { error, .. } => exit_code_of(error),
            Self::Interrupted { .. } => INTERRUPTED,
            Self::Usage(_) => USAGE,
            Self::Input(_) => INVALID_INPUT,
            Self::NotServing(_) => UNAVAILABLE,
            // Whoever reads the output has seen enough, as with `| head`.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => OK,
            Self::Failed(_) | Self::Output(_) => FAILED,
        }
    }

    /// What happened and the way out, in one line.
    pub fn line(&self) -> String {
        let line = match self {
            Self::Client(error) => told(error),
            Self::WatchEnded { error, token: Some(token) } if can_resume(error) => {
                format!("{}; resume with `--from token:{token}`", told(error))
            }
            Self::WatchEnded { error, .. } => match next_revision(error) {
                Some(next) => format!("{}; --from {next} waits for the next", told(error)),
                None => told(error),
            },
            Self::Interrupted { token: Some(token) } => {
                format!("stopped; resume with `--from token:{token}`")
            }
            other => other.to_string(),
        };
        one_line(&line)
    }
}

/// Prints an error on stderr, in one line or as one object, and returns the exit code that goes with it.
pub fn print_error(error: &Error, format: Format) -> u8 {
    let code = error.exit_code();
    if code != OK && format == Format::Json {
        let told = serde_json::to_string(&ErrorView::new(error)).expect("texts and numbers are JSON");
        anstream::eprintln!("{told}");
    } else if let Error::Interrupted { .. } = error {
        anstream::eprintln!("{}", error.line());
    } else if code != OK {
        let style = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        anstream::eprintln!("{style}error:{style:#} {}", error.line());
    }
    code
}

/// What clap says about a wrong command line, without the usage that follows it.
pub(super) fn usage_line(rendered: &str) -> String {
    let mut said = rendered
        .split("\n\n")
        .map(str::trim)
        .filter(|part| part.starts_with("error:") || part.starts_with("tip:"))
        .map(|part| one_line(part.trim_start_matches("error:")))
        .collect::<Vec<_>>();
    said.push("see --help".to_owned());
    said.join("; ")
}

/// An error for programs.
#[derive(Serialize)]
struct ErrorView<'a> {
    /// Stable, to be acted on: the coordinator's reason, or one of this program's own.
    reason: String,
    /// For people.
    message: String,
    /// The first field of the request that is wrong, such as `put.namespace`.
    field: Option<&'a str>,
    exit_code: u8,
    /// Resumes a watch behind what it printed.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    /// The write whose outcome is unknown can be made again under it.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl<'a> ErrorView<'a> {
    fn new(error: &'a Error) -> Self {
        let of_call = match error {
            Error::Client(error) | Error::WatchEnded { error, .. } => Some(error),
            _ => None,
        };
        let token = match error {
            Error::WatchEnded { error, token } if can_resume(error) => token.as_deref(),
            Error::Interrupted { token } => token.as_deref(),
            _ => None,
        };
        let (field, request_id) = match of_call {
            Some(client::Error::Refused(refusal)) => {
                (refusal.fields.first().map(|wrong| &*wrong.field), None)
            }
            Some(client::Error::OutcomeUnknown { request_id, .. }) => (None, request_id.as_deref()),
            _ => (None, None),
        };
        Self {
            reason: reason(error),
            message: error.line(),
            field,
            exit_code: error.exit_code(),
            token,
            request_id,
        }
    }
}

fn reason(error: &Error) -> String {
    let own = match error {
        Error::Client(error) | Error::WatchEnded { error, .. } => return reason_of_call(error),
        Error::Interrupted { .. } => "INTERRUPTED",
        Error::Usage(_) => "USAGE",
        Error::Input(_) => "INVALID_INPUT",
        Error::NotServing(_) => "NOT_SERVING",
        Error::Failed(_) => "FAILED",
        Error::Output(_) => "OUTPUT_FAILED",
    };
    own.to_owned()
}

fn reason_of_call(error: &client::Error) -> String {
    if let Some(reason) = error.reason() {
        return reason.to_owned();
    }
    let own = match error {
        client::Error::Connect { .. } => "NO_COORDINATOR",
        client::Error::NotACoordinator { .. } => "NOT_A_COORDINATOR",
        client::Error::Protocol(_) => "PROTOCOL_VIOLATED",
        client::Error::OutcomeUnknown { .. } => "OUTCOME_UNKNOWN",
        client::Error::Refused(refusal) => match (refusal.origin, refusal.code) {
            (_, Code::DeadlineExceeded) => "NO_ANSWER",
            (Origin::Connection, _) => "CONNECTION_BROKEN",
            (Origin::Coordinator, _) => "REFUSED_WITHOUT_REASON",
        },
    };
    own.to_owned()
}

fn exit_code_of(error: &client::Error) -> u8 {
    if let client::Error::OutcomeUnknown { .. } = error {
        return UNAVAILABLE;
    }
    match error.code() {
        Code::Ok => OK,
        Code::NotFound => NOT_FOUND,
        Code::Aborted | Code::AlreadyExists => CONFLICT,
        Code::Unavailable | Code::DeadlineExceeded => UNAVAILABLE,
        Code::PermissionDenied | Code::Unauthenticated => DENIED,
        Code::InvalidArgument => INVALID_INPUT,
        Code::FailedPrecondition if error.reason() != Some("INCARNATION_CHANGED") => CONFLICT,
        Code::OutOfRange | Code::FailedPrecondition => POSITION_GONE,
        Code::ResourceExhausted => LIMIT,
        Code::Cancelled | Code::Unknown | Code::Unimplemented | Code::Internal | Code::DataLoss => FAILED,
    }
}

fn told(error: &client::Error) -> String {
    match error {
        client::Error::Connect { address, detail } => unreachable_line(address, detail),
        client::Error::NotACoordinator { .. } => format!("{error}; check --address"),
        client::Error::Refused(refusal) => match way_out(refusal) {
            Some(way_out) => format!("{refusal}; {way_out}"),
            None => refusal.to_string(),
        },
        client::Error::OutcomeUnknown { cause, .. } => {
            let cause = match &**cause {
                client::Error::Refused(refusal) => refusal.to_string(),
                cause => told(cause),
            };
            format!("{cause}; the write may have been done: look before repeating it")
        }
        client::Error::Protocol(_) => error.to_string(),
    }
}

/// Says in one line on stderr that a watch lost its stream and is coming back.
pub(super) fn print_lost(cause: &str) {
    let style = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    let cause = one_line(cause);
    anstream::eprintln!("{style}warning:{style:#} lost the coordinator ({cause}); going on once it is back");
}

pub(super) fn print_back() {
    anstream::eprintln!("the coordinator is back");
}

fn unreachable_line(address: &str, detail: &str) -> String {
    // The two ordinary cases need no more words.
    if !detail.contains("refused") && !detail.contains("No such file") {
        return format!("no coordinator at {address} ({detail}); check --address");
    }
    let serve = match address.parse::<Endpoint>() {
        Ok(endpoint) => match endpoint.unix_path() {
            Some(path) => format!("swarmem serve --unix-socket {}", path.display()),
            None if address == format!("127.0.0.1:{PORT_DEFAULT}") => "swarmem serve".to_owned(),
            None => format!("swarmem serve --listen {address}"),
        },
        Err(_) => "swarmem serve".to_owned(),
    };
    format!("no coordinator at {address}; start one with `{serve}`")
}

fn way_out(refusal: &Refusal) -> Option<String> {
    let by_reason = match refusal.reason.as_deref() {
        Some("ENTRY_NOT_FOUND") => Some("`swarmem list` shows what there is"),
        Some("SWARM_NOT_FOUND") => {
            Some("`swarmem swarm list` shows the swarms, `swarmem swarm create` makes one")
        }
        Some("SWARM_EXISTS") => Some("choose another name"),
        Some("COMPACTED") => Some("start at a later revision, or with --snapshot"),
        Some("INCARNATION_CHANGED") => Some("the history is another one now: start again with --snapshot"),
        Some("STORE_FULL") => {
            Some("free some space where the database is; the coordinator then goes on by itself")
        }
        Some("STORE_READ_ONLY") => {
            Some("make the database writable again; the coordinator then goes on by itself")
        }
        Some("CORRUPT") => Some("the coordinator's log says more; `swarmem restore` puts a backup in place"),
        _ => None,
    };
    let by_code = || match refusal.code {
        Code::Aborted => Some("read the entry again and use its etag"),
        Code::PermissionDenied | Code::Unauthenticated => Some("use an --agent and --role that may"),
        Code::DeadlineExceeded => Some("allow more with --timeout"),
        Code::Unimplemented => Some("the coordinator may be older than this program"),
        _ => None,
    };
    match (by_reason.or_else(by_code), refusal.retry_after) {
        (Some(words), _) => Some(words.to_owned()),
        (None, Some(delay)) => Some(format!("try again in {delay:?}")),
        (None, None) if refusal.code == Code::Unavailable => Some("try again in a moment".to_owned()),
        (None, None) => None,
    }
}

/// The revision that a watch which was to begin beyond it may begin at.
fn next_revision(error: &client::Error) -> Option<u64> {
    match error {
        client::Error::Refused(refusal) if error.reason() == Some("FUTURE_REVISION") => {
            refusal.metadata.get("newest")?.parse::<u64>().ok()?.checked_add(1)
        }
        _ => None,
    }
}

/// Whether the last token is still good after the stream ended so.
fn can_resume(error: &client::Error) -> bool {
    !matches!(
        error.code(),
        Code::NotFound | Code::OutOfRange | Code::FailedPrecondition | Code::InvalidArgument
    )
}

/// Without whatever ends a line or controls a terminal.
pub(super) fn one_line(text: &str) -> String {
    text.split(|c: char| c.is_control() || c.is_whitespace())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use crate::client::Status;
    use clap::Parser as _;

    use super::*;

    fn refused(status: Status) -> Error {
        Error::Client(client::Error::from(status))
    }

    fn unreachable(address: &str, detail: &str) -> String {
        let (address, detail) = (address.to_owned(), detail.to_owned());
        Error::Client(client::Error::Connect { address, detail }).line()
    }

    #[test]
    fn a_missing_coordinator_is_told_with_the_way_out() {
        let refused = "Connection refused (os error 111)";
        assert_eq!(
            unreachable("127.0.0.1:7420", refused),
            "no coordinator at 127.0.0.1:7420; start one with `swarmem serve`"
        );
        assert_eq!(
            unreachable("127.0.0.1:9", refused),
            "no coordinator at 127.0.0.1:9; start one with `swarmem serve --listen 127.0.0.1:9`"
        );
        assert_eq!(
            unreachable("unix:/run/s", "No such file or directory (os error 2)"),
            "no coordinator at unix:/run/s; start one with `swarmem serve --unix-socket /run/s`"
        );
        assert!(unreachable("nowhere:1", "failed to lookup").contains("(failed to lookup)"));
    }

    #[test]
    fn every_error_is_one_line() {
        let line = refused(Status::internal("first\nsecond\r\n\tthird\u{1b}[31m")).line();
        assert_eq!(line, "first second third [31m");
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        assert_eq!(refused(Status::not_found("x")).exit_code(), 3);
        assert_eq!(refused(Status::aborted("x")).exit_code(), 4);
        assert_eq!(refused(Status::already_exists("x")).exit_code(), 4);
        assert_eq!(refused(Status::unavailable("x")).exit_code(), 5);
        assert_eq!(refused(Status::deadline_exceeded("x")).exit_code(), 5);
        assert_eq!(refused(Status::permission_denied("x")).exit_code(), 6);
        assert_eq!(refused(Status::invalid_argument("x")).exit_code(), 7);
        assert_eq!(refused(Status::out_of_range("x")).exit_code(), 8);
        assert_eq!(refused(Status::resource_exhausted("x")).exit_code(), 9);
        assert_eq!(refused(Status::internal("x")).exit_code(), 1);
        assert_eq!(Error::Usage(String::new()).exit_code(), 2);
        assert_eq!(Error::Output(io::ErrorKind::BrokenPipe.into()).exit_code(), 0);
    }

    #[test]
    fn a_broken_watch_says_how_to_resume() {
        let token = Some("abc".to_owned());
        let error = client::Error::from(Status::unavailable("draining"));
        assert!(
            Error::WatchEnded { error, token: token.clone() }
                .line()
                .ends_with("resume with `--from token:abc`")
        );
        let error = client::Error::from(Status::not_found("gone"));
        assert!(!Error::WatchEnded { error, token }.line().contains("resume"));
    }

    #[test]
    fn a_wrong_command_line_is_told_in_one_line() {
        let error = super::super::Cli::try_parse_from(["swarmem", "get"]).unwrap_err();
        let line = usage_line(&error.render().to_string());
        assert!(line.contains("<NAMESPACE> <KEY>"), "{line}");
        assert!(line.ends_with("see --help") && !line.contains('\n'), "{line}");
    }
}
