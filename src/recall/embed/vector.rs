//! A direction, in a byte per dimension. Products of two are of integers, and so the same on every machine.

/// A unit vector, quantised.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// The largest has 127.
    steps: Box<[i8]>,
    /// One by the length of the steps.
    scale: f32,
}

impl Vector {
    /// The direction of `values`; none of nothing, and of what is not finite.
    #[must_use]
    pub fn quantise(values: &[f32]) -> Option<Self> {
        let largest = values.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        if !(largest > 0.0 && values.iter().all(|value| value.is_finite())) {
            return None;
        }
        // Not through the reciprocal, which is not finite for what is nearly nothing.
        let steps: Box<[i8]> = values.iter().map(|value| (value / largest * 127.0).round() as i8).collect();
        let scale = 1.0 / (dot(&steps, &steps) as f32).sqrt();
        Some(Self { steps, scale })
    }

    /// The cosine of the angle to another of the same model.
    #[must_use]
    pub fn cosine(&self, other: &Self) -> f32 {
        dot(&self.steps, &other.steps) as f32 * (self.scale * other.scale)
    }

    /// A step per dimension.
    #[must_use]
    pub fn steps(&self) -> &[i8] {
        &self.steps
    }

    /// One by the length of the steps.
    #[must_use]
    pub fn scale(&self) -> f32 {
        self.scale
    }
}

/// The product of two directions, in steps.
#[must_use]
pub fn dot(left: &[i8], right: &[i8]) -> i32 {
    // Blocks of a fixed size become vector instructions.
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<32>(), right.as_chunks::<32>());
    let step = |(l, r): (&i8, &i8)| i32::from(i16::from(*l) * i16::from(*r));
    let blocks = left.iter().zip(right).map(|(l, r)| l.iter().zip(r).map(step).sum::<i32>());
    blocks.sum::<i32>() + left_rest.iter().zip(right_rest).map(step).sum::<i32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_direction_is_no_vector() {
        assert!(Vector::quantise(&[0.0; 70]).is_none());
        assert!(Vector::quantise(&[f32::NAN; 70]).is_none());
        let mut one = [0.0; 70];
        one[3] = f32::INFINITY;
        assert!(Vector::quantise(&one).is_none());
        one[3] = -1e-40;
        one[69] = 0.5e-40;
        let vector = Vector::quantise(&one).unwrap();
        assert_eq!((vector.steps[3], vector.steps[69]), (-127, 64));
        assert!((vector.cosine(&vector) - 1.0).abs() < 1e-6);
    }
}
