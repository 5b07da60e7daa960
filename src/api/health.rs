//! `grpc.health.v1`: one status per service, as the protocol says: nothing serves before it does, and watching an
//! unknown service answers `SERVICE_UNKNOWN` and goes on.

use std::{
    collections::BTreeMap,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server::Health,
};

use super::status::Explained;
use crate::{coordinator::Coordinator, lifecycle::Lifecycle};

/// Fails only if the runtime is stuck.
pub const LIVENESS: &str = "liveness";
/// Serves as long as the process takes calls.
const OVERALL: &str = "";
const WATCH: &str = "swarmem.v1.WatchService";
/// These serve only while the store answers.
const NEED_THE_STORE: [&str; 3] =
    ["swarmem.v1.MemoryService", "swarmem.v1.RecallService", "swarmem.v1.SwarmService"];

/// How often the store is asked.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// When the store has failed for so long, counted from the last good answer, the services that need it stop serving. One
/// good answer and they serve again: so they change no more than once in this time, whatever the store does.
const FAILING_MAX: Duration = Duration::from_secs(3);
/// A store that is asked has so long to answer at least: this process may have stood still itself.
const ANSWER_MIN: Duration = Duration::from_secs(1);

/// Whether the services that need the store serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreServes {
    /// They do.
    Yes,
    /// They do not.
    No,
}

#[derive(Debug)]
struct Board {
    serving: BTreeMap<&'static str, bool>,
    /// Nothing changes any more; streams end.
    closed: bool,
}

/// The statuses of all services.
#[derive(Clone, Debug)]
pub struct HealthBoard(Arc<watch::Sender<Board>>);

impl Default for HealthBoard {
    fn default() -> Self {
        let services = [OVERALL, LIVENESS, WATCH].into_iter().chain(NEED_THE_STORE);
        let serving = services.map(|service| (service, service == LIVENESS)).collect();
        Self(Arc::new(watch::Sender::new(Board { serving, closed: false })))
    }
}

impl HealthBoard {
    /// Says whether anything changed.
    fn set(&self, serves: impl Fn(&str) -> bool) -> bool {
        self.0.send_if_modified(|board| {
            let mut changed = false;
            for (service, serving) in &mut board.serving {
                let now = *service == LIVENESS || serves(service);
                changed |= std::mem::replace(serving, now) != now;
            }
            changed
        })
    }

    /// Whether reads and writes are served.
    #[must_use]
    pub fn serves_memory(&self) -> bool {
        self.0.borrow().serving.get(NEED_THE_STORE[0]).is_some_and(|serving| *serving)
    }

    /// Asks the store, so that whoever asks from now on is told the truth. Says how it went if that is news.
    pub async fn probe(&self, coordinator: &Coordinator) -> Option<StoreServes> {
        let failing_since = coordinator.failing_since().await;
        let store_serves = failing_since.is_none_or(|since| since.elapsed() < FAILING_MAX);
        let changed = self.set(|service| store_serves || !NEED_THE_STORE.contains(&service));
        changed.then_some(if store_serves { StoreServes::Yes } else { StoreServes::No })
    }

    /// Keeps the statuses true until the coordinator shuts down; then nothing but liveness serves.
    pub async fn keep(self, coordinator: Coordinator, lifecycle: Lifecycle) {
        tokio::select! {
            () = self.probe_regularly(&coordinator) => {}
            () = lifecycle.soft.cancelled() => {}
        }
        self.set(|_| false);
        self.0.send_modify(|board| board.closed = true);
    }

    async fn probe_regularly(&self, coordinator: &Coordinator) {
        // The first probe behind the last answer.
        let mut asked_first = Instant::now();
        loop {
            let asked = Instant::now();
            if coordinator.answered() >= asked_first {
                asked_first = asked;
            }
            let mut probe = pin!(self.probe(coordinator));
            let said = tokio::select! {
                said = &mut probe => said,
                // The end of a probe that nothing answers is not waited for.
                () = coordinator.silent_for(FAILING_MAX, asked_first + ANSWER_MIN) => {
                    report(self.set(|service| !NEED_THE_STORE.contains(&service)).then_some(StoreServes::No));
                    probe.await
                }
            };
            report(said);
            let mut due = asked + PROBE_INTERVAL;
            if self.serves_memory() {
                due = due.min(coordinator.answered() + FAILING_MAX);
            }
            sleep_until(due).await;
        }
    }
}

fn report(news: Option<StoreServes>) {
    match news {
        Some(StoreServes::No) => {
            tracing::warn!("the store has failed for too long: services that need it stop serving");
        }
        Some(StoreServes::Yes) => tracing::info!("the store answers: all services serve"),
        None => {}
    }
}

/// The health service over a board.
#[derive(Clone, Debug)]
pub struct HealthService {
    board: HealthBoard,
}

impl HealthService {
    /// Answers from `board`.
    #[must_use]
    pub fn new(board: HealthBoard) -> Self {
        Self { board }
    }
}

fn status_of(board: &Board, service: &str) -> ServingStatus {
    match board.serving.get(service) {
        None => ServingStatus::ServiceUnknown,
        Some(true) => ServingStatus::Serving,
        Some(false) => ServingStatus::NotServing,
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for HealthService {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let status = status_of(&self.board.0.borrow(), &request.into_inner().service);
        if status == ServingStatus::ServiceUnknown {
            return Err(Explained::new(Code::NotFound, "SERVICE_UNKNOWN", "no such service").into_status());
        }
        Ok(Response::new(response(status)))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let state = (self.board.0.subscribe(), None);
        let changes = stream::unfold(state, move |(mut board, last)| {
            let service = service.clone();
            async move {
                loop {
                    let (status, closed) = {
                        let board = board.borrow_and_update();
                        (status_of(&board, &service), board.closed)
                    };
                    if last != Some(status) {
                        return Some((Ok(response(status)), (board, Some(status))));
                    }
                    if closed {
                        return None;
                    }
                    board.changed().await.ok()?;
                }
            }
        });
        Ok(Response::new(Box::pin(changes)))
    }
}
