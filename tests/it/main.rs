//! The integration tests, one binary.

mod watch;
