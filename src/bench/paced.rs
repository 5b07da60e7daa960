//! The open loop: operations begin at their times, however long those before them take, and are measured from the time at
//! which they were meant to begin. So a pause of the server counts for every operation that it held up, not for one.
//! Knows nothing of what they do.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};

use super::Operation;

/// Operations that may wait for one worker; beyond that the times stay what they were meant to be all the same.
const WAITING_MAX: usize = 1024;

/// One operation that was done.
#[derive(Clone, Copy, Debug)]
pub struct Done<T> {
    /// When it was meant to begin.
    pub intended: Instant,
    /// When it had ended.
    pub ended: Instant,
    /// What it came to.
    pub output: T,
}

/// Does so many operations, so many a second, dealt out to the workers in turn. The result is in no order.
///
/// # Errors
/// The first error of an operation.
pub async fn run<O: Operation>(
    workers: Vec<O>,
    rate_per_s: f64,
    count: u64,
) -> Result<Vec<Done<O::Output>>, O::Error> {
    let mut tasks = JoinSet::new();
    let mut ways = Vec::with_capacity(workers.len());
    for worker in workers {
        let (way, times) = mpsc::channel(WAITING_MAX);
        ways.push(way);
        tasks.spawn(work(worker, times));
    }
    // A thread of its own: the runtime's timer counts in milliseconds. It ends with the count, or with the workers.
    thread::Builder::new()
        .name("bench-pace".to_owned())
        .spawn(move || pace(&ways, Instant::now(), rate_per_s, count))
        .expect("the system has threads left");
    let mut all = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(done) => all.extend(done?),
            Err(error) => {
                if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic);
                }
            }
        }
    }
    Ok(all)
}

fn pace(ways: &[mpsc::Sender<Instant>], begin: Instant, rate_per_s: f64, count: u64) {
    for (number, way) in (0..count).zip(ways.iter().cycle()) {
        let intended = begin + after(number, rate_per_s);
        loop {
            let left = intended.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            thread::park_timeout(left);
        }
        if way.blocking_send(intended).is_err() {
            return;
        }
    }
}

/// When the operation of this number begins, after the first.
fn after(number: u64, rate_per_s: f64) -> Duration {
    Duration::from_secs_f64(number as f64 / rate_per_s)
}

async fn work<O: Operation>(
    mut operation: O,
    mut times: mpsc::Receiver<Instant>,
) -> Result<Vec<Done<O::Output>>, O::Error> {
    let mut all = Vec::new();
    while let Some(intended) = times.recv().await {
        let output = operation.run().await?;
        all.push(Done { intended, ended: Instant::now(), output });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Count(Arc<AtomicU64>, Option<u64>);

    impl Operation for Count {
        type Output = u64;
        type Error = &'static str;

        async fn run(&mut self) -> Result<u64, &'static str> {
            match self.0.fetch_add(1, Ordering::Relaxed) {
                n if self.1 == Some(n) => Err("told to"),
                n => Ok(n),
            }
        }
    }

    #[test]
    fn times_follow_the_rate_and_do_not_drift() {
        assert_eq!(after(0, 3.0), Duration::ZERO);
        assert_eq!(after(3_000_000, 3.0), Duration::from_secs(1_000_000));
        assert_eq!(after(1, 200.0), Duration::from_millis(5));
    }

    #[tokio::test]
    async fn each_is_done_once_and_measured_from_its_time() {
        const RATE: f64 = 2_000.0;
        let mut done = run(vec![Count::default(); 1], RATE, 50).await.unwrap();
        done.sort_by_key(|done| done.intended);
        assert_eq!(done.iter().map(|done| done.output).collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        let first = done[0].intended;
        for (number, done) in (0..).zip(&done) {
            assert_eq!(done.intended, first + after(number, RATE));
            assert!(done.ended >= done.intended);
        }
    }

    #[tokio::test]
    async fn the_first_error_ends_it() {
        let count = Count(Arc::default(), Some(5));
        assert_eq!(run(vec![count; 3], 2_000.0, 1_000_000).await.unwrap_err(), "told to");
    }
}
