//! IBM's floating point numbers of eight bytes: a sign, a power of 16, a fraction of 56 bits.

/// SAS's missing.
pub(super) const MISSING: [u8; 8] = [b'.', 0, 0, 0, 0, 0, 0, 0];

/// The same number, exactly: IBM's fraction has three bits more than IEEE's. None if its power of 16 is out of range.
pub(super) fn encode(number: f64) -> Option<[u8; 8]> {
    if number == 0.0 {
        return Some([0; 8]);
    }
    if !number.is_normal() {
        return None;
    }
    let bits = number.to_bits();
    let sign = bits & (1 << 63);
    // number = fraction × 2^(power - 56), with the highest of the fraction's 56 bits set.
    let power = i64::try_from((bits >> 52) & 0x7FF).ok()? - 1022;
    let fraction = ((bits & ((1 << 52) - 1)) | (1 << 52)) << 3;
    let sixteenths = power.div_euclid(4) + i64::from(power.rem_euclid(4) != 0);
    let shifted = fraction >> (sixteenths * 4 - power);
    let characteristic = u64::try_from(sixteenths + 64).ok().filter(|it| *it < 128)?;
    Some((sign | (characteristic << 56) | shifted).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: [u8; 8]) -> f64 {
        let bits = u64::from_be_bytes(bytes);
        let sign = if bits >> 63 == 1 { -1.0 } else { 1.0 };
        let power = i32::try_from((bits >> 56) & 0x7F).unwrap() - 64;
        let fraction = (bits & ((1 << 56) - 1)) as f64 / 2f64.powi(56);
        sign * fraction * 16f64.powi(power)
    }

    #[test]
    fn known_numbers_have_their_known_bytes() {
        assert_eq!(encode(1.0), Some([0x41, 0x10, 0, 0, 0, 0, 0, 0]));
        assert_eq!(encode(-118.625), Some([0xC2, 0x76, 0xA0, 0, 0, 0, 0, 0]));
        assert_eq!(encode(0.0), Some([0; 8]));
        assert_eq!(encode(1e80), None);
        assert_eq!(encode(1e-90), None);
        assert_eq!(encode(f64::NAN), None);
    }

    proptest! {
        #[test]
        fn every_number_in_range_comes_back_exactly(number in prop::num::f64::NORMAL) {
            prop_assume!((1e-70..1e70).contains(&number.abs()));
            prop_assert_eq!(decode(encode(number).unwrap()), number);
        }
    }
}
