//! What Redis sends to a subscriber, frame by frame (RESP3), with messages dropped, repeated and reordered on the way. Knows no message.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::crash::random::Random;

/// Whether messages are meddled with, and how many were.
#[derive(Default)]
pub struct Meddling {
    pub on: AtomicBool,
    pub dropped: AtomicU64,
    pub repeated: AtomicU64,
    pub reordered: AtomicU64,
}

impl Meddling {
    /// How many messages were dropped, repeated and reordered.
    pub fn counts(&self) -> [u64; 3] {
        [&self.dropped, &self.repeated, &self.reordered].map(|count| count.load(Ordering::SeqCst))
    }
}

/// One connection's answers.
pub struct Pushes {
    meddling: Arc<Meddling>,
    random: Random,
    /// Of a frame that is not whole yet.
    rest: Vec<u8>,
    /// A message that lets others go first.
    held: Vec<u8>,
}

impl Pushes {
    pub fn new(meddling: Arc<Meddling>, random: Random) -> Self {
        Self { meddling, random, rest: Vec::new(), held: Vec::new() }
    }

    /// What travels on of the next bytes: whole frames.
    pub fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.rest.extend(bytes);
        let (rest, mut passed) = (std::mem::take(&mut self.rest), Vec::with_capacity(bytes.len()));
        let mut left = &rest[..];
        while let Some(length) = frame(left) {
            let (frame, behind) = left.split_at(length);
            left = behind;
            if is_message(frame) && self.meddling.on.load(Ordering::SeqCst) {
                self.meddle(frame, &mut passed);
            } else {
                passed.extend(frame);
            }
        }
        self.rest = left.to_vec();
        passed
    }

    fn meddle(&mut self, message: &[u8], passed: &mut Vec<u8>) {
        let count = |of: &AtomicU64| {
            of.fetch_add(1, Ordering::SeqCst);
        };
        match self.random.below(6) {
            0 | 1 => count(&self.meddling.dropped),
            2 => {
                passed.extend([message, message].concat());
                count(&self.meddling.repeated);
            }
            3 if self.held.is_empty() => self.held = message.to_vec(),
            _ => {
                passed.extend(message);
                if !self.held.is_empty() {
                    passed.append(&mut self.held);
                    count(&self.meddling.reordered);
                }
            }
        }
    }
}

/// The length of the first frame, if it is whole.
fn frame(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|pair| pair == b"\r\n")? + 2;
    let number = || std::str::from_utf8(&bytes[1..line - 2]).unwrap().parse::<i64>().unwrap();
    let parts = match bytes[0] {
        b'$' | b'=' | b'!' => {
            // What is not there has no length.
            let Ok(length) = usize::try_from(number()) else { return Some(line) };
            return (bytes.len() >= line + length + 2).then_some(line + length + 2);
        }
        b'*' | b'~' | b'>' => number().max(0),
        b'%' | b'|' => 2 * number(),
        _ => 0,
    };
    let mut length = line;
    for _ in 0..parts {
        length += frame(&bytes[length..])?;
    }
    Some(length)
}

fn is_message(frame: &[u8]) -> bool {
    [&b">3\r\n$7\r\nmessage\r\n"[..], &b">3\r\n$8\r\nsmessage\r\n"[..]]
        .iter()
        .any(|begin| frame.starts_with(begin))
}

#[test]
fn frames_are_told_apart_wherever_they_are_cut() {
    let message = b">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$4\r\na\r\nb\r\n";
    let others = b"+OK\r\n$-1\r\n%1\r\n+k\r\n*2\r\n:1\r\n_\r\n>2\r\n+subscribe\r\n:1\r\n";
    let all = [&others[..], message, others, message].concat();
    for cut in 0..all.len() {
        let mut pushes = Pushes::new(Arc::default(), Random::seeded(1));
        let passed = [pushes.pass(&all[..cut]), pushes.pass(&all[cut..])].concat();
        assert_eq!(passed, all);
    }
    assert!(is_message(message));
    // The same with every message dropped or held back in the end.
    let meddling = Arc::<Meddling>::default();
    meddling.on.store(true, Ordering::SeqCst);
    let mut pushes = Pushes::new(Arc::clone(&meddling), Random::seeded(1));
    for _ in 0..100 {
        pushes.pass(message);
    }
    let counts = meddling.counts();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}
