//! Attributes: what is accepted is JSON within the limits, is kept as written, and means what RFC 8259 says.

use serde_json::Value;
use swarmem::domain::{attributes::Attributes, limits::Limits};

use super::json::Json;

/// Takes the input as attributes.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let default = Limits::default();
    // Small limits are reached by small inputs.
    let small = Limits { attributes_bytes_max: 64, attributes_depth_max: 3, ..default };
    for limits in [&default, &small] {
        accepted(text, limits);
    }
}

fn accepted(text: &str, limits: &Limits) {
    // The oracle recurses: what is too deep in any reading is not shown to it.
    let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
    let oracle = if brackets > 1_000 { None } else { Json::parse(text) };
    let expected = match &oracle {
        _ if text.is_empty() => true,
        Some(json @ Json::Object(_)) => {
            text.len() <= limits.attributes_bytes_max && json.depth() <= limits.attributes_depth_max
        }
        _ => false,
    };
    let parsed = Attributes::parse(text, limits);
    if brackets <= 1_000 || parsed.is_ok() {
        assert_eq!(parsed.is_ok(), expected, "{text:?}: {parsed:?}");
    }
    let Ok(attributes) = parsed else { return };
    let kept = attributes.as_str();
    assert_eq!(kept, if text == "{}" { "" } else { text }, "kept as it was written");
    assert_eq!(
        Attributes::parse(kept, limits),
        Ok(attributes.clone()),
        "what was accepted is accepted again"
    );
    assert_eq!(Attributes::trusted(kept), attributes);

    let value = attributes.value();
    let oracle = oracle.unwrap_or(Json::Object(Vec::new()));
    assert!(same(&value, &oracle), "{text:?} was read as {value}");
    // Written anew it is the same, if it still fits.
    let canonical = value.to_string();
    if canonical.len() <= limits.attributes_bytes_max {
        let again = Attributes::parse(&canonical, limits).map(|again| again.value());
        assert_eq!(again, Ok(value), "{text:?} as {canonical:?}");
    }
}

fn same(value: &Value, oracle: &Json) -> bool {
    match (value, oracle) {
        (Value::Null, Json::Null) => true,
        (Value::Bool(a), Json::Bool(b)) => a == b,
        (Value::String(a), Json::Text(b)) => a == b,
        (Value::Number(a), Json::Integer(b)) => {
            a.as_i64().map(i128::from).or(a.as_u64().map(i128::from)) == Some(*b)
        }
        (Value::Number(a), Json::Float(b)) => {
            a.is_f64() && a.as_f64().is_some_and(|a| a.to_bits() == b.to_bits())
        }
        (Value::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Json::Object(b)) => {
            b.iter().all(|(name, _)| a.contains_key(name))
                && a.iter().all(|(name, a)| oracle.get(name).is_some_and(|b| same(a, b)))
        }
        _ => false,
    }
}

/// What the corpus begins with.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "",
        "{}",
        "{ }",
        r#"{"a":1}"#,
        r#"{"a":{"b":{"c":1}}}"#,
        r#"{"a":{"b":{"c":{}}}}"#,
        r#"{"n":123456789012345678901234567890.10}"#,
        r#"{"n":[1e308,1e400,-0,0e999,5e-324,18446744073709551616]}"#,
        r#"{"n":8.533e+68,"m":24.7e-7,"big":17976931348623157e292}"#,
        r#"{"a":1,"a":{"b":[]}}"#,
        r#"{"s":"\ud83d\ude00 \u00fc \/ \b"}"#,
        r#"{"s":"\ud800"}"#,
        r#"{"s":"\udc00x\ud800\ud800"}"#,
        "{\"a\":[[[[\"]]]]{{{{\"]]]]}",
        "{\"a\":01}",
        "{\"a\":1,}",
        "\u{feff}{}",
        "[]",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
