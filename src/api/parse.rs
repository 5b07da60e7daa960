//! Small wire values as domain values. Whatever is wrong is named by its field.

use std::time::Duration;

use crate::{
    coordinator::read::Consistency,
    domain::{
        Invalid,
        entry::{Etag, Kind},
        limits::{FILTER_TERMS_MAX, Limits},
        namespace::{AgentId, EntryPath, Key, Namespace, Prefix},
        query::{AttributeCondition, Filter, Operator},
        request::Condition,
        swarm::{Retention, Revision},
        time::{TTL_MAX, Timestamp},
    },
    wire::v1,
};

/// The most revisions that a swarm can ask to be kept whatever their age.
const REVISIONS_MAX: u64 = 1_000_000_000;

pub(super) type Parsed<T> = Result<T, Invalid>;

/// A field that must be there.
pub(super) fn required<T>(value: Option<T>, field: &str) -> Parsed<T> {
    value.ok_or_else(|| Invalid::new(field, "is required"))
}

/// An entry's name.
pub(super) fn path(namespace: &str, key: &str, limits: &Limits) -> Parsed<EntryPath> {
    Ok(EntryPath { namespace: Namespace::parse(namespace, limits)?, key: Key::parse(key, limits)? })
}

/// A kind; unspecified where the field was left out.
pub(super) fn kind(number: i32) -> Parsed<Option<Kind>> {
    match v1::Kind::try_from(number) {
        Ok(v1::Kind::Unspecified) => Ok(None),
        Ok(v1::Kind::Fact) => Ok(Some(Kind::Fact)),
        Ok(v1::Kind::Message) => Ok(Some(Kind::Message)),
        Ok(v1::Kind::Preference) => Ok(Some(Kind::Preference)),
        Ok(v1::Kind::Pattern) => Ok(Some(Kind::Pattern)),
        Ok(v1::Kind::Document) => Ok(Some(Kind::Document)),
        Ok(v1::Kind::Summary) => Ok(Some(Kind::Summary)),
        Ok(v1::Kind::Block) => Ok(Some(Kind::Block)),
        Err(_) => Err(Invalid::new("kind", format!("{number} is no kind"))),
    }
}

/// A precondition.
pub(super) fn condition(precondition: Option<&v1::Precondition>) -> Parsed<Condition> {
    use v1::precondition::Condition as C;
    match precondition.map(|p| &p.condition) {
        None => Ok(Condition::Always),
        Some(None) => Err(Invalid::new("precondition", "says nothing; leave it out or set etag or absent")),
        Some(Some(C::Etag(etag))) => {
            Ok(Condition::Etag(Etag::parse(etag).map_err(|e| e.within("precondition"))?))
        }
        Some(Some(C::Absent(true))) => Ok(Condition::Absent),
        Some(Some(C::Absent(false))) => Ok(Condition::Exists),
    }
}

/// A time.
pub(super) fn timestamp(time: &prost_types::Timestamp, field: &str) -> Parsed<Timestamp> {
    let wrong = || Invalid::new(field, "must lie in the years 1 to 9999, with 0 to 999,999,999 nanoseconds");
    if !(0..1_000_000_000).contains(&time.nanos) {
        return Err(wrong());
    }
    let micros =
        time.seconds.checked_mul(1_000_000).and_then(|s| s.checked_add(i64::from(time.nanos / 1_000)));
    match micros.map(|m| (m, Timestamp::from_micros(m))) {
        Some((micros, parsed)) if parsed.as_micros() == micros => Ok(parsed),
        _ => Err(wrong()),
    }
}

/// A span of time that is not negative.
pub(super) fn duration(duration: prost_types::Duration, field: &str) -> Parsed<Duration> {
    if duration.seconds < 0 || !(0..1_000_000_000).contains(&duration.nanos) {
        return Err(Invalid::new(field, "must not be negative, and have 0 to 999,999,999 nanoseconds"));
    }
    Ok(Duration::new(duration.seconds.unsigned_abs(), duration.nanos.unsigned_abs()))
}

/// How long a log is kept.
pub(super) fn retention(wire: Option<v1::Retention>, default: Retention) -> Parsed<Retention> {
    let Some(v1::Retention { age, revisions }) = wire else { return Ok(default) };
    let age = match age {
        None => default.age,
        Some(age) => duration(age, "retention.age")?,
    };
    if age > TTL_MAX {
        return Err(Invalid::new("retention.age", "must be at most 100 years"));
    }
    let revisions = revisions.unwrap_or(default.revisions);
    if revisions > REVISIONS_MAX {
        return Err(Invalid::new("retention.revisions", format!("must be at most {REVISIONS_MAX}")));
    }
    Ok(Retention { age, revisions })
}

/// A page's size.
pub(super) fn page_size(size: u32, limits: &Limits) -> Parsed<usize> {
    match size as usize {
        0 => Ok(limits.page_size_max.min(100)),
        size if size <= limits.page_size_max => Ok(size),
        size => {
            Err(Invalid::new("page_size", format!("{size}, at most {} are allowed", limits.page_size_max)))
        }
    }
}

/// A token that may be left out.
pub(super) fn token(token: String) -> Option<String> {
    (!token.is_empty()).then_some(token)
}

/// How fresh a read must be.
pub(super) fn consistency(wire: Option<v1::Consistency>) -> Parsed<Consistency> {
    use v1::consistency::Level;
    let Some(v1::Consistency { level, token, revision }) = wire else { return Ok(Consistency::Strong) };
    let wrong = |field: &str, problem: &str| Err(Invalid::new(format!("consistency.{field}"), problem));
    let level = Level::try_from(level);
    match (level, token.as_str(), revision) {
        (Err(_), ..) => wrong("level", "is no level"),
        (Ok(Level::Unspecified), "", 0) | (Ok(Level::Strong), "", 0) => Ok(Consistency::Strong),
        (Ok(Level::StaleOk), "", 0) => Ok(Consistency::StaleOk),
        (Ok(Level::Unspecified), "", revision) => Ok(Consistency::Exact(Revision(revision))),
        (Ok(Level::AtLeast), "", _) => wrong("token", "is required with LEVEL_AT_LEAST"),
        (Ok(Level::AtLeast), _, 0) => Ok(Consistency::AtLeast(token)),
        (Ok(Level::AtLeast), ..) => wrong("revision", "goes with no level and no token"),
        (Ok(_), "", _) => wrong("revision", "goes with no level and no token"),
        (Ok(_), ..) => wrong("token", "goes with LEVEL_AT_LEAST alone"),
    }
}

/// Which entries are meant.
pub(super) fn filter(wire: Option<v1::Filter>, limits: &Limits) -> Parsed<Filter> {
    let Some(wire) = wire else { return Ok(Filter::default()) };
    let prefixes = each(&wire.prefixes, "prefixes", |p| Prefix::parse(p, limits))?;
    let kinds = each(&wire.kinds, "kinds", |&k| {
        kind(k)?.ok_or_else(|| Invalid::new("kind", "must not be KIND_UNSPECIFIED"))
    })?;
    let tags = each(&wire.tags, "tags", |tag| {
        if tag.is_empty() || tag.len() > limits.tag_bytes_max {
            let problem = format!("{} bytes, 1 to {} are allowed", tag.len(), limits.tag_bytes_max);
            return Err(Invalid::new("tag", problem));
        }
        Ok(tag.as_str().into())
    })?;
    let authors = each(&wire.authors, "authors", |a| AgentId::parse(a, limits))?;
    let attributes = each(&wire.attributes, "attributes", |c| attribute(c, limits))?;
    let time = |time: &Option<prost_types::Timestamp>, field: &str| {
        time.as_ref().map(|t| timestamp(t, field).map_err(|e| e.within("filter"))).transpose()
    };
    Ok(Filter {
        prefixes: (!prefixes.is_empty()).then_some(prefixes),
        kinds,
        tags,
        authors,
        attributes,
        updated_from: time(&wire.updated_from, "updated_from")?,
        updated_before: time(&wire.updated_before, "updated_before")?,
    })
}

fn attribute(wire: &v1::AttributeCondition, limits: &Limits) -> Parsed<AttributeCondition> {
    use v1::attribute_condition::Operator as O;
    let operator = match O::try_from(wire.operator) {
        Ok(O::Eq) => Operator::Eq,
        Ok(O::Ne) => Operator::Ne,
        Ok(O::Gt) => Operator::Gt,
        Ok(O::Gte) => Operator::Gte,
        Ok(O::Lt) => Operator::Lt,
        Ok(O::Lte) => Operator::Lte,
        Ok(O::In) => Operator::In,
        Ok(O::Exists) => Operator::Exists,
        Ok(O::Unspecified) | Err(_) => {
            return Err(Invalid::new("operator", format!("{} is no operator", wire.operator)));
        }
    };
    AttributeCondition::parse(&wire.path, operator, &wire.value, limits)
}

/// Parses the members of one list of a filter.
fn each<W, D>(list: &[W], field: &str, parse: impl Fn(&W) -> Parsed<D>) -> Parsed<Vec<D>> {
    if list.len() > FILTER_TERMS_MAX {
        let problem = format!("{} members, at most {FILTER_TERMS_MAX} are allowed", list.len());
        return Err(Invalid::new(format!("filter.{field}"), problem));
    }
    let parse = |(at, wire)| {
        let name = format!("filter.{field}[{at}]");
        // A condition has fields of its own; in other lists the member itself is meant.
        parse(wire)
            .map_err(|e| if field == "attributes" { e.within(name) } else { Invalid::new(name, e.problem) })
    };
    list.iter().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_outside_the_calendar_are_refused() {
        let time = |seconds, nanos| timestamp(&prost_types::Timestamp { seconds, nanos }, "time");
        assert_eq!(time(1, 1_999).unwrap(), Timestamp::from_micros(1_000_001));
        assert_eq!(time(-62_135_596_800, 0).unwrap(), Timestamp::MIN);
        for (seconds, nanos) in [
            (i64::MAX, 0),
            (i64::MIN, 0),
            (253_402_300_800, 0),
            (-62_135_596_801, 0),
            (0, -1),
            (0, 1_000_000_000),
        ] {
            assert!(time(seconds, nanos).is_err(), "{seconds} {nanos}");
        }
    }

    #[test]
    fn negative_spans_are_refused() {
        for (seconds, nanos) in [(-1, 0), (0, -1), (i64::MIN, i32::MIN), (1, 1_000_000_000)] {
            assert!(duration(prost_types::Duration { seconds, nanos }, "ttl").is_err());
        }
    }

    #[test]
    fn consistency_must_make_sense() {
        let parse = |level, token: &str, revision| {
            consistency(Some(v1::Consistency { level, token: token.into(), revision })).map_err(|e| e.field)
        };
        assert_eq!(parse(0, "", 0), Ok(Consistency::Strong));
        assert_eq!(parse(0, "", 7), Ok(Consistency::Exact(Revision(7))));
        assert_eq!(parse(2, "t", 0), Ok(Consistency::AtLeast("t".into())));
        assert_eq!(parse(9, "", 0), Err("consistency.level".into()));
        assert_eq!(parse(2, "", 0), Err("consistency.token".into()));
        assert_eq!(parse(1, "t", 0), Err("consistency.token".into()));
        assert_eq!(parse(1, "", 7), Err("consistency.revision".into()));
        assert_eq!(parse(2, "t", 7), Err("consistency.revision".into()));
        assert_eq!(parse(0, "t", 7), Err("consistency.token".into()));
    }

    #[test]
    fn a_filter_names_the_member_that_is_wrong() {
        let limits = Limits::default();
        let field = |wire| filter(Some(wire), &limits).map_err(|e| e.field).unwrap_err();
        let base = v1::Filter::default;
        assert_eq!(
            field(v1::Filter { prefixes: vec!["shared".into(), "x".into()], ..base() }),
            "filter.prefixes[1]"
        );
        assert_eq!(field(v1::Filter { kinds: vec![0], ..base() }), "filter.kinds[0]");
        assert_eq!(field(v1::Filter { kinds: vec![99], ..base() }), "filter.kinds[0]");
        assert_eq!(field(v1::Filter { tags: vec![String::new()], ..base() }), "filter.tags[0]");
        assert_eq!(field(v1::Filter { authors: vec!["a".into(); 65], ..base() }), "filter.authors");
        let condition = v1::AttributeCondition { path: "a".into(), operator: 1, value: "x".into() };
        assert_eq!(field(v1::Filter { attributes: vec![condition], ..base() }), "filter.attributes[0].value");
    }
}
