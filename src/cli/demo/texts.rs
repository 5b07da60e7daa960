//! What the demo reads when it is given nothing: the project's own documents, inside the binary.

/// Names and texts, in the order of reading.
pub(super) const DOCUMENTS: &[(&str, &str)] =
    &[("docs/concepts.md", include_str!("../../../docs/concepts.md"))];
