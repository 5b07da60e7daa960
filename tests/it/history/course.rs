//! One run of the deterministic pass: a load over a virtual fleet, and what happens to it, all by a seed. Knows no rule.

use std::{sync::Arc, time::Duration};

use swarmem::{
    client::Backoff,
    domain::{
        swarm::{Revision, SwarmId},
        time::{Clock as _, ManualClock, Timestamp},
    },
    store::{Store, memory::MemoryStore},
};
use tokio::time::sleep;

use super::{
    load::{Load, Plan},
    record::History,
    recorder::Recorder,
    seeded_bugs::{Bug, Buggy},
    virtual_fleet::{Fleet, Losses, VirtualBus},
};
use crate::{crash::random::Random, watch::faults::Faulty, watch::faults::Happens};

/// What a run has besides its seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Course {
    /// The service has this bug.
    pub bug: Option<Bug>,
}

fn plan(seed: u64) -> Plan {
    Plan {
        swarm: "swarm".into(),
        writers: 4,
        // What a stream sends carries ids that no seed gives.
        streams: 0,
        operations: 14,
        // One of each kind.
        watchers: 10,
        cancels_percent: 15,
        pause_max: Duration::from_millis(6),
        rest_max: Duration::from_millis(15),
        call_timeout: Duration::from_millis(300),
        bookmarks: Duration::from_millis(200),
        ttl_max: Duration::from_millis(60),
        // Its jitter is below what the timer can tell: the same seed, the same course.
        reconnect: Backoff { first: Duration::from_millis(1), max: Duration::from_millis(1) },
        patience: Duration::from_secs(30),
        ..Plan::new(seed)
    }
}

/// Runs a seed on a runtime of its own, whose time is paused.
pub fn run(seed: u64, course: Course) -> History {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(happen(seed, course))
}

async fn happen(seed: u64, course: Course) -> History {
    let mut random = Random::seeded(seed);
    let swarm = SwarmId::parse("swarm").unwrap();
    let clock = Arc::new(ManualClock::at(Timestamp::from_micros(1_000_000_000)));
    let reference = Arc::new(MemoryStore::new(Arc::clone(&clock) as _));
    let losses = match random.below(4) {
        0 => Losses { dropped: 100, ..Losses::default() },
        1 => Losses { delayed_max_ms: 8, repeated: 10, ..Losses::default() },
        _ => Losses { dropped: 15, repeated: 15, delayed_max_ms: 6, cut: 3 },
    };
    let bus = Arc::new(VirtualBus::new(random.split(), losses));
    let store = Arc::new(Faulty::new(Arc::clone(&reference) as _));
    let over: Arc<dyn Store> = match course.bug {
        Some(bug) => {
            Arc::new(Buggy::new(bug, Arc::clone(&store) as _, Arc::clone(&bus) as _, Arc::clone(&clock)))
        }
        None => Arc::clone(&store) as _,
    };
    let replicas = 2 + random.below(2) as usize;
    let fleet = Fleet::start(replicas, over, bus, Arc::clone(&clock), &swarm).await;
    let recorder = Recorder::default();
    let ticking = tokio::spawn(tick(Arc::clone(&clock)));
    let mut load = Load::start(plan(seed), fleet.endpoints(), &recorder);
    let world = World {
        fleet: &fleet,
        store: &store,
        reference: &*reference,
        clock: &clock,
        recorder: &recorder,
        swarm: &swarm,
    };
    let mut progress = load.progress();
    let faults = async {
        // There is something to lose.
        progress.wait_for(|acknowledged| *acknowledged > 0).await.unwrap();
        loop {
            sleep(Duration::from_millis(2 + random.below(20))).await;
            world.befall(&mut random).await;
        }
    };
    tokio::select! {
        biased;
        () = load.written() => {}
        () = faults => {}
    }
    // Whatever was broken is whole in the end.
    store.fails_percent.store(0, std::sync::atomic::Ordering::SeqCst);
    *store.commit_takes.lock().unwrap() = Duration::ZERO;
    for place in 0..fleet.slots.len() {
        if !fleet.slots[place].is_running() {
            fleet.start_at(place).await;
        }
    }
    load.finish().await;
    recorder.read_store(&*reference, &swarm).await.unwrap();
    ticking.abort();
    recorder.finish()
}

/// The store's clock goes with the runtime's.
async fn tick(clock: Arc<ManualClock>) {
    loop {
        sleep(Duration::from_millis(1)).await;
        clock.advance(Duration::from_millis(1));
    }
}

struct World<'a> {
    fleet: &'a Fleet,
    store: &'a Faulty,
    reference: &'a dyn Store,
    clock: &'a ManualClock,
    recorder: &'a Recorder,
    swarm: &'a SwarmId,
}

impl World<'_> {
    /// Something happens.
    async fn befall(&self, random: &mut Random) {
        use std::sync::atomic::Ordering::SeqCst;
        let place = random.below(self.fleet.slots.len() as u64) as usize;
        match random.below(15) {
            0 => self.fleet.slots[place].cut(),
            1 | 2 => self.fleet.slots[place].cut_one(random),
            3 => {
                self.fleet.kill(place);
                sleep(Duration::from_millis(random.below(8))).await;
                self.fleet.start_at(place).await;
            }
            4 => {
                self.fleet.drain(place).await;
                self.fleet.start_at(place).await;
            }
            5 => {
                let happens = if random.below(2) == 0 { Happens::Yes } else { Happens::No };
                *self.store.unknown.lock().unwrap() = Some(happens);
            }
            6 => {
                self.store.fails_percent.store(30, SeqCst);
                sleep(Duration::from_millis(random.below(10))).await;
                self.store.fails_percent.store(0, SeqCst);
            }
            7 => *self.store.commit_takes.lock().unwrap() = Duration::from_millis(random.below(4)),
            8 => self.store.yields.store(random.below(6), SeqCst),
            9 => {
                // Ahead, or back.
                let now = self.clock.now().as_micros();
                let by = i64::try_from(random.below(80_000)).unwrap() - 40_000;
                self.clock.set(Timestamp::from_micros(now + by));
            }
            _ => self.compact(random).await,
        }
    }

    /// Raises the floor, once the log was read up to there.
    async fn compact(&self, random: &mut Random) {
        self.recorder.read_store(self.reference, self.swarm).await.unwrap();
        let floor = self.recorder.log_read().saturating_sub(random.below(12));
        while self.reference.compact(self.swarm, Revision(floor), 7).await.unwrap().more {}
    }
}
