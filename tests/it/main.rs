//! The integration tests, in one binary so that they link once.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod architecture;
mod bounds;
mod bus;
mod cancel;
mod cli;
mod client;
mod conformance;
mod crash;
mod deploy;
mod disk;
mod faults;
mod fleet;
mod fuzz;
mod history;
mod http;
mod postgres;
mod process;
mod property;
mod recall;
mod rpc;
mod servers;
mod watch;
mod write_stream;
