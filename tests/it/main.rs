//! Tests of the features, from outside.

mod conformance;
mod property;
