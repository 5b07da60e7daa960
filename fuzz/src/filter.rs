//! Filters: a compiled filter agrees with what the protocol says of each of its parts, worked out naively.

use std::cmp::Ordering;

use swarmem::domain::{
    attributes::Attributes,
    entry::{Body, Cause, Change, Kind, Tags, Version},
    limits::Limits,
    namespace::{AgentId, EntryPath, Key, Namespace, Prefix},
    query::{AttributeCondition, Filter, Operator},
    swarm::{Mark, Revision},
    time::Timestamp,
};

use super::{json::Json, source::Source};

const OPERATORS: [Operator; 8] = [
    Operator::Eq,
    Operator::Ne,
    Operator::Gt,
    Operator::Gte,
    Operator::Lt,
    Operator::Lte,
    Operator::In,
    Operator::Exists,
];
const KINDS: [Kind; 4] = [Kind::Fact, Kind::Message, Kind::Summary, Kind::Block];
const NAMESPACES: [&str; 6] =
    ["shared/a", "shared/a/b", "shared/ab", "shared/a-b", "agents/boss", "agents/boss/x"];
const PREFIXES: [&str; 7] =
    ["shared", "agents", "shared/a", "shared/a/b", "agents/boss", "shared/ab", "shared/x"];
const WORDS: [&str; 4] = ["a", "b", "boss", "\u{fc}"];
const PATHS: [&str; 8] = ["a", "b", "a.b", "a.a", "a.b.a", "", ".", "\u{fc}"];

/// Takes the input as the choices of an entry and a filter.
pub fn check(input: &[u8]) {
    let source = &mut Source::new(input);
    let limits = Limits::default();
    let conditions: Vec<_> = (0..=source.below(3)).filter_map(|_| condition(source, &limits)).collect();
    let attributes = object(source);
    let version = version(source, &attributes, &limits);
    let attributes = Json::parse(&attributes).expect("an object was written");
    for (condition, text) in &conditions {
        let only = Filter { attributes: vec![condition.clone()], ..Filter::default() };
        assert_eq!(only.matches(&version), text.holds(&attributes), "{text:?} on {version:?}");
    }

    let list = |source: &mut Source<'_>, from: &[&'static str]| -> Vec<&'static str> {
        (0..source.below(3)).map(|_| source.pick(from)).collect()
    };
    let prefixes = list(source, &PREFIXES);
    let kinds: Vec<Kind> = (0..source.below(3)).map(|_| source.pick(&KINDS)).collect();
    let (tags, authors) = (list(source, &WORDS), list(source, &WORDS));
    let mut time = || source.flag().then(|| i64::from(source.byte() % 4));
    let (from, before) = (time(), time());
    let filter = Filter {
        prefixes: (!prefixes.is_empty())
            .then(|| prefixes.iter().map(|p| Prefix::parse(p, &limits).expect("is a prefix")).collect()),
        kinds: kinds.clone(),
        tags: tags.iter().map(|&tag| tag.into()).collect(),
        authors: authors.iter().map(|author| AgentId::trusted(author)).collect(),
        attributes: conditions.iter().map(|(condition, _)| condition.clone()).collect(),
        updated_from: from.map(Timestamp::from_micros),
        updated_before: before.map(Timestamp::from_micros),
    };
    let namespace = version.path.namespace.as_str();
    let below = |prefix: &str| format!("{namespace}/").starts_with(&format!("{prefix}/"));
    let time = version.time.as_micros();
    let expected = (prefixes.is_empty() || prefixes.iter().any(|prefix| below(prefix)))
        && (kinds.is_empty() || kinds.contains(&version.body.kind))
        && tags.iter().all(|tag| version.body.tags.iter().any(|t| t == *tag))
        && (authors.is_empty() || authors.contains(&version.author.as_str()))
        && from.is_none_or(|from| from <= time)
        && before.is_none_or(|before| time < before)
        && conditions.iter().all(|(_, text)| text.holds(&attributes));
    assert_eq!(filter.matches(&version), expected, "{filter:?} on {version:?}");
    // A store only looks where the ranges say.
    let held = filter.ranges().iter().filter(|range| range.contains(namespace)).count();
    let covered = prefixes.is_empty() || prefixes.iter().any(|prefix| below(prefix));
    assert_eq!(held, usize::from(covered), "{:?} hold {namespace}", filter.ranges());
}

/// A condition as it was written.
#[derive(Debug)]
struct Written {
    path: String,
    operator: Operator,
    value: Json,
}

impl Written {
    /// What the protocol says.
    fn holds(&self, attributes: &Json) -> bool {
        let stepped = || self.path.split('.').try_fold(attributes, |json, name| json.get(name));
        let found = attributes.get(&self.path).or_else(stepped);
        let ordered = |orders: &[Ordering]| {
            found.and_then(|found| found.compare(&self.value)).is_some_and(|order| orders.contains(&order))
        };
        match self.operator {
            Operator::Eq => found.is_some_and(|found| found.equals(&self.value)),
            Operator::Ne => found.is_none_or(|found| !found.equals(&self.value)),
            Operator::Gt => ordered(&[Ordering::Greater]),
            Operator::Gte => ordered(&[Ordering::Greater, Ordering::Equal]),
            Operator::Lt => ordered(&[Ordering::Less]),
            Operator::Lte => ordered(&[Ordering::Less, Ordering::Equal]),
            Operator::In => match &self.value {
                Json::Array(all) => found.is_some_and(|found| all.iter().any(|one| found.equals(one))),
                _ => false,
            },
            Operator::Exists => found.is_some() == matches!(self.value, Json::Bool(true)),
        }
    }
}

/// A condition, if what was chosen is one; whether it is must be as the protocol says.
fn condition(source: &mut Source<'_>, limits: &Limits) -> Option<(AttributeCondition, Written)> {
    let path = if source.byte() > 250 { source.text() } else { source.pick(&PATHS).to_owned() };
    let operator = source.pick(&OPERATORS);
    let value = match source.byte() {
        251.. => source.text(),
        choice @ 200.. if operator == Operator::In => {
            let elements = if choice == 250 { 257 } else { usize::from(choice - 200) };
            format!("[{}]", vec!["1"; elements].join(","))
        }
        190..200 if operator == Operator::Exists => source.pick(&["", "true", "false"]).to_owned(),
        _ => Json::choose(source, 0),
    };
    // What is nested more deeply than 127 levels is refused as no JSON.
    let read = if value.bytes().filter(|b| matches!(b, b'[' | b'{')).count() > 100 {
        None
    } else {
        Json::parse(&value)
    };
    let read = if operator == Operator::Exists && value.is_empty() { Some(Json::Bool(true)) } else { read };
    let fits = match (operator, &read) {
        (_, None) => false,
        (Operator::Exists, Some(value)) => matches!(value, Json::Bool(_)),
        (Operator::In, Some(value)) => matches!(value, Json::Array(all) if all.len() <= 256),
        (Operator::Eq | Operator::Ne, Some(_)) => true,
        (_, Some(value)) => matches!(value, Json::Integer(_) | Json::Float(_) | Json::Text(_)),
    };
    let fits = fits && (1..=512).contains(&path.len());
    let parsed = AttributeCondition::parse(&path, operator, &value, limits);
    let nested = value.bytes().filter(|b| matches!(b, b'[' | b'{')).count() > 100;
    assert!(nested || parsed.is_ok() == fits, "{path:?} {operator:?} {value:?}: {parsed:?}");
    Some((parsed.ok()?, Written { path, operator, value: read? }))
}

fn object(source: &mut Source<'_>) -> String {
    const NAMES: [&str; 6] = [r#""a""#, r#""b""#, r#""a.b""#, r#""""#, r#""\u0061""#, "\"\u{fc}\""];
    let members: Vec<_> = (0..=source.below(4))
        .map(|_| format!("{}:{}", source.pick(&NAMES), Json::choose(source, 1)))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn version(source: &mut Source<'_>, attributes: &str, limits: &Limits) -> Version {
    let tags: Vec<&str> = (0..source.below(4)).map(|_| source.pick(&WORDS)).collect();
    let body = Body {
        kind: source.pick(&KINDS),
        attributes: Attributes::parse(attributes, limits).expect("an object was written"),
        tags: Tags::parse(&tags, limits).expect("these are tags"),
        ..Body::default()
    };
    let namespace = Namespace::parse(source.pick(&NAMESPACES), limits).expect("is a namespace");
    Version {
        path: EntryPath { namespace, key: Key::trusted("k") },
        mark: Mark::default(),
        ordinal: 0,
        change: if source.flag() { Change::Delete } else { Change::Put },
        cause: Cause::Write,
        author: AgentId::trusted(source.pick(&WORDS)),
        time: Timestamp::from_micros(i64::from(source.byte() % 4)),
        create_revision: Revision::default(),
        create_time: Timestamp::default(),
        version: 1,
        expire_time: None,
        content_bytes: 0,
        body,
    }
}

/// What the corpus begins with: each operator, on values that meet.
pub fn seeds() -> Vec<Vec<u8>> {
    (0..8_u8)
        .flat_map(|operator| {
            [[0, operator], [2, operator]].map(|[path, operator]| {
                vec![
                    0, 0, path, operator, 0, 0, 0, 11, 2, 0, 0, 0, 12, 1, 0, 7, 2, 1, 0, 1, operator, 2, 1, 3,
                ]
            })
        })
        .collect()
}
