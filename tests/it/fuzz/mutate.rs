//! Inputs made from other inputs by chance, the same for the same seed. Knows nothing of what they mean.

/// Changes of one input, at most.
const CHANGES_MAX: usize = 6;
/// Bytes of an input that is not made from another.
const FRESH_BYTES_MAX: usize = 160;

/// A source of inputs.
#[derive(Clone, Debug)]
pub struct Mutator(u64);

impl Mutator {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `end` - 1, and 0 if `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[0]).collect()
    }

    /// One of the corpus with changes, two of them joined, or something new.
    pub fn input(&mut self, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut input = match self.below(8) {
            0 => {
                let count = self.below(FRESH_BYTES_MAX);
                self.bytes(count)
            }
            1 => {
                let (head, tail) = (self.below(corpus.len()), self.below(corpus.len()));
                let (head, tail) = (&corpus[head], &corpus[tail]);
                let (end, start) = (self.below(head.len() + 1), self.below(tail.len() + 1));
                [&head[..end], &tail[start..]].concat()
            }
            _ => corpus[self.below(corpus.len())].clone(),
        };
        for _ in 0..self.below(CHANGES_MAX) {
            self.change(&mut input);
        }
        input
    }

    /// Changes, drops, repeats or inserts something.
    pub fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let count = self.below(8).min(bytes.len() - at);
        match self.below(6) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = self.next().to_le_bytes()[0],
            2 => drop(bytes.drain(at..at + count)),
            3 => bytes.truncate(at),
            4 => {
                let part = bytes[at..at + count].to_vec();
                bytes.splice(at..at, part);
            }
            _ => {
                let new = self.bytes(count);
                bytes.splice(at..at, new);
            }
        }
    }
}
