//! How every backend keeps versions and outcomes as bytes: `swarmem.store.v1` behind one byte that names the format.
//! Sealing will sit here. Knows nothing of tables, and nothing of the wire's messages.

use super::Error;
use crate::domain::{
    apply::{Effect, Outcome},
    attributes::Attributes,
    entry::{Body, Cause, IMPORTANCE_DEFAULT, Kind, Tags},
    namespace::{AgentId, EntryPath, Key, Namespace},
    swarm::{Mark, Revision},
    time::Timestamp,
};

mod v1 {
    tonic::include_proto!("swarmem.store.v1");
}

/// The only format so far: plain.
const PLAIN: u8 = 1;

/// Encodes what a version is about, without its content.
#[must_use]
pub fn encode_meta(author: &AgentId, body: &Body) -> Vec<u8> {
    sealed(&v1::Meta {
        kind: kind_number(body.kind),
        attributes: body.attributes.as_str().into(),
        tags: body.tags.iter().map(Into::into).collect(),
        importance: (body.importance != IMPORTANCE_DEFAULT).then_some(body.importance),
        author: author.as_str().into(),
        source: body.source.to_string(),
    })
}

/// Encodes a content.
#[must_use]
pub fn encode_content(content: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 1);
    bytes.push(PLAIN);
    bytes.extend_from_slice(content.as_bytes());
    bytes
}

/// Decodes what [`encode_meta`] and [`encode_content`] made; `content` is none where it was not loaded.
///
/// # Errors
/// [`Error::Corrupt`] when it cannot be read.
pub fn decode(meta: &[u8], content: Option<&[u8]>) -> Result<(AgentId, Body), Error> {
    let meta: v1::Meta = opened(meta)?;
    let content = match content {
        None => "",
        Some(bytes) => std::str::from_utf8(plain(bytes)?).map_err(|e| Error::Corrupt(e.to_string()))?,
    };
    let body = Body {
        kind: kind_of(meta.kind)?,
        content: content.into(),
        attributes: Attributes::trusted(&meta.attributes),
        tags: Tags::trusted(&meta.tags),
        importance: meta.importance.unwrap_or(IMPORTANCE_DEFAULT),
        source: meta.source.into(),
    };
    Ok((AgentId::trusted(&meta.author), body))
}

/// Encodes the outcome of an idempotent request, which took a revision.
#[must_use]
pub fn encode_outcome(outcome: &Outcome) -> Vec<u8> {
    sealed(&v1::Outcome {
        succeeded: outcome.succeeded,
        revision: outcome.taken.map_or(0, |mark| mark.revision.0),
        effects: outcome.effects.iter().map(effect_record).collect(),
    })
}

/// Decodes what [`encode_outcome`] made; `taken` is the revision it took.
///
/// # Errors
/// [`Error::Corrupt`] when it cannot be read.
pub fn decode_outcome(bytes: &[u8], taken: Mark) -> Result<Outcome, Error> {
    let record: v1::Outcome = opened(bytes)?;
    let effects = record.effects.into_iter().map(effect_of).collect::<Result<_, _>>()?;
    Ok(Outcome { succeeded: record.succeeded, taken: Some(taken), effects })
}

/// The number of a cause, fixed for ever.
#[must_use]
pub fn cause_number(cause: Cause) -> u32 {
    match cause {
        Cause::Write => 1,
        Cause::Feedback => 2,
        Cause::Expiry => 3,
        Cause::Eviction => 4,
        Cause::Archive => 5,
        Cause::Import => 6,
        Cause::Revert => 7,
        Cause::Erase => 8,
    }
}

/// The cause with this number.
///
/// # Errors
/// [`Error::Corrupt`] when there is none.
pub fn cause_of(number: u32) -> Result<Cause, Error> {
    Ok(match number {
        1 => Cause::Write,
        2 => Cause::Feedback,
        3 => Cause::Expiry,
        4 => Cause::Eviction,
        5 => Cause::Archive,
        6 => Cause::Import,
        7 => Cause::Revert,
        8 => Cause::Erase,
        _ => return Err(Error::Corrupt(format!("a version of unknown cause {number}"))),
    })
}

fn effect_record(effect: &Effect) -> v1::Effect {
    use v1::effect::Effect as E;
    let get = |path: &EntryPath, revision: u64| {
        E::Get(v1::Get { namespace: path.namespace.as_str().into(), key: path.key.as_str().into(), revision })
    };
    let effect = match effect {
        Effect::Put { path, version, expire_time } => E::Put(v1::Put {
            namespace: path.namespace.as_str().into(),
            key: path.key.as_str().into(),
            version: *version,
            expire_us: expire_time.map(Timestamp::as_micros),
        }),
        Effect::Delete(deleted) => E::Deleted(*deleted),
        Effect::DeletePrefix { deleted, more } => {
            E::DeletePrefix(v1::DeletePrefix { deleted: *deleted, more: *more })
        }
        Effect::Get(None) => E::Get(v1::Get::default()),
        Effect::Get(Some(version)) => get(&version.path, version.mark.revision.0),
        Effect::GetRecorded { path, revision } => get(path, revision.map_or(0, |r| r.0)),
    };
    v1::Effect { effect: Some(effect) }
}

fn effect_of(record: v1::Effect) -> Result<Effect, Error> {
    use v1::effect::Effect as E;
    let path = |namespace: &str, key: &str| EntryPath {
        namespace: Namespace::trusted(namespace),
        key: Key::trusted(key),
    };
    match record.effect {
        Some(E::Put(put)) => Ok(Effect::Put {
            path: path(&put.namespace, &put.key),
            version: put.version,
            expire_time: put.expire_us.map(Timestamp::from_micros),
        }),
        Some(E::Deleted(deleted)) => Ok(Effect::Delete(deleted)),
        Some(E::DeletePrefix(v1::DeletePrefix { deleted, more })) => {
            Ok(Effect::DeletePrefix { deleted, more })
        }
        Some(E::Get(get)) if get.revision == 0 => Ok(Effect::Get(None)),
        Some(E::Get(get)) => Ok(Effect::GetRecorded {
            path: path(&get.namespace, &get.key),
            revision: Some(Revision(get.revision)),
        }),
        None => Err(Error::Corrupt("an effect of an unknown kind".into())),
    }
}

fn sealed(message: &impl prost::Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(message.encoded_len() + 1);
    bytes.push(PLAIN);
    message.encode(&mut bytes).expect("a Vec grows");
    bytes
}

fn opened<M: prost::Message + Default>(bytes: &[u8]) -> Result<M, Error> {
    M::decode(plain(bytes)?).map_err(|e| Error::Corrupt(e.to_string()))
}

fn plain(bytes: &[u8]) -> Result<&[u8], Error> {
    match bytes.split_first() {
        Some((&PLAIN, rest)) => Ok(rest),
        Some((format, _)) => {
            Err(Error::Corrupt(format!("a record in format {format}, which this version does not know")))
        }
        None => Err(Error::Corrupt("an empty record".into())),
    }
}

/// The number is the one of `swarmem.v1.Kind`; both are fixed for ever.
fn kind_number(kind: Kind) -> u32 {
    match kind {
        Kind::Fact => 1,
        Kind::Message => 2,
        Kind::Preference => 3,
        Kind::Pattern => 4,
        Kind::Document => 5,
        Kind::Summary => 6,
        Kind::Block => 7,
    }
}

fn kind_of(number: u32) -> Result<Kind, Error> {
    Ok(match number {
        1 => Kind::Fact,
        2 => Kind::Message,
        3 => Kind::Preference,
        4 => Kind::Pattern,
        5 => Kind::Document,
        6 => Kind::Summary,
        7 => Kind::Block,
        _ => return Err(Error::Corrupt(format!("an entry of unknown kind {number}"))),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::swarm::Nonce;

    #[test]
    fn what_is_encoded_is_decoded() {
        let body = Body {
            kind: Kind::Block,
            content: Arc::from("ü text"),
            attributes: Attributes::trusted("{\"a\":1}"),
            tags: Tags::trusted(&["b", "a"]),
            importance: 0.25,
            source: "here".into(),
        };
        let author = AgentId::trusted("ann");
        let meta = encode_meta(&author, &body);
        let content = encode_content(&body.content);
        assert_eq!(decode(&meta, Some(&content)).unwrap(), (author.clone(), body.clone()));
        let without = Body { content: "".into(), ..body };
        assert_eq!(decode(&meta, None).unwrap(), (author, without));
    }

    #[test]
    fn outcomes_are_decoded() {
        let path = EntryPath { namespace: Namespace::trusted("shared/x"), key: Key::trusted("k") };
        let taken = Mark { revision: Revision(3), nonce: Nonce([1; 16]) };
        let effects = vec![
            Effect::Put { path: path.clone(), version: 2, expire_time: Some(Timestamp::from_micros(-5)) },
            Effect::Delete(true),
            Effect::Delete(false),
            Effect::DeletePrefix { deleted: 7, more: true },
            Effect::Get(None),
            Effect::GetRecorded { path, revision: Some(Revision(2)) },
        ];
        let outcome = Outcome { succeeded: false, taken: Some(taken), effects };
        assert_eq!(decode_outcome(&encode_outcome(&outcome), taken).unwrap(), outcome);
    }

    #[test]
    fn a_newer_format_is_refused() {
        assert!(matches!(decode(&[2, 0], None), Err(Error::Corrupt(_))));
        assert!(matches!(decode(&[], None), Err(Error::Corrupt(_))));
    }
}
