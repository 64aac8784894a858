//! G.711 companding (ITU-T G.711, code words as in the G.191 reference software).
//!
//! Sits between RTP payloads and 16-bit samples. Encoding has no branch and no table, so that
//! a loop over a frame vectorises; decoding is one table look-up.

/// Added to the 14-bit magnitude, so that every u-law segment starts at a power of two.
const ULAW_BIAS: i16 = 33;
/// The largest biased 14-bit magnitude (G.711 table 2: the virtual decision value 8159).
const ULAW_CLIP: i16 = 0x1fff;

/// Encodes one sample as u-law.
///
/// Segment and step are a concave, piecewise linear function of the magnitude, so they are the
/// least of the eight segments' lines: no search, and eight samples at once in 16-bit lanes.
#[inline]
pub fn ulaw_encode(sample: i16) -> u8 {
    let sign = sample >> 15;
    // Negative values by one's complement, as G.191 does: -1 and 0 share a magnitude.
    let magnitude = (((sample ^ sign) >> 2) + ULAW_BIAS).min(ULAW_CLIP);
    let code = ((magnitude >> 1) - 16)
        .min(magnitude >> 2)
        .min((magnitude >> 3) + 16)
        .min((magnitude >> 4) + 32)
        .min((magnitude >> 5) + 48)
        .min((magnitude >> 6) + 64)
        .min((magnitude >> 7) + 80)
        .min((magnitude >> 8) + 96);
    (!code as u8) ^ (sign as u8 & 0x80)
}

/// Encodes one sample as A-law, in the same way; its two lowest segments share a line.
#[inline]
pub fn alaw_encode(sample: i16) -> u8 {
    let sign = sample >> 15;
    let magnitude = (sample ^ sign) >> 4;
    let code = magnitude
        .min((magnitude >> 1) + 16)
        .min((magnitude >> 2) + 32)
        .min((magnitude >> 3) + 48)
        .min((magnitude >> 4) + 64)
        .min((magnitude >> 5) + 80)
        .min((magnitude >> 6) + 96);
    (code as u8) ^ 0xd5 ^ (sign as u8 & 0x80)
}

/// Decodes one u-law code word.
#[inline]
pub fn ulaw_decode(code: u8) -> i16 {
    ULAW[code as usize]
}

/// Decodes one A-law code word.
#[inline]
pub fn alaw_decode(code: u8) -> i16 {
    ALAW[code as usize]
}

static ULAW: [i16; 256] = ulaw_table();
static ALAW: [i16; 256] = alaw_table();

const fn ulaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !(code as u8);
        let segment = (bits >> 4) & 7;
        let step = (bits & 15) as i32;
        let magnitude = (((step << 3) + 0x84) << segment) - 0x84;
        table[code] = if bits & 0x80 == 0 {
            magnitude
        } else {
            -magnitude
        } as i16;
        code += 1;
    }
    table
}

const fn alaw_table() -> [i16; 256] {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = (code as u8) ^ 0x55;
        let segment = (bits >> 4) & 7;
        let step = (bits & 15) as i32;
        let magnitude = if segment == 0 {
            (step << 4) + 8
        } else {
            ((step << 4) + 0x108) << (segment - 1)
        };
        table[code] = if bits & 0x80 == 0 {
            -magnitude
        } else {
            magnitude
        } as i16;
        code += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// G.191's `ulaw_compress`, written with the loop of the standard.
    fn ulaw_reference(sample: i16) -> u8 {
        let linear = i32::from(sample);
        let mut absolute = (if linear < 0 { !linear } else { linear } >> 2) + 33;
        absolute = absolute.min(0x1fff);
        let (mut rest, mut segment) = (absolute >> 6, 1);
        while rest != 0 {
            segment += 1;
            rest >>= 1;
        }
        let high = 8 - segment;
        let low = 15 - ((absolute >> segment) & 15);
        ((high << 4) | low) as u8 | if linear >= 0 { 0x80 } else { 0 }
    }

    /// G.191's `alaw_compress`.
    fn alaw_reference(sample: i16) -> u8 {
        let linear = i32::from(sample);
        let mut ix = if linear < 0 {
            !linear >> 4
        } else {
            linear >> 4
        };
        if ix > 15 {
            let mut exponent = 1;
            while ix > 16 + 15 {
                ix >>= 1;
                exponent += 1;
            }
            ix = ix - 16 + (exponent << 4);
        }
        if linear >= 0 {
            ix |= 0x80;
        }
        (ix ^ 0x55) as u8
    }

    #[test]
    fn every_sample_encodes_as_the_reference_does() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(
                ulaw_encode(sample),
                ulaw_reference(sample),
                "u-law of {sample}"
            );
            assert_eq!(
                alaw_encode(sample),
                alaw_reference(sample),
                "A-law of {sample}"
            );
        }
    }

    #[test]
    fn every_code_survives_a_round_trip() {
        for code in 0..=255u8 {
            assert_eq!(alaw_encode(alaw_decode(code)), code, "A-law {code:#04x}");
            // 0x7f is u-law's negative zero: it decodes to 0, which encodes as positive zero.
            let expected = if code == 0x7f { 0xff } else { code };
            assert_eq!(
                ulaw_encode(ulaw_decode(code)),
                expected,
                "u-law {code:#04x}"
            );
        }
    }

    #[test]
    fn known_values() {
        // G.711 tables 1 and 2, scaled to 16 bits.
        for (code, value) in [
            (0x00, -32124),
            (0x80, 32124),
            (0xff, 0),
            (0x7f, 0),
            (0xfe, 8),
            (0x7e, -8),
            (0xf0, 120),
            (0xef, 132),
        ] {
            assert_eq!(ulaw_decode(code), value, "u-law {code:#04x}");
        }
        for (code, value) in [
            (0xd5, 8),
            (0x55, -8),
            (0xaa, 32256),
            (0x2a, -32256),
            (0xd4, 24),
            (0xc5, 264),
            (0x80, 5504),
        ] {
            assert_eq!(alaw_decode(code), value, "A-law {code:#04x}");
        }
    }

    #[test]
    fn decoding_is_the_nearest_level() {
        // The quantisation error never exceeds half the step of its segment.
        for sample in (-32000..=32000i16).step_by(7) {
            let magnitude = i32::from(sample).abs();
            let bound = (magnitude / 32).max(8) + 4;
            let ulaw = i32::from(ulaw_decode(ulaw_encode(sample))) - i32::from(sample);
            let alaw = i32::from(alaw_decode(alaw_encode(sample))) - i32::from(sample);
            assert!(
                ulaw.abs() <= bound && alaw.abs() <= bound,
                "{sample}: {ulaw} {alaw}"
            );
        }
    }
}
