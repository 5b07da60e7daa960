//! The tail poll: one query for the heads of all active swarms, so that watchers converge even if the bus loses every
//! message. Knows of the bus only whether it works.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};

use super::{Shared, detached, feed::Feed};
use crate::{bus::State, metrics::Went};

/// Polls that were asked for come no closer than this, so that messages cannot drive the store.
const ASKED_DISTANCE: Duration = Duration::from_millis(50);

/// Polls until the coordinator shuts down.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut bus = shared.bus.state();
    let mut last = Instant::now();
    loop {
        let due = last + jittered(interval(&shared, &mut bus));
        tokio::select! {
            () = sleep_until(due) => {}
            () = asked(&shared, &mut bus, last + ASKED_DISTANCE) => {}
            () = shared.lifecycle.soft.cancelled() => return,
        }
        last = Instant::now();
        poll(&shared).await;
    }
}

/// Returns, not before `earliest`, when something may have been missed. Dropping it may forget that: then a poll follows.
async fn asked(shared: &Shared, bus: &mut watch::Receiver<State>, earliest: Instant) {
    tokio::select! {
        () = shared.look.notified() => {}
        // Behind an interruption everything may be behind, and in one from now on.
        Ok(()) = bus.changed() => {}
    }
    sleep_until(earliest).await;
}

fn interval(shared: &Shared, bus: &mut watch::Receiver<State>) -> Duration {
    let usual = shared.settings.poll_interval;
    match *bus.borrow_and_update() {
        State::Up => usual,
        State::Down(_) => usual.min(shared.settings.poll_interval_bus_down),
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
