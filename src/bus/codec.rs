//! A commit as a message that leaves the process: `swarmem.bus.v1` behind one byte that names the format, signed with the
//! store's secret. Knows nothing of channels.
//!
//! What a version is about and its content are encoded as stores keep them, so that whatever seals them there seals them
//! here.

use std::sync::Arc;

use prost::Message as _;
use uuid::Uuid;

use crate::{
    domain::{
        commit::Commit,
        entry::{Change, Version},
        namespace::{EntryPath, Key, Namespace},
        position::TokenKey,
        swarm::{Incarnation, Mark, Nonce, Revision, SwarmId},
        time::Timestamp,
    },
    store::codec,
};

mod v1 {
    tonic::include_proto!("swarmem.bus.v1");
}

/// The only format so far.
const FORMAT: u8 = 1;

/// Who sent a message: drawn by each coordinator at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender(pub u64);

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Decoded {
    /// It is one's own.
    Own,
    /// A commit with its changes.
    Commit(Commit),
    /// A commit up to here, whose changes are to be fetched from the log.
    Fetch(Incarnation, Mark),
}

/// Encodes a commit with its changes; none if it would be longer than `bytes_max`.
#[must_use]
pub fn encode(
    key: &TokenKey,
    sender: Sender,
    swarm: &SwarmId,
    commit: &Commit,
    bytes_max: usize,
) -> Option<Vec<u8>> {
    let of_one_commit = commit.versions.iter().all(|v| v.mark.nonce == commit.last.nonce);
    if !may_fit(weight(commit), bytes_max) || !of_one_commit {
        return None;
    }
    let versions = commit.versions.iter().map(|v| record(v)).collect();
    let message = v1::Message { fetch: false, versions, ..header(sender, commit) };
    (message.encoded_len() <= bytes_max).then(|| sealed(key, swarm, &message))
}

/// About how many bytes a commit takes in memory.
#[must_use]
pub fn weight(commit: &Commit) -> usize {
    commit.versions.iter().map(|v| v.weight()).sum()
}

/// False if a commit of this weight is longer than `bytes_max` for sure: contents need not be copied to find out. Small
/// versions weigh more than their message is long.
#[must_use]
pub fn may_fit(weight: usize, bytes_max: usize) -> bool {
    weight / 4 <= bytes_max
}

/// Encodes that there was a commit.
#[must_use]
pub fn encode_fetch(key: &TokenKey, sender: Sender, swarm: &SwarmId, commit: &Commit) -> Vec<u8> {
    sealed(key, swarm, &header(sender, commit))
}

/// Decodes what a coordinator of the same store encoded for the same swarm; none if it cannot be read, or was not made by
/// one, or in a format that this version does not know.
#[must_use]
pub fn decode(key: &TokenKey, own: Sender, swarm: &SwarmId, bytes: &[u8]) -> Option<Decoded> {
    let (&FORMAT, bytes) = key.signed(swarm, bytes)?.split_first()? else { return None };
    let message = v1::Message::decode(bytes).ok()?;
    if Sender(message.sender) == own {
        return Some(Decoded::Own);
    }
    let incarnation = Incarnation(Uuid::from_slice(&message.incarnation).ok()?);
    let (prev, last) = (mark_of(message.prev.as_ref()?)?, mark_of(message.last.as_ref()?)?);
    if message.fetch {
        return Some(Decoded::Fetch(incarnation, last));
    }
    let versions: Option<Vec<_>> =
        message.versions.into_iter().map(|v| version_of(v, last.nonce).map(Arc::new)).collect();
    let commit = Commit { incarnation, prev, last, versions: versions? };
    is_whole(&commit).then_some(Decoded::Commit(commit))
}

/// Whether every revision is there, each with all its ordinals.
fn is_whole(commit: &Commit) -> bool {
    let (mut revision, mut ordinal) = (commit.prev.revision, 0);
    for version in &commit.versions {
        if version.mark.revision == revision.next() {
            (revision, ordinal) = (version.mark.revision, 0);
        }
        if version.mark.revision != revision || version.ordinal != ordinal {
            return false;
        }
        ordinal += 1;
    }
    revision == commit.last.revision && !commit.versions.is_empty()
}

fn header(sender: Sender, commit: &Commit) -> v1::Message {
    v1::Message {
        sender: sender.0,
        incarnation: commit.incarnation.0.as_bytes().to_vec(),
        prev: Some(mark_record(commit.prev)),
        last: Some(mark_record(commit.last)),
        fetch: true,
        versions: Vec::new(),
    }
}

fn sealed(key: &TokenKey, swarm: &SwarmId, message: &v1::Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.encoded_len() + 17);
    bytes.push(FORMAT);
    message.encode(&mut bytes).expect("a Vec grows");
    key.sign(swarm, &mut bytes);
    bytes
}

fn mark_record(mark: Mark) -> v1::Mark {
    v1::Mark { revision: mark.revision.0, nonce: mark.nonce.0.to_vec() }
}

fn mark_of(record: &v1::Mark) -> Option<Mark> {
    let nonce = Nonce(record.nonce.as_slice().try_into().ok()?);
    Some(Mark { revision: Revision(record.revision), nonce })
}

fn record(version: &Version) -> v1::Version {
    let deleted = version.change == Change::Delete;
    v1::Version {
        namespace: version.path.namespace.as_str().into(),
        key: version.path.key.as_str().into(),
        revision: version.mark.revision.0,
        ordinal: version.ordinal,
        deleted,
        cause: codec::cause_number(version.cause),
        time_us: version.time.as_micros(),
        create_revision: version.create_revision.0,
        create_time_us: version.create_time.as_micros(),
        version: version.version,
        expire_us: version.expire_time.map(Timestamp::as_micros),
        content_bytes: version.content_bytes,
        meta: codec::encode_meta(&version.author, &version.body),
        content: codec::encode_content(&version.body.content),
    }
}

fn version_of(record: v1::Version, nonce: Nonce) -> Option<Version> {
    let (author, body) = codec::decode(&record.meta, Some(&record.content)).ok()?;
    Some(Version {
        path: EntryPath { namespace: Namespace::trusted(&record.namespace), key: Key::trusted(&record.key) },
        mark: Mark { revision: Revision(record.revision), nonce },
        ordinal: record.ordinal,
        change: if record.deleted { Change::Delete } else { Change::Put },
        cause: codec::cause_of(record.cause).ok()?,
        author,
        time: Timestamp::from_micros(record.time_us),
        create_revision: Revision(record.create_revision),
        create_time: Timestamp::from_micros(record.create_time_us),
        version: record.version,
        expire_time: record.expire_us.map(Timestamp::from_micros),
        content_bytes: record.content_bytes,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        attributes::Attributes,
        entry::{Body, Cause, Kind, Tags},
        namespace::AgentId,
    };

    const ME: Sender = Sender(1);
    const OTHER: Sender = Sender(2);

    fn key() -> TokenKey {
        TokenKey::new([7; 32])
    }

    fn swarm() -> SwarmId {
        SwarmId::trusted("swarm")
    }

    fn mark(revision: u64) -> Mark {
        Mark { revision: Revision(revision), nonce: Nonce([9; 16]) }
    }

    fn version(revision: u64, ordinal: u32, content: &str) -> Arc<Version> {
        let change = if content.is_empty() { Change::Delete } else { Change::Put };
        Arc::new(Version {
            path: EntryPath { namespace: Namespace::trusted("shared/ü"), key: Key::trusted("k") },
            mark: mark(revision),
            ordinal,
            change,
            cause: Cause::Revert,
            author: AgentId::trusted("ann"),
            time: Timestamp::from_micros(-1),
            create_revision: Revision(2),
            create_time: Timestamp::from_micros(5),
            version: 3,
            expire_time: Some(Timestamp::from_micros(77)),
            content_bytes: 12,
            body: Body {
                kind: Kind::Pattern,
                content: content.into(),
                attributes: Attributes::trusted("{\"a\":1}"),
                tags: Tags::trusted(&["a", "b"]),
                importance: 0.75,
                source: "here".into(),
            },
        })
    }

    fn commit() -> Commit {
        let versions = vec![version(4, 0, "one"), version(4, 1, ""), version(5, 0, "two")];
        Commit { incarnation: Incarnation(Uuid::from_u128(3)), prev: mark(3), last: mark(5), versions }
    }

    fn read(bytes: &[u8]) -> Option<Decoded> {
        decode(&key(), OTHER, &swarm(), bytes)
    }

    fn written(commit: &Commit) -> Vec<u8> {
        encode(&key(), ME, &swarm(), commit, 1 << 20).unwrap()
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        assert_eq!(read(&written(&commit())), Some(Decoded::Commit(commit())));
        let fetch = Some(Decoded::Fetch(commit().incarnation, commit().last));
        assert_eq!(read(&encode_fetch(&key(), ME, &swarm(), &commit())), fetch);
        assert_eq!(decode(&key(), ME, &swarm(), &written(&commit())), Some(Decoded::Own));
    }

    #[test]
    fn what_is_too_long_is_not_encoded() {
        let length = written(&commit()).len() - 17;
        let at = |bytes_max| encode(&key(), ME, &swarm(), &commit(), bytes_max);
        assert_eq!(at(length), Some(written(&commit())));
        assert_eq!(at(length - 1), None);
        assert_eq!(at(0), None);
    }

    #[test]
    fn versions_of_several_commits_are_not_encoded() {
        let mut mixed = commit();
        Arc::make_mut(&mut mixed.versions[0]).mark.nonce = Nonce([1; 16]);
        assert_eq!(encode(&key(), ME, &swarm(), &mixed, 1 << 20), None);
    }

    #[test]
    fn what_is_foreign_changed_or_of_a_newer_format_is_not_read() {
        let bytes = written(&commit());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert_eq!(read(&changed), None, "byte {at}");
            assert_eq!(read(&bytes[..at]), None, "cut at {at}");
        }
        assert_eq!(decode(&TokenKey::new([8; 32]), OTHER, &swarm(), &bytes), None);
        assert_eq!(decode(&key(), OTHER, &SwarmId::trusted("other"), &bytes), None);
        let mut newer = bytes[..bytes.len() - 16].to_vec();
        newer[0] = FORMAT + 1;
        key().sign(&swarm(), &mut newer);
        assert_eq!(read(&newer), None);
    }

    #[test]
    fn a_commit_with_something_missing_is_not_read() {
        for missing in 0..3 {
            let mut cut = commit();
            cut.versions.remove(missing);
            // The first revision without its second change looks whole, and no message can tell.
            assert_eq!(read(&written(&cut)).is_none(), missing != 1, "version {missing}");
        }
        for wrong in [Commit { last: mark(6), ..commit() }, Commit { prev: mark(2), ..commit() }] {
            assert_eq!(read(&written(&wrong)), None);
        }
    }
}
