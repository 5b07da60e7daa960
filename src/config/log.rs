//! The section `log`. Does not know how logging is set up.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use super::setting::{Allowed, Section};

/// What is logged, on standard error. Memory contents, keys and tokens never are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// A level (error, warn, info, debug, trace, off), or a list of levels by module, as info,swarmem::store=debug.
    pub level: String,
    /// Lines for people, or one JSON object a line for machines.
    pub format: Format,
}

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: Format::Text }
    }
}

const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

impl Section for Log {
    const NAME: &'static str = "log";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        (
            "level",
            Allowed::Text(
                "a level (error, warn, info, debug, trace, off), or levels and module=level pairs joined by commas",
                is_level_list,
            ),
        ),
        ("format", Allowed::OneOf(&["text", "json"])),
    ];
}

/// The filter takes any word for a module whose lines are wanted, and then nothing else is logged: a level that is
/// misspelt would silence the log.
fn is_level_list(text: &str) -> bool {
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    let is_module = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte))
    };
    let is_allowed = |part: &str| match part.split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(part),
    };
    text.split(',').all(is_allowed) && EnvFilter::builder().parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_level_is_refused() {
        for taken in ["info", "WARN", "off", "info,swarmem::store=debug", "swarmem=trace,tonic=off"] {
            assert!(is_level_list(taken), "{taken}");
        }
        for refused in ["", "infoo", "verbose", "info,", "info,debg", "swarmem", "swarmem=infoo", "=info"] {
            assert!(!is_level_list(refused), "{refused}");
        }
    }
}
