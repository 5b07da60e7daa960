//! The generated protocol, and the one message written by hand. Knows nothing of what the messages mean.

use bytes::Bytes;
pub use prost_types::{Duration, Timestamp};

/// The public protocol, `swarmem.v1`.
#[expect(clippy::all, clippy::allow_attributes, reason = "generated")]
pub mod v1 {
    tonic::include_proto!("swarmem.v1");
}

/// File descriptors of the public protocol, for reflection.
pub const DESCRIPTORS: &[u8] = tonic::include_file_descriptor_set!("swarmem.v1");

/// `swarmem.v1.WatchResponse` with its events and entries left encoded.
///
/// A repeated message and a repeated bytes field look the same on the wire, so a server can encode an
/// event once and share the bytes among all streams. See [`WatchResponse::decode_events`].
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchResponse {
    /// What the response is.
    #[prost(enumeration = "WatchResponseType", tag = "1")]
    pub r#type: i32,
    /// Encoded `swarmem.v1.Event`s in order.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub events: Vec<Bytes>,
    /// Encoded `swarmem.v1.Entry`s of the snapshot.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub entries: Vec<Bytes>,
    /// Resumes behind this response.
    #[prost(string, tag = "4")]
    pub token: String,
    /// The revision up to which the stream has seen everything.
    #[prost(uint64, tag = "5")]
    pub revision: u64,
    /// The last revision's events go on in the next response.
    #[prost(bool, tag = "6")]
    pub fragment: bool,
}

impl WatchResponse {
    /// Decodes the events.
    ///
    /// # Errors
    /// When a peer sent bytes that are no event.
    pub fn decode_events(&self) -> Result<Vec<v1::Event>, prost::DecodeError> {
        self.events.iter().map(|b| prost::Message::decode(b.clone())).collect()
    }

    /// Decodes the entries of a snapshot.
    ///
    /// # Errors
    /// When a peer sent bytes that are no entry.
    pub fn decode_entries(&self) -> Result<Vec<v1::Entry>, prost::DecodeError> {
        self.entries.iter().map(|b| prost::Message::decode(b.clone())).collect()
    }
}

/// `swarmem.v1.WatchResponse.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum WatchResponseType {
    /// Never sent.
    Unspecified = 0,
    /// Events of whole revisions, or a fragment of one.
    Events = 1,
    /// Entries of the snapshot.
    Snapshot = 2,
    /// The snapshot is complete.
    SnapshotEnd = 3,
    /// Nothing new: the token has moved on.
    Bookmark = 4,
}
