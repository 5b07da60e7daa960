//! What the bus over Redis promises, against real servers: what is published arrives in order, or a gap in its place.
//! Knows the bus from outside.

mod access;
mod breaking;
mod cluster;
pub mod harness;
mod listening;
mod sentinel;
mod serving;
