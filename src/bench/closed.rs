//! The closed loop: so many operations are always in flight, each followed by the next. Knows nothing of what they do.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    Operation,
    latency::Latency,
    meter::{Meter, Spent, per_s},
};

/// How long a load runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// So long it runs before anything counts.
    pub warm_up: Duration,
    /// So long it is measured.
    pub measured: Duration,
}

/// What a load came to.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Operations that ended within the window.
    pub operations: u64,
    /// All that ended, in the warm-up and after the window too.
    pub operations_total: u64,
    /// How long those within the window took.
    pub latency: Latency,
    /// What the window cost.
    pub spent: Spent,
}

impl Measured {
    /// Operations a second.
    #[must_use]
    pub fn rate_per_s(&self) -> f64 {
        per_s(self.operations, self.spent.elapsed)
    }
}

const WARMING_UP: u8 = 0;
const MEASURING: u8 = 1;
const OVER: u8 = 2;

/// More than there are processors, so that hardly ever two workers meet at one.
const SHARDS: usize = 8;

struct Tally {
    phase: AtomicU8,
    latencies: [Mutex<Latency>; SHARDS],
}

/// Runs each of the operations again and again, all at the same time.
///
/// # Errors
/// The first error of an operation. The others are abandoned then.
pub async fn run<O: Operation>(
    operations: Vec<O>,
    window: Window,
    meter: &Meter,
) -> Result<Measured, O::Error> {
    let tally = Arc::new(Tally {
        phase: AtomicU8::new(WARMING_UP),
        latencies: std::array::from_fn(|_| Mutex::default()),
    });
    let mut workers = JoinSet::new();
    for (index, operation) in operations.into_iter().enumerate() {
        workers.spawn(work(operation, index % SHARDS, Arc::clone(&tally)));
    }
    let mut operations_total = 0;
    let mut gather = async |until: Duration, workers: &mut JoinSet<_>| {
        let timer = tokio::time::sleep(until);
        tokio::pin!(timer);
        loop {
            // A worker ends before it is told to only by an error.
            tokio::select! {
                () = &mut timer => return Ok(()),
                Some(ended) = workers.join_next() => operations_total += done(ended)?,
            }
        }
    };
    gather(window.warm_up, &mut workers).await?;
    let begin = meter.read();
    tally.phase.store(MEASURING, Ordering::Release);
    gather(window.measured, &mut workers).await?;
    tally.phase.store(OVER, Ordering::Release);
    let spent = meter.since(&begin);
    while let Some(ended) = workers.join_next().await {
        operations_total += done(ended)?;
    }
    let mut latency = Latency::default();
    for shard in &tally.latencies {
        latency.add(&shard.lock().unwrap_or_else(PoisonError::into_inner));
    }
    Ok(Measured { operations: latency.count(), operations_total, latency, spent })
}

async fn work<O: Operation>(mut operation: O, shard: usize, tally: Arc<Tally>) -> Result<u64, O::Error> {
    let mut done = 0;
    loop {
        let begun = Instant::now();
        operation.run().await?;
        done += 1;
        match tally.phase.load(Ordering::Acquire) {
            MEASURING => {
                let took = operation.began().unwrap_or(begun).elapsed();
                tally.latencies[shard].lock().unwrap_or_else(PoisonError::into_inner).record(took);
            }
            OVER => return Ok(done + operation.finish().await?),
            _ => {}
        }
    }
}

fn done<E>(ended: Result<Result<u64, E>, tokio::task::JoinError>) -> Result<u64, E> {
    match ended {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Nobody aborts a worker but the end of the load, which waits for none.
            Err(_) => Ok(0),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    struct Count {
        all: Arc<AtomicU64>,
        fail_at: u64,
    }

    impl Operation for Count {
        type Output = ();
        type Error = u64;

        async fn run(&mut self) -> Result<(), u64> {
            tokio::time::sleep(Duration::from_millis(10)).await;
            match self.all.fetch_add(1, Ordering::Relaxed) {
                n if n == self.fail_at => Err(n),
                _ => Ok(()),
            }
        }
    }

    async fn count(fail_at: u64) -> (u64, Result<Measured, u64>) {
        let all = Arc::new(AtomicU64::new(0));
        let operations = (0..7).map(|_| Count { all: Arc::clone(&all), fail_at }).collect();
        let window = Window { warm_up: Duration::from_millis(105), measured: Duration::from_millis(1_000) };
        let measured = run(operations, window, &Meter::default()).await;
        (all.load(Ordering::Relaxed), measured)
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_in_the_window_counts_and_nothing_is_lost() {
        let (all, measured) = count(u64::MAX).await;
        let measured = measured.unwrap();
        assert_eq!(measured.operations_total, all);
        // Ten rounds warm up, a hundred are measured, one is under way at the end.
        assert_eq!((measured.operations, all), (700, 777));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_error_ends_the_load() {
        assert_eq!(count(3).await.1.unwrap_err(), 3);
        assert_eq!(count(300).await.1.unwrap_err(), 300);
    }
}
