//! States and statuses between messages and values.

use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::FinalState;

/// The state that a shard named.
pub(crate) fn final_state(digest: Option<v1::NodeDigest>) -> Result<FinalState, Fault> {
    let digest = digest.ok_or_else(|| Fault::new(FaultKind::Internal, "the shard named no state"))?;
    let root = convert::sha256(&digest.root)?;
    let v1::NodeDigest { seq, objects, bytes, damaged, .. } = digest;
    Ok(FinalState { seq, root, objects, bytes, damaged })
}

/// The state to name to a shard.
pub(crate) fn node_digest(state: &FinalState) -> v1::NodeDigest {
    let FinalState { seq, root, objects, bytes, damaged } = *state;
    let mut digest = v1::NodeDigest { seq, root: root.0.to_vec(), ..Default::default() };
    digest.objects = objects;
    digest.bytes = bytes;
    digest.damaged = damaged;
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::Sha256;

    #[test]
    fn a_state_survives_the_wire() {
        let state = FinalState { seq: 7, root: Sha256([3; 32]), objects: 2, bytes: 9, damaged: 1 };
        assert_eq!(final_state(Some(node_digest(&state))).unwrap(), state);
        assert!(final_state(None).is_err());
        assert!(final_state(Some(v1::NodeDigest { root: vec![1], ..Default::default() })).is_err());
    }
}
