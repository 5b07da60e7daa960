//! A bare tonic server as a peer: our protocol with nothing behind it. A get answers the same entry each time, a watch
//! sends the same batch of events as fast as its transport takes it. Runs as a process of its own, so that its cost can
//! be told apart. Knows nothing of what it is compared with.

use std::{
    io::{BufRead as _, BufReader},
    pin::Pin,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use futures_util::{Stream, StreamExt as _, stream};
use prost::Message as _;
use swarmem::{
    bench::{
        audience::{Arrival, Look, Subscription},
        material,
        process::Process,
        put,
    },
    client::{self, Client, Endpoint, Options, Role},
    wire::{
        WatchResponse, WatchResponseType,
        v1::{
            self,
            memory_service_server::{MemoryService, MemoryServiceServer},
            watch_request::Start,
            watch_service_server::{WatchService, WatchServiceServer},
        },
    },
};
use tokio::{net::TcpListener, sync::watch};
use tonic::{Request, Response, Status, Streaming, transport::server::TcpIncoming};

const CONTENT_BYTES: usize = 1024;

type Answer<T> = Result<Response<T>, Status>;
type Sent<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[derive(Clone)]
struct Bare {
    entry: v1::Entry,
    /// Whether watches send: a put starts them, a delete stops them.
    flows: watch::Sender<bool>,
}

/// Serves on a free port, and prints where.
pub async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println_address(&listener)?;
    let put = put::entry(material::key(7), material::content(CONTENT_BYTES));
    let entry = v1::Entry {
        namespace: put.namespace,
        key: put.key,
        kind: v1::Kind::Fact.into(),
        content: put.content,
        author: "bench".into(),
        importance: 0.5,
        revision: 1,
        create_revision: 1,
        version: 1,
        etag: "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into(),
        create_time: Some(swarmem::wire::Timestamp { seconds: 1_700_000_000, nanos: 1_000 }),
        update_time: Some(swarmem::wire::Timestamp { seconds: 1_700_000_000, nanos: 1_000 }),
        ..v1::Entry::default()
    };
    let bare = Bare { entry, flows: watch::Sender::new(false) };
    tonic::transport::Server::builder()
        .max_concurrent_streams(Some(1_000))
        .add_service(MemoryServiceServer::new(bare.clone()))
        .add_service(WatchServiceServer::new(bare))
        .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)))
        .await?;
    Ok(())
}

fn println_address(listener: &TcpListener) -> anyhow::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stdout(), "{}", listener.local_addr()?)?;
    Ok(std::io::stdout().flush()?)
}

fn none<T>() -> Answer<T> {
    Err(Status::unimplemented("bare"))
}

#[tonic::async_trait]
impl MemoryService for Bare {
    type WriteStream = Sent<v1::WriteResponse>;

    async fn get(&self, _: Request<v1::GetRequest>) -> Answer<v1::GetResponse> {
        let token = "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
        Ok(Response::new(v1::GetResponse { entry: Some(self.entry.clone()), token, revision: 1 }))
    }
    async fn put(&self, _: Request<v1::PutRequest>) -> Answer<v1::PutResponse> {
        self.flows.send_replace(true);
        Ok(Response::new(v1::PutResponse::default()))
    }
    async fn delete(&self, _: Request<v1::DeleteRequest>) -> Answer<v1::DeleteResponse> {
        self.flows.send_replace(false);
        Ok(Response::new(v1::DeleteResponse::default()))
    }
    async fn batch_put(&self, _: Request<v1::BatchPutRequest>) -> Answer<v1::BatchPutResponse> {
        none()
    }
    async fn batch_get(&self, _: Request<v1::BatchGetRequest>) -> Answer<v1::BatchGetResponse> {
        none()
    }
    async fn delete_prefix(&self, _: Request<v1::DeletePrefixRequest>) -> Answer<v1::DeletePrefixResponse> {
        none()
    }
    async fn transact(&self, _: Request<v1::TransactRequest>) -> Answer<v1::TransactResponse> {
        none()
    }
    async fn write(&self, _: Request<Streaming<v1::WriteRequest>>) -> Answer<Self::WriteStream> {
        none()
    }
    async fn list(&self, _: Request<v1::ListRequest>) -> Answer<v1::ListResponse> {
        none()
    }
    async fn history(&self, _: Request<v1::HistoryRequest>) -> Answer<v1::HistoryResponse> {
        none()
    }
    async fn list_namespaces(
        &self,
        _: Request<v1::ListNamespacesRequest>,
    ) -> Answer<v1::ListNamespacesResponse> {
        none()
    }
}

#[tonic::async_trait]
impl WatchService for Bare {
    type WatchStream = Sent<WatchResponse>;

    /// The start's revision says how many events a response holds; without one there is an event for each put.
    async fn watch(&self, request: Request<v1::WatchRequest>) -> Answer<Self::WatchStream> {
        let (events, each_put) = match request.into_inner().start {
            None => (1, true),
            Some(Start::Revision(events)) => (events, false),
            Some(_) => return none(),
        };
        let event = v1::Event {
            r#type: v1::event::Type::Put.into(),
            cause: v1::Cause::Write.into(),
            entry: Some(self.entry.clone()),
            revision: 1,
            time: self.entry.update_time,
            ..v1::Event::default()
        };
        let bytes = prost::bytes::Bytes::from(event.encode_to_vec());
        let batch = WatchResponse {
            r#type: WatchResponseType::Events.into(),
            events: vec![bytes; events as usize],
            token: "A".repeat(86),
            revision: events,
            ..WatchResponse::default()
        };
        let first = WatchResponse { r#type: WatchResponseType::Bookmark.into(), ..WatchResponse::default() };
        let flowing = stream::unfold(
            (batch, self.flows.subscribe(), each_put),
            async |(batch, mut flows, each_put)| {
                match each_put {
                    true => flows.changed().await.ok()?,
                    false => drop(flows.wait_for(|&flows| flows).await.ok()?),
                }
                Some((Ok(batch.clone()), (batch, flows, each_put)))
            },
        );
        Ok(Response::new(Box::pin(stream::iter([Ok(first)]).chain(flowing))))
    }
}

/// The server's process; ends when it is dropped.
pub struct Server {
    child: Child,
    endpoint: Endpoint,
}

impl Server {
    /// Starts this program once more, as the server.
    pub fn start() -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bare")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().context("no output")?;
        let mut server = Self { child, endpoint: Endpoint::default() };
        BufReader::new(output).read_line(&mut line)?;
        server.endpoint = line.trim().parse().context("the bare server did not start")?;
        Ok(server)
    }

    pub fn process(&self) -> Process {
        Process(self.child.id())
    }

    pub async fn clients(&self, connections: usize) -> anyhow::Result<Vec<Client>> {
        let options = Options::new("bare", "bench", Role::Orchestrator);
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            clients.push(Client::connect(&self.endpoint, options.clone()).await?);
        }
        Ok(clients)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One watch of the bare server.
pub struct Watch(client::Watch);

impl Watch {
    /// Opens it; its responses hold so many events each, and come as fast as they can.
    pub async fn open(client: &Client, events: u64) -> anyhow::Result<Self> {
        Self::from(client, Some(Start::Revision(events.max(1)))).await
    }

    /// Opens one that brings an event for each put.
    pub async fn of_puts(client: &Client) -> anyhow::Result<Self> {
        Self::from(client, None).await
    }

    async fn from(client: &Client, start: Option<Start>) -> anyhow::Result<Self> {
        let mut watch = client.watch(v1::WatchRequest { start, ..v1::WatchRequest::default() }).await?;
        watch.next().await?.context("the watch ended")?;
        Ok(Self(watch))
    }
}

impl Subscription for Watch {
    type Error = anyhow::Error;

    async fn next(&mut self, _: Look) -> anyhow::Result<Arrival> {
        let response = self.0.next().await?.context("the watch ended")?;
        Ok(Arrival { events: response.events.len() as u64, last: response.revision })
    }
}
