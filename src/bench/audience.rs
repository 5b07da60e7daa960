//! Many watchers, and when what reached each of them. Knows nothing of what they watch: any [`Subscription`] will do whose
//! events are numbered without a gap.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{Operation, latency::Latency};

/// One open watch.
pub trait Subscription: Send + 'static {
    /// Why it ended. The first error ends the load.
    type Error: Send + 'static;

    /// Waits until events arrive.
    fn next(&mut self, look: Look) -> impl Future<Output = Result<Arrival, Self::Error>> + Send;
}

/// How closely a watcher looks at what arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Counts the events, and leaves them encoded where the protocol can.
    Counts,
    /// Decodes every event, as an agent that acts on it would.
    Decodes,
}

/// Events that arrived together, of consecutive numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// How many; none is a sign of life.
    pub events: u64,
    /// The number of the last: its revision.
    pub last: u64,
}

/// Watchers at work.
pub struct Audience<E> {
    tasks: JoinSet<E>,
    watchers: u64,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    delivered: Arc<AtomicU64>,
    responses: AtomicU64,
    decodes: AtomicBool,
    notes_times: AtomicBool,
    arrivals: Mutex<Vec<(Arrival, Instant)>>,
}

/// What a paced load came to.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    /// From the time at which a write was meant to begin until it was with a watcher, for each watcher.
    pub latency: Latency,
    /// Deliveries that did not happen, or happened twice.
    pub wrong: u64,
}

impl<E: Send + 'static> Audience<E> {
    /// Puts a watcher to each subscription.
    pub fn seat<S: Subscription<Error = E>>(subscriptions: Vec<S>) -> Self {
        let shared = Arc::<Shared>::default();
        let mut tasks = JoinSet::new();
        let watchers = subscriptions.len() as u64;
        for subscription in subscriptions {
            tasks.spawn(watch(subscription, Arc::clone(&shared)));
        }
        Self { tasks, watchers, shared }
    }

    /// How many events have arrived so far, at all watchers together.
    #[must_use]
    pub fn delivered(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.delivered)
    }

    /// How many responses they came in.
    #[must_use]
    pub fn responses(&self) -> u64 {
        self.shared.responses.load(Ordering::Relaxed)
    }

    /// How closely they look from their next event on.
    pub fn look(&self, look: Look) {
        self.shared.decodes.store(look == Look::Decodes, Ordering::Relaxed);
    }

    /// Whether they note when each event arrives.
    pub fn note_times(&self, notes: bool) {
        self.shared.notes_times.store(notes, Ordering::Relaxed);
    }

    /// Does something while they watch.
    ///
    /// # Errors
    /// The error of the first watcher whose watch ended; what was done is abandoned.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> Result<T, E> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                Some(ended) = self.tasks.join_next() => match ended {
                    Ok(error) => return Err(error),
                    Err(error) => if let Ok(panic) = error.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    },
                },
            }
        }
    }

    /// Waits until so many events have reached each watcher, in all; no longer than this.
    ///
    /// # Errors
    /// As [`Audience::during`].
    pub async fn settle(&mut self, events: u64, patience: Duration) -> Result<(), E> {
        let (expected, delivered) = (events * self.watchers, self.delivered());
        let all_there = async move {
            while delivered.load(Ordering::Relaxed) < expected {
                // Polled, like the gate: a notice with each of some hundred thousand arrivals a second would cost the
                // client more than what it is to measure.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // What is missing then is missing in the figures.
        self.during(tokio::time::timeout(patience, all_there)).await.map(drop)
    }

    /// How long events took to arrive, by the number and intended time of the writes behind them. Forgets what was noted.
    #[must_use]
    pub fn delays(&self, writes: &BTreeMap<u64, Instant>) -> Delays {
        let arrivals =
            std::mem::take(&mut *self.shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner));
        delays(writes, &arrivals, self.watchers)
    }
}

fn delays(writes: &BTreeMap<u64, Instant>, arrivals: &[(Arrival, Instant)], watchers: u64) -> Delays {
    let mut delays = Delays::default();
    for (Arrival { events, last }, at) in arrivals {
        for (_, intended) in writes.range((last + 1).saturating_sub(*events)..=*last) {
            delays.latency.record(at.saturating_duration_since(*intended));
        }
    }
    delays.wrong = (writes.len() as u64 * watchers).abs_diff(delays.latency.count());
    delays
}

async fn watch<S: Subscription>(mut subscription: S, shared: Arc<Shared>) -> S::Error {
    loop {
        let look = if shared.decodes.load(Ordering::Relaxed) { Look::Decodes } else { Look::Counts };
        let arrival = match subscription.next(look).await {
            Ok(arrival) => arrival,
            Err(error) => return error,
        };
        if arrival.events == 0 {
            continue;
        }
        if shared.notes_times.load(Ordering::Relaxed) {
            let noted = (arrival, Instant::now());
            shared.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(noted);
        }
        shared.responses.fetch_add(1, Ordering::Relaxed);
        shared.delivered.fetch_add(arrival.events, Ordering::Relaxed);
    }
}

/// A writer that waits while the watchers are too far behind, so that what is measured is what they can take in.
pub struct Gated<O> {
    /// The writer.
    pub operation: O,
    /// What holds it back.
    pub gate: Arc<Gate>,
}

/// Holds writers back.
#[derive(Debug)]
pub struct Gate {
    written: AtomicU64,
    delivered: Arc<AtomicU64>,
    watchers: u64,
    lag_max: u64,
}

impl Gate {
    /// Lets the watchers be so many events behind, on average, from now on.
    #[must_use]
    pub fn new<E: Send + 'static>(audience: &Audience<E>, lag_max: u64) -> Self {
        let delivered = audience.delivered();
        let written = delivered.load(Ordering::Relaxed) / audience.watchers.max(1);
        Self { written: written.into(), delivered, watchers: audience.watchers.max(1), lag_max }
    }

    /// How many events each watcher has been sent since it was seated.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    fn is_shut(&self) -> bool {
        let arrived = self.delivered.load(Ordering::Relaxed) / self.watchers;
        self.written() > arrived + self.lag_max
    }
}

impl<O: Operation> Operation for Gated<O> {
    type Output = O::Output;
    type Error = O::Error;

    async fn run(&mut self) -> Result<O::Output, O::Error> {
        while self.gate.is_shut() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.gate.written.fetch_add(1, Ordering::Relaxed);
        self.operation.run().await
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    struct Told(mpsc::Receiver<Arrival>);

    impl Subscription for Told {
        type Error = &'static str;

        async fn next(&mut self, _: Look) -> Result<Arrival, &'static str> {
            self.0.recv().await.ok_or("over")
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_arrives_counts_and_an_end_is_told() {
        let (tell, told) = mpsc::channel(8);
        let mut audience = Audience::seat(vec![Told(told)]);
        tell.send(Arrival { events: 0, last: 4 }).await.unwrap();
        tell.send(Arrival { events: 3, last: 7 }).await.unwrap();
        audience.settle(3, Duration::from_secs(60)).await.unwrap();
        assert_eq!((audience.delivered().load(Ordering::Relaxed), audience.responses()), (3, 1));
        drop(tell);
        assert_eq!(audience.settle(4, Duration::from_secs(60)).await, Err("over"));
    }

    #[test]
    fn delays_are_those_of_each_write_at_each_watcher() {
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let writes = BTreeMap::from([(5, at(0)), (6, at(10)), (7, at(20))]);
        // One watcher gets 6 and 7 together, and before them what is of the warm-up; the other misses 7.
        let arrival = |events, last| Arrival { events, last };
        let arrivals = [
            (arrival(2, 5), at(30)),
            (arrival(2, 7), at(50)),
            (arrival(1, 5), at(1)),
            (arrival(1, 6), at(11)),
        ];
        let found = delays(&writes, &arrivals, 2);
        assert_eq!((found.latency.count(), found.wrong), (5, 1));
        let ms = |share| (found.latency.quantile_us(share).unwrap() / 1e3).round();
        assert_eq!((ms(0.2), ms(0.6), ms(1.0)), (1.0, 30.0, 40.0));
    }

    #[test]
    fn writers_wait_for_watchers() {
        let delivered = Arc::new(AtomicU64::new(0));
        let gate = Gate { written: 10.into(), delivered: Arc::clone(&delivered), watchers: 4, lag_max: 8 };
        assert!(gate.is_shut());
        delivered.store(8, Ordering::Relaxed);
        assert!(!gate.is_shut());
    }
}
