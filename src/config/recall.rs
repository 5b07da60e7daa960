//! The section `recall`. Does not know how anything is ranked.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::setting::{Allowed, Section};

/// How much memory answering questions may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Recall {
    /// What compares meanings: "builtin", a small model that needs no network and next to no time; or "none": questions
    /// are answered by words alone.
    pub embedder: Embedder,
    /// What mirrors may take together, about. A mirror holds what ranking needs of one root (`shared/x` or `agents/a`): about
    /// 1 KiB for an entry of 300 characters. Beyond it the mirror that was not asked for the longest is given up, and
    /// loaded again when somebody asks. The one asked for last is kept, however large it is.
    pub mirror_bytes_max: usize,
    /// What bodies of entries that were written or recalled lately may take, so that an answer need not wait for the store.
    pub body_bytes_max: usize,
    /// How long a mirror is held that nobody asks for.
    pub mirror_idle_ms: u64,
    /// How often mirrors take in what was written while nobody asks.
    pub mirror_interval_ms: u64,
}

/// What compares meanings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Embedder {
    /// The built-in model.
    #[default]
    Builtin,
    /// Nothing.
    None,
}

impl Default for Recall {
    fn default() -> Self {
        Self {
            embedder: Embedder::Builtin,
            mirror_bytes_max: 1 << 30,
            body_bytes_max: 64 << 20,
            mirror_idle_ms: 900_000,
            mirror_interval_ms: 100,
        }
    }
}

impl Section for Recall {
    const NAME: &'static str = "recall";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        ("embedder", Allowed::OneOf(&["builtin", "none"])),
        ("mirror_bytes_max", Allowed::Integer(1 << 20, 1 << 40)),
        ("body_bytes_max", Allowed::Integer(0, 1 << 40)),
        ("mirror_idle_ms", Allowed::Integer(1_000, 86_400_000)),
        ("mirror_interval_ms", Allowed::Integer(1, 60_000)),
    ];
}
