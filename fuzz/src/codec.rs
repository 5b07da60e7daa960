//! Stored records: any bytes are read or refused, and what was written comes back.

use swarmem::{
    domain::{
        apply::{Effect, Outcome},
        attributes::Attributes,
        entry::{Body, Kind, Tags},
        namespace::{AgentId, EntryPath, Key, Namespace},
        swarm::{Mark, Nonce, Revision},
        time::Timestamp,
    },
    store::{Error, codec},
};

use super::source::Source;

const KINDS: [Kind; 7] =
    [Kind::Fact, Kind::Message, Kind::Preference, Kind::Pattern, Kind::Document, Kind::Summary, Kind::Block];

/// Takes the input as records, then as the choices of what is written.
pub fn check(input: &[u8]) {
    any_bytes(input);
    let framed = [&[1], input].concat();
    any_bytes(&framed);
    for number in input.iter().map(|&byte| u32::from(byte)) {
        assert!(
            codec::cause_of(number).is_err()
                || codec::cause_of(number).is_ok_and(|c| codec::cause_number(c) == number)
        );
    }

    let source = &mut Source::new(input);
    let (author, body) = written(source);
    let meta = codec::encode_meta(&author, &body);
    let content = codec::encode_content(&body.content);
    same(codec::decode(&meta, Some(&content)), &author, &body);
    same(codec::decode(&meta, None), &author, &Body { content: "".into(), ..body });

    let taken = Mark { revision: Revision(source.number()), nonce: Nonce(source.array()) };
    let effects = (0..source.below(5)).map(|_| effect(source)).collect();
    let outcome = Outcome { succeeded: source.flag(), taken: Some(taken), effects };
    let read = codec::decode_outcome(&codec::encode_outcome(&outcome), taken);
    assert_eq!(read.expect("what was written is read"), outcome);
}

/// Whatever is accepted is written again and read as the same.
fn any_bytes(bytes: &[u8]) {
    let (meta, content) = bytes.split_at(bytes.len() / 2);
    for (meta, content) in
        [(bytes, None), (bytes, Some(content)), (meta, Some(content)), (b"\x01", Some(bytes))]
    {
        match codec::decode(meta, content) {
            Ok((author, body)) => {
                let meta = codec::encode_meta(&author, &body);
                let content = codec::encode_content(&body.content);
                same(codec::decode(&meta, Some(&content)), &author, &body);
            }
            Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{error}"),
        }
    }
    match codec::decode_outcome(bytes, Mark::default()) {
        Ok(outcome) => {
            let read = codec::decode_outcome(&codec::encode_outcome(&outcome), Mark::default());
            assert_eq!(read.expect("what was written is read"), outcome);
        }
        Err(error) => assert!(matches!(error, Error::Corrupt(_)), "{error}"),
    }
}

/// A number that is none is compared by its bits.
fn same(read: Result<(AgentId, Body), Error>, author: &AgentId, body: &Body) {
    let (read_author, read) = read.expect("what was written is read");
    assert_eq!(&read_author, author);
    assert_eq!(read.importance.to_bits(), body.importance.to_bits());
    assert_eq!(Body { importance: 0.0, ..read }, Body { importance: 0.0, ..body.clone() });
}

fn written(source: &mut Source<'_>) -> (AgentId, Body) {
    let tags: Vec<String> = (0..source.below(4)).map(|_| source.text()).collect();
    let body = Body {
        kind: source.pick(&KINDS),
        content: source.text().into(),
        attributes: Attributes::trusted(&source.text()),
        tags: Tags::trusted(&tags),
        importance: f64::from_bits(source.number()),
        source: source.text().into(),
    };
    (AgentId::trusted(&source.text()), body)
}

fn effect(source: &mut Source<'_>) -> Effect {
    let mut path =
        || EntryPath { namespace: Namespace::trusted(&source.text()), key: Key::trusted(&source.text()) };
    let path = path();
    match source.below(5) {
        0 => Effect::Put {
            path,
            version: source.number(),
            expire_time: source.flag().then(|| Timestamp::from_micros(source.number() as i64)),
        },
        1 => Effect::Delete(source.flag()),
        2 => Effect::DeletePrefix { deleted: source.number(), more: source.flag() },
        3 => Effect::Get(None),
        _ => Effect::GetRecorded { path, revision: Some(Revision(source.number().max(1))) },
    }
}

/// What the corpus begins with.
pub fn seeds() -> Vec<Vec<u8>> {
    let body = Body {
        kind: Kind::Block,
        content: "text".into(),
        attributes: Attributes::trusted("{\"a\":1}"),
        tags: Tags::trusted(&["a", "b"]),
        importance: 0.25,
        source: "here".into(),
    };
    let meta = codec::encode_meta(&AgentId::trusted("boss"), &body);
    let path = EntryPath { namespace: Namespace::trusted("shared/x"), key: Key::trusted("k") };
    let effects = vec![
        Effect::Put { path: path.clone(), version: 2, expire_time: Some(Timestamp::from_micros(-5)) },
        Effect::Delete(true),
        Effect::DeletePrefix { deleted: 7, more: true },
        Effect::Get(None),
        Effect::GetRecorded { path, revision: Some(Revision(2)) },
    ];
    let outcome = Outcome { succeeded: true, taken: Some(Mark::default()), effects };
    vec![
        meta.clone(),
        [meta, codec::encode_content("text")].concat(),
        codec::encode_content("\u{fc}"),
        codec::encode_outcome(&outcome),
        vec![2, 0],
    ]
}
