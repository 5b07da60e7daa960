//! Random histories, and a second, plainer statement of what a filter means. Knows nothing of streams.

use std::sync::Arc;

use bytes::Bytes;
use swarmem::{
    coordinator::Encode,
    domain::{
        access::{Principal, Role},
        attributes::Attributes,
        entry::{Body, Change, Kind, Tags, Version},
        limits::Limits,
        namespace::{AgentId, EntryPath, Key, Namespace, Prefix},
        position::Arguments,
        query::{AttributeCondition, Filter, Operator},
        request::{Condition, Operation, Request},
        time::Expiry,
    },
};

/// A small generator, the same sequence for the same seed on every machine (SplitMix64).
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Runs a case for several seeds; on failure the seed is printed.
pub async fn for_seeds<F: Future<Output = ()>>(seeds: u64, case: impl Fn(Rng) -> F) {
    struct Say(u64);
    impl Drop for Say {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("seed {}", self.0);
            }
        }
    }
    for seed in 0..seeds {
        let _say = Say(seed);
        case(Rng(seed)).await;
    }
}

/// Some are string prefixes of others without being segment prefixes.
const NAMESPACES: [&str; 9] = [
    "shared/a",
    "shared/a/b",
    "shared/a-b",
    "shared/ab",
    "shared/ab/c",
    "agents/ann",
    "agents/ann/x",
    "agents/anna",
    "agents/bob/x",
];
const KEYS: [&str; 4] = ["1", "2", "3", "k/4"];
const TAGS: [&str; 3] = ["red", "green", "blue"];
const KINDS: [Kind; 3] = [Kind::Fact, Kind::Message, Kind::Block];
const AUTHORS: [&str; 3] = ["ann", "anna", "bob"];

pub fn agent(name: &str) -> Principal {
    Principal { agent: AgentId::trusted(name), role: Role::Agent }
}

pub fn orchestrator() -> Principal {
    Principal { agent: AgentId::trusted("boss"), role: Role::Orchestrator }
}

pub fn path(namespace: &str, key: &str) -> EntryPath {
    let limits = Limits::default();
    EntryPath {
        namespace: Namespace::parse(namespace, &limits).unwrap(),
        key: Key::parse(key, &limits).unwrap(),
    }
}

pub fn put(namespace: &str, key: &str, content: &str) -> Operation {
    let body = Body { content: content.into(), ..Body::default() };
    Operation::Put { path: path(namespace, key), body, expiry: None, condition: Condition::Always }
}

pub fn write(author: &Principal, operations: Vec<Operation>) -> Request {
    Request::write(author.agent.clone(), None, operations, &Limits::default()).unwrap()
}

fn random_put(rng: &mut Rng, namespace: &str, key: &str, content_max: usize) -> Operation {
    let limits = Limits::default();
    let tags: Vec<&str> = TAGS.into_iter().filter(|_| rng.chance(40)).collect();
    let attributes = format!("{{\"n\":{}}}", rng.below(10));
    let body = Body {
        kind: rng.pick(&KINDS),
        content: "x".repeat(rng.below(content_max)).into(),
        attributes: Attributes::parse(&attributes, &limits).unwrap(),
        tags: Tags::parse(&tags, &limits).unwrap(),
        ..Body::default()
    };
    let expiry = rng.chance(10).then(|| Expiry::After(std::time::Duration::from_secs(1 + rng.next() % 20)));
    Operation::Put { path: path(namespace, key), body, expiry, condition: Condition::Always }
}

/// A write of somebody: of one entry, of many, or of more than one response holds.
pub fn random_write(rng: &mut Rng) -> (Principal, Request) {
    // Only an orchestrator may write wherever the dice say; agents are known by name as authors all the same.
    let author = Principal { agent: AgentId::trusted(rng.pick(&AUTHORS)), role: Role::Orchestrator };
    let place = |rng: &mut Rng| (rng.pick(&NAMESPACES), rng.pick(&KEYS));
    let operations = match rng.below(10) {
        0..=4 => {
            let (namespace, key) = place(rng);
            vec![random_put(rng, namespace, key, 200)]
        }
        5..=6 => {
            let (namespace, key) = place(rng);
            vec![Operation::Delete { path: path(namespace, key), condition: Condition::Always }]
        }
        7 => {
            let prefix = rng.pick(&["shared/a", "shared/ab", "agents/ann"]);
            let prefix = Prefix::parse(prefix, &Limits::default()).unwrap();
            vec![Operation::DeletePrefix { prefix, limit: None }]
        }
        8 => (0..2 + rng.below(4)).map(|n| random_put(rng, NAMESPACES[n], "1", 100)).collect(),
        _ => {
            let all = NAMESPACES.iter().flat_map(|n| KEYS.iter().map(move |k| (*n, *k)));
            let (some, content_max) = (20 + rng.below(80) as u64, 1 + rng.below(1_500));
            let mut chosen: Vec<_> = all.filter(|_| rng.chance(some)).collect();
            if chosen.is_empty() {
                chosen.push(("shared/a", "1"));
            }
            chosen.into_iter().map(|(n, k)| random_put(rng, n, k, content_max)).collect()
        }
    };
    let request = write(&author, operations);
    (author, request)
}

/// What a watcher wants, said in the plainest way.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub prefixes: Vec<&'static str>,
    pub kinds: Vec<Kind>,
    pub tag: Option<&'static str>,
    pub author: Option<&'static str>,
    /// Attribute `n` is at least this.
    pub n_from: Option<usize>,
}

impl Wanted {
    pub fn random(rng: &mut Rng) -> Self {
        let mut wanted = Self::default();
        if rng.chance(50) {
            let all = ["shared", "shared/a", "shared/ab", "agents", "agents/ann", "agents/bob"];
            wanted.prefixes = all.into_iter().filter(|_| rng.chance(35)).collect();
        }
        match rng.below(8) {
            0 => wanted.kinds = vec![Kind::Fact, Kind::Block],
            1 => wanted.tag = Some(rng.pick(&TAGS)),
            2 => wanted.author = Some(rng.pick(&AUTHORS)),
            3 => wanted.n_from = Some(rng.below(10)),
            _ => {}
        }
        wanted
    }

    pub fn below(prefix: &'static str) -> Self {
        Self { prefixes: vec![prefix], ..Self::default() }
    }

    pub fn filter(&self) -> Filter {
        let limits = Limits::default();
        let at_least =
            |n: usize| AttributeCondition::parse("n", Operator::Gte, &n.to_string(), &limits).unwrap();
        Filter {
            prefixes: Some(self.prefixes.iter().map(|p| Prefix::parse(p, &limits).unwrap()).collect()),
            kinds: self.kinds.clone(),
            tags: self.tag.iter().map(|t| (*t).into()).collect(),
            authors: self.author.iter().map(|a| AgentId::trusted(a)).collect(),
            attributes: self.n_from.map(at_least).into_iter().collect(),
            ..Filter::default()
        }
    }

    /// Differs where the filter does.
    pub fn arguments(&self) -> Arguments {
        let text = format!("{self:?}");
        Arguments(text.bytes().fold(7, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())))
    }

    pub fn matches(&self, version: &Version) -> bool {
        let body = &version.body;
        (self.prefixes.is_empty() || self.prefixes.iter().any(|p| is_below(&version.path, p)))
            && (self.kinds.is_empty() || self.kinds.contains(&body.kind))
            && self.tag.is_none_or(|tag| body.tags.iter().any(|t| t == tag))
            && self.author.is_none_or(|author| version.author.as_str() == author)
            && self.n_from.is_none_or(|from| body.attributes.value()["n"].as_u64() >= Some(from as u64))
    }
}

pub fn is_below(path: &EntryPath, prefix: &str) -> bool {
    let wanted: Vec<_> = prefix.split('/').collect();
    let segments: Vec<_> = path.namespace.segments().collect();
    segments.starts_with(&wanted)
}

pub fn may_read(who: &Principal, path: &EntryPath) -> bool {
    let own = format!("agents/{}", who.agent.as_str());
    who.role != Role::Agent || is_below(path, "shared") || is_below(path, &own)
}

/// Events as lines of text that begin with revision and ordinal.
pub struct Plain;

impl Plain {
    fn line(version: &Version, keys_only: bool) -> String {
        let Version { mark, ordinal, change, cause, author, path, body, expire_time, .. } = version;
        let said = match keys_only {
            true => String::new(),
            false => format!("{} {}", body.attributes.as_str(), body.content),
        };
        let tags: Vec<_> = body.tags.iter().collect();
        format!(
            "{} {ordinal} {change:?} {cause:?} {} {} {} {:?} {tags:?} {} {expire_time:?} {said}",
            mark.revision,
            author.as_str(),
            path.namespace.as_str(),
            path.key.as_str(),
            body.kind,
            version.version,
        )
    }
}

impl Encode for Plain {
    fn event(&self, version: &Version, before: Option<&Version>, keys_only: bool) -> Bytes {
        let before = before.map(|b| format!(" before {}", Self::line(b, keys_only)));
        Bytes::from(Self::line(version, keys_only) + &before.unwrap_or_default())
    }

    fn entry(&self, version: &Version, keys_only: bool) -> Bytes {
        Bytes::from(Self::line(version, keys_only))
    }
}

/// The revision that an event is of.
pub fn revision_of(event: &Bytes) -> u64 {
    let text = std::str::from_utf8(event).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

/// The state after these versions: the newest put of each entry, in order.
pub fn state_after<'a>(log: impl IntoIterator<Item = &'a Arc<Version>>) -> Vec<Arc<Version>> {
    let mut state = std::collections::BTreeMap::new();
    for version in log {
        match version.change {
            Change::Put => state.insert(version.path.clone(), Arc::clone(version)),
            Change::Delete => state.remove(&version.path),
        };
    }
    state.into_values().collect()
}
