//! `WatchService`: streams of events.

use std::{pin::Pin, time::Duration};

use futures_util::{Stream, stream};
use tonic::{Request, Response, Status};

use super::{
    Service,
    call::arguments,
    parse,
    status::{invalid, of},
};
use crate::{
    coordinator::watch::{Content, Delivery, Start, WatchQuery},
    domain::{Invalid, swarm::Revision},
    wire::{
        WatchResponse, WatchResponseType,
        v1::{self, watch_request::Start as WireStart, watch_service_server::WatchService},
    },
};

/// The bounds of the bookmark interval.
const BOOKMARK_INTERVAL: std::ops::RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3600);

#[tonic::async_trait]
impl WatchService for Service {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<WatchResponse, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut call = self.call(request)?;
        let swarm = call.swarm(&call.message.swarm)?;
        let start = start(call.message.start.take()).map_err(invalid)?;
        let bookmark_interval = bookmark_interval(call.message.bookmark_interval.take()).map_err(invalid)?;
        // What is left of the message is what a token is bound to.
        let arguments = arguments("Watch", &call.message);
        let query = WatchQuery {
            start,
            filter: parse::filter(call.message.filter.take(), self.coordinator.limits()).map_err(invalid)?,
            before: call.message.include_before,
            keys_only: call.message.keys_only,
            bookmark_interval,
            deadline: call.patience,
            arguments,
        };
        let stream = call.read(self.coordinator.watch(&call.caller, &swarm, query)).await?;
        let responses = stream::unfold(stream, async |mut stream| {
            let next = stream.next().await?;
            Some((next.map(response).map_err(of), stream))
        });
        Ok(Response::new(Box::pin(responses)))
    }
}

fn start(wire: Option<WireStart>) -> parse::Parsed<Start> {
    match wire {
        None => Ok(Start::Now),
        Some(WireStart::Token(token)) => Ok(Start::Token(token)),
        Some(WireStart::Revision(revision)) => Ok(Start::Revision(Revision(revision))),
        Some(WireStart::Time(time)) => Ok(Start::Time(parse::timestamp(&time, "time")?)),
        Some(WireStart::Snapshot(true)) => Ok(Start::Snapshot),
        Some(WireStart::Snapshot(false)) => Err(Invalid::new("snapshot", "must be true or left out")),
    }
}

fn bookmark_interval(wire: Option<prost_types::Duration>) -> parse::Parsed<Option<Duration>> {
    let Some(wire) = wire else { return Ok(None) };
    let interval = parse::duration(wire, "bookmark_interval")?;
    if BOOKMARK_INTERVAL.contains(&interval) {
        Ok(Some(interval))
    } else {
        Err(Invalid::new("bookmark_interval", "must be 100 ms to 1 h"))
    }
}

fn response(delivery: Delivery) -> WatchResponse {
    let Delivery { content, token, revision } = delivery;
    let mut response = WatchResponse { token, revision: revision.0, ..Default::default() };
    let r#type = match content {
        Content::Events { events, fragment } => {
            response.events = events;
            response.fragment = fragment;
            WatchResponseType::Events
        }
        Content::Snapshot(entries) => {
            response.entries = entries;
            WatchResponseType::Snapshot
        }
        Content::SnapshotEnd => WatchResponseType::SnapshotEnd,
        Content::Bookmark => WatchResponseType::Bookmark,
    };
    response.set_type(r#type);
    response
}
