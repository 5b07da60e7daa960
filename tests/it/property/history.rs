//! Random histories, in words that shrink well. Knows no store.

use proptest::{collection::vec, option, prelude::*, sample::select};

/// Neighbours in byte order that are no neighbours as paths.
pub const NAMESPACES: [&str; 5] = ["shared/a", "shared/a-b", "shared/a/b", "shared/a0", "shared/ab"];
/// Prefixes to delete and compare below.
pub const PREFIXES: [&str; 4] = ["shared", "shared/a", "shared/a/b", "shared/ab"];
/// Few, so that they meet.
pub const KEYS: [&str; 3] = ["k", "kk", "ü"];

/// One step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    /// Requests that are committed together.
    Commit(Vec<Ask>),
    /// The clock moves on by so many seconds,
    Advance(u64),
    /// or jumps back.
    JumpBack(u64),
    /// The floor is raised to so many revisions behind the newest, a few rows at a time.
    Compact { behind: u64, rows_max: usize, steps: usize },
    /// Old outcomes are removed.
    Purge { rows_max: usize },
    /// What is due is expired, as the coordinator does it.
    ExpireDue { limit: usize },
    /// The swarm is deleted and created again.
    Recreate,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Under one of a few ids, with a digest.
    pub id: Option<(u8, u8)>,
    pub compares: Vec<Probe>,
    pub success: Vec<Act>,
    pub failure: Vec<Act>,
}

/// One operation.
#[derive(Clone, Debug)]
pub enum Act {
    Put { at: Place, content: String, ttl_seconds: Option<u64>, only: Only },
    Delete { at: Place, only: Only },
    DeleteBelow { prefix: &'static str, limit: Option<usize> },
    Get { at: Place },
    Expire { at: Place },
}

/// A namespace and a key, by number.
pub type Place = (usize, usize);

/// A condition.
#[derive(Clone, Copy, Debug)]
pub enum Only {
    Always,
    IfAbsent,
    IfThere,
    /// The etag that the entry has, or had so many revisions ago.
    IfEtag {
        versions_ago: usize,
    },
}

/// A comparison.
#[derive(Clone, Debug)]
pub enum Probe {
    There(Place, bool),
    Content(Place, String),
    Version(Place, u64),
    NoneBelow(&'static str),
    OldBelow(&'static str, u64),
}

/// A history of up to 24 steps.
pub fn history() -> impl Strategy<Value = Vec<Step>> {
    vec(step(), 1..24)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => vec(ask(), 1..6).prop_map(Step::Commit),
        3 => select(vec![1, 4, 5, 3_600, 86_399, 86_400]).prop_map(Step::Advance),
        1 => select(vec![1, 5, 90_000]).prop_map(Step::JumpBack),
        3 => (0..6_u64, 1..5_usize, 1..6_usize)
            .prop_map(|(behind, rows_max, steps)| Step::Compact { behind, rows_max, steps }),
        1 => (1..4_usize).prop_map(|rows_max| Step::Purge { rows_max }),
        2 => (1..4_usize).prop_map(|limit| Step::ExpireDue { limit }),
        1 => Just(Step::Recreate),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let id = option::weighted(0.3, (0..4_u8, 0..2_u8));
    let compares = prop_oneof![3 => Just(Vec::new()), 2 => vec(probe(), 1..3)];
    (id, compares, vec(act(), 1..5), vec(act(), 0..3)).prop_map(|(id, compares, success, failure)| Ask {
        id,
        compares,
        success,
        failure,
    })
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (place(), content(), option::weighted(0.4, select(vec![1_u64, 5, 10, 4_000])), only())
            .prop_map(|(at, content, ttl_seconds, only)| Act::Put { at, content, ttl_seconds, only }),
        3 => (place(), only()).prop_map(|(at, only)| Act::Delete { at, only }),
        1 => (select(PREFIXES.to_vec()), option::of(1..4_usize))
            .prop_map(|(prefix, limit)| Act::DeleteBelow { prefix, limit }),
        1 => place().prop_map(|at| Act::Get { at }),
        1 => place().prop_map(|at| Act::Expire { at }),
    ]
}

/// Often one of three, so that changes of the same entry follow each other.
fn place() -> impl Strategy<Value = Place> {
    prop_oneof![(0..3_usize, 0..1_usize), (0..NAMESPACES.len(), 0..KEYS.len())]
}

fn content() -> impl Strategy<Value = String> {
    select(vec!["", "a", "ü", "long enough to matter"]).prop_map(str::to_owned)
}

fn only() -> impl Strategy<Value = Only> {
    prop_oneof![
        8 => Just(Only::Always),
        1 => Just(Only::IfAbsent),
        1 => Just(Only::IfThere),
        2 => (0..3_usize).prop_map(|versions_ago| Only::IfEtag { versions_ago }),
    ]
}

fn probe() -> impl Strategy<Value = Probe> {
    prop_oneof![
        3 => (place(), any::<bool>()).prop_map(|(at, there)| Probe::There(at, there)),
        1 => (place(), content()).prop_map(|(at, content)| Probe::Content(at, content)),
        1 => (place(), 0..4_u64).prop_map(|(at, version)| Probe::Version(at, version)),
        1 => select(PREFIXES.to_vec()).prop_map(Probe::NoneBelow),
        1 => (select(PREFIXES.to_vec()), 0..9_u64).prop_map(|(prefix, r)| Probe::OldBelow(prefix, r)),
    ]
}
