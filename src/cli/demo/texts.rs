//! What the demo reads when it is given nothing: the project's own documents, inside the binary.

/// Names and texts, in the order of reading.
pub(super) const DOCUMENTS: &[(&str, &str)] = &[
    ("README.md", include_str!("../../../README.md")),
    ("docs/concepts.md", include_str!("../../../docs/concepts.md")),
    ("ARCHITECTURE.md", include_str!("../../../ARCHITECTURE.md")),
    ("CONTRIBUTING.md", include_str!("../../../CONTRIBUTING.md")),
    ("docs/configuration.md", include_str!("../../../docs/configuration.md")),
    ("docs/adr/0001", include_str!("../../../docs/adr/0001-one-encoding-for-all-watchers.md")),
    ("docs/adr/0002", include_str!("../../../docs/adr/0002-versions-index.md")),
    ("docs/adr/0003", include_str!("../../../docs/adr/0003-attributes-are-json-text.md")),
    ("docs/adr/0004", include_str!("../../../docs/adr/0004-slow-readers-end-when-they-return.md")),
    ("docs/adr/0005", include_str!("../../../docs/adr/0005-expiry-is-a-revision-of-its-own.md")),
];
