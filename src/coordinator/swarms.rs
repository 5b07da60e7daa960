//! Creating, describing and deleting swarms.

use std::sync::Arc;

use super::{Coordinator, Error, admitted};
use crate::domain::{
    access::Principal,
    swarm::{Retention, Swarm, SwarmId},
};

impl Coordinator {
    /// Creates a swarm.
    ///
    /// # Errors
    /// [`Error::SwarmExists`]; [`Error::Denied`] unless the caller may administer.
    pub async fn create_swarm(
        &self,
        caller: &Principal,
        id: &SwarmId,
        retention: Retention,
    ) -> Result<Swarm, Error> {
        caller.may_administer()?;
        self.found(id, retention).await
    }

    /// Creates a swarm on the service's own behalf, unless it exists.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn ensure_swarm(&self, id: &SwarmId) -> Result<(), Error> {
        match self.found(id, self.shared.settings.retention).await {
            Ok(_) | Err(Error::SwarmExists) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The swarm.
    ///
    /// # Errors
    /// [`Error::SwarmNotFound`].
    pub async fn swarm(&self, id: &SwarmId) -> Result<Swarm, Error> {
        let (store, id) = (Arc::clone(&self.shared.store), id.clone());
        admitted(&self.shared, async move { Ok(store.swarm(&id).await?) }).await
    }

    /// Swarms by name, behind `after`.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list_swarms(&self, after: Option<SwarmId>, limit: usize) -> Result<Vec<Swarm>, Error> {
        let store = Arc::clone(&self.shared.store);
        admitted(&self.shared, async move { Ok(store.list_swarms(after.as_ref(), limit).await?) }).await
    }

    /// Deletes a swarm with all it holds, and ends its streams.
    ///
    /// # Errors
    /// [`Error::SwarmNotFound`]; [`Error::Denied`] unless the caller may administer.
    pub async fn delete_swarm(&self, caller: &Principal, id: &SwarmId) -> Result<(), Error> {
        caller.may_administer()?;
        // This feed, and not one of a swarm that is made anew under the name in the meantime.
        let feed = self.shared.feeds.get(id).map(|feed| Arc::clone(&feed));
        let (store, swarm) = (Arc::clone(&self.shared.store), id.clone());
        admitted(&self.shared, async move { Ok(store.delete_swarm(&swarm).await?) }).await?;
        if let Some(feed) = feed {
            feed.end(Error::SwarmDeleted);
        }
        Ok(())
    }

    async fn found(&self, id: &SwarmId, retention: Retention) -> Result<Swarm, Error> {
        let (store, id) = (Arc::clone(&self.shared.store), id.clone());
        admitted(&self.shared, async move { Ok(store.create_swarm(&id, retention).await?) }).await
    }
}
