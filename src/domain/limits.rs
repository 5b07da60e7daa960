//! The sizes that are accepted. Enforced where values are parsed; inside, only valid values exist.

/// Upper bounds of what a request may carry. The default is also the ceiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Segments of a namespace.
    pub namespace_segments_max: usize,
    /// Bytes of one segment, and of an agent's name.
    pub segment_bytes_max: usize,
    /// Bytes of a key.
    pub key_bytes_max: usize,
    /// Bytes of an entry's content.
    pub content_bytes_max: usize,
    /// Bytes of an entry's attributes.
    pub attributes_bytes_max: usize,
    /// Nesting of an entry's attributes, the object itself included.
    pub attributes_depth_max: usize,
    /// Tags of an entry.
    pub tags_max: usize,
    /// Bytes of one tag.
    pub tag_bytes_max: usize,
    /// Bytes of an entry's source.
    pub source_bytes_max: usize,
    /// Bytes of one request on the wire.
    pub request_bytes_max: usize,
    /// Comparisons and operations of one request.
    pub operations_max: usize,
    /// Entries that one delete below a prefix may touch.
    pub delete_prefix_max: usize,
    /// Entries of one page.
    pub page_size_max: usize,
    /// Bytes after which a page ends.
    pub page_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            namespace_segments_max: 16,
            segment_bytes_max: 128,
            key_bytes_max: 512,
            content_bytes_max: CONTENT_BYTES_CEILING,
            attributes_bytes_max: 64 * 1024,
            attributes_depth_max: 32,
            tags_max: 64,
            tag_bytes_max: 128,
            source_bytes_max: 512,
            request_bytes_max: 4 * 1024 * 1024,
            operations_max: 1_000,
            delete_prefix_max: 10_000,
            page_size_max: 1_000,
            page_bytes_max: 1024 * 1024,
        }
    }
}

/// Reads in one branch of a transaction; with contents of 256 KiB these are 16 MiB, which a client takes.
pub const TRANSACTION_GETS_MAX: usize = 64;
/// Comparisons of one transaction that see contents by their order; a comparison for equality sees no more than the
/// request brings.
pub const TRANSACTION_ORDERINGS_MAX: usize = 64;
/// Bytes that a content may have, however it is configured.
pub const CONTENT_BYTES_CEILING: usize = 256 * 1024;
/// Bytes of a request id.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Members of each list in a filter.
pub const FILTER_TERMS_MAX: usize = 64;
/// Elements of the array that an `in` condition takes.
pub const FILTER_IN_MAX: usize = 256;
