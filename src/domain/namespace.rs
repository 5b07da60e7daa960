//! Where entries stand: agents, namespaces, prefixes, keys. A prefix matches whole segments, never characters.

use std::{fmt, sync::Arc};

use super::{Invalid, limits::Limits};

/// A member of a swarm; one segment of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentId(Arc<str>);

impl AgentId {
    /// Parses an agent's name.
    ///
    /// # Errors
    /// When it is no valid segment.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Invalid> {
        check_segment(text, limits).map_err(|problem| Invalid::new("agent", problem))?;
        Ok(Self(text.into()))
    }

    /// What a store kept, which was valid when it was written.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text that is shared, not copied.
    #[must_use]
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// A path of 2 to 16 segments below `agents` or `shared`, where entries stand.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Namespace(Arc<str>);

impl Namespace {
    /// Parses a namespace.
    ///
    /// # Errors
    /// With the segment that is wrong, or when it is not below `agents/{agent}` or `shared/{name}`.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Invalid> {
        let prefix = Prefix::parse(text, limits).map_err(|e| Invalid::new("namespace", e.problem))?;
        if prefix.segments().count() < 2 {
            return Err(Invalid::new(
                "namespace",
                "needs at least two segments, such as shared/notes or agents/{agent}",
            ));
        }
        Ok(Self(prefix.0))
    }

    /// What a store kept, which was valid when it was written.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text that is shared, not copied.
    #[must_use]
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The segments in order.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The path cut to its first `depth` segments; all of it if it has no more.
    #[must_use]
    pub fn cut(&self, depth: usize) -> &str {
        self.0.match_indices('/').nth(depth.saturating_sub(1)).map_or(self.as_str(), |(at, _)| &self.0[..at])
    }
}

/// A path of 1 to 16 segments that stands for itself and everything below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Arc<str>);

impl Prefix {
    /// Parses a prefix.
    ///
    /// # Errors
    /// With the segment that is wrong, or when the first is neither `agents` nor `shared`.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Invalid> {
        let wrong = |problem: String| Err(Invalid::new("prefix", problem));
        if let Err(problem) = check_segments(text, limits) {
            return wrong(problem);
        }
        match text.split('/').next() {
            Some("agents" | "shared") => Ok(Self(text.into())),
            _ => wrong("must begin with the segment \"agents\" or \"shared\"".into()),
        }
    }

    /// What was valid when it was written.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// Everything common.
    #[must_use]
    pub fn shared() -> Self {
        Self("shared".into())
    }

    /// Everything private to `agent`.
    #[must_use]
    pub fn of_agent(agent: &AgentId) -> Self {
        Self(format!("agents/{}", agent.as_str()).into())
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments in order.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Whether `namespace` is this path or below it.
    #[must_use]
    pub fn covers(&self, namespace: &Namespace) -> bool {
        below(&self.0, &namespace.0)
    }

    /// Whether all that `other` covers is covered by this.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        below(&self.0, &other.0)
    }

    /// The bytewise ranges of namespaces that this covers: itself, and everything that goes on with `/`.
    #[must_use]
    pub fn ranges(&self) -> [NamespaceRange; 2] {
        // "a" and "a/b" are not neighbours in byte order ("a-b" stands between), so there are two ranges;
        // "0" is the byte after "/".
        [
            NamespaceRange { start: self.0.to_string(), end: Some(format!("{}\0", self.0)) },
            NamespaceRange { start: format!("{}/", self.0), end: Some(format!("{}0", self.0)) },
        ]
    }
}

/// The segments that a namespace may end with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suffix(Arc<str>);

impl Suffix {
    /// Parses a suffix; empty text is one that every namespace ends with.
    ///
    /// # Errors
    /// With the segment that is wrong.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Invalid> {
        if !text.is_empty() {
            check_segments(text, limits).map_err(|problem| Invalid::new("suffix", problem))?;
        }
        Ok(Self(text.into()))
    }

    /// Whether the last segments of `namespace` are these.
    #[must_use]
    pub fn ends(&self, namespace: &Namespace) -> bool {
        let rest = namespace.0.strip_suffix(&*self.0);
        self.0.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    }
}

fn below(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Namespaces from `start` (inclusive) to `end` (exclusive; none: without end), in byte order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamespaceRange {
    /// The first.
    pub start: String,
    /// The first that is not meant any more.
    pub end: Option<String>,
}

impl NamespaceRange {
    /// Every namespace.
    #[must_use]
    pub fn all() -> Self {
        Self { start: String::new(), end: None }
    }

    /// Whether `namespace` is in the range.
    #[must_use]
    pub fn contains(&self, namespace: &str) -> bool {
        namespace >= self.start.as_str() && self.end.as_deref().is_none_or(|end| namespace < end)
    }

    /// The ranges of several prefixes, in byte order and disjoint.
    #[must_use]
    pub fn of(prefixes: &[Prefix]) -> Vec<Self> {
        let outermost = prefixes.iter().filter(|p| !prefixes.iter().any(|q| q != *p && q.contains(p)));
        let mut ranges: Vec<_> = outermost.flat_map(Prefix::ranges).collect();
        ranges.sort();
        ranges.dedup();
        ranges
    }
}

/// An entry's name within its namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// Parses a key.
    ///
    /// # Errors
    /// When it is empty, too long, or has control characters.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, Invalid> {
        let wrong = |problem: String| Err(Invalid::new("key", problem));
        if text.is_empty() {
            return wrong("must not be empty".into());
        }
        if text.len() > limits.key_bytes_max {
            return wrong(format!("{} bytes, at most {} are allowed", text.len(), limits.key_bytes_max));
        }
        if text.chars().any(char::is_control) {
            return wrong("must not contain control characters".into());
        }
        Ok(Self(text.into()))
    }

    /// What a store kept, which was valid when it was written.
    #[must_use]
    pub fn trusted(text: &str) -> Self {
        Self(text.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// As text that is shared, not copied.
    #[must_use]
    pub fn shared_text(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

/// Names one entry of a swarm. Ordered by namespace, then key, both bytewise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath {
    /// Where it stands.
    pub namespace: Namespace,
    /// Its name there.
    pub key: Key,
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace.as_str(), self.key.as_str())
    }
}

fn check_segments(path: &str, limits: &Limits) -> Result<(), String> {
    if let Some(rest) = path.strip_prefix('/').filter(|rest| !rest.is_empty()) {
        return Err(format!("write {rest}, without the slash before it"));
    }
    for (at, segment) in path.split('/').enumerate() {
        if at >= limits.namespace_segments_max {
            return Err(format!("more than {} segments", limits.namespace_segments_max));
        }
        check_segment(segment, limits).map_err(|problem| format!("segment {}: {problem}", at + 1))?;
    }
    Ok(())
}

fn check_segment(segment: &str, limits: &Limits) -> Result<(), String> {
    let max = limits.segment_bytes_max;
    match segment {
        "" => Err("must not be empty".into()),
        s if s.len() > max => Err(format!("{} bytes, at most {max} are allowed", s.len())),
        s if s.contains('/') => Err("must not contain \"/\"".into()),
        s if s.chars().any(char::is_control) => Err("must not contain control characters".into()),
        s if s.trim() != s => Err("must not begin or end with white space".into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(text: &str) -> Namespace {
        Namespace::parse(text, &Limits::default()).unwrap()
    }

    fn prefix(text: &str) -> Prefix {
        Prefix::parse(text, &Limits::default()).unwrap()
    }

    #[test]
    fn a_prefix_matches_whole_segments() {
        assert!(prefix("shared/a").covers(&namespace("shared/a")));
        assert!(prefix("shared/a").covers(&namespace("shared/a/b")));
        assert!(!prefix("shared/a").covers(&namespace("shared/ab")));
        assert!(!prefix("shared/a").covers(&namespace("shared/a-b")));
        assert!(prefix("shared").covers(&namespace("shared/ab")));
        assert!(!prefix("shared/a/b").covers(&namespace("shared/a")));
    }

    #[test]
    fn a_suffix_matches_whole_segments() {
        let suffix = |text| Suffix::parse(text, &Limits::default()).unwrap();
        for end in ["", "c", "b/c", "shared/b/c"] {
            assert!(suffix(end).ends(&namespace("shared/b/c")), "{end}");
        }
        for end in ["b", "xb/c", "x/shared/b/c"] {
            assert!(!suffix(end).ends(&namespace("shared/b/c")), "{end}");
        }
        assert!(!suffix("c").ends(&namespace("shared/bc")));
        assert!(Suffix::parse("/c", &Limits::default()).is_err());
    }

    #[test]
    fn ranges_cover_what_the_prefix_covers() {
        let names =
            ["shared/a", "shared/a/b", "shared/a/ü", "shared/ab", "shared/a-b", "shared/a0", "agents/a"];
        for p in ["shared", "shared/a", "shared/a/b", "agents"] {
            for n in names {
                let inside = prefix(p).ranges().iter().any(|r| r.contains(n));
                assert_eq!(inside, prefix(p).covers(&namespace(n)), "{p} {n}");
            }
        }
    }

    #[test]
    fn ranges_of_several_prefixes_are_sorted_and_disjoint() {
        let ranges = NamespaceRange::of(&[prefix("shared/a/b"), prefix("shared/a-b"), prefix("shared/a")]);
        assert_eq!(ranges.len(), 4);
        for pair in ranges.windows(2) {
            assert!(pair[0].end.as_ref().is_some_and(|end| *end <= pair[1].start), "{pair:?}");
        }
    }

    #[test]
    fn malformed_paths_are_refused() {
        let long = format!("shared/{}", "x".repeat(129));
        let deep = format!("shared{}", "/x".repeat(16));
        for bad in [
            "",
            "shared",
            "other/x",
            "/shared/x",
            "shared//x",
            "shared/x/",
            "shared/ x",
            "shared/a\u{7}",
            &long,
            &deep,
        ] {
            assert!(Namespace::parse(bad, &Limits::default()).is_err(), "{bad:?}");
        }
        assert!(Namespace::parse(&format!("shared{}", "/x".repeat(15)), &Limits::default()).is_ok());
    }

    #[test]
    fn a_namespace_is_cut_by_segments() {
        let n = namespace("shared/a/b");
        assert_eq!(
            (n.cut(1), n.cut(2), n.cut(3), n.cut(9)),
            ("shared", "shared/a", "shared/a/b", "shared/a/b")
        );
    }
}
