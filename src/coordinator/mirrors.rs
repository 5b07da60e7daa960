//! The mirrors that this coordinator holds: loaded when they are first asked for, moved on with the log, given up for room.
//! Knows the feed and the store, and of ranking nothing (ADR 16).

mod bodies;
mod held;
mod load;
mod roots;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use tokio::time::{Instant, MissedTickBehavior, interval};

pub(super) use bodies::Bodies;
pub(super) use held::Held;

use super::{Shared, error::Error};
use crate::domain::swarm::SwarmId;

/// How much mirrors may hold.
#[derive(Clone, Copy, Debug)]
pub struct MirrorLimits {
    /// Whether meanings are compared.
    pub embeds: bool,
    /// Bytes of all mirrors, about; what was not asked for the longest goes first.
    pub bytes_max: usize,
    /// Bytes of the bodies beside them.
    pub body_bytes_max: usize,
    /// How long a mirror is held that nobody asks for.
    pub idle: Duration,
    /// How often mirrors move on that nobody asks for.
    pub interval: Duration,
}

/// All mirrors, by swarm.
pub(super) struct Mirrors {
    limits: MirrorLimits,
    swarms: DashMap<SwarmId, Arc<Held>>,
    pub bodies: Bodies,
    /// Since when times of use are counted.
    epoch: Instant,
    bytes: AtomicU64,
}

impl Mirrors {
    pub fn new(limits: MirrorLimits) -> Self {
        Self {
            limits,
            swarms: DashMap::new(),
            bodies: Bodies::new(limits.body_bytes_max),
            epoch: Instant::now(),
            bytes: AtomicU64::new(0),
        }
    }

    /// The mirrors of a swarm, possibly none yet.
    pub fn of(&self, shared: &Arc<Shared>, swarm: &SwarmId) -> Arc<Held> {
        let mut held = self.swarms.entry(swarm.clone()).or_insert_with(|| Arc::new(Held::new(shared, swarm)));
        if held.is_over() {
            *held = Arc::new(Held::new(shared, swarm));
        }
        Arc::clone(&held)
    }

    /// Lets go of the mirrors of a history that is over.
    pub fn forget(&self, swarm: &SwarmId, held: &Arc<Held>) {
        self.swarms.remove_if(swarm, |_, current| Arc::ptr_eq(current, held));
    }

    /// Whether meanings are compared.
    pub fn embeds(&self) -> bool {
        self.limits.embeds
    }

    /// The time of a use, in milliseconds.
    pub fn tick(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// About how many bytes all mirrors take, as of the last look.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many mirrors are held.
    pub fn count(&self) -> usize {
        self.swarms.iter().map(|held| held.state().len()).sum()
    }

    /// Gives up what nobody has asked for in a long time, and as much of the rest as there is too much of. What was asked for
    /// last stays, however large it is: it is in use.
    pub fn make_room(&self) {
        let mut all = Vec::new();
        for held in &self.swarms {
            let state = held.state();
            let sizes = state.sizes().map(|(root, used, bytes)| (used, root.to_owned(), bytes));
            all.extend(sizes.map(|(used, root, bytes)| (used, Arc::clone(&held), root, bytes)));
        }
        all.sort_by_key(|(used, ..)| std::cmp::Reverse(*used));
        let idle = u64::try_from(self.limits.idle.as_millis()).unwrap_or(u64::MAX);
        let now = self.tick();
        let mut kept = 0;
        for (at, (used, held, root, bytes)) in all.into_iter().enumerate() {
            let fits = at == 0 || kept + bytes <= self.limits.bytes_max;
            if fits && now.saturating_sub(used) < idle {
                kept += bytes;
            } else {
                held.give_up(&root);
            }
        }
        self.bytes.store(kept as u64, Ordering::Relaxed);
        self.swarms.retain(|_, held| !(held.is_over() || held.is_idle(now, idle)));
    }
}

/// Moves on the mirrors that nobody asks for, so that whoever asks finds little to do, and makes room.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut ticks = interval(shared.mirrors.limits.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Room is a matter of seconds.
    let mut until_room = 0_u32;
    loop {
        tokio::select! {
            () = shared.lifecycle.soft.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let behind: Vec<_> = shared
            .mirrors
            .swarms
            .iter()
            .filter(|held| held.is_behind())
            .map(|held| Arc::clone(&held))
            .collect();
        for held in behind {
            match held.advance(&shared).await {
                Ok(()) => {}
                Err(error) if error.is_store_trouble() => {}
                Err(_) => shared.mirrors.forget(held.swarm(), &held),
            }
        }
        until_room = until_room.checked_sub(1).unwrap_or_else(|| {
            shared.mirrors.make_room();
            20
        });
    }
}

/// Work that keeps a processor busy, off the threads that answer calls.
pub(super) async fn computed<T: Send + 'static>(
    shared: &Shared,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    shared.lifecycle.tasks.spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "ranking did not finish");
        Error::Unavailable
    })
}
