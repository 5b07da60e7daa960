//! Loading the mirror of a root: all of it at one revision, page by page, then what was written meanwhile.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    super::{Shared, detached, error::Error},
    computed,
    held::{Held, take_in},
};
use crate::{
    domain::{
        namespace::{NamespaceRange, Prefix},
        swarm::{Head, SwarmId},
    },
    recall::mirror::{self, Mirror},
    store::{At, PageLimit, Scan, ScanPage},
};

/// One page of a root.
const PAGE: PageLimit = PageLimit { rows: 4_096, bytes: 8 << 20 };

/// How long a load may wait for the feed.
const PATIENCE: Duration = Duration::from_secs(60);

impl Held {
    /// Loads a root, unless it is there already. The load goes on when nobody waits for it any more, so that whoever asks again
    /// finds it further on.
    pub async fn load(self: &Arc<Self>, shared: &Arc<Shared>, root: &str) -> Result<(), Error> {
        let (held, shared_too, root) = (Arc::clone(self), Arc::clone(shared), Box::<str>::from(root));
        detached(shared, async move { held.load_once(&shared_too, &root).await }).await
    }

    /// Loads a root, and installs its mirror where the others stand.
    async fn load_once(self: &Arc<Self>, shared: &Arc<Shared>, root: &str) -> Result<(), Error> {
        // One at a time: whoever waits finds it loaded.
        let _loading = self.loading.lock().await;
        if self.state().mirror(root, shared.mirrors.tick()).is_some() {
            return Ok(());
        }
        let begun = Instant::now();
        let (head, mut mirror) = self.read(shared, root).await?;
        self.reach(shared, head.mark.revision, Instant::now() + PATIENCE).await?;
        let _turn = self.moving.lock().await;
        let Some(there) = self.state().position() else { return Err(Error::Unavailable) };
        if there.incarnation != head.incarnation {
            return Err(Error::IncarnationChanged);
        }
        let mut at = head.mark;
        while at.revision < there.mark.revision {
            let (versions, last) = self.behind(shared, head.incarnation, at).await?;
            at = last;
            let root: Box<str> = root.into();
            mirror = computed(shared, move || {
                // A step of the log may lead beyond where the others stand.
                let until = versions.iter().filter(|v| v.mark.revision <= there.mark.revision);
                for version in until.filter(|v| mirror::root(&v.path.namespace) == &*root) {
                    take_in(&mut mirror, version);
                }
                mirror
            })
            .await?;
        }
        tracing::debug!(
            swarm.id = self.swarm().as_str(),
            root,
            entries = mirror.len(),
            bytes = mirror.bytes(),
            ms = begun.elapsed().as_millis() as u64,
            "a mirror is loaded"
        );
        shared.metrics.mirror_loads.inc();
        self.install(root, mirror, shared.mirrors.tick());
        Ok(())
    }

    /// All of a root at one revision. The next page is read while one is taken in.
    async fn read(&self, shared: &Arc<Shared>, root: &str) -> Result<(Head, Mirror), Error> {
        let mut mirror = Mirror::new(shared.mirrors.embeds());
        let mut head: Option<Head> = None;
        for range in NamespaceRange::of(&[Prefix::trusted(root)]) {
            let at =
                |head: &Option<Head>| head.as_ref().map_or(At::Newest, |h| At::Revision(h.mark.revision));
            let first = Scan { range, after: None, at: at(&head), limit: PAGE, content: true };
            let mut page = self.page(shared, first.clone()).await?;
            loop {
                let head = head.get_or_insert(page.head);
                let next = page.resume.take().map(|resume| {
                    let at = At::Revision(head.mark.revision);
                    self.page(shared, Scan { after: Some(resume), at, ..first.clone() })
                });
                let taken = computed(shared, move || {
                    for version in &page.versions {
                        take_in(&mut mirror, version);
                    }
                    mirror
                });
                let Some(next) = next else {
                    mirror = taken.await?;
                    break;
                };
                let (taken, next) = tokio::join!(taken, next);
                (mirror, page) = (taken?, next?);
            }
        }
        Ok((head.ok_or(Error::Unavailable)?, mirror))
    }

    async fn page(&self, shared: &Arc<Shared>, scan: Scan) -> Result<ScanPage, Error> {
        let (store, swarm): (_, SwarmId) = (Arc::clone(&shared.store), self.swarm().clone());
        detached(shared, async move { Ok(store.scan(&swarm, &scan).await?) }).await
    }
}
