//! Servers that the tests run against: real ones, private, on loopback, in folders of their own. One that is not
//! installed fails the test; `tests/run` installs them.

pub mod clocks;
pub mod cluster;
pub mod cut;
pub mod pgbouncer;
pub mod postgres;
pub mod pushes;
pub mod redis;
pub mod tap;
