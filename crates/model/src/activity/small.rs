//! A number in 16 bits, within one part in four thousand of what it was.

/// Five bits of exponent above eleven of mantissa. Beyond [`Small::MAX`] it stays there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Small(pub(super) u16);

const MANTISSA_BITS: u32 = 11;
const ONE: u64 = 1 << MANTISSA_BITS;

impl Small {
    /// About 4.4 * 10^12.
    pub(super) const MAX: u64 = (2 * ONE - 1) << 30;

    /// The nearest one.
    pub(super) fn of(number: u64) -> Self {
        if number < ONE {
            return Self(u16::try_from(number).unwrap_or(u16::MAX));
        }
        let number = number.min(Self::MAX);
        let mut shift = number.ilog2() - MANTISSA_BITS;
        let mut mantissa = (number + ((1 << shift) >> 1)) >> shift;
        if mantissa == 2 * ONE {
            (mantissa, shift) = (ONE, shift + 1);
        }
        let bits = (u64::from(shift + 1) << MANTISSA_BITS) | (mantissa - ONE);
        Self(u16::try_from(bits).unwrap_or(u16::MAX))
    }

    pub(super) fn get(self) -> u64 {
        let (exponent, mantissa) = (u32::from(self.0) >> MANTISSA_BITS, u64::from(self.0) & (ONE - 1));
        match exponent.checked_sub(1) {
            None => mantissa,
            Some(shift) => (ONE + mantissa) << shift,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_stays_within_one_part_in_four_thousand() {
        let mut number = 1_u64;
        while number < Small::MAX {
            let kept = Small::of(number).get();
            assert!(kept.abs_diff(number) * 4096 <= number, "{number} became {kept}");
            assert_eq!(Small::of(kept).get(), kept);
            number = number * 17 / 16 + 1;
        }
        assert_eq!(Small::of(u64::MAX).get(), Small::MAX);
        assert_eq!([0, 1, 2047, 2048, 4095, 4096].map(|n| Small::of(n).get()), [0, 1, 2047, 2048, 4095, 4096]);
    }
}
