//! The section `store`. Does not know how a store is opened.

use std::path::PathBuf;

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::setting::{Allowed, Section};

/// Where memory is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// The SQLite file. It is created if it does not exist; one process at a time can have it open.
    pub path: PathBuf,
    /// How many connections read at the same time. There is always one more, which writes.
    pub read_connections: u32,
    /// So much of the entries that were read lately is kept in memory, so that reading them again does not ask the
    /// database; 0: nothing.
    pub cache_bytes_max: usize,
    /// How many reads of callers may run or wait at the same time; further ones are refused with RESOURCE_EXHAUSTED. An
    /// answer has at most 4 MiB.
    pub reads_max: usize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            path: PathBuf::from("swarmem.db"),
            read_connections: 4,
            cache_bytes_max: 16 << 20,
            reads_max: 1024,
        }
    }
}

impl Section for Store {
    const NAME: &'static str = "store";
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        ("path", Allowed::Text("a path", |text| !text.is_empty())),
        ("read_connections", Allowed::Integer(1, 64)),
        ("cache_bytes_max", Allowed::Integer(0, 64 << 30)),
        ("reads_max", Allowed::Integer(1, 1_000_000)),
    ];
}
