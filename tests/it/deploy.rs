//! What `deploy/` holds and what the pages about it say, as an operator uses it. Knows nothing of how it does it.

mod fleet;
mod local_fleet;
mod page;
