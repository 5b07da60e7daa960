//! The protocol's messages as people and machines read them: names instead of numbers, times in RFC 3339,
//! attributes as JSON. Knows nothing of where they are printed.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::wire::{Timestamp, v1};

/// An entry as JSON.
#[derive(Serialize)]
pub(super) struct EntryView<'a> {
    namespace: &'a str,
    key: &'a str,
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<Box<RawValue>>,
    tags: &'a [String],
    importance: f64,
    expire_time: Option<String>,
    author: &'a str,
    source: &'a str,
    revision: u64,
    create_revision: u64,
    version: u64,
    etag: &'a str,
    create_time: Option<String>,
    update_time: Option<String>,
}

impl<'a> EntryView<'a> {
    pub(super) fn full(entry: &'a v1::Entry) -> Self {
        Self {
            content: Some(&entry.content),
            attributes: Some(attributes(&entry.attributes)),
            ..Self::keys(entry)
        }
    }

    /// Without content and attributes.
    pub(super) fn keys(entry: &'a v1::Entry) -> Self {
        Self {
            namespace: &entry.namespace,
            key: &entry.key,
            kind: kind(entry.kind),
            content: None,
            attributes: None,
            tags: &entry.tags,
            importance: entry.importance,
            expire_time: time_of(entry.expire_time.as_ref()),
            author: &entry.author,
            source: &entry.source,
            revision: entry.revision,
            create_revision: entry.create_revision,
            version: entry.version,
            etag: &entry.etag,
            create_time: time_of(entry.create_time.as_ref()),
            update_time: time_of(entry.update_time.as_ref()),
        }
    }
}

/// An event as JSON.
#[derive(Serialize)]
pub(super) struct EventView<'a> {
    r#type: String,
    cause: String,
    revision: u64,
    ordinal: u32,
    time: Option<String>,
    entry: Option<EntryView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<EntryView<'a>>,
    /// Resumes a watch behind this event; only where the coordinator gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl<'a> EventView<'a> {
    pub(super) fn new(event: &'a v1::Event, token: Option<&'a str>) -> Self {
        Self {
            r#type: event_type(event.r#type),
            cause: cause(event.cause),
            revision: event.revision,
            ordinal: event.ordinal,
            time: time_of(event.time.as_ref()),
            entry: event.entry.as_ref().map(EntryView::full),
            before: event.before.as_ref().map(EntryView::full),
            token,
        }
    }
}

/// A swarm as JSON.
#[derive(Serialize)]
pub(super) struct SwarmView<'a> {
    swarm: &'a str,
    incarnation: &'a str,
    revision: u64,
    floor: u64,
    entries: Option<u64>,
    content_bytes: Option<u64>,
    retention_age_s: Option<f64>,
    retention_revisions: Option<u64>,
    create_time: Option<String>,
}

impl<'a> SwarmView<'a> {
    pub(super) fn new(swarm: &'a v1::Swarm) -> Self {
        let retention = swarm.retention.as_ref();
        let age = retention.and_then(|retention| retention.age);
        Self {
            swarm: &swarm.swarm,
            incarnation: &swarm.incarnation,
            revision: swarm.revision,
            floor: swarm.floor,
            entries: swarm.entries,
            content_bytes: swarm.content_bytes,
            retention_age_s: age.map(|age| age.seconds as f64 + f64::from(age.nanos) / 1e9),
            retention_revisions: retention.and_then(|retention| retention.revisions),
            create_time: time_of(swarm.create_time.as_ref()),
        }
    }
}

/// A kind's name, such as `fact`.
pub(super) fn kind(number: i32) -> String {
    named(number, "KIND_", v1::Kind::try_from(number).map(|kind| kind.as_str_name()))
}

/// An event type's name: `put` or `delete`.
pub(super) fn event_type(number: i32) -> String {
    named(number, "TYPE_", v1::event::Type::try_from(number).map(|r#type| r#type.as_str_name()))
}

/// A cause's name, such as `write`.
pub(super) fn cause(number: i32) -> String {
    named(number, "CAUSE_", v1::Cause::try_from(number).map(|cause| cause.as_str_name()))
}

/// A newer coordinator may know more than this program does.
fn named<E>(number: i32, prefix: &str, name: Result<&'static str, E>) -> String {
    match name {
        Ok(name) => name.trim_start_matches(prefix).to_ascii_lowercase(),
        Err(_) => format!("unknown_{number}"),
    }
}

/// A time in RFC 3339.
pub(super) fn time_of(time: Option<&Timestamp>) -> Option<String> {
    time.map(Timestamp::to_string)
}

/// A time to the second, for tables; `-` if there is none.
pub(super) fn seconds_of(time: Option<&Timestamp>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| Timestamp { nanos: 0, ..*time }.to_string())
}

/// The date and time so many seconds after the beginning of 1970, in RFC 3339.
#[must_use]
pub fn date(seconds: i64) -> String {
    Timestamp { seconds, nanos: 0 }.to_string()
}

/// A time of day to the millisecond, for lines that follow each other.
pub(super) fn clock_of(time: Option<&Timestamp>) -> String {
    let Some(time) = time else { return "-".to_owned() };
    let day = seconds_of(Some(time));
    let clock = day.split_once('T').map_or(day.as_str(), |(_, clock)| clock);
    format!("{}.{:03}", clock.trim_end_matches('Z'), time.nanos / 1_000_000)
}

/// Attributes as the JSON they are. Line breaks may stand only between JSON's tokens, so they can become spaces:
/// an object stays on its line.
fn attributes(text: &str) -> Box<RawValue> {
    let text = if text.is_empty() { "{}" } else { text };
    RawValue::from_string(text.replace(['\n', '\r'], " "))
        .or_else(|_| serde_json::value::to_raw_value(text))
        .expect("a string is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_becomes_one_line_of_json() {
        let entry = v1::Entry {
            namespace: "shared/a".into(),
            key: "k".into(),
            kind: v1::Kind::Preference.into(),
            content: "two\nlines".into(),
            attributes: "{\"n\": 12345678901234567890123,\n \"s\": \"a\\nb\"}".into(),
            update_time: Some(Timestamp { seconds: 1_793_613_600, nanos: 5_000_000 }),
            ..Default::default()
        };
        let line = serde_json::to_string(&EntryView::full(&entry)).unwrap();
        assert!(!line.contains('\n'));
        assert!(line.contains(r#""kind":"preference""#), "{line}");
        assert!(line.contains(r#""attributes":{"n": 12345678901234567890123,  "s": "a\nb"}"#), "{line}");
        assert!(line.contains(r#""update_time":"2026-11-02T10:00:00.005"#), "{line}");
        let keys = serde_json::to_string(&EntryView::keys(&entry)).unwrap();
        assert!(!keys.contains("content") && !keys.contains("attributes"), "{keys}");
    }

    #[test]
    fn what_this_program_does_not_know_has_a_name_too() {
        assert_eq!(kind(4711), "unknown_4711");
        assert_eq!(event_type(2), "delete");
        assert_eq!(cause(3), "expiry");
    }

    #[test]
    fn times_are_shortened_for_people() {
        let time = Timestamp { seconds: 1_793_613_600, nanos: 5_999_999 };
        assert_eq!(seconds_of(Some(&time)), "2026-11-02T10:00:00Z");
        assert_eq!(clock_of(Some(&time)), "10:00:00.005");
        assert_eq!(seconds_of(None), "-");
    }
}
