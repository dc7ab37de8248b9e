//! A place in the tree: a kind and the first digits of names, in hexadecimal.

use crate::object::{ObjectKey, ObjectKind, Sha256};
use std::fmt;

/// Digits of a name.
pub const DIGITS_MAX: u8 = 64;

/// All names of one kind that begin with the same digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix {
    kind: ObjectKind,
    /// What lies behind the digits is zero.
    name: [u8; 32],
    digits: u8,
}

impl Prefix {
    /// All names of a kind.
    #[must_use]
    pub const fn of(kind: ObjectKind) -> Self {
        Self { kind, name: [0; 32], digits: 0 }
    }

    /// The first digits of this name; `None` when there are not so many, or when behind them is anything but zeros.
    #[must_use]
    pub fn new(kind: ObjectKind, name: [u8; 32], digits: u8) -> Option<Self> {
        if digits > DIGITS_MAX {
            return None;
        }
        let half = usize::from(digits).div_ceil(2);
        let odd_is_clean = digits.is_multiple_of(2) || name[half - 1].trailing_zeros() >= 4;
        (odd_is_clean && name[half..].iter().all(|byte| *byte == 0)).then_some(Self { kind, name, digits })
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> ObjectKind {
        self.kind
    }

    /// The digits, two to a byte, and zeros behind them.
    #[must_use]
    pub const fn name(&self) -> [u8; 32] {
        self.name
    }

    /// How many digits.
    #[must_use]
    pub const fn digits(&self) -> u8 {
        self.digits
    }

    /// With one more digit. A full name has none: it stays what it is.
    #[must_use]
    pub fn child(&self, digit: u8) -> Self {
        let mut child = *self;
        if let Some(byte) = child.name.get_mut(usize::from(self.digits / 2)) {
            *byte |= if self.digits.is_multiple_of(2) { digit << 4 } else { digit & 0xf };
            child.digits += 1;
        }
        child
    }

    /// The digit of a name that follows this prefix; zero behind its end.
    #[must_use]
    pub fn next_digit(&self, key: &ObjectKey) -> u8 {
        let byte = name_of(key).get(usize::from(self.digits / 2)).copied().unwrap_or_default();
        if self.digits.is_multiple_of(2) { byte >> 4 } else { byte & 0xf }
    }

    /// Whether an object lies here.
    #[must_use]
    pub fn covers(&self, key: &ObjectKey) -> bool {
        let (name, whole) = (name_of(key), usize::from(self.digits / 2));
        let odd = |byte: u8| self.digits.is_multiple_of(2) || byte >> 4 == self.name[whole] >> 4;
        key.kind() == self.kind && name[..whole] == self.name[..whole] && name.get(whole).is_none_or(|byte| odd(*byte))
    }

    /// The first key that may lie here.
    #[must_use]
    pub const fn first(&self) -> ObjectKey {
        self.filled_with(self.name)
    }

    /// The last key that may lie here.
    #[must_use]
    pub fn last(&self) -> ObjectKey {
        let mut name = self.name;
        let whole = usize::from(self.digits / 2);
        if let Some(byte) = name.get_mut(whole) {
            *byte |= if self.digits.is_multiple_of(2) { 0xff } else { 0x0f };
            name[whole + 1..].fill(0xff);
        }
        self.filled_with(name)
    }

    const fn filled_with(&self, name: [u8; 32]) -> ObjectKey {
        match self.kind {
            ObjectKind::Config => ObjectKey::Config,
            kind => ObjectKey::Named(kind, Sha256(name)),
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = hex::encode(self.name);
        write!(f, "{}/{}", self.kind, &name[..usize::from(self.digits)])
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn name_of(key: &ObjectKey) -> [u8; 32] {
    match key {
        ObjectKey::Config => [0; 32],
        ObjectKey::Named(_, name) => name.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_lies_under_each_of_its_prefixes_and_under_no_other(name in any::<[u8; 32]>(), other in any::<[u8; 32]>()) {
            let [key, other] = [name, other].map(|name| ObjectKey::Named(ObjectKind::Data, Sha256(name)));
            let mut prefix = Prefix::of(ObjectKind::Data);
            let mut shared = true;
            for digits in 0..=DIGITS_MAX {
                prop_assert!(prefix.covers(&key) && prefix.digits() == digits);
                prop_assert!(prefix.first() <= key && key <= prefix.last());
                prop_assert_eq!(prefix.covers(&other), shared);
                prop_assert_eq!(prefix.covers(&other), (prefix.first()..=prefix.last()).contains(&other));
                prop_assert_eq!(Prefix::new(prefix.kind(), prefix.name(), digits), Some(prefix));
                prop_assert!(!prefix.covers(&ObjectKey::Config));
                shared &= prefix.next_digit(&key) == prefix.next_digit(&other);
                prefix = prefix.child(prefix.next_digit(&key));
            }
            prop_assert_eq!(prefix.child(1), prefix);
        }
    }

    #[test]
    fn what_lies_behind_the_digits_is_zero() {
        let mut name = [0; 32];
        name[1] = 0x21;
        assert_eq!(Prefix::new(ObjectKind::Data, name, 3), None);
        assert_eq!(Prefix::new(ObjectKind::Data, name, 65), None);
        assert_eq!(Prefix::new(ObjectKind::Data, name, 4).unwrap().to_string(), "data/0021");
        assert_eq!(Prefix::of(ObjectKind::Config).last(), ObjectKey::Config);
    }
}
