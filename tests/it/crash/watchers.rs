//! Clients that watch, and come back with the last token they were given. Knows nothing of when the coordinator dies.

use std::time::Duration;

use swarmem::{
    client::{Client, Code, Error},
    wire::{
        WatchResponse, WatchResponseType,
        v1::{self, watch_request},
    },
};
use tokio::sync::watch;

use super::{
    history::{Selection, Start, Watched},
    random::Random,
};

const BOOKMARK_INTERVAL_MS: u64 = 200;
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// How a watcher takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// At once.
    Fast,
    /// With a rest after each response, until it is told how far to go.
    Slow,
    /// Leaves after a few responses, and resumes.
    Restless,
    /// Begins again with another snapshot after some events.
    Forgetful,
}

/// One that watches.
pub struct Watcher {
    pub name: &'static str,
    pub client: Client,
    pub filter: v1::Filter,
    /// What the filter and the role let through.
    pub selection: Selection,
    pub snapshot: bool,
    pub pace: Pace,
    pub random: Random,
}

/// What was received since the watch was begun.
struct Course {
    watched: Watched,
    token: Option<String>,
    snapshot_ended: bool,
}

impl Watcher {
    /// Watches until it has seen everything up to a revision, once that is known.
    pub async fn follow(mut self, mut until: watch::Receiver<Option<u64>>) -> Vec<Watched> {
        let mut finished = Vec::new();
        let mut course = self.begin();
        loop {
            match self.connection(&mut course, &mut until).await {
                Ok(()) => {}
                Err(error) if is_passing(&error) => tokio::time::sleep(RECONNECT_PAUSE).await,
                Err(error) => course.watched.refused = Some(error.to_string()),
            }
            if course.watched.refused.is_some() || course.is_over(*until.borrow()) {
                finished.push(course.watched);
                return finished;
            }
            if self.is_tired_of(&course, *until.borrow()) {
                finished.push(std::mem::replace(&mut course, self.begin()).watched);
            }
        }
    }

    fn begin(&self) -> Course {
        let start = if self.snapshot {
            Start::Snapshot { revision: 0, entries: Vec::new() }
        } else {
            Start::Beginning
        };
        let watched = Watched {
            name: self.name.to_owned(),
            selection: self.selection.clone(),
            start,
            events: Vec::new(),
            reached: 0,
            refused: None,
        };
        Course { watched, token: None, snapshot_ended: !self.snapshot }
    }

    fn is_tired_of(&self, course: &Course, until: Option<u64>) -> bool {
        self.pace == Pace::Forgetful
            && until.is_none()
            && course.snapshot_ended
            && course.watched.events.len() > 30
    }

    /// Opens one stream, and takes from it what comes.
    async fn connection(
        &mut self,
        course: &mut Course,
        until: &mut watch::Receiver<Option<u64>>,
    ) -> Result<(), Error> {
        let start = match &course.token {
            Some(token) => watch_request::Start::Token(token.clone()),
            None if self.snapshot => watch_request::Start::Snapshot(true),
            None => watch_request::Start::Revision(1),
        };
        let request = v1::WatchRequest {
            filter: Some(self.filter.clone()),
            start: Some(start),
            bookmark_interval: Duration::from_millis(BOOKMARK_INTERVAL_MS).try_into().ok(),
            ..Default::default()
        };
        let mut stream = self.client.watch_once(request).await?;
        let mut responses = 3 + self.random.below(10);
        loop {
            let goal = *until.borrow();
            if course.is_over(goal) || self.is_tired_of(course, goal) {
                return Ok(());
            }
            let response = tokio::select! {
                response = stream.next() => response?,
                _ = until.changed() => continue,
            };
            let Some(response) = response else { return Ok(()) };
            course.take(response);
            responses = responses.saturating_sub(1);
            match self.pace {
                Pace::Restless if responses == 0 => return Ok(()),
                Pace::Slow if goal.is_none() => {
                    tokio::time::sleep(Duration::from_millis(self.random.below(60))).await;
                }
                _ => {}
            }
        }
    }
}

impl Course {
    fn is_over(&self, until: Option<u64>) -> bool {
        self.snapshot_ended && until.is_some_and(|until| self.watched.reached >= until)
    }

    fn take(&mut self, response: WatchResponse) {
        let watched = &mut self.watched;
        match response.r#type() {
            WatchResponseType::Snapshot | WatchResponseType::SnapshotEnd => {
                let Start::Snapshot { revision, entries } = &mut watched.start else {
                    watched.refused = Some("was sent a snapshot that it did not ask for".into());
                    return;
                };
                if self.snapshot_ended || (*revision != 0 && *revision != response.revision) {
                    watched.refused = Some("was sent a snapshot of two revisions".into());
                }
                *revision = response.revision;
                entries.extend(response.decode_entries().unwrap());
                if response.r#type() == WatchResponseType::SnapshotEnd {
                    self.snapshot_ended = true;
                    watched.reached = response.revision;
                }
            }
            WatchResponseType::Events | WatchResponseType::Bookmark => {
                watched.events.extend(response.decode_events().unwrap());
                if self.snapshot_ended {
                    watched.reached = watched.reached.max(response.revision);
                }
            }
            WatchResponseType::Unspecified => watched.refused = Some("was sent no type".into()),
        }
        self.token = Some(response.token);
    }
}

/// Whether it is worth coming back. What has no reason is not of the coordinator: its connection broke.
fn is_passing(error: &Error) -> bool {
    matches!(error.code(), Code::Unavailable | Code::Unknown | Code::DeadlineExceeded)
        || error.reason().is_none()
}
