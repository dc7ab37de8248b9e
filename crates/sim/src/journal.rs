//! What a shard holds and how it came to that: objects, changes, the change journal.

/// Number of objects. Each is one bit of a [`Content`].
pub const OBJECTS: u8 = 2;

/// Which objects are there.
pub type Content = u8;

/// Seq and content at an instant at which nobody writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Final {
    /// Last change of the giver's journal.
    pub seq: u8,
    /// What is there.
    pub content: Content,
}

/// A shard's own change journal. Only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Journal {
    entries: u32,
    len: u8,
}

impl Journal {
    const ENTRY_BITS: u32 = 2;

    /// Last change.
    #[must_use]
    pub const fn seq(self) -> u8 {
        self.len
    }

    /// Records a change.
    pub fn append(&mut self, change: Change) {
        let entry = u32::from(change.object) << 1 | u32::from(change.put);
        self.entries |= entry << (u32::from(self.len) * Self::ENTRY_BITS);
        self.len += 1;
    }

    /// The change after a seq.
    #[must_use]
    pub fn after(self, seq: u8) -> Option<Change> {
        (seq < self.len).then(|| {
            let entry = self.entries >> (u32::from(seq) * Self::ENTRY_BITS) & 3;
            Change { object: u8::from(entry & 2 != 0), put: entry & 1 != 0 }
        })
    }
}

/// A put or a delete of one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// Which.
    pub object: u8,
    /// Put or delete.
    pub put: bool,
}

impl Change {
    /// What is there afterwards.
    #[must_use]
    pub const fn on(self, content: Content) -> Content {
        if self.put { content | 1 << self.object } else { content & !(1 << self.object) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_tells_what_was_recorded_in_order() {
        let changes = [(0, true), (1, true), (0, false), (1, false), (1, true)];
        let mut journal = Journal::default();
        for (object, put) in changes {
            journal.append(Change { object, put });
        }
        let told: Vec<(u8, bool)> =
            (0..9).map_while(|seq| journal.after(seq)).map(|change| (change.object, change.put)).collect();
        assert_eq!(told, changes);
        assert_eq!(usize::from(journal.seq()), changes.len());
    }

    #[test]
    fn changes_touch_their_object_only() {
        assert_eq!(Change { object: 1, put: true }.on(0b01), 0b11);
        assert_eq!(Change { object: 0, put: false }.on(0b11), 0b10);
    }
}
