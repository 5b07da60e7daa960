//! A bug on purpose, for debug builds and on request only: acknowledges before the commit. The crash test is run
//! against it, to show that it would find such a bug. Knows nothing of what is committed.

use std::{sync::LazyLock, thread, time::Duration};

use super::commit::Pending;
use crate::{domain::apply::Applied, store::Error};

/// How long after the acknowledgement the commit happens; time enough to be killed in.
const DELAY: Duration = Duration::from_millis(30);

/// Whether `SWARMEM_SEEDED_BUG=ack-before-commit` was given.
pub(super) fn acknowledges_before_commit() -> bool {
    static SEEDED: LazyLock<bool> =
        LazyLock::new(|| std::env::var("SWARMEM_SEEDED_BUG").is_ok_and(|bug| bug == "ack-before-commit"));
    *SEEDED
}

/// Acknowledges what is not committed yet, and waits a while.
#[expect(clippy::disallowed_methods, reason = "the bug is that time passes; the thread is the writer's own")]
pub(super) fn acknowledge(commits: &mut [Pending], came: &[Result<Applied, Error>]) {
    for (pending, came) in commits.iter_mut().zip(came) {
        let (reply, _) = tokio::sync::oneshot::channel();
        let acknowledged = match came {
            Ok(applied) => Ok(applied.clone()),
            Err(error) => Err(error.again()),
        };
        drop(std::mem::replace(&mut pending.reply, reply).send(acknowledged.map_err(Into::into)));
    }
    thread::sleep(DELAY);
}
