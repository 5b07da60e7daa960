//! Names and paths: what is accepted is what the protocol says, comes back unchanged, and a prefix means whole segments.

use swarmem::domain::{
    limits::Limits,
    namespace::{AgentId, Key, Namespace, NamespaceRange, Prefix, Suffix},
    swarm::SwarmId,
};

/// Texts that are compared with one another, at most.
const TEXTS_MAX: usize = 4;

/// Takes the input as texts with zero bytes between them.
pub fn check(input: &[u8]) {
    let texts: Vec<_> = input.split(|&byte| byte == 0).take(TEXTS_MAX).map(String::from_utf8_lossy).collect();
    for text in &texts {
        alone(text);
    }
    let limits = Limits::default();
    let namespaces: Vec<_> = texts.iter().filter_map(|t| Namespace::parse(t, &limits).ok()).collect();
    let prefixes: Vec<_> = texts.iter().filter_map(|t| Prefix::parse(t, &limits).ok()).collect();
    let suffixes: Vec<_> = texts.iter().filter_map(|t| Some((t, Suffix::parse(t, &limits).ok()?))).collect();
    for namespace in &namespaces {
        let segments: Vec<&str> = namespace.as_str().split('/').collect();
        for prefix in &prefixes {
            let covers = segments.starts_with(&prefix.segments().collect::<Vec<_>>());
            assert_eq!(prefix.covers(namespace), covers, "{prefix:?} covers {namespace:?}");
            let ranges = prefix.ranges();
            let ranged = ranges.iter().filter(|range| range.contains(namespace.as_str())).count();
            assert_eq!(ranged, usize::from(covers), "{ranges:?} hold {namespace:?}");
        }
        for (text, suffix) in &suffixes {
            let ends = text.is_empty() || segments.ends_with(&text.split('/').collect::<Vec<_>>());
            assert_eq!(suffix.ends(namespace), ends, "{text:?} ends {namespace:?}");
        }
    }
    several(&prefixes, &namespaces);
}

fn alone(text: &str) {
    let limits = Limits::default();
    let segments: Vec<&str> = text.split('/').collect();
    let are_segments = segments.len() <= 16 && segments.iter().all(|s| is_segment(s));
    let rooted = are_segments && ["agents", "shared"].contains(&segments[0]);

    let prefix = Prefix::parse(text, &limits);
    assert_eq!(prefix.is_ok(), rooted, "prefix {text:?}: {prefix:?}");
    if let Ok(prefix) = prefix {
        assert_eq!(prefix.as_str(), text);
        assert_eq!(prefix.segments().collect::<Vec<_>>(), segments);
        assert!(prefix.contains(&prefix));
    }
    let namespace = Namespace::parse(text, &limits);
    assert_eq!(namespace.is_ok(), rooted && segments.len() >= 2, "namespace {text:?}: {namespace:?}");
    if let Ok(namespace) = namespace {
        assert_eq!(namespace.as_str(), text);
        assert_eq!(namespace.segments().collect::<Vec<_>>(), segments);
        for depth in 1..=17 {
            assert_eq!(namespace.cut(depth), segments[..depth.min(segments.len())].join("/"));
        }
    }
    let suffix = Suffix::parse(text, &limits);
    assert_eq!(suffix.is_ok(), text.is_empty() || are_segments, "suffix {text:?}: {suffix:?}");

    let key = Key::parse(text, &limits);
    let is_key = (1..=512).contains(&text.len()) && !text.chars().any(char::is_control);
    assert_eq!(key.is_ok(), is_key, "key {text:?}: {key:?}");
    assert!(key.is_ok_and(|key| key.as_str() == text) || !is_key);

    let agent = AgentId::parse(text, &limits);
    assert_eq!(agent.is_ok(), is_segment(text), "agent {text:?}: {agent:?}");
    if let Ok(agent) = agent {
        assert_eq!(agent.as_str(), text);
        let own = Prefix::of_agent(&agent);
        assert_eq!(Prefix::parse(own.as_str(), &limits), Ok(own));
    }
    let swarm = SwarmId::parse(text);
    let is_swarm = (1..=63).contains(&text.len())
        && text.chars().all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_'));
    assert_eq!(swarm.is_ok(), is_swarm, "swarm {text:?}: {swarm:?}");
    assert!(swarm.is_ok_and(|swarm| swarm.as_str() == text) || !is_swarm);
}

/// A segment as the protocol describes it.
fn is_segment(text: &str) -> bool {
    let ends = [text.chars().next(), text.chars().next_back()];
    (1..=128).contains(&text.len())
        && !text.chars().any(|c| c == '/' || c.is_control())
        && !ends.into_iter().flatten().any(char::is_whitespace)
}

/// The ranges of several prefixes hold what one of the prefixes covers, each namespace once.
fn several(prefixes: &[Prefix], namespaces: &[Namespace]) {
    let ranges = NamespaceRange::of(prefixes);
    for pair in ranges.windows(2) {
        assert!(pair[0].end.as_ref().is_some_and(|end| *end <= pair[1].start), "{prefixes:?}: {ranges:?}");
    }
    for namespace in namespaces {
        let covered = prefixes.iter().any(|prefix| prefix.covers(namespace));
        let held = ranges.iter().filter(|range| range.contains(namespace.as_str())).count();
        assert_eq!(held, usize::from(covered), "{prefixes:?}: {ranges:?} hold {namespace:?}");
    }
}

/// What the corpus begins with.
pub fn seeds() -> Vec<Vec<u8>> {
    let deep = format!("shared{}", "/x".repeat(15));
    let long = format!("agents/{}", "y".repeat(128));
    [
        "shared/a\0shared/a/b\0shared/a-b\0shared",
        "agents/boss/notes\0agents/boss\0agents\0notes",
        "shared/\u{fc}\0\u{fc}\0shared/a0\0shared/a",
        "default\0a key with / and spaces\0 shared/x\0shared//x",
        "shared/a\u{7}\0shared/x /y\0agents/\0\u{2003}",
        &deep,
        &long,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
