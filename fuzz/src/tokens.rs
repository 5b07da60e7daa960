//! Tokens and etags: what was sealed opens again, and nothing else does.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use swarmem::domain::{
    entry::Etag,
    namespace::{EntryPath, Key, Namespace},
    position::{Arguments, Place, Position, Purpose, TokenKey},
    swarm::{Incarnation, Mark, Nonce, Revision, SwarmId},
};
use uuid::Uuid;

use super::source::Source;

const PURPOSES: [Purpose; 5] =
    [Purpose::Position, Purpose::List, Purpose::History, Purpose::Namespaces, Purpose::Swarms];

/// Takes the input as a forged token and as an etag, then as the choices of a true one and of what is done to it.
pub fn check(input: &[u8]) {
    let key = TokenKey::new([7; 32]);
    let swarm = SwarmId::trusted("default");
    let text = String::from_utf8_lossy(input);
    for forged in [text.as_ref(), &URL_SAFE_NO_PAD.encode(input)] {
        for purpose in PURPOSES {
            assert!(key.open(&swarm, purpose, forged).is_err(), "{forged:?} was never given out");
        }
        if let Ok(etag) = Etag::parse(forged) {
            assert_eq!(etag.encode(), forged);
        }
    }
    sealed(&mut Source::new(input));
}

fn sealed(source: &mut Source<'_>) {
    let key = TokenKey::new([7; 32]);
    let swarm = SwarmId::trusted(&source.text());
    let purpose = source.pick(&PURPOSES);
    let arguments = Arguments(source.number());
    let position = position(source);
    assert_eq!(Etag::parse(&Etag(position.mark).encode()), Ok(Etag(position.mark)));

    let token = key.seal(&swarm, purpose, arguments, &position);
    assert_eq!(key.open(&swarm, purpose, &token), Ok((position, arguments)));

    let refused = |key: &TokenKey, swarm: &SwarmId, purpose, token: &str, why: &str| {
        assert!(key.open(swarm, purpose, token).is_err(), "{why}: {token}");
    };
    for other in PURPOSES.into_iter().filter(|other| *other != purpose) {
        refused(&key, &swarm, other, &token, "of another purpose");
    }
    refused(&TokenKey::new([8; 32]), &swarm, purpose, &token, "of another service");
    let other = SwarmId::trusted(&source.text());
    if other != swarm {
        refused(&key, &other, purpose, &token, "of another swarm");
    }

    let bytes = URL_SAFE_NO_PAD.decode(&token).expect("a token is base64");
    let at = source.number() as usize % (8 * bytes.len());
    let mut flipped = bytes.clone();
    flipped[at / 8] ^= 1 << (at % 8);
    refused(&key, &swarm, purpose, &URL_SAFE_NO_PAD.encode(&flipped), "a bit was flipped");
    let cut = source.number() as usize % bytes.len();
    refused(&key, &swarm, purpose, &URL_SAFE_NO_PAD.encode(&bytes[..cut]), "cut");
    let longer = [&bytes, &source.array::<1>()[..], source.bytes()].concat();
    refused(&key, &swarm, purpose, &URL_SAFE_NO_PAD.encode(longer), "longer");

    let mut text = token.clone().into_bytes();
    let at = source.number() as usize % text.len();
    text[at] = source.byte();
    let text = String::from_utf8_lossy(&text);
    if text != token {
        refused(&key, &swarm, purpose, &text, "a character was changed");
    }
}

fn position(source: &mut Source<'_>) -> Position {
    let incarnation = Incarnation(Uuid::from_bytes(source.array()));
    let mark = Mark { revision: Revision(source.number()), nonce: Nonce(source.array()) };
    let place = match source.below(5) {
        0 => Place::After,
        1 => Place::Inside(source.number() as u32),
        2 => Place::Listing(None),
        3 => {
            let namespace = Namespace::trusted(&source.text());
            Place::Listing(Some(EntryPath { namespace, key: Key::trusted(&source.text()) }))
        }
        _ => Place::Name(source.text().into()),
    };
    Position { incarnation, mark, place }
}

/// What the corpus begins with.
pub fn seeds() -> Vec<Vec<u8>> {
    let key = TokenKey::new([8; 32]);
    let forged = key.seal(
        &SwarmId::trusted("default"),
        Purpose::Position,
        Arguments(0),
        &Position::after(Incarnation::default(), Mark::default()),
    );
    let mut seeds = vec![forged.into_bytes(), Etag(Mark::default()).encode().into_bytes()];
    // One for each place, by the byte that chooses it.
    for place in 0..5 {
        let header = [&b"\x07default"[..], &[place, 1], &[place; 16], &[3], &[place; 16], &[place]].concat();
        seeds.push([&header, &b"\x08shared/x\x01k\x05other\x05\x02\x01z\x03!"[..]].concat());
    }
    seeds
}
