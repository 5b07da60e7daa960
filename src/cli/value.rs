//! Values as a user writes them on the command line, turned into what the protocol wants. Knows nothing of
//! commands.

use std::{str::FromStr, time::Duration};

use serde_json::value::RawValue;

use crate::wire::v1::{AttributeCondition, attribute_condition::Operator};
use crate::{
    domain::time::{self as domain, Clock as _, SystemClock},
    wire::Timestamp,
};

/// Reads a duration such as `90s`, `1h 30m` or `250ms`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    if text.starts_with('-') {
        return Err("a duration must not be negative; write it as 90s, 15m or 2h".to_owned());
    }
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it as 90s, 15m or 2h"))
}

/// Reads a number of things of which there must be one.
pub(super) fn at_least_one<N: FromStr + From<u8> + PartialEq>(text: &str) -> Result<N, String> {
    match text.parse::<N>() {
        Ok(number) if number != N::from(0) => Ok(number),
        _ => Err("write a whole number from 1".to_owned()),
    }
}

/// Reads a duration in which something can happen.
pub(super) fn some_duration(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("write a duration longer than 0, such as 3s".to_owned()),
        duration => Ok(duration),
    }
}

/// Reads a number greater than zero.
pub(super) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("write a number greater than 0".to_owned()),
    }
}

/// Reads a time: RFC 3339, or a duration back from now.
pub(super) fn time(text: &str) -> Result<Timestamp, String> {
    time_before(text, SystemClock.now())
}

fn time_before(text: &str, now: domain::Timestamp) -> Result<Timestamp, String> {
    if let Ok(back) = humantime::parse_duration(text) {
        let micros = now.minus(back).as_micros();
        let mut time = Timestamp { seconds: micros.div_euclid(1_000_000), nanos: 0 };
        time.nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or_default();
        return Ok(time);
    }
    text.parse().map_err(|_| {
        "not a time; write it as 2026-11-02T10:00:00Z, or as a duration back from now such as 15m".to_owned()
    })
}

/// Where a watch starts.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// After what has happened so far.
    Now,
    /// At this revision, inclusive.
    Revision(u64),
    /// At the first revision committed at or after this time.
    Time(Timestamp),
    /// Behind whatever gave out this token.
    Token(String),
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "now" {
            return Ok(Self::Now);
        }
        if let Some(token) = text.strip_prefix("token:") {
            return if token.is_empty() {
                Err("the token is empty".to_owned())
            } else {
                Ok(Self::Token(token.to_owned()))
            };
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Revision).map_err(|_| "the revision is too large".to_owned());
        }
        time(text).map(Self::Time).map_err(|_| {
            "write now, a revision, a time such as 2026-11-02T10:00:00Z or 15m, or token:TOKEN".to_owned()
        })
    }
}

/// `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What stands before the first `=`; never empty.
    pub name: String,
    /// What stands behind it.
    pub value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok(Self { name: name.trim().to_owned(), value: value.to_owned() })
            }
            _ => Err("write it as NAME=VALUE".to_owned()),
        }
    }
}

/// The JSON that a text stands for: itself if it is JSON, else the string.
pub(super) fn json_or_string(text: &str) -> Box<RawValue> {
    match serde_json::from_str::<Box<RawValue>>(text.trim()) {
        Ok(json) => json,
        Err(_) => serde_json::value::to_raw_value(text).expect("a string is JSON"),
    }
}

/// A condition on an attribute, written `PATH OPERATOR VALUE`.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition(pub(super) AttributeCondition);

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, rest) = split_word(text);
        let (operator, value) = split_word(rest);
        let operator = match operator {
            "=" | "==" | "eq" => Operator::Eq,
            "!=" | "ne" => Operator::Ne,
            ">" | "gt" => Operator::Gt,
            ">=" | "gte" => Operator::Gte,
            "<" | "lt" => Operator::Lt,
            "<=" | "lte" => Operator::Lte,
            "in" => Operator::In,
            "exists" => Operator::Exists,
            _ => {
                return Err("write it as 'PATH OPERATOR VALUE' with one of \
                            eq ne gt gte lt lte in exists, as in 'score gte 0.5'"
                    .to_owned());
            }
        };
        let value = match operator {
            Operator::Exists if value.is_empty() => String::new(),
            Operator::Exists if !matches!(value, "true" | "false") => {
                return Err("exists takes true or false".to_owned());
            }
            _ if value.is_empty() => return Err("the value is missing".to_owned()),
            Operator::In => json_list(value),
            _ => json_or_string(value).get().to_owned(),
        };
        Ok(Self(AttributeCondition { path: path.to_owned(), operator: operator.into(), value }))
    }
}

/// A JSON array as it is, or the elements between commas.
fn json_list(text: &str) -> String {
    if text.starts_with('[') && serde_json::from_str::<Vec<&RawValue>>(text).is_ok() {
        return text.to_owned();
    }
    let elements: Vec<_> = text.split(',').map(|element| json_or_string(element.trim())).collect();
    let elements: Vec<_> = elements.iter().map(|element| element.get()).collect();
    format!("[{}]", elements.join(","))
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    match text.split_once(char::is_whitespace) {
        Some((word, rest)) => (word, rest.trim()),
        None => (text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Result<(String, Operator, String), String> {
        let Condition(condition) = text.parse()?;
        Ok((condition.path.clone(), condition.operator(), condition.value))
    }

    #[test]
    fn a_position_is_read_in_each_form() {
        assert_eq!("now".parse(), Ok(Position::Now));
        assert_eq!("17".parse(), Ok(Position::Revision(17)));
        assert_eq!("token:a:b".parse(), Ok(Position::Token("a:b".into())));
        let time = Timestamp { seconds: 1_793_613_600, nanos: 0 };
        assert_eq!("2026-11-02T10:00:00Z".parse(), Ok(Position::Time(time)));
        assert_eq!("2026-11-02T11:00:00+01:00".parse(), Ok(Position::Time(time)));
        assert!(matches!("15m".parse(), Ok(Position::Time(_))));
        for text in ["", "token:", "yesterday", "-3", "99999999999999999999"] {
            assert!(text.parse::<Position>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_duration_counts_back_from_now() {
        let now = domain::Timestamp::from_micros(1_000_000_000);
        assert_eq!(time_before("1m 40s", now), Ok(Timestamp { seconds: 900, nanos: 0 }));
        assert!(time_before("soon", now).is_err());
    }

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5_400)));
        assert!(duration("90").is_err());
        assert!(duration("-1s").unwrap_err().contains("negative"));
        assert!(some_duration("0s").is_err());
        assert_eq!(some_duration("1ms"), Ok(Duration::from_millis(1)));
    }

    #[test]
    fn a_condition_takes_json_or_plain_text() {
        assert_eq!(condition("score gte 0.50"), Ok(("score".into(), Operator::Gte, "0.50".into())));
        assert_eq!(condition("a.b = two words"), Ok(("a.b".into(), Operator::Eq, "\"two words\"".into())));
        assert_eq!(condition("s eq \"7\""), Ok(("s".into(), Operator::Eq, "\"7\"".into())));
        assert_eq!(condition("n != 1e400"), Ok(("n".into(), Operator::Ne, "1e400".into())));
        assert_eq!(condition("l in a, 2 ,\"3\""), Ok(("l".into(), Operator::In, "[\"a\",2,\"3\"]".into())));
        assert_eq!(condition("l in [1,[2]]"), Ok(("l".into(), Operator::In, "[1,[2]]".into())));
        assert_eq!(condition("x exists"), Ok(("x".into(), Operator::Exists, String::new())));
        assert_eq!(condition("x exists false"), Ok(("x".into(), Operator::Exists, "false".into())));
        for text in ["", "x", "x eq", "x like y", "x exists maybe"] {
            assert!(condition(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_setting_is_split_at_the_first_equals_sign() {
        assert_eq!("a=b=c".parse(), Ok(Setting { name: "a".into(), value: "b=c".into() }));
        assert!("=x".parse::<Setting>().is_err());
        assert!("x".parse::<Setting>().is_err());
    }
}
