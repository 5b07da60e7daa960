//! Servers that the tests run against: private ones, started here, on ports and in folders of their own. A server that is not
//! installed fails the test.

pub mod cut;
pub mod pgbouncer;
pub mod postgres;
