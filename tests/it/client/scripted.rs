//! A coordinator that answers as it is told, and remembers what it was asked. Knows nothing of what a coordinator means.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures_util::{StreamExt as _, stream::BoxStream};
use prost::Message as _;
use swarmem::wire::v1::{self, write_response::Outcome};
use tokio::{net::TcpListener, task::AbortHandle, time::Instant};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, StreamingService, UnaryService},
    transport::Server,
};
use tonic_prost::ProstCodec;
use tonic_types::{ErrorDetails, StatusExt as _};

/// What is answered to one call.
pub enum Answer {
    /// Done, at this revision.
    At(u64),
    Refuse(Status),
    /// A stream breaks, and says nothing of what it was asked.
    Break,
}

/// A call that came in.
#[derive(Clone, Debug)]
pub struct Asked {
    pub at: Instant,
    /// Of a put.
    pub request_id: String,
    /// Of a get.
    pub consistency: Option<v1::Consistency>,
}

/// Answers puts, also on streams, and gets, until it is dropped.
pub struct Scripted {
    address: String,
    play: Play,
    serving: AbortHandle,
}

#[derive(Clone, Default)]
struct Play(Arc<Mutex<(VecDeque<Answer>, Vec<Asked>)>>);

impl Scripted {
    pub async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let play = Play::default();
        play.0.lock().unwrap().0.extend(answers);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serving =
            Server::builder().add_service(play.clone()).serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(serving).abort_handle();
        Self { address, play, serving }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.play.0.lock().unwrap().1.clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A refusal of the coordinator's own.
pub fn refusal(code: Code, reason: &str, retry_after_ms: Option<u64>) -> Answer {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "swarmem", std::collections::HashMap::new());
    if let Some(after) = retry_after_ms {
        details.set_retry_info(Some(std::time::Duration::from_millis(after)));
    }
    Answer::Refuse(Status::with_error_details(code, reason, details))
}

const BROKEN: &str = "broken";

/// The token that is given with a revision.
pub fn token(revision: u64) -> String {
    format!("token-{revision}")
}

impl Play {
    fn next(&self, asked: Asked) -> Result<u64, Status> {
        let mut play = self.0.lock().unwrap();
        play.1.push(asked);
        match play.0.pop_front() {
            Some(Answer::At(revision)) => Ok(revision),
            Some(Answer::Refuse(status)) => Err(status),
            Some(Answer::Break) => Err(Status::unavailable(BROKEN)),
            None => Err(Status::internal("the script is over")),
        }
    }
}

impl NamedService for Play {
    const NAME: &'static str = "swarmem.v1.MemoryService";
}

impl Service<http::Request<Body>> for Play {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let play = self.clone();
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/swarmem.v1.MemoryService/Put" => {
                    Grpc::new(ProstCodec::default()).unary(Put(play), request).await
                }
                "/swarmem.v1.MemoryService/Get" => {
                    Grpc::new(ProstCodec::default()).unary(Get(play), request).await
                }
                "/swarmem.v1.MemoryService/Write" => {
                    Grpc::new(ProstCodec::default()).streaming(Write(play), request).await
                }
                _ => Status::unimplemented("not in the script").into_http(),
            })
        })
    }
}

struct Put(Play);

impl UnaryService<v1::PutRequest> for Put {
    type Response = v1::PutResponse;
    type Future = BoxFuture<Response<v1::PutResponse>, Status>;

    fn call(&mut self, request: Request<v1::PutRequest>) -> Self::Future {
        let request_id = request.into_inner().request_id;
        let answer = self.0.next(Asked { at: Instant::now(), request_id, consistency: None });
        let answer = answer.map(|revision| {
            let result = Some(v1::PutResult { revision, ..Default::default() });
            Response::new(v1::PutResponse { result, token: token(revision) })
        });
        Box::pin(async move { answer })
    }
}

struct Write(Play);

impl StreamingService<v1::WriteRequest> for Write {
    type Response = v1::WriteResponse;
    type ResponseStream = BoxStream<'static, Result<v1::WriteResponse, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Streaming<v1::WriteRequest>>) -> Self::Future {
        let play = self.0.clone();
        let answers = request.into_inner().map(move |request| {
            let Some(v1::write_request::Write::Put(put)) = request?.write else {
                return Err(Status::unimplemented("not in the script"));
            };
            let asked = Asked { at: Instant::now(), request_id: put.request_id, consistency: None };
            let outcome = match play.next(asked) {
                Ok(revision) => {
                    let result = Some(v1::PutResult { revision, ..Default::default() });
                    Outcome::Put(v1::PutResponse { result, token: token(revision) })
                }
                Err(status) if status.message() == BROKEN => return Err(status),
                Err(status) => {
                    let mut error = v1::WriteError::decode(status.details()).unwrap();
                    (error.code, error.message) = (status.code() as i32, status.message().to_owned());
                    Outcome::Error(error)
                }
            };
            Ok(v1::WriteResponse { outcome: Some(outcome) })
        });
        Box::pin(async move { Ok(Response::new(answers.boxed())) })
    }
}

struct Get(Play);

impl UnaryService<v1::GetRequest> for Get {
    type Response = v1::GetResponse;
    type Future = BoxFuture<Response<v1::GetResponse>, Status>;

    fn call(&mut self, request: Request<v1::GetRequest>) -> Self::Future {
        let consistency = request.into_inner().consistency;
        let answer = self.0.next(Asked { at: Instant::now(), request_id: String::new(), consistency });
        let answer = answer.map(|revision| {
            Response::new(v1::GetResponse {
                entry: Some(v1::Entry::default()),
                token: token(revision),
                revision,
            })
        });
        Box::pin(async move { answer })
    }
}
