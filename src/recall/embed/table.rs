//! The vectors of the built-in model's tokens. Knows no text.

use safetensors::SafeTensors;

use super::DIMENSIONS;

/// A row of steps and their size for each token.
pub(super) struct Table {
    rows: Vec<[i8; DIMENSIONS]>,
    scales: Vec<f32>,
}

impl Table {
    /// Reads `embedding` (I8, tokens by dimensions) and `scale` (F32, tokens).
    pub fn read(file: &[u8]) -> Self {
        let built_in = "the table that is built in is whole";
        let tensors = SafeTensors::deserialize(file).expect(built_in);
        let rows = tensors.tensor("embedding").expect(built_in);
        let scales = tensors.tensor("scale").expect(built_in);
        let (rows, rest) = rows.data().as_chunks::<DIMENSIONS>();
        let scales = scales.data().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let table = Self {
            rows: rows.iter().map(|row| row.map(u8::cast_signed)).collect(),
            scales: scales.collect(),
        };
        assert!(rest.is_empty() && table.rows.len() == table.scales.len(), "{built_in}");
        table
    }

    /// Adds a token's vector. Of tokens that mean nothing it is zero.
    pub fn add(&self, token: u32, sum: &mut [f32; DIMENSIONS]) {
        let Some((row, scale)) = self.rows.get(token as usize).zip(self.scales.get(token as usize)) else {
            return;
        };
        for (sum, step) in sum.iter_mut().zip(row) {
            *sum += f32::from(*step) * scale;
        }
    }
}
