//! Messages between coordinators: what another one signed is read or refused whatever it says, what it did not sign is
//! refused, and what is read is whole.

use std::sync::Arc;

use swarmem::{
    bus::codec::{Decoded, Sender, decode, encode, encode_fetch},
    domain::{
        attributes::Attributes,
        commit::Commit,
        entry::{Body, Cause, Change, Kind, Tags, Version},
        namespace::{AgentId, EntryPath, Key, Namespace},
        position::TokenKey,
        swarm::{Incarnation, Mark, Nonce, Revision, SwarmId},
        time::Timestamp,
    },
};
use uuid::Uuid;

use super::source::Source;

const FORMAT: u8 = 1;
const BYTES_MAX: usize = 1 << 20;
const OTHER: Sender = Sender(2);
const ME: Sender = Sender(1);

fn key() -> TokenKey {
    TokenKey::new([7; 32])
}

fn swarm() -> SwarmId {
    SwarmId::trusted("swarm")
}

/// Takes the input as a message, then as the choices of what a commit holds.
pub fn check(input: &[u8]) {
    // Without a signature, or with one that chance would have to guess.
    assert_eq!(decode(&key(), ME, &swarm(), input), None);
    signed(input.to_vec());
    signed([&[FORMAT], input].concat());

    let commit = commit(&mut Source::new(input));
    let fetch = encode_fetch(&key(), OTHER, &swarm(), &commit);
    assert_eq!(
        decode(&key(), ME, &swarm(), &fetch),
        Some(Decoded::Fetch(commit.incarnation, commit.last)),
        "where it ends is told without its changes"
    );
    if let Some(bytes) = encode(&key(), OTHER, &swarm(), &commit, BYTES_MAX) {
        let read = decode(&key(), ME, &swarm(), &bytes);
        assert_eq!(read, Some(Decoded::Commit(commit)), "what was written is read");
        assert_eq!(decode(&key(), OTHER, &swarm(), &bytes), Some(Decoded::Own));
    }
}

/// Bytes that somebody signed who has the secret: an older or newer version, or one that is broken.
fn signed(mut bytes: Vec<u8>) {
    key().sign(&swarm(), &mut bytes);
    let Some(Decoded::Commit(commit)) = decode(&key(), ME, &swarm(), &bytes) else { return };
    let revisions: Vec<_> = commit.versions.iter().map(|v| v.mark.revision).collect();
    assert!(revisions.is_sorted(), "revisions are out of order");
    assert_eq!(
        revisions.first(),
        Some(&commit.prev.revision.next()),
        "something is missing before the first"
    );
    assert_eq!(revisions.last(), Some(&commit.last.revision), "something is missing behind the last");
    assert!(commit.versions.iter().all(|v| v.mark.nonce == commit.last.nonce), "another commit is mixed in");
}

fn commit(source: &mut Source<'_>) -> Commit {
    let incarnation = Incarnation(Uuid::from_bytes(source.array()));
    // The last revision there is has none behind it.
    let prev = Mark { revision: Revision(source.number() >> 8), nonce: Nonce(source.array()) };
    let nonce = Nonce(source.array());
    let mut versions = Vec::new();
    let mut mark = Mark { revision: prev.revision, nonce };
    for _ in 0..=source.below(4) {
        mark.revision = mark.revision.next();
        for ordinal in 0..=source.below(3) {
            versions.push(Arc::new(version(source, mark, u32::try_from(ordinal).expect("it is small"))));
        }
    }
    Commit { incarnation, prev, last: mark, versions }
}

fn version(source: &mut Source<'_>, mark: Mark, ordinal: u32) -> Version {
    let body = Body {
        kind: source.pick(&[Kind::Fact, Kind::Message, Kind::Block]),
        content: source.text().into(),
        attributes: Attributes::trusted(&source.text()),
        tags: Tags::trusted(&[source.text()]),
        importance: f64::from(source.byte()),
        source: source.text().into(),
    };
    Version {
        path: EntryPath { namespace: Namespace::trusted(&source.text()), key: Key::trusted(&source.text()) },
        mark,
        ordinal,
        change: source.pick(&[Change::Put, Change::Delete]),
        cause: source.pick(&[Cause::Write, Cause::Revert]),
        author: AgentId::trusted(&source.text()),
        time: Timestamp::from_micros(source.number().cast_signed()),
        create_revision: Revision(source.number()),
        create_time: Timestamp::from_micros(source.number().cast_signed()),
        version: source.number(),
        expire_time: source.flag().then(|| Timestamp::from_micros(source.number().cast_signed())),
        content_bytes: source.number(),
        body,
    }
}

/// What the corpus begins with: messages without their signature, the first of them whole.
pub fn seeds() -> Vec<Vec<u8>> {
    let commit = commit(&mut Source::new(b"a commit of some versions, with texts and numbers in them"));
    let unsigned = |bytes: Vec<u8>| bytes[..bytes.len() - 16].to_vec();
    let whole = encode(&key(), OTHER, &swarm(), &commit, BYTES_MAX).expect("it is small");
    vec![unsigned(whole), unsigned(encode_fetch(&key(), OTHER, &swarm(), &commit)), vec![FORMAT]]
}
