//! How the process starts tasks and ends them: signals, soft and hard cancellation. Knows nothing of what the tasks do.
//!
//! A shutdown has two steps. **Soft**: take nothing new, finish what was begun. **Hard**: whatever still runs is
//! dropped where it stands. Everything that was acknowledged is durable by then, so a hard end loses no promise.

use std::{any::Any, future::Future, io, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt as _;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, error, info, info_span, warn};

/// How long tasks get to be dropped once the cancellation is hard. Only a task that blocks its thread needs longer.
const HARD_WAIT: Duration = Duration::from_secs(1);

/// The cancellation and the tasks of one running coordinator. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    /// Cancelled when the shutdown begins: tasks finish what they have begun and end.
    pub soft: CancellationToken,
    /// Cancelled when the time to drain is over: tasks are dropped.
    pub hard: CancellationToken,
    /// Every task that a shutdown waits for.
    pub tasks: TaskTracker,
}

/// How a shutdown ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Every task ended by itself.
    Drained,
    /// So many tasks were still running when the cancellation became hard.
    Cut {
        /// How many.
        tasks: usize,
    },
}

impl Lifecycle {
    /// A lifecycle that is running and has no tasks yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a tracked task in a span of that name.
    ///
    /// The task should end soon after `soft` is cancelled; it is dropped at its next await once `hard` is. If it
    /// panics, that is logged at error and the handle returns it too; nothing else ends.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let hard = self.hard.clone();
        let task = async move {
            // Nothing of the future is looked at after a panic, so no broken state is seen.
            let caught = AssertUnwindSafe(hard.run_until_cancelled_owned(future)).catch_unwind().await;
            match caught {
                Ok(Some(())) => {}
                Ok(None) => warn!("task dropped by the hard cancellation"),
                Err(panic) => {
                    error!(panic = message_of(panic.as_ref()), "task panicked");
                    std::panic::resume_unwind(panic);
                }
            }
        };
        self.tasks.spawn(task.instrument(info_span!("task", task.name = name)))
    }

    /// Listens for SIGTERM and SIGINT from now on: the first begins the shutdown, a second makes it hard.
    ///
    /// # Errors
    /// When the process cannot listen for signals.
    pub fn on_signals(&self) -> io::Result<()> {
        survive_file_size_limits()?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let this = self.clone();
        // Not tracked, or a shutdown would wait for it; it ends itself once there is nothing left to stop.
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    Some(()) = terminate.recv() => "SIGTERM",
                    Some(()) = interrupt.recv() => "SIGINT",
                    () = this.hard.cancelled() => return,
                    () = this.tasks.wait() => return,
                };
                this.signalled(name);
            }
        });
        Ok(())
    }

    fn signalled(&self, name: &'static str) {
        if self.soft.is_cancelled() {
            warn!(signal = name, "second signal: ending at once");
            self.hard.cancel();
        } else {
            info!(signal = name, "shutting down; a second signal ends at once");
            self.soft.cancel();
        }
    }

    /// Ends all tasks: softly, and hard once `drain` has passed or `hard` is cancelled by somebody else.
    ///
    /// Returns at most a second after that, even if a task blocks its thread.
    pub async fn shut_down(&self, drain: Duration) -> Shutdown {
        self.soft.cancel();
        self.tasks.close();
        let drained = tokio::select! {
            biased;
            () = self.tasks.wait() => true,
            () = self.hard.cancelled() => false,
            () = tokio::time::sleep(drain) => false,
        };
        let cut = self.tasks.len();
        // Also when everything has ended: a child token that outlives its task must not wait for ever.
        self.hard.cancel();
        if drained {
            return Shutdown::Drained;
        }
        if timeout(HARD_WAIT, self.tasks.wait()).await.is_err() {
            error!(tasks = self.tasks.len(), "tasks still run after the hard cancellation");
        }
        Shutdown::Cut { tasks: cut }
    }
}

/// The kernel ends a process that writes past a limit on the size of files, unless it listens for the signal that it
/// sends; then the write fails, like one to a full disk.
fn survive_file_size_limits() -> io::Result<()> {
    /// SIGXFSZ, on the platforms Rust runs servers on.
    const FILE_SIZE_EXCEEDED: i32 = 25;
    // Once listened for, the signal stays caught for good.
    signal(SignalKind::from_raw(FILE_SIZE_EXCEEDED)).map(drop)
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "not a text"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn tasks_that_heed_the_soft_cancellation_are_drained() {
        let lifecycle = Lifecycle::new();
        let soft = lifecycle.soft.clone();
        let task = lifecycle.spawn("polite", async move { soft.cancelled().await });
        assert_eq!(lifecycle.shut_down(DRAIN).await, Shutdown::Drained);
        task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_does_not_end_is_dropped_after_the_drain() {
        struct Dropped(CancellationToken);
        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.cancel();
            }
        }

        let lifecycle = Lifecycle::new();
        let dropped = CancellationToken::new();
        let guard = Dropped(dropped.clone());
        lifecycle.spawn("stubborn", async move {
            let _guard = guard;
            std::future::pending::<()>().await;
        });
        let begun = tokio::time::Instant::now();
        assert_eq!(lifecycle.shut_down(DRAIN).await, Shutdown::Cut { tasks: 1 });
        assert_eq!(begun.elapsed(), DRAIN);
        assert!(dropped.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_cuts_the_drain_short() {
        let lifecycle = Lifecycle::new();
        lifecycle.spawn("stubborn", std::future::pending());
        lifecycle.signalled("SIGTERM");
        assert!(lifecycle.soft.is_cancelled() && !lifecycle.hard.is_cancelled());
        lifecycle.signalled("SIGINT");
        assert!(lifecycle.hard.is_cancelled());
        let begun = tokio::time::Instant::now();
        assert_eq!(lifecycle.shut_down(DRAIN).await, Shutdown::Cut { tasks: 1 });
        assert!(begun.elapsed() < DRAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_ends_its_task_and_nothing_else() {
        let lifecycle = Lifecycle::new();
        let panicked = lifecycle.spawn("broken", async { panic!("on purpose") });
        assert!(panicked.await.unwrap_err().is_panic());
        assert!(!lifecycle.soft.is_cancelled());
        assert_eq!(lifecycle.shut_down(DRAIN).await, Shutdown::Drained);
    }

    #[tokio::test]
    async fn the_process_hears_sigterm_then_sigint() {
        let send = |signal: &str| {
            let process = std::process::id().to_string();
            assert!(std::process::Command::new("kill").args([signal, &process]).status().unwrap().success());
        };
        let lifecycle = Lifecycle::new();
        lifecycle.on_signals().unwrap();
        send("-TERM");
        lifecycle.soft.cancelled().await;
        assert!(!lifecycle.hard.is_cancelled());
        send("-INT");
        lifecycle.hard.cancelled().await;
    }
}
