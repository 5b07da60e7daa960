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

impl Section for Log {
    const NAME: &'static str = "log";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        (
            "level",
            Allowed::Text("a level, or target=level pairs joined by commas", |text| {
                !text.is_empty() && EnvFilter::builder().parse(text).is_ok()
            }),
        ),
        ("format", Allowed::OneOf(&["text", "json"])),
    ];
}
