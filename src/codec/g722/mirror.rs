//! The quadrature mirror filters (G.722 §3.1, §4.4; coefficients of table 11).

/// The filter's first half, in units of 1/8192; the second is its mirror image.
const TAPS: [i32; 12] = [3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11];
const LEN: usize = 2 * TAPS.len();

/// The filter's memory, oldest sample first.
#[derive(Clone, Debug, Default)]
pub(super) struct Mirror([i32; LEN]);

impl Mirror {
    /// Splits two samples into one of each band, at half their level.
    pub fn split(&mut self, first: i16, second: i16) -> (i32, i32) {
        let (odd, even) = self.filter(first.into(), second.into());
        ((odd + even) >> 14, (odd - even) >> 14)
    }

    /// Joins one sample of each band into two.
    pub fn join(&mut self, low: i32, high: i32) -> [i16; 2] {
        let (odd, even) = self.filter(low + high, low - high);
        [saturate(odd >> 11) as i16, saturate(even >> 11) as i16]
    }

    /// Takes two values in; the sums over the odd places of the memory, and over the even.
    fn filter(&mut self, first: i32, second: i32) -> (i32, i32) {
        self.0.copy_within(2.., 0);
        [self.0[LEN - 2], self.0[LEN - 1]] = [first, second];
        let (pairs, _) = self.0.as_chunks::<2>();
        let odd = pairs.iter().zip(TAPS.iter().rev());
        let even = pairs.iter().zip(&TAPS);
        (
            odd.map(|([_, value], tap)| value * tap).sum(),
            even.map(|([value, _], tap)| value * tap).sum(),
        )
    }
}

/// Sixteen bits, as the recommendation's arithmetic has it.
pub(super) fn saturate(value: i32) -> i32 {
    value.clamp(i16::MIN.into(), i16::MAX.into())
}
