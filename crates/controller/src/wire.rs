//! States and statuses between messages and values.

use shardlift_api::convert;
use shardlift_api::fault::{Fault, FaultKind};
use shardlift_api::v1;
use shardlift_migration::{FinalState, Hold, Settings};
use shardlift_model::{ByteCount, UnixMillis};

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

/// What a shard says that is set for a node.
pub(crate) fn settings(said: &v1::NodeSettings) -> Settings {
    let hold = |hold: &v1::Hold| Hold {
        id: hold.id.clone(),
        reason: hold.reason.clone(),
        placed_at: UnixMillis(hold.placed_at_unix_ms),
    };
    Settings {
        quota: (said.quota_bytes > 0).then_some(ByteCount(said.quota_bytes)),
        append_only: said.append_only,
        holds: said.holds.iter().map(hold).collect(),
    }
}

/// The same with what is recorded in its place. All else is the shard's to know.
pub(crate) fn with_settings(said: v1::NodeSettings, recorded: &Settings) -> v1::NodeSettings {
    let Settings { quota, append_only, holds } = recorded;
    let hold = |hold: &Hold| v1::Hold {
        id: hold.id.clone(),
        reason: hold.reason.clone(),
        placed_at_unix_ms: hold.placed_at.0,
    };
    v1::NodeSettings {
        quota_bytes: quota.map_or(0, |quota| quota.0),
        append_only: *append_only,
        holds: holds.iter().map(hold).collect(),
        ..said
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardlift_model::Sha256;

    #[test]
    fn settings_survive_the_wire_and_leave_the_rest_as_it_is() {
        let hold = Hold { id: "a".into(), reason: "court".into(), placed_at: UnixMillis(7) };
        let set = Settings { quota: Some(ByteCount(5)), append_only: true, holds: vec![hold] };
        let said = v1::NodeSettings { customer: "acme".into(), quota_bytes: 9, ..Default::default() };
        for recorded in [set, Settings::default()] {
            let sent = with_settings(said.clone(), &recorded);
            assert_eq!((settings(&sent), sent.customer.as_str()), (recorded, "acme"));
        }
    }

    #[test]
    fn a_state_survives_the_wire() {
        let state = FinalState { seq: 7, root: Sha256([3; 32]), objects: 2, bytes: 9, damaged: 1 };
        assert_eq!(final_state(Some(node_digest(&state))).unwrap(), state);
        assert!(final_state(None).is_err());
        assert!(final_state(Some(v1::NodeDigest { root: vec![1], ..Default::default() })).is_err());
    }
}
