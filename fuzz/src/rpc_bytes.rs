//! Any bytes to any method: a message or none, whole frames or not, with any headers.

use super::{
    schema::Schema,
    server::{self, Headers},
    source::Source,
};

/// Headers that mean something.
const NAMES: [&str; 8] = [
    "swarmem-agent",
    "swarmem-role",
    "swarmem-agent-bin",
    "swarmem-swarm",
    "grpc-timeout",
    "grpc-encoding",
    "grpc-accept-encoding",
    "x-other",
];
const VALUES: [&str; 8] = ["boss", "agent", "default", "orchestrator", "observer", "1n", "99999999H", "gzip"];

/// The first two bytes say which method, the third how it is called: the rest is the message, or the frames.
pub fn check(input: &[u8]) {
    let source = &mut Source::new(input);
    let method = Schema::get().method_of(source.array());
    let how = source.byte();
    let path = match how {
        0..252 => &method.path,
        252..254 => "/swarmem.v1.MemoryService/None",
        254.. => "/none",
    };
    let headers = if how & 1 == 0 { server::headers("boss", "orchestrator") } else { chosen(source) };
    let is_framed = how & 2 == 0;
    let body = source.rest();
    server::with(|server| {
        let body = if is_framed {
            [&[0], &u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes()[..], body].concat()
        } else {
            body.to_vec()
        };
        server.send(path, &headers, body);
    });
}

fn chosen(source: &mut Source<'_>) -> Headers {
    (0..source.below(6))
        .map(|_| {
            let name = source.pick(&NAMES);
            let value = if source.flag() { source.bytes().to_vec() } else { source.pick(&VALUES).into() };
            (name, value)
        })
        .collect()
}

/// What the corpus begins with: a plain message of each method, and broken frames.
pub fn seeds() -> Vec<Vec<u8>> {
    let schema = Schema::get();
    let words = Default::default();
    let put = schema.method("/swarmem.v1.MemoryService/Put").bytes();
    let to_put = |rest: &[u8]| [&put, rest].concat();
    let mut seeds = vec![
        to_put(&[2, 1, 0, 0, 0, 0]),
        to_put(&[2, 0, 0, 0, 0, 9, 1]),
        to_put(&[2, 0, 255, 255, 255, 255]),
        to_put(&[2]),
        to_put(&[1, 3, 0, 0, 0, 1, 0, 3, 2, 0, 3]),
        to_put(&[1, 2, 4, 0, 5, 5, 0, 7]),
        to_put(&[252]),
        to_put(&[254]),
    ];
    for method in &schema.methods {
        for choices in [&[][..], &[100; 40], &[130; 80]] {
            let message = schema.message(&method.input, &mut Source::new(choices), &words);
            seeds.push([&method.bytes()[..], &[0], &message].concat());
        }
    }
    seeds
}
