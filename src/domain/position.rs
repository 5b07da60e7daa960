//! Where a reader stands, and the opaque tokens in which it travels: versioned, authenticated, bound to swarm,
//! purpose and arguments. A token carries no rights.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::{
    Invalid,
    namespace::{EntryPath, Key, Namespace},
    swarm::{Incarnation, Mark, Nonce, Revision, SwarmId},
};

const FORMAT: u8 = 1;
const MAC_BYTES: usize = 16;
const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// Where a reader stands in a swarm's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The history.
    pub incarnation: Incarnation,
    /// The revision, and which commit made it.
    pub mark: Mark,
    /// Where in it.
    pub place: Place,
}

/// Where in a revision a reader stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Behind all of the revision.
    After,
    /// Behind the change with this ordinal, before the rest of the revision.
    Inside(u32),
    /// In a listing of the state at the revision, behind this entry (none: before the first).
    Listing(Option<EntryPath>),
    /// In a listing of names, behind this one.
    Name(Arc<str>),
}

impl Position {
    /// Behind all of a revision.
    #[must_use]
    pub fn after(incarnation: Incarnation, mark: Mark) -> Self {
        Self { incarnation, mark, place: Place::After }
    }
}

/// What a token is for. One made for one purpose is refused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Reading at a position and watching from it.
    Position = 1,
    /// The next page of entries.
    List = 2,
    /// The next page of versions.
    History = 3,
    /// The next page of namespaces.
    Namespaces = 4,
    /// The next page of swarms.
    Swarms = 5,
    /// No token: a message between coordinators.
    Message = 6,
}

/// A hash of the arguments a token belongs to. 0: of no arguments, good with any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arguments(pub u64);

/// The secret that makes tokens unforgeable; the same on every replica of a store.
#[derive(Clone)]
pub struct TokenKey([u8; 32]);

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

impl TokenKey {
    /// From 32 random bytes.
    #[must_use]
    pub fn new(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// Makes a token.
    #[must_use]
    pub fn seal(
        &self,
        swarm: &SwarmId,
        purpose: Purpose,
        arguments: Arguments,
        position: &Position,
    ) -> String {
        let mut bytes = Vec::with_capacity(96);
        bytes.push(FORMAT);
        bytes.extend_from_slice(&arguments.0.to_be_bytes());
        bytes.extend_from_slice(position.incarnation.0.as_bytes());
        bytes.extend_from_slice(&position.mark.revision.0.to_be_bytes());
        bytes.extend_from_slice(&position.mark.nonce.0);
        write_place(&mut bytes, &position.place);
        let mac = self.mac(swarm, purpose, &bytes);
        bytes.extend_from_slice(&mac);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token that [`TokenKey::seal`] made for the same swarm and purpose. The caller compares the arguments.
    ///
    /// # Errors
    /// When the token is of another swarm, purpose or service, or was changed.
    pub fn open(
        &self,
        swarm: &SwarmId,
        purpose: Purpose,
        token: &str,
    ) -> Result<(Position, Arguments), Invalid> {
        let wrong =
            || Invalid::new("token", "is not a token that this service gave out for this swarm and call");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(wrong());
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let (signed, mac) = bytes.split_last_chunk::<MAC_BYTES>().ok_or_else(wrong)?;
        if self.mac(swarm, purpose, signed) != *mac {
            return Err(wrong());
        }
        read(signed).ok_or_else(wrong)
    }

    /// Signs a message between coordinators of this store about a swarm: appends to it.
    pub fn sign(&self, swarm: &SwarmId, message: &mut Vec<u8>) {
        let mac = self.mac(swarm, Purpose::Message, message);
        message.extend_from_slice(&mac);
    }

    /// What [`TokenKey::sign`] signed for the same swarm; none if it was not, or was changed.
    #[must_use]
    pub fn signed<'a>(&self, swarm: &SwarmId, message: &'a [u8]) -> Option<&'a [u8]> {
        let (signed, mac) = message.split_last_chunk::<MAC_BYTES>()?;
        (self.mac(swarm, Purpose::Message, signed) == *mac).then_some(signed)
    }

    fn mac(&self, swarm: &SwarmId, purpose: Purpose, bytes: &[u8]) -> [u8; MAC_BYTES] {
        let mut mac = blake3::Hasher::new_keyed(&self.0);
        mac.update(&[purpose as u8, u8::try_from(swarm.as_str().len()).unwrap_or(u8::MAX)]);
        mac.update(swarm.as_str().as_bytes());
        mac.update(bytes);
        let mut cut = [0; MAC_BYTES];
        cut.copy_from_slice(&mac.finalize().as_bytes()[..MAC_BYTES]);
        cut
    }
}

fn write_place(bytes: &mut Vec<u8>, place: &Place) {
    match place {
        Place::After => bytes.push(0),
        Place::Inside(ordinal) => {
            bytes.push(1);
            bytes.extend_from_slice(&ordinal.to_be_bytes());
        }
        Place::Listing(None) => bytes.push(2),
        Place::Listing(Some(path)) => {
            bytes.push(3);
            let namespace = path.namespace.as_str().as_bytes();
            bytes.extend_from_slice(&u32::try_from(namespace.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(namespace);
            bytes.extend_from_slice(path.key.as_str().as_bytes());
        }
        Place::Name(name) => {
            bytes.push(4);
            bytes.extend_from_slice(name.as_bytes());
        }
    }
}

fn read(bytes: &[u8]) -> Option<(Position, Arguments)> {
    let (&format, rest) = bytes.split_first()?;
    if format != FORMAT {
        return None;
    }
    let (arguments, rest) = rest.split_first_chunk::<8>()?;
    let (incarnation, rest) = rest.split_first_chunk::<16>()?;
    let (revision, rest) = rest.split_first_chunk::<8>()?;
    let (nonce, rest) = rest.split_first_chunk::<16>()?;
    let position = Position {
        incarnation: Incarnation(Uuid::from_bytes(*incarnation)),
        mark: Mark { revision: Revision(u64::from_be_bytes(*revision)), nonce: Nonce(*nonce) },
        place: read_place(rest)?,
    };
    Some((position, Arguments(u64::from_be_bytes(*arguments))))
}

fn read_place(bytes: &[u8]) -> Option<Place> {
    let (&tag, rest) = bytes.split_first()?;
    match tag {
        0 if rest.is_empty() => Some(Place::After),
        1 => Some(Place::Inside(u32::from_be_bytes(rest.try_into().ok()?))),
        2 if rest.is_empty() => Some(Place::Listing(None)),
        3 => {
            let (len, rest) = rest.split_first_chunk::<4>()?;
            let (namespace, key) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            let namespace = Namespace::trusted(std::str::from_utf8(namespace).ok()?);
            Some(Place::Listing(Some(EntryPath {
                namespace,
                key: Key::trusted(std::str::from_utf8(key).ok()?),
            })))
        }
        4 => Some(Place::Name(std::str::from_utf8(rest).ok()?.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(place: Place) -> Position {
        let mark = Mark { revision: Revision(7), nonce: Nonce([3; 16]) };
        Position { incarnation: Incarnation(Uuid::from_u128(9)), mark, place }
    }

    #[test]
    fn every_place_survives_the_journey() {
        let key = TokenKey::new([1; 32]);
        let swarm = SwarmId::trusted("a");
        let path = EntryPath { namespace: Namespace::trusted("shared/ü"), key: Key::trusted("k/1") };
        for place in [
            Place::After,
            Place::Inside(3),
            Place::Listing(None),
            Place::Listing(Some(path)),
            Place::Name("shared/x".into()),
        ] {
            let there = position(place);
            let token = key.seal(&swarm, Purpose::List, Arguments(5), &there);
            assert_eq!(key.open(&swarm, Purpose::List, &token), Ok((there, Arguments(5))));
        }
    }

    #[test]
    fn foreign_and_changed_tokens_are_refused() {
        let (key, swarm) = (TokenKey::new([1; 32]), SwarmId::trusted("a"));
        let token = key.seal(&swarm, Purpose::Position, Arguments(0), &position(Place::After));
        assert!(key.open(&swarm, Purpose::Position, &token).is_ok());
        assert!(key.open(&SwarmId::trusted("b"), Purpose::Position, &token).is_err());
        assert!(key.open(&swarm, Purpose::List, &token).is_err());
        assert!(TokenKey::new([2; 32]).open(&swarm, Purpose::Position, &token).is_err());
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            if changed != token {
                assert!(key.open(&swarm, Purpose::Position, &changed).is_err(), "byte {at}");
            }
        }
        for bad in ["", "x", "not base64!", &"A".repeat(10_000)] {
            assert!(key.open(&swarm, Purpose::Position, bad).is_err());
        }
    }
}
