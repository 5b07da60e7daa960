//! A corpus and questions about it: stores the one, asks the others through the ordinary API, and keeps what was answered. Knows
//! nothing of which answers are right.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::latency::Latency;
use crate::{
    client::{Client, Error},
    wire::v1,
};

/// Entries of one request.
const BATCH: usize = 500;

/// A memory of the corpus; a line of its file.
#[derive(Clone, Debug, Deserialize)]
pub struct Memory {
    /// The namespace that it gets.
    pub conversation: String,
    /// Its name in the answers.
    pub id: String,
    /// The content.
    pub text: String,
    /// Who says it.
    pub speaker: Option<String>,
    /// When.
    pub time: Option<String>,
    /// In which conversation, by number or name.
    pub session: Option<Value>,
    /// Where in it.
    #[serde(alias = "seq")]
    pub order: Option<f64>,
    /// The entry's key; without it one is drawn.
    pub key: Option<String>,
    /// Tags.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Namespaces below that of the conversation; the first counts.
    #[serde(default)]
    pub scope: Vec<String>,
    /// What took its place.
    pub superseded_by: Option<String>,
    /// Whether it is over.
    #[serde(default)]
    pub resolved: bool,
    /// What it is, as "preference".
    pub r#type: Option<String>,
}

/// A question; a line of its file.
#[derive(Clone, Debug, Deserialize)]
pub struct Query {
    /// Its name.
    pub qid: String,
    /// What is asked.
    pub text: String,
    /// Of what.
    pub conversation: String,
    /// Only in these, and in what is universal.
    #[serde(default)]
    pub scope: Vec<String>,
    /// Only what is this speaker's.
    pub user: Option<String>,
}

/// What was answered; a line of the run.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// The question.
    pub qid: String,
    /// Names of memories, best first.
    pub ranked: Vec<String>,
}

/// The scope that every question searches.
const UNIVERSAL: &str = "user:universal";

/// Stores a corpus; says how long it took.
///
/// # Errors
/// When the coordinator refuses something.
pub async fn store(client: &Client, corpus: &[Memory]) -> Result<Duration, Error> {
    let begun = Instant::now();
    for some in corpus.chunks(BATCH) {
        let puts = some.iter().map(put).collect();
        client.batch_put(puts).await?;
    }
    Ok(begun.elapsed())
}

fn put(memory: &Memory) -> v1::PutOperation {
    let mut attributes = Map::new();
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            attributes.insert(name.to_owned(), value);
        }
    };
    set("id", Some(json!(memory.id)));
    set("speaker", memory.speaker.as_ref().map(|speaker| json!(speaker)));
    set("time", memory.time.as_ref().map(|time| json!(time)));
    set("session", memory.session.clone());
    set("order", memory.order.map(|order| json!(order)));
    set("superseded_by", memory.superseded_by.as_ref().map(|by| json!(by)));
    set("resolved", memory.resolved.then_some(json!(true)));
    let kind = match memory.r#type.as_deref() {
        Some("preference") => v1::Kind::Preference,
        _ if memory.session.is_some() => v1::Kind::Message,
        _ => v1::Kind::Fact,
    };
    v1::PutOperation {
        namespace: namespace(&memory.conversation, memory.scope.first().map(String::as_str)),
        key: memory.key.clone().unwrap_or_default(),
        kind: kind.into(),
        content: memory.text.clone(),
        attributes: Value::Object(attributes).to_string(),
        tags: memory.aliases.clone(),
        ..Default::default()
    }
}

fn namespace(conversation: &str, scope: Option<&str>) -> String {
    match scope {
        None => format!("shared/corpus/{conversation}"),
        Some(scope) => format!("shared/corpus/{conversation}/{scope}"),
    }
}

fn request(query: &Query, limit: u32) -> v1::RecallRequest {
    let scopes = query.scope.iter().map(String::as_str).chain([UNIVERSAL]);
    let prefixes = match query.scope.is_empty() {
        true => vec![namespace(&query.conversation, None)],
        false => scopes.map(|scope| namespace(&query.conversation, Some(scope))).collect(),
    };
    let user = query.user.iter().map(|user| v1::AttributeCondition {
        path: "speaker".to_owned(),
        operator: v1::attribute_condition::Operator::Eq.into(),
        value: json!(user).to_string(),
    });
    let filter = v1::Filter { prefixes, attributes: user.collect(), ..Default::default() };
    v1::RecallRequest { query: query.text.clone(), filter: Some(filter), limit, ..Default::default() }
}

/// Asks one question after the other, all of them so often; keeps the first answers, and how long the later ones took.
///
/// # Errors
/// When the coordinator refuses something.
pub async fn ask(
    client: &Client,
    queries: &[Query],
    limit: u32,
    rounds: usize,
) -> Result<(Vec<Answer>, Latency), Error> {
    let mut answers: HashMap<&str, Answer> = HashMap::new();
    let mut latency = Latency::default();
    for round in 0..=rounds {
        for query in queries {
            let begun = Instant::now();
            let answer = client.recall(request(query, limit)).await?;
            if round > 0 {
                latency.record(begun.elapsed());
            } else {
                let ranked = answer.memories.iter().filter_map(id).collect();
                answers.insert(&query.qid, Answer { qid: query.qid.clone(), ranked });
            }
        }
    }
    Ok((queries.iter().filter_map(|query| answers.remove(query.qid.as_str())).collect(), latency))
}

fn id(memory: &v1::Memory) -> Option<String> {
    let attributes: Value = serde_json::from_str(&memory.entry.as_ref()?.attributes).ok()?;
    Some(attributes.get("id")?.as_str()?.to_owned())
}
