//! The section `limits`. Does not know where a limit is enforced.

use documented::{Documented, DocumentedFields};
use serde::{Deserialize, Serialize};

use super::setting::{Allowed, Section};

/// How large things may be. A limit can be lowered, never raised: the protocol promises that nothing is larger. What is
/// stored already stays readable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Documented, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Segments of a namespace.
    pub namespace_segments_max: usize,
    /// One segment of a namespace, in UTF-8.
    pub segment_bytes_max: usize,
    /// A key, in UTF-8. A key that the server draws has 36 bytes.
    pub key_bytes_max: usize,
    /// The content of an entry.
    pub content_bytes_max: usize,
    /// The attributes of an entry, as JSON text.
    pub attributes_bytes_max: usize,
    /// How deep the attributes of an entry may be nested.
    pub attributes_depth_max: usize,
    /// Tags of an entry.
    pub tags_max: usize,
    /// One tag, in UTF-8.
    pub tag_bytes_max: usize,
    /// What an entry says of its source.
    pub source_bytes_max: usize,
    /// A request, as it comes over the wire.
    pub request_bytes_max: usize,
    /// Operations and comparisons of one request.
    pub operations_max: usize,
    /// Entries that one delete by prefix may remove.
    pub delete_prefix_max: usize,
    /// Entries on a page.
    pub page_size_max: usize,
    /// A page is closed once it holds so much.
    pub page_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            namespace_segments_max: 16,
            segment_bytes_max: 128,
            key_bytes_max: 512,
            content_bytes_max: 256 << 10,
            attributes_bytes_max: 64 << 10,
            attributes_depth_max: 32,
            tags_max: 64,
            tag_bytes_max: 128,
            source_bytes_max: 512,
            request_bytes_max: 4 << 20,
            operations_max: 1000,
            delete_prefix_max: 10_000,
            page_size_max: 1000,
            page_bytes_max: 1 << 20,
        }
    }
}

impl Section for Limits {
    const NAME: &'static str = "limits";
    // The upper bounds are the defaults; a test checks it.
    const ALLOWED: &'static [(&'static str, Allowed)] = &[
        ("namespace_segments_max", Allowed::Integer(2, 16)),
        ("segment_bytes_max", Allowed::Integer(8, 128)),
        ("key_bytes_max", Allowed::Integer(36, 512)),
        ("content_bytes_max", Allowed::Integer(1, 256 << 10)),
        ("attributes_bytes_max", Allowed::Integer(2, 64 << 10)),
        ("attributes_depth_max", Allowed::Integer(1, 32)),
        ("tags_max", Allowed::Integer(0, 64)),
        ("tag_bytes_max", Allowed::Integer(1, 128)),
        ("source_bytes_max", Allowed::Integer(0, 512)),
        ("request_bytes_max", Allowed::Integer(1024, 4 << 20)),
        ("operations_max", Allowed::Integer(1, 1000)),
        ("delete_prefix_max", Allowed::Integer(1, 10_000)),
        ("page_size_max", Allowed::Integer(1, 1000)),
        ("page_bytes_max", Allowed::Integer(1024, 1 << 20)),
    ];
}
