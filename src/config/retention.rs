//! The section `retention`. Does not know how compaction and expiry work.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::setting::{Allowed, Section};

/// How long history is kept, and how expired entries go. The newest version of an entry is always kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// A revision is kept at least so long, unless its swarm says otherwise.
    pub age_s: u64,
    /// At least so many of the newest revisions are kept whatever their age, unless the swarm says otherwise.
    pub revisions: u64,
    /// How often it is looked for revisions that need not be kept.
    pub compaction_interval_ms: u64,
    /// At most so many rows are removed in one transaction.
    pub compaction_rows_max: usize,
    /// How often it is looked for entries whose time to live has run out. Reads do not see them in any case.
    pub expiry_interval_ms: u64,
    /// At most so many expired entries are deleted at one revision.
    pub expiry_entries_max: usize,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age_s: 86_400,
            revisions: 1000,
            compaction_interval_ms: 30_000,
            compaction_rows_max: 1000,
            expiry_interval_ms: 1000,
            expiry_entries_max: 1000,
        }
    }
}

impl Section for Retention {
    const NAME: &'static str = "retention";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        // 100 years.
        ("age_s", Allowed::Integer(0, 3_153_600_000)),
        ("revisions", Allowed::Integer(1, 1_000_000_000)),
        ("compaction_interval_ms", Allowed::Integer(10, 86_400_000)),
        ("compaction_rows_max", Allowed::Integer(1, 100_000)),
        ("expiry_interval_ms", Allowed::Integer(10, 3_600_000)),
        ("expiry_entries_max", Allowed::Integer(1, 10_000)),
    ];
}
