//! `WatchResponse`, whose type is written by hand, against the type that prost would have made.

use prost::{DecodeError, Message as _};
use swarmem::wire::{WatchResponse, v1};

use super::{schema::Schema, source::Source};

/// What prost makes of the message; [`check`] holds it to the descriptors.
#[derive(Clone, PartialEq, prost::Message)]
struct Generated {
    #[prost(int32, tag = "1")]
    r#type: i32,
    #[prost(message, repeated, tag = "2")]
    events: Vec<v1::Event>,
    #[prost(message, repeated, tag = "3")]
    entries: Vec<v1::Entry>,
    #[prost(string, tag = "4")]
    token: String,
    #[prost(uint64, tag = "5")]
    revision: u64,
    #[prost(bool, tag = "6")]
    fragment: bool,
}

/// Takes the input as an encoded response, then as the choices of one.
pub fn check(input: &[u8]) {
    compare(input);
    compare(&Schema::get().message(
        ".swarmem.v1.WatchResponse",
        &mut Source::new(input),
        &Default::default(),
    ));
}

fn compare(bytes: &[u8]) {
    let ours = WatchResponse::decode(bytes).and_then(whole);
    let generated = Generated::decode(bytes);
    let (ours, generated) = match (ours, generated) {
        (Ok(ours), Ok(generated)) => (ours, generated),
        (Err(_), Err(_)) => return,
        // What is left encoded is decoded with a count of its own of how deeply groups are nested.
        (Ok(_), Err(error)) if error.to_string().contains("recursion limit reached") => return,
        (ours, generated) => panic!("{bytes:?}: {ours:?} but {generated:?}"),
    };
    same(&ours, &generated);
    let again = whole(WatchResponse::decode(&*generated.encode_to_vec()).expect("was encoded"));
    same(&again.expect("was encoded"), &generated);
    // What the server sends is what prost would send.
    let sent = WatchResponse {
        r#type: generated.r#type,
        events: generated.events.iter().map(|event| event.encode_to_vec().into()).collect(),
        entries: generated.entries.iter().map(|entry| entry.encode_to_vec().into()).collect(),
        token: generated.token.clone(),
        revision: generated.revision,
        fragment: generated.fragment,
    };
    assert_eq!(sent.encode_to_vec(), generated.encode_to_vec());
    assert_eq!(sent.encoded_len(), generated.encoded_len());
}

type Whole = (WatchResponse, Vec<v1::Event>, Vec<v1::Entry>);

fn whole(response: WatchResponse) -> Result<Whole, DecodeError> {
    let (events, entries) = (response.decode_events()?, response.decode_entries()?);
    Ok((response, events, entries))
}

/// Numbers that are none are equal here: what counts is their encoding.
fn same((response, events, entries): &Whole, generated: &Generated) {
    assert_eq!(response.r#type, generated.r#type);
    assert_eq!(encoded(events), encoded(&generated.events));
    assert_eq!(encoded(entries), encoded(&generated.entries));
    assert_eq!(response.token, generated.token);
    assert_eq!(response.revision, generated.revision);
    assert_eq!(response.fragment, generated.fragment);
}

fn encoded(messages: &[impl prost::Message]) -> Vec<Vec<u8>> {
    messages.iter().map(prost::Message::encode_to_vec).collect()
}

/// What the corpus begins with.
pub fn seeds() -> Vec<Vec<u8>> {
    let entry =
        v1::Entry { namespace: "shared/a".into(), key: "k".into(), importance: 0.5, ..Default::default() };
    let event = v1::Event { r#type: 1, entry: Some(entry.clone()), revision: 7, ..Default::default() };
    let all = Generated {
        r#type: 1,
        events: vec![event.clone(), event],
        entries: vec![entry],
        token: "token".into(),
        revision: 7,
        fragment: true,
    };
    // A field that nobody knows, and a field with the wrong wire type.
    vec![
        all.encode_to_vec(),
        vec![0x3a, 1, 7],
        vec![0x12, 2, 0x0b, 0x0c],
        vec![0x10, 1],
        vec![200; 90],
        vec![0; 60],
    ]
}

/// That the oracle is one: its fields are those of the descriptors.
///
/// # Panics
/// When they are not.
pub fn check_oracle() {
    let fields: Vec<_> = Schema::get()
        .fields(".swarmem.v1.WatchResponse")
        .iter()
        .map(|f| (f.name(), f.number(), f.type_name().rsplit('.').next().unwrap_or_default()))
        .collect();
    let expected = [
        ("type", 1, "Type"),
        ("events", 2, "Event"),
        ("entries", 3, "Entry"),
        ("token", 4, ""),
        ("revision", 5, ""),
        ("fragment", 6, ""),
    ];
    assert_eq!(fields, expected);
}
