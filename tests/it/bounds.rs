//! What no caller can make the coordinator do: hold more than it may, wait for longer than it may, or end later than it
//! may. Over real sockets; where a good client would not go so far, with frames put together by hand.

mod budgets;
mod calls;
mod connections;
mod drain;
mod peer;
