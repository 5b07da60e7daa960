//! A coordinator on a free port over a database of its own, and clients for it: typed ones, and one that sends any bytes
//! to any method.

use std::{net::SocketAddr, time::Duration};

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use swarmem::{
    app::App,
    client::{Client, Options, Role},
    config::Config,
    lifecycle::Lifecycle,
    wire::v1,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tonic::{
    Code, Request, Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    metadata::{AsciiMetadataKey, AsciiMetadataValue},
    transport::Channel,
};
use tonic_types::StatusExt as _;

/// The swarm that exists from the start.
pub const SWARM: &str = "default";

/// A coordinator that serves.
pub struct Server {
    lifecycle: Lifecycle,
    running: JoinHandle<anyhow::Result<()>>,
    channel: Channel,
    uri: String,
    http: Option<SocketAddr>,
    _directory: TempDir,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.listen = Some(([127, 0, 0, 1], 0).into());
        config.http.listen = None;
        config.store.path = directory.path().join("test.db");
        change(&mut config);
        config.validate().unwrap();
        let lifecycle = Lifecycle::new();
        let app = App::bind(&config, lifecycle.clone()).await.unwrap();
        let uri = format!("http://{}", app.address().unwrap());
        let http = app.http_address();
        let running = tokio::spawn(app.run());
        let channel = Channel::from_shared(uri.clone()).unwrap().connect_lazy();
        Self { lifecycle, running, channel, uri, http, _directory: directory }
    }

    /// Ends the coordinator; it must drain and close cleanly.
    pub async fn stop(self) {
        self.lifecycle.soft.cancel();
        self.running.await.unwrap().unwrap();
    }

    /// Where it listens, as `host:port`.
    pub fn address(&self) -> &str {
        self.uri.trim_start_matches("http://")
    }

    /// Where figures and probes are, if the configuration says so.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// A channel without any header.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub async fn client(&self, agent: &str, role: Role) -> Client {
        // What is tested is what the coordinator says, at the first time of asking.
        let options = Options { retry: None, ..Options::new(SWARM, agent, role) };
        Client::connect(&self.uri.parse().unwrap(), options).await.unwrap()
    }

    pub async fn agent(&self, agent: &str) -> Client {
        self.client(agent, Role::Agent).await
    }

    /// An orchestrator whose calls and streams of writes may take so long.
    pub async fn patient_for(&self, call_timeout: Duration) -> Client {
        let defaults = Options::new(SWARM, "boss", Role::Orchestrator);
        let options = Options { call_timeout, attempt_timeout: call_timeout, retry: None, ..defaults };
        Client::connect(&self.uri.parse().unwrap(), options).await.unwrap()
    }

    pub async fn orchestrator(&self) -> Client {
        self.client("boss", Role::Orchestrator).await
    }

    /// Sends a message to a method, such as `MemoryService/Put`, as an orchestrator; what it answers first.
    pub async fn ask(&self, method: &str, message: &impl Message) -> Result<Bytes, Status> {
        self.send(method, message.encode_to_vec().into()).await
    }

    /// Sends any bytes as an orchestrator.
    pub async fn send(&self, method: &str, bytes: Bytes) -> Result<Bytes, Status> {
        self.send_with(method, bytes, &[("swarmem-agent", "boss"), ("swarmem-role", "orchestrator")]).await
    }

    /// Sends any bytes with any headers.
    pub async fn send_with(
        &self,
        method: &str,
        bytes: Bytes,
        headers: &[(&str, &str)],
    ) -> Result<Bytes, Status> {
        let mut request = Request::new(bytes);
        for (name, value) in headers {
            let name: AsciiMetadataKey = name.parse().unwrap();
            request.metadata_mut().append(name, AsciiMetadataValue::try_from(*value).unwrap());
        }
        let path = match method.strip_prefix('/') {
            Some(_) => method.to_owned(),
            None => format!("/swarmem.v1.{method}"),
        };
        let path: PathAndQuery = path.parse().unwrap();
        let mut grpc = tonic::client::Grpc::new(self.channel());
        grpc.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
        let mut stream = grpc.server_streaming(request, path, Raw).await?.into_inner();
        match stream.message().await? {
            Some(answer) => Ok(answer),
            None => Err(Status::unknown("the stream ended without a message")),
        }
    }

    /// The newest revision.
    pub async fn revision(&self) -> u64 {
        self.orchestrator().await.get_swarm().await.unwrap().swarm.unwrap().revision
    }
}

/// Code and reason of an error, whose details must be those of this service.
#[track_caller]
pub fn refusal(status: &Status) -> (Code, String) {
    let info = status
        .get_details_error_info()
        .unwrap_or_else(|| panic!("no ErrorInfo in {:?}: {}", status.code(), status.message()));
    assert_eq!(info.domain, "swarmem");
    (status.code(), info.reason)
}

/// The field that an error names.
#[track_caller]
pub fn field(status: &Status) -> String {
    assert_eq!(refusal(status), (Code::InvalidArgument, "INVALID_FIELD".into()), "{}", status.message());
    let bad = status.get_details_bad_request().unwrap();
    assert_eq!(bad.field_violations.len(), 1);
    assert!(!bad.field_violations[0].description.is_empty());
    bad.field_violations[0].field.clone()
}

/// A put of a text.
pub fn put(namespace: &str, key: &str, content: &str) -> v1::PutOperation {
    v1::PutOperation {
        namespace: namespace.into(),
        key: key.into(),
        content: content.into(),
        ..Default::default()
    }
}

pub fn name(namespace: &str, key: &str) -> v1::EntryName {
    v1::EntryName { namespace: namespace.into(), key: key.into() }
}

pub fn delete(namespace: &str, key: &str) -> v1::DeleteOperation {
    v1::DeleteOperation { namespace: namespace.into(), key: key.into(), precondition: None }
}

pub fn etag(etag: &str) -> Option<v1::Precondition> {
    Some(v1::Precondition { condition: Some(v1::precondition::Condition::Etag(etag.into())) })
}

pub fn absent(absent: bool) -> Option<v1::Precondition> {
    Some(v1::Precondition { condition: Some(v1::precondition::Condition::Absent(absent)) })
}

pub fn at_revision(revision: u64) -> Option<v1::Consistency> {
    Some(v1::Consistency { revision, ..Default::default() })
}

pub fn at_least(token: &str) -> Option<v1::Consistency> {
    let level = v1::consistency::Level::AtLeast.into();
    Some(v1::Consistency { level, token: token.into(), revision: 0 })
}

/// Messages as they are, encoded already.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
