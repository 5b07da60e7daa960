//! The connections that read, each lent to one thread at a time. Knows nothing of tables.
//!
//! One that met an error is closed instead of given back, which ends its transaction: no transaction that somebody
//! left behind can ever be continued by somebody else.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::Connection;
use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    closed,
    connection::{reading, run},
};
use crate::store::{Error, Pool};

/// Reads run here, each on a thread that may wait for the disk.
pub(super) struct Readers {
    max: u32,
    permits: Arc<Semaphore>,
    home: Arc<Home>,
}

struct Home {
    path: PathBuf,
    busy_timeout: Duration,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Up to so many at once, 1 to 1,024.
    pub fn new(path: &Path, busy_timeout: Duration, max: u32) -> Self {
        let max = max.clamp(1, 1024);
        let home = Home { path: path.into(), busy_timeout, idle: Mutex::default() };
        Self { max, permits: Arc::new(Semaphore::new(max as usize)), home: Arc::new(home) }
    }

    /// Reads one state of the database. What was begun is done, even if nobody waits for it any more.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| closed())?;
        let home = Arc::clone(&self.home);
        let reading = spawn_blocking(move || {
            let _permit = permit;
            home.lend(|connection| {
                run(connection, "BEGIN")?;
                let read = work(connection)?;
                run(connection, "COMMIT")?;
                Ok(read)
            })
        });
        reading.await.map_err(|panicked| Error::Unavailable(Box::new(panicked)))?
    }

    /// How many are lent out.
    pub fn pool(&self) -> Pool {
        let max = self.max as usize;
        Pool { busy: max.saturating_sub(self.permits.available_permits()), max }
    }

    /// Waits for the reads under way and closes all.
    pub async fn close(&self) {
        drop(self.permits.acquire_many(self.max).await);
        self.permits.close();
        self.home.idle().clear();
    }
}

impl Home {
    fn lend<T>(&self, work: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => reading(&self.path, self.busy_timeout)?,
        };
        let done = work(&connection);
        let is_usable = match &done {
            Ok(_) => true,
            Err(error) if error.is_answer() => run(&connection, "ROLLBACK").is_ok(),
            Err(_) => false,
        };
        if is_usable {
            self.idle().push(connection);
        }
        done
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
