//! A record as bytes: the hash that ties it to all before it, and the pieces it is stored in. Pure.
//!
//! A piece is `version ‖ bytes`; the first piece of a record is `version ‖ hash ‖ length ‖ bytes`.

use crate::contract::{RECORD_BYTES_MAX, Seq};
use crate::error::StoreError;
use sha2::{Digest as _, Sha256};
use shardlift_model::ClusterId;
use std::fmt;

/// Format of everything in the journal.
pub(crate) const VERSION: u8 = 1;

/// Bytes of a record in one piece. The database keeps up to 17 pieces in one page, and a page longer than a quarter of a
/// segment of its log goes to a file of its own, which it never syncs. 17 of these fit into a quarter of the segments
/// that `sled_store` asks for, with room to spare.
pub(crate) const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Version, hash and length, before the first bytes of a record.
const FIRST_HEADER_BYTES: usize = 1 + 32 + 4;

/// Hash of a record and, through the hash of the one before, of the whole journal up to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainHash(pub(crate) [u8; 32]);

impl fmt::Debug for ChainHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl ChainHash {
    /// The hash before the first record; it differs between clusters.
    pub(crate) fn genesis(cluster: &ClusterId) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"shardlift journal 1\0");
        hash.update(cluster.as_str());
        Self(hash.finalize().into())
    }

    /// The hash of the record that follows the one with this hash.
    pub(crate) fn link(self, seq: Seq, record: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"shardlift record 1\0");
        hash.update(self.0);
        hash.update(seq.0.to_be_bytes());
        hash.update((record.len() as u64).to_be_bytes());
        hash.update(record);
        Self(hash.finalize().into())
    }
}

/// Cuts a record into pieces, at least one, in order.
pub(crate) fn pieces(hash: ChainHash, record: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let (first, rest) = record.split_at(record.len().min(PIECE_BYTES_MAX));
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    let mut piece = Vec::with_capacity(FIRST_HEADER_BYTES + first.len());
    piece.push(VERSION);
    piece.extend_from_slice(&hash.0);
    piece.extend_from_slice(&length.to_be_bytes());
    piece.extend_from_slice(first);
    let rest = rest.chunks(PIECE_BYTES_MAX).map(|bytes| {
        let mut piece = Vec::with_capacity(1 + bytes.len());
        piece.push(VERSION);
        piece.extend_from_slice(bytes);
        piece
    });
    std::iter::once(piece).chain(rest)
}

/// Puts a record together again, piece by piece, and believes none of it until it is whole and its hash is right.
pub(crate) struct Assembly {
    seq: Seq,
    hash: ChainHash,
    length: usize,
    pieces: u32,
    record: Vec<u8>,
}

impl Assembly {
    /// Starts with the first piece.
    pub(crate) fn start(seq: Seq, piece: &[u8]) -> Result<Self, StoreError> {
        let body = check_version(seq, piece)?;
        let damaged = || StoreError::Damaged { seq, what: "its first piece is cut" };
        let (hash, body) = body.split_first_chunk::<32>().ok_or_else(damaged)?;
        let (length, body) = body.split_first_chunk::<4>().ok_or_else(damaged)?;
        let length = u32::from_be_bytes(*length) as usize;
        if length > RECORD_BYTES_MAX {
            return Err(StoreError::Damaged { seq, what: "its length is over the limit" });
        }
        Ok(Self { seq, hash: ChainHash(*hash), length, pieces: 1, record: body.to_vec() })
    }

    /// Adds the piece with this number, counted from zero.
    pub(crate) fn add(&mut self, number: u32, piece: &[u8]) -> Result<(), StoreError> {
        let body = check_version(self.seq, piece)?;
        if number != self.pieces || self.record.len() + body.len() > self.length {
            return Err(StoreError::Damaged { seq: self.seq, what: "its pieces do not fit together" });
        }
        self.pieces += 1;
        self.record.extend_from_slice(body);
        Ok(())
    }

    /// The record, if it is whole and follows the one with the hash `before`.
    pub(crate) fn finish(self, before: ChainHash) -> Result<(Vec<u8>, ChainHash), StoreError> {
        let Self { seq, hash, length, record, .. } = self;
        if record.len() != length {
            return Err(StoreError::Damaged { seq, what: "a piece of it is missing" });
        }
        if before.link(seq, &record) != hash {
            return Err(StoreError::Damaged { seq, what: "its hash does not match" });
        }
        Ok((record, hash))
    }

    /// The hash that the first piece claims.
    pub(crate) const fn claimed_hash(&self) -> ChainHash {
        self.hash
    }
}

fn check_version(seq: Seq, piece: &[u8]) -> Result<&[u8], StoreError> {
    match piece.split_first() {
        Some((&VERSION, body)) => Ok(body),
        Some((&found, _)) => Err(StoreError::Version { what: "a record", found }),
        None => Err(StoreError::Damaged { seq, what: "a piece of it is empty" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn genesis() -> ChainHash {
        ChainHash::genesis(&"c1".parse().unwrap())
    }

    fn cut(record: &[u8]) -> Vec<Vec<u8>> {
        pieces(genesis().link(Seq(1), record), record).collect()
    }

    fn join(seq: Seq, before: ChainHash, pieces: &[Vec<u8>]) -> Result<Vec<u8>, StoreError> {
        let mut assembly = Assembly::start(seq, &pieces[0])?;
        for (number, piece) in pieces.iter().enumerate().skip(1) {
            assembly.add(u32::try_from(number).unwrap(), piece)?;
        }
        assembly.finish(before).map(|(record, _)| record)
    }

    #[test]
    fn a_record_of_any_length_survives_being_cut() {
        let p = PIECE_BYTES_MAX;
        for length in [0, 1, p - 1, p, p + 1, 2 * p - 1, 2 * p, 2 * p + 1, 5 * p + 7] {
            let record: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
            let pieces = cut(&record);
            assert!(pieces.iter().all(|piece| piece.len() <= p + FIRST_HEADER_BYTES));
            assert_eq!(join(Seq(1), genesis(), &pieces).unwrap(), record, "{length} bytes");
        }
    }

    #[test]
    fn every_changed_bit_and_every_lost_piece_is_noticed() {
        let record = vec![7_u8; PIECE_BYTES_MAX + 3];
        let pieces = cut(&record);
        for piece in 0..pieces.len() {
            for at in (0..pieces[piece].len()).step_by(61).chain([0, 1, 33, 36]).filter(|at| *at < pieces[piece].len())
            {
                let mut changed = pieces.clone();
                changed[piece][at] ^= 1;
                assert!(join(Seq(1), genesis(), &changed).is_err(), "piece {piece}, byte {at}");
            }
        }
        assert!(join(Seq(1), genesis(), &pieces[..1]).is_err());
        assert!(join(Seq(2), genesis(), &pieces).is_err(), "under another number");
        let other = ChainHash::genesis(&"c2".parse().unwrap());
        assert!(join(Seq(1), other, &pieces).is_err(), "after another record");
    }
}
