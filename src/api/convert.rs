//! Mutations of the wire as requests of the domain, and their outcomes back.

use uuid::Uuid;

use super::{
    encode,
    parse::{self, Parsed, required},
};
use crate::{
    domain::{
        Invalid,
        apply::Effect,
        attributes::Attributes,
        entry::{Body, Etag, IMPORTANCE_DEFAULT, Tags},
        limits::Limits,
        namespace::{EntryPath, Key, Namespace, Prefix},
        request::{Compare, Comparison, Operation, Target, Test},
        swarm::Mark,
        time::Expiry,
    },
    wire::v1,
};

/// A put.
pub(super) fn put(wire: v1::PutOperation, limits: &Limits) -> Parsed<Operation> {
    let namespace = Namespace::parse(&wire.namespace, limits)?;
    let key = match wire.key.as_str() {
        "" => Key::trusted(&Uuid::now_v7().to_string()),
        key => Key::parse(key, limits)?,
    };
    bounded(&wire.content, "content", limits.content_bytes_max)?;
    bounded(&wire.source, "source", limits.source_bytes_max)?;
    let importance = wire.importance.unwrap_or(IMPORTANCE_DEFAULT);
    // NaN is in no range.
    if !(0.0..=1.0).contains(&importance) {
        return Err(Invalid::new("importance", format!("{importance}, 0 to 1 is allowed")));
    }
    let expiry = match wire.expiry {
        None => None,
        Some(v1::put_operation::Expiry::Ttl(ttl)) => Some(Expiry::after(parse::duration(ttl, "ttl")?)?),
        Some(v1::put_operation::Expiry::ExpireTime(at)) => {
            Some(Expiry::At(parse::timestamp(&at, "expire_time")?))
        }
    };
    let body = Body {
        kind: parse::kind(wire.kind)?.unwrap_or_default(),
        attributes: Attributes::parse(&wire.attributes, limits)?,
        tags: Tags::parse(&wire.tags, limits)?,
        importance,
        source: wire.source.into(),
        content: wire.content.into(),
    };
    let condition = parse::condition(wire.precondition.as_ref())?;
    Ok(Operation::Put { path: EntryPath { namespace, key }, body, expiry, condition })
}

/// A delete.
pub(super) fn delete(wire: &v1::DeleteOperation, limits: &Limits) -> Parsed<Operation> {
    let path = parse::path(&wire.namespace, &wire.key, limits)?;
    Ok(Operation::Delete { path, condition: parse::condition(wire.precondition.as_ref())? })
}

/// A delete below a prefix.
pub(super) fn delete_prefix(wire: &v1::DeletePrefixOperation, limits: &Limits) -> Parsed<Operation> {
    let prefix = Prefix::parse(&wire.prefix, limits)?;
    let limit = match wire.limit as usize {
        0 => None,
        limit if limit <= limits.delete_prefix_max => Some(limit),
        limit => {
            let problem = format!("{limit}, at most {} are allowed", limits.delete_prefix_max);
            return Err(Invalid::new("limit", problem));
        }
    };
    Ok(Operation::DeletePrefix { prefix, limit })
}

/// A list of operations.
pub(super) fn operations(wire: Vec<v1::Operation>, field: &str, limits: &Limits) -> Parsed<Vec<Operation>> {
    use v1::operation::Operation as O;
    let operation = |(at, wire): (usize, v1::Operation)| {
        let (name, parsed) = match required(wire.operation, &format!("{field}[{at}].operation"))? {
            O::Put(wire) => ("put", put(wire, limits)),
            O::Delete(wire) => ("delete", delete(&wire, limits)),
            O::DeletePrefix(wire) => ("delete_prefix", delete_prefix(&wire, limits)),
            O::Get(wire) => {
                ("get", parse::path(&wire.namespace, &wire.key, limits).map(|path| Operation::Get { path }))
            }
        };
        parsed.map_err(|e| e.within(format!("{field}[{at}].{name}")))
    };
    wire.into_iter().enumerate().map(operation).collect()
}

/// The comparisons of a transaction.
pub(super) fn compares(wire: Vec<v1::Compare>, limits: &Limits) -> Parsed<Vec<Compare>> {
    let compare =
        |(at, wire)| compare(wire, limits).map_err(|e: Invalid| e.within(format!("compares[{at}]")));
    wire.into_iter().enumerate().map(compare).collect()
}

fn compare(wire: v1::Compare, limits: &Limits) -> Parsed<Compare> {
    use v1::compare::{Target as T, Value as V};
    let target = match required(wire.target, "target")? {
        T::Entry(name) => {
            Target::Entry(parse::path(&name.namespace, &name.key, limits).map_err(|e| e.within("entry"))?)
        }
        T::Prefix(prefix) => Target::Below(Prefix::parse(&prefix, limits)?),
    };
    let value = required(wire.value, "value")?;
    let operator = comparison(wire.operator);
    let needed = || operator.clone().and_then(|o| required(o, "operator"));
    let test = match value {
        V::Exists(exists) => match operator? {
            None => Test::Exists(exists),
            Some(_) => return Err(Invalid::new("operator", "goes with no exists")),
        },
        V::Etag(etag) => match operator? {
            None | Some(Comparison::Eq) => Test::Etag(true, Etag::parse(&etag)?),
            Some(Comparison::Ne) => Test::Etag(false, Etag::parse(&etag)?),
            Some(_) => return Err(Invalid::new("operator", "of an etag must be OPERATOR_EQ or OPERATOR_NE")),
        },
        V::Content(content) => Test::Content(needed()?, content.into()),
        V::Revision(revision) => Test::Revision(needed()?, revision),
        V::CreateRevision(revision) => Test::CreateRevision(needed()?, revision),
        V::Version(version) => Test::Version(needed()?, version),
    };
    Ok(Compare { target, test })
}

fn comparison(number: i32) -> Parsed<Option<Comparison>> {
    use v1::compare::Operator as O;
    Ok(Some(match O::try_from(number) {
        Ok(O::Unspecified) => return Ok(None),
        Ok(O::Eq) => Comparison::Eq,
        Ok(O::Ne) => Comparison::Ne,
        Ok(O::Gt) => Comparison::Gt,
        Ok(O::Gte) => Comparison::Gte,
        Ok(O::Lt) => Comparison::Lt,
        Ok(O::Lte) => Comparison::Lte,
        Err(_) => return Err(Invalid::new("operator", format!("{number} is no operator"))),
    }))
}

/// What an operation of the request that took `mark` came to.
pub(super) fn result(mark: Mark, effect: Effect) -> v1::operation_result::Result {
    use v1::operation_result::Result as R;
    match effect {
        Effect::Put { path, version, expire_time } => R::Put(v1::PutResult {
            key: path.key.as_str().into(),
            etag: Etag(mark).encode(),
            revision: mark.revision.0,
            version,
            expire_time: expire_time.map(encode::timestamp),
        }),
        Effect::Delete(deleted) => R::Delete(v1::DeleteResult { deleted }),
        Effect::DeletePrefix { deleted, more } => R::DeletePrefix(v1::DeletePrefixResult { deleted, more }),
        Effect::Get(found) => {
            R::Get(v1::GetResult { entry: found.as_deref().map(|v| encode::entry(v, false)) })
        }
        // Recalled before results are made; what could not be recalled is an error by then.
        Effect::GetRecorded { .. } => R::Get(v1::GetResult::default()),
    }
}

fn bounded(text: &str, field: &str, max: usize) -> Parsed<()> {
    if text.len() <= max {
        return Ok(());
    }
    Err(Invalid::new(field, format!("{} bytes, at most {max} are allowed", text.len())))
}
