//! Keys and values of the journal. Pure.
//!
//! `00` is the head; `01 ‖ seq ‖ piece`, both big-endian, is a piece of a record, so that keys sort as records do.

use crate::contract::Seq;
use crate::error::StoreError;
use crate::head::Head;
use crate::record::{self, ChainHash, VERSION};
use shardlift_model::{ClusterId, Term};

/// Key of the head.
pub(super) const HEAD_KEY: [u8; 1] = [0];

const RECORD_PREFIX: u8 = 1;

/// Key of a piece of a record.
pub(super) fn piece_key(seq: Seq, piece: u32) -> [u8; 13] {
    let mut key = [0; 13];
    key[0] = RECORD_PREFIX;
    key[1..9].copy_from_slice(&seq.0.to_be_bytes());
    key[9..13].copy_from_slice(&piece.to_be_bytes());
    key
}

/// Reads a key made by [`piece_key`].
pub(super) fn parse_piece_key(key: &[u8]) -> Option<(Seq, u32)> {
    let (&RECORD_PREFIX, rest) = key.split_first()? else { return None };
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let piece = rest.try_into().ok()?;
    Some((Seq(u64::from_be_bytes(*seq)), u32::from_be_bytes(piece)))
}

/// `version ‖ term ‖ last ‖ hash ‖ cluster`.
fn head_value(cluster: &ClusterId, head: &Head) -> Vec<u8> {
    let mut value = vec![VERSION];
    value.extend_from_slice(&head.term.0.to_be_bytes());
    value.extend_from_slice(&head.last.0.to_be_bytes());
    value.extend_from_slice(&head.hash.0);
    value.extend_from_slice(cluster.as_str().as_bytes());
    value
}

/// Reads a value made by [`head_value`] and refuses that of another cluster.
pub(super) fn parse_head(cluster: &ClusterId, value: &[u8]) -> Result<Head, StoreError> {
    let damaged = || StoreError::DamagedStore { what: "its head cannot be read" };
    let (version, rest) = value.split_first().ok_or_else(damaged)?;
    if *version != VERSION {
        return Err(StoreError::Version { what: "the journal", found: *version });
    }
    let (term, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (last, rest) = rest.split_first_chunk::<8>().ok_or_else(damaged)?;
    let (hash, name) = rest.split_first_chunk::<32>().ok_or_else(damaged)?;
    if name != cluster.as_str().as_bytes() {
        let store = String::from_utf8_lossy(name).into_owned();
        return Err(StoreError::WrongCluster { marker: cluster.clone(), store });
    }
    Ok(Head { term: Term(u64::from_be_bytes(*term)), last: Seq(u64::from_be_bytes(*last)), hash: ChainHash(*hash) })
}

/// The write that changes the head alone.
pub(super) fn head_batch(cluster: &ClusterId, head: &Head) -> sled::Batch {
    let mut batch = sled::Batch::default();
    batch.insert(&HEAD_KEY, head_value(cluster, head));
    batch
}

/// The write that appends records after `head`, and the head it leaves. One batch: all or none.
pub(super) fn append_batch(
    cluster: &ClusterId,
    head: &Head,
    records: &[Vec<u8>],
) -> Result<(sled::Batch, Head), StoreError> {
    let mut end = *head;
    let mut batch = sled::Batch::default();
    for record in records {
        end = end.after(std::slice::from_ref(record))?;
        for (number, piece) in (0_u32..).zip(record::pieces(end.hash, record)) {
            batch.insert(&piece_key(end.last, number), piece);
        }
    }
    batch.insert(&HEAD_KEY, head_value(cluster, &end));
    Ok((batch, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_as_records_do() {
        let order = [(1, 0), (1, 1), (1, 256), (2, 0), (255, 9), (256, 0), (u64::MAX, u32::MAX)];
        let keys: Vec<_> = order.iter().map(|(seq, piece)| piece_key(Seq(*seq), *piece)).collect();
        assert!(keys.is_sorted());
        assert!(HEAD_KEY.as_slice() < keys[0].as_slice());
        for (key, (seq, piece)) in keys.iter().zip(order) {
            assert_eq!(parse_piece_key(key), Some((Seq(seq), piece)));
        }
        assert_eq!(parse_piece_key(&HEAD_KEY), None);
        assert_eq!(parse_piece_key(&keys[0][..12]), None);
    }

    #[test]
    fn the_head_of_another_cluster_or_version_is_refused() {
        let cluster: ClusterId = "c1".parse().unwrap();
        let head = Head { term: Term(3), last: Seq(9), hash: ChainHash::genesis(&cluster) };
        let mut value = head_value(&cluster, &head);
        assert_eq!(parse_head(&cluster, &value).unwrap(), head);
        let other = parse_head(&"c2".parse().unwrap(), &value);
        assert!(matches!(other, Err(StoreError::WrongCluster { .. })));
        value[0] = 2;
        assert!(matches!(parse_head(&cluster, &value), Err(StoreError::Version { found: 2, .. })));
        assert!(matches!(parse_head(&cluster, &[1, 2]), Err(StoreError::DamagedStore { .. })));
    }
}
