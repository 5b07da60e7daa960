//! The integration tests, in one binary so that they link once.

#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

mod architecture;
mod rpc;
