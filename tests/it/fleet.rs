//! Two coordinators over one PostgreSQL, with Redis between them or without, seen from outside: what is promised across
//! replicas, while everything works and while something is cut off.

mod across;
mod bus_down;
pub mod harness;
mod polling;
mod rolling;
mod store_down;
