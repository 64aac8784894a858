//! From the exact `i32` sum of the mix back to 16 bits.
//!
//! Sits behind the bridge's sum, before the encoder. Saturating: a sum that fits passes bit
//! for bit. All loops are branchless and vectorise.

/// Limits one sum to the 16-bit range.
#[inline]
pub const fn limit(sum: i32) -> i16 {
    if sum > i16::MAX as i32 {
        i16::MAX
    } else if sum < i16::MIN as i32 {
        i16::MIN
    } else {
        sum as i16
    }
}

/// Limits a frame of sums into `out`, as far as the shorter of both goes.
pub fn limit_slice(sum: &[i32], out: &mut [i16]) {
    for (out, sum) in out.iter_mut().zip(sum) {
        *out = clamp(*sum);
    }
}

/// Writes `sum` less a party's `own` audio, limited: what that party hears (N-1).
pub fn limit_without(sum: &[i32], own: &[i16], out: &mut [i16]) {
    for ((out, sum), own) in out.iter_mut().zip(sum).zip(own) {
        *out = clamp(sum - i32::from(*own));
    }
}

/// Adds a party's audio to the sum.
pub fn accumulate(sum: &mut [i32], samples: &[i16]) {
    for (sum, sample) in sum.iter_mut().zip(samples) {
        *sum += i32::from(*sample);
    }
}

#[inline]
fn clamp(sum: i32) -> i16 {
    sum.clamp(i16::MIN as i32, i16::MAX as i32) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_what_fits_and_saturates_the_rest() {
        for (sum, expected) in [
            (0, 0),
            (32767, 32767),
            (32768, 32767),
            (-32768, -32768),
            (-32769, -32768),
            (i32::MAX, 32767),
        ] {
            assert_eq!(limit(sum), expected);
            let mut out = [0];
            limit_slice(&[sum], &mut out);
            assert_eq!(out[0], expected);
        }
    }

    #[test]
    fn the_own_share_is_taken_out_before_limiting() {
        let (a, b) = ([30000i16; 8], [20000i16; 8]);
        let mut sum = [0i32; 8];
        accumulate(&mut sum, &a);
        accumulate(&mut sum, &b);
        let mut out = [0i16; 8];
        limit_without(&sum, &a, &mut out);
        assert_eq!(out, b);
        limit_slice(&sum, &mut out);
        assert_eq!(out, [32767; 8]);
    }
}
