//! What writers ask for, drawn at random from what they know. Knows nothing of answers.

use std::time::Duration;

use super::{
    super::record::{Compare, Condition, Freshness, Kind, Name, Operation, Request, Write},
    Known,
};
use crate::crash::random::Random;

const HOT_KEYS: u64 = 4;
const OWN_KEYS: u64 = 6;
const TAGS: [&str; 3] = ["red", "green", "blue"];

/// Draws requests for one writer.
pub struct Asking {
    pub number: usize,
    pub random: Random,
    pub ttl_max: Duration,
    /// Writes so far, for their names.
    count: u64,
    /// Puts so far of the write in the making.
    part: u64,
    /// Lately asked for, to be asked for again.
    recent: Vec<Write>,
}

impl Asking {
    pub fn new(number: usize, random: Random, ttl_max: Duration) -> Self {
        Self { number, random, ttl_max, count: 0, part: 0, recent: Vec::new() }
    }

    pub fn agent(&self) -> String {
        format!("w{}", self.number)
    }

    /// The next thing to ask.
    pub fn next(&mut self, known: &Known) -> Request {
        let write = match self.random.below(100) {
            0..=21 => {
                let put = self.put(known, Allowed::Everything);
                self.write(Kind::Put, vec![put])
            }
            22..=31 => {
                let name = self.name();
                let only = self.condition(&name, known);
                self.write(Kind::Delete, vec![Operation::Delete { name, only }])
            }
            32..=46 => {
                let puts = self.puts(known);
                self.write(Kind::BatchPut, puts)
            }
            47..=61 => self.transaction(known),
            62..=65 => {
                let prefix = format!("shared/w{}", self.random.below(self.number as u64 + 1));
                self.write(Kind::DeletePrefix, vec![Operation::DeletePrefix { prefix }])
            }
            66..=71 if !self.recent.is_empty() => return Request::Write(self.recent()),
            72..=74 if !self.recent.is_empty() => {
                // Another body under an id that is taken.
                let Write { request_id, .. } = self.recent();
                let put = self.put(known, Allowed::Everything);
                Write { request_id, ..self.write(Kind::Put, vec![put]) }
            }
            _ => return self.read(known),
        };
        self.recent.push(write.clone());
        if self.recent.len() > 8 {
            self.recent.remove(0);
        }
        Request::Write(write)
    }

    fn recent(&mut self) -> Write {
        let index = self.random.below(self.recent.len() as u64) as usize;
        self.recent[index].clone()
    }

    fn write(&mut self, kind: Kind, success: Vec<Operation>) -> Write {
        self.count += 1;
        self.part = 0;
        let request_id = format!("{}-{}", self.agent(), self.count);
        Write { request_id, kind, compares: Vec::new(), success, failure: Vec::new() }
    }

    fn name(&mut self) -> Name {
        let (namespace, keys) = match self.random.below(10) {
            0..=4 => ("shared/hot".to_owned(), HOT_KEYS),
            5..=7 => (format!("shared/w{}", self.number), OWN_KEYS),
            8 => (format!("shared/w{}/deep", self.number), OWN_KEYS),
            _ => (format!("agents/w{}", self.number), OWN_KEYS),
        };
        Name { namespace, key: format!("k{}", self.random.below(keys)) }
    }

    fn condition(&mut self, name: &Name, known: &Known) -> Condition {
        match (self.random.below(10), known.etags.get(name)) {
            (0..=2, Some(etag)) => Condition::Etag(etag.clone()),
            (3, _) => Condition::Absent,
            (4, _) => Condition::Exists,
            _ => Condition::Always,
        }
    }

    fn content(&mut self) -> String {
        self.part += 1;
        let long = "x".repeat(self.random.below(120) as usize);
        format!("{}-{}.{} {long}", self.agent(), self.count + 1, self.part)
    }

    fn put(&mut self, known: &Known, allowed: Allowed) -> Operation {
        let name = self.name();
        let ttl = Duration::from_millis(1) + self.ttl_max.mul_f64(self.random.below(100) as f64 / 100.0);
        let ttl_us = u64::try_from(ttl.as_micros()).ok().filter(|_| self.random.below(8) == 0);
        let only = match allowed {
            Allowed::Everything => self.condition(&name, known),
            Allowed::NoCondition => Condition::Always,
        };
        let mut tags: Vec<_> =
            TAGS.iter().filter(|_| self.random.below(3) == 0).map(|&t| t.to_owned()).collect();
        tags.sort();
        Operation::Put { name, content: self.content(), tags, ttl_us, only }
    }

    /// Several, each of another entry; few of them on condition, or none would ever be done.
    fn puts(&mut self, known: &Known) -> Vec<Operation> {
        let mut puts: Vec<Operation> = Vec::new();
        for _ in 0..2 + self.random.below(5) {
            let allowed = match self.random.below(4) {
                0 => Allowed::Everything,
                _ => Allowed::NoCondition,
            };
            let put = self.put(known, allowed);
            let name_of = |operation: &Operation| match operation {
                Operation::Put { name, .. } => name.clone(),
                other => panic!("{other:?} is no put"),
            };
            if !puts.iter().any(|other| name_of(other) == name_of(&put)) {
                puts.push(put);
            }
        }
        puts
    }

    fn transaction(&mut self, known: &Known) -> Write {
        let name = self.name();
        let compare = match (self.random.below(5), known.etags.get(&name), known.contents.get(&name)) {
            (0, Some(etag), _) => Compare::Etag(name.clone(), etag.clone()),
            (1, _, Some(content)) => Compare::Content(name.clone(), content.clone()),
            (2, ..) => Compare::Version(name.clone(), 1 + self.random.below(4)),
            (3, ..) => Compare::Below(format!("shared/w{}", self.number), self.random.below(2) == 0),
            _ => Compare::Exists(name.clone(), self.random.below(2) == 0),
        };
        let mut success = self.puts(known);
        let other = Name { key: "other".into(), ..name.clone() };
        success.push(Operation::Get { name: name.clone() });
        success.push(Operation::Delete { name: other, only: Condition::Always });
        let failure = match self.random.below(2) {
            0 => vec![Operation::Get { name }],
            _ => vec![self.put(known, Allowed::NoCondition), Operation::Get { name }],
        };
        Write { compares: vec![compare], failure, ..self.write(Kind::Transact, success) }
    }

    fn read(&mut self, known: &Known) -> Request {
        let token = match known.tokens.len() {
            0 => None,
            count => Some(known.tokens[count - 1 - self.random.below(count.min(8) as u64) as usize].clone()),
        };
        let freshness = match (self.random.below(6), token) {
            (0..=2, Some(token)) => Freshness::AtLeast(token),
            (3, _) => Freshness::Stale,
            (4, _) if known.newest > 0 => {
                Freshness::Exact(known.newest - self.random.below(known.newest.min(3)))
            }
            _ => Freshness::Strong,
        };
        if self.random.below(6) == 0 {
            let filter = super::watching::filter(&mut self.random, None);
            return Request::List { filter, freshness };
        }
        let names = (0..1 + self.random.below(4)).map(|_| self.name()).collect();
        Request::Get { names, freshness }
    }
}

#[derive(Clone, Copy)]
enum Allowed {
    Everything,
    NoCondition,
}
