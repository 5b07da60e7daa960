//! What can go wrong between us and the database, and what it means to a caller. Knows no statement.

use std::{fmt, time::Duration};

use tokio_postgres::error::{Severity, SqlState};

use crate::store::{Cause, Error};

/// Why there is no answer, or a bad one. Its text names codes and messages of the server; details, which may hold
/// what is stored, are left out.
#[derive(thiserror::Error)]
pub(super) enum Failure {
    /// The time of the call was over.
    #[error("no answer within {0:?}")]
    Elapsed(Duration),
    /// All connections were in use for as long as the call might take.
    #[error("no connection was free within {0:?}; store.connections says how many there are")]
    Busy(Duration),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// The server said so, or the connection to it failed.
    #[error("{}", told(.0))]
    Database(tokio_postgres::Error),
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the driver's: that shows the server's details.
        write!(f, "Failure({self})")
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl Failure {
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Database(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the server itself refused a statement, and so aborted its transaction: nothing of it will ever be
    /// committed, and the connection goes on. A server that ends, or a pooler in between, proves neither.
    pub fn aborted(&self) -> bool {
        let Self::Database(error) = self else { return false };
        error.as_db_error().is_some_and(|said| {
            said.parsed_severity() == Some(Severity::Error) && !said.code().code().starts_with("08")
        })
    }

    /// What it means where nothing can have been changed.
    pub fn error(self) -> Error {
        match self.code() {
            Some(&SqlState::DISK_FULL) => Error::Full(self.cause()),
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Error::ReadOnly(self.cause()),
            Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => Error::Corrupt(self.to_string()),
            _ => Error::Unavailable(self.cause()),
        }
    }

    /// What it means behind a statement that changes something, and was sent.
    pub fn outcome(self) -> Error {
        if self.aborted() { self.error() } else { Error::OutcomeUnknown(self.cause()) }
    }

    pub fn cause(self) -> Cause {
        Box::new(self)
    }
}

/// An error of the driver in one line.
pub(super) fn told(error: &tokio_postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        return format!("{} {}: {}", said.severity(), said.code().code(), said.message());
    }
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
