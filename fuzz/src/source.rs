//! Choices read from the bytes of an input. Knows nothing of what is chosen.
//!
//! Past the end everything is zero, and zero is always the plainest choice: an input can be cut anywhere.

/// The bytes that are left.
#[derive(Clone, Debug)]
pub struct Source<'a>(&'a [u8]);

impl<'a> Source<'a> {
    /// Reads from `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Whether all bytes are used.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    /// Yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// 0 to `end` - 1, and 0 if `end` is 0. `end` is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// So many bytes, zeros where they end.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte())
    }

    /// A number: mostly one at which something changes.
    pub fn number(&mut self) -> u64 {
        const EDGES: [u64; 20] = [
            0,
            1,
            2,
            3,
            7,
            63,
            64,
            65,
            100,
            1_000,
            1_001,
            10_000,
            10_001,
            999_999_999,
            1_000_000_000,
            u32::MAX as u64,
            1 << 53,
            i64::MAX as u64,
            i64::MIN as u64,
            u64::MAX,
        ];
        match self.byte() {
            choice if usize::from(choice) < 2 * EDGES.len() => EDGES[usize::from(choice) % EDGES.len()],
            choice if choice < 128 => u64::from(self.byte()),
            _ => u64::from_le_bytes(self.array()),
        }
    }

    /// Up to 255 bytes: their number, then the bytes.
    pub fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    /// Up to 255 bytes as text; what is no UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
