//! A bug on purpose, for debug builds and on request only: acknowledges before the commit. The crash test is run
//! against it, to show that it would find such a bug. Knows nothing of what is committed.

use std::{sync::LazyLock, time::Duration};

use super::connections::Writer;

/// How long after the acknowledgement the commit happens; time enough to be killed in.
const DELAY: Duration = Duration::from_millis(30);

/// Whether `SWARMEM_SEEDED_BUG=ack-before-commit` was given.
pub(super) fn acknowledges_before_commit() -> bool {
    static SEEDED: LazyLock<bool> =
        LazyLock::new(|| std::env::var("SWARMEM_SEEDED_BUG").is_ok_and(|bug| bug == "ack-before-commit"));
    *SEEDED
}

/// Commits a while later; the writer stays locked until then.
pub(super) fn commit_later(writer: Writer) {
    tokio::spawn(async move {
        tokio::time::sleep(DELAY).await;
        if let Err(error) = writer.commit().await {
            tracing::error!(%error, "the seeded bug lost a commit");
        }
    });
}
