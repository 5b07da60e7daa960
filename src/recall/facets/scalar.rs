//! A JSON value as a place in an order, in which equal ones meet and numbers and strings stand by size.

use std::{cmp::Ordering, sync::Arc};

use serde_json::{Number, Value};
use xxhash_rust::xxh3::Xxh3;

use crate::domain::query::order_numbers;

/// Longer strings keep no more than so many bytes, beside a hash of all of them: among those that begin alike, the order is
/// the hash's.
const TEXT_BYTES_MAX: usize = 1024;

/// A value, or a bound between kinds of values.
#[derive(Clone, Debug)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    AllNumbers,
    Text(Arc<str>, u128),
    AllTexts,
    /// Of an array or an object only what tells it from others.
    Compound(u128),
}

impl Scalar {
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(value) => Self::Number(value.clone()),
            Value::String(value) if value.len() <= TEXT_BYTES_MAX => Self::Text(value.as_str().into(), 0),
            Value::String(value) => Self::Text(
                value[..value.floor_char_boundary(TEXT_BYTES_MAX)].into(),
                digest(&Value::String(value.clone())),
            ),
            Value::Array(_) | Value::Object(_) => Self::Compound(digest(value)),
        }
    }

    /// The greatest that is less than every number, or every string.
    pub fn just_before(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::AllNumbers,
            _ => Self::Bool(true),
        }
    }

    /// What is greater than every number, or every string.
    pub fn just_behind(value: &Value) -> Self {
        match value {
            Value::String(_) => Self::AllTexts,
            _ => Self::AllNumbers,
        }
    }

    /// Memory beside the value itself.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Text(text, _) => 16 + text.len(),
            _ => 0,
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Number(_) => 2,
            Self::AllNumbers => 3,
            Self::Text(..) => 4,
            Self::AllTexts => 5,
            Self::Compound(_) => 6,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(l), Self::Bool(r)) => l.cmp(r),
            // Every number of JSON is finite, so any two are ordered.
            (Self::Number(l), Self::Number(r)) => order_numbers(l, r).unwrap_or(Ordering::Equal),
            (Self::Text(l, long_l), Self::Text(r, long_r)) => l.cmp(r).then(long_l.cmp(long_r)),
            (Self::Compound(l), Self::Compound(r)) => l.cmp(r),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scalar {}

/// The same for values that are equal.
fn digest(value: &Value) -> u128 {
    let mut hash = Xxh3::new();
    feed(value, &mut hash);
    hash.digest128().max(1)
}

fn feed(value: &Value, hash: &mut Xxh3) {
    match value {
        Value::Null => hash.update(b"n"),
        Value::Bool(value) => hash.update(if *value { b"t" } else { b"f" }),
        Value::Number(number) => {
            let whole = number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() < 2_f64.powi(63));
            let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
            match integer.or(whole.map(|f| f as i128)) {
                Some(integer) => hash.update(format!("i{integer};").as_bytes()),
                None => {
                    hash.update(format!("d{};", number.as_f64().unwrap_or_default().to_bits()).as_bytes())
                }
            }
        }
        Value::String(text) => {
            hash.update(format!("s{};", text.len()).as_bytes());
            hash.update(text.as_bytes());
        }
        Value::Array(values) => {
            hash.update(format!("a{};", values.len()).as_bytes());
            values.iter().for_each(|value| feed(value, hash));
        }
        // In the order of the names.
        Value::Object(members) => {
            hash.update(format!("o{};", members.len()).as_bytes());
            for (name, value) in members {
                hash.update(format!("s{};", name.len()).as_bytes());
                hash.update(name.as_bytes());
                feed(value, hash);
            }
        }
    }
}
