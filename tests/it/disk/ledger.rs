//! Writes that are not repeated, what became of each, and whether that is what is there. Knows nothing of disks.

use std::collections::BTreeMap;

use swarmem::{
    client::{Client, Code, Error, Transport},
    wire::{
        WatchResponse,
        v1::{self, Event, memory_service_client::MemoryServiceClient, watch_request::Start},
    },
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tonic::Streaming;

use crate::{crash::verify::order, process::PATIENCE};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was acknowledged.
    Done,
    /// It was refused: nothing was done.
    Undone,
    /// Nobody said what became of it.
    Open,
}

pub struct Ledger {
    memory: MemoryServiceClient<Transport>,
    swarm: String,
    content_bytes: usize,
    written: Vec<(String, Fate)>,
}

impl Ledger {
    pub fn new(client: &Client) -> Self {
        Self::with_contents(client, 3_000)
    }

    /// Each write has two entries of that size.
    pub fn with_contents(client: &Client, content_bytes: usize) -> Self {
        let swarm = client.options().swarm.clone();
        Self { memory: client.memory(), swarm, content_bytes, written: Vec::new() }
    }

    /// After a restart.
    pub fn reconnect(&mut self, client: &Client) {
        self.memory = client.memory();
    }

    /// Writes two entries in one request, which is not repeated.
    pub async fn write(&mut self) -> Result<u64, Error> {
        let name = format!("{:04}", self.written.len());
        let put = |half: &str| v1::PutOperation {
            namespace: "shared/ledger".into(),
            key: format!("{name}.{half}"),
            content: name.repeat(self.content_bytes / 4),
            ..Default::default()
        };
        let request = v1::BatchPutRequest {
            swarm: self.swarm.clone(),
            puts: vec![put("a"), put("b")],
            request_id: name.clone(),
        };
        let answer = self.memory.batch_put(request).await.map_err(Error::from);
        self.written.push((name, answer.as_ref().map_or_else(fate, |_| Fate::Done)));
        answer.map(|response| response.into_inner().results[0].revision)
    }

    pub fn last(&self) -> Fate {
        self.written.last().unwrap().1
    }

    /// Everything acknowledged is there, nothing refused is, and nothing by half.
    pub async fn is_held(&self, client: &Client) {
        let mut there: BTreeMap<String, usize> = BTreeMap::new();
        let filter = v1::Filter { prefixes: vec!["shared/ledger".into()], ..Default::default() };
        let mut request = v1::ListRequest { filter: Some(filter), page_size: 1000, ..Default::default() };
        loop {
            let page = client.list(request.clone()).await.unwrap();
            for entry in page.entries {
                let name = entry.key.split_once('.').unwrap().0;
                assert_eq!(entry.content, name.repeat(self.content_bytes / 4), "the content of {name}");
                *there.entry(name.to_owned()).or_default() += 1;
            }
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        for (name, fate) in &self.written {
            let entries = there.get(name).copied().unwrap_or_default();
            let right = match fate {
                Fate::Done => entries == 2,
                Fate::Undone => entries == 0,
                Fate::Open => entries == 0 || entries == 2,
            };
            assert!(right, "{entries} entries of {name}, which was {fate:?}");
        }
    }
}

/// What an error says of the write. One without a reason is not of the coordinator.
fn fate(error: &Error) -> Fate {
    match error.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::DataLoss if error.reason().is_some() => {
            Fate::Undone
        }
        _ => Fate::Open,
    }
}

/// One stream from the first revision on, which is not opened again.
pub struct Follower {
    goal: watch::Sender<Option<u64>>,
    task: JoinHandle<Result<Vec<Event>, String>>,
}

impl Follower {
    pub async fn start(client: &Client) -> Self {
        let request = v1::WatchRequest {
            swarm: client.options().swarm.clone(),
            start: Some(Start::Revision(1)),
            ..Default::default()
        };
        let stream = client.watches().watch(request).await.unwrap().into_inner();
        let (goal, until) = watch::channel(None);
        Self { goal, task: tokio::spawn(follow(stream, until)) }
    }

    /// The stream is still open, and has told of every revision up to now, each once.
    pub async fn has_seen_everything(self, client: &Client) {
        let head = client.get_swarm().await.unwrap().swarm.unwrap().revision;
        self.goal.send_replace(Some(head));
        let seen = timeout(PATIENCE, self.task).await.expect("the stream goes on").unwrap();
        let mut events = seen.unwrap_or_else(|error| panic!("the stream ended: {error}"));
        events.retain(|event| event.revision <= head);
        assert_eq!(order(&events, head), []);
    }
}

async fn follow(
    mut stream: Streaming<WatchResponse>,
    mut goal: watch::Receiver<Option<u64>>,
) -> Result<Vec<Event>, String> {
    let (mut events, mut reached) = (Vec::new(), 0);
    loop {
        if goal.borrow_and_update().is_some_and(|goal| reached >= goal) {
            return Ok(events);
        }
        tokio::select! {
            response = stream.message() => {
                let response = response.map_err(|status| status.to_string())?.ok_or("without a word")?;
                events.extend(response.decode_events().unwrap());
                reached = response.revision;
            }
            _ = goal.changed() => {}
        }
    }
}
