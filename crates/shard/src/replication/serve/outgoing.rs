//! Frames on their way out: gathered in a piece of memory that is used again and again.

use crate::replication::frame::{HEAD_BYTES, Kind};
use prost::Message;
use shardlift_api::CHUNK_BYTES_MAX;
use std::io::{self, Read};

/// Frames gathered before they are handed to the network. A transfer holds twice as much, and a chunk.
const FULL_BYTES: usize = 512 * 1024;

/// Room for whatever comes after the last look at how full it is.
const ROOM_BYTES: usize = FULL_BYTES + CHUNK_BYTES_MAX + Kind::Object.bytes_max() + 2 * HEAD_BYTES;

/// A buffer of frames.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Nothing, or all the room there is.
    memory: Vec<u8>,
    filled: usize,
}

impl Outgoing {
    /// The frames so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[..self.filled]
    }

    /// What is in it has been sent.
    pub(super) const fn clear(&mut self) {
        self.filled = 0;
    }

    pub(super) const fn is_full(&self) -> bool {
        self.filled >= FULL_BYTES
    }

    /// A frame that is a message.
    pub(super) fn put(&mut self, kind: Kind, message: &impl Message) {
        let length = message.encoded_len();
        let room = self.room(HEAD_BYTES + length);
        room[..HEAD_BYTES].copy_from_slice(&kind.head(length));
        // There is room for so much.
        if message.encode(&mut &mut room[HEAD_BYTES..]).is_ok() {
            self.filled += HEAD_BYTES + length;
        }
    }

    /// A frame of up to so many bytes of a file, which it answers with; no frame where there are none.
    pub(super) fn read(&mut self, file: &mut impl Read, wanted: usize) -> io::Result<&[u8]> {
        let room = self.room(HEAD_BYTES + wanted);
        let mut read = 0;
        while read < wanted {
            match file.read(&mut room[HEAD_BYTES + read..]) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if read == 0 {
            return Ok(&[]);
        }
        room[..HEAD_BYTES].copy_from_slice(&Kind::Data.head(read));
        let data = self.filled + HEAD_BYTES;
        self.filled = data + read;
        Ok(&self.memory[data..self.filled])
    }

    /// The next so many bytes. Callers look whether it is full after each frame, so there is room; if not, it is made.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        let end = self.filled + bytes;
        if self.memory.len() < end {
            self.memory.resize(end.max(ROOM_BYTES), 0);
        }
        &mut self.memory[self.filled..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replication::frame::parse;
    use shardlift_api::v1;

    #[test]
    fn frames_come_out_as_they_went_in_and_no_bytes_make_no_frame() {
        let mut outgoing = Outgoing::default();
        let end = v1::ObjectEnd { sha256_read: vec![7; 32] };
        outgoing.put(Kind::End, &end);
        assert_eq!(outgoing.read(&mut &b"abcdef"[..], 4).unwrap(), b"abcd");
        assert_eq!(outgoing.read(&mut &b"gh"[..], 4).unwrap(), b"gh");
        let before = outgoing.bytes().len();
        assert!(outgoing.read(&mut &b""[..], 4).unwrap().is_empty());
        assert_eq!(outgoing.bytes().len(), before);

        let mut left = outgoing.bytes();
        let mut found = Vec::new();
        while let Some((head, rest)) = left.split_first_chunk() {
            let (kind, length) = parse(*head).unwrap();
            found.push((kind, rest[..length].to_vec()));
            left = &rest[length..];
        }
        let expected = [(Kind::End, end.encode_to_vec()), (Kind::Data, b"abcd".to_vec()), (Kind::Data, b"gh".to_vec())];
        assert_eq!(found, expected);
    }

    #[test]
    fn it_is_full_before_there_is_no_room_for_the_longest_frame() {
        let mut outgoing = Outgoing::default();
        while !outgoing.is_full() {
            outgoing.read(&mut io::repeat(1), CHUNK_BYTES_MAX).unwrap();
            outgoing.put(Kind::End, &v1::ObjectEnd { sha256_read: vec![7; 32] });
        }
        assert_eq!(outgoing.memory.len(), ROOM_BYTES, "it never grew");
        outgoing.clear();
        assert!(outgoing.bytes().is_empty() && !outgoing.is_full());
    }
}
