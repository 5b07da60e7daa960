//! Domain values as wire messages.

use bytes::Bytes;
use prost::Message as _;

use crate::{
    coordinator::Encode,
    domain::{
        access::{Principal, Scope},
        entry::{Cause, Change, Kind, Version},
        swarm::{Retention, Swarm},
        time::Timestamp,
    },
    wire::v1,
};

/// Encodes events for rings and streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct WireEncoder;

impl Encode for WireEncoder {
    fn event(&self, version: &Version, before: Option<&Version>, keys_only: bool) -> Bytes {
        event(version, before, keys_only).encode_to_vec().into()
    }

    fn entry(&self, version: &Version, keys_only: bool) -> Bytes {
        entry(version, keys_only).encode_to_vec().into()
    }
}

/// An event.
pub(super) fn event(version: &Version, before: Option<&Version>, keys_only: bool) -> v1::Event {
    let r#type = match version.change {
        Change::Put => v1::event::Type::Put,
        Change::Delete => v1::event::Type::Delete,
    };
    v1::Event {
        r#type: r#type.into(),
        cause: cause(version.cause).into(),
        entry: Some(entry(version, keys_only)),
        before: before.map(|b| entry(b, keys_only)),
        revision: version.mark.revision.0,
        ordinal: version.ordinal,
        time: Some(timestamp(version.time)),
    }
}

/// An entry; `keys_only` leaves content and attributes out.
pub(super) fn entry(version: &Version, keys_only: bool) -> v1::Entry {
    let body = &version.body;
    let text = |text: &str| if keys_only { String::new() } else { text.to_owned() };
    v1::Entry {
        namespace: version.path.namespace.as_str().into(),
        key: version.path.key.as_str().into(),
        kind: kind(body.kind).into(),
        content: text(&body.content),
        attributes: text(body.attributes.as_str()),
        tags: body.tags.iter().map(Into::into).collect(),
        importance: body.importance,
        expire_time: version.expire_time.map(timestamp),
        author: version.author.as_str().into(),
        source: body.source.to_string(),
        revision: version.mark.revision.0,
        create_revision: version.create_revision.0,
        version: version.version,
        etag: version.etag().encode(),
        create_time: Some(timestamp(version.create_time)),
        update_time: Some(timestamp(version.time)),
    }
}

/// A swarm, as far as `caller` may know of it.
pub(super) fn swarm(swarm: &Swarm, caller: &Principal) -> v1::Swarm {
    let Retention { age, revisions } = swarm.retention;
    let sees_all = caller.readable() == Scope::All;
    v1::Swarm {
        swarm: swarm.id.as_str().into(),
        incarnation: swarm.head.incarnation.0.to_string(),
        revision: swarm.head.mark.revision.0,
        floor: swarm.head.floor.revision.0,
        entries: sees_all.then_some(swarm.head.entries),
        content_bytes: sees_all.then_some(swarm.head.content_bytes),
        retention: Some(v1::Retention {
            age: prost_types::Duration::try_from(age).ok(),
            revisions: Some(revisions),
        }),
        create_time: Some(timestamp(swarm.create_time)),
    }
}

/// A time.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("less than a second");
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

fn kind(kind: Kind) -> v1::Kind {
    match kind {
        Kind::Fact => v1::Kind::Fact,
        Kind::Message => v1::Kind::Message,
        Kind::Preference => v1::Kind::Preference,
        Kind::Pattern => v1::Kind::Pattern,
        Kind::Document => v1::Kind::Document,
        Kind::Summary => v1::Kind::Summary,
        Kind::Block => v1::Kind::Block,
    }
}

fn cause(cause: Cause) -> v1::Cause {
    match cause {
        Cause::Write => v1::Cause::Write,
        Cause::Feedback => v1::Cause::Feedback,
        Cause::Expiry => v1::Cause::Expiry,
        Cause::Eviction => v1::Cause::Eviction,
        Cause::Archive => v1::Cause::Archive,
        Cause::Import => v1::Cause::Import,
        Cause::Revert => v1::Cause::Revert,
        Cause::Erase => v1::Cause::Erase,
    }
}
