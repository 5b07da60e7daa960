//! Connections that are kept and handed out, so many at once. A connection comes back only when its user says that it is
//! done: one that is dropped in the middle of anything is closed. Knows no statement.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};
use tokio_postgres::error::SqlState;

use super::{
    connect::{Connection, Target},
    failure::Failure,
};
use crate::store;

pub(super) struct Pool {
    target: Target,
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    max: usize,
}

impl Pool {
    pub fn new(target: Target, connections: u32) -> Arc<Self> {
        let max = connections as usize;
        Arc::new(Self { target, idle: Mutex::default(), permits: Arc::new(Semaphore::new(max)), max })
    }

    /// How many are lent out, and how many there may be.
    pub fn size(&self) -> store::Pool {
        let busy = self.max.saturating_sub(self.permits.available_permits());
        store::Pool { busy, max: self.max }
    }

    pub fn timeout(&self) -> Duration {
        self.target.timeout()
    }

    /// A connection for one call, which has to end before the store's timeout is over.
    pub async fn lease(self: &Arc<Self>) -> Result<Lease, Failure> {
        let deadline = Deadline { at: Instant::now() + self.timeout(), timeout: self.timeout() };
        let permit = timeout_at(deadline.at, Arc::clone(&self.permits).acquire_owned())
            .await
            .map_err(|_| Failure::Busy(self.timeout()))?
            .map_err(|_| Failure::Closed)?;
        let connection = match self.take() {
            Some(kept) => kept,
            None => deadline.bound(self.connect()).await?,
        };
        Ok(Lease { pool: Arc::clone(self), connection: Some(connection), deadline, _permit: permit })
    }

    async fn connect(&self) -> Result<Connection, tokio_postgres::Error> {
        let connection = self.target.connect().await?;
        connection.set_up().await?;
        Ok(connection)
    }

    /// Waits for what is under way, and closes everything.
    pub async fn close(&self, connections: u32) {
        let all = timeout_at(Instant::now() + self.timeout(), self.permits.acquire_many(connections)).await;
        self.permits.close();
        drop(all);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        // The one that was used last; those that the server closed are dropped on the way.
        std::iter::from_fn(|| idle.pop()).find(|connection| !connection.is_closed())
    }
}

/// When a call has to be over.
#[derive(Clone, Copy)]
pub(super) struct Deadline {
    at: Instant,
    timeout: Duration,
}

impl Deadline {
    /// What comes in time.
    pub async fn bound<T>(
        self,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, Failure> {
        match timeout_at(self.at, work).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(Failure::Elapsed(self.timeout)),
        }
    }
}

/// A connection in use.
pub(super) struct Lease {
    pool: Arc<Pool>,
    connection: Option<Connection>,
    deadline: Deadline,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    pub fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("it is taken away only when the lease ends")
    }

    /// When the call has to be over.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Ends a call. The connection is kept if it waits for nothing: all was answered, or the server refused a part and
    /// so aborted the rest.
    pub async fn finish<T>(self, result: Result<T, Failure>) -> Result<T, Failure> {
        match result {
            Ok(value) => {
                self.done();
                Ok(value)
            }
            Err(failure) => Err(self.give_up(failure).await),
        }
    }

    /// Ends a call that failed. Where the server takes no writes any more, the next connection may lead to one that does.
    pub async fn give_up(self, failure: Failure) -> Failure {
        if failure.aborted() && failure.code() != Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
            self.undo().await;
        }
        failure
    }

    /// Gives the connection back, which is between two transactions and waits for nothing.
    pub fn done(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }

    /// Ends the transaction that a failure left. What cannot be ended is closed with its connection.
    pub async fn undo(mut self) {
        let undone = self.deadline.bound(self.connection().run("ROLLBACK")).await;
        if undone.is_ok() {
            self.done();
        }
    }
}
