//! Memory that begins where a disk's block could begin: what a write past the page cache asks for.

/// What a block device may ask for, at most.
pub(super) const BLOCK_BYTES: usize = 4096;

/// As much as one write takes.
pub(super) const ROOM_BYTES: usize = 1 << 20;

/// One such piece of memory, used again and again.
pub(super) struct Room {
    memory: Vec<u8>,
    begin: usize,
}

impl Room {
    pub(super) fn new() -> Self {
        let memory = vec![0; ROOM_BYTES + BLOCK_BYTES];
        // Where no aligned place can be named (it always can for bytes), the first one is as good as any.
        let begin = memory.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        Self { memory, begin }
    }

    /// Its first `length` bytes, at most [`ROOM_BYTES`].
    pub(super) fn part(&mut self, length: usize) -> &mut [u8] {
        &mut self.memory[self.begin..][..length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_begins_at_a_block_and_has_its_size() {
        for _ in 0..10 {
            let mut room = Room::new();
            assert_eq!(room.part(ROOM_BYTES).as_ptr().align_offset(BLOCK_BYTES), 0);
            assert_eq!(room.part(ROOM_BYTES).len(), ROOM_BYTES);
        }
    }
}
