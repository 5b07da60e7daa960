//! The connection that writes, on a thread of its own. A commit crosses over to it once and back once; those that wait,
//! whosever they are, share a transaction and its sync (ADR 12). Knows nothing of tables.

use std::{
    path::PathBuf,
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    closed, code,
    commit::{self, Committer, Pending},
    connection::{run, writing},
    log_renewal::{self, Failure as RenewalFailure},
};
use crate::store::{CommitError, Error};

/// Jobs that wait for the thread; beyond it callers wait for room. Lanes have one commit each at a time.
const JOBS_MAX: usize = 1024;

/// Where the thread takes its work from.
pub(super) struct Writer {
    /// None while it is dropped.
    jobs: Option<mpsc::Sender<Job>>,
    thread: Mutex<Option<thread::JoinHandle<()>>>,
}

enum Job {
    Commit(Box<Pending>),
    Work(Box<dyn FnOnce(&mut Seat) + Send>),
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Panics
    /// When the system has no thread left.
    pub fn start(seat: Seat, committer: Committer) -> Self {
        let (jobs, waiting) = mpsc::channel(JOBS_MAX);
        let thread = thread::Builder::new()
            .name("sqlite-write".into())
            .spawn(move || serve(seat, &committer, waiting))
            .expect("a coordinator cannot do without this thread");
        Self { jobs: Some(jobs), thread: Mutex::new(Some(thread)) }
    }

    /// Does something in a transaction that holds the file's lock. What was begun is done, even if nobody waits for it any
    /// more.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.on_seat(|seat| seat.transact(work).map_err(Error::from)).await
    }

    /// Commits, perhaps together with others.
    pub async fn commit(&self, pending: impl FnOnce(commit::Reply) -> Pending) -> commit::Committed {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Commit(Box::new(pending(reply)))).await?;
        answer.await.unwrap_or_else(|_| Err(CommitError::Failed(closed())))
    }

    /// Does what is waiting, moves the write-ahead log into the database, and closes it.
    pub async fn close(&self) -> Result<(), Error> {
        self.on_seat(Seat::close).await
    }

    async fn on_seat<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Seat) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Work(Box::new(move |seat| drop(reply.send(work(seat)))))).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn send(&self, job: Job) -> Result<(), Error> {
        let jobs = self.jobs.as_ref().ok_or_else(closed)?;
        jobs.send(job).await.map_err(|_| closed())
    }
}

/// Waits until the thread has let go of the file: whoever opens it next must not find it in use.
impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        drop(thread.map(thread::JoinHandle::join));
    }
}

fn serve(mut seat: Seat, committer: &Committer, mut waiting: mpsc::Receiver<Job>) {
    // What was taken while commits were gathered, and is no commit.
    let mut next = None;
    while let Some(job) = next.take().or_else(|| waiting.blocking_recv()) {
        match job {
            Job::Commit(first) => {
                let mut group = commit::Group::of(*first);
                while !group.is_full()
                    && let Ok(job) = waiting.try_recv()
                {
                    match job {
                        Job::Commit(pending) => group.add(*pending),
                        other => {
                            next = Some(other);
                            break;
                        }
                    }
                }
                committer.commit(&mut seat, group);
            }
            Job::Work(work) => work(&mut seat),
        }
    }
}

/// How a transaction is to end.
pub(super) enum Verdict<T> {
    /// It changed something.
    Commit(T),
    /// It did not, or is not to.
    Rollback(T),
}

/// Why a transaction came to nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not begin.
    NotBegun(Error),
    /// Something failed in it, and all is undone.
    Within(Error),
    /// It could not be committed, and all is undone.
    AtCommit(Error),
    /// It could not be committed, but may outlive the failure.
    Unknown(rusqlite::Error),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotBegun(error) | Failure::Within(error) | Failure::AtCommit(error) => error,
            Failure::Unknown(cause) => Self::OutcomeUnknown(Box::new(cause)),
        }
    }
}

/// The writing connection. After an error it is closed, which rolls back, and the next transaction opens a fresh one.
pub(super) struct Seat {
    path: PathBuf,
    busy_timeout: Duration,
    connection: Option<Connection>,
    is_closed: bool,
    /// A commit failed in such a way that the write-ahead log may hold what the disk does not.
    in_doubt: bool,
}

impl Seat {
    /// Around a connection that is open already.
    pub fn new(connection: Connection, path: PathBuf, busy_timeout: Duration) -> Self {
        Self { path, busy_timeout, connection: Some(connection), is_closed: false, in_doubt: false }
    }

    /// Does something in a transaction that holds the file's lock.
    pub fn transact<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, Error>,
    ) -> Result<T, Failure> {
        let connection = self.take().map_err(Failure::NotBegun)?;
        run(&connection, "BEGIN IMMEDIATE").map_err(|error| Failure::NotBegun(error.into()))?;
        let done = match work(&connection) {
            Ok(Verdict::Commit(done)) => run(&connection, "COMMIT").map(|()| done).map_err(|failed| {
                if is_undone(&failed) { Failure::AtCommit(failed.into()) } else { Failure::Unknown(failed) }
            }),
            Ok(Verdict::Rollback(done)) => match run(&connection, "ROLLBACK") {
                Ok(()) => Ok(done),
                Err(failed) => Err(Failure::Within(failed.into())),
            },
            Err(answer) if answer.is_answer() && run(&connection, "ROLLBACK").is_ok() => {
                self.connection = Some(connection);
                return Err(Failure::Within(answer));
            }
            Err(error) => Err(Failure::Within(error)),
        };
        match &done {
            Ok(_) => self.connection = Some(connection),
            Err(Failure::Unknown(_)) => self.in_doubt = true,
            Err(_) => {}
        }
        done
    }

    fn take(&mut self) -> Result<Connection, Error> {
        if self.is_closed {
            return Err(closed());
        }
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.reopen(),
        }
    }

    fn reopen(&mut self) -> Result<Connection, Error> {
        let connection = writing(&self.path, false, self.busy_timeout)?;
        // Should the last connection have been closed in the meantime, this one has just recovered the log. What it found
        // there must not be built upon before it is on the disk.
        if self.in_doubt {
            log_renewal::renew(&connection, &self.path).map_err(|failure| match failure {
                RenewalFailure::Log(cause) => Error::Unavailable(Box::new(cause)),
                RenewalFailure::Database(failed) => failed.into(),
            })?;
            self.in_doubt = false;
        }
        Ok(connection)
    }

    fn close(&mut self) -> Result<(), Error> {
        self.is_closed = true;
        let Some(connection) = self.connection.take() else { return Ok(()) };
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        connection.close().map_err(|(_, failed)| failed.into())
    }
}

/// Whether a COMMIT that failed so cannot have left a whole transaction in the write-ahead log. The connection is
/// closed afterwards, which rolls back what is left of it in this process.
///
/// With these codes the file was locked, or a write failed; the last thing written is what makes the transaction valid
/// (its last frame, or the checksums up to it), so that is torn or missing. With any other code, such as that of a
/// failed fsync, the frames may stand there whole, to be found by whoever recovers the file after a crash.
fn is_undone(failed: &rusqlite::Error) -> bool {
    const BUSY: i32 = 5;
    const READ_ONLY: i32 = 8;
    const FULL: i32 = 13;
    const IO_WRITE: i32 = 778;
    let Some(code) = code(failed) else { return false };
    matches!(code & 0xff, BUSY | READ_ONLY | FULL) || code == IO_WRITE
}
