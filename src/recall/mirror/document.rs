//! What a mirror keeps of an entry, and how it is read off a version.

use serde_json::Value;
use uuid::Uuid;

use super::{
    calendar,
    names::SpeakerId,
    namespaces::NamespaceId,
    sessions::{Turn, Voice},
};
use crate::{
    domain::{
        entry::{Kind, Version},
        namespace::Key,
        swarm::Revision,
        time::Timestamp,
    },
    recall::text::{self, Language},
};

/// An entry, without its body.
#[derive(Debug)]
pub struct Document {
    pub(super) namespace: NamespaceId,
    pub(super) key: Key,
    pub(in crate::recall) revision: Revision,
    pub(in crate::recall) ordinal: u32,
    /// When it happened, as its writer says, else when it was written.
    pub(in crate::recall) time: Timestamp,
    /// When this version was written.
    pub(super) written: Timestamp,
    pub(super) expire_time: Option<Timestamp>,
    pub(in crate::recall) importance: f32,
    pub(in crate::recall) kind: Kind,
    pub(super) language: Language,
    pub(in crate::recall) speaker: SpeakerId,
    /// The same for contents of the same words.
    pub(in crate::recall) gist: u64,
    /// Whether it says when something was, or will be.
    pub(in crate::recall) tells_time: bool,
}

/// When a turn of a conversation was said; none: it is no turn.
#[must_use]
pub fn said(version: &Version) -> Option<Timestamp> {
    let reading = Reading::of(version);
    reading.session.is_some().then(|| reading.time.unwrap_or(version.time))
}

/// Who says something and on which day, as far as it is worth saying.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// As `8 May 2023`.
    pub day: Option<String>,
    /// As its writer wrote it.
    pub speaker: Option<String>,
}

/// Who says it, and when.
#[must_use]
pub fn source(version: &Version) -> Source {
    let reading = Reading::of(version);
    let is_turn = reading.session.is_some();
    let time = reading.time.or(is_turn.then_some(version.time));
    let speaker = match reading.attributes.get("speaker").and_then(Value::as_str) {
        Some(speaker) => Some(speaker.to_owned()),
        None => is_turn.then(|| version.author.as_str().to_owned()),
    };
    Source { day: time.map(calendar::day), speaker }
}

/// What a version says, and the attributes that mean something to recall: `session`, `order`, `speaker`, `time`,
/// `superseded_by`, `resolved`.
pub(super) struct Reading<'v> {
    version: &'v Version,
    pub attributes: Value,
    pub session: Option<String>,
    /// In lower case; the author, if nobody else is said to speak.
    pub speaker: String,
    /// Whether an attribute says so.
    names_speaker: bool,
    pub time: Option<Timestamp>,
}

impl<'v> Reading<'v> {
    pub fn of(version: &'v Version) -> Self {
        let attributes = match version.body.attributes.as_str() {
            "" => Value::Null,
            _ => version.body.attributes.value(),
        };
        let session = match attributes.get("session") {
            Some(Value::String(session)) => Some(session.clone()),
            Some(Value::Number(session)) => Some(session.to_string()),
            _ => None,
        };
        let named = attributes.get("speaker").and_then(Value::as_str);
        let names_speaker = named.is_some();
        let speaker = named.unwrap_or(version.author.as_str()).to_lowercase();
        let time = attributes.get("time").and_then(Value::as_str).and_then(calendar::parse);
        Self { version, attributes, session, speaker, names_speaker, time }
    }

    /// The language of the content, and the words that it is found by: the day, who speaks, the content, tags, and a key that
    /// somebody chose.
    pub fn words(&self) -> (Language, Vec<String>) {
        let body = &self.version.body;
        let (language, mut words) = text::telling_words(&body.content);
        // When and by whom is part of what a turn says; of all else only if its writer says so.
        let is_turn = self.session.is_some();
        let mut around = match self.time.or(is_turn.then_some(self.version.time)) {
            Some(time) => calendar::day(time),
            None => String::new(),
        };
        let speaker = (is_turn || self.names_speaker).then_some(self.speaker.as_str());
        for said in speaker.into_iter().chain(body.tags.iter()).chain(self.chosen_key()) {
            around.push(' ');
            around.push_str(said);
        }
        words.extend(text::words(&around).filter(|word| !language.is_stop_word(word)));
        (language, words)
    }

    /// What is embedded: a key that somebody chose, tags, the content.
    pub fn meaning(&self) -> String {
        let body = &self.version.body;
        let mut meaning = String::with_capacity(body.content.len() + 64);
        for part in self.chosen_key().into_iter().chain(body.tags.iter()) {
            meaning.push_str(&part.replace('_', " "));
            meaning.push_str(". ");
        }
        meaning.push_str(&body.content);
        meaning
    }

    /// Who says it, and whether it asks.
    pub fn voice(&self, speaker: SpeakerId) -> Voice {
        let is_mark = |c| matches!(c, '?' | '？' | '؟');
        let content = &self.version.body.content;
        Voice {
            speaker,
            has_question: content.contains(is_mark),
            asks: content.trim_end().ends_with(is_mark),
        }
    }

    pub fn turn(&self, version: &Version) -> Turn {
        Turn {
            order: self.attributes.get("order").and_then(Value::as_f64).unwrap_or_default(),
            time: self.time.unwrap_or(version.time),
            written: (version.mark.revision, version.ordinal),
        }
    }

    /// Whether it is known to hold no more.
    pub fn is_settled(&self) -> bool {
        let superseded = self.attributes.get("superseded_by").is_some_and(|by| !by.is_null());
        superseded || self.attributes.get("resolved") == Some(&Value::Bool(true))
    }

    /// Keys that were drawn say nothing.
    fn chosen_key(&self) -> Option<&'v str> {
        let key = self.version.path.key.as_str();
        Uuid::try_parse(key).is_err().then_some(key)
    }
}
