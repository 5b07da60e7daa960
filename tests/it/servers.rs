//! Servers that the tests run against: real ones, private to a test, on loopback, in folders of their own. One that is
//! not installed fails the test; `tests/run` installs them.

pub mod redis;
