//! Calls of all methods in any order, with messages made field by field, by several agents, as time passes. What answers
//! gave out is used by later calls, whole, broken or in the wrong place.

use std::time::Duration;

use prost::Message as _;
use swarmem::wire::v1;
use tonic::Code;

use super::{
    schema::{Method, Schema},
    server::{self, Headers, Server},
    source::Source,
    words::Words,
};

/// Calls of one input.
const CALLS_MAX: usize = 24;
/// Messages of one call.
const MESSAGES_MAX: usize = 4;
const CALLERS: [(&str, &str); 6] = [
    ("boss", "orchestrator"),
    ("boss", "agent"),
    ("b", "agent"),
    ("b", "observer"),
    ("c", "orchestrator"),
    ("boss", "observer"),
];

/// Takes the input as a program of calls.
pub fn check(input: &[u8]) {
    let source = &mut Source::new(input);
    server::with(|server| {
        let mut words = Words::default();
        for _ in 0..CALLS_MAX {
            if source.is_empty() {
                break;
            }
            step(server, source, &mut words);
        }
    });
}

fn step(server: &Server, source: &mut Source<'_>, words: &mut Words) {
    match source.byte() {
        250.. => server.advance(Duration::from_secs(source.number() % 100_000)),
        240..250 => broken(server, source, words),
        _ => call(server, Schema::get().method_of(source.array()), source, words),
    }
}

fn call(server: &Server, method: &Method, source: &mut Source<'_>, words: &mut Words) {
    let schema = Schema::get();
    let who = source.byte();
    let (agent, role) = CALLERS[usize::from(who) % CALLERS.len()];
    let mut headers = server::headers(agent, role);
    if who > 240 {
        headers.push(("grpc-timeout", source.pick(&["1n", "6m", "1S", "99999999H"]).into()));
    }
    let count = if method.is_client_streaming { 1 + source.below(MESSAGES_MAX) } else { 1 };
    let messages: Vec<_> = (0..count).map(|_| schema.message(&method.input, source, words)).collect();
    let answer = server.call(method, &headers, &messages);
    if who <= 240 {
        let why = "there was time enough";
        assert_ne!(answer.status.code(), Code::DeadlineExceeded, "{} {messages:?}: {why}", method.path);
    }
    if method.is_own {
        for message in &answer.messages {
            let seen = schema.texts(&method.output, message, &mut |field, text| words.keep(field, text));
            seen.expect("was looked at already");
        }
    }
}

/// A token that was given out is refused once a bit of it is flipped, and where another kind is meant.
fn broken(server: &Server, source: &mut Source<'_>, words: &Words) {
    let tokens = words.given_out("token");
    let pages = words.given_out("next_page_token");
    let boss = server::headers("boss", "orchestrator");
    if !tokens.is_empty() {
        let token = &tokens[source.below(tokens.len())];
        refused(server, &boss, "page_token", token);
        refused(server, &boss, "token", &flipped(token, source));
    }
    if !pages.is_empty() {
        let page = &pages[source.below(pages.len())];
        refused(server, &boss, "token", page);
        refused(server, &boss, "page_token", &flipped(page, source));
    }
}

/// The token with one bit changed; it stays text.
fn flipped(token: &str, source: &mut Source<'_>) -> String {
    let mut bytes = token.as_bytes().to_vec();
    let at = source.number() as usize % (7 * bytes.len());
    bytes[at / 7] ^= 1 << (at % 7);
    String::from_utf8(bytes).expect("seven bits are ASCII")
}

/// No method takes the text as a token of this kind.
fn refused(server: &Server, headers: &Headers, field: &str, text: &str) {
    let (swarm, token) = (String::from("default"), String::from(text));
    let level = v1::consistency::Level::AtLeast.into();
    let consistency = Some(v1::Consistency { level, token: token.clone(), revision: 0 });
    let path = |method: &str| Schema::get().method(&format!("/swarmem.v1.{method}"));
    let calls = if field == "page_token" {
        let (namespace, key) = (String::from("shared/a"), String::from("k"));
        let list = v1::ListRequest { swarm: swarm.clone(), page_token: token.clone(), ..Default::default() };
        let history = v1::HistoryRequest {
            swarm: swarm.clone(),
            namespace,
            key,
            page_token: token.clone(),
            page_size: 0,
        };
        let namespaces = v1::ListNamespacesRequest { swarm, page_token: token.clone(), ..Default::default() };
        let swarms = v1::ListSwarmsRequest { page_token: token, page_size: 0 };
        vec![
            (path("MemoryService/List"), list.encode_to_vec()),
            (path("MemoryService/History"), history.encode_to_vec()),
            (path("MemoryService/ListNamespaces"), namespaces.encode_to_vec()),
            (path("SwarmService/ListSwarms"), swarms.encode_to_vec()),
        ]
    } else {
        let list = v1::ListRequest { swarm: swarm.clone(), consistency, ..Default::default() };
        let start = Some(v1::watch_request::Start::Token(token));
        let watch = v1::WatchRequest { swarm, start, ..Default::default() };
        vec![
            (path("MemoryService/List"), list.encode_to_vec()),
            (path("WatchService/Watch"), watch.encode_to_vec()),
        ]
    };
    for (method, message) in calls {
        let answer = server.call(method, headers, &[message]);
        let code = answer.status.code();
        // The swarm may have been deleted.
        let is_refused = matches!(code, Code::InvalidArgument | Code::NotFound);
        assert!(is_refused, "{} took {text} as its {field}: {code:?}", method.path);
    }
}

/// What the corpus begins with: each method alone and with all its fields, then some one after the other.
pub fn seeds() -> Vec<Vec<u8>> {
    let schema = Schema::get();
    let start = |path: &str| [&[0][..], &schema.method(path).bytes()].concat();
    let plain = |method: &str| [start(&format!("/swarmem.v1.MemoryService/{method}")), vec![0; 30]].concat();
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for method in &schema.methods {
        for choices in [&[0; 1][..], &[130; 80]] {
            seeds.push([&plain("Put"), &start(&method.path), choices].concat());
        }
    }
    // A put, a listing in pages, its token and page token where they do not belong.
    let broken = vec![240, 0, 0, 1, 1, 241, 3, 3, 3];
    seeds.push([plain("Put"), plain("List"), broken].concat());
    // Reflection repeats the name it does not know, which here is long.
    let reflection = start("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    seeds.push([&reflection[..], &[0, 0, 100, 0, 0, 192, 5, 1, 2]].concat());
    seeds
}
