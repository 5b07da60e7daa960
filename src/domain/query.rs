//! Which entries and events a reader means.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::{
    Invalid,
    entry::{Kind, Version},
    limits::{FILTER_IN_MAX, Limits},
    namespace::{AgentId, NamespaceRange, Prefix},
    time::Timestamp,
};

/// Conditions that must all hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Below one of these; none: anywhere. Already narrowed to what the reader may see.
    pub prefixes: Option<Vec<Prefix>>,
    /// One of these kinds; empty: any.
    pub kinds: Vec<Kind>,
    /// All of these tags.
    pub tags: Vec<Box<str>>,
    /// Written by one of these; empty: anybody.
    pub authors: Vec<AgentId>,
    /// All of these hold.
    pub attributes: Vec<AttributeCondition>,
    /// Written at or after this time.
    pub updated_from: Option<Timestamp>,
    /// Written before this time.
    pub updated_before: Option<Timestamp>,
}

impl Filter {
    /// Whether the version is meant. A delete is judged by what was deleted.
    #[must_use]
    pub fn matches(&self, version: &Version) -> bool {
        self.prefixes.as_ref().is_none_or(|all| all.iter().any(|p| p.covers(&version.path.namespace)))
            && (self.kinds.is_empty() || self.kinds.contains(&version.body.kind))
            && (self.authors.is_empty() || self.authors.contains(&version.author))
            && self.tags.iter().all(|tag| version.body.tags.has(tag))
            && self.updated_from.is_none_or(|from| version.time >= from)
            && self.updated_before.is_none_or(|before| version.time < before)
            && self.attributes_hold(version)
    }

    fn attributes_hold(&self, version: &Version) -> bool {
        if self.attributes.is_empty() {
            return true;
        }
        self.attributes_of(&version.body.attributes.value())
    }

    /// Whether the conditions on attributes hold for these.
    #[must_use]
    pub fn attributes_of(&self, attributes: &Value) -> bool {
        self.attributes.iter().all(|condition| condition.holds(attributes))
    }

    /// The ranges of namespaces that can match, in byte order and disjoint.
    #[must_use]
    pub fn ranges(&self) -> Vec<NamespaceRange> {
        match &self.prefixes {
            None => vec![NamespaceRange::all()],
            Some(prefixes) => NamespaceRange::of(prefixes),
        }
    }
}

/// How an attribute is compared with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal, or absent.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// Equal to one element of the value.
    In,
    /// Present, or (value false) absent.
    Exists,
}

/// A condition on one attribute.
#[derive(Clone, Debug, PartialEq)]
pub struct AttributeCondition {
    path: String,
    operator: Operator,
    value: Value,
}

impl AttributeCondition {
    /// Parses a condition; `value` is JSON text.
    ///
    /// # Errors
    /// When the path is empty or too long, or the value is not JSON or does not fit the operator.
    pub fn parse(path: &str, operator: Operator, value: &str, limits: &Limits) -> Result<Self, Invalid> {
        if path.is_empty() || path.len() > limits.key_bytes_max {
            let problem = format!("{} bytes, 1 to {} are allowed", path.len(), limits.key_bytes_max);
            return Err(Invalid::new("path", problem));
        }
        let wrong = |problem: &str| Err(Invalid::new("value", problem));
        if value.len() > limits.attributes_bytes_max {
            return wrong(&format!(
                "{} bytes, at most {} are allowed",
                value.len(),
                limits.attributes_bytes_max
            ));
        }
        let value = match (operator, value) {
            (Operator::Exists, "") => Value::Bool(true),
            _ => match serde_json::from_str(value) {
                Ok(value) => value,
                Err(e) => return wrong(&format!("not JSON: {e}; strings need quotes")),
            },
        };
        match (operator, &value) {
            (Operator::Exists, Value::Bool(_)) => {}
            (Operator::Exists, _) => return wrong("must be true, false or empty"),
            (Operator::In, Value::Array(elements)) if elements.len() <= FILTER_IN_MAX => {}
            (Operator::In, _) => {
                return wrong(&format!("must be an array of up to {FILTER_IN_MAX} elements"));
            }
            (
                Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte,
                Value::Number(_) | Value::String(_),
            ) => {}
            (Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte, _) => {
                return wrong("must be a number or a string");
            }
            (Operator::Eq | Operator::Ne, _) => {}
        }
        Ok(Self { path: path.into(), operator, value })
    }

    /// The attribute's name; a dot steps into nested objects, unless an attribute has this very name.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How it is compared.
    #[must_use]
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// What it is compared with.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    fn holds(&self, attributes: &Value) -> bool {
        let found = lookup(attributes, &self.path);
        let ordered =
            |wanted: fn(Ordering) -> bool| found.and_then(|v| order(v, &self.value)).is_some_and(wanted);
        match self.operator {
            Operator::Eq => found.is_some_and(|v| equal(v, &self.value)),
            Operator::Ne => !found.is_some_and(|v| equal(v, &self.value)),
            Operator::Gt => ordered(Ordering::is_gt),
            Operator::Gte => ordered(Ordering::is_ge),
            Operator::Lt => ordered(Ordering::is_lt),
            Operator::Lte => ordered(Ordering::is_le),
            Operator::In => {
                let elements = self.value.as_array().map_or(&[][..], Vec::as_slice);
                found.is_some_and(|v| elements.iter().any(|e| equal(v, e)))
            }
            Operator::Exists => found.is_some() == self.value.as_bool().unwrap_or(true),
        }
    }
}

/// The attribute of this very name, else the one that the dotted path leads to.
fn lookup<'a>(attributes: &'a Value, path: &str) -> Option<&'a Value> {
    attributes.get(path).or_else(|| path.split('.').try_fold(attributes, |value, name| value.get(name)))
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => order_numbers(l, r),
        (Value::String(l), Value::String(r)) => Some(l.cmp(r)),
        _ => None,
    }
}

fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(l), Value::Number(r)) => order_numbers(l, r) == Some(Ordering::Equal),
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| equal(l, r)),
        (Value::Object(l), Value::Object(r)) => {
            l.len() == r.len() && l.iter().all(|(name, l)| r.get(name).is_some_and(|r| equal(l, r)))
        }
        _ => left == right,
    }
}

/// By value: an integer of 64 bits is not rounded to be compared with a float, or two that differ could equal a third.
pub(crate) fn order_numbers(left: &Number, right: &Number) -> Option<Ordering> {
    let integer = |n: &Number| n.as_i64().map(i128::from).or_else(|| n.as_u64().map(i128::from));
    match (integer(left), integer(right)) {
        (Some(l), Some(r)) => Some(l.cmp(&r)),
        (Some(l), None) => order_mixed(l, right.as_f64()?),
        (None, Some(r)) => order_mixed(r, left.as_f64()?).map(Ordering::reverse),
        (None, None) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn order_mixed(integer: i128, float: f64) -> Option<Ordering> {
    let whole = float.trunc();
    // The conversion stops at the ends of i128, which are far beyond 64 bits.
    let order = integer.cmp(&(whole as i128));
    Some(order.then(0.0.partial_cmp(&(float - whole))?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(path: &str, operator: Operator, value: &str) -> bool {
        let attributes =
            json!({"n": 10, "f": 1.0, "s": "b", "a": {"b": 3}, "a.c": 4, "big": 9007199254740993_u64});
        AttributeCondition::parse(path, operator, value, &Limits::default()).unwrap().holds(&attributes)
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(holds("n", Operator::Gt, "9"));
        assert!(!holds("n", Operator::Gt, "\"9\""));
        assert!(holds("f", Operator::Eq, "1"));
        assert!(holds("n", Operator::In, "[1, 10.0]"));
        assert!(holds("big", Operator::Gt, "9007199254740992"));
        assert!(holds("s", Operator::Lt, "\"c\""));
    }

    #[test]
    fn integers_and_fractions_are_compared_without_rounding_either() {
        let is = |attribute: &str, operator, value: &str| {
            let attributes = serde_json::from_str(&format!("{{\"n\":{attribute}}}")).unwrap();
            AttributeCondition::parse("n", operator, value, &Limits::default()).unwrap().holds(&attributes)
        };
        // 2^53 + 1 has no float of its own; rounded it would be 2^53.
        assert!(!is("9007199254740993", Operator::Eq, "9007199254740992.0"));
        assert!(is("9007199254740993", Operator::Gt, "9007199254740992.0"));
        assert!(is("9007199254740992.0", Operator::Lt, "9007199254740993"));
        assert!(is("18446744073709551615", Operator::Lt, "18446744073709551616"));
        assert!(
            is("-1", Operator::Lt, "-0.5") && is("1", Operator::Lt, "1.5") && is("-1", Operator::Gt, "-1.5")
        );
        assert!(is("0", Operator::Eq, "-0.0") && is("-3", Operator::Eq, "-3.0"));
        assert!(is("9223372036854775807", Operator::Lt, "1e300") && is("-9", Operator::Gt, "-1e300"));
    }

    #[test]
    fn a_number_is_the_nearest_float_however_it_is_written() {
        let attributes = json!({"n": 1.797_693_134_862_315_7e308, "m": 8.533e68});
        for (path, value) in [("n", "17976931348623157e292"), ("m", "8.533e+68"), ("m", "85.33e67")] {
            let condition = AttributeCondition::parse(path, Operator::Eq, value, &Limits::default()).unwrap();
            assert!(condition.holds(&attributes), "{value}");
        }
    }

    #[test]
    fn absent_attributes_match_only_ne_and_exists_false() {
        for (operator, value, expected) in [
            (Operator::Eq, "1", false),
            (Operator::Ne, "1", true),
            (Operator::Lte, "1", false),
            (Operator::In, "[1]", false),
            (Operator::Exists, "", false),
            (Operator::Exists, "false", true),
        ] {
            assert_eq!(holds("missing", operator, value), expected, "{operator:?}");
        }
    }

    #[test]
    fn a_dot_steps_into_objects_unless_the_name_has_one() {
        assert!(holds("a.b", Operator::Eq, "3"));
        assert!(holds("a.c", Operator::Eq, "4"));
    }

    #[test]
    fn values_must_fit_the_operator() {
        for (operator, value) in
            [(Operator::Eq, "x"), (Operator::Gt, "true"), (Operator::In, "1"), (Operator::Exists, "1")]
        {
            assert!(AttributeCondition::parse("a", operator, value, &Limits::default()).is_err());
        }
    }
}
