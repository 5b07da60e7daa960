//! The tail poll: one query for the heads of all active swarms, so that watchers converge even if the bus loses every
//! message. Knows nothing of the bus.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::{Shared, detached, feed::Feed};
use crate::metrics::Went;

/// Polls until the coordinator shuts down.
pub(super) async fn run(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            () = sleep(jittered(shared.settings.poll_interval)) => poll(&shared).await,
            () = shared.lifecycle.soft.cancelled() => return,
        }
    }
}

async fn poll(shared: &Shared) {
    let feeds: Vec<(_, Arc<Feed>)> = shared.feeds.iter().map(|f| (f.key().clone(), Arc::clone(&f))).collect();
    if feeds.is_empty() {
        return;
    }
    let stands: Vec<_> = feeds.iter().map(|(_, feed)| feed.subscribe().borrow().clone()).collect();
    let ids: Vec<_> = feeds.iter().map(|(id, _)| id.clone()).collect();
    let store = Arc::clone(&shared.store);
    let heads = detached(shared, async move { Ok(store.heads(&ids).await?) });
    let heads = timeout(shared.settings.store_timeout, heads).await;
    shared.metrics.poll(if matches!(heads, Ok(Ok(_))) { Went::Ok } else { Went::Failed });
    match heads {
        Ok(Ok(heads)) => {
            for (((_, feed), stand), head) in feeds.iter().zip(&stands).zip(&heads) {
                feed.compare(stand, head.as_ref());
            }
        }
        // The next poll tries again.
        Ok(Err(error)) => tracing::debug!(%error, "the tail poll failed"),
        Err(_) => shared.trouble.read_timed_out(),
    }
}

/// Up to a fifth less, so that replicas do not poll in step, and none polls later than promised.
fn jittered(interval: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_u128() as u32;
    interval.mul_f64(0.8 + 0.2 * f64::from(random) / f64::from(u32::MAX))
}
