//! The service over real gRPC, as a user reads it in the comments of the protocol. Knows the protocol and how to start a
//! coordinator, nothing of what is behind it.

mod bad_input;
mod boundary;
mod fuzz;
pub mod harness;
mod idempotency;
mod identity;
mod limits;
mod listing;
mod reading;
mod swarms;
mod tokens;
mod transactions;
mod watching;
mod write_stream;
mod writing;
