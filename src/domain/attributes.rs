//! An entry's attributes: a JSON object, kept as the text it was written in, so that no number loses a digit.

use std::sync::Arc;

use serde_json::Value;

use super::{Invalid, limits::Limits};

/// A JSON object as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Attributes(Arc<str>);

impl Default for Attributes {
    fn default() -> Self {
        Self("".into())
    }
}

impl Attributes {
    /// Parses a JSON object; empty text is an empty object.
    ///
    /// # Errors
    /// When the text is too long, nested too deeply, not JSON, or not an object.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Invalid> {
        let wrong = |problem: String| Err(Invalid::new("attributes", problem));
        if text.len() > limits.attributes_bytes_max {
            return wrong(format!(
                "{} bytes, at most {} are allowed",
                text.len(),
                limits.attributes_bytes_max
            ));
        }
        if text.is_empty() || text == "{}" {
            return Ok(Self::default());
        }
        // Before the parser sees it: nesting is what could exhaust a parser.
        if nesting(text) > limits.attributes_depth_max {
            return wrong(format!("nested deeper than {} levels", limits.attributes_depth_max));
        }
        match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(_)) => Ok(Self(text.into())),
            Ok(_) => wrong("must be a JSON object".into()),
            Err(e) => wrong(format!("not JSON: {e}")),
        }
    }

    /// What a store kept, which was valid when it was written.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The text; empty for an empty object.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The object, parsed.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_else(|_| Value::Object(serde_json::Map::new()))
    }
}

/// The deepest nesting of brackets outside strings.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_is_counted_outside_strings() {
        assert_eq!(nesting(r#"{"a":[1,{"b":"]]}}\"{{{{"}]}"#), 3);
    }

    #[test]
    fn only_shallow_objects_are_accepted() {
        let limits = Limits::default();
        let nested = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
        assert!(Attributes::parse(&nested(32), &limits).is_ok());
        assert!(Attributes::parse(&nested(33), &limits).is_err());
        for bad in [
            "[]",
            "1",
            "{",
            "{\"a\":}",
            "null",
            &"[".repeat(60_000),
            &format!("{{\"a\":\"{}\"}}", "x".repeat(65_536)),
        ] {
            assert!(Attributes::parse(bad, &limits).is_err(), "{}", &bad[..bad.len().min(20)]);
        }
        let large = r#"{"n":123456789012345678901234567890.10}"#;
        assert_eq!(Attributes::parse(large, &limits).unwrap().as_str(), large);
    }
}
