//! A peer that speaks HTTP/2 frame by frame, and gRPC no better than it is told to.

use std::future::poll_fn;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{Builder, Connection, ResponseFuture, SendRequest},
};
use prost::Message;
use swarmem::wire::v1;
use tokio::{net::TcpStream, task::JoinHandle, time::timeout};
use tonic::{Code, Status, codegen::http::Request};
use tonic_types::StatusExt as _;

use crate::{
    process::PATIENCE,
    rpc::harness::{SWARM, refusal},
};

/// A connection.
pub struct Peer {
    send: SendRequest<Bytes>,
    /// Ends with the connection.
    pub connection: JoinHandle<Result<(), h2::Error>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// A call that is not over.
pub struct Call {
    pub body: SendStream<Bytes>,
    answer: Option<ResponseFuture>,
    stream: Option<RecvStream>,
    buffer: BytesMut,
}

impl Peer {
    pub async fn connect(address: &str) -> Self {
        Self::with(address, &Builder::new()).await
    }

    pub async fn with(address: &str, builder: &Builder) -> Self {
        let (send, connection) = Self::handshake(address, builder).await;
        Self::run(send, connection)
    }

    /// A connection that is not served until it is run: nothing of what the server says is heard.
    pub async fn handshake(
        address: &str,
        builder: &Builder,
    ) -> (SendRequest<Bytes>, Connection<TcpStream, Bytes>) {
        builder.handshake(TcpStream::connect(address).await.unwrap()).await.unwrap()
    }

    pub fn run(send: SendRequest<Bytes>, connection: Connection<TcpStream, Bytes>) -> Self {
        Self { send, connection: tokio::spawn(connection) }
    }

    /// Begins a call as an orchestrator, such as `MemoryService/Put`.
    pub fn call(&mut self, method: &str, headers: &[(&str, &str)]) -> Call {
        begin(&mut self.send, method, headers)
    }

    /// Calls with one message, and waits for the end.
    pub async fn ask(
        &mut self,
        method: &str,
        headers: &[(&str, &str)],
        message: &impl Message,
    ) -> Result<Vec<Bytes>, Status> {
        let mut call = self.call(method, headers);
        call.body.send_data(frame(message), true).unwrap();
        call.end().await
    }

    /// Makes a call that is always answered, if calls are.
    pub async fn get_swarm(&mut self) -> Result<Vec<Bytes>, Status> {
        self.ask("SwarmService/GetSwarm", &[], &v1::GetSwarmRequest { swarm: SWARM.into() }).await
    }

    /// Opens a watch that stays.
    pub fn watch(&mut self, headers: &[(&str, &str)]) -> Call {
        let mut call = self.call("WatchService/Watch", headers);
        call.body.send_data(frame(&watch_request()), true).unwrap();
        call
    }
}

pub fn watch_request() -> v1::WatchRequest {
    v1::WatchRequest { swarm: SWARM.into(), ..Default::default() }
}

pub fn begin(send: &mut SendRequest<Bytes>, method: &str, headers: &[(&str, &str)]) -> Call {
    let mut request = Request::post(format!("http://swarmem/swarmem.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("swarmem-agent", "peer")
        .header("swarmem-role", "orchestrator");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let (answer, body) = send.send_request(request.body(()).unwrap(), false).unwrap();
    Call { body, answer: Some(answer), stream: None, buffer: BytesMut::new() }
}

/// A message as it goes over the wire.
pub fn frame(message: &impl Message) -> Bytes {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(message.encoded_len().try_into().unwrap());
    message.encode(&mut framed).unwrap();
    framed.freeze()
}

impl Call {
    /// The next message; or the status, which is the end. One of them comes.
    pub async fn next(&mut self) -> Result<Bytes, Status> {
        timeout(PATIENCE, self.receive()).await.expect("an answer comes")
    }

    async fn receive(&mut self) -> Result<Bytes, Status> {
        if let Some(answer) = self.answer.take() {
            let answer = answer.await.map_err(reset)?;
            if let Some(status) = Status::from_header_map(answer.headers()) {
                return Err(status);
            }
            assert_eq!(answer.status(), 200);
            self.stream = Some(answer.into_body());
        }
        let stream = self.stream.as_mut().expect("the call is not over");
        loop {
            if let Some(length) = self.buffer.get(1..5) {
                let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
                if self.buffer.len() >= 5 + length {
                    return Ok(self.buffer.split_to(5 + length).freeze().slice(5..));
                }
            }
            match stream.data().await {
                Some(data) => {
                    let data = data.map_err(reset)?;
                    stream.flow_control().release_capacity(data.len()).unwrap();
                    self.buffer.extend_from_slice(&data);
                }
                None => {
                    let trailers = poll_fn(|cx| stream.poll_trailers(cx)).await.map_err(reset)?;
                    let trailers = trailers.expect("a call ends with trailers");
                    return Err(Status::from_header_map(&trailers).expect("trailers have a status"));
                }
            }
        }
    }

    /// Everything up to the end.
    pub async fn end(&mut self) -> Result<Vec<Bytes>, Status> {
        let mut messages = Vec::new();
        loop {
            match self.next().await {
                Ok(message) => messages.push(message),
                Err(status) if status.code() == Code::Ok => return Ok(messages),
                Err(status) => return Err(status),
            }
        }
    }

    /// Waits until the answer has begun, and reads nothing of it.
    pub async fn begun(&mut self) {
        let answer = self.answer.take().expect("nobody asked before").await.unwrap();
        assert!(Status::from_header_map(answer.headers()).is_none());
        self.stream = Some(answer.into_body());
    }
}

fn reset(error: h2::Error) -> Status {
    Status::unknown(format!("reset: {error}"))
}

/// The refusal of a bound: its reason, if it says when to come back.
#[track_caller]
pub fn exhausted(status: &Status) -> String {
    let (code, reason) = refusal(status);
    assert_eq!(code, Code::ResourceExhausted, "{status:?}");
    let retry = status.get_details_retry_info().expect("it says when to come back");
    assert!(retry.retry_delay.is_some_and(|delay| !delay.is_zero()));
    reason
}
