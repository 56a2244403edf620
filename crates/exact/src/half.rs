//! IEEE 754 half precision, read only: every half is exactly one single.

/// The value of a half, given as its bits.
#[inline(always)]
pub(crate) fn from_half(bits: u16) -> f32 {
    let sign = (u32::from(bits) & 0x8000) << 16;
    let exponent = (u32::from(bits) >> 10) & 31;
    let fraction = u32::from(bits) & 0x3ff;
    let magnitude = match exponent {
        // A subnormal is fraction · 2⁻²⁴, which a single holds exactly.
        0 => (fraction as f32 * (1.0 / 16_777_216.0)).to_bits(),
        31 => 0x7f80_0000 | (fraction << 13),
        _ => ((exponent + 112) << 23) | (fraction << 13),
    };
    f32::from_bits(sign | magnitude)
}

/// The value of a brain float, given as its bits.
pub(crate) fn from_brain(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// Whether the half is neither infinite nor a NaN.
pub(crate) fn is_finite(bits: u16) -> bool {
    bits & 0x7c00 != 0x7c00
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_has_its_value() {
        for bits in 0..=u16::MAX {
            let exponent = i32::from((bits >> 10) & 31);
            let fraction = f64::from(bits & 0x3ff);
            let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
            let found = from_half(bits);
            assert_eq!(is_finite(bits), found.is_finite());
            if exponent == 31 {
                assert_eq!(found.is_nan(), fraction != 0.0);
                continue;
            }
            let expected = if exponent == 0 {
                fraction * 2f64.powi(-24)
            } else {
                (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15)
            };
            assert_eq!(f64::from(found), sign * expected, "{bits:#x}");
            assert_eq!(found.is_sign_negative(), sign < 0.0);
        }
    }
}
